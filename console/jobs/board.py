"""Jobs as the store has them: what was ordered, what is left, what came of it.

Comes in: an order and its items; results. Goes out: jobs. Never acts: `console.jobs.runner` does. A console that dies
leaves everything here, and the next one goes on.
"""

import json
import secrets
import time
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any, Literal, cast

from console.access.tokens import hash_secret
from console.jobs.orders import JobOrder
from mailroom import Mailroom

#: running: also one that waits for a console. stopped: by a person, before its end.
JobState = Literal["running", "paused", "stopped", "done"]

#: Seconds that a job is known after it was ordered, and that its intent makes it one with a repetition.
KEEPS, INTENT = 31 * 86_400, 86_400
#: Seconds that it is known what a job has dropped: so long it can be had back.
UNDOABLE = 600
#: Items that were left alone are named, so many at the most.
MOST_LEFT = 1000
#: Items that are written in one command.
PAGE = 1000
#: What a person may make of a state.
CHANGES: dict[JobState, tuple[JobState, ...]] = {
    "paused": ("running",),
    "running": ("paused",),
    "stopped": ("running", "paused"),
}


@dataclass(frozen=True)
class Job:
    """A job."""

    id: str
    order: JobOrder
    by: str
    #: When it was ordered, and ended, ms; 0: not yet.
    at: int
    ended: int
    state: JobState
    count: int
    done: int
    #: Word -> how many ended so.
    words: dict[str, int] = field(default_factory=dict)


class JobBoard:
    """The jobs of one store."""

    def __init__(self, mailroom: Mailroom) -> None:
        self._mailroom = mailroom
        self._store: Any = mailroom.store

    async def begin(self, order: JobOrder, by: str, items: Sequence[str]) -> str:
        """Write a job down and return its id; that of the one with the same intent. Raises StoreUnavailable."""
        id = f"job_{secrets.token_hex(6)}"
        if order.intent:
            intent = self._key(f"intent:{hash_secret(order.intent)}")
            first = await self._read(self._store.set(intent, id, nx=True, ex=INTENT))
            if not first:
                return cast(bytes, await self._read(self._store.get(intent))).decode()
        now = int(time.time() * 1000)
        told = {"order": order.model_dump_json(), "by": by, "at": now, "count": len(items), "done": 0, "ended": 0}
        pipe = self._store.pipeline(transaction=False)
        for first in range(0, len(items), PAGE):
            pipe.rpush(self._key(f"jobitems:{id}"), *items[first : first + PAGE])
        pipe.expire(self._key(f"jobitems:{id}"), KEEPS)
        await self._read(pipe.execute())
        # From here on it exists: items without a job are nothing.
        pipe = self._store.pipeline(transaction=True)
        pipe.hset(self._key(f"job:{id}"), mapping={**told, "state": "running"})
        pipe.expire(self._key(f"job:{id}"), KEEPS)
        pipe.zadd(self._key("jobs"), {id: now})
        pipe.zremrangebyscore(self._key("jobs"), 0, now - KEEPS * 1000)
        pipe.hset(self._key("jobs_open"), id, "running")
        await self._read(pipe.execute())
        return id

    async def find_intent(self, intent: str) -> str | None:
        """Return the id of the job of an intent, None where there is none. Raises StoreUnavailable."""
        found = await self._read(self._store.get(self._key(f"intent:{hash_secret(intent)}"))) if intent else None
        return None if found is None else found.decode()

    async def read(self, id: str) -> Job | None:
        """Return a job, None where there is none (any more). Raises StoreUnavailable."""
        found = await self._read(self._store.hgetall(self._key(f"job:{id}")))
        if not found:
            return None
        its = {name.decode(): value.decode() for name, value in found.items()}
        words = {name[2:]: int(value) for name, value in its.items() if name.startswith("w:")}
        order, state = JobOrder.model_validate_json(its["order"]), cast(JobState, its["state"])
        at, ended, count, done = (int(its[name]) for name in ("at", "ended", "count", "done"))
        return Job(id, order, its["by"], at, ended, state, count, done, words)

    async def newest(self, most: int = 100) -> Sequence[Job]:
        """Return the newest jobs, newest first. Raises StoreUnavailable."""
        ids = await self._read(self._store.zrevrange(self._key("jobs"), 0, most - 1))
        found = [await self.read(id.decode()) for id in ids]
        return [job for job in found if job is not None]

    async def left_alone(self, id: str) -> Sequence[tuple[str, str]]:
        """Return (item, word) of those that nothing was done about, the first of them. Raises StoreUnavailable."""
        found = await self._read(self._store.lrange(self._key(f"jobleft:{id}"), 0, -1))
        return [cast(tuple[str, str], tuple(json.loads(each))) for each in found]

    async def change(self, id: str, to: JobState) -> bool:
        """Pause, resume or stop a job. False: it is not in a state that allows it. Raises StoreUnavailable."""
        job = await self.read(id)
        if job is None or job.state not in CHANGES[to]:
            return False
        pipe = self._store.pipeline(transaction=True)
        pipe.hset(self._key(f"job:{id}"), "state", to)
        pipe.hset(self._key("jobs_open"), id, to)
        await self._read(pipe.execute())
        if to == "stopped":
            await self._end(id)
        return True

    async def count_undoable(self, id: str) -> int:
        """Return how much of what a job has done can be taken back. Raises StoreUnavailable."""
        return cast(int, await self._read(self._store.llen(self._key(f"jobdone:{id}"))))

    async def undo(self, id: str, by: str) -> str | None:
        """Begin the job that takes back what another one has dropped. None: nothing. Raises StoreUnavailable."""
        job = await self.read(id)
        items = [item.decode() for item in await self._read(self._store.lrange(self._key(f"jobdone:{id}"), 0, -1))]
        if job is None or not job.ended or not items:
            return None
        why, intent = f"undo of {id}", f"undo {id}"
        order = JobOrder(verb="undrop", filter=job.order.filter, reason=why, expect=len(items), intent=intent)
        return await self.begin(order, by, items)

    # -- what the runner uses

    async def open(self) -> Sequence[str]:
        """Return the jobs that run, or wait for a console that does them. Raises StoreUnavailable."""
        found = await self._read(self._store.hgetall(self._key("jobs_open")))
        return [id.decode() for id, state in found.items() if state == b"running"]

    async def next(self, id: str, most: int) -> Sequence[str]:
        """Return the next items. Raises StoreUnavailable."""
        return [
            item.decode() for item in await self._read(self._store.lrange(self._key(f"jobitems:{id}"), 0, most - 1))
        ]

    async def note(self, id: str, results: Sequence[tuple[str, str]], *, undoable: bool = False) -> None:
        """Note what came of the next items: they are not the next any more. Raises StoreUnavailable.

        `undoable`: what was done can be taken back, so it is noted item by item.
        """
        key = self._key(f"job:{id}")
        done = [item for item, word in results if word == "done"]
        left = [json.dumps(each) for each in results if each[1] != "done"]
        pipe = self._store.pipeline(transaction=True)
        pipe.ltrim(self._key(f"jobitems:{id}"), len(results), -1)
        pipe.hincrby(key, "done", len(results))
        for word, count in Counter(word for _, word in results).items():
            pipe.hincrby(key, f"w:{word}", count)
        if undoable and done:
            pipe.rpush(self._key(f"jobdone:{id}"), *done)
            pipe.expire(self._key(f"jobdone:{id}"), UNDOABLE)
        if left:
            pipe.rpush(self._key(f"jobleft:{id}"), *left)
            pipe.ltrim(self._key(f"jobleft:{id}"), 0, MOST_LEFT - 1)
            pipe.expire(self._key(f"jobleft:{id}"), KEEPS)
        await self._read(pipe.execute())

    async def finish(self, id: str) -> None:
        """Say that nothing is left of a job. Raises StoreUnavailable."""
        await self._read(self._store.hset(self._key(f"job:{id}"), "state", "done"))
        await self._end(id)

    async def _end(self, id: str) -> None:
        pipe = self._store.pipeline(transaction=True)
        pipe.hset(self._key(f"job:{id}"), "ended", int(time.time() * 1000))
        pipe.delete(self._key(f"jobitems:{id}"))
        pipe.hdel(self._key("jobs_open"), id)
        await self._read(pipe.execute())

    async def forget(self, id: str) -> None:
        """Take a job off the list of open ones that is none any more. Raises StoreUnavailable."""
        await self._read(self._store.hdel(self._key("jobs_open"), id))

    def _key(self, name: str) -> str:
        return self._mailroom.key(name)

    async def _read(self, awaitable: Any) -> Any:
        return await self._mailroom.read(awaitable)
