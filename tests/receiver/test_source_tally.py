"""What a receiver sees of its sources, from a request to what the store says of it."""

import asyncio
import json
from pathlib import Path

import pytest
import redis

from mailroom import SourceNotes, StoreUnavailable
from mailroom.observations import RECEIVERS
from receiver.source_tally import MOST_KEPT, SourceTally
from receiver.sources.base import Batch, SourceItem, Unfit
from tests.conftest import PrivateValkey, wait_until
from tests.receiver.port import AT, Port


def batch(*unread: str) -> Batch:
    bad = SourceItem(1, b"{}", "order.paid", invalid=Unfit("email", "is none"))
    return Batch([SourceItem(0, b"{}", "order.paid", unread=unread), bad, SourceItem(2, b"{}", None)])


def busy(notes: SourceNotes) -> set[tuple[str, int]]:
    """Return the minutes of sources, without those in which the receiver was there."""
    return {(source, minute) for source, minute in notes.minutes if source != RECEIVERS}


def test_counted() -> None:
    """What fits, what does not, what was left out, why requests were refused; what we do not take is nothing."""
    tally = SourceTally()
    tally.take("shop", batch("read.id", "labels.eva@example.org"))
    tally.take("shop", batch())
    tally.refuse("shop", "bad_json")
    assert tally.notes.counts == {
        "taken|shop": 2,
        "quarantined|shop": 2,
        "unread|shop|read.id": 1,
        "unread|shop|labels": 1,
        "refused|shop|bad_json": 1,
    }


@pytest.mark.parametrize("failure", [StoreUnavailable("away"), TimeoutError(), asyncio.CancelledError()])
def test_store_away(failure: BaseException) -> None:
    """What the store did not take is written the next time, with what came since; not without end."""
    written: list[SourceNotes] = []

    async def write(notes: SourceNotes) -> None:
        if failures:
            raise failures.pop()
        written.append(notes)

    async def run() -> None:
        with pytest.raises(type(failure)):
            await tally.write(write, ())
        tally.take("shop", batch())
        await tally.write(write, ())
        await tally.write(write, ())

    failures = [failure]
    tally = SourceTally()
    tally.take("shop", batch())
    tally.notes.came["shop"] = 120_000
    asyncio.run(run())
    (notes,) = written
    assert (notes.counts["taken|shop"], busy(notes)) == (2, {("shop", 2)})
    assert {source for source, _ in notes.minutes} == {"shop", RECEIVERS}
    failures.append(failure)
    tally.notes.minutes = {("shop", minute) for minute in range(MOST_KEPT)}
    asyncio.run(run())
    assert (written[1].counts["taken|shop"], busy(written[1])) == (1, set())


def test_in_the_store(tmp_path: Path, valkey: PrivateValkey) -> None:
    """Which of several secrets verified last, and what was refused and taken, is in the store a second later."""

    def read(key: str) -> dict[str, str]:
        with redis.Redis.from_url(valkey.url, decode_responses=True) as store:
            (name,) = store.keys(f"relais:{{p0}}:{key}") or [""]
            return dict(store.hgetall(name)) if name else {}

    body = json.dumps({"email": "eva@example.org"})
    with Port(tmp_path, valkey.url) as port:
        assert port.post("/in/at/unsubscribed", body, {**AT, "X-Relais-Token": "old"}).status == 202
        assert port.post("/in/at/unsubscribed", body, {**AT, "X-Relais-Token": "none"}).status == 401
        assert port.post("/in/nobody", body).status == 404
        wait_until(lambda: read("verified").keys() == {"at|${AT_TOKEN_OLD}"}, "it was the old one")
        assert port.post("/in/url/unsubscribed?token=new", body).status == 202
        assert port.post("/in/at/unsubscribed", body).status == 202
        known = {"at|${AT_TOKEN_OLD}", "at|${AT_TOKEN}", "url|${AT_TOKEN}"}
        wait_until(lambda: read("verified").keys() == known, "it was the new one")
        times = read("verified")
        assert int(times["at|${AT_TOKEN}"]) > int(times["at|${AT_TOKEN_OLD}"])
        wait_until(lambda: read("sources:*").get("taken|at") == "2", "they are counted")
        assert read("sources:*") == {"taken|at": "2", "taken|url": "1", "refused|at|wrong_credentials": "1"}
        # What is counted last is written at the end.
        assert port.post("/in/at/unsubscribed", body).status == 202
    assert read("sources:*")["taken|at"] == "3"


def test_shapes_in_the_store(tmp_path: Path, valkey: PrivateValkey) -> None:
    """The fields of what came are in the store, of what we do not take as well, and no value of anybody."""

    def names() -> set[str]:
        with redis.Redis.from_url(valkey.url, decode_responses=True) as store:
            found = [key for key in store.keys("relais:{p0}:shape:*") for key in store.hgetall(key)]
        return {name.removeprefix("n|") for name in found if name.startswith("n|")}

    with Port(tmp_path, valkey.url) as port:
        body = {"id": "1", "event": "order.paid", "customer": {"email": "eva@example.org"}, "eva@example.org": 1}
        assert port.post("/in/typed", {**body, "total": 5}).status == 202
        wait_until(lambda: "order.paid|text|customer.email" in names(), "its fields are noted")
        assert {"order.paid|number|*", "order.paid|object|customer"} <= names()
        assert not any("eva" in name for name in names())
