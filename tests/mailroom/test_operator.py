"""What people do about dead letters and held boxes, one sentence at a time, on a real store."""

import json
from collections.abc import Awaitable, Callable
from dataclasses import replace

import pytest

from mailroom import INBOX, DeadLetterInfo, Lease, Mailroom, NewDelivery, RoomChange, RoomRequest, ledger, reroute
from mailroom.operator import Operator, Selection
from tests.mailroom.store import TODAY, Store, StoredKey, event
from tests.mailroom.test_client import contents, items, settlement, take

pytestmark = pytest.mark.anyio

BOX = "box"


@pytest.fixture
def people(mailroom: Mailroom) -> Operator:
    """The verbs."""
    return Operator(mailroom)


@pytest.fixture
async def drain(mailroom: Mailroom) -> str:
    """The name of a drain that lives."""
    await mailroom.beat("d1", register=True)
    return "d1"


def record(delivery: str, *, path: list[int] | None = None, action: str = "add_note") -> bytes:
    """Return a delivery's record as far as people look at it."""
    fields = {"id": delivery, "action": action, "rule": "keep a note", "path": [0] if path is None else path}
    return json.dumps(fields).encode()


async def route(
    room: Mailroom, drain: str, *, path: list[int] | None = None, dead: DeadLetterInfo | None = None
) -> None:
    """Route what waits in the inbox, each event to one delivery of one box at the CRM."""
    for lease in await take(room, drain):
        for n, (item, _) in enumerate(lease.items, 1):
            name = f"{item}.0"
            made = [[name, "crm", "add_note", "keep a note"]]
            line = {
                "t": "routed",
                "at": "",
                "source": "shop",
                "type": "booking.created",
                "received": f"{TODAY}T10:00:00.000Z",
                "book": "b1",
                "fired": ["keep a note"],
                "missed": [],
                "made": made,
            }
            new = [NewDelivery(name, "crm", () if dead else (BOX,), record(name, path=path), dead=dead)]
            await room.settle(
                drain, "s", [settlement(lease, item, line=json.dumps(line), new=new, last=n == len(lease.items))]
            )


async def put(room: Mailroom, *names: str) -> None:
    """Put events of one person; the name's order in the alphabet is the order of their reception."""
    await room.put([replace(event(x), received_at=f"{TODAY}T10:{ord(x) - 97:02}:00.000Z") for x in names])


async def end(room: Mailroom, drain: str, lease: Lease, item: str, then: str, **more: object) -> None:
    """Settle an item of the CRM's box as `then`."""
    event = item.split(".")[0]
    info = DeadLetterInfo("crm", event, "invalid", "", box=BOX, action="add_note", rule="keep a note", at=1)
    line = json.dumps({"t": "attempt", "d": item, "at": "", "then": then, "code": "invalid"})
    given = {"info": info if then in ("dead", "hold") else None, "line": line, **more}
    await room.settle(drain, "s", [settlement(lease, item, then, **given)])


async def die(room: Mailroom, drain: str, *names: str) -> None:
    """Put events of one person and let their deliveries die, one after the other."""
    await put(room, *names)
    await route(room, drain)
    for name in names:
        (lease,) = await take(room, drain, "crm", per_box=1)
        await end(room, drain, lease, f"{name}.0", "dead")


async def deliver(room: Mailroom, drain: str, retain: int = 0) -> list[str]:
    """Deliver what waits for the CRM; return it in its order. `retain`: ms that the payload is kept then."""
    sent: list[str] = []
    while leases := await take(room, drain, "crm"):
        for lease in leases:
            for n, (item, _) in enumerate(lease.items, 1):
                await end(room, drain, lease, item, "done", last=n == len(lease.items), retain=retain)
                sent.append(item)
    return sent


async def twice(store: Store, call: Callable[[], Awaitable[object]]) -> tuple[object, object]:
    """Make a call twice; the second time nothing changes."""
    first = await call()
    before = contents(await store.dump())
    second = await call()
    assert contents(await store.dump()) == before
    return first, second


def values(dump: dict[str, StoredKey], *names: str) -> list[object]:
    return [dump[name].value if name in dump else None for name in names]


async def state(room: Mailroom, name: str) -> tuple[str, list[tuple[str, str]]]:
    """Return the state of an event, and state and reason of its deliveries."""
    fate = await room.fate(name)
    assert fate is not None
    return fate.state, [(d.state, d.why) for d in fate.deliveries]


# -- as it was sent


async def test_retry(mailroom: Mailroom, people: Operator, store: Store, drain: str) -> None:
    """A dead letter that is retried is sent once more; then nothing is left of it."""
    await die(mailroom, drain, "a")
    assert await state(mailroom, "a") == ("dead", [("dead", "invalid")])
    assert await twice(store, lambda: people.retry("a.0")) == ("done", "gone")
    assert await state(mailroom, "a") == ("delivering", [("waiting", "retried by a person")])
    assert await deliver(mailroom, drain) == ["a.0"]
    assert await state(mailroom, "a") == ("delivered", [("delivered", "")])
    assert await mailroom.record("a") is None
    assert values(await store.dump(), "dead", "deadinfo", "deadbox", "passed", "refs", "d:a.0") == [None] * 6
    assert (await mailroom.counts())["by_hand|retry|crm"] == 1


async def test_retry_many_in_order(mailroom: Mailroom, people: Operator, drain: str) -> None:
    """Dead letters of one box are retried in the order of their events, also when some are sent meanwhile."""
    await die(mailroom, drain, "a", "b", "c")
    first, second, third = await people.dead(Selection())
    assert await people.retry(first.id) == "done"
    assert await deliver(mailroom, drain) == ["a.0"]
    assert [await people.retry(x.id) for x in (second, third)] == ["done", "done"]
    assert await deliver(mailroom, drain) == ["b.0", "c.0"]


async def test_overtaken_by_what_was_sent(mailroom: Mailroom, people: Operator, drain: str) -> None:
    """What is older than something that was sent to its object is not retried, unless a person insists."""
    await die(mailroom, drain, "a")
    await put(mailroom, "b")
    await route(mailroom, drain)
    assert await deliver(mailroom, drain) == ["b.0"]
    assert await people.retry("a.0") == "overtaken"
    assert await people.retry("a.0", even_if_older=True) == "done"
    assert await deliver(mailroom, drain) == ["a.0"]


async def test_overtaken_by_what_waits(mailroom: Mailroom, people: Operator, drain: str) -> None:
    """What is older than something that waits for its object is not retried, unless a person insists."""
    await die(mailroom, drain, "a", "b")
    await put(mailroom, "c")
    await route(mailroom, drain)
    assert await people.retry("a.0") == "overtaken"
    assert await people.retry("a.0", even_if_older=True) == "done"
    # The older one stands at the end now, and what it overtook still counts.
    assert await people.retry("b.0") == "overtaken"
    assert await deliver(mailroom, drain) == ["c.0", "a.0"]
    assert await people.retry("b.0") == "overtaken"


async def test_overtaken_by_what_stands_before_another(mailroom: Mailroom, people: Operator, drain: str) -> None:
    """What is newer overtakes also where something older was put behind it, as `next` and retries do."""
    await die(mailroom, drain, "a", "b")
    await put(mailroom, "c")
    await route(mailroom, drain)
    assert await people.retry("a.0", even_if_older=True) == "done"
    assert await people.retry("b.0") == "overtaken"
    assert await deliver(mailroom, drain) == ["c.0", "a.0"]


async def test_doubt_outlives_its_delivery(mailroom: Mailroom, people: Operator, store: Store, drain: str) -> None:
    """What takes the place of a letter that may have been sent may have been sent, too: the event's record says so."""
    await put(mailroom, "a")
    await route(mailroom, drain)
    (lease,) = await take(mailroom, drain, "crm")
    await end(mailroom, drain, lease, "a.0", "hold", doubt=1)
    assert await people.skip("crm", BOX, "a.0")
    assert await people.retry_today("a.0") == "done"
    head = json.loads((await mailroom.record("a") or b"").split(b"\n")[0])
    assert head["again"] == {"n": 1, "only": ["0 keep a note"], "doubt": ["0 keep a note"]}
    assert reroute.read(json.dumps(head, separators=(",", ":")).encode() + b"\n") == reroute.Reroute(
        1, {"keep a note": ((0,),)}, frozenset({"0 keep a note"})
    )


async def test_later_in_the_batch(mailroom: Mailroom, people: Operator, drain: str) -> None:
    """Of events that came in one batch the later one overtakes the earlier one, not the other way."""
    await mailroom.put([event("a"), replace(event("b"), position=1)])
    await route(mailroom, drain)
    (lease,) = await take(mailroom, drain, "crm")
    await end(mailroom, drain, lease, "a.0", "dead", last=False)
    await end(mailroom, drain, lease, "b.0", "dead")
    assert await people.retry("b.0") == "done"
    assert await people.retry("a.0") == "overtaken"
    assert await deliver(mailroom, drain) == ["b.0"]


async def test_a_later_one_died_too(mailroom: Mailroom, people: Operator, drain: str) -> None:
    """What died itself overtakes nobody: it was never sent."""
    await die(mailroom, drain, "a", "b")
    assert await people.retry("a.0") == "done"


async def test_a_later_one_died_in_doubt(mailroom: Mailroom, people: Operator, drain: str) -> None:
    """What died and may have been sent all the same overtakes what is older, skipped or refused."""
    await die(mailroom, drain, "a")
    await put(mailroom, "b", "c")
    await route(mailroom, drain)
    (lease,) = await take(mailroom, drain, "crm", per_box=1)
    await end(mailroom, drain, lease, "b.0", "hold", doubt=1)
    assert await people.skip("crm", BOX, "b.0")
    (lease,) = await take(mailroom, drain, "crm", per_box=1)
    await end(mailroom, drain, lease, "c.0", "dead")
    assert [await people.retry(x) for x in ("a.0", "b.0")] == ["overtaken", "done"]


async def test_dies_again(mailroom: Mailroom, people: Operator, store: Store, drain: str) -> None:
    """A retried letter may die again, and what was sent meanwhile is not forgotten."""
    await die(mailroom, drain, "a")
    await put(mailroom, "b")
    await route(mailroom, drain)
    await deliver(mailroom, drain)
    await people.retry("a.0", even_if_older=True)
    (lease,) = await take(mailroom, drain, "crm")
    await end(mailroom, drain, lease, "a.0", "dead")
    assert await people.retry("a.0") == "overtaken"
    assert await people.drop("a.0")
    assert values(await store.dump(), "deadbox", "passed", "e:a") == [None] * 3


async def test_doubt_is_not_coalesced_away(mailroom: Mailroom, people: Operator, drain: str) -> None:
    """A dead letter in doubt that waits again stays where a newer one coalesces: that would not be looked for first."""

    async def made(name: str) -> None:
        await put(mailroom, name)
        (lease,) = await take(mailroom, drain)
        new = [NewDelivery(f"{name}.0", "crm", (BOX,), record(f"{name}.0"), coalesce_key="k")]
        await mailroom.settle(drain, name, [settlement(lease, name, new=new)])

    await made("a")
    (lease,) = await take(mailroom, drain, "crm")
    await end(mailroom, drain, lease, "a.0", "hold", doubt=1)
    assert await people.skip("crm", BOX, "a.0")
    assert await people.retry("a.0") == "done"
    for name in ("b", "c"):
        await made(name)
    (lease,) = await take(mailroom, drain, "crm")
    assert items([lease]) == ["a.0", "c.0"]
    assert "doubtful" in json.loads(lease.items[0][1])


async def test_doubt_goes_along(mailroom: Mailroom, people: Operator, store: Store, drain: str) -> None:
    """What may have been sent before it died says so when it is retried; what was certainly refused does not."""
    await put(mailroom, "a", "b")
    await route(mailroom, drain)
    (lease,) = await take(mailroom, drain, "crm")
    await end(mailroom, drain, lease, "a.0", "wait", wait_ms=1, doubt=1)
    await store.advance(1)
    (lease,) = await take(mailroom, drain, "crm")
    await end(mailroom, drain, lease, "a.0", "dead", last=False)
    await end(mailroom, drain, lease, "b.0", "dead")
    assert [await people.retry(x) for x in ("a.0", "b.0")] == ["done", "done"]
    (lease,) = await take(mailroom, drain, "crm")
    assert [json.loads(text).get("doubtful", False) for _, text in lease.items] == [True, False]


async def test_later_actions_of_the_rule(mailroom: Mailroom, people: Operator, store: Store, drain: str) -> None:
    """A retry lets the later actions of its rule go again, which `in_order` had stopped."""
    await die(mailroom, drain, "a")
    mark = mailroom.key("order:a:crm")
    await mailroom.remember(mark, "1", 60)
    await people.retry("a.0")
    assert await mailroom.recall(mark) is None


async def test_never_made(mailroom: Mailroom, people: Operator, drain: str) -> None:
    """What its rule could not make cannot be sent as it was."""
    await put(mailroom, "a")
    await route(mailroom, drain, dead=DeadLetterInfo("crm", "a", "value_failed", ""), path=[])
    assert await people.retry("a.0") == "never_made"
    assert await people.retry("nothing") == "gone"


# -- by the rules of today


async def test_retry_today(mailroom: Mailroom, people: Operator, store: Store, drain: str) -> None:
    """The event goes back into its box of the inbox, and its record says what of it had failed."""
    await die(mailroom, drain, "a")
    assert await twice(store, lambda: people.retry_today("a.0")) == ("done", "gone")
    assert await state(mailroom, "a") == ("delivering", [("retried", "by today's rules")])
    dump = await store.dump()
    assert values(dump, "dead", "deadbox", "passed", "d:a.0", "refs") == [None] * 5
    (lease,) = await take(mailroom, drain)
    assert lease.box == mailroom.hash("email:eva@example.org")
    asked = reroute.read(lease.items[0][1])
    assert asked == reroute.Reroute(1, {"keep a note": ((0,),)})
    assert lease.items[0][1].endswith(b'\n{"email":"eva@example.org"}')
    await mailroom.settle(drain, "s", [settlement(lease, "a")])
    assert await mailroom.record("a") is None


async def test_retry_today_twice(mailroom: Mailroom, people: Operator, drain: str) -> None:
    """Two dead letters of one event are one event in the inbox, which is asked about both; a second round counts on."""
    await put(mailroom, "a")
    (lease,) = await take(mailroom, drain)
    new = [NewDelivery(f"a.{n}", "crm", (BOX,), record(f"a.{n}", path=[n])) for n in range(2)]
    await mailroom.settle(drain, "s", [settlement(lease, "a", new=new)])
    for n in range(2):
        (lease,) = await take(mailroom, drain, "crm", per_box=1)
        await end(mailroom, drain, lease, f"a.{n}", "dead")
    assert [await people.retry_today(f"a.{n}") for n in range(2)] == ["done", "done"]
    (lease,) = await take(mailroom, drain)
    assert items([lease]) == ["a"]
    assert reroute.read(lease.items[0][1]) == reroute.Reroute(1, {"keep a note": ((0,), (1,))})
    new = [NewDelivery("a.a1.0", "crm", (BOX,), record("a.a1.0"))]
    await mailroom.settle(drain, "s", [settlement(lease, "a", new=new)])
    (lease,) = await take(mailroom, drain, "crm")
    await end(mailroom, drain, lease, "a.a1.0", "dead")
    assert await people.retry_today("a.a1.0") == "done"
    (lease,) = await take(mailroom, drain)
    assert reroute.read(lease.items[0][1]) == reroute.Reroute(2, {"keep a note": ((0,),)})
    await mailroom.settle(drain, "s", [settlement(lease, "a")])
    assert await mailroom.record("a") is None


async def test_busy(mailroom: Mailroom, people: Operator, drain: str) -> None:
    """While a drain routes the event nothing can be added to what it was asked."""
    await put(mailroom, "a")
    (lease,) = await take(mailroom, drain)
    new = [NewDelivery(f"a.{n}", "crm", (BOX,), record(f"a.{n}", path=[n])) for n in range(2)]
    await mailroom.settle(drain, "s", [settlement(lease, "a", new=new)])
    for n in range(2):
        (lease,) = await take(mailroom, drain, "crm", per_box=1)
        await end(mailroom, drain, lease, f"a.{n}", "dead")
    await people.retry_today("a.0")
    await take(mailroom, drain)
    assert await people.retry_today("a.1") == "busy"


async def test_retry_today_is_overtaken(mailroom: Mailroom, people: Operator, drain: str) -> None:
    """A newer event that was sent to the same object, or that waits to be routed, comes first."""
    await die(mailroom, drain, "a")
    await put(mailroom, "b")
    assert await people.retry_today("a.0") == "overtaken"
    await route(mailroom, drain)
    await deliver(mailroom, drain)
    assert await people.retry_today("a.0") == "overtaken"
    assert await people.retry_today("a.0", even_if_older=True) == "done"


@pytest.mark.parametrize("wanted", [True, False])
async def test_a_rule_that_failed(mailroom: Mailroom, people: Operator, drain: str, wanted: bool) -> None:
    """An event whose rule failed is overtaken by a newer one of its person that led to something, by no other."""
    await put(mailroom, "a")
    await route(mailroom, drain, dead=DeadLetterInfo("crm", "a", "value_failed", ""), path=[])
    await put(mailroom, "b")
    if wanted:
        await route(mailroom, drain)
    else:
        (lease,) = await take(mailroom, drain)
        await mailroom.settle(drain, "s", [settlement(lease, "b")])
    assert await people.retry_today("a.0") == ("overtaken" if wanted else "done")


async def test_unreadable_event(mailroom: Mailroom, people: Operator, store: Store, drain: str) -> None:
    """An event that is a dead letter itself is routed once more as a whole."""
    await put(mailroom, "a")
    (lease,) = await take(mailroom, drain)
    code, why = "unreadable_event", "it cannot be read"
    line = ledger.failed(source="shop", type="x", received=ledger.now(), book="b1", code=code, why=why)
    info = DeadLetterInfo("in", "a", "unreadable_event", "", box=lease.box)
    await mailroom.settle(drain, "s", [settlement(lease, "a", "dead", info=info, line=line)])
    assert await people.retry("a") == "never_made"
    assert (await state(mailroom, "a"))[0] == "dead"
    assert await twice(store, lambda: people.retry_today("a")) == ("done", "gone")
    assert (await state(mailroom, "a"))[0] == "waiting"
    (lease,) = await take(mailroom, drain)
    assert reroute.read(lease.items[0][1]) is None
    await mailroom.settle(drain, "s", [settlement(lease, "a")])
    assert values(await store.dump(), "e:a", "deadbox", "passed") == [None] * 3


async def test_what_follows_another(mailroom: Mailroom, people: Operator, drain: str) -> None:
    """What came of `next:` needs the answer it followed, so the event alone does not bring it about."""
    await put(mailroom, "a")
    await route(mailroom, drain, path=[0, 1])
    (lease,) = await take(mailroom, drain, "crm")
    await end(mailroom, drain, lease, "a.0", "dead")
    assert await people.retry_today("a.0") == "follows_another"
    assert await people.retry("a.0") == "done"


async def test_once_is_left_to_the_retry(mailroom: Mailroom, people: Operator, drain: str) -> None:
    """`only_once` does not stop the delivery that takes the place of the one that died; it stops everybody else's."""
    await put(mailroom, "a", "b")
    for lease in await take(mailroom, drain, per_box=1):
        new = [NewDelivery("a.0", "crm", (BOX,), record("a.0"), once_key="k", once_ms=10_000)]
        await mailroom.settle(drain, "s", [settlement(lease, "a", new=new)])
    (lease,) = await take(mailroom, drain, "crm")
    await end(mailroom, drain, lease, "a.0", "dead")
    (lease,) = await take(mailroom, drain)
    new = [NewDelivery("b.0", "crm", (BOX,), record("b.0"), once_key="k", once_ms=10_000)]
    assert (await mailroom.settle(drain, "s", [settlement(lease, "b", new=new)])).once == {"b.0"}
    await people.retry_today("a.0")
    (lease,) = await take(mailroom, drain)
    new = [NewDelivery("a.a1.0", "crm", (BOX,), record("a.a1.0"), once_key="k", once_ms=10_000)]
    assert (await mailroom.settle(drain, "s", [settlement(lease, "a", new=new)])).once == set()


# -- given up


async def test_drop(mailroom: Mailroom, people: Operator, store: Store, drain: str) -> None:
    """A dropped letter and its payload are gone, and the story says who did it."""
    await die(mailroom, drain, "a", "b")
    assert await twice(store, lambda: people.drop("a.0")) == (True, False)
    assert await mailroom.record("a") is None
    assert await mailroom.record("b") is not None
    assert await state(mailroom, "a") == ("skipped", [("skipped", "by a person")])
    assert [letter.id for letter in await people.dead(Selection())] == ["b.0"]


async def test_undrop(mailroom: Mailroom, people: Operator, store: Store, drain: str) -> None:
    """For ten minutes a dropped letter can be had back as it was, and what overtook it meanwhile is known."""
    await die(mailroom, drain, "a", "b", "c")
    before = contents(await store.dump())
    for letter in ("a.0", "b.0", "c.0"):
        assert await twice(store, lambda letter=letter: people.drop(letter, undoable=True)) == (True, False)  # type: ignore[misc]
    assert await people.dead(Selection()) == []
    assert [one.id for one in await people.dead(Selection(), dropped=True)] == ["a.0", "b.0", "c.0"]
    assert await people.retry("a.0") == "gone"
    assert await twice(store, lambda: people.undrop("a.0")) == (True, False)
    assert await state(mailroom, "a") == ("dead", [("dead", "invalid")])
    assert before["deadbox"] == contents(await store.dump())["deadbox"]
    await put(mailroom, "d")
    await route(mailroom, drain)
    assert await deliver(mailroom, drain) == ["d.0"]
    assert await people.undrop("b.0")
    assert [await people.retry(letter) for letter in ("a.0", "b.0")] == ["overtaken", "overtaken"]
    await store.advance(600_001)
    assert await mailroom.expire() == 1
    assert not await people.undrop("c.0")
    assert values(await store.dump(), "dropped", "d:c.0", "e:c") == [None] * 3
    assert (await store.dump())["deadinfo"].value.keys() == {"a.0", "b.0"}


async def test_dry(mailroom: Mailroom, people: Operator, store: Store, drain: str) -> None:
    """What would become of a retry is said in the words of the retry, and nothing happens."""
    await die(mailroom, drain, "a", "b")
    before = contents(await store.dump())
    for act in (people.retry, people.retry_today):
        assert [await act(letter, dry=True) for letter in ("a.0", "x.0")] == ["done", "gone"]
    assert contents(await store.dump()) == before
    await put(mailroom, "c")
    await route(mailroom, drain)
    await deliver(mailroom, drain)
    assert await people.retry("a.0", dry=True) == await people.retry("a.0") == "overtaken"
    assert await people.retry("a.0", even_if_older=True, dry=True) == "done"


async def send_off(room: Mailroom, drain: str, *names: str) -> None:
    """Put events of one person and route them: their deliveries wait in her box."""
    await put(room, *names)
    for lease in await take(room, drain):
        for n, (item, _) in enumerate(lease.items, 1):
            text = json.dumps({"action": "add_note", "rule": "keep a note", "path": [0], "box": BOX})
            new = [NewDelivery(f"{item}.0", "crm", (BOX,), text.encode())]
            line = ledger.routed(
                source="shop", type="booking.created", received=f"{TODAY}T10:00:00.000Z", book="b1", fired=["a rule"],
                made=[(f"{item}.0", "crm", "add_note", "a rule")],
            )  # fmt: skip
            await room.settle(drain, "s", [settlement(lease, item, line=line, new=new, last=n == len(lease.items))])


async def test_cancel(mailroom: Mailroom, people: Operator, store: Store, drain: str) -> None:
    """A delivery that waits is given up unsent, wherever it stands; one that a drain has is not."""
    await send_off(mailroom, drain, "a", "b", "c", "d")
    assert await people.cancel("crm", "b.0", dry=True) == "done"
    assert await twice(store, lambda: people.cancel("crm", "b.0")) == ("done", "gone")
    assert await people.cancel("crm", "b.0", dry=True) == "gone"
    assert await state(mailroom, "b") == ("skipped", [("skipped", "by a person")])
    assert await mailroom.record("b") is None
    assert await people.cancel("crm", "a.0") == "done"
    (lease,) = await take(mailroom, drain, "crm", per_box=1)
    assert [item for item, _ in lease.items] == ["c.0"]
    assert await people.cancel("crm", "c.0", dry=True) == "under_way"
    assert await people.cancel("crm", "c.0") == "under_way"
    assert await people.cancel("crm", "d.0", dry=True) == "done", "the drain does not hold what stands behind"
    await end(mailroom, drain, lease, "c.0", "wait", wait_ms=60_000, attempt=1)
    assert await people.cancel("crm", "c.0") == "done"
    assert await deliver(mailroom, drain) == ["d.0"]
    assert await mailroom.box_faults() == []
    await send_off(mailroom, drain, "e")
    assert await people.cancel("crm", "e.0") == "done"
    assert await deliver(mailroom, drain) == []


async def test_replay(mailroom: Mailroom, people: Operator, store: Store, drain: str) -> None:
    """An event that has ended is routed once more while its payload is kept; one that has not is left alone."""
    await mailroom.put([replace(event("a", retain=60_000), received_at=f"{TODAY}T10:00:00.000Z")])
    await route(mailroom, drain)
    assert await people.replay("a", ["keep a note"]) == "unsettled"
    assert await deliver(mailroom, drain, retain=60_000) == ["a.0"]
    assert await people.replay("a", ["keep a note"], dry=True) == "done"
    assert await twice(store, lambda: people.replay("a", ["keep a note", "a: b"])) == ("done", "unsettled")
    assert (await state(mailroom, "a"))[0] == "delivering"
    again = reroute.read(await mailroom.record("a") or b"")
    assert again is not None
    assert (again.round, dict(again.only)) == (1, {"keep a note": ((),), "a: b": ((),)})
    await route(mailroom, drain)
    assert await deliver(mailroom, drain, retain=60_000) == ["a.0"]
    await put(mailroom, "b")
    await route(mailroom, drain)
    assert await deliver(mailroom, drain) == ["b.0"]
    assert await people.replay("b", []) == "erased"
    await store.advance(60_001)
    assert await people.replay("a", []) == "erased"


async def test_expired(mailroom: Mailroom, store: Store, drain: str) -> None:
    """A letter that is too old leaves nothing behind that knew its box."""
    await die(mailroom, drain, "a")
    await store.advance(10)
    await mailroom.expire(10)
    assert values(await store.dump(), "dead", "deadinfo", "deadbox", "passed", "e:a") == [None] * 5


async def test_chosen(mailroom: Mailroom, people: Operator, store: Store, drain: str) -> None:
    """Dead letters are found by each of their marks, in the order of their events."""
    await die(mailroom, drain, "a")
    await store.advance(1000)
    await die(mailroom, drain, "b", "c")

    async def found(**chosen: object) -> list[str]:
        return [letter.id for letter in await people.dead(Selection(**chosen))]  # type: ignore[arg-type]

    everything = ["a.0", "b.0", "c.0"]
    given = {"destination": "crm", "action": "add_note", "rule": "keep a note", "code": "invalid", "source": "shop"}
    assert await found() == await found(**given) == everything
    for name in given:
        assert await found(**{name: "another"}) == []
    assert await found(event="b") == ["b.0"]
    assert await found(since=await store.now()) == ["b.0", "c.0"]
    letter = await people.letter("c.0")
    assert letter is not None
    assert (letter.event, letter.type, letter.received) == ("c", "booking.created", f"{TODAY}T10:02:00.000Z")
    assert await people.letter("z.0") is None


# -- held boxes


async def hold(room: Mailroom, drain: str, *names: str, doubt: int = 1) -> None:
    """Put events of one person, and hold the box of their deliveries at the first."""
    await put(room, *names)
    await route(room, drain)
    (lease,) = await take(room, drain, "crm")
    await end(room, drain, lease, f"{names[0]}.0", "hold", doubt=doubt, attempt=1)


async def test_held(mailroom: Mailroom, people: Operator, drain: str) -> None:
    """A held box is listed with its reason and what waits in it."""
    await hold(mailroom, drain, "a", "b")
    (held,) = await people.held(Selection())
    assert (held.destination, held.box, held.code, held.at) == ("crm", BOX, "invalid", 1)
    assert (held.item, held.rule, held.source, held.waiting, held.items) == (
        "a.0",
        "keep a note",
        "shop",
        2,
        ("a.0", "b.0"),
    )
    assert await people.box("crm", BOX) == held
    assert await people.held(Selection(destination="other")) == []
    assert await people.box("crm", "another") is None


@pytest.mark.parametrize(("not_sent", "doubtful"), [(False, [True, True]), (True, [False, True])])
async def test_release(
    mailroom: Mailroom, people: Operator, store: Store, drain: str, not_sent: bool, doubtful: list[bool]
) -> None:
    """A released box goes on in order; who knows that the first item was not sent ends the doubt about it alone."""
    await hold(mailroom, drain, "a", "b", doubt=2)
    assert await twice(store, lambda: people.release("crm", BOX, not_sent=not_sent)) == (True, False)
    assert await state(mailroom, "a") == ("delivering", [("waiting", "released by a person")])
    (lease,) = await take(mailroom, drain, "crm")
    assert items([lease]) == ["a.0", "b.0"]
    told = [n < lease.doubt or "doubtful" in json.loads(text) for n, (_, text) in enumerate(lease.items)]
    assert told == doubtful


async def test_release_of_a_doubtful_letter(mailroom: Mailroom, people: Operator, drain: str) -> None:
    """A letter that was retried in doubt and held again is sent once a person knows that it did not arrive."""
    await hold(mailroom, drain, "a")
    await people.skip("crm", BOX, "a.0")
    await people.retry("a.0")
    (lease,) = await take(mailroom, drain, "crm")
    assert "doubtful" in json.loads(lease.items[0][1])
    await end(mailroom, drain, lease, "a.0", "hold", doubt=1)
    await people.release("crm", BOX, not_sent=True)
    (lease,) = await take(mailroom, drain, "crm")
    assert (lease.doubt, "doubtful" in json.loads(lease.items[0][1])) == (0, False)


async def test_skip(mailroom: Mailroom, people: Operator, store: Store, drain: str) -> None:
    """The first item of a held box becomes a dead letter in doubt, and the rest goes on without its doubt."""
    await hold(mailroom, drain, "a", "b")
    assert await people.skip("crm", BOX, "b.0") is False
    assert await twice(store, lambda: people.skip("crm", BOX, "a.0")) == (True, False)
    assert await state(mailroom, "a") == ("dead", [("dead", "invalid, skipped by a person")])
    (letter,) = await people.dead(Selection())
    assert (letter.id, letter.destination, letter.rule, letter.code) == ("a.0", "crm", "keep a note", "invalid")
    (lease,) = await take(mailroom, drain, "crm")
    assert (items([lease]), lease.doubt) == (["b.0"], 0)
    await end(mailroom, drain, lease, "b.0", "done")
    assert await people.retry("a.0") == "overtaken"


async def test_skip_and_drop(mailroom: Mailroom, people: Operator, store: Store, drain: str) -> None:
    """A dropped item leaves nothing behind, nor does its box when it was the last."""
    await hold(mailroom, drain, "a")
    assert await twice(store, lambda: people.skip("crm", BOX, "a.0", drop=True)) == (True, False)
    assert await state(mailroom, "a") == ("skipped", [("skipped", "by a person")])
    dump = await store.dump()
    assert values(dump, "e:a", "d:a.0", f"b:crm:{BOX}", "held:crm", "ready:crm", "dead") == [None] * 6


async def test_skip_poison(mailroom: Mailroom, people: Operator) -> None:
    """An event that killed three drains shows as held in its story, and can be skipped and retried."""
    await put(mailroom, "a", "b")
    for n in range(3):
        await mailroom.beat(f"k{n}", register=True)
        assert await (take(mailroom, f"k{n}") if n == 0 else suspects(mailroom, f"k{n}"))
        await mailroom.bury([f"k{n}"])
    fate = await mailroom.fate("a")
    assert fate is not None
    assert (fate.state, fate.why) == ("waiting", "poison")
    (held,) = await people.held(Selection())
    assert (held.destination, held.code, held.item, held.event, held.source) == (INBOX, "poison", "a", "a", "shop")
    assert await people.skip(INBOX, held.box, "a")
    assert (await state(mailroom, "a"))[0] == "dead"
    await mailroom.beat("d1", register=True)
    (lease,) = await take(mailroom, "d1")
    assert items([lease]) == ["b"]
    await mailroom.settle("d1", "s", [settlement(lease, "b")])
    assert await people.retry_today("a") == "done"


async def suspects(room: Mailroom, drain: str) -> list[Lease]:
    """Take what is under suspicion."""
    return (await room.take(drain, f"r-{drain}", [RoomRequest(INBOX, 9, 9)], suspects=9)).leases


# -- rooms


async def test_pause(mailroom: Mailroom, people: Operator, store: Store, drain: str) -> None:
    """What a person paused, with a reason and the time, only a person resumes."""
    await put(mailroom, "a")
    await route(mailroom, drain)
    assert await people.pause("crm", "migration until noon")
    assert not await people.pause("crm", "still")
    assert not await mailroom.probe("crm")
    (room,) = [room for room in await mailroom.rooms() if room.name == "crm"]
    assert json.loads(room.paused) | {"at": 0} == {
        "code": "by_hand",
        "why": "still",
        "who": "",
        "at": 0,
        "by": "person",
    }
    assert await take(mailroom, drain, "crm") == []
    assert await people.resume("crm")
    assert not await people.resume("crm")
    assert await deliver(mailroom, drain) == ["a.0"]


async def test_a_pause_ends_by_itself(mailroom: Mailroom, people: Operator, store: Store, drain: str) -> None:
    """A pause with an end says so, wakes a drain in time, and is over then, whether anybody takes or only looks."""
    await put(mailroom, "a", "b")
    await route(mailroom, drain)
    now = await store.now()
    assert await people.pause("crm", "year end", now + 60_000)
    assert not await people.pause("crm", "sooner", now + 5_000)
    taken = await mailroom.take(drain, "r1", [RoomRequest("crm", 9, 1)])
    assert (taken.leases, taken.wait) == ([], 5_000)
    await store.advance(5_001)
    assert sorted(await deliver(mailroom, drain)) == ["a.0", "b.0"]
    assert not await people.resume("crm")
    assert await people.pause("crm", "once more", 1)
    (room,) = [room for room in await mailroom.rooms() if room.name == "crm"]
    assert room.paused == ""
    assert await people.pause("crm", "that one was over")


async def test_a_person_pauses_what_is_paused(mailroom: Mailroom, people: Operator, drain: str) -> None:
    """A pause for a refused key becomes a person's, and then outlives a new key."""
    await put(mailroom, "a")
    await route(mailroom, drain)
    (lease,) = await take(mailroom, drain, "crm")
    refused = settlement(lease, "a.0", "wait", says="refused:unauthorised")
    assert (await mailroom.settle(drain, "s", [refused])).room_changes == [RoomChange("key", "crm", "unauthorised")]
    assert await people.pause("crm", "the vendor is looking at it")
    assert not await mailroom.probe("crm")
    assert await take(mailroom, drain, "crm") == []


async def test_ages(mailroom: Mailroom, store: Store, drain: str) -> None:
    """How long boxes are held and letters dead is known."""
    await hold(mailroom, drain, "a")
    real = await store.raw.time()
    (crm,) = [room for room in await mailroom.rooms() if room.name == "crm"]
    assert crm.held_for == pytest.approx(real[0] * 1000, abs=60_000)
    assert await mailroom.dead_for() == 0


async def test_knows(mailroom: Mailroom, people: Operator) -> None:
    """A room is known when the book set its limits or something waited in it."""
    assert not await people.knows("crm")
    await mailroom.configure("crm", concurrency=2)
    assert await people.knows("crm")
    assert await people.knows(INBOX)
