"""A contact of a mailing platform: somebody who can be written to.

`contact.changed` by form or API, `contact.edited` by hand, `contact.updated` by either, `contact.field_changed` by
himself; `contact.mail_filtered`: a mailing to him could not be made out. The others say what happened.
"""

from rules.event_types.base import Day, EventData, Instant, Key, MayHaveEmail, Word, YesNo


class Contact(MayHaveEmail):
    """Who it is about. One of `email`, `id`, `external_id`, `sms` is always there."""

    #: The platform's own number of the contact.
    id: Key | None = None
    #: The id that another system gave the contact there; digits stay text, `007` is not `7`.
    external_id: str | None = None
    #: Mobile number, as the platform writes it.
    sms: str | None = None
    first_name: str | None = None
    last_name: str | None = None
    #: `subscribed`, `unsubscribed`, `pending`, `bounced` …, as the platform names it, in lower case.
    status: Word | None = None
    sms_status: Word | None = None
    #: Why: of an unsubscription or a bounce, where the platform tells.
    reason: str | None = None
    #: The way it came about: of an unsubscription by link, reply, API …, where the platform tells.
    method: Word | None = None
    #: When it happened there, and by which mailing or transaction.
    happened_at: Instant | None = None
    mailing_id: Key | None = None
    transaction_id: Key | None = None
    phone1: str | None = None
    phone2: str | None = None
    fax: str | None = None
    street: str | None = None
    zip_code: str | None = None
    city: str | None = None
    birthday: Day | None = None
    anniversary: Day | None = None
    subscribe_ip: str | None = None
    is_deleted: YesNo = None
    is_do_not_mail: YesNo = None
    #: Free fields of the account; what they mean is agreed there.
    ext1: str | None = None
    ext2: str | None = None
    ext3: str | None = None
    ext4: str | None = None
    ext5: str | None = None
    ext6: str | None = None
    ext7: str | None = None
    ext8: str | None = None
    ext9: str | None = None
    ext10: str | None = None
    ext11: str | None = None
    ext12: str | None = None
    ext13: str | None = None
    ext14: str | None = None
    ext15: str | None = None
    ext16: str | None = None
    ext17: str | None = None
    ext18: str | None = None
    ext19: str | None = None
    ext20: str | None = None
    ext21: str | None = None
    ext22: str | None = None
    ext23: str | None = None
    ext24: str | None = None
    ext25: str | None = None
    date1: Instant | None = None
    date2: Instant | None = None
    date3: Instant | None = None
    date4: Instant | None = None
    date5: Instant | None = None
    num1: float | None = None
    num2: float | None = None
    num3: float | None = None
    num4: float | None = None
    num5: float | None = None

    def check_without_email(self) -> None:
        """Raise ValueError where nothing says whom it is about."""
        if self.is_nobody():
            raise ValueError("names nobody: one of email, id, external_id, sms is needed")

    def is_nobody(self) -> bool:
        """Return whether nothing but an address could say whom it is about."""
        return self.id is None and not self.external_id and not self.sms


class ContactFieldChange(Contact):
    """Somebody changed his own data by a link in a mailing."""

    #: The name of the field there.
    property: str | None = None
    old_value: str | None = None
    new_value: str | None = None


class ContactInGroup(Contact):
    """Somebody who joined or left a group."""

    group_id: Key | None = None
    group_name: str | None = None


class AutomationStep(Contact):
    """Somebody who reached a step of an automation."""

    automation_id: Key | None = None
    automation_name: str | None = None
    step_id: Key | None = None
    step_name: str | None = None


TYPES: dict[str, type[EventData]] = {
    "contact.changed": Contact,
    "contact.edited": Contact,
    "contact.updated": Contact,
    "contact.unsubscribed": Contact,
    "contact.opted_in": Contact,
    "contact.bounced": Contact,
    "contact.mail_filtered": Contact,
    "contact.field_changed": ContactFieldChange,
    "contact.group_added": ContactInGroup,
    "contact.group_removed": ContactInGroup,
    "automation.step": AutomationStep,
}
