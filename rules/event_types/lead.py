"""Somebody asked for something: by a form (a lead), or by an e-mail to a tracked address."""

from rules.event_types.base import EventData, Instant, Key, MayHaveEmail
from rules.event_types.call import CampaignOrigin


class Lead(MayHaveEmail, CampaignOrigin):
    """Who it is, and what was asked. One of `id`, `email`, `phone` is always there."""

    #: The platform's own id of the lead.
    id: Key | None = None
    phone: str | None = None
    name: str | None = None
    first_name: str | None = None
    last_name: str | None = None
    company: str | None = None
    message: str | None = None
    created_at: Instant | None = None

    def check_without_email(self) -> None:
        """Raise ValueError where nothing says whom or what it is about."""
        if self.is_nobody():
            raise ValueError("names nobody: one of id, email, phone is needed")

    def is_nobody(self) -> bool:
        """Return whether nothing but an address could say whom it is about."""
        return self.id is None and not self.phone


class ReceivedEmail(MayHaveEmail, CampaignOrigin):
    """An e-mail that came in: `email` is its sender. One of `id`, `email` is always there."""

    #: The platform's own id of the message.
    id: Key | None = None
    sender_name: str | None = None
    recipient: str | None = None
    subject: str | None = None
    received_at: Instant | None = None

    def check_without_email(self) -> None:
        """Raise ValueError where nothing says whom or what it is about."""
        if self.is_nobody():
            raise ValueError("names nobody: one of id, email is needed")

    def is_nobody(self) -> bool:
        """Return whether nothing but an address could say whom it is about."""
        return self.id is None


TYPES: dict[str, type[EventData]] = {"lead.created": Lead, "email.received": ReceivedEmail}
