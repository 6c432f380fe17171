"""What sources last told of the objects at their platforms: what was fetched is compared with it.

Comes in: events, whose `tells` name objects and states. Goes out: the words of it in a record, which `put` writes down
and compares (`lua/20-put.lua`). Never gives a name or a state in clear: both are hashed with the key of this
installation.
"""

from collections.abc import Iterable

from mailroom.hashing import Hasher
from rules.event import Event


def write_words(event: Event, hashed: Hasher) -> tuple[str, ...]:
    """Return what an event tells, `object=state`, both hashed but for times; `?` before it if the event was fetched."""
    words = []
    for name, state in event.tells:
        told = f"object:{event.source}\0{name}"
        word = state if state.startswith("@") else hashed(f"{told}\0{state}")[:10]
        words.append(f"{hashed(told)}={word}")
    return ("?", *words) if event.fetched else tuple(words)


def find_repeated(events: Iterable[Event]) -> set[str]:
    """Return the ids of those of these events that tell of their first object what one before them tells."""
    told: set[tuple[str, str]] = set()
    found: set[str] = set()
    for event in events:
        if event.tells and event.tells[0] in told:
            found.add(event.id)
        told.update(event.tells)
    return found
