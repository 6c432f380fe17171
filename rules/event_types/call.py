"""A telephone call, as a telephone system tells of it."""

from rules.event_types.base import EventData, Instant, Key


class PhoneCall(EventData):
    """Who called whom, and how it went."""

    #: The telephone system's own id of the call.
    id: Key | None = None
    caller: str
    callee: str | None = None
    caller_name: str | None = None
    started_at: Instant | None = None
    answered_at: Instant | None = None
    ended_at: Instant | None = None
    #: Seconds.
    duration: float | None = None


TYPES: dict[str, type[EventData]] = {"call.completed": PhoneCall, "call.missed": PhoneCall, "call.ringing": PhoneCall}
