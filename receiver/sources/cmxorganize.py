"""cmxOrganize: somebody ticked the newsletter box while registering for a course.

Comes in: eight fields as JSON or form, with cmx's German labels or ours; or a contact of its export to Maileon, whose
API begins at this source's URL (`receiver.maileon_door`). Goes out: one `newsletter.signup` each. What cmx sends is
forgotten there at once, so it is kept here before it is answered. docs/sources/cmxorganize.md says what is known.
"""

from collections.abc import Mapping, Sequence
from typing import Annotated, Any

from pydantic import AfterValidator, BaseModel, ConfigDict, Field

from receiver import body as bodies
from receiver import errors, field_names, identity, maileon_door
from receiver.errors import RequestRefused
from receiver.sources import base
from receiver.sources.base import Batch, SourceAnswer, SourceItem, SourceType
from receiver.verification import VerifiedRequest
from rules.catalogue import SourceKind
from rules.event_types.newsletter import Signup

NAME = "cmxorganize"
TYPE = "newsletter.signup"
#: What may stand in the URL; it need not.
EVENTS = frozenset({"newsletter", "newslettersignup", "signup"})

#: Squashed label -> our field; other fields are kept in snake_case.
LABELS: Mapping[str, str] = {
    **{field_names.squash(name): name for name in Signup.model_fields},
    "emailadresse": "email",
    "anrede": "salutation",
    "namenspraefix": "title",
    "titel": "title",
    "name": "last_name",
    "nachname": "last_name",
    "vorname": "first_name",
    "berufsundamtsbezeichnung": "profession",
    "berufsamtsbezeichnung": "profession",
    "berufsbezeichnung": "profession",
    "autowertdeseinkaufs": "purchase_id",
    "autowert": "purchase_id",
    "einzelnutzertracking": "single_user_tracking",
    "einzelnutzertrackingjanein": "single_user_tracking",
}

_names = field_names.Names(LABELS)

#: What no custom field may be: who it is, and what was asked for.
FIXED = frozenset({"email", "external_id", "permission", "doi"})


def _not_fixed(value: str) -> str:
    if value in FIXED:
        raise ValueError("stands elsewhere in the request, not in a custom field")
    return value


CustomTarget = Annotated[str, Field(pattern=r"^[a-z][a-z0-9_]{0,63}$"), AfterValidator(_not_fixed)]


class CmxOrganizeOptions(BaseModel):
    """How the export to Maileon is read."""

    model_config = ConfigDict(defer_build=True, frozen=True, extra="forbid", hide_input_in_errors=True)

    #: Maileon's custom fields that the export writes -> ours; they are listed where the export asks which there are.
    custom_fields: Mapping[Annotated[str, Field(min_length=1, max_length=64)], CustomTarget] = {
        "berufsbezeichnung": "profession",
        "cmx_einkauf_id": "purchase_id",
    }
    #: True: also a contact that comes without doi=true and without a permission is a sign-up.
    consent_implied: bool = False


KIND = SourceKind(
    name=NAME,
    about="cmxOrganize: newsletter sign-ups from course registrations, also by its export to Maileon.",
    options=CmxOrganizeOptions,
    types=frozenset({TYPE}),
    # Whoever is a customer without consent comes along, too: nobody asked us to keep those.
    retain_unmatched=0,
)


class CmxOrganize(SourceType):
    """Reads what cmxOrganize sends."""

    kind = KIND

    def unpack(self, request: VerifiedRequest, options: BaseModel, event: str | None) -> Batch:
        """Return an item per sign-up."""
        if (path := maileon_door.parse_path(event)) is not None:
            return _enter_door(request, path, _read_options(options))
        if event and field_names.squash(event) not in EVENTS:
            raise errors.NotFound("unknown_event", "cmxOrganize sends newsletter sign-ups only; end the URL before")
        return Batch([_make_item(position, each) for position, each in enumerate(bodies.records(request, _names))])

    def read(self, type: str, body: bytes) -> Mapping[str, Any]:
        """Return the data of one sign-up."""
        return base.read_data(type, field_names.looked_up(base.parse_object(body), _names), "snake_case")

    def answer(self, batch: Batch, ids: Sequence[str | None]) -> tuple[int, bytes] | SourceAnswer:
        """Return what Maileon would where the export to it asked, else the events' ids."""
        if "door" not in batch.context:
            return base.accept(ids)
        return maileon_door.answer_created(batch.items[0].identities[0]) if batch.items else maileon_door.pong()

    def greets(self, options: BaseModel) -> bool:
        """Say that the export to Maileon does not only post."""
        return True

    def greet(
        self, method: str, request: VerifiedRequest, options: BaseModel, event: str | None = None
    ) -> SourceAnswer | None:
        """Answer what the export to Maileon asks. Raises NotFound, NotModelled."""
        path = maileon_door.parse_path(event)
        return maileon_door.answer(method, path, _read_options(options).custom_fields) if path else None

    def refuse(self, refused: RequestRefused, event: str | None) -> SourceAnswer | None:
        """Refuse as Maileon does where the export to it asked."""
        return maileon_door.refuse(refused) if maileon_door.parse_path(event) else None

    def hide_person(self, event: str) -> str:
        """Leave out the address that stands in the URL of the export to Maileon."""
        return maileon_door.hide_person(event)


def _read_options(options: BaseModel) -> CmxOrganizeOptions:
    return options if isinstance(options, CmxOrganizeOptions) else CmxOrganizeOptions()


def _enter_door(request: VerifiedRequest, path: maileon_door.DoorPath, options: CmxOrganizeOptions) -> Batch:
    if path.resource == maileon_door.PING:
        return Batch([], {"door": True})
    record = maileon_door.read_contact(request, path, options.custom_fields, consent_implied=options.consent_implied)
    item = _make_item(0, record)
    if item.invalid is not None:  # not the address, which was read before
        raise errors.NotParseable("bad_contact", f"The contact does not fit: {item.invalid}")
    if external_id := record.fields.get("external_id"):
        item.identities += (identity.thing(NAME, "external", external_id),)
    return Batch([item], {"door": True})


def _make_item(position: int, record: bodies.BodyRecord) -> SourceItem:
    item = base.make_item(record, position, TYPE)
    signup = base.fit_item(item, field_names.looked_up(record.fields, _names))
    if isinstance(signup, Signup):
        item.identities = base.drop_repeated(base.identify_emails([signup.email]))
        item.order_key = item.identities[0]
        item.subject = f"purchase/{signup.purchase_id}" if signup.purchase_id else None
    return item


SOURCE = CmxOrganize()
