"""Whether this version can take over from the one that runs, asked before it starts.

Comes in: the settings that it would run with, the live store, the book and what became of recorded events. Goes out: a
list of checks. Never writes, sends or migrates anything.
"""

import asyncio
import contextlib
import os
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path

from dotenv import dotenv_values

from console import catalogue, settings
from console.checks import doctor
from console.checks import schema as schemas
from console.checks.store import HealthCheck
from console.errors import UserError
from mailroom import Mailroom, StoreDamaged, StoreUnavailable, history, migration
from mailroom.keys import FORMER_SCHEMAS, SCHEMA
from mailroom.ledger import Fate
from mailroom.sentences import say
from receiver import payload, sources
from rules import event as events
from rules.action import Action, FailedAction
from rules.compiler import loader
from rules.event import Event
from rules.rule import Rule
from rules.rulebook import Rulebook
from rules.tools import testing

#: Events whose fates are read at once, and differences that are told.
PAGE = 50
MOST_TOLD = 10
#: How a delivery stands that failed for good, or was dropped after that.
GIVEN_UP = ("dead", "skipped")


@dataclass
class RecordedComparison:
    """What this version would do with events that the running one has routed, compared with what that did."""

    events: int = 0
    deliveries: int = 0
    #: Not compared: the payload is gone, another book routed it, or it lies in quarantine.
    gone: int = 0
    #: What differs, without a value of anybody -> how often, and one of the events.
    differences: Counter[str] = field(default_factory=Counter)
    samples: dict[str, str] = field(default_factory=dict)

    def add(self, event: Event, fate: Fate, book: Rulebook) -> None:
        """Compare one event."""
        self.events += 1
        self.deliveries += len(fate.deliveries)
        for difference in compare(event, fate, book):
            self.differences[difference] += 1
            self.samples.setdefault(difference, event.id)


def compare(event: Event, fate: Fate, book: Rulebook) -> Iterator[str]:
    """Yield what this version would do otherwise than what the ledger says was done."""
    matched = {rule["name"] for rule in fate.rules if rule["matched"] and not rule.get("observed")}
    fired = {rule.name: rule for rule in book.match(event).fired}
    yield from (f'rule "{name}" fires' for name in sorted(fired.keys() - matched))
    yield from (f'rule "{name}" fires no longer' for name in sorted(matched - fired.keys()))
    for name in sorted(fired.keys() & matched):
        yield from (f'{change} (rule "{name}")' for change in _compare_rule(event, fate, fired[name]))


def _compare_rule(event: Event, fate: Fate, rule: Rule) -> Iterator[str]:
    told = [each for each in fate.deliveries if each.rule == rule.name and each.state != "observed"]
    if any(each.state == "stale" for each in told):
        return
    if rule.look_ups and any(each.id and each.state in GIVEN_UP and not each.attempts for each in told):
        return  # The look-up itself may have failed: then nothing was made of the rule but the word of that.
    # What is left out when the event is routed has no id in the ledger.
    made = {f"{each.destination}.{each.action}" for each in told if each.id}
    known = {f"{each.destination}.{each.action}" for each in told}
    if rule.look_ups:
        # The answers are not kept: only which actions there are can be compared.
        wanted = sent = {f"{step.target.destination_for(event)}.{step.target.action}" for step in rule.then}
    else:
        asked = rule.ask(event, {})
        wanted = {f"{one.destination}.{one.name}" for one in asked}
        sent = {f"{one.destination}.{one.name}" for one in asked if isinstance(one, Action | FailedAction)}
    possible = {f"{step.target.destination_for(event)}.{step.target.action}" for step in rule.steps()}
    yield from (f"{name} is new" for name in sorted(wanted - known))
    yield from (f"{name} is not asked for any more" for name in sorted(known - possible))
    if not rule.look_ups:
        first = wanted & known
        yield from (f"{name} was left out, and would be sent" for name in sorted((sent & first) - made))
        yield from (f"{name} was sent, and would be left out" for name in sorted((made & first) - sent))


def look(url: str, folder: Path | None, since: timedelta) -> list[HealthCheck]:
    """Return the checks. Raises UserError where the store is away."""
    checks = [_settings()]
    try:
        found = doctor.examine(url)
        checks.append(_store(found.unfit.says if found.unfit else "", found.server))
        if found.unfit is None:
            checks += asyncio.run(_ask(url, folder, since))
            checks += doctor.rights_of(url, os.environ.get("RELAIS_RQ_URL", ""))
    except (StoreUnavailable, StoreDamaged) as exc:
        raise UserError(
            f"the live store cannot be asked: {exc}", mend="run this with the environment of the workers (REDIS_URL)"
        ) from exc
    return checks


def _settings() -> HealthCheck:
    wrong = [each for each in settings.effective(os.environ, dotenv_values(Path.cwd() / ".env")) if each.mistake]
    said = [f"{each.variable}: {each.mistake}" for each in wrong]
    for process, place in settings.DECLARED.items():
        try:
            settings.load(settings.find_model(place))
        except UserError as exc:
            said.append(f"{process}: {exc.message}")
    if said:
        return HealthCheck.of("settings", False, "settings_wrong", said="; ".join(dict.fromkeys(said)))
    return HealthCheck.of("settings", True, "settings_known")


def _store(unfit: str, server: str) -> HealthCheck:
    if unfit:
        return HealthCheck.of("store", False, "store_unfit", why=unfit)
    return HealthCheck.of("store", True, "store_answers", server=server)


async def _ask(url: str, folder: Path | None, since: timedelta) -> list[HealthCheck]:
    async with Mailroom.connect(url) as mailroom:
        found = await migration.schema(mailroom)
        checks = [_schema(found), *await schemas.check(mailroom)]
        if found not in ("", SCHEMA, *FORMER_SCHEMAS):
            return checks
        files, version = await mailroom.kept_book(), await mailroom.book_version()
        in_force = _compile("book in force", files)
        checks += [in_force[0]] if files is not None else []
        if folder is not None:
            checked, book = _compile("book", {n: t.decode("utf-8", "replace") for n, t in loader.read(folder).items()})
            checks += [checked, *([_tests(book, folder)] if book is not None else [])]
        if in_force[1] is not None:
            checks.append(_recorded(await _compare(mailroom, in_force[1], version, since)))
        return checks


def _schema(found: str) -> HealthCheck:
    if found == "":
        return HealthCheck.of("schema", True, "schema_none")
    if found == SCHEMA:
        return HealthCheck.of("schema", True, "schema_same", schema=SCHEMA)
    if found in FORMER_SCHEMAS:
        return HealthCheck.of("schema", True, "schema_former", former=found)
    return HealthCheck.of("schema", False, "schema_other", found=found, schema=SCHEMA)


def _compile(name: str, files: "dict[str, str] | None") -> tuple[HealthCheck, Rulebook | None]:
    checked = loader.check_texts(files or {}, catalogue.build())
    if checked.book is None:
        told = "; ".join(str(error) for error in checked.errors[:MOST_TOLD])
        return HealthCheck.of(name, False, "book_refused", said=told), None
    rules = say("rules", n=len(checked.book.rules))
    return HealthCheck.of(name, True, "book_compiles", rules=rules, version=checked.book.version), checked.book


def _tests(book: Rulebook, folder: Path) -> HealthCheck:
    results = testing.run(book, folder, payload.read_payload).results
    failed = [result.test.name for result in results if not result.passed]
    if failed:
        return HealthCheck.of("tests", False, "tests_fail", tests=", ".join(failed[:MOST_TOLD]))
    return HealthCheck.of("tests", True, "tests_pass", n=len(results))


async def _compare(mailroom: Mailroom, book: Rulebook, version: str, since: timedelta) -> RecordedComparison:
    found = RecordedComparison()
    #: Id of an event -> the event, or the class of what its reader said.
    waiting: dict[str, Event | str] = {}

    async def flush() -> None:
        for (name, event), fate in zip(waiting.items(), await mailroom.fates(list(waiting)), strict=True):
            if fate is None or fate.book != version or fate.echo_of:
                found.gone += 1
            elif isinstance(event, Event):
                found.add(event, fate, book)
            else:
                difference = f"a body can be read no longer: {event}"
                found.differences[difference] += 1
                found.samples.setdefault(difference, name)
        waiting.clear()

    async with contextlib.aclosing(history.since(mailroom, datetime.now(UTC) - since)) as reading:
        async for name, record in reading:
            if record is None:
                found.gone += 1
                continue
            try:
                waiting[name] = events.decode(name, record, sources.read)
            except Exception as exc:  # whatever a reader says of a body that it does not understand any more
                waiting[name] = exc.__class__.__name__
            if len(waiting) >= PAGE:
                await flush()
    await flush()
    return found


def _recorded(found: RecordedComparison) -> HealthCheck:
    beside = say("deliveries_gone", n=found.gone) if found.gone else ""
    if found.differences:
        told = [f"{what}: {n} x, as {found.samples[what]}" for what, n in found.differences.most_common(MOST_TOLD)]
        return HealthCheck.of("deliveries", False, "deliveries_differ", said="; ".join(told))
    if not found.events:
        return HealthCheck.of("deliveries", True, "deliveries_none", beside=beside)
    events = say("events", n=found.events)
    return HealthCheck.of(
        "deliveries", True, "deliveries_same", deliveries=found.deliveries, events=events, beside=beside
    )


def verdict(checks: Sequence[HealthCheck]) -> str:
    """Return what the checks say together."""
    wrong = [check.name for check in checks if not check.ok]
    return f"do not upgrade yet: {', '.join(wrong)}" if wrong else "this version can take over"
