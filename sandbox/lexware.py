"""Lexware Office's Public API: contacts, invoices, credit notes, the list of vouchers, payments to read.

Comes in: HTTP below `/lexware/v1` with a bearer key. Goes out: JSON as developers.lexware.io documents it; a create or
an update answers no more than `{id, resourceUri, createdDate, updatedDate, version}`. Like the real one it has no
uniqueness, no idempotency key, and no way to change, issue or delete an invoice that is there. What it does not model
is 501.

Facts: developers.lexware.io/docs (endpoints, members, limits, status codes); where that is silent, what the published
clients benethos-lexware-office-mcp 0.6 and agent-tool-lexware-office-cli 0.1 say they have measured from August to
October 2026 ("measured" below). The numbers of documents, and that a draft has none, are inferred.
"""

import hmac
import itertools
import json
import re
import time
import uuid
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from decimal import ROUND_HALF_UP, Decimal
from typing import Any

from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.middleware import Middleware
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route
from starlette.types import ASGIApp, Receive, Scope, Send

from sandbox import fallback, rest
from sandbox.accounts import Accounts
from sandbox.calls import VendorCall

Record = dict[str, Any]

CENT = Decimal("0.01")
#: The only form of a moment that invoices take (measured): milliseconds, and an offset with a colon or Z.
MOMENT = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}(Z|[+-]\d\d:\d\d)")
SORTS = tuple(
    f"{name},{way}"
    for name in ("voucherDate", "voucherNumber", "createdDate", "updatedDate")
    for way in ("ASC", "DESC")
)
LARGEST_PAGE = 250

CONTACT_MEMBERS = frozenset(
    {
        *("id", "organizationId", "version", "roles", "company", "person", "addresses", "xRechnung"),
        *("emailAddresses", "phoneNumbers", "note", "archived"),
    }
)
DOCUMENT_MEMBERS = frozenset(
    {
        *("version", "archived", "language", "voucherDate", "address", "lineItems", "totalPrice", "taxConditions"),
        *("paymentConditions", "shippingConditions", "title", "introduction", "remark"),
    }
)
#: Filters of the list of vouchers that are not modelled; others are ignored, as there.
NOT_MODELLED = frozenset(
    f"{name}{end}" for name in ("voucherDate", "updatedDate", "createdDate", "archived") for end in ("From", "To", "")
) - {"createdDateFrom", "voucherDate", "updatedDate", "createdDate", "archivedFrom", "archivedTo"}
TAX_TYPES = ("net", "gross", "vatfree")


class LexwareRefusal(Exception):
    """An answer other than success. `issues`: field and what is wrong with it."""

    def __init__(self, status: int, message: str, *issues: tuple[str, str]) -> None:
        super().__init__(message)
        self.status = status
        self.message = message
        self.issues = issues


class Lexware:
    """One organisation at Lexware Office."""

    name = "lexware"
    prefix = "/lexware/v1"

    def __init__(self, accounts: Accounts) -> None:
        self._key = accounts.lexware_api_key
        self.reset()

    def reset(self) -> None:
        """Start over empty."""
        #: Seconds during which neither search nor list shows what is new. Whether the real ones lag is unknown.
        self.find_lag = 0.0
        self.contacts: dict[str, Record] = {}
        self.documents: dict[str, Record] = {}
        self._made: dict[str, float] = {}
        self._numbers = {"invoice": itertools.count(1), "creditnote": itertools.count(1)}
        self._customers = itertools.count(10001)

    def tell(self, settings: Mapping[str, Any]) -> None:
        """Take `find_lag` in seconds. Raises ValueError."""
        for name, value in settings.items():
            if name != "find_lag":
                raise ValueError(f"lexware has no setting {name}; there is find_lag")
            self.find_lag = rest.lag(name, value)

    def error(self, status: int, text: str) -> Response:
        """Return an error of the gateway: `{"message"}`. The other forms are those of a refusal."""
        return JSONResponse({"message": text}, status)

    def limited(self, wait: float) -> Response:
        """Return the refusal of one request too many; no header says until when ("API Rate Limits")."""
        return self.error(429, "Rate limit exceeded")

    def object_of(self, call: VendorCall) -> str | None:
        """Return the contact's e-mail, of a document that of its customer."""
        parts = call.path.strip("/").split("/")
        body = call.json_object()
        if parts[0] == "contacts":
            if "email" in call.query:
                return f"email:{call.query['email'].replace(chr(92), '').lower()}"
            return _identity(self.contacts.get(parts[1], {}) if len(parts) > 1 else body)
        if parts[0] in ("invoices", "credit-notes"):
            document = self.documents.get(parts[1], {}) if len(parts) > 1 else body
            address = document.get("address")
            contact = address.get("contactId") if isinstance(address, dict) else None
            return _identity(self.contacts.get(str(contact), {}))
        return _identity(self.contacts.get(call.query.get("contactId", ""), {}))

    def holds(self) -> Mapping[str, Any]:
        """Return contacts and documents."""
        return {"contacts": list(self.contacts.values()), "documents": list(self.documents.values())}

    def pay(self, id: str) -> None:
        """Note that an invoice was paid, as a clerk or the bank's connection does; the API cannot."""
        self.documents[id]["voucherStatus"] = "paid"

    def app(self) -> ASGIApp:
        """Return the API."""
        return Starlette(
            routes=[
                Route("/contacts", self._find_contacts, methods=["GET"]),
                # As lexoffice-py asks for the lists.
                Route("/contacts/", self._find_contacts, methods=["GET"]),
                Route("/contacts", self._create_contact, methods=["POST"]),
                Route("/contacts/{id}", self._show_contact, methods=["GET"]),
                Route("/contacts/{id}", self._replace_contact, methods=["PUT"]),
                Route("/invoices", self._create_invoice, methods=["POST"]),
                Route("/invoices/{id}", self._show_document, methods=["GET"]),
                Route("/invoices/{id}", self._not_allowed, methods=["PUT", "DELETE"]),
                Route("/credit-notes", self._create_credit_note, methods=["POST"]),
                Route("/credit-notes/{id}", self._show_document, methods=["GET"]),
                Route("/voucherlist", self._list_vouchers, methods=["GET"]),
                Route("/voucherlist/", self._list_vouchers, methods=["GET"]),
                Route("/payments/{id}", self._show_payments, methods=["GET"]),
                Route("/profile", self._show_profile, methods=["GET"]),
                fallback.build_route(self),
            ],
            middleware=[Middleware(_LexwareGateway, vendor=self)],
            exception_handlers={LexwareRefusal: self._refuse, HTTPException: self._refuse_route},
        )

    def opens(self, header: str) -> bool:
        """Tell whether an Authorization header has the key."""
        return hmac.compare_digest(header.encode(), f"Bearer {self._key}".encode())

    # -- contacts

    async def _find_contacts(self, request: Request) -> Response:
        """Filters are substrings, capital or small, joined by and; `%` and `_` stand for anything unless escaped.

        Beside them `customer` and `vendor` filter by role; what is no filter is ignored without a word (measured).
        """
        roles = {role for role in ("customer", "vendor") if request.query_params.get(role) == "true"}
        wanted = {name: request.query_params[name] for name in ("email", "name") if name in request.query_params}
        if any(len(value) < 3 for value in wanted.values()):
            raise LexwareRefusal(400, "A filter has at least 3 characters")
        hits = [
            contact
            for id, contact in self.contacts.items()
            if self._is_shown(id)
            and roles <= contact["roles"].keys()
            and ("email" not in wanted or any(_like(wanted["email"], each) for each in _emails(contact)))
            and ("name" not in wanted or _like(wanted["name"], _full_name(contact)))
        ]
        return _page(request, hits)

    async def _create_contact(self, request: Request) -> Response:
        body = await _read_object(request)
        _check_contact(body)
        if body.get("version") != 0:
            raise LexwareRefusal(406, "version", ("version", "invalid_value"))
        return self._answer(request, self.contacts, self._number_roles({**body, "archived": False}))

    async def _show_contact(self, request: Request) -> Response:
        return JSONResponse(self._contact(request))

    async def _replace_contact(self, request: Request) -> Response:
        """Replace the whole record; what may not be written (`organizationId`, numbers) is taken and ignored."""
        contact = self._contact(request)
        body = await _read_object(request)
        _check_contact(body)
        if "version" not in body:
            raise LexwareRefusal(400, "version", ("version", "NOTNULL"))
        if body["version"] != contact["version"]:  # 406, where an article answers 409 (measured)
            raise LexwareRefusal(406, "version", ("version", "invalid_value"))
        kept = {name: contact[name] for name in ("id", "organizationId", "createdDate", "archived")}
        contact.clear()
        contact.update(self._number_roles({**body, **kept, "version": body["version"] + 1, "updatedDate": _now()}))
        return self._told(request, contact)

    def _contact(self, request: Request) -> Record:
        contact = self.contacts.get(request.path_params["id"])
        if contact is None:
            raise LexwareRefusal(404, "The requested resource was not found")
        return contact

    def _number_roles(self, contact: Record) -> Record:
        roles = {name: dict(role or {}) for name, role in contact["roles"].items()}
        for role in roles.values():
            role.setdefault("number", next(self._customers))
        return {**contact, "roles": roles}

    # -- invoices and credit notes

    async def _create_invoice(self, request: Request) -> Response:
        body = await _read_object(request)
        if not isinstance(body.get("shippingConditions"), dict):  # measured: an invoice is refused without
            raise LexwareRefusal(406, "see details", ("shippingConditions", "NOTNULL"))
        return self._create_document(request, body, "invoice")

    async def _create_credit_note(self, request: Request) -> Response:
        body = await _read_object(request)
        preceding = request.query_params.get("precedingSalesVoucherId")
        invoice = None if preceding is None else self.documents.get(preceding)
        if preceding is not None and (invoice is None or invoice["voucherStatus"] == "draft"):
            raise LexwareRefusal(406, "see details", ("precedingSalesVoucherId", "invalid_value"))
        answer = self._create_document(request, body, "creditnote")
        if invoice is not None:
            document = list(self.documents.values())[-1]
            for one, other in ((invoice, document), (document, invoice)):
                names = ("id", "voucherNumber", "voucherType")
                one["relatedVouchers"] = [*one["relatedVouchers"], {name: other[name] for name in names}]
        return answer

    def _create_document(self, request: Request, body: Record, kind: str) -> Response:
        if strange := set(body) - DOCUMENT_MEMBERS:
            raise LexwareRefusal(501, f"the sandbox does not model {', '.join(sorted(strange))}")
        contact = self._check_document(body)
        final = request.query_params.get("finalize") == "true"
        tax_type = body["taxConditions"]["taxType"]
        net, gross = _add_up(body["lineItems"], tax_type)
        billing = ((contact.get("addresses") or {}).get("billing") or [{}])[0]
        number = f"{'RE' if kind == 'invoice' else 'GS'}{next(self._numbers[kind]):04}" if final else None
        days = (body.get("paymentConditions") or {}).get("paymentTermDuration")
        day = datetime.fromisoformat(body["voucherDate"])
        document = {
            "language": "de",
            "archived": False,
            **body,
            "voucherType": kind,
            "voucherStatus": "open" if final else "draft",
            "voucherNumber": number,
            "dueDate": None if days is None else (day + timedelta(days=days)).isoformat(timespec="milliseconds"),
            "address": {**billing, "contactId": contact["id"], "name": _full_name(contact)},
            "totalPrice": {
                "currency": "EUR",
                "totalNetAmount": float(net),
                "totalGrossAmount": float(gross),
                "totalTaxAmount": float(gross - net),
            },
            "relatedVouchers": [],
        }
        return self._answer(request, self.documents, document)

    def _check_document(self, body: Record) -> Record:
        """Return the contact of a document. Raises LexwareRefusal 406 with the fields that are wrong."""
        wrong: list[tuple[str, str]] = []
        date, lines, address = body.get("voucherDate"), body.get("lineItems"), body.get("address")
        if not isinstance(date, str) or not MOMENT.fullmatch(date):
            raise LexwareRefusal(400, "JSON parse error: voucherDate")
        contact = self.contacts.get(str(address.get("contactId"))) if isinstance(address, dict) else None
        if contact is None or "customer" not in contact["roles"]:
            wrong.append(("address.contactId", "invalid_value"))
        if not isinstance(body.get("totalPrice"), dict) or body["totalPrice"].get("currency") != "EUR":
            wrong.append(("totalPrice.currency", "invalid_value"))
        tax_type = (body.get("taxConditions") or {}).get("taxType")
        if tax_type not in TAX_TYPES:
            wrong.append(("taxConditions.taxType", "NOTNULL"))
        if not isinstance(lines, list) or not lines:
            wrong.append(("lineItems", "NOTEMPTY"))
        for at, line in enumerate(lines if isinstance(lines, list) else ()):
            wrong += [(f"lineItems[{at}].{field}", said) for field, said in _wrong_in_line(line, str(tax_type))]
        if wrong or contact is None:
            raise LexwareRefusal(406, "Validation failed, please see details list for specific causes.", *wrong)
        return contact

    async def _show_document(self, request: Request) -> Response:
        return JSONResponse(self._document(request))

    def _document(self, request: Request, *kinds: str) -> Record:
        document = self.documents.get(request.path_params["id"])
        path = request.url.path
        kind = "creditnote" if "/credit-notes/" in path else "invoice"
        if document is None or ("/payments/" not in path and document["voucherType"] != kind):
            raise LexwareRefusal(404, "The requested resource was not found")
        return document

    async def _show_payments(self, request: Request) -> Response:
        """What is still open of a voucher; the path takes the id of the voucher."""
        document = self._document(request)
        if document["voucherStatus"] == "draft":
            raise LexwareRefusal(404, "The requested resource was not found")
        paid = document["voucherStatus"] == "paid"
        return JSONResponse(
            {
                "openAmount": 0.0 if paid else document["totalPrice"]["totalGrossAmount"],
                "currency": "EUR",
                "paymentStatus": "balanced" if paid else "openRevenue",
                "voucherId": document["id"],
                "voucherType": document["voucherType"],
                "voucherStatus": document["voucherStatus"],
                "paymentItems": [],
            }
        )

    async def _list_vouchers(self, request: Request) -> Response:
        """The only list of documents. `voucherType` and `voucherStatus` are required, unknown filters are ignored.

        No filter looks into remark or title (measured).
        """
        query = request.query_params
        for name in ("voucherType", "voucherStatus"):
            if name not in query:
                raise LexwareRefusal(400, f"{name} is required", (name, "missing_entity"))
        if strange := query.keys() & NOT_MODELLED:
            raise LexwareRefusal(501, f"the sandbox does not model {', '.join(sorted(strange))}")
        types, statuses = query["voucherType"].split(","), query["voucherStatus"].split(",")
        sort = query.get("sort", "voucherDate,DESC")
        if sort not in SORTS:
            raise LexwareRefusal(400, "parameter 'sort' is invalid", ("sort", "invalid_value"))
        hits = [
            _row(document)
            for id, document in self.documents.items()
            if self._is_shown(id)
            and ("any" in types or document["voucherType"] in types)
            and ("any" in statuses or document["voucherStatus"] in statuses)
            and query.get("contactId") in (None, document["address"]["contactId"])
            and query.get("voucherNumber") in (None, document["voucherNumber"])
            and document["createdDate"][:10] >= query.get("createdDateFrom", "")
        ]
        name, _, way = sort.partition(",")
        return _page(request, sorted(hits, key=lambda row: str(row[name]), reverse=way == "DESC"))

    async def _show_profile(self, request: Request) -> Response:
        return JSONResponse({"organizationId": ORGANISATION, "companyName": "Seminarhaus Beispiel GmbH"})

    async def _not_allowed(self, request: Request) -> Response:
        return self.error(405, "Method not allowed")

    # -- answers

    def _is_shown(self, id: str) -> bool:
        return self._made[id] <= time.monotonic() - self.find_lag

    def _answer(self, request: Request, where: dict[str, Record], values: Record) -> Response:
        """Keep a new record, whatever is there already, and answer what a create answers: 201."""
        id = str(uuid.uuid4())
        moment = _now()
        # Each change adds one; that a document begins at 1 is shown in the samples.
        record = {**values, "id": id, "organizationId": ORGANISATION, "version": 1}
        where[id] = record | {"createdDate": moment, "updatedDate": moment}
        self._made[id] = time.monotonic()
        return self._told(request, where[id], 201)

    def _told(self, request: Request, record: Record, status: int = 200) -> Response:
        told = {name: record[name] for name in ("id", "createdDate", "updatedDate", "version")}
        uri = f"{request.url.replace(query='')}".removesuffix(f"/{record['id']}") + f"/{record['id']}"
        return JSONResponse({**told, "resourceUri": uri}, status)

    async def _refuse(self, request: Request, exc: Exception) -> Response:
        """Return a refusal: of contacts and lists `IssueList`, of documents `details`."""
        if not isinstance(exc, LexwareRefusal):
            return self.error(500, "Internal server error")
        if exc.status == 501:
            return self.error(501, exc.message)
        if exc.issues and not request.url.path.startswith((f"{self.prefix}/invoices", f"{self.prefix}/credit-notes")):
            issues = [{"i18nKey": said, "source": field, "type": "validation_failure"} for field, said in exc.issues]
            return JSONResponse({"IssueList": issues}, exc.status)
        body: Record = {
            "timestamp": _now(),
            "status": exc.status,
            "error": "Not Acceptable" if exc.status == 406 else "Not Found" if exc.status == 404 else "Bad Request",
            "path": request.url.path.removeprefix("/lexware"),
            "traceId": uuid.uuid4().hex[:12],
            "message": exc.message,
        }
        if exc.issues:
            body["details"] = [{"violation": said, "field": field, "message": "ungültig"} for field, said in exc.issues]
        return JSONResponse(body, exc.status)

    async def _refuse_route(self, request: Request, exc: Exception) -> Response:
        return self.error(exc.status_code if isinstance(exc, HTTPException) else 500, "Method not allowed")


#: Invented.
ORGANISATION = "aa93e8a8-0000-4000-8000-000000000001"


class _LexwareGateway:
    """Middleware: checks the key, and demands JSON."""

    def __init__(self, app: ASGIApp, vendor: Lexware) -> None:
        self._app = app
        self._vendor = vendor

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "http":
            request = Request(scope)
            media = request.headers.get("content-type", "").partition(";")[0].strip().lower()
            if not self._vendor.opens(request.headers.get("authorization", "")):
                await self._vendor.error(401, "Unauthorized")(scope, receive, send)
                return
            if request.method in ("POST", "PUT") and media != "application/json":
                await self._vendor.error(415, "Unsupported Media Type")(scope, receive, send)
                return
        await self._app(scope, receive, send)


async def _read_object(request: Request) -> Record:
    try:
        body = json.loads(await request.body())
    except ValueError as exc:
        raise LexwareRefusal(400, "JSON parse error") from exc
    if not isinstance(body, dict):
        raise LexwareRefusal(400, "JSON parse error")
    return body


def _check_contact(body: Record) -> None:
    """Check what is documented and measured: one of person and company, a role, one entry per list."""
    if strange := set(body) - CONTACT_MEMBERS - {"createdDate", "updatedDate"}:
        raise LexwareRefusal(501, f"the sandbox does not model {', '.join(sorted(strange))}")
    if not isinstance(body.get("roles"), dict) or not set(body["roles"]) & {"customer", "vendor"}:
        raise LexwareRefusal(406, "roles", ("roles", "missing_entity"))
    person, company = body.get("person"), body.get("company")
    if (person is None) == (company is None):
        raise LexwareRefusal(406, "person", ("person", "invalid_value"))
    if not (person or {}).get("lastName") and not (company or {}).get("name"):
        raise LexwareRefusal(406, "name", ("person.lastName" if person else "company.name", "missing_entity"))
    for name in ("addresses", "emailAddresses", "phoneNumbers"):
        for kind, entries in (body.get(name) or {}).items():
            if len(entries) > 1:
                raise LexwareRefusal(406, name, (f"{name}.{kind}.size", "invalid_value"))
    for place in ((body.get("addresses") or {}).get("billing") or ()) or ():
        if not place.get("countryCode"):
            raise LexwareRefusal(406, "countryCode", ("addresses.billing.countryCode", "missing_entity"))


def _wrong_in_line(line: Any, tax_type: str) -> list[tuple[str, str]]:
    """Return the fields of a line that are missing: all but a text need name, quantity, unit and price (measured)."""
    if not isinstance(line, dict) or not line.get("name"):
        return [("name", "NOTNULL")]
    if line.get("type") == "text":
        return []
    if line.get("type") != "custom":
        return [("type", "invalid_value")]
    price = line.get("unitPrice")
    price = price if isinstance(price, dict) else {}
    amount = "grossAmount" if tax_type == "gross" else "netAmount"
    needed = {"quantity": line.get("quantity"), "unitName": line.get("unitName")}
    needed |= {f"unitPrice.{name}": price.get(name) for name in ("currency", amount, "taxRatePercentage")}
    wrong = [(name, "NOTNULL") for name, value in needed.items() if value is None]
    if tax_type == "vatfree" and price.get("taxRatePercentage"):
        wrong.append(("unitPrice.taxRatePercentage", "invalid_value"))
    return wrong


def _add_up(lines: list[Record], tax_type: str) -> tuple[Decimal, Decimal]:
    """Return net and gross of all lines."""
    net = gross = Decimal(0)
    for line in lines:
        if line["type"] == "text":
            continue
        price, rate = line["unitPrice"], 1 + Decimal(str(line["unitPrice"]["taxRatePercentage"])) / 100
        amount = Decimal(str(price["grossAmount" if tax_type == "gross" else "netAmount"]))
        amount = (amount * Decimal(str(line["quantity"]))).quantize(CENT, ROUND_HALF_UP)
        net += (amount / rate).quantize(CENT, ROUND_HALF_UP) if tax_type == "gross" else amount
        gross += amount if tax_type == "gross" else (amount * rate).quantize(CENT, ROUND_HALF_UP)
    return net, gross


def _row(document: Record) -> Record:
    """Return a document as the list shows it; neither remark nor introduction is in it."""
    names = ("id", "voucherType", "voucherStatus", "voucherNumber", "voucherDate", "createdDate", "updatedDate")
    total = document["totalPrice"]["totalGrossAmount"]
    return {
        **{name: document[name] for name in (*names, "dueDate", "archived")},
        "contactId": document["address"]["contactId"],
        "contactName": document["address"]["name"],
        "totalAmount": total,
        "openAmount": 0.0 if document["voucherStatus"] == "paid" else total,
        "currency": "EUR",
    }


def _page(request: Request, records: list[Record]) -> Response:
    """Return one page in the envelope of every list; pages count from 0."""
    number, size = (int(request.query_params.get(name, usual)) for name, usual in (("page", "0"), ("size", "25")))
    if not 1 <= size <= LARGEST_PAGE:
        raise LexwareRefusal(400, "size", ("size", "invalid_value"))
    pages = -(-len(records) // size)
    shown = records[number * size : (number + 1) * size]
    return JSONResponse(
        {
            "content": shown,
            "first": number == 0,
            "last": number + 1 >= pages,
            "totalPages": pages,
            "totalElements": len(records),
            "numberOfElements": len(shown),
            "size": size,
            "number": number,
            "sort": [],
        }
    )


def _emails(contact: Mapping[str, Any]) -> list[str]:
    """Return all addresses of a contact, those of a company's contact persons among them."""
    lists = (contact.get("emailAddresses") or {}).values()
    people = (contact.get("company") or {}).get("contactPersons") or ()
    return [*itertools.chain(*lists), *(each["emailAddress"] for each in people if each.get("emailAddress"))]


def _identity(contact: Mapping[str, Any]) -> str | None:
    return next((f"email:{email.lower()}" for email in _emails(contact)), None)


def _full_name(contact: Mapping[str, Any]) -> str:
    person = contact.get("person")
    if person:
        return f"{person.get('firstName') or ''} {person['lastName']}".strip()
    return str(contact["company"]["name"])


def _like(wanted: str, value: str) -> bool:
    """Tell whether a filter finds a value: anywhere in it, `%` and `_` as in SQL, a backslash before one escapes it."""
    pieces = re.findall(r"\\.|.", wanted, re.DOTALL)
    wild = {"%": ".*", "_": "."}
    pattern = "".join(wild.get(piece, re.escape(piece.removeprefix("\\") or piece)) for piece in pieces)
    return re.search(pattern, value, re.IGNORECASE) is not None


def _now() -> str:
    return datetime.now(UTC).isoformat(timespec="milliseconds")
