"""What lies aside until a person decides: events in quarantine, events that no rule wanted, refused requests.

Comes in: a mailroom, and what a person chose. Goes out: what lies there without a value of anybody, and one payload
where a person asks for it, which the ledger says first. Never decides by itself.
"""

import json
import re
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Literal

from mailroom import ledger
from mailroom.ledger import Decision, Fate
from mailroom.operator import HEAD, PAGE, AsideView, Operator, Selection, Shelf, read_head, today
from mailroom.records import RefusedDetails
from mailroom.sentences import give_reason, say
from rules.event_types.base import from_epoch

#: How taking in ended. unfit: the book of today cannot read it, either. unwanted: no rule of today wants it.
#: unverified: nobody has proved who sent it, and nobody vouches. cut: only the beginning of its body was kept. known:
#: it came in meanwhile.
TakenIn = Literal["done", "gone", "overtaken", "known", "unfit", "unwanted", "unverified", "cut"]

#: The code of events that Relais caused itself: they lie with those that no rule wanted, and are chosen by it or by id.
ECHO = "echo"


@dataclass(frozen=True)
class KeptPayload:
    """What was kept: a record's head or a request's headers, and a body."""

    head: dict[str, Any]
    body: bytes


class AsideShelf:
    """One shelf, and the verbs of a person at it."""

    def __init__(self, operator: Operator, shelf: Shelf) -> None:
        self._mailroom = operator.mailroom
        self._decision: Decision = operator.decision
        self.shelf: Shelf = shelf
        self._key = operator.mailroom.key(shelf)
        self._store: Any = operator.mailroom.store

    async def find(self, chosen: Selection) -> list[AsideView]:
        """Return what lies there, in the order in which it was received."""
        found = [one for one in await self._all() if chosen.fits(one)]
        if self.shelf == "unmatched" and not chosen.ids and chosen.code != ECHO:
            found = [one for one in found if one.code != ECHO]  # Who asks for what no rule wanted does not mean them.
        return sorted(found, key=lambda one: (one.received, one.position, one.id))

    async def one(self, id: str) -> AsideView | None:
        """Return what has this id."""
        if self.shelf == "refused":
            said = await self._entry(id)
            return _refused(id, said) if said is not None else None
        at = await self._read(self._store.zscore(self._key, id))
        return next(iter(await self._described([(id, int(at))])), None) if at is not None else None

    async def _all(self) -> list[AsideView]:
        if self.shelf == "refused":
            return [_refused(id.decode(), said) for id, said in await self._read(self._store.xrange(self._key))]
        out: list[AsideView] = []
        cursor = 0
        while True:
            cursor, page = await self._read(self._store.zscan(self._key, cursor, count=PAGE))
            out += await self._described([(id.decode(), int(at)) for id, at in page])
            if cursor == 0:
                return out

    async def _described(self, page: list[tuple[str, int]]) -> list[AsideView]:
        if not page:
            return []
        pipe = self._store.pipeline(transaction=False)
        for id, _ in page:
            pipe.getrange(self._mailroom.key(f"e:{id}"), 0, HEAD)
        heads = [read_head(record) for record in await self._read(pipe.execute())]
        whys = [_why(fate) for fate in await self._mailroom.fates([id for id, _ in page])]
        unmatched = self.shelf == "unmatched"  # its score is when it goes
        return [
            AsideView(
                id,
                self.shelf,
                int(datetime.fromisoformat(head["at"]).timestamp() * 1000) if unmatched else at,
                head["source"],
                head["type"],
                why.partition(":")[0] or "no_rule",
                why or say("no_rule"),
                head["at"],
                head.get("pos", 0),
            )
            for (id, at), head, why in zip(page, heads, whys, strict=True)
            if head  # else its payload is gone already
        ]

    async def payload(self, id: str) -> KeptPayload | None:
        """Return what was kept, for a program: nobody sees it."""
        if self.shelf == "refused":
            said = await self._entry(id)
            return KeptPayload(json.loads(said[b"headers"]), said[b"body"]) if said is not None else None
        return await kept_payload(self._mailroom, id)

    async def _entry(self, id: str) -> dict[bytes, bytes] | None:
        """Return a refused request as the store keeps it, None also for what cannot be the id of one."""
        if not re.fullmatch(r"[0-9]{1,15}-[0-9]{1,15}", id):
            return None
        found = await self._read(self._store.xrange(self._key, id, id))
        return found[0][1] if found else None

    async def clear(self, id: str) -> bool:
        """Give it up for good. False: it lies there no longer."""
        if await self.one(id) is None:
            return False
        line = ledger.dropped(id, self._decision)
        return bool(await self._mailroom.call("clear", self.shelf, id, today(), line))

    async def _read(self, asked: Any) -> Any:
        return await self._mailroom.read(asked)


async def kept_payload(mailroom: Any, event: str) -> KeptPayload | None:
    """Return an event's record in its two parts, None where it is erased."""
    record = await mailroom.record(event)
    return None if record is None else KeptPayload(read_head(record), record.partition(b"\n")[2])


async def look(operator: Operator, id: str) -> None:
    """Write down that a person is about to see a payload."""
    await operator.mailroom.call("look", id, today(), ledger.looked(id, operator.decision))


async def note_retried(operator: Operator, id: str, day: str) -> None:
    """Write down that a person sent an event in that a receiver's spool had set aside. `day`: of its reception."""
    line = ledger.taken_in(id, operator.decision, shelf="spool")
    await operator.mailroom.call("look", id, day, line, "retry", "spool")


def _why(fate: Fate | None) -> str:
    """Return why an event lies there; empty: no rule wanted it."""
    if fate is None:
        return ""
    return say("echo_of", delivery=fate.echo_of) if fate.state == ECHO else fate.why


def _refused(id: str, said: dict[bytes, bytes]) -> AsideView:
    at = int(id.partition("-")[0])
    reason = said[b"reason"].decode()
    details = RefusedDetails(
        said.get(b"name", b"").decode(),
        int(said.get(b"size") or len(said[b"body"])),
        said.get(b"verified") == b"1",
    )
    whole = "" if details.size <= len(said[b"body"]) else say("kept_part", n=len(said[b"body"]))
    who = say("verified" if details.verified else "not_verified")
    why = say("refused_request", reason=give_reason(reason, of="refused."), size=details.size, whole=whole, who=who)
    return AsideView(id, "refused", at, said[b"source"].decode(), "", reason, why, from_epoch(at), 0, details)
