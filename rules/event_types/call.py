"""A telephone call, as a telephone system or a call-tracking service tells of it."""

from typing import Self

from pydantic import model_validator

from rules.event_types.base import EventData, Instant, Key, Reference


class CampaignOrigin(EventData):
    """How somebody found his way here, as a tracking service knows it."""

    #: The account of the tracking service.
    account: Reference | None = None
    #: The number that was shown in this place, and led to the real one.
    tracked_number: str | None = None
    channel: str | None = None
    gclid: str | None = None
    utm_source: str | None = None
    utm_medium: str | None = None
    utm_campaign: str | None = None
    utm_term: str | None = None
    utm_content: str | None = None


class PhoneCall(CampaignOrigin):
    """Who called whom, and how it went. One of `id` and `caller` is always there: numbers may be withheld."""

    #: The telephone system's own id of the call.
    id: Key | None = None
    caller: str | None = None
    callee: str | None = None
    caller_name: str | None = None
    started_at: Instant | None = None
    answered_at: Instant | None = None
    ended_at: Instant | None = None
    #: Seconds.
    duration: float | None = None

    @model_validator(mode="after")
    def _names_a_call(self) -> Self:
        if self.id is None and not self.caller:
            raise ValueError("names no call: one of id, caller is needed")
        return self


TYPES: dict[str, type[EventData]] = {"call.completed": PhoneCall, "call.missed": PhoneCall, "call.ringing": PhoneCall}
