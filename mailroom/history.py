"""The events that came lately, with their payloads as far as those are still there.

Comes in: a mailroom and a time. Goes out: event ids with their records, in pages, oldest first. Never writes: whoever
previews rules or explains an event must not be able to change one.
"""

from collections.abc import AsyncGenerator
from datetime import datetime

from mailroom.functions import Mailroom

#: Entries of the log read at once, and records: a payload is a megabyte at the most, so this is what memory must hold.
PAGE = 200
RECORDS = 50


async def since(mailroom: Mailroom, when: datetime) -> AsyncGenerator[tuple[str, bytes | None], None]:
    """Yield each event that was put since then, and its record, None where its payload is gone.

    Raises StoreUnavailable.

    The log holds about 20,000 entries; what came before them is not known.
    """
    seen: set[str] = set()
    cursor = str(max(0, int(when.timestamp() * 1000)))
    while page := await mailroom.read(mailroom.store.xrange(mailroom.key("log"), min=cursor, count=PAGE)):
        names = [name for _, fields in page for name in (fields.get(b"put") or b"").decode().split()]
        fresh = [name for name in dict.fromkeys(names) if name not in seen]
        seen.update(fresh)
        for at in range(0, len(fresh), RECORDS):
            some = fresh[at : at + RECORDS]
            records = await mailroom.read(mailroom.store.mget([mailroom.key(f"e:{name}") for name in some]))
            for each in zip(some, records, strict=True):
                yield each
        cursor = f"({page[-1][0].decode()}"
