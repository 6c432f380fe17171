import asyncio
import json
import signal
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from datetime import UTC, datetime

import pytest
from click.testing import CliRunner

from console import cli
from console.errors import UserError
from mailroom import Mailroom
from tests.conftest import GENEROUS, PrivateValkey, wait_until_async
from tests.console.api.console_process import asked, event, with_mailroom
from tests.console.conftest import Start


def test_events(console: str, valkey: PrivateValkey) -> None:
    """Events come newest first in pages; one is told with its fate; none shows a value of a person."""

    async def put(mailroom: Mailroom) -> None:
        await mailroom.put([event("first", second=1), event("second", second=2)])
        await mailroom.put([event("third", second=3)])

    with_mailroom(valkey, put)
    page = asked(console, "/events?limit=1")
    before = asked(console, f"/events?limit=2&cursor={page['next']}")
    assert [each["id"] for each in page["events"]] == ["third"]
    assert [each["id"] for each in before["events"]] == ["second", "first"]
    assert (bool(page["as_of"]), before["next"]) == (True, None)
    assert asked(console, "/events/first")["state"] == "waiting"
    assert "eva" not in json.dumps(page)


def test_wait(console: str, valkey: PrivateValkey) -> None:
    """A question with `wait` is answered when the event's fate is settled, or when the time is over."""

    async def put_and_quarantine(mailroom: Mailroom) -> None:
        await mailroom.put([event("open")])
        asking = asyncio.create_task(asyncio.to_thread(asked, console, "/events/settled?wait=20"))
        still = await asyncio.to_thread(asked, console, "/events/open?wait=0.1")
        await mailroom.quarantine([(event("settled"), "data.email: missing")])
        found = await asyncio.wait_for(asking, GENEROUS)
        assert (still["state"], still["settled"]) == ("waiting", False)
        assert (found["state"], found["settled"]) == ("quarantined", True)

    with_mailroom(valkey, put_and_quarantine)


REFUSED = {
    "/events?limit=0": "bad_limit",
    "/events?limit=501": "bad_limit",
    "/events?limit=many": "bad_limit",
    "/events?limit=nan": "bad_limit",
    "/events?limit=1.5": "bad_limit",
    "/events?limit=1_0": "bad_limit",
    "/events?limit=%D9%A3": "bad_limit",
    "/events?cursor=yesterday": "bad_cursor",
    "/events?before=%C2%B2-0": "bad_cursor",
    "/events?cursor=WzEsMSwxXQ": "bad_cursor",
    "/events?cursor=W3RydWUsMV0": "bad_cursor",
    "/events?cursor=bnVsbA": "bad_cursor",
    "/events?cursor=WzEsOTk5OTk5OTk5OTk5OTk5OTk5OTk5OV0": "bad_cursor",
    "/events?since=yesterday": "bad_time",
    "/events?until=99999999999999999999999": "bad_time",
    "/events.csv?since=soon": "bad_time",
    "/stats?span=1": "bad_span",
    "/stats?span=2678401": "bad_span",
    "/people/unknown": "unknown_person",
    "/dead?since=%C2%B2": "bad_since",
    "/dead?since=-1": "bad_since",
    "/refused/no-stream-id": "unknown_item",
    "/events?state=lost": "bad_state",
    "/events/unknown": "unknown_event",
    "/events/unknown?wait=60.5": "bad_wait",
    "/events/unknown?wait=soon": "bad_wait",
    "/events/unknown?wait=-1": "bad_wait",
    "/books/unknown": "unknown_book",
}


def test_refused(console: str) -> None:
    """A question that cannot be answered has a code and a hint."""
    for path, code in REFUSED.items():
        with pytest.raises(UserError, match=rf"^{code}: .{{10}}"):
            asked(console, path)


@contextmanager
def environ(monkeypatch: pytest.MonkeyPatch, **values: str) -> Iterator[None]:
    with monkeypatch.context() as changed:
        for name, value in values.items():
            changed.setenv(name, value)
        yield


def test_commands(console: str, valkey: PrivateValkey, monkeypatch: pytest.MonkeyPatch) -> None:
    """`relais events list` and `show` print what the console says, as a table and as JSON."""

    async def put(mailroom: Mailroom) -> None:
        await mailroom.quarantine([(event("spoiled"), "data.email: missing")])
        await mailroom.put([event("first")])

    with_mailroom(valkey, put)
    with environ(monkeypatch, RELAIS_CONSOLE_URL=console):
        listed = CliRunner().invoke(cli.relais, ["events", "list"])
        spoiled = CliRunner().invoke(cli.relais, ["events", "list", "--state", "quarantined", "--json"])
        none = CliRunner().invoke(cli.relais, ["events", "list", "--state", "echo"])
        shown = CliRunner().invoke(cli.relais, ["events", "show", "spoiled"])
        as_json = CliRunner().invoke(cli.relais, ["events", "show", "first", "--json"])
        unknown = CliRunner().invoke(cli.relais, ["events", "show", "nothing"])
    assert "first" in listed.output
    assert "order.paid" in listed.output
    assert [one["id"] for one in json.loads(spoiled.output)["events"]] == ["spoiled"]
    assert none.output == "No such events.\n"
    assert "because data.email: missing" in shown.output
    assert json.loads(as_json.output)["id"] == "first"
    assert (unknown.exit_code, "unknown_event" in unknown.output) == (1, True)


def test_tail(start: Start, console: str, valkey: PrivateValkey) -> None:
    """`relais events tail` prints an event when it has come, and again when it has ended."""
    process = start("events", "tail", "--json", RELAIS_CONSOLE_URL=console)

    async def happen(mailroom: Mailroom) -> None:
        number = 0

        async def seen() -> bool:
            nonlocal number
            number += 1
            await mailroom.put([event(f"e{number}")])
            return bool(process.lines)

        await wait_until_async(seen, "the tail follows")

    with_mailroom(valkey, happen)
    assert json.loads(process.lines[0])["state"] == "waiting"
    assert process.stop(signal.SIGINT) == 0


def test_pages(console: str, valkey: PrivateValkey) -> None:
    """A page has fifty events when nothing is said, and up to five hundred when asked; the last one has no next."""

    async def put(mailroom: Mailroom) -> None:
        await mailroom.put([event(f"e{n}", second=n) for n in range(60)])
        for n in range(60, 64):
            await mailroom.put([event(f"e{n}", second=n)])

    with_mailroom(valkey, put)
    first = asked(console, "/events")
    assert len(first["events"]) >= 50
    assert first["events"][0]["id"] == "e63"
    whole = asked(console, "/events?limit=500")
    assert len(whole["events"]) == 64
    assert len({each["id"] for each in whole["events"]}) == 64
    assert len(asked(console, "/events?limit=3")["events"]) == 3


def test_people(console: str, valkey: PrivateValkey, monkeypatch: pytest.MonkeyPatch) -> None:
    """A person is found by their address, which stands in no answer; what is not known has a clear answer."""

    async def put(mailroom: Mailroom) -> None:
        await mailroom.put([event("first"), event("second", second=1)])

    with_mailroom(valkey, put)
    with environ(monkeypatch, RELAIS_CONSOLE_URL=console):
        found = CliRunner().invoke(cli.relais, ["people", "find", " EVA@example.org", "--json"])
        piped = CliRunner().invoke(cli.relais, ["people", "find", "-"], input="eva@example.org\n")
        by_message = CliRunner().invoke(cli.relais, ["people", "find", "second"])
        nobody = CliRunner().invoke(cli.relais, ["people", "find", "max@example.org"])
        who = json.loads(found.output)["people"][0]["who"]
        shown = CliRunner().invoke(cli.relais, ["people", "show", who])
        listed = CliRunner().invoke(cli.relais, ["events", "list", "--who", who, "--count"])
    person = json.loads(found.output)["people"][0]
    assert [each["id"] for each in person["events"]] == ["second", "first"]
    assert (person["read_as"], person["states"]) == ("e-mail", {"waiting": 2})
    assert "eva" not in found.output.lower()
    assert all(who in result.output and "2 events in 31 days: 2 waiting" in result.output for result in (piped, shown))
    assert "1 event in 31 days" in by_message.output
    assert (nobody.exit_code, "read as: e-mail" in nobody.output) == (1, True)
    assert listed.output == "2\n"


def test_csv(console: str, valkey: PrivateValkey, monkeypatch: pytest.MonkeyPatch) -> None:
    """A list goes out as CSV whole, and no cell is a formula."""

    async def put(mailroom: Mailroom) -> None:
        await mailroom.put([event(f"e{n}", second=n) for n in range(600)])
        await mailroom.put([event("=1+1", second=600)])

    with_mailroom(valkey, put)
    with environ(monkeypatch, RELAIS_CONSOLE_URL=console):
        whole = CliRunner().invoke(cli.relais, ["events", "list", "--source", "shop", "--csv"])
        none = CliRunner().invoke(cli.relais, ["events", "list", "--source", "other", "--csv"])
    rows = whole.output.splitlines()
    assert (len(rows), rows[1].split(",")[1]) == (602, "'=1+1")
    assert len(none.output.splitlines()) == 1


def test_stats(console: str, valkey: PrivateValkey, monkeypatch: pytest.MonkeyPatch) -> None:
    """`relais stats` counts what came, as a table and as JSON."""
    with environ(monkeypatch, RELAIS_CONSOLE_URL=console):
        empty = CliRunner().invoke(cli.relais, ["stats"])

        async def put(mailroom: Mailroom) -> None:
            now = datetime.now(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")
            await mailroom.put([replace(event(f"e{n}"), received_at=now) for n in range(7)])

        with_mailroom(valkey, put)
        shown = CliRunner().invoke(cli.relais, ["stats", "--span", "2d"])
        as_json = CliRunner().invoke(cli.relais, ["stats", "--json"])
        unclear = CliRunner().invoke(cli.relais, ["stats", "--span", "long"])
    assert "Nothing came" in empty.output
    assert "shop    7" in shown.output
    assert sum(json.loads(as_json.output)["sources"]["shop"]) == 7
    assert unclear.exit_code == 2
