"""Whether a version can take over: each answer that is yes, and each that is no."""

import asyncio
import json
from collections.abc import Awaitable, Callable
from dataclasses import replace
from datetime import timedelta
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from console import catalogue, cli
from console.checks import upgrade
from console.errors import UserError
from mailroom import Mailroom
from mailroom.ledger import DeliveryFate, Fate
from rules.compiler import loader
from tests.conftest import PrivateValkey, wait_until
from tests.system.processes import SystemProcesses, event, house
from tests.workers.worker_fixture import NOTE

SINCE = timedelta(days=1)
MORE = """\
      - crm.upsert_contact:
          email: "{{ data.email }}"
        only_if:
          data.name: other
"""
#: A test that expects nothing of a rule that fires.
FAILING = """\
tests:
  - name: nothing
    given: {source: shop, body: {event: person.changed, email: a@example.org, name: a}}
    expect: {}
"""


def on_store(valkey: PrivateValkey, act: Callable[[Mailroom], Awaitable[object]]) -> None:
    async def run() -> None:
        async with Mailroom.connect(valkey.url) as mailroom:
            await act(mailroom)

    asyncio.run(run())


def answers(valkey: PrivateValkey, folder: Path | None = None) -> dict[str, tuple[bool, str]]:
    """Return the checks by name."""
    return {check.name: (check.ok, check.says) for check in upgrade.look(valkey.url, folder, SINCE)}


@pytest.fixture
def routed(valkey: PrivateValkey, short_folder: Path) -> Path:
    """The book by which real workers have just routed and delivered three events, whose payloads are kept."""
    with house(valkey, short_folder) as one:
        _deliver(one)
    return short_folder / "book"


def _deliver(one: SystemProcesses) -> None:
    one.write(NOTE + MORE, retain="1d")
    one.work()
    given = event("a"), event("b", who="ada"), event("c", type="person.left")
    one.put(*(replace(each, retain=86_400_000) for each in given))
    wait_until(lambda: all(one.fate(id).settled for id in "abc"), "all are settled")


def test_yes(valkey: PrivateValkey, routed: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A version that would do what was done is told to be fit, with what was compared; nothing is changed by asking."""
    before = copy_of(valkey)
    found = answers(valkey, routed)
    assert [name for name, (ok, _) in found.items() if not ok] == []
    assert set(found) == {"settings", "store", "schema", "book in force", "book", "tests", "deliveries", "rights"}
    assert found["deliveries"][1] == "the same as recorded: 4 deliveries of 3 events"
    assert copy_of(valkey) == before
    monkeypatch.setenv("REDIS_URL", valkey.url)
    done = run("--book", str(routed))
    assert (done.exit_code, ": this version can take over." in done.stdout) == (0, True)
    done = run("--book", str(routed), "--json")
    assert json.loads(done.stdout)["well"] is True


def copy_of(valkey: PrivateValkey) -> dict[str, bytes]:
    """Every key with its content."""
    found: dict[str, bytes] = {}

    async def read(mailroom: Mailroom) -> None:
        async for key in mailroom.store.scan_iter("*"):
            found[key.decode()] = await mailroom.store.dump(key) or b""

    on_store(valkey, read)
    return found


def run(*words: str) -> Result:
    return CliRunner().invoke(cli.relais, ["upgrade", "check", *words], catch_exceptions=False)


@pytest.mark.parametrize(
    ("change", "told"),
    [
        ((MORE, ""), "crm.upsert_contact is not asked for any more"),
        (("data.name: other", "data.name: [a, b]"), "crm.upsert_contact was left out, and would be sent"),
        (("type: person.changed", "type: person.left"), 'rule "keep a note" fires no longer'),
        (("type: person.changed", "type: [person.changed, person.left]"), 'rule "keep a note" fires'),
        (("crm.add_note", "other.add_note"), "other.add_note is new"),
    ],
)
def test_other_deliveries(valkey: PrivateValkey, routed: Path, change: tuple[str, str], told: str) -> None:
    """A version that reads the same book otherwise is told so, by rule and action, with an event as an example."""
    files = {name: text.decode() for name, text in loader.read(routed).items()}
    others = {name: text.replace(*change) for name, text in files.items()}
    assert others != files

    async def pretend(mailroom: Mailroom) -> None:
        version = await mailroom.book_version()
        await mailroom.store.hset(mailroom.key("books"), version, json.dumps(others))

    on_store(valkey, pretend)
    ok, says = answers(valkey)["deliveries"]
    assert (ok, told in says) == (False, True), says
    assert "example.org" not in says


def test_what_no_version_could_read(valkey: PrivateValkey, routed: Path) -> None:
    """What lies in quarantine was never read, and speaks against no version; a body that was routed does."""
    broken = b"{}\nno body"

    async def quarantine(mailroom: Mailroom) -> None:
        await mailroom.quarantine([(replace(event("q"), retain=86_400_000), "email: is missing")])
        await mailroom.store.set(mailroom.key("e:q"), broken)

    on_store(valkey, quarantine)
    assert answers(valkey)["deliveries"][0], "quarantine speaks against no version"

    async def damage(mailroom: Mailroom) -> None:
        await mailroom.store.set(mailroom.key("e:a"), broken)

    on_store(valkey, damage)
    assert "a body can be read no longer: EventDamaged: 1 x, as a" in answers(valkey)["deliveries"][1]


LOOKING = """\
sources:
  sd: {kind: seminardesk, api: sd_api, verify: {basic: {user: a, password: "${SD_PASSWORD}"}}}
destinations:
  sd_api: {kind: seminardesk, base: https://sd.example.org, api_key: "${SD_TOKEN}"}
  crm: {kind: rest, base: https://crm.example.org, auth: {bearer: "${CRM_TOKEN}"}}
rules:
  - name: bookers
    when: {source: sd, type: booking.created}
    look_up:
      booker: {api.person: {id: "{{ data.booker.id }}"}}
    then:
      - crm.upsert_contact: {email: "{{ booker.email }}"}
      - crm.add_note: {email: "{{ booker.email }}", text: has booked}
"""


def test_a_look_up_that_failed_is_not_compared() -> None:
    """Of a rule whose look-up could not be made the ledger has one dead delivery, and no others are new."""
    book = loader.check_texts({"book.yaml": LOOKING}, catalogue.build()).book
    assert book is not None
    booked = replace(event("a"), source="sd", kind="seminardesk", type="booking.created", data={"id": 1})
    dead = DeliveryFate("a.0", "crm", "upsert_contact", "bookers", "dead", "value_failed: booker")
    fate = Fate("a", "sd", "booking.created", "", rules=[{"name": "bookers", "matched": True}], deliveries=[dead])
    assert list(upgrade.compare(booked, fate, book)) == []
    dead.attempts.append({"n": 1})
    assert list(upgrade.compare(booked, fate, book)) == ['crm.add_note is new (rule "bookers")']


def test_book_refused(valkey: PrivateValkey, routed: Path) -> None:
    """A book that this version refuses, and tests that fail by it, are told with the place."""
    file = routed / "book.yaml"
    text = file.read_text()
    file.write_text(
        text + "tests:\n  - name: nothing\n    given: {source: shop, body: {event: person.changed}}\n    expect: {}\n"
    )
    assert answers(valkey, routed)["tests"][1].startswith("of the book fail: nothing")
    file.write_text(text.replace("add_note", "add_nota"))
    ok, says = answers(valkey, routed)["book"]
    assert (ok, "book.yaml:" in says) == (False, True)


def test_schema(valkey: PrivateValkey) -> None:
    """An empty store is no hindrance, the former schema neither; one that this version does not know is."""
    assert answers(valkey)["schema"] == (True, "the store is empty")
    for schema, ok in (("1", True), ("2", True), ("3", True), ("9", False)):

        async def set_schema(mailroom: Mailroom, schema: str = schema) -> None:
            await mailroom.store.set(mailroom.key("schema"), schema)

        on_store(valkey, set_schema)
        assert answers(valkey)["schema"][0] is ok


def test_settings(valkey: PrivateValkey, monkeypatch: pytest.MonkeyPatch) -> None:
    """A setting that this version does not know, and one that it cannot take, are named."""
    monkeypatch.setenv("RELAIS_WORKERZ", "3")
    monkeypatch.setenv("RELAIS_PORT", "many")
    ok, says = answers(valkey)["settings"]
    assert (ok, "RELAIS_WORKERZ" in says, "RELAIS_PORT" in says) == (False, True, True)
    monkeypatch.setenv("REDIS_URL", valkey.url)
    done = run("--book", "rules/book")
    assert (done.exit_code, "do not upgrade yet: settings" in done.stdout) == (1, True)


def test_store_away() -> None:
    """Without the live store there is no answer: status 3."""
    with pytest.raises(UserError, match="cannot be asked") as away:
        upgrade.look("redis://127.0.0.1:1", None, SINCE)
    assert away.value.exit_code == 3
