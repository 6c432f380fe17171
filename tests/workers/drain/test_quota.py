"""Deliveries within the quota of a key: what is spent, what is given back, and what the vendor says of it."""

import pytest

from mailroom import QuotaState
from rules.quota import Quota
from tests.workers.worker_fixture import LATE_NOTE, NOTE, UPSERT, WorkerFixture, event

pytestmark = pytest.mark.anyio

#: The same key at three destinations.
KEY = "auth: {bearer: '${DESK_KEY}'}"


def quota(said: str) -> str:
    """Return what a destination says: the key, and its quota."""
    return f"{KEY}\n    quota: {said}"


async def state(site: WorkerFixture) -> QuotaState:
    """Return what is left of the one key."""
    (found,) = await site.mailroom.quotas()
    return found


async def test_each_request_is_spent(site: WorkerFixture) -> None:
    """A delivery spends the requests that it makes: a search and a write. Two destinations with one key share it."""
    site.write(
        UPSERT + UPSERT.replace("keep the contact", "keep it elsewhere").replace("crm.", "other."),
        more=quota("{limit: 100/day, reserve: 10}"),
        other=KEY,
    )
    async with site.work():
        await site.put(event("e1"), event("e2", "max"))
        await site.ended("e1", "e2")
        found = await state(site)
    sent = len(site.far.requests(path="/contacts*")) + len(site.far.requests(path="/others*"))
    assert sent == 8
    assert (found.name, found.used, found.limit, found.reserve) == ("DESK_KEY", 8, 100, 10)


async def test_used_up(site: WorkerFixture) -> None:
    """When it is used up nothing more is sent, not even the second request of a delivery; no attempt is counted."""
    site.write(more=quota("5/day"))
    async with site.work():
        await site.put(*(event(f"e{n}", f"p{n}") for n in range(6)))

        async def is_used_up() -> bool:
            return any(room.quota is not None and room.quota.used_up for room in await site.mailroom.rooms())

        await site.until_true(is_used_up, "it is used up")

        async def waits() -> bool:
            (crm,) = [room for room in await site.mailroom.rooms() if room.name == "crm"]
            return crm.leased == 0 and crm.ready + crm.waiting > 0

        await site.until_true(waits, "the others wait")
        assert len(site.far.requests(path="/contacts*")) == 5
        for fate in await site.mailroom.fates([f"e{n}" for n in range(6)]):
            assert fate is not None
            assert {attempt["code"] for d in fate.deliveries for attempt in d.attempts} <= {"done", "quota_used_up", ""}


async def test_urgent_ones_use_the_reserve(site: WorkerFixture) -> None:
    """What the reserve keeps is there for whoever wants less of us, and for nobody else."""
    rules = NOTE.replace("type: person.changed", "type: [person.changed, contact.unsubscribed]")
    site.write(rules, more=quota("{limit: 20/day, reserve: 18}"))
    async with site.work():
        await site.put(*(event(f"e{n}", f"p{n}") for n in range(4)))

        async def is_used_up() -> bool:
            return any(room.quota is not None and room.quota.used_up for room in await site.mailroom.rooms())

        await site.until_true(is_used_up, "only the reserve is left")
        await site.put(event("u1", "max", type="contact.unsubscribed"))
        await site.ended("u1")


async def test_what_asked_nobody_is_given_back(site: WorkerFixture) -> None:
    """A delivery that was leased and sent nothing spends nothing: too early, or only decided."""
    site.write(LATE_NOTE, more=quota("100/day"))
    site.far.persons["7"] = {"id": "7", "firstName": "Eva"}
    async with site.work():
        await site.put(event("e1", person="7"))
        await site.ended("e1")
        sent = len(site.far.requests(path="/contacts*")) + len(site.far.requests(path="/persons/*"))

        async def is_so() -> bool:
            return (await state(site)).used == sent

        # The look-up asks with the same key.
        await site.until_true(is_so, f"{sent} requests are spent")


@pytest.mark.parametrize("left", [3, 50])
async def test_the_vendor_says_what_is_left(site: WorkerFixture, left: int) -> None:
    """Never more is left than the vendor says; of a limit of seconds nothing is learned."""
    site.write(more=quota("60/day"))
    site.far.headers = {
        "X-RateLimit-Limit": "10",
        "X-RateLimit-Remaining": "2",
        "X-RateLimit-Reset": "1",
        "X-Daily-RateLimit-Remaining": f"{left}",
    }
    async with site.work():
        await site.put(event("e1"))
        await site.ended("e1")
        begins, _ = Quota(limit="60/day").page(int((await site.mailroom.store.time())[0]) * 1000)
        now = int((await site.mailroom.store.time())[0]) * 1000
        if now - begins < 600_000:
            pytest.skip("the day has just begun: the vendor may speak of yesterday")

        async def is_learned() -> bool:
            return (await state(site)).left == left

        await site.until_true(is_learned, "it is learned with a beat")


async def test_a_limit_that_is_used_up_closes_the_room(site: WorkerFixture) -> None:
    """A vendor that says with a success that nothing is left gets nothing more until its reset, without any 429."""
    site.write(UPSERT, more=f"{KEY}\n    limit: 100/s")
    site.far.headers = {"X-RateLimit-Remaining": "0", "X-RateLimit-Reset": "3000"}
    async with site.work():
        await site.put(event("e1"))

        async def rests() -> bool:
            return any(room.name == "crm" and room.rests_until for room in await site.mailroom.rooms())

        await site.until_true(rests, "it rests")
        assert len(site.far.requests(path="/contacts*")) == 1
        site.far.headers = {}
        await site.mailroom.resume("crm")
        await site.put(event("e2", "max"))
        await site.ended("e2")
