import pytest

from mailroom import Mailroom, cases
from mailroom.cases import FailureCause
from mailroom.ledger import Decision
from tests.mailroom.store import Store, key_faults

pytestmark = pytest.mark.anyio

CONTACTS = FailureCause("crm", "invalid", "contacts")
NOTES = FailureCause("crm", "invalid", "notes")
EVA = Decision("eva", "the vendor mends it")


async def states(mailroom: Mailroom) -> list[tuple[str, str, int]]:
    return sorted((case.cause.rule, case.state, case.count) for case in await cases.read(mailroom))


async def test_life(mailroom: Mailroom, store: Store) -> None:
    """A case is news when it is new and when it comes back, and nothing in between."""
    assert [case.state for case in await cases.note(mailroom, {CONTACTS: 3, NOTES: 1}, 1000)] == ["new", "new"]
    assert await cases.note(mailroom, {CONTACTS: 2}, 2000) == []
    assert await cases.change(mailroom, CONTACTS, "known", EVA, 3000)
    assert await cases.note(mailroom, {CONTACTS: 1}, 4000) == []
    assert await states(mailroom) == [("contacts", "known", 6), ("notes", "new", 1)]
    assert await cases.change(mailroom, CONTACTS, "solved", EVA, 5000)
    [back] = await cases.note(mailroom, {CONTACTS: 1, NOTES: 1}, 6000)
    assert (back.cause, back.state, back.since, back.first, back.last, back.count) == (
        *(CONTACTS, "came_back"),
        *(6000, 1000, 6000, 7),
    )
    assert await cases.note(mailroom, {CONTACTS: 1}, 7000) == []
    assert [case.cause.rule for case in await cases.read(mailroom)] == ["contacts", "notes"]
    assert not await cases.change(mailroom, FailureCause("crm", "invalid", "none"), "known", EVA, 1)
    assert key_faults(await store.dump()) == []


async def test_mute(mailroom: Mailroom) -> None:
    """A muted case says nothing until its time is over; without one it never does."""
    await cases.note(mailroom, {CONTACTS: 1, NOTES: 1}, 1000)
    await cases.change(mailroom, CONTACTS, "muted", EVA, 2000, 9000)
    await cases.change(mailroom, NOTES, "muted", EVA, 2000)
    assert await cases.note(mailroom, {CONTACTS: 1, NOTES: 1}, 8999) == []
    assert [case.cause for case in await cases.note(mailroom, {CONTACTS: 1, NOTES: 1}, 9000)] == [CONTACTS]
    [muted] = [case for case in await cases.read(mailroom) if case.state == "muted"]
    assert (muted.by, muted.why, muted.until) == ("eva", "the vendor mends it", 0)


async def test_of_alerts(mailroom: Mailroom) -> None:
    """A test is answered by one worker, and the answer is there for whoever asked."""
    assert await cases.take_test(mailroom) == ""
    await cases.ask_for_test(mailroom, "t1")
    assert [await cases.take_test(mailroom), await cases.take_test(mailroom)] == ["t1", ""]
    assert await cases.read_test(mailroom, "t1") == ""
    await cases.answer_test(mailroom, "t1", "told")
    assert await cases.read_test(mailroom, "t1") == "told"
