"""ActiveTrail: contacts of a mailing account, their groups and automations.

Comes in: a contact as JSON, form or parameters of the URL, or an array of contacts; what happened is told by the URL
only (`/in/at/unsubscribed`). Goes out: one item per contact. No authentic body has been published, so names of fields
are read in any case and punctuation, and a contact may stand under `contact`.
"""

import hashlib
from collections.abc import AsyncIterator, Mapping
from datetime import datetime
from typing import Annotated, Any

from pydantic import AfterValidator, BaseModel, ConfigDict, Field
from pydantic_core import to_json

from receiver import body as bodies
from receiver import errors, field_names, identity, vendor_api
from receiver.plain_fields import PlainReader
from receiver.sources import base
from receiver.sources.base import (
    Batch,
    HookRegistry,
    HooksOptions,
    PullOptions,
    PullSettings,
    PullWindow,
    SourceItem,
    SourceType,
    VendorHook,
)
from receiver.vendor_api import ApiAddress, ApiFailed, VendorApi
from receiver.verification import Signed, VerifiedRequest
from rules.catalogue import SourceKind
from rules.event_types.contact import AutomationStep, ContactInGroup
from rules.source.units import LONGEST

NAME = "activetrail"

#: What stands in the URL -> our type.
EVENTS: Mapping[str, str] = {
    "contact_changed": "contact.changed",
    "contact_edited": "contact.edited",
    "contact_updated": "contact.updated",
    "group_added": "contact.group_added",
    "group_removed": "contact.group_removed",
    "unsubscribed": "contact.unsubscribed",
    "automation_step": "automation.step",
}

#: Types that say how a contact stands.
CHANGES = frozenset({"contact.changed", "contact.edited", "contact.updated", "contact.unsubscribed"})
#: Contacts of a page of the API, which is the most there; pages of one state.
PAGE, MOST_PAGES = 100, 10_000

#: Other spellings that people or the vendor may use, squashed.
OTHER_NAMES: Mapping[str, str] = {
    "contactchange": "contact_changed",
    "contactexternalchange": "contact_changed",
    "external": "contact_changed",
    "contactedit": "contact_edited",
    "contactmanualchange": "contact_edited",
    "manualcontactchange": "contact_edited",
    "manual": "contact_edited",
    "contactupdate": "contact_updated",
    "updated": "contact_updated",
    "contactaddedtogroup": "group_added",
    "addedtogroup": "group_added",
    "groupadd": "group_added",
    "contactremovedfromgroup": "group_removed",
    "removedfromgroup": "group_removed",
    "groupremove": "group_removed",
    "contactunsubscribed": "unsubscribed",
    "contactunsubscribe": "unsubscribed",
    "unsubscribe": "unsubscribed",
    "automation": "automation_step",
}

_NAMES = {**{field_names.squash(name): name for name in EVENTS}, **OTHER_NAMES}

#: Squashed name of a field -> ours; other fields are kept in snake_case.
FIELDS: Mapping[str, str] = {
    **{field_names.squash(name): name for name in (ContactInGroup.model_fields | AutomationStep.model_fields)},
    "contactid": "id",
    "emailaddress": "email",
    "mobile": "sms",
    "mobilephone": "sms",
    "firstname": "first_name",
    "lastname": "last_name",
    "zip": "zip_code",
    "mailinggroupid": "group_id",
    "unsubscribereason": "reason",
}

#: Ours that hold telephone numbers.
PHONES = ("sms", "phone1", "phone2")

_names = field_names.Names(FIELDS)
_reader = PlainReader(_names)


def _known_events(value: Mapping[str, str]) -> Mapping[str, str]:
    if strange := set(value) - set(EVENTS):
        raise ValueError(f"no address ends in {', '.join(sorted(strange))}; there are {', '.join(EVENTS)}")
    return value


def _mean_events(value: Mapping[str, str]) -> Mapping[str, str]:
    _known_events(dict.fromkeys(value.values(), ""))
    return value


class ActiveTrailHooksOptions(HooksOptions):
    """The account in which `relais hooks` registers webhooks."""

    #: Where the API is.
    base: ApiAddress = "https://webapi.mymarketing.co.il/api"
    #: What stands at the end of our URL -> the vendor's word. Only one is documented; the others are read off a webhook
    #: that was made by hand, with `relais hooks list`.
    events: Annotated[Mapping[str, str], AfterValidator(_known_events)] = {"contact_changed": "contact_change"}


class ActiveTrailPull(PullOptions):
    """How contacts are compared with its REST API, when a person asks."""

    #: Where the API is.
    base: ApiAddress = "https://webapi.mymarketing.co.il/api"
    #: The vendor's state of a contact -> what it means here, as at the end of our URL. That CUSTOMER_REQUEST is who
    #: unsubscribed is inferred.
    states: Annotated[Mapping[str, str], AfterValidator(_mean_events), Field(min_length=1)] = {
        "ACTIVE": "contact_updated",
        "CUSTOMER_REQUEST": "unsubscribed",
    }


class ActiveTrailOptions(BaseModel):
    """What ops write under an ActiveTrail source."""

    model_config = ConfigDict(defer_build=True, frozen=True, extra="forbid", hide_input_in_errors=True)

    hooks: ActiveTrailHooksOptions | None = None
    pull: ActiveTrailPull | None = None


class ActiveTrailHooks(HookRegistry):
    """ActiveTrail's `/webhooks`: JSON, the key as it is in Authorization (its API pages)."""

    event_name = "event_type"

    def __init__(self, options: ActiveTrailHooksOptions, key: str, api: VendorApi) -> None:
        super().__init__(options, key, api)
        self.words = dict(options.events)

    def define(self, name: str, word: str, url: str, proof: Signed) -> dict[str, Any]:
        """Return a webhook that posts JSON with the token in a header. Raises ApiFailed."""
        if proof.query or not proof.headers:
            raise ApiFailed("cannot_prove", "ActiveTrail can send a fixed header: write verify: header: in the book")
        kind = {"event_value_type": "custom_text", "event_parameter_type": "header"}
        parameters = [{"key": key, "value": value, **kind} for key, value in proof.headers.items()]
        told = {"name": name, "url": url, "event_type": word, "format": "json"}
        return {**told, "is_active": True, "parameters": parameters}

    def is_same(self, hook: VendorHook, wanted: Mapping[str, Any]) -> bool:
        """Compare the header and whether it is active, where ActiveTrail shows them."""
        shown = hook.raw.get("parameters")
        values = {each.get("key"): each.get("value") for each in shown or () if isinstance(each, dict)}
        right = {each["key"]: each["value"] for each in wanted["parameters"]}
        return hook.raw.get("is_active", True) is True and (shown is None or values == right)


STAND_IN = {"base": "{sandbox}/activetrail/api", "api_key": "${SANDBOX_ACTIVETRAIL_API_KEY}"}

KIND = SourceKind(
    name=NAME,
    about="ActiveTrail: contacts changed, edited, unsubscribed, in groups; one address per event, a header token.",
    options=ActiveTrailOptions,
    types=frozenset(EVENTS.values()),
    event_from_url=lambda options: True,
    stand_in={"hooks": STAND_IN, "pull": STAND_IN},
)


def find_type(event: str | None) -> str:
    """Return our type for what stands in the URL. Raises NotFound."""
    if event is not None and event in EVENTS:
        return EVENTS[event]
    known = ", ".join(EVENTS)
    if not event:
        raise errors.NotFound("missing_event", f"the URL must end with what happened: {known}")
    name = _NAMES.get(field_names.squash(event))
    if name is None:
        raise errors.NotFound("unknown_event", f"the URL must end with one of {known}")
    return EVENTS[name]


def read_fields(body: dict[str, Any]) -> dict[str, Any]:
    """Return a contact's fields, which may stand inside."""
    inner = body.get("contact", body.get("Contact"))
    if isinstance(inner, dict):
        body = {**{name: value for name, value in body.items() if value is not inner}, **inner}
    return body


class ActiveTrailSource(SourceType):
    """Reads what ActiveTrail sends."""

    kind = KIND
    registry = ActiveTrailHooks

    def unpack(self, request: VerifiedRequest, options: BaseModel, event: str | None) -> Batch:
        """Return an item per contact."""
        type = find_type(event)
        return Batch(
            [_make_item(position, each, type) for position, each in enumerate(bodies.records(request, _names))]
        )

    def read(self, type: str, body: bytes) -> Mapping[str, Any]:
        """Return the data of one contact."""
        return base.read_named(type, read_fields(base.parse_object(body)), _reader)

    def pull_settings(self, options: BaseModel) -> PullSettings | None:
        """Return how contacts are compared, where the book says so."""
        if not isinstance(options, ActiveTrailOptions) or options.pull is None:
            return None
        said = options.pull
        return PullSettings(tuple(said.states), said.api_key, said.quota, every=None, step=LONGEST)

    async def pull(self, options: BaseModel, window: PullWindow, api: VendorApi) -> AsyncIterator[Batch]:
        """Yield the contacts of a state and of days, 100 a page, until a page is not full.

        `CustomerStates`, `FromDate`, `ToDate`, `Page` and `Limit` are of the vendor's page "GET api/contacts"; which
        date of a contact it compares, and that the answer is a bare list, is inferred.
        """
        if not isinstance(options, ActiveTrailOptions) or options.pull is None:
            return
        said = options.pull
        days = {"FromDate": f"{window.since:%Y-%m-%d}", "ToDate": f"{window.until:%Y-%m-%d}"}
        headers = {"Authorization": window.key, "Accept": "application/json"}
        for page in range(1, MOST_PAGES + 1):
            asked = {"CustomerStates": window.stream, **days, "Page": str(page), "Limit": str(PAGE)}
            url = vendor_api.build_url(said.base, "/contacts", asked)
            answer = await api.request("GET", url, headers=headers, allow_private=said.allow_private)
            rows = vendor_api.read_json(answer)
            if not isinstance(rows, list):
                raise ApiFailed("bad_answer", "the platform's answer is no list of contacts")
            contacts = [row for row in rows if isinstance(row, dict)]
            event = said.states[window.stream]
            yield Batch([_make_fetched(at, contact, event, window.since) for at, contact in enumerate(contacts)])
            if len(rows) < PAGE:
                return
        raise ApiFailed("too_many_pages", f"there are more than {MOST_PAGES} pages; ask for less time")


def _make_fetched(position: int, contact: dict[str, Any], event: str, since: datetime) -> SourceItem:
    """Return the item of a listed contact: missing if nothing came of it since that moment. Its content is its id."""
    body = to_json(contact)
    item = _make_item(position, bodies.BodyRecord(body, contact), EVENTS[event])
    item.sender_id = f"{event}/{hashlib.blake2b(body, digest_size=12).hexdigest()}"
    item.tells = tuple((name, f"@{int(since.timestamp() * 1000)}") for name, _ in item.tells)
    return item


def _make_item(position: int, record: bodies.BodyRecord, type: str) -> SourceItem:
    item = base.make_item(record, position, type)
    contact = base.fit_fields(item, read_fields(record.fields), _reader)
    if contact is not None:
        email, id = contact.get("email"), contact.get("id")
        address = identity.email(email, clean=True) if email else None
        told = (address,) if address else ()
        if id is not None:
            told = (*told, identity.thing(NAME, "contact", id))
        item.phones = tuple(filter(None, map(contact.get, PHONES)))
        item.identities = told
        item.order_key = key = told[0] if told else None
        if key and type in CHANGES:
            item.tells = ((f"contact {key}", "@"),)
            if type == "contact.unsubscribed":
                item.tells = ((f"{type} {key}", "@"), *item.tells)
        item.names = told[1:]
        item.subject = f"contact/{id}" if id is not None else None
    return item


SOURCE = ActiveTrailSource()
