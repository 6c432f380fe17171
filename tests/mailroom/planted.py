"""A person in every place of the store: what forgetting them has to find.

Comes in: a mailroom on a real store. Goes out: the person's address, which now stands wherever a payload may stand, and
the events of somebody else beside each. Never guesses what is left afterwards: the tests look.
"""

import json
import time
from typing import Any

from mailroom import DeadLetterInfo, Lease, Mailroom, NewDelivery, RefusedDetails, RoomRequest, Settlement, ledger
from mailroom.echoes import EchoClaim, EchoMark, EchoMemory
from mailroom.operator import Operator
from mailroom.records import newness
from rules.event import Event
from rules.event_types.base import from_epoch

#: The planted address as it is written in bodies, and its identity.
ADDRESS, IDENTITY = "Ida.Planted@Example.org", "email:ida.planted@example.org"
OTHER = "email:ole@example.org"


def event(name: str, who: str = IDENTITY, **more: Any) -> Event:
    """Return an event about somebody, received now."""
    body = json.dumps({"mail": ADDRESS if who == IDENTITY else who.partition(":")[2]}).encode()
    at = from_epoch(int(time.time() * 1000))
    told = {"received_at": at, "body": body, "order_key": who, "sender_id": name, "identities": (who,), **more}
    return Event(id=name, source="shop", kind="generic", type="order.paid", **told)


class PlantedStore:
    """Puts things into a store as drains and receivers do."""

    def __init__(self, mailroom: Mailroom) -> None:
        self.mailroom = mailroom
        self.hash = mailroom.hash
        self._calls = 0

    async def take(self, room: str = "in", boxes: int = 99) -> list[Lease]:
        """Lease what is first in the boxes of a room."""
        await self.mailroom.beat("d1", register=True)
        self._calls += 1
        return (await self.mailroom.take("d1", f"t{self._calls}", [RoomRequest(room, boxes, 9)])).leases

    async def settle(self, lease: Lease, verdict: Any, n: int = 0, **more: Any) -> None:
        """Settle one item of a lease, and be through with its box if it is the last one."""
        item, last = lease.items[n][0], n + 1 == len(lease.items)
        name, now = item.partition(".")[0], ledger.now()
        given = {"line": "", **more}
        one = Settlement(lease, item, verdict, name, now[:10], last=last, **given)
        await self.mailroom.settle("d1", f"s{self._calls}", [one])

    async def route(self, one: Event, *rooms: str, **more: Any) -> None:
        """Route an event that is put now to a delivery in each of these rooms."""
        await self.mailroom.put([one])
        await self.route_waiting(one, *rooms, **more)

    async def route_waiting(self, one: Event, *rooms: str, more: Any = (), **settled: Any) -> None:
        """The same of an event that was put."""
        (lease,) = [each for each in await self.take() if each.items[0][0] == one.id]
        who = [self.hash(one.order_key or one.id), self.hash(f"sender:{one.id}")]
        made = [(f"{one.id}.{n}", room, "add_note", "a rule") for n, room in enumerate(rooms)]
        line = ledger.routed(
            source="shop",
            type=one.type,
            received=one.received_at,
            book="b",
            fired=["a rule"] if rooms else [],
            made=made,
            who=who,
        )
        box = self.hash(one.order_key or one.id)
        new = []
        for id, room, action, rule in made:
            record = {"id": id, "to": room, "action": action, "rule": rule, "path": [0], "box": box}
            text = json.dumps({**record, "args": {"email": json.loads(one.body)["mail"]}})
            new.append(NewDelivery(id, room, (box, *more), text.encode(), once_key=f"o{id}", once_ms=9_000_000))
        note = newness(one.received_at, 0) if rooms else "aside"
        await self.settle(lease, "done", line=line, new=new, note=settled.pop("note", note), **settled)

    async def end(self, room: str, verdict: Any, **more: Any) -> None:
        """Let the first item of the only box of a room end."""
        (lease,) = await self.take(room)
        item = lease.items[0][0]
        if verdict in ("dead", "hold"):
            event, at = item.partition(".")[0], int(time.time() * 1000)
            more["info"] = DeadLetterInfo(
                room, event, "invalid", "it said no", lease.box, item, "add_note", "a rule", at=at
            )
        await self.settle(lease, verdict, **more)


async def plant(mailroom: Mailroom) -> None:
    """Put the person, and somebody else, into every place of a store that can hold a payload or a keyed hash."""
    it = PlantedStore(mailroom)
    for short, who in (("i", IDENTITY), ("o", OTHER)):
        await it.route(event(f"dead{short}", who), f"dead_{short}")
        await it.end(f"dead_{short}", "dead")
        await it.route(event(f"dropped{short}", who), f"dropped_{short}")
        await it.end(f"dropped_{short}", "dead")
        await Operator(mailroom).drop(f"dropped{short}.0", undoable=True)
        await it.route(event(f"held{short}", who), f"held_{short}")
        await it.end(f"held_{short}", "hold", doubt=1)
        await it.route(event(f"behind{short}", who), f"held_{short}", "waits")
        await it.route(event(f"retried{short}", who), f"away_{short}", more=(it.hash(f"external_id:{short}"),))
        await it.end(f"away_{short}", "wait", wait_ms=600_000, attempt=1)
        await it.route(event(f"retained{short}", who), f"ends_{short}", retain=600_000)
        await it.end(f"ends_{short}", "done", retain=600_000)
        await it.route(event(f"unmatched{short}", who), retain=600_000)
        unfit = event(f"unfit{short}", who, identities=(), order_key=None)
        await mailroom.quarantine([(unfit, "mail: it is not read")])
        address = who.partition(":")[2]
        form = f"a=1&mail={address.upper().replace('@', '%40')}".encode()
        details = RefusedDetails(size=len(form))
        await mailroom.refused(reason="no_json", source="shop", headers={}, body=form, more=details)
        await mailroom.learn("crm", [it.hash(who), it.hash(f"external_id:{short}")], "contact", f"id-{short}")
        now = int(time.time() * 1000)
        mark = EchoMark(f"dead{short}.0", ("contact.changed",), now, now + 600_000, {"email": it.hash(who)})
        await EchoMemory(mailroom).mark(["shop"], [it.hash(who)], mark)
        await EchoMemory(mailroom).claim("shop", "contact.changed", mark, EchoClaim(f"dead{short}", "content"))
    await mailroom.put([event(f"new{short}", who) for short, who in (("i", IDENTITY), ("o", OTHER))])
