"""What destinations with one key may send: a quota by pages of time, with a reserve, and what vendors say of it."""

import dataclasses

import pytest

from mailroom import INBOX, Lease, Mailroom, NewDelivery, Pace, QuotaState, RoomRequest, Settlement
from mailroom.quotas import FIELDS, read_quota
from rules.quota import Quota
from tests.mailroom.store import DAY, START, Store, event

pytestmark = pytest.mark.anyio

HOUR = 3_600_000
MIDNIGHT = START + HOUR


async def make(mailroom: Mailroom, room: str, n: int, *, urgent: int = 0, lease: bool = False) -> list[str]:
    """Make deliveries of one event, the last ones urgent; return those that were leased in the same step."""
    name = f"{room}{len(await mailroom.rooms())}{n}{urgent}{await mailroom.memory_used()}".replace(".", "")
    await mailroom.put([event(name)])
    (held,) = (await mailroom.take("d1", f"t{name}", [RoomRequest(INBOX, 1)])).leases
    new = [
        NewDelivery(f"{name}.{k}", room, (f"b{name}{k}",), b"{}", lease=lease, source="shop", urgent=k >= n - urgent)
        for k in range(n)
    ]
    done = Settlement(held, name, "done", name, "2026-11-21", new=new)
    return sorted((await mailroom.settle("d1", f"s{name}", [done])).leased)


async def take(mailroom: Mailroom, request: str, *rooms: str, boxes: int = 50) -> list[Lease]:
    """Lease what may be sent."""
    return (await mailroom.take("d1", request, [RoomRequest(room, boxes) for room in rooms])).leases


async def state(mailroom: Mailroom) -> QuotaState:
    """Return what is left of the one key."""
    (found,) = await mailroom.quotas()
    return found


async def test_two_rooms_share_a_key(mailroom: Mailroom) -> None:
    """Two destinations with one key lease no more together than its quota has; the others wait for the next page."""
    await mailroom.beat("d1", register=True)
    await mailroom.set_quota("key", "KEY", ["crm", "mail"], quota=Quota(limit="5/day"))
    await make(mailroom, "crm", 4)
    await make(mailroom, "mail", 4)
    assert len(await take(mailroom, "t1", "crm", "mail")) == 5
    taken = await mailroom.take("d1", "t2", [RoomRequest("crm", 9), RoomRequest("mail", 9)])
    assert (taken.leases, taken.wait) == ([], HOUR)
    assert [(s.name, s.used, s.left, s.used_up, s.rooms) for s in await mailroom.quotas()] == [
        ("KEY", 5, 0, True, ("crm", "mail"))
    ]
    assert [room.quota.ends for room in await mailroom.rooms() if room.quota] == [MIDNIGHT] * 2


async def test_a_source_shares_it(mailroom: Mailroom) -> None:
    """What is pulled with the key of a destination is counted with it, on the page that the destination says."""
    await mailroom.set_quota("key", "KEY", ["crm"], quota=Quota(limit="5/day", zone="Asia/Tokyo"))
    assert (await mailroom.spend("key", Quota(limit="9/day"), count=3)).used == 3
    assert (await state(mailroom)).left == 2
    await mailroom.set_quota("key", "KEY", ["crm"], quota=Quota(limit="5/day", zone="Asia/Tokyo"))
    assert await mailroom.pace("crm", 1) == Pace()
    assert (await mailroom.spend("key", Quota(limit="9/day"))).used == 5
    assert (await mailroom.pace("crm", 1)).used_up


async def test_a_rate_beside_a_pulled_source(mailroom: Mailroom) -> None:
    """A rate that two destinations share leaves the count of a source with their key alone, and is not bound by it."""
    await mailroom.spend("key", Quota(limit="2/day"), name="KEY", count=2)
    await mailroom.set_quota("key", "KEY", ["crm", "mail"], every=100)
    assert not (await mailroom.spend("key", Quota(limit="2/day"), name="KEY")).granted
    assert [await mailroom.pace(room) for room in ("crm", "mail", "crm")] == [Pace(), Pace(0.1), Pace(0.2)]
    assert [room.quota for room in await mailroom.rooms()] == [None] * len(await mailroom.rooms())


async def test_reserve(mailroom: Mailroom) -> None:
    """What is kept for urgent actions is used by nothing else, neither by a lease nor by one in the same step."""
    await mailroom.beat("d1", register=True)
    await mailroom.set_quota("key", "KEY", ["crm"], quota=Quota(limit="6/day", reserve=4))
    await make(mailroom, "crm", 5, urgent=1)
    leases = await take(mailroom, "t1", "crm")
    assert [lease.items[0][0].rpartition(".")[2] for lease in leases] == ["4", "0"]
    assert (await state(mailroom)).used_up
    assert await make(mailroom, "mail", 1, lease=True)
    assert not await make(mailroom, "crm", 2, lease=True)
    assert len(await make(mailroom, "crm", 1, urgent=1, lease=True)) == 1
    assert await mailroom.pace("crm", 1, usual=True) == Pace(rest=HOUR / 1000, used_up=True)
    assert [await mailroom.pace("crm") for _ in range(4)] == [Pace()] * 3 + [Pace(rest=HOUR / 1000, used_up=True)]


async def test_next_page(mailroom: Mailroom, store: Store) -> None:
    """The page ends at midnight where the vendor's day does; the next one is known, the one behind it is not."""
    await mailroom.beat("d1", register=True)
    quota = Quota(limit="2/day", zone="Europe/Berlin")
    await mailroom.set_quota("key", "KEY", ["crm"], quota=quota)
    await make(mailroom, "crm", 9)
    assert len(await take(mailroom, "t1", "crm")) == 2
    ends = (await state(mailroom)).ends
    assert ends == quota.page(START)[1] != MIDNIGHT
    await store.advance(ends - START - 1)
    assert not await take(mailroom, "t2", "crm")
    await store.advance(1)
    assert (await state(mailroom)).left == 2
    assert len(await take(mailroom, "t3", "crm")) == 2
    assert ((await state(mailroom)).used, (await state(mailroom)).ends) == (2, quota.page(ends)[1])
    await store.advance(DAY)
    assert not await take(mailroom, "t4", "crm")
    assert await mailroom.pace("crm") == Pace(rest=DAY / 1000, used_up=True)
    assert (await state(mailroom)).ends == 0
    await mailroom.set_quota("key", "KEY", ["crm"], quota=quota)
    assert len(await take(mailroom, "t5", "crm")) == 2


async def test_clock_set_back(mailroom: Mailroom, store: Store) -> None:
    """Before its page begins nothing is sent, until somebody says which page it is."""
    await mailroom.set_quota("key", "KEY", ["crm"], quota=Quota(limit="2/day"))
    await store.raw.decrby("test:{p0}:clock", DAY)
    assert (await mailroom.pace("crm")).used_up
    await mailroom.set_quota("key", "KEY", ["crm"], quota=Quota(limit="2/day"))
    assert await mailroom.pace("crm") == Pace()


async def test_nothing_is_known(mailroom: Mailroom, store: Store) -> None:
    """A room whose key nobody says anything of sends nothing; without a key it sends as ever."""
    await mailroom.beat("d1", register=True)
    await mailroom.set_quota("key", "KEY", ["crm"], quota=Quota(limit="9/day"))
    await make(mailroom, "crm", 2)
    await store.raw.delete(mailroom.key(f"quota:{mailroom.hash('quota:key')}"))
    assert not await take(mailroom, "t1", "crm")
    (room,) = [room for room in await mailroom.rooms() if room.name == "crm"]
    assert room.quota == QuotaState("", 0, 0, 0, 0)
    assert await mailroom.quotas() == []
    await mailroom.configure("crm", metered=False)
    assert len(await take(mailroom, "t2", "crm")) == 2


async def test_another_page_keeps_what_was_used(mailroom: Mailroom) -> None:
    """A day that begins elsewhere goes on with its count; a month instead of a day begins anew."""
    await mailroom.set_quota("key", "KEY", ["crm"], quota=Quota(limit="9/day"))
    await mailroom.pace("crm")
    await mailroom.set_quota("key", "KEY", ["crm"], quota=Quota(limit="9/day", zone="Asia/Tokyo"))
    assert (await state(mailroom)).used == 1
    await mailroom.set_quota("key", "KEY", ["crm"], quota=Quota(limit="90/month"))
    assert (await state(mailroom)).used == 0
    await mailroom.set_quota("key", "KEY", ["crm"], every=10)
    assert await mailroom.quotas() == []


async def test_what_a_drain_learns(mailroom: Mailroom, store: Store) -> None:
    """A lease without a request is given back; never more is left than the vendor says, and as much once it says so."""
    await mailroom.beat("d1", register=True)
    await mailroom.set_quota("key", "KEY", ["crm"], quota=Quota(limit="10/day"))
    assert [await mailroom.pace("crm") for _ in range(3)] == [Pace()] * 3
    await mailroom.beat("d1", learned=[("crm", 1, None)])
    assert (await state(mailroom)).left == 8
    await mailroom.beat("d1", learned=[("crm", 0, 4), ("other", 1, 1)])
    assert (await state(mailroom)).left == 4
    await mailroom.pace("crm")
    assert (await state(mailroom)).left == 3
    await mailroom.beat("d1", learned=[("crm", 0, 9)])
    assert (await state(mailroom)).left == 7
    await store.advance(HOUR)
    await mailroom.beat("d1", learned=[("crm", 0, 1)])
    assert (await state(mailroom)).left == 10  # that was said of the day before
    await store.advance(300_000)
    await mailroom.beat("d1", learned=[("crm", 9, 1)])
    assert (await state(mailroom)).left == 1


async def test_forecast(mailroom: Mailroom, store: Store) -> None:
    """At the pace since a while ago: when all but the reserve is gone, if that is before the page ends."""
    await mailroom.set_quota("key", "KEY", ["crm"], quota=Quota(limit="100/day", reserve=10))
    await mailroom.pace("crm")
    await store.advance(300_000)
    for _ in range(29):
        await mailroom.pace("crm")
    assert (await state(mailroom)).gone_at == 0  # too early to tell
    await store.advance(300_000)
    # 30 in ten minutes: the 60 that are left without the reserve last for twenty more.
    assert (await state(mailroom)).gone_at == START + 1_800_000
    await mailroom.set_quota("key", "KEY", ["crm"], quota=Quota(limit="1000/day", reserve=10))
    assert (await state(mailroom)).gone_at == 0  # midnight comes first


async def test_a_key_that_was_replaced(mailroom: Mailroom) -> None:
    """Of two keys by the same name only the one that is used is shown; one that only a source uses is, too."""
    quota = Quota(limit="5/day")
    await mailroom.set_quota("old", "KEY", ["crm"], quota=quota)
    await mailroom.pace("crm")
    await mailroom.set_quota("new", "KEY", ["crm"], quota=quota)
    await mailroom.spend("other", quota, name="PULL", count=2)
    assert [(found.name, found.used, found.rooms) for found in await mailroom.quotas()] == [
        ("KEY", 0, ("crm",)),
        ("PULL", 2, ()),
    ]


async def test_rest_is_shared(mailroom: Mailroom) -> None:
    """A destination that asks to be left alone closes all that use its key; a person who resumes one opens them."""
    await mailroom.set_quota("key", "KEY", ["crm", "mail"], every=10)
    await mailroom.configure("crm")
    assert await mailroom.rest("crm", 5)
    assert await mailroom.pace("mail") == Pace(rest=5)
    assert await mailroom.resume("mail")
    assert await mailroom.pace("mail") == Pace()
    assert await mailroom.pace("crm") == Pace(rest=5)  # as it was asked itself


def test_read_quota() -> None:
    """A page that has ended is the next one, of which nothing is used; an unknown one has no end."""
    values: dict[str, str] = {"name": "KEY", "own": "1", "limit": "10", "begins": "100", "ends": "200", "used": "3"}
    values["rooms"] = "crm mail"

    def read(now: int, **more: str) -> QuotaState | None:
        told = values | more
        return read_quota([told[name].encode() if name in told else None for name in FIELDS], now)[0]

    told = QuotaState("KEY", 3, 10, 0, 200, ("crm", "mail"))
    assert read(150) == told
    assert read(150, told="2") == dataclasses.replace(told, used=5)
    assert read(250) == QuotaState("KEY", 0, 10, 0, 0, ("crm", "mail"))
    assert read(250, after="300") == QuotaState("KEY", 0, 10, 0, 300, ("crm", "mail"))
    assert read(99) == QuotaState("KEY", 0, 10, 0, 0, ("crm", "mail"))
    assert read_quota([None] * len(FIELDS), 1) == (QuotaState("", 0, 0, 0, 0), 0)
