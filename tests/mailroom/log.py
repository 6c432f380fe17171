"""What was put into a store, as its log tells it."""

from mailroom import Fate, Mailroom


async def list_put(mailroom: Mailroom) -> list[str]:
    """Return the ids of all events that were put, oldest first."""
    return list(
        dict.fromkeys(id for _, fields in await mailroom.read_log("0-0", 1000) for _, names in fields for id in names)
    )


async def list_fates(mailroom: Mailroom) -> list[Fate]:
    """Return what became of all events that were put, newest first."""
    return [fate for fate in await mailroom.fates((await list_put(mailroom))[::-1]) if fate is not None]
