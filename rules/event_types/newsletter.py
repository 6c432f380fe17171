"""Somebody ticked the newsletter box while registering for a course."""

from rules.event_types.base import EventData, RequiredEmail, YesNo


class Signup(EventData):
    """Who wants the newsletter. It exists only where the box was ticked."""

    email: RequiredEmail
    salutation: str | None = None
    #: Academic title or name prefix: `Dr.`
    title: str | None = None
    last_name: str | None = None
    first_name: str | None = None
    #: Profession or official title.
    profession: str | None = None
    #: The purchase during which the box was ticked; names no person.
    purchase_id: str | None = None
    #: The second consent: what this one person opens and clicks may be watched.
    single_user_tracking: YesNo = None


TYPES: dict[str, type[EventData]] = {"newsletter.signup": Signup}
