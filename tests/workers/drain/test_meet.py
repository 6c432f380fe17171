"""Deliveries under different names whose clients find one object: a real store, a real client or the test's own."""

import asyncio
from collections import defaultdict
from collections.abc import Sequence
from typing import Any

import pytest

from tests.workers.worker_fixture import WorkerFixture, event
from workers.destinations.base import Attempt
from workers.outcome import Done

pytestmark = pytest.mark.anyio

RULES = """\
  - name: by address
    when:
      source: shop
      type: person.changed
    then:
      - crm.upsert_contact:
          email: "{{ data.email }}"
          last_name: "{{ data.name }}"
  - name: by number
    when:
      source: shop
      type: person.numbered
    then:
      - crm.upsert_contact:
          external_id: "{{ data.number }}"
          last_name: "{{ data.name }}"
  - name: by telephone
    when:
      source: shop
      type: person.called
    then:
      - crm.add_note:
          phone: "{{ data.phone }}"
          text: "{{ data.name }}"
"""


class FindingClient:
    """Finds the same contact by every name; the test says when it goes on."""

    def __init__(self) -> None:
        #: What was begun and written, by its name, with the number of its attempt.
        self.begun: list[tuple[str, int]] = []
        self.wrote: list[tuple[str, int]] = []
        #: Opened when a name has been found, and when it may be written.
        self.found: dict[str, asyncio.Event] = defaultdict(asyncio.Event)
        self.may_write: dict[str, asyncio.Event] = defaultdict(asyncio.Event)
        self.writing: set[str] = set()

    async def deliver(self, action: str, arguments: Any, delivery: Attempt) -> Done:
        name = f"email:{arguments.email}" if arguments.email else f"external_id:{arguments.external_id}"
        self.begun.append((name, delivery.attempt))
        await self.found[name].wait()
        await delivery.meet([name], "contact", "c1")
        self.writing.add(name)
        assert len(self.writing) == 1
        await self.may_write[name].wait()
        self.writing.remove(name)
        self.wrote.append((name, delivery.attempt))
        return Done(status=200)


async def test_the_second_one_gives_way(site: WorkerFixture) -> None:
    """Both are under way; who tells first goes on, the other gives its lease back and follows, no attempt counted."""
    site.write(RULES)
    eva, number = "email:eva@example.org", "external_id:7"
    async with site.work() as drain:
        client: Any = FindingClient()
        await site.until(lambda: "crm" in site.context.clients, "the book's clients")
        site.context.clients["crm"] = client
        await site.put(event("e1"), event("e2", "somebody", type="person.numbered", number="7"))
        await site.until(lambda: {(eva, 1), (number, 1)} == set(client.begun), "both search")
        client.found[eva].set()
        await site.until(lambda: client.writing == {eva}, "the first one writes")
        client.found[number].set()
        await site.until(lambda: len(drain.leases) == 1, "the drain has let go of the second one's lease")
        assert len(drain._tasks) == 1
        (crm,) = [room for room in await site.mailroom.rooms() if room.name == "crm"]
        assert (crm.leased, crm.ready, crm.waiting) == (1, 0, 0)
        assert client.begun == [(eva, 1), (number, 1)] or client.begun == [(number, 1), (eva, 1)]
        client.may_write[eva].set()
        client.may_write[number].set()
        await site.ended("e1", "e2")
        assert client.wrote == [(eva, 1), (number, 1)]
        assert client.begun[2:] == [(number, 1)]
        assert (drain.summary.delivered, drain.summary.retried, drain.summary.held) == (2, 0, 0)
        # From now on the store knows that they are one: none is begun beside the other.
        client.may_write[eva].clear()
        await site.put(event("e3"))
        await site.until(lambda: client.writing == {eva}, "the third one writes")
        await site.put(event("e4", "somebody", type="person.numbered", number="7"))
        await site.until_true(lambda: is_routed(site, "e4"), "the fourth one waits in its room")
        assert len(client.begun) == 4
        client.may_write[eva].set()
        await site.ended("e3", "e4")
        assert client.wrote[2:] == [(eva, 1), (number, 1)]


async def test_three_that_nobody_knew_to_be_one(site: WorkerFixture, monkeypatch: pytest.MonkeyPatch) -> None:
    """One tells that three under way are one: the others do not take it for known, and one writes at a time."""
    site.write(RULES)
    phone = "+4930123456"
    site.far.contacts["1"] = {"id": "1", "email": "eva@example.org", "external_id": "7", "phone": phone}
    site.far.fail(method="PATCH", times=None, hang=True)
    async with site.work():
        await site.until(lambda: "crm" in site.context.clients, "the book's clients")
        memory: Any = site.context.clients["crm"]._memory
        ids, begun, told = memory.ids, list[str](), asyncio.Event()

        async def ids_then(names: Sequence[str]) -> Any:
            begun.extend(names)
            if not names[0].startswith("phone:"):
                await told.wait()
            return await ids(names)

        monkeypatch.setattr(memory, "ids", ids_then)
        await site.put(event("e1"), event("e2", "somebody", type="person.numbered", number="7"))
        await site.until(lambda: len(begun) == 2, "two are under way, and have not asked yet")
        await site.put(event("e3", "nobody", type="person.called", phone=phone))
        await site.until_true(lambda: holds(site, blocked=True), "the third one has told, and waits for both")
        told.set()
        await site.until_true(lambda: holds(site, leased=1), "one goes on, the other one has told and waits, too")
        await site.until(lambda: bool(site.far.requests("PATCH")), "it writes")
        assert len(site.far.requests("PATCH")) == 1
        assert await holds(site, leased=1)
        site.far.mend()
        await site.ended("e1", "e2", "e3")
        assert len(site.far.requests("PATCH")) == 2
    assert list(site.far.contacts) == ["1"]
    assert [note["contact"] for note in site.far.notes] == ["1"]
    for id in ("e1", "e2", "e3"):
        assert [attempt["n"] for attempt in (await site.fate(id)).deliveries[0].attempts] == [1]


async def holds(site: WorkerFixture, *, leased: int | None = None, blocked: bool = False) -> bool:
    (crm,) = [room for room in await site.mailroom.rooms() if room.name == "crm"]
    return (leased is None or crm.leased == leased) and (not blocked or crm.blocked > 0)


async def is_routed(site: WorkerFixture, id: str) -> bool:
    fate = await site.mailroom.fate(id)
    return fate is not None and len(fate.deliveries) == 1
