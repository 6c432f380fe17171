"""The marks of a book that is only observed, and what settlements count of it."""

import pytest

from mailroom import INBOX, Mailroom, RoomRequest, Settlement, shadow
from tests.mailroom.store import event

pytestmark = pytest.mark.anyio


async def settle(mailroom: Mailroom, *ids: str, counter: str) -> None:
    """Route events, with these counters each."""
    await mailroom.beat("d1", register=True)
    await mailroom.put([event(id) for id in ids])
    (lease,) = (await mailroom.take("d1", ids[0], [RoomRequest(INBOX, 1, 400)])).leases
    settled = [
        Settlement(lease, id, "done", id, "2026-11-21", counter=counter.format(id), last=id == ids[-1]) for id in ids
    ]
    await mailroom.settle("d1", ids[0], settled)


async def test_begin_and_end(mailroom: Mailroom) -> None:
    """A book is observed until it is ended; the one in force stays, and its files are kept like those of any other."""
    await mailroom.keep_book("v1", {"a.yaml": "1"})
    assert (await shadow.read(mailroom), await shadow.find_version(mailroom)) == (None, "")
    await shadow.begin(mailroom, "v2", {"a.yaml": "2"}, "eva")
    found = await shadow.read(mailroom)
    assert found is not None
    assert (found.version, found.by, found.counts, found.events) == ("v2", "eva", {}, ())
    assert (await mailroom.book_version(), await mailroom.kept_book("v2")) == ("v1", {"a.yaml": "2"})
    assert (await shadow.end(mailroom), await shadow.end(mailroom)) == ("v2", "")
    assert await shadow.read(mailroom) is None


async def test_counts(mailroom: Mailroom) -> None:
    """What differs is counted by rule, the latest events are listed; to begin anew forgets both."""
    await shadow.begin(mailroom, "v2", {}, "")
    lines = ["routed|shop|x|matched", "@shadow:v2 differs", "@shadow:v2 added|crm.add_note|a | b", ">shadowed:v2 {}"]
    await settle(mailroom, "a", counter="\n".join(lines))
    await settle(mailroom, "b", counter="\n".join(lines))
    found = await shadow.read(mailroom)
    assert found is not None
    assert found.counts == {"differs": 2, "added|crm.add_note|a | b": 2}
    assert found.last.keys() == found.counts.keys()
    assert found.events == ("b", "a")
    assert await mailroom.counts() == {"received|shop|booking.created": 2, "routed|shop|x|matched": 2}
    await shadow.begin(mailroom, "v2", {}, "")
    found = await shadow.read(mailroom)
    assert found is not None
    assert (found.counts, found.events) == ({}, ())


async def test_few_events(mailroom: Mailroom) -> None:
    """However many differ, the latest two hundred are kept."""
    await shadow.begin(mailroom, "v2", {}, "")
    await settle(mailroom, *(f"e{n}" for n in range(230)), counter=">shadowed:v2 {}")
    assert await mailroom.store.llen(mailroom.key("shadowed:v2")) == 200
    found = await shadow.read(mailroom)
    assert found is not None
    assert len(found.events) == shadow.MOST_EVENTS
