"""A destination that says "too much" is left alone by everybody for as long as it says (D8s)."""

import asyncio
import contextlib
from collections.abc import AsyncIterator

import pytest

from console import catalogue
from receiver import sources
from tests.workers.worker_fixture import UPSERT, WorkerFixture, event
from workers.context import WorkerContext
from workers.drain.loop import Drain

pytestmark = pytest.mark.anyio

LOOK_UP = """\
  - name: keep the contact
    when:
      source: shop
      type: person.changed
    look_up:
      person:
        desk.person:
          id: "{{ data.name }}"
    then:
      - crm.upsert_contact:
          email: "{{ data.email }}"
          last_name: "{{ person.last_name }}"
"""


@contextlib.asynccontextmanager
async def workers(site: WorkerFixture, n: int) -> AsyncIterator[None]:
    """Let so many workers work, each with its own client and connections."""
    async with contextlib.AsyncExitStack() as stack:
        running = []
        for k in range(1, n + 1):
            context = await stack.enter_async_context(WorkerContext(site.settings(), catalogue.build(), sources.read))
            running.append((context, asyncio.create_task(Drain(context, f"w{k}.1", budget=60).run())))
        try:
            yield
        finally:
            for context, _ in running:
                context.stop()
            await asyncio.gather(*(task for _, task in running))


async def rests(site: WorkerFixture, room: str = "crm") -> bool:
    """Whether a destination is left alone now."""
    return any(state.name == room and state.rests_until for state in await site.mailroom.rooms())


@pytest.mark.parametrize("status", [429, 503])
async def test_d8s_nothing_is_sent_meanwhile(site: WorkerFixture, status: int) -> None:
    """D8s: four workers send nothing from when one is told to wait until that is over, not even second requests."""
    site.write(concurrency=20)
    site.far.fail(method="GET", who="p0@*", status=status, headers={"Retry-After": "3"})
    site.far.fail(method="GET", times=19, delay=0.5)
    people = [f"p{n}" for n in range(60)]
    async with workers(site, 4):
        await site.put(*(event(name, name) for name in people))

        async def is_settled() -> bool:
            return bool((await site.fate("p0")).deliveries and (await site.fate("p0")).deliveries[0].attempts)

        await site.until_true(is_settled, "the one that was refused is settled")
        assert await rests(site)
        before = len(site.far.seen)
        assert site.far.emails() == []

        async def is_over() -> bool:
            return not await rests(site)

        while not await is_over():
            sent = len(site.far.seen)
            if await rests(site):
                assert sent == before
            await asyncio.sleep(0.01)
        await site.ended(*people)
        assert sorted(site.far.emails()) == sorted(f"{name}@example.org" for name in people)
        assert site.far.most_under_way <= 20
    for fate in await site.mailroom.fates(people[1:]):
        assert fate is not None
        assert [attempt["n"] for attempt in fate.deliveries[0].attempts if attempt["outcome"] == "done"] == [1]


async def test_d8s_other_destinations_go_on(site: WorkerFixture) -> None:
    """D8s: only the destination that asked is left alone; a person may end it, and all goes on at once."""
    site.write(UPSERT + UPSERT.replace("keep the contact", "keep it elsewhere").replace("crm.", "other."))
    site.far.fail(path="/contacts", status=429, headers={"Retry-After": "3000"})
    async with site.work():
        await site.put(event("e1"))
        await site.until_true(lambda: rests(site), "it rests")
        await site.put(event("e2", "max"))
        await site.until(lambda: len(site.far.others) == 2, "the other destination has both")
        assert len(site.far.requests(path="/contacts")) == 1
        assert await site.mailroom.resume("crm")
        await site.ended("e2")


async def test_d8s_look_ups_count(site: WorkerFixture) -> None:
    """D8s: a look-up that is told to wait holds the others, too; the events wait without an attempt."""
    site.write(LOOK_UP)
    site.far.persons = {f"{n}": {"id": n, "lastName": f"L{n}"} for n in range(1, 6)}
    site.far.fail(path="/persons/*", status=429, headers={"Retry-After": "2"})
    async with site.work():
        await site.put(event("1", "p1"))
        await site.until_true(lambda: rests(site, "desk"), "it rests")
        await site.put(*(event(f"{n}", f"p{n}") for n in range(2, 6)))
        while await rests(site, "desk"):
            sent = len(site.far.requests(path="/persons/*"))
            assert sent == 1 or not await rests(site, "desk")
            await asyncio.sleep(0.01)
        await site.ended(*(f"{n}" for n in range(1, 6)))
    assert sorted(contact["last_name"] for contact in site.far.contacts.values()) == [f"L{n}" for n in range(1, 6)]
