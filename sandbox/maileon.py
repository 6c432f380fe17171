"""An imitation of Maileon's REST API 1.0, as far as Relais and its tests need it.

Comes in: HTTP below `/maileon/1.0`. Goes out: XML, 201 with `<id>`, errors as `<error><message>`. Never sends a mail:
it records it in a mailbox, and `/_sandbox/maileon/confirm` simulates the click on the link in it.

Imitates the pages of support.maileon.com (older twin maileon.dev/api/rest-api-1-0): "Create contact", "Create contact
by external ID", "Update contact by email", "Unsubscribe contacts by email", "Set unsubscription marker", "Permission",
"Standard contact fields", "Custom contact fields", "Create transactions", "HTTP status codes", "Authentication". Where
a page says nothing, the docstring of the function says what was chosen.
"""

import base64
import json
import re
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from html import escape
from typing import Any
from xml.etree import ElementTree

from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.middleware import Middleware
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route
from starlette.types import ASGIApp, Receive, Scope, Send

from sandbox.accounts import Accounts
from sandbox.calls import VendorCall

XML = "application/vnd.maileon.api+xml"
JSON = "application/vnd.maileon.api+json"

EMAIL = re.compile(r"[^@\s,;<>]+@[^@\s,;<>]+\.[^@\s,;<>.]+")

#: "Permission": 1 none, 2 single opt-in, 3 confirmed, 4 double opt-in, 5 double opt-in with user tracking, 6 other.
PERMISSIONS = frozenset(range(1, 7))
CONFIRMED = frozenset({4, 5})

#: "Get unsubscriptions": parameters with what counts where nobody says, and the largest page.
REPORT_PAGE = {"from_date": "0", "to_date": "99999999999999", "page_index": "1", "page_size": "100"}
REPORT_MOST = 1000

#: "Create webhook".
WEBHOOK_EVENTS = frozenset({"doi", "unsubscription", "bounce", "filtered", "contact_field_change"})

#: "Standard contact fields"; each at most 255 characters.
STANDARD_FIELDS = frozenset(
    [
        "ADDRESS",
        "BIRTHDAY",
        "CITY",
        "COUNTRY",
        "FIRSTNAME",
        "FULLNAME",
        "GENDER",
        "HNR",
        "LASTNAME",
        "LOCALE",
        "NAMEDAY",
        "ORGANIZATION",
        "REGION",
        "SALUTATION",
        "STATE",
        "TITLE",
        "ZIP",
    ]
)
DATE = re.compile(r"\d{4}-\d\d-\d\d( \d\d:\d\d:\d\d)?")

#: "Custom contact fields": types, and the names that are taken.
CUSTOM_TYPES = frozenset({"string", "integer", "float", "date", "boolean"})
TAKEN_NAMES = frozenset(
    ["id", "created", "external_id", "local_part", "permission_type", "permission_status", "sendout_status", "updated"]
)

#: "Unsubscribe contacts by email": the type of a reason, before the bar.
REASONS = frozenset(
    ["too_many_messages", "no_demand", "change_of_channel", "change_of_interest", "technical_reasons", "other"]
)

#: What exists in a fresh account of the sandbox: custom fields must exist beforehand ("Update contact by email").
CUSTOM_FIELDS: Mapping[str, str] = {
    "berufsbezeichnung": "string",
    "cmx_einkauf_id": "string",
    "seminardesk_id": "integer",
    "last_booking": "date",
    "interests": "string",
    "is_customer": "boolean",
}
DOI_MAILINGS = ("doi-standard", "doi-kurse")
TRANSACTION_TYPES = ("booking_confirmed",)


class MaileonRefusal(Exception):
    """An answer other than success."""

    def __init__(self, status: int, text: str) -> None:
        super().__init__(text)
        self.status = status
        self.text = text


@dataclass
class StoredContact:
    """One contact of the one pool: Maileon has no lists."""

    id: int
    email: str
    external_id: str | None = None
    permission: int = 1
    #: Whether the pending DOI mail asks for consent to tracking; None: no DOI mail is pending.
    pending_doiplus: bool | None = None
    standard_fields: dict[str, str] = field(default_factory=dict)
    custom_fields: dict[str, Any] = field(default_factory=dict)
    src: str | None = None
    created: str = ""
    updated: str = ""


@dataclass(frozen=True)
class Fields:
    """The fields of a contact in a request. None does not occur: Maileon refuses null for a custom field."""

    email: str | None
    external_id: str | None
    permission: int | None
    standard: Mapping[str, str]
    custom: Mapping[str, Any]


@dataclass
class Unsubscription:
    """One accepted call to unsubscribe, as a record for tests; the contact is anonymised when the lag has passed."""

    email: str
    reasons: list[str]
    at: str
    due: float
    done: bool = False


class Maileon:
    """One Maileon account."""

    name = "maileon"
    prefix = "/maileon/1.0"

    def __init__(self, accounts: Accounts) -> None:
        self._keys: Mapping[str, frozenset[str]] = {
            accounts.maileon_api_key: frozenset({"GET", "POST", "PUT", "DELETE"}),
            accounts.maileon_api_key_write_only: frozenset({"POST", "PUT"}),
        }
        self.reset()

    def reset(self) -> None:
        """Start over with an empty account."""
        self._next_id = 1
        self.contacts: dict[int, StoredContact] = {}
        self.mailbox: list[dict[str, Any]] = []
        self.unsubscriptions: list[Unsubscription] = []
        self.markers: dict[str, str] = {}
        self.custom_fields: dict[str, str] = dict(CUSTOM_FIELDS)
        self.transaction_types: dict[str, int] = {name: 100 + n for n, name in enumerate(TRANSACTION_TYPES)}
        self.transactions: list[dict[str, Any]] = []
        #: Report -> what it says: timestamp (ms), email, and what else an entry has.
        self.reports: dict[str, list[dict[str, Any]]] = {"unsubscriptions": [], "bounces": []}
        self.webhooks: dict[int, dict[str, Any]] = {}
        self._last_webhook = 1900
        #: Seconds until an unsubscription takes effect.
        self.unsubscribe_lag = 0.2
        #: None: an account without a default DOI mailing, where doi=true is accepted and mails nothing.
        self.default_doi_mailing: str | None = DOI_MAILINGS[0]

    def tell(self, settings: Mapping[str, Any]) -> None:
        """Take `unsubscribe_lag` (seconds), `default_doi_mailing` (a key or null), entries of the two reports."""
        for name, value in settings.items():
            if name == "unsubscribe_lag":
                self.unsubscribe_lag = float(value)
            elif name == "default_doi_mailing":
                self.default_doi_mailing = value
            elif name in self.reports:
                self.reports[name] += value
            else:
                there = ", ".join(("unsubscribe_lag", "default_doi_mailing", *self.reports))
                raise ValueError(f"maileon has no setting {name}; there are {there}")

    def error(self, status: int, text: str) -> Response:
        """Return `<error><message>`, as "HTTP status codes" shows it, whatever was asked for."""
        return _xml(f"<error><message>{escape(text)}</message></error>", status)

    def object_of(self, call: VendorCall) -> str | None:
        """Return `email:…` of the path, or the external id."""
        parts = call.path.strip("/").split("/")
        if parts[:2] == ["contacts", "email"] and len(parts) > 2:
            return f"email:{parts[2].strip().lower()}"
        if parts[:2] == ["contacts", "externalid"] and len(parts) > 2:
            return f"external_id:{parts[2]}"
        return None

    def holds(self) -> Mapping[str, Any]:
        """Return contacts, mailbox, unsubscriptions, markers and transactions."""
        self._unsubscribe_due()
        return {
            "contacts": [
                {
                    "id": contact.id,
                    "email": contact.email,
                    "external_id": contact.external_id,
                    "permission": contact.permission,
                    "pending": contact.pending_doiplus is not None,
                    "standard_fields": contact.standard_fields,
                    "custom_fields": contact.custom_fields,
                    "src": contact.src,
                    "created": contact.created,
                    "updated": contact.updated,
                }
                for contact in self.contacts.values()
            ],
            "mailbox": self.mailbox,
            "unsubscriptions": [
                {"email": one.email, "reasons": one.reasons, "at": one.at, "done": one.done}
                for one in self.unsubscriptions
            ],
            "markers": sorted(self.markers),
            "custom_fields": self.custom_fields,
            "transactions": self.transactions,
            "webhooks": list(self.webhooks.values()),
        }

    def confirm(self, email: str) -> StoredContact | None:
        """Click the link in the newest DOI mail: pending becomes 4, with doiplus 5. None: no mail is out."""
        contact = self._by_email(email)
        if contact is None or contact.pending_doiplus is None:
            return None
        contact.permission = 5 if contact.pending_doiplus else 4
        contact.pending_doiplus = None
        contact.updated = _now()
        return contact

    def app(self) -> ASGIApp:
        """Return the API."""
        email = "/contacts/email/{email}"
        external = "/contacts/externalid/{external_id}"
        routes = [
            Route("/ping", self._ping, methods=["GET", "POST", "PUT", "DELETE"]),
            Route("/account/info", self._account, methods=["GET"]),
            Route("/contacts/contact", self._show_by_id, methods=["GET"]),
            Route("/contacts/contact/unsubscribe", self._unsubscribe_by_id, methods=["DELETE"]),
            Route("/contacts/count", self._count, methods=["GET"]),
            Route("/contacts/fields/custom", self._list_fields, methods=["GET"]),
            Route("/contacts/fields/custom/{name}", self._create_field, methods=["POST"]),
            Route(f"{email}/unsubscribe", self._unsubscribe, methods=["DELETE"]),
            Route(f"{external}/unsubscribe", self._unsubscribe, methods=["DELETE"]),
            Route(f"{email}/unsubscription", self._marker, methods=["GET", "PUT", "DELETE"]),
            Route(email, self._create, methods=["POST"]),
            Route(email, self._update, methods=["PUT"]),
            Route(email, self._show, methods=["GET"]),
            Route(email, self._delete, methods=["DELETE"]),
            Route(external, self._create_by_external_id, methods=["POST"]),
            Route(external, self._update, methods=["PUT"]),
            Route(external, self._show, methods=["GET"]),
            Route(external, self._delete, methods=["DELETE"]),
            Route("/reports/unsubscriptions", self._report, methods=["GET"]),
            Route("/reports/bounces", self._report, methods=["GET"]),
            Route("/webhooks", self._list_webhooks, methods=["GET"]),
            Route("/webhooks", self._save_webhook, methods=["POST"]),
            Route("/webhooks/{id:int}", self._save_webhook, methods=["PUT"]),
            Route("/webhooks/{id:int}", self._remove_webhook, methods=["DELETE"]),
            Route("/transactions/types", self._transaction_types, methods=["GET", "POST"]),
            Route("/transactions/types/{type}", self._show_type, methods=["GET"]),
            Route("/transactions", self._send_transactions, methods=["POST"]),
        ]
        return Starlette(
            routes=routes,
            middleware=[Middleware(_MaileonAuth, maileon=self)],
            exception_handlers={MaileonRefusal: self._refuse, HTTPException: self._refuse_route},
        )

    def rights(self, authorization: str) -> frozenset[str]:
        """Return the methods that the key in a header allows.

        "Authentication": `Basic ` and base64 of the key alone, without the colon of user and password. Wrong form,
        unknown and expired keys are 401.
        """
        scheme, _, encoded = authorization.partition(" ")
        try:
            key = base64.b64decode(encoded, validate=True).decode()
        except ValueError:
            key = ""
        rights = self._keys.get(key)
        if scheme.lower() != "basic" or rights is None:
            raise MaileonRefusal(401, "The API key is missing, invalid or expired")
        return rights

    # -- reports

    async def _report(self, request: Request) -> Response:
        """ "Get unsubscriptions", "Get bounces": a page of what happened in a time, as the PHP client reads it.

        What it does not model is 501. Also who unsubscribed by the API is in the report.
        """
        kind = request.url.path.rpartition("/")[2]
        hidden = "exclude_anonymous_bounces" if kind == "bounces" else "exclude_anonymous"
        if strange := set(request.query_params) - {"from_date", "to_date", "page_index", "page_size", hidden}:
            raise MaileonRefusal(501, f"The sandbox does not model {', '.join(sorted(strange))}")
        told = {name: request.query_params.get(name, default) for name, default in REPORT_PAGE.items()}
        if not all(value.isdigit() for value in told.values()):
            raise MaileonRefusal(400, "Dates and pages are numbers")
        since, until, page, size = (int(value) for value in told.values())
        if page < 1 or not 1 <= size <= REPORT_MOST:
            raise MaileonRefusal(400, f"page_index begins with 1, page_size is 1 to {REPORT_MOST}")
        rows = list(self.reports[kind])
        if kind == "unsubscriptions":
            for one in self.unsubscriptions:
                at = int(datetime.fromisoformat(one.at).timestamp() * 1000)
                rows.append({"timestamp": at, "email": one.email, "source": "api"})
        rows = [row for row in rows if since <= row["timestamp"] <= until]
        some = rows[(page - 1) * size : page * size]
        return _xml(f"<{kind}>{''.join(_report_entry(kind[:-1], row) for row in some)}</{kind}>")

    # -- webhooks

    async def _list_webhooks(self, request: Request) -> Response:
        """ "Get webhooks": a JSON list."""
        return JSONResponse(list(self.webhooks.values()))

    async def _save_webhook(self, request: Request) -> Response:
        """ "Create webhook", "Update webhook": 201 with the id, XML even here; what is not documented is 501."""
        try:
            told = json.loads(await request.body())
        except ValueError:
            raise MaileonRefusal(400, "The body is no JSON") from None
        if not isinstance(told, dict) or told.get("event") not in WEBHOOK_EVENTS or "url" not in told:
            raise MaileonRefusal(400, "A webhook needs a url and an event")
        if strange := set(told) - {"url", "event", "urlParams", "standardFields", "customFields", "eventFields"}:
            raise MaileonRefusal(501, f"The sandbox does not model {', '.join(sorted(strange))}")
        id = request.path_params.get("id")
        if id is not None and id not in self.webhooks:
            raise MaileonRefusal(404, "There is no such webhook")
        if id is None:
            self._last_webhook += 1
        number = self._last_webhook if id is None else id
        self.webhooks[number] = {**told, "id": number, "nlAccountId": 1}
        return _created(number) if id is None else Response(status_code=200)

    async def _remove_webhook(self, request: Request) -> Response:
        if self.webhooks.pop(request.path_params["id"], None) is None:
            raise MaileonRefusal(404, "There is no such webhook")
        return Response(status_code=204)

    # -- contacts

    async def _create(self, request: Request) -> Response:
        """ "Create contact": create, or with sync_mode=1 update; by default, sync_mode=2, leave what exists."""
        email = _email(request.path_params["email"])
        self._unsubscribe_due()
        return _created(self._upsert(request, self._by_email(email), email, await self._fields(request)).id)

    async def _create_by_external_id(self, request: Request) -> Response:
        """ "Create contact by external ID": 409 when several contacts share the id; the e-mail is in the body."""
        self._unsubscribe_due()
        known = self._by_external_id(request.path_params["external_id"])
        if len(known) > 1:
            raise MaileonRefusal(409, "There is more than one contact with this external id")
        fields = await self._fields(request)
        if not known and fields.email is None:
            raise MaileonRefusal(400, "The email address is required when the contact is new")
        email = _email(fields.email if fields.email is not None else known[0].email)
        contact = self._upsert(request, known[0] if known else self._by_email(email), email, fields)
        contact.external_id = request.path_params["external_id"]
        return _created(contact.id)

    def _upsert(self, request: Request, contact: StoredContact | None, email: str, fields: Fields) -> StoredContact:
        permission = _number(request, "permission", 1, PERMISSIONS)
        sync_mode = _number(request, "sync_mode", 2, frozenset({1, 2}))
        doi, doiplus = _flag(request, "doi"), _flag(request, "doiplus")
        if contact is not None and sync_mode == 2:
            return contact
        if contact is None:
            contact = StoredContact(self._next_id, email, permission=permission, created=_now())
            self._next_id += 1
            self.contacts[contact.id] = contact
        elif not (contact.permission in CONFIRMED and permission not in CONFIRMED):
            # "… the permission will be ignored, since you already own a valid DOI(+) permission."
            contact.permission = permission
        self._write(contact, fields)
        contact.src = request.query_params.get("src", contact.src)
        if doi:
            self._start_doi(contact, doiplus, request.query_params.get("doimailing"))
        return contact

    def _start_doi(self, contact: StoredContact, doiplus: bool, mailing: str | None) -> None:
        """Mail, unless the contact holds 4 or 5 already; a pending one is mailed again (not documented, assumed).

        Without a default mailing, or with a wrong key, nothing is mailed and the answer is the same: the first two of
        the silent failures on "Übersicht Kontaktmanagement".
        """
        mailing = mailing or self.default_doi_mailing
        if contact.permission in CONFIRMED or mailing not in DOI_MAILINGS:
            return
        contact.pending_doiplus = doiplus
        self.mailbox.append({"to": contact.email, "mailing": mailing, "doiplus": doiplus, "at": _now()})

    async def _update(self, request: Request) -> Response:
        """ "Update contact by email": only what exists, 201; may carry a new e-mail, and a permission that holds."""
        self._unsubscribe_due()
        contact = self._one(request)
        fields = await self._fields(request)
        if fields.email is not None and _email(fields.email) != contact.email:
            if self._by_email(fields.email) is not None:
                raise MaileonRefusal(400, "The value of the email address already exists for another contact")
            contact.email = _email(fields.email)
        if "permission" in request.query_params or fields.permission is not None:
            contact.permission = _number(request, "permission", fields.permission or 1, PERMISSIONS)
        self._write(contact, fields)
        return _created(contact.id)

    async def _show(self, request: Request) -> Response:
        """Return a contact with the fields that `standard_field` and `custom_field` ask for, each repeatable.

        By external id, which need not be of one only, it is a list, as the PHP client reads it.
        """
        self._unsubscribe_due()
        contact = self._one(request)
        standard = _asked(request.query_params.getlist("standard_field"), contact.standard_fields)
        custom = _asked(request.query_params.getlist("custom_field"), contact.custom_fields)
        shown = (
            f"<contact><id>{contact.id}</id><email>{escape(contact.email)}</email>"
            f"<external_id>{escape(contact.external_id or '')}</external_id>"
            f"<permission>{contact.permission}</permission>"
            f"<created>{contact.created}</created><updated>{contact.updated}</updated>"
            f"<standard_fields>{standard}</standard_fields><custom_fields>{custom}</custom_fields></contact>"
        )
        return _xml(f"<contacts>{shown}</contacts>" if "external_id" in request.path_params else shown)

    async def _show_by_id(self, request: Request) -> Response:
        """ "Get contact by Maileon ID"."""
        self._unsubscribe_due()
        request.scope["path_params"]["email"] = self._by_id(request).email
        return await self._show(request)

    async def _unsubscribe_by_id(self, request: Request) -> Response:
        """ "Unsubscribe contacts by Maileon ID"."""
        request.scope["path_params"]["email"] = self._by_id(request).email
        return await self._unsubscribe(request)

    def _by_id(self, request: Request) -> StoredContact:
        number = request.query_params.get("id", "")
        found = self.contacts.get(int(number)) if number.isdigit() else None
        if found is None:
            raise MaileonRefusal(404, "The contact does not exist")
        return found

    async def _count(self, request: Request) -> Response:
        self._unsubscribe_due()
        return _xml(f"<count_contacts>{len(self.contacts)}</count_contacts>")

    async def _delete(self, request: Request) -> Response:
        """Really delete, at once."""
        self._unsubscribe_due()
        del self.contacts[self._one(request).id]
        return Response(status_code=204)

    async def _unsubscribe(self, request: Request) -> Response:
        """ "Unsubscribe contacts by email": accepted now, done later, contact and history anonymised.

        No mailing was ever sent here, so every `mailingId` is the documented 400. The status for an unknown address is
        not documented; 404 was chosen.
        """
        self._unsubscribe_due()
        if "mailingId" in request.query_params:
            raise MaileonRefusal(400, "The mailing is unknown or was not sent")
        reasons = request.query_params.getlist("reason")
        for reason in reasons:
            if reason.partition("|")[0] not in REASONS:
                raise MaileonRefusal(400, f"The reason type is not one of {', '.join(sorted(REASONS))}")
        contacts = (
            self._by_external_id(request.path_params["external_id"])
            if "external_id" in request.path_params
            else [self._one(request)]
        )
        if not contacts:
            raise MaileonRefusal(404, "The contact does not exist")
        due = time.monotonic() + self.unsubscribe_lag
        self.unsubscriptions += [Unsubscription(contact.email, reasons, _now(), due) for contact in contacts]
        return Response(status_code=204)

    async def _marker(self, request: Request) -> Response:
        """ "Set unsubscription marker": 201 new, 200 existing, 400 bad address; a live contact stays subscribed."""
        email = _email(request.path_params["email"])
        known = email in self.markers
        if request.method == "PUT":
            self.markers.setdefault(email, _now())
            return Response(status_code=200 if known else 201)
        if not known:
            raise MaileonRefusal(404, "There is no unsubscription marker for this address")
        if request.method == "DELETE":
            del self.markers[email]
            return Response(status_code=204)
        return _xml(
            f"<unsubscription><email>{escape(email)}</email><timestamp>{self.markers[email]}</timestamp></unsubscription>"
        )

    def _unsubscribe_due(self) -> None:
        now = time.monotonic()
        for one in self.unsubscriptions:
            if not one.done and one.due <= now:
                one.done = True
                contact = self._by_email(one.email)
                if contact is not None:
                    del self.contacts[contact.id]

    def _by_email(self, email: str) -> StoredContact | None:
        wanted = email.strip().lower()
        return next((contact for contact in self.contacts.values() if contact.email.lower() == wanted), None)

    def _by_external_id(self, external_id: str) -> list[StoredContact]:
        return [contact for contact in self.contacts.values() if contact.external_id == external_id]

    def _one(self, request: Request) -> StoredContact:
        if "external_id" in request.path_params:
            found = self._by_external_id(request.path_params["external_id"])
            if len(found) > 1:
                raise MaileonRefusal(409, "There is more than one contact with this external id")
            contact = found[0] if found else None
        else:
            contact = self._by_email(_email(request.path_params["email"]))
        if contact is None:
            raise MaileonRefusal(404, "The contact does not exist")
        return contact

    def _write(self, contact: StoredContact, fields: Fields) -> None:
        """Write the fields that were sent; an empty text clears one ("Create contact by external ID")."""
        for into, values in ((contact.standard_fields, fields.standard), (contact.custom_fields, fields.custom)):
            for name, value in values.items():
                if value == "":
                    into.pop(name, None)
                else:
                    into[name] = value
        if fields.external_id is not None:
            contact.external_id = fields.external_id or None
        contact.updated = _now()

    async def _fields(self, request: Request) -> Fields:
        """Read and check a contact: "Standard contact fields", "Custom contact fields".

        An unknown custom field, or a value that its type does not take, is 400 (the status is assumed, the rule
        documented).
        """
        body = await request.body()
        media = request.headers.get("content-type", "").partition(";")[0].strip().lower()
        if media == JSON:
            fields = _from_json(body)
        elif media == XML:
            fields = _from_xml(body)
        else:
            raise MaileonRefusal(415, f"The content type must be {XML} or {JSON}")
        for name, value in fields.standard.items():
            _check_standard(name, value)
        for name, value in fields.custom.items():
            if name not in self.custom_fields:
                raise MaileonRefusal(400, f"The custom field '{name}' does not exist")
            _check_custom(name, self.custom_fields[name], value)
        return fields

    # -- the rest

    async def _ping(self, request: Request) -> Response:
        """Answer. `_MaileonAuth` has checked the key already."""
        return Response(status_code=200)

    async def _account(self, request: Request) -> Response:
        return JSONResponse({"id": 1, "name": "Relais sandbox"})

    async def _list_fields(self, request: Request) -> Response:
        listed = "".join(
            f"<custom_field><name>{escape(name)}</name><type>{kind}</type></custom_field>"
            for name, kind in self.custom_fields.items()
        )
        return _xml(f"<custom_fields>{listed}</custom_fields>")

    async def _create_field(self, request: Request) -> Response:
        """ "Custom contact fields": 3 to 64 characters, not a standard name, not one of the taken ones."""
        name = request.path_params["name"]
        kind = request.query_params.get("type", "string")
        if not 3 <= len(name) <= 64 or name.upper() in STANDARD_FIELDS or name.lower() in TAKEN_NAMES:
            raise MaileonRefusal(400, "The name of the custom field is not allowed")
        if kind not in CUSTOM_TYPES:
            raise MaileonRefusal(400, f"The type must be one of {', '.join(sorted(CUSTOM_TYPES))}")
        if name in self.custom_fields:
            raise MaileonRefusal(400, f"The custom field '{name}' exists already")
        self.custom_fields[name] = kind
        return Response(status_code=201)

    async def _transaction_types(self, request: Request) -> Response:
        """ "Get transaction types": a page of 10 where nobody says, the default of the PHP client."""
        if request.method == "POST":
            name = _tree(await request.body()).findtext("name", "").strip()
            if not name:
                raise MaileonRefusal(400, "The transaction type has no name")
            return _created(self.transaction_types.setdefault(name, 100 + len(self.transaction_types)))
        told = {"page_index": "1", "page_size": "10", **request.query_params}
        if not all(value.isdigit() for value in told.values()) or int(told["page_index"]) < 1:
            raise MaileonRefusal(400, "Pages are numbers, and begin with 1")
        size = int(told["page_size"])
        first = (int(told["page_index"]) - 1) * size
        listed = "".join(
            f"<transaction_type><id>{number}</id><name>{escape(name)}</name></transaction_type>"
            for name, number in list(self.transaction_types.items())[first : first + size]
        )
        return _xml(f"<transaction_types>{listed}</transaction_types>")

    async def _show_type(self, request: Request) -> Response:
        """ "Get transaction type", by its number or its name."""
        wanted = request.path_params["type"]
        for name, number in self.transaction_types.items():
            if wanted in (name, str(number)):
                return _xml(f"<transaction_type><id>{number}</id><name>{escape(name)}</name></transaction_type>")
        raise MaileonRefusal(404, "The transaction type does not exist")

    async def _send_transactions(self, request: Request) -> Response:
        """ "Create transactions": the type must exist, the contact too unless `import` creates it.

        By default invalid ones are ignored: 200, and only the report says `queued: false`. With
        `ignore_invalid_transactions=false` they are 400.
        """
        self._unsubscribe_due()
        sent = _json(await request.body())
        if not isinstance(sent, list) or not all(isinstance(one, dict) for one in sent):
            raise MaileonRefusal(400, "A list of transactions is expected")
        faults = [self._transaction_fault(one) for one in sent]
        if any(faults) and not _flag(request, "ignore_invalid_transactions", default=True):
            raise MaileonRefusal(400, next(fault for fault in faults if fault))
        reports = []
        for one, fault in zip(sent, faults, strict=True):
            contact = _transaction_contact(one)
            number = None
            if not fault:
                if self._by_email(str(contact.get("email", ""))) is None:
                    self.contacts[self._next_id] = StoredContact(
                        self._next_id,
                        _email(str(contact["email"])),
                        contact.get("external_id"),
                        contact.get("permission", 1),
                        created=_now(),
                    )
                    self._next_id += 1
                number = str(len(self.transactions) + 1)
                self.transactions.append({"id": number, **one})
            reports.append({"contact": contact, "queued": not fault, "message": fault, "transaction_id": number})
        return JSONResponse({"reports": reports})

    def _transaction_fault(self, one: Mapping[str, Any]) -> str | None:
        if one.get("typeName") not in self.transaction_types and one.get("type") not in self.transaction_types.values():
            return "The transaction type does not exist"
        email = str(_transaction_contact(one).get("email", ""))
        if EMAIL.fullmatch(email) is None:
            return "The contact has no valid email address"
        if "import" not in one and self._by_email(email) is None:
            return "The contact does not exist"
        return None

    async def _refuse(self, request: Request, exc: Exception) -> Response:
        refused = exc if isinstance(exc, MaileonRefusal) else MaileonRefusal(500, "Internal server error")
        return self.error(refused.status, refused.text)

    async def _refuse_route(self, request: Request, exc: Exception) -> Response:
        """Refuse what is not modelled: an answer that looks like the vendor's would be believed."""
        return self.error(501 if isinstance(exc, HTTPException) else 500, "The sandbox does not model this")


class _MaileonAuth:
    """Middleware: 401 without a valid key, 403 if it lacks the right for the method ("HTTP status codes")."""

    def __init__(self, app: ASGIApp, maileon: Maileon) -> None:
        self._app = app
        self._maileon = maileon

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "http":
            try:
                rights = self._maileon.rights(Request(scope).headers.get("authorization", ""))
                if scope["method"] not in rights:
                    raise MaileonRefusal(403, f"The API key has no right to {scope['method']}")
            except MaileonRefusal as refused:
                response = self._maileon.error(refused.status, refused.text)
                await response(scope, receive, send)
                return
        await self._app(scope, receive, send)


def _now() -> str:
    return datetime.now(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")


def _xml(content: str, status: int = 200) -> Response:
    return Response(f'<?xml version="1.0" encoding="UTF-8"?>{content}', status, media_type=XML)


def _created(number: int) -> Response:
    """Return 201 with the id, XML whatever was sent."""
    return _xml(f"<id>{number}</id>", 201)


def _email(text: str) -> str:
    email = text.strip()
    if EMAIL.fullmatch(email) is None or len(email) > 255:
        raise MaileonRefusal(400, "The syntax of the email address is not correct")
    return email


def _number(request: Request, name: str, default: int, allowed: frozenset[int]) -> int:
    text = request.query_params.get(name)
    value = default if text is None else int(text) if text.isascii() and text.isdigit() else -1
    if value not in allowed:
        raise MaileonRefusal(400, f"The parameter {name} must be one of {', '.join(map(str, sorted(allowed)))}")
    return value


def _flag(request: Request, name: str, *, default: bool = False) -> bool:
    text = request.query_params.get(name)
    if text is None:
        return default
    if text not in ("true", "false"):
        raise MaileonRefusal(400, f"The parameter {name} must be true or false")
    return text == "true"


def _asked(names: Sequence[str], values: Mapping[str, Any]) -> str:
    return "".join(
        f"<field><name>{escape(name)}</name><value>{escape(_text(values[name]))}</value></field>"
        for name in names
        if name in values
    )


def _text(value: Any) -> str:
    return str(value).lower() if isinstance(value, bool) else str(value)


def _json(body: bytes) -> Any:
    try:
        return json.loads(body)
    except ValueError as exc:
        raise MaileonRefusal(400, "The body is not valid JSON") from exc


def _tree(body: bytes) -> ElementTree.Element:
    if b"<!DOCTYPE" in body:
        raise MaileonRefusal(400, "The body must not carry a document type")
    try:
        return ElementTree.fromstring(body)  # noqa: S314 (no document type, so no entities)
    except ElementTree.ParseError as exc:
        raise MaileonRefusal(400, "The body is not valid XML") from exc


def _from_json(body: bytes) -> Fields:
    """Read the JSON form: at least `{}`, with `standard_fields` and `custom_fields`, no null in the latter."""
    contact = _json(body)
    if not isinstance(contact, dict):
        raise MaileonRefusal(400, "The body must be a JSON object, at least {}")
    if contact.get("preferences"):
        raise MaileonRefusal(501, "The sandbox does not model preferences")
    standard, custom = contact.get("standard_fields") or {}, contact.get("custom_fields") or {}
    if not isinstance(standard, dict) or not isinstance(custom, dict):
        raise MaileonRefusal(400, "standard_fields and custom_fields must be objects")
    for name, value in custom.items():
        if value is None:
            raise MaileonRefusal(400, f"The custom field '{name}' must not be null")
    permission = contact.get("permission")
    if permission is not None and permission not in PERMISSIONS:
        raise MaileonRefusal(400, "The permission is not one of 1 to 6")
    return Fields(
        contact.get("email"),
        None if contact.get("external_id") is None else str(contact["external_id"]),
        permission,
        {name: "" if value is None else value for name, value in standard.items()},
        custom,
    )


def _from_xml(body: bytes) -> Fields:
    contact = _tree(body)
    if contact.tag != "contact":
        raise MaileonRefusal(400, "The body must be a <contact>")
    if contact.find("preferences") is not None:
        raise MaileonRefusal(501, "The sandbox does not model preferences")

    def fields(block: str) -> dict[str, str]:
        return {
            found.findtext("name", "").strip(): found.findtext("value") or ""
            for found in contact.iterfind(f"{block}/field")
        }

    permission = contact.findtext("permission", "").strip()
    if permission and (not permission.isdigit() or int(permission) not in PERMISSIONS):
        raise MaileonRefusal(400, "The permission is not one of 1 to 6")
    return Fields(
        contact.findtext("email"),
        contact.findtext("external_id"),
        int(permission) if permission else None,
        fields("standard_fields"),
        fields("custom_fields"),
    )


def _check_standard(name: str, value: object) -> None:
    if name not in STANDARD_FIELDS:
        raise MaileonRefusal(400, f"The standard field '{name}' does not exist")
    if not isinstance(value, str) or len(value) > 255:
        raise MaileonRefusal(400, f"illegal standard field value: {name.lower()}")
    if value and name in ("BIRTHDAY", "NAMEDAY") and DATE.fullmatch(value) is None:
        raise MaileonRefusal(400, f"illegal standard field value: {name.lower()}")
    if value and name == "GENDER" and value not in ("m", "f", "d"):
        raise MaileonRefusal(400, "illegal standard field value: gender")


def _check_custom(name: str, kind: str, value: object) -> None:
    """Check a value against the type of its field, given as JSON or as text."""
    if value == "":
        return
    text = _text(value)
    fits = {
        "string": isinstance(value, str) and len(text) <= 255,
        "integer": re.fullmatch(r"-?\d{1,10}", text) is not None and -(2**31) <= int(text) < 2**31,
        "float": re.fullmatch(r"-?\d+(\.\d+)?([eE][+-]?\d+)?", text) is not None,
        "boolean": text in ("true", "false"),
        "date": DATE.fullmatch(text) is not None,
    }
    if not fits[kind]:
        raise MaileonRefusal(400, f"The value of the custom field '{name}' is not of type {kind}")


def _report_entry(name: str, row: Mapping[str, Any]) -> str:
    contact = "".join(f"<{key}>{escape(str(row[key]))}</{key}>" for key in ("id", "email", "external_id") if key in row)
    rest = {key: value for key, value in row.items() if key not in ("id", "email", "external_id")}
    more = "".join(f"<{key}>{escape(str(value))}</{key}>" for key, value in rest.items())
    return f"<{name}><contact>{contact}</contact>{more}</{name}>"


def _transaction_contact(one: Mapping[str, Any]) -> Mapping[str, Any]:
    wrapped = one.get("import")
    contact = (wrapped if isinstance(wrapped, dict) else one).get("contact")
    return contact if isinstance(contact, dict) else {}
