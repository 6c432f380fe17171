"""Gives up what is dead or lies aside sooner than usual, where the book says so of a source.

Comes in: a mailroom; how long which state of which source is kept. Goes out: how much was given up. Never keeps
anything longer than usual: the ledger, which tells the story of a dead letter, is kept for 31 days.
"""

from collections.abc import Mapping
from typing import Any, cast

from mailroom.functions import Mailroom

#: State (dead, quarantine, refused) -> source -> ms; who is not named is kept as long as usual.
Terms = Mapping[str, Mapping[str, int]]


async def set_terms(mailroom: Mailroom, terms: Terms) -> None:
    """Say how long the states of sources are kept; what was said before counts no more. Raises StoreUnavailable."""
    key = mailroom.key("terms")
    told = {f"{state} {source}": ms for state, of in terms.items() for source, ms in of.items()}
    pipe = mailroom.store.pipeline(transaction=True)
    pipe.delete(key)
    if told:
        pipe.hset(key, mapping=cast(Any, told))
    await mailroom.read(pipe.execute())


async def expire(mailroom: Mailroom) -> int:
    """Give up what is older than its source keeps it; return how many. Raises StoreUnavailable."""
    store: Any = mailroom.store
    terms: dict[str, list[bytes]] = {}
    for name, ms in (await mailroom.read(store.hgetall(mailroom.key("terms")))).items():
        state, _, source = name.partition(b" ")
        terms.setdefault(state.decode(), []).extend((source, ms))
    count = 0
    for state, of in terms.items():
        kept, looked = 0, 1
        while looked:
            looked, ended = await mailroom.call("expire_terms", state, kept, *of)
            kept, count = kept + looked - ended, count + ended
    return count
