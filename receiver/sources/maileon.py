"""Maileon (XQueue): confirmed opt-ins, unsubscriptions, bounces and what else happens to contacts of its mailings.

Comes in: by default a POST without a body whose parameters of the URL say all, JSON where the webhook was set up so;
what happened is told by the end of the URL (`/in/mailing/unsubscription`). Goes out: one item per contact. The token in
the URL is never part of an event. docs/sources/maileon.md says what is documented, inferred and unknown.
"""

import base64
from collections.abc import AsyncIterator, Mapping, Sequence
from typing import Annotated, Any, Literal

from pydantic import AfterValidator, BaseModel, ConfigDict, Field
from pydantic_core import to_json

from receiver import body as bodies
from receiver import errors, field_names, identity, vendor_api
from receiver.maileon_door import parse_xml
from receiver.sources import base
from receiver.sources.base import (
    Batch,
    Every,
    HookRegistry,
    HooksOptions,
    PullOptions,
    PullSettings,
    PullWindow,
    SourceItem,
    SourceType,
    VendorHook,
)
from receiver.vendor_api import ApiAddress, ApiFailed, VendorAnswer, VendorApi
from receiver.verification import Signed, VerifiedRequest
from rules.catalogue import SourceKind
from rules.event_types.base import rfc3339
from rules.event_types.contact import Contact, ContactFieldChange
from rules.secret import Secret
from rules.source.units import DAY, HOUR, Duration

NAME = "maileon"

#: The vendor's event, which stands in the URL -> our type.
EVENTS: Mapping[str, str] = {
    "doi": "contact.opted_in",
    "unsubscription": "contact.unsubscribed",
    "bounce": "contact.bounced",
    "filtered": "contact.mail_filtered",
    "contact_field_change": "contact.field_changed",
}
_EVENTS = {field_names.squash(name): type for name, type in EVENTS.items()}

#: Squashed name of a parameter or field -> ours: the vendor's standard and event fields.
FIELDS: Mapping[str, str] = {
    **{field_names.squash(name): name for name in ContactFieldChange.model_fields},
    "contactid": "id",
    "maileonid": "id",
    "externalid": "external_id",
    "msgid": "mailing_id",
    "timestamp": "happened_at",
    "firstname": "first_name",
    "lastname": "last_name",
    "address": "street",
    "zip": "zip_code",
}
_names = field_names.Names(FIELDS)


def _known_events(value: tuple[str, ...]) -> tuple[str, ...]:
    if strange := set(value) - set(EVENTS):
        raise ValueError(f"Maileon has no event {', '.join(sorted(strange))}; there are {', '.join(EVENTS)}")
    return value


#: Report of the API -> our type; entries of a page, which is the most there; pages of one window.
REPORTS: Mapping[str, str] = {"unsubscriptions": "contact.unsubscribed", "bounces": "contact.bounced"}
PAGE, MOST_PAGES = 1_000, 1_000
#: What an entry of a report says -> what a webhook calls it.
REPORTED: Mapping[str, str] = {
    "email": "email",
    "id": "id",
    "external_id": "external_id",
    "timestamp": "timestamp",
    "mailing_id": "mailing_id",
    "transaction_id": "transaction_id",
    "source": "method",
    "type": "bounce_type",
    "status_code": "reason",
}

#: What a registered webhook posts as JSON. The token alone stands in its URL: addresses do not belong into logs.
STANDARD_FIELDS, EVENT_FIELDS = ("email", "external_id"), ("timestamp", "msg_id", "transaction_id")


class MaileonHooksOptions(HooksOptions):
    """The account in which `relais hooks` registers webhooks."""

    #: As Maileon shows it; it needs the rights GET, POST, PUT and DELETE.
    api_key: Secret
    #: Where the API is.
    base: ApiAddress = "https://api.maileon.com/1.0"
    #: Which webhooks are registered.
    events: Annotated[tuple[str, ...], AfterValidator(_known_events)] = ("doi", "unsubscription", "bounce")


class MaileonPull(PullOptions):
    """How unsubscriptions and bounces are fetched. The key needs the right GET."""

    #: Where the API is.
    base: ApiAddress = "https://api.maileon.com/1.0"
    #: Which reports are asked for: unsubscriptions, bounces.
    reports: Annotated[tuple[Literal["unsubscriptions", "bounces"], ...], Field(min_length=1)] = (
        "unsubscriptions",
        "bounces",
    )
    #: How often; off: only when a person asks.
    every: Every = HOUR
    #: Asked for again each time: when a report shows what happened is not documented.
    overlap: Annotated[Duration, Field(le=DAY)] = HOUR
    #: How far back the first time.
    first: Duration = DAY


class MaileonSourceOptions(BaseModel):
    """What ops write under a Maileon source."""

    model_config = ConfigDict(defer_build=True, frozen=True, extra="forbid", hide_input_in_errors=True)

    hooks: MaileonHooksOptions | None = None
    pull: MaileonPull | None = None


class MaileonHooks(HookRegistry):
    """Maileon's `/webhooks`: JSON, parameters in snake_case, bodies in camelCase (its official clients)."""

    event_name = "event"

    def __init__(self, options: MaileonHooksOptions, key: str, api: VendorApi) -> None:
        super().__init__(options, _authorize(key), api)
        self.words = {event: event for event in options.events}

    def define(self, name: str, word: str, url: str, proof: Signed) -> dict[str, Any]:
        """Return a webhook with the token in its URL and the rest in a JSON body. Raises ApiFailed."""
        if proof.headers or not proof.query:
            raise ApiFailed(
                "cannot_prove", "Maileon can only send a token in the URL: write verify: query: in the book"
            )
        none = {"standard_contact_field": None, "custom_contact_field": None}
        token = [{"name": name, "custom_value": value, **none} for name, value in proof.query.items()]
        fields = {"standardFields": list(STANDARD_FIELDS), "customFields": [], "eventFields": list(EVENT_FIELDS)}
        return {"url": url, "event": word, "urlParams": token, **fields}

    def is_same(self, hook: VendorHook, wanted: Mapping[str, Any]) -> bool:
        """Compare the parameters, where Maileon shows them."""
        shown = hook.raw.get("urlParams")
        if not isinstance(shown, list):
            return True
        values = {each.get("name"): each.get("custom_value") for each in shown if isinstance(each, dict)}
        return values == {each["name"]: each["custom_value"] for each in wanted["urlParams"]}


STAND_IN = {"base": "{sandbox}/maileon/1.0", "api_key": "${SANDBOX_MAILEON_API_KEY}"}

KIND = SourceKind(
    name=NAME,
    about="Maileon: confirmed opt-ins, unsubscriptions, bounces; one address per event, a token in the URL.",
    options=MaileonSourceOptions,
    types=frozenset(EVENTS.values()),
    event_from_url=lambda options: True,
    stand_in={"hooks": STAND_IN, "pull": STAND_IN},
)


class MaileonSource(SourceType):
    """Reads what Maileon sends."""

    kind = KIND
    registry = MaileonHooks

    def unpack(self, request: VerifiedRequest, options: BaseModel, event: str | None) -> Batch:
        """Return an item per contact."""
        type = _EVENTS.get(field_names.squash(event or ""))
        if type is None:
            code = "unknown_event" if event else "missing_event"
            raise errors.NotFound(code, f"the URL must end with one of {', '.join(EVENTS)}")
        return Batch(
            [_make_item(position, each, type) for position, each in enumerate(bodies.records(request, _names))]
        )

    def read(self, type: str, body: bytes) -> Mapping[str, Any]:
        """Return the data of one contact."""
        return base.read_data(type, field_names.looked_up(base.parse_object(body), _names), "snake_case")

    def pull_settings(self, options: BaseModel) -> PullSettings | None:
        """Return how reports are fetched, where the book says so."""
        if not isinstance(options, MaileonSourceOptions) or options.pull is None:
            return None
        said = options.pull
        return PullSettings(said.reports, said.api_key, said.quota, said.every, said.overlap, said.first)

    async def pull(self, options: BaseModel, window: PullWindow, api: VendorApi) -> AsyncIterator[Batch]:
        """Yield a report of a window, 1,000 entries a page, until a page is not full (the vendor's PHP client).

        Who was anonymised is left out: nothing would say whom it is about.
        """
        if not isinstance(options, MaileonSourceOptions) or options.pull is None:
            return
        said, type = options.pull, REPORTS[window.stream]
        hidden = "exclude_anonymous_bounces" if window.stream == "bounces" else "exclude_anonymous"
        since, until = (str(int(moment.timestamp() * 1000)) for moment in (window.since, window.until))
        asked = {"from_date": since, "to_date": until, hidden: "true", "page_size": str(PAGE)}
        headers = {"Authorization": _authorize(window.key), "Accept": "application/vnd.maileon.api+xml"}
        for page in range(1, MOST_PAGES + 1):
            url = vendor_api.build_url(said.base, f"/reports/{window.stream}", {**asked, "page_index": str(page)})
            answer = await api.request("GET", url, headers=headers, allow_private=said.allow_private)
            rows = _read_report(answer)
            told = [row for row in rows if row.get("email")]
            records = [bodies.BodyRecord(to_json(row), row) for row in told]
            yield Batch([_make_item(position, record, type) for position, record in enumerate(records)])
            if len(rows) < PAGE:
                return
        raise ApiFailed("too_many_pages", f"there are more than {MOST_PAGES} pages; ask for less time at once")

    def answer(self, batch: Batch, ids: Sequence[str | None]) -> tuple[int, bytes]:
        """Return 200: nothing says that Maileon takes another 2xx for an answer."""
        return 200, to_json({"events": base.list_events(ids)})


def _authorize(key: str) -> str:
    return f"Basic {base64.b64encode(key.encode()).decode()}"


def _read_report(answer: VendorAnswer) -> list[dict[str, Any]]:
    """Return the entries of a report as its webhook would post them. Raises ApiFailed.

    Each has `timestamp`, `mailing_id`, `source`, of a bounce also `type` and `status_code`, and a `contact` with `id`,
    `email` and `external_id` (the vendor's PHP client).
    """
    vendor_api.demand_success(answer)
    if answer.cut:
        raise ApiFailed("too_long", "the vendor's answer is too long; ask for less time at once")
    try:
        found = parse_xml(answer.body)
    except errors.NotParseable:
        raise ApiFailed("bad_answer", "the vendor's answer is no XML") from None
    rows = []
    for entry in found:
        flat = {each.tag: (each.text or "").strip() for each in (*entry, *entry.iterfind("contact/*"))}
        rows.append({ours: flat[theirs] for theirs, ours in REPORTED.items() if flat.get(theirs)})
    return rows


def _make_item(position: int, record: bodies.BodyRecord, type: str) -> SourceItem:
    item = base.make_item(record, position, type)
    contact = base.fit_item(item, field_names.looked_up(record.fields, _names))
    if isinstance(contact, Contact):
        told = [identity.email(contact.email, clean=True)] if contact.email else []
        if contact.id is not None:
            told.append(identity.thing(NAME, "contact", contact.id))
        if contact.external_id:
            told.append(identity.thing(NAME, "external", contact.external_id))
        item.identities = tuple([each for each in told if each])
        item.order_key = item.identities[0] if item.identities else None
        item.names = item.identities[1:]
        item.subject = f"contact/{contact.id}" if contact.id is not None else None
        if item.order_key:
            item.tells = ((f"{type} {item.order_key}", "@"),)
        if contact.happened_at is not None:
            item.time = rfc3339(contact.happened_at)
            item.tells = tuple((name, f"@{int(contact.happened_at.timestamp() * 1000)}") for name, _ in item.tells)
            # Maileon names no message. What happened to one contact in one moment is one event.
            item.sender_id = f"{type}/{contact.happened_at.isoformat()}"
            item.identity = item.order_key or ""
    return item


SOURCE = MaileonSource()
