"""Who did, searched and saw what, and why: a line each, for 400 days.

Comes in: an actor and what was asked for, before it is done. Goes out: lines, newest first. Never holds a value of a
person that Relais knows of: a search is written by its keyed hash. A reason is kept as it was given.
"""

import json
import re
import time
from dataclasses import dataclass
from typing import Any

from console.access.roles import Actor
from mailroom import Mailroom

#: Days that a line is kept, as said in `mailroom/lua/00-keys.lua`.
DAYS = 400
DAY = 86_400_000

#: The place of a line, as `AuditLine.id` says it.
CURSOR = re.compile(r"[0-9]{1,15}-[0-9]{1,15}")


@dataclass(frozen=True)
class AuditLine:
    """What somebody did."""

    #: Place in the audit; also the cursor of what is older.
    id: str
    #: ms since 1970.
    at: int
    by: str
    #: Empty: none.
    role: str
    #: `retry`, `find`, `look`, `pause`, …
    verb: str
    #: About what: a name, an id, a keyed hash, a filter.
    what: str
    reason: str
    count: int


class Audit:
    """The audit of one store."""

    def __init__(self, mailroom: Mailroom) -> None:
        self._mailroom = mailroom
        self._store: Any = mailroom.store
        self._key = mailroom.key("audit")

    async def write(self, actor: Actor | str, verb: str, what: str, reason: str = "", count: int = 1) -> None:
        """Write a line, before the act: what cannot be written down is not done. Raises StoreUnavailable.

        `actor`: a name alone is somebody without a role.
        """
        now = int(time.time() * 1000)
        by, role = (actor, "") if isinstance(actor, str) else (actor.name, actor.role.word)
        line = {"at": now, "by": by, "role": role, "verb": verb, "what": what}
        text = json.dumps({**line, "reason": reason, "count": count}, ensure_ascii=False)
        oldest = f"{now - DAYS * DAY}-0"
        await self._mailroom.read(self._store.xadd(self._key, {"line": text}, minid=oldest, approximate=True))

    async def read(
        self, *, since: int = 0, until: int = 0, by: str = "", verb: str = "", cursor: str = "", limit: int = 100
    ) -> tuple[list[AuditLine], str]:
        """Return lines, newest first, and the cursor of the next page ('' at the end). Raises StoreUnavailable.

        `since`, `until`: ms since 1970, the latter excluded; 0: whenever.
        """
        found: list[AuditLine] = []
        oldest = str(max(since, int(time.time() * 1000) - DAYS * DAY))
        newest = f"({cursor}" if cursor else f"({until}-0" if until else "+"
        while True:
            page = await self._mailroom.read(self._store.xrevrange(self._key, newest, oldest, count=500))
            for id, entry in page:
                if len(found) == limit:
                    return found, found[-1].id
                line = AuditLine(id.decode(), **json.loads(entry[b"line"]))
                if (not by or line.by == by) and (not verb or line.verb == verb):
                    found.append(line)
            if len(page) < 500:
                return found, ""
            newest = f"({page[-1][0].decode()}"
