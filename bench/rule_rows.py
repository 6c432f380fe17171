"""The rows about rules alone: routing, compiling, filling an action. No process, no socket; one core.

Goes out: figures of one round, each beside what a plain program would take.
"""

import time
import zoneinfo
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any

import yaml

from bench.measure import Figures
from bench.stage import bodies
from console import catalogue
from receiver import sources
from rules.compiler import compilation, loader
from rules.event import Event
from rules.rule import Facts
from rules.rulebook import Rulebook

#: Turns of each book, and events of a turn: it takes a millisecond, in which the machine may have nothing else to do.
TURNS, EVENTS = 30, 50


def routing(_: object) -> Figures:
    """Cost of routing one event that matches the same two of 10 to 10,000 rules, and of a plain loop over them.

    The books take turns, and the best turn of each counts. Measured one after the other, as until 2026-11-30, the ratio
    was that of a machine that is busy for some of them: 0.8 to 4 for the same code.
    """
    ways: dict[str, tuple[Callable[[], object], int]] = {}
    for count in (10, 100, 1_000, 10_000):
        ours, loop = _ways_to_route(count)
        ways[f"us_at_{count}"] = ours, EVENTS
        ways[f"loop_us_at_{count}"] = loop, max(1, 1_000 // count)
    turns = [{name: _time(*way) * 1e6 for name, way in ways.items()} for _ in range(TURNS)]
    figures = {name: min(turn[name] for turn in turns) for name in ways}
    return {
        "ratio": figures["us_at_10000"] / figures["us_at_10"],
        "ratio_loop": figures["loop_us_at_10000"] / figures["us_at_10000"],
        **figures,
    }


def compiling(_: object) -> Figures:
    """Time to compile a book of 10,000 rules, per rule against one of 1,000, beside parsing its YAML alone."""
    everything = catalogue.build()
    took: dict[int, float] = {}
    for count in (1_000, 10_000):
        files = {"book.yaml": _book_of(count).encode()}
        started = time.perf_counter()
        if compilation.compile_book(files, everything).book is None:
            raise RuntimeError("the book of the bench is refused")
        took[count] = time.perf_counter() - started
    started = time.perf_counter()
    yaml.load(_book_of(10_000), yaml.CSafeLoader)
    return {
        "ratio": took[10_000] / took[1_000] / 10,
        "s_at_1000": took[1_000],
        "s_at_10000": took[10_000],
        "yaml_alone_s": time.perf_counter() - started,
    }


TEN_FIELDS = """\
          email: "{{ data.email | email }}"
          first_name: "{{ data.first_name | omit }}"
          last_name: "{{ data.last_name | default('') }}"
          phone: "{{ data.phone1 | phone | omit }}"
          custom:
            name: "{{ data.first_name | default('') }} {{ data.last_name | default('') }}"
            city: "{{ data.city | omit }}"
            zip: "{{ data.zip_code | omit }}"
            status: "{{ data.status | default('unknown') | upper }}"
            kind: customer
            since: "{{ received_at | date('%d.%m.%Y', 'Europe/Berlin') }}"
"""


def rendering(_: object) -> Figures:
    """Cost of filling an action with ten fields, checked by its model, against the same fields by hand in Python."""
    head = _book_of(2).partition("    then:")[0]
    (rule,) = _compiled(f"{head}    then:\n      - crm.upsert_contact:\n{TEN_FIELDS}").rules
    event = _event()
    zone = zoneinfo.ZoneInfo("Europe/Berlin")

    def by_hand() -> dict[str, Any]:
        data = event.data
        first, last = data.get("first_name") or "", data.get("last_name") or ""
        return {
            "email": str(data["email"]).strip().lower(),
            "first_name": first,
            "last_name": last,
            "phone": data.get("phone1"),
            "custom": {
                "name": f"{first} {last}",
                "city": data.get("city"),
                "zip": data.get("zip_code"),
                "status": str(data.get("status") or "unknown").upper(),
                "kind": "customer",
                "since": datetime.fromisoformat(event.received_at).astimezone(zone).strftime("%d.%m.%Y"),
            },
        }

    ours, hand = _least(lambda: rule.actions(event, {})), _least(by_hand)
    return {"ratio": ours / hand, "us_each": ours * 1e6, "by_hand_us": hand * 1e6}


def _least(work: Callable[[], object], times: int = 500) -> float:
    """Return the seconds that one run takes in the best of seven turns."""
    return min(_time(work, times) for _ in range(7))


def _time(work: Callable[[], object], times: int) -> float:
    """Return the seconds that one of so many runs takes, after one that finds its data in the processor's caches."""
    work()
    started = time.perf_counter()
    for _ in range(times):
        work()
    return (time.perf_counter() - started) / times


def _book_of(rules: int) -> str:
    lines = [
        "country: DE",
        "sources:",
        "  at:",
        "    kind: activetrail",
        "    verify:",
        "      none: nobody posts to a bench",
        "destinations:",
        "  crm:",
        "    kind: rest",
        "    base: http://127.0.0.1:9",
        "    auth:",
        "      bearer: ${BENCH_TOKEN}",
        "    allow_private: true",
        "rules:",
    ]
    then = ["    then:", "      - crm.add_note:", '          email: "{{ data.email }}"', "          text: Hello."]
    types = ("contact.updated", "contact.changed", "contact.edited", "contact.unsubscribed", "contact.group_added")
    for n in range(rules - 2):
        lines += [f"  - name: rule {n}", "    when:", f"      type: {types[n % len(types)]}"]
        # A realistic mix: half by city, a quarter by postcode, the rest by name and status.
        match n % 4:
            case 0 | 1:
                lines += [f"      data.city: City {n}"]
            case 2:
                lines += [f'      data.zip_code: "{n:05d}"', "      data.status: subscribed"]
            case _:
                lines += [f"      data.last_name: Name {n}"]
        lines += then
    for n, extra in enumerate(("      data.city: Berlin", "      data.zip_code: '10115'")):
        lines += [f"  - name: hit {n}", "    when:", "      type: contact.updated", extra, *then]
    return "\n".join(lines) + "\n"


def _compiled(text: str) -> Rulebook:
    checked = loader.check_texts({"book.yaml": text}, catalogue.build())
    if checked.book is None:
        raise RuntimeError(f"the book of the bench is refused: {checked.errors[0]}")
    return checked.book


def _event() -> Event:
    body = bodies(1)[0]
    return Event(
        id="e1",
        source="at",
        kind="activetrail",
        type="contact.updated",
        received_at=datetime.now(UTC).isoformat(),
        body=body,
        data=sources.read("activetrail", "contact.updated", body),
    )


def _ways_to_route(rules: int) -> tuple[Callable[[], int], Callable[[], int]]:
    """Return how an event is routed in a book of so many rules: by ours, and by a loop that tests rule after rule."""
    book, event = _compiled(_book_of(rules)), _event()

    def ours() -> int:
        return sum(len(rule.actions(event, {})) for rule in book.match(event).fired)

    def loop() -> int:
        facts = Facts(event, {})
        return sum(len(rule.actions(event, {})) for rule in book.rules if rule.when.fires(facts))

    if (ours(), loop()) != (2, 2):
        raise RuntimeError(f"at {rules} rules {ours()} and {loop()} fired instead of 2")
    return ours, loop
