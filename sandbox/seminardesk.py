"""An imitation of SeminarDesk's Private API, as far as Relais and its tests need it.

Comes in: HTTP below `/seminardesk/private-api` with `X-API-Key`. Goes out: JSON, lists as `{meta, data}`, errors as
`{status, message, code}`. Never posts a webhook, and never makes an invoice: the vendor has no such route either.

Imitates api-docs.seminardesk.de/private-api (private-api.json of github.com/SeminarDesk/private-api-specs): routes,
success codes (GET 200, POST 201 with the object, PATCH 204, PUT 200), schemas, paging, and 400, 401, 403, 404, 409 and
501.
"""

import hmac
import json
from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from typing import Any
from urllib.parse import urlencode

from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.middleware import Middleware
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route
from starlette.types import ASGIApp, Receive, Scope, Send

from sandbox import people
from sandbox.accounts import Accounts
from sandbox.calls import VendorCall

Record = dict[str, Any]

#: Values of `code`, chosen here: the specification names the field but not its values.
CODES = {
    400: "BAD_REQUEST",
    401: "UNAUTHORIZED",
    403: "FORBIDDEN",
    404: "NOT_FOUND",
    405: "METHOD_NOT_ALLOWED",
    409: "CONFLICT",
    501: "NOT_IMPLEMENTED",
}

#: External systems are set up in SeminarDesk and known by a number ("ExternalReference").
SYSTEMS = {1: "CRM", 2: "Invoicing", 3: "Maileon"}

#: "ExternalReference": externalId has at most 255 characters.
EXTERNAL_ID_MAX = 255

#: "page[size]": 1 to 100, 20 unless told.
PAGE_SIZE, PAGE_SIZE_MAX = 20, 100

#: Modules that this tenant does not have: their routes answer 501 ("API not active or module not enabled").
NOT_ENABLED = ("/certificates", "/certificate-types", "/facilitators", "/events", "/dates/")


#: "PUT /bookings/{id}/...": route -> the status that follows.
BOOKING_CHANGES = {"confirm": "CONFIRMED", "cancel": "CANCELED", "no-show": "NO_SHOW", "wait-list": "WAIT_LIST"}


class SeminarDeskRefusal(Exception):
    """An answer other than success."""

    def __init__(self, status: int, message: str) -> None:
        super().__init__(message)
        self.status = status
        self.message = message


class Shelf:
    """Records of one kind. Seed records are created on first access."""

    def __init__(self, seed: Callable[[int], Record | None], listed: range | tuple[int, ...] = ()) -> None:
        self._seed = seed
        self._listed = tuple(listed)
        self._records: dict[int, Record] = {}
        self._gone: set[int] = set()

    def get(self, text: str | int) -> Record:
        """Return a record. Raises Refused 404."""
        number = int(text) if str(text).isascii() and str(text).isdigit() else -1
        record = None if number in self._gone else self._records.get(number) or self._seed(number)
        if record is None:
            raise SeminarDeskRefusal(404, "The object does not exist")
        return self._records.setdefault(number, record)

    def put(self, record: Record) -> None:
        """Keep a new record."""
        self._records[record["id"]] = record

    def drop(self, record: Record) -> None:
        """Delete a record."""
        self._gone.add(record["id"])
        self._records.pop(record["id"], None)

    def all(self) -> list[Record]:
        """Return the records that a list shows: the named seed records, and all that were read or written."""
        for number in self._listed:
            if number not in self._gone:
                self.get(number)
        return [self._records[number] for number in sorted(self._records)]


class SeminarDesk:
    """One SeminarDesk tenant."""

    name = "seminardesk"
    prefix = "/seminardesk/private-api"

    def __init__(self, accounts: Accounts) -> None:
        self._accounts = accounts
        self.reset()

    def reset(self) -> None:
        """Start over with the seeded people only."""
        self.persons = Shelf(people.person, tuple(sorted(people.PERSONS)))
        self.bookings = Shelf(people.booking, tuple(sorted(people.BOOKERS)))
        self.invoices = Shelf(people.invoice, (5001, 5002, 5003))
        self.dates = Shelf(people.date, (709,))
        self._next_id = people.UNKNOWN_FROM + 1
        #: References in order of arrival, each with the id of its invoice, as a record for tests.
        self.references: list[Record] = []
        #: Payments and activities as they were posted, each with the id of its invoice or profile.
        self.payments: list[Record] = []
        self.activities: list[Record] = []
        #: Additional fields of profiles: profile -> field -> value.
        self.fields: dict[int, dict[int, Any]] = {}

    def tell(self, settings: Mapping[str, Any]) -> None:
        """Raise ValueError: this vendor has no settings."""
        if settings:
            raise ValueError(f"seminardesk has no setting {', '.join(settings)}")

    def error(self, status: int, text: str) -> Response:
        """Return `{status, message, code}`; 401 carries the header that the specification spells with underscores."""
        headers = {"WWW_Authenticate": "X-API-Key"} if status == 401 else None
        code = CODES.get(status, "ERROR")
        return JSONResponse({"status": status, "message": text, "code": code}, status, headers)

    def object_of(self, call: VendorCall) -> str | None:
        """Return `invoice:5001`, `booking:9001`, `profile:4711` (persons are profiles)."""
        parts = call.path.strip("/").split("/")
        kinds = {"invoices": "invoice", "bookings": "booking", "persons": "profile", "profiles": "profile"}
        return f"{kinds[parts[0]]}:{parts[1]}" if len(parts) > 1 and parts[0] in kinds else None

    def holds(self) -> Mapping[str, Any]:
        """Return all records and the external references that were added."""
        return {
            "persons": self.persons.all(),
            "bookings": self.bookings.all(),
            "invoices": self.invoices.all(),
            "dates": self.dates.all(),
            "external_references": self.references,
            "payments": self.payments,
            "activities": self.activities,
        }

    def app(self) -> ASGIApp:
        """Return the API."""
        routes = [
            Route("/persons", self._list_persons, methods=["GET"]),
            Route("/persons", self._create_person, methods=["POST"]),
            Route("/persons/{id}", self._show_person, methods=["GET"]),
            Route("/persons/{id}", self._update_person, methods=["PATCH"]),
            Route("/profiles", self._list_persons, methods=["GET"]),
            Route("/profiles/{id}", self._show_person, methods=["GET"]),
            Route("/profiles/{id}/bookings", self._bookings_of, methods=["GET"]),
            Route("/profiles/{id}/invoices", self._invoices_of, methods=["GET"]),
            Route("/bookings", self._list_bookings, methods=["GET"]),
            Route("/bookings/{id}", self._show_booking, methods=["GET"]),
            Route("/bookings/{id}/guests", self._list_guests, methods=["GET"]),
            Route("/bookings/{id}/invoices", self._invoices_of_booking, methods=["GET"]),
            Route("/bookings/{id}/{change}", self._change_booking, methods=["PUT"]),
            Route("/organizations/{id}", self._show_organisation, methods=["GET"]),
            Route("/events/{id}", self._show_event, methods=["GET"]),
            Route("/invoices", self._list_invoices, methods=["GET"]),
            Route("/invoices/{id}", self._show_invoice, methods=["GET"]),
            Route("/invoices/{id}", self._delete_invoice, methods=["DELETE"]),
            Route("/invoices/{id}/cancel", self._cancel_invoice, methods=["PUT"]),
            Route("/invoices/{id}/payments", self._add_payment, methods=["POST"]),
            Route("/profiles/{id}/activities", self._add_activity, methods=["POST"]),
            Route("/profiles/{id}/additional-fields", self._list_fields, methods=["GET"]),
            Route("/profiles/{id}/additional-fields/{field}", self._set_field, methods=["PATCH"]),
            Route("/invoices/{id}/external-references", self._add_reference, methods=["POST"]),
            Route("/dates", self._list_dates, methods=["GET"]),
            Route("/dates/{id}", self._show_date, methods=["GET"]),
            *(Route(f"{path}{{rest:path}}", self._not_enabled) for path in NOT_ENABLED),
        ]
        return Starlette(
            routes=routes,
            middleware=[Middleware(_SeminarDeskAuth, desk=self)],
            exception_handlers={SeminarDeskRefusal: self._refuse, HTTPException: self._refuse_route},
        )

    def check(self, key: str, method: str) -> None:
        """Check a key: 401 if it is unknown, 403 if it may only read ("per-key permissions")."""
        if hmac.compare_digest(key.encode(), self._accounts.seminardesk_api_key.encode()):
            return
        if not hmac.compare_digest(key.encode(), self._accounts.seminardesk_api_key_read_only.encode()):
            raise SeminarDeskRefusal(401, "The API key is missing or invalid")
        if method != "GET":
            raise SeminarDeskRefusal(403, "The API key lacks the permission to write")

    # -- persons and profiles

    async def _list_persons(self, request: Request) -> Response:
        newsletter = request.query_params.get("filter[isSubscribedToNewsletter]")
        customer = request.query_params.get("filter[customerNumber]")
        return _page(
            request,
            [
                person
                for person in _referenced(request, self.persons.all())
                if newsletter in (None, str(person["isSubscribedToNewsletter"]).lower())
                and customer in (None, person["customerNumber"])
            ],
        )

    async def _show_person(self, request: Request) -> Response:
        return JSONResponse(self.persons.get(request.path_params["id"]))

    async def _create_person(self, request: Request) -> Response:
        body = await _object(request)
        if not isinstance(body.get("lastName"), str) or not body["lastName"]:
            raise SeminarDeskRefusal(400, "lastName is required")
        person = {"objectType": "PersonProfile", "isSubscribedToNewsletter": False, "customerNumber": None, **body}
        person["id"] = self._next_id
        person["name"] = f"{body.get('firstName') or ''} {body['lastName']}".strip()
        person.setdefault("externalReferences", [])
        person["objectInfo"] = {**people.CHANGED, "createdAt": _now(), "changedAt": _now()}
        self._next_id += 1
        self.persons.put(person)
        return JSONResponse(person, 201)

    async def _update_person(self, request: Request) -> Response:
        person = self.persons.get(request.path_params["id"])
        body = await _object(request)
        person.update({name: value for name, value in body.items() if name != "id"})
        person["objectInfo"]["changedAt"] = _now()
        return Response(status_code=204)

    # -- bookings

    async def _list_bookings(self, request: Request) -> Response:
        return _page(request, _referenced(request, self.bookings.all()))

    async def _show_booking(self, request: Request) -> Response:
        return JSONResponse(self.bookings.get(request.path_params["id"]))

    async def _bookings_of(self, request: Request) -> Response:
        person = self.persons.get(request.path_params["id"])
        return _page(request, [one for one in self.bookings.all() if one["booker"]["id"] == person["id"]])

    async def _list_guests(self, request: Request) -> Response:
        """Answer a plain list ("BookingGuestsList"), not a page."""
        return JSONResponse(self.bookings.get(request.path_params["id"])["guests"])

    async def _change_booking(self, request: Request) -> Response:
        """ "PUT /bookings/{id}/confirm" and the like: 200 with the booking. A cancelation needs its reason."""
        word = BOOKING_CHANGES.get(request.path_params["change"])
        if word is None:
            raise SeminarDeskRefusal(501, "The sandbox does not model this")
        booking = self.bookings.get(request.path_params["id"])
        body = await _object(request) if await request.body() else {}
        if word == "CANCELED" and not body.get("reason"):
            raise SeminarDeskRefusal(400, "reason is required")
        if booking["status"] == word:
            raise SeminarDeskRefusal(400, "The booking's state does not permit this change")
        booking["status"] = word
        return JSONResponse(booking)

    async def _invoices_of_booking(self, request: Request) -> Response:
        """Answer all in one ("BookingOrProfileInvoicesList"): the invoices whose items name the booking."""
        booking = self.bookings.get(request.path_params["id"])
        named = [
            one
            for one in self.invoices.all()
            if any(source["id"] == booking["id"] for item in one["items"] for source in item["sources"])
        ]
        return JSONResponse({"data": named})

    async def _show_organisation(self, request: Request) -> Response:
        return JSONResponse(Shelf(people.organisation).get(request.path_params["id"]))

    async def _show_event(self, request: Request) -> Response:
        return JSONResponse(Shelf(people.event).get(request.path_params["id"]))

    # -- dates

    async def _show_date(self, request: Request) -> Response:
        return JSONResponse(self.dates.get(request.path_params["id"]))

    async def _list_dates(self, request: Request) -> Response:
        published = request.query_params.get("filter[onlyPublished]") == "true"
        dates = _referenced(request, self.dates.all())
        return _page(
            request, [one for one in dates if not published or one["publishingSettings"]["status"] != "hidden"]
        )

    # -- activities and additional fields

    async def _add_activity(self, request: Request) -> Response:
        profile = self.persons.get(request.path_params["id"])
        body = await _object(request)
        for name in ("activityType", "title", "begin"):
            if not body.get(name):
                raise SeminarDeskRefusal(400, f"{name} is required")
        self.activities.append({"profile": profile["id"], **body})
        return JSONResponse({**body, "category": "MANUAL", "type": body["activityType"]}, 201)

    async def _list_fields(self, request: Request) -> Response:
        values = self.fields.get(self.persons.get(request.path_params["id"])["id"], {})
        return JSONResponse([{"field": {"id": field}, "value": value} for field, value in values.items()])

    async def _set_field(self, request: Request) -> Response:
        """Take a value for a field; fields 1 to 9 exist."""
        profile = self.persons.get(request.path_params["id"])
        field, body = request.path_params["field"], await _object(request)
        if field not in "123456789":
            raise SeminarDeskRefusal(404, "The field does not exist")
        if "value" not in body:
            raise SeminarDeskRefusal(400, "value is required")
        self.fields.setdefault(profile["id"], {})[int(field)] = body["value"]
        return Response(status_code=204)

    # -- invoices

    async def _list_invoices(self, request: Request) -> Response:
        return _page(request, _referenced(request, self.invoices.all()))

    async def _show_invoice(self, request: Request) -> Response:
        return JSONResponse(self.invoices.get(request.path_params["id"]))

    async def _invoices_of(self, request: Request) -> Response:
        person = self.persons.get(request.path_params["id"])
        return _page(request, [one for one in self.invoices.all() if one["recipient"]["id"] == person["id"]])

    async def _delete_invoice(self, request: Request) -> Response:
        """Delete a draft; anything else is 409."""
        invoice = self.invoices.get(request.path_params["id"])
        if invoice["status"] != "DRAFT":
            raise SeminarDeskRefusal(409, "Only a draft can be deleted")
        self.invoices.drop(invoice)
        return Response(status_code=204)

    async def _cancel_invoice(self, request: Request) -> Response:
        """Cancel a posted invoice: 200 with `{originalInvoice, cancelationInvoice}`; a wrong state is 400."""
        invoice = self.invoices.get(request.path_params["id"])
        if invoice["status"] != "POSTED":
            raise SeminarDeskRefusal(400, "Only a posted invoice can be canceled")
        invoice["status"] = "CANCELED"
        invoice["objectInfo"]["changedAt"] = _now()
        cancelation = {
            **invoice,
            "id": self._next_id,
            "status": "POSTED",
            "type": "CANCELATION_INVOICE",
            "number": f"ST-{invoice['id']}",
            "totalAmount": -invoice["totalAmount"],
            "originalInvoice": {"id": invoice["id"], "number": invoice["number"], "date": invoice["date"]},
            "externalReferences": [],
        }
        self._next_id += 1
        self.invoices.put(cancelation)
        return JSONResponse({"originalInvoice": invoice, "cancelationInvoice": cancelation})

    async def _add_payment(self, request: Request) -> Response:
        """ "POST /invoices/{id}/payments": 201 with the Payment. One that is sent twice is written twice."""
        invoice = self.invoices.get(request.path_params["id"])
        body = await _object(request)
        method = body.get("method")
        if not isinstance(method, dict) or not method.get("code") or not body.get("date"):
            raise SeminarDeskRefusal(400, "method.code and date are required")
        if isinstance(body.get("amount"), bool) or not isinstance(body.get("amount"), int | float):
            raise SeminarDeskRefusal(400, "amount is required")
        invoice["currentPaymentAmount"] = round((invoice.get("currentPaymentAmount") or 0) + body["amount"], 2)
        payment = {"id": len(self.payments) + 1, **body}
        self.payments.append({"invoice": invoice["id"], **payment})
        return JSONResponse(payment, 201)

    async def _add_reference(self, request: Request) -> Response:
        """ "POST /invoices/{id}/external-references": 201 with the ExternalReference, its id and the system's name.

        What happens to a reference that is sent twice is not documented. Here it is stored twice, the worst case for a
        caller.
        """
        invoice = self.invoices.get(request.path_params["id"])
        body = await _object(request)
        system = body.get("system")
        number = system.get("id") if isinstance(system, dict) else None
        external_id = body.get("externalId")
        if number not in SYSTEMS:
            raise SeminarDeskRefusal(400, "system.id is not the id of an external system")
        if not isinstance(external_id, str) or not 0 < len(external_id) <= EXTERNAL_ID_MAX:
            raise SeminarDeskRefusal(400, f"externalId is required and has at most {EXTERNAL_ID_MAX} characters")
        reference = {
            "id": len(self.references) + 1,
            "system": {"id": number, "name": SYSTEMS[number]},
            "externalId": external_id,
            "url": None,
        }
        invoice["externalReferences"].append(reference)
        self.references.append({"invoice": invoice["id"], **reference})
        return JSONResponse(reference, 201)

    async def _not_enabled(self, request: Request) -> Response:
        raise SeminarDeskRefusal(501, "The module is not enabled")

    async def _refuse(self, request: Request, exc: Exception) -> Response:
        refused = exc if isinstance(exc, SeminarDeskRefusal) else SeminarDeskRefusal(500, "Internal server error")
        return self.error(refused.status, refused.message)

    async def _refuse_route(self, request: Request, exc: Exception) -> Response:
        """Refuse what is not modelled: an answer that looks like the vendor's would be believed."""
        return self.error(501 if isinstance(exc, HTTPException) else 500, "The sandbox does not model this")


class _SeminarDeskAuth:
    """Middleware: checks the API key."""

    def __init__(self, app: ASGIApp, desk: SeminarDesk) -> None:
        self._app = app
        self._desk = desk

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "http":
            try:
                self._desk.check(Request(scope).headers.get("x-api-key", ""), scope["method"])
            except SeminarDeskRefusal as refused:
                await self._desk.error(refused.status, refused.message)(scope, receive, send)
                return
        await self._app(scope, receive, send)


def _now() -> str:
    return datetime.now(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")


async def _object(request: Request) -> Record:
    try:
        body = json.loads(await request.body())
    except ValueError as exc:
        raise SeminarDeskRefusal(400, "The body is not valid JSON") from exc
    if not isinstance(body, dict):
        raise SeminarDeskRefusal(400, "The body must be a JSON object")
    return body


def _referenced(request: Request, records: list[Record]) -> list[Record]:
    """Filter by `filter[externalReferenceId]`, "102" as well as "<system>:102": the specification shows both."""
    wanted = request.query_params.get("filter[externalReferenceId]")
    if wanted is None:
        return records
    return [
        record
        for record in records
        for reference in record.get("externalReferences") or []
        if wanted in (reference["externalId"], f"{reference['system']['id']}:{reference['externalId']}")
    ]


def _page(request: Request, records: list[Record]) -> Response:
    """Return one page in the envelope of every list; its links are absolute."""
    number = _bounded(request, "page[number]", 1, None)
    size = _bounded(request, "page[size]", PAGE_SIZE, PAGE_SIZE_MAX)
    pages = max(1, -(-len(records) // size))

    def link(page: int) -> str | None:
        if not 1 <= page <= pages:
            return None
        query = [(name, value) for name, value in request.query_params.multi_items() if name != "page[number]"]
        return f"{request.url.replace(query=urlencode([*query, ('page[number]', str(page))]))}"

    return JSONResponse(
        {
            "meta": {
                "totalCount": len(records),
                "page": number,
                "size": size,
                "totalPages": pages,
                "firstPage": link(1),
                "lastPage": link(pages),
                "nextPage": link(number + 1),
                "previousPage": link(number - 1),
            },
            "data": records[(number - 1) * size : number * size],
        }
    )


def _bounded(request: Request, name: str, default: int, most: int | None) -> int:
    text = request.query_params.get(name)
    value = default if text is None else int(text) if text.isascii() and text.isdigit() else 0
    if value < 1 or (most is not None and value > most):
        raise SeminarDeskRefusal(
            400, f"{name} must be a number from 1 to {most}" if most else f"{name} must be at least 1"
        )
    return value
