"""Any CRM or invoicing system with an ordinary REST API, told by options: addresses, field names, what an error means.

Takes the actions of `contacts` and `invoices`; returns Done or raises Failed.
Never creates before it has searched: ordinary systems have no uniqueness of their own.
"""

import base64
from collections.abc import Mapping, Sequence
from types import MappingProxyType
from typing import Any, Literal

from pydantic import Field, field_validator, model_validator

from rules import addresses
from rules.catalogue import DestinationKind
from rules.secret import Secret
from workers.destinations.base import (
    ID_DAYS,
    Attempt,
    Base,
    Client,
    DestinationOptions,
    DestinationType,
    Memory,
    Reveal,
    Visit,
    dig,
    drop_nulls,
    fail_unresolved,
    open_base,
)
from workers.destinations.classify import ErrorRule, SuccessTest, classify
from workers.destinations.contacts import (
    ADD_NOTE,
    SET_CONSENT,
    UPSERT_CONTACT,
    AddNote,
    SetConsent,
    UpsertContact,
    flatten,
)
from workers.destinations.invoices import (
    CANCEL_INVOICE,
    CREATE_INVOICE,
    CancelInvoice,
    CreateInvoice,
    Customer,
)
from workers.http import HiddenHeaders, Http, HttpAnswer, HttpExchange, build_url
from workers.outcome import Done, Failed

CONTACT_FIELDS = (
    "email",
    "external_id",
    "first_name",
    "last_name",
    "phone",
    "address.street",
    "address.postal_code",
    "address.city",
    "address.country",
    "custom",
    "newsletter",
    "tracking",
)
CUSTOMER_FIELDS = (
    "email",
    "name",
    "address.street",
    "address.postal_code",
    "address.city",
    "address.country",
)
INVOICE_FIELDS = ("reference", "customer_id", "lines", "due", "currency")
LINE_FIELDS = ("text", "quantity", "unit_price", "tax_rate")


class RestBasicAuth(DestinationOptions):
    """HTTP Basic."""

    user: Secret
    password: Secret


class RestHeaderAuth(DestinationOptions):
    """A header of its own."""

    name: str = Field(pattern=r"^[A-Za-z0-9-]+$")
    value: Secret


class RestAuth(DestinationOptions):
    """How the destination knows us: one of these."""

    bearer: Secret | None = None
    basic: RestBasicAuth | None = None
    header: RestHeaderAuth | None = None

    @model_validator(mode="after")
    def _is_one(self) -> "RestAuth":
        if sum(way is not None for way in (self.bearer, self.basic, self.header)) != 1:
            raise ValueError("needs exactly one of bearer, basic, header")
        return self

    def headers(self, reveal: Reveal) -> HiddenHeaders:
        """Return the headers that prove who we are."""
        if self.bearer is not None:
            return HiddenHeaders(Authorization=f"Bearer {reveal(self.bearer)}")
        if self.basic is not None:
            pair = f"{reveal(self.basic.user)}:{reveal(self.basic.password)}"
            return HiddenHeaders(Authorization=f"Basic {base64.b64encode(pair.encode()).decode()}")
        assert self.header is not None  # noqa: S101 (the validator saw to it)
        return HiddenHeaders({self.header.name: reveal(self.header.value)})


def _check_names(fields: Mapping[str, str], known: Sequence[str]) -> Mapping[str, str]:
    if strange := sorted(set(fields) - set(known)):
        raise ValueError(f"{', '.join(strange)}: no field of ours; there are {', '.join(known)}")
    return fields


class Collection(DestinationOptions):
    """Where one kind of object lives, and how it is found."""

    path: str = Field(pattern=r"^/", description="Below base; one object is at path/{id}.")
    list: str = Field(default="data", description="Where a search answers its list; empty: the answer is the list.")
    id: str = Field(default="id", description="Where an object has its id: `id`, `data.id` …")
    update: Literal["PATCH", "PUT"] = "PATCH"


class Contacts(Collection):
    """The contacts of a CRM."""

    path: str = "/contacts"
    find: Mapping[str, str] = Field(
        default={"email": "email", "external_id": "external_id", "phone": "phone"},
        description="What a contact can be searched by, and the query parameter for it.",
    )
    fields: Mapping[str, str] = Field(
        default={},
        description="Our field: theirs, dots for nested ones, empty: never sent (custom: at the top).",
    )
    notes: str = Field(default="/contacts/{id}/notes", description="Where a note is posted.")
    note_text: str = Field(default="text", description="Their field for the text of a note.")
    note_on_doubt: Literal["hold", "resend"] = Field(
        default="hold", description="A note that may have been written: ask a person, or rather write it twice."
    )

    @field_validator("fields")
    @classmethod
    def _known_fields(cls, fields: Mapping[str, str]) -> Mapping[str, str]:
        return _check_names(fields, CONTACT_FIELDS)

    @field_validator("find")
    @classmethod
    def _known_finds(cls, find: Mapping[str, str]) -> Mapping[str, str]:
        return _check_names(find, ("email", "external_id", "phone"))


class Customers(Collection):
    """The customers of an invoicing system."""

    path: str = "/customers"
    find: str = Field(default="email", description="The query parameter for a search by e-mail.")
    fields: Mapping[str, str] = Field(default={}, description="Our field: theirs.")

    @field_validator("fields")
    @classmethod
    def _known_fields(cls, fields: Mapping[str, str]) -> Mapping[str, str]:
        return _check_names(fields, CUSTOMER_FIELDS)


class Invoices(Collection):
    """The invoices of an invoicing system."""

    path: str = "/invoices"
    find: str = Field(default="reference", description="The query parameter for a search by reference.")
    fields: Mapping[str, str] = Field(default={}, description="Our field: theirs.")
    line_fields: Mapping[str, str] = Field(default={}, description="Our field of a line: theirs.")
    number: str = Field(default="number", description="Where an invoice has its number.")
    status: str = Field(default="status", description="Where an invoice has its status.")
    draft: tuple[str, ...] = Field(default=("draft",), description="Their words for a draft.")
    cancelled: tuple[str, ...] = Field(default=("canceled", "cancelled"), description="Their words for cancelled.")
    type: str = Field(default="type", description="Where a document says what it is.")
    other_types: tuple[str, ...] = Field(
        default=("cancellation", "credit_note"), description="Documents with the same reference that are no invoices."
    )
    finalise: bool = Field(default=False, description="Finalise what was made; else it stays a draft.")
    finalise_path: str = "/invoices/{id}/finalise"
    cancel_path: str = "/invoices/{id}/cancel"

    @field_validator("fields")
    @classmethod
    def _known_fields(cls, fields: Mapping[str, str]) -> Mapping[str, str]:
        return _check_names(fields, INVOICE_FIELDS)

    @field_validator("line_fields")
    @classmethod
    def _known_line_fields(cls, fields: Mapping[str, str]) -> Mapping[str, str]:
        return _check_names(fields, LINE_FIELDS)


class RestOptions(DestinationOptions):
    """What ops may write under a destination of kind `rest`."""

    base: Base = Field(description="Address of the API.")
    auth: RestAuth | None = Field(default=None, description="bearer, basic or header; absent: none.")
    headers: Mapping[str, Secret] = Field(default={}, description="More headers for every request.")
    idempotency_header: str | None = Field(
        default=None,
        pattern=r"^[A-Za-z0-9-]+$",
        description="Header that carries the delivery's id on what creates, for APIs that honour one: Idempotency-Key.",
    )
    success: SuccessTest | None = Field(default=None, description="What the body of a success says, if status lies.")
    errors: tuple[ErrorRule, ...] = Field(default=(), description="Answers that mean something else than usual.")
    find_lag: float = Field(
        default=0.0, ge=0, le=3600, description="Seconds until their search finds what was just created."
    )
    contacts: Contacts = Contacts()
    customers: Customers = Customers()
    invoices: Invoices = Invoices()


KIND = DestinationKind(
    name="rest",
    about="A CRM or invoicing system with an ordinary REST API; paths and field names are options.",
    options=RestOptions,
    actions={kind.name: kind for kind in (UPSERT_CONTACT, SET_CONSENT, ADD_NOTE, CREATE_INVOICE, CANCEL_INVOICE)},
)


class RestClient(Client[RestOptions]):
    """Carries out the actions of kind `rest`."""

    def __init__(self, name: str, options: RestOptions, reveal: Reveal, http: Http, memory: Memory) -> None:
        super().__init__(name, options, reveal, http, memory)
        self._base = open_base(options.base, reveal)
        self._headers = HiddenHeaders({header: reveal(value) for header, value in options.headers.items()})
        if options.auth is not None:
            self._headers.update(options.auth.headers(reveal))

    async def deliver(self, action: str, arguments: Any, delivery: Attempt) -> Done:
        """Do it, or find that it was done; what is in doubt waits until their search can find it. Raises Failed."""
        try:
            return await super().deliver(action, arguments, delivery)
        except Failed as failed:
            if failed.failure == "ambiguous":
                failed.wait = max(failed.wait, self._options.find_lag)
            raise

    def visit(self, delivery: Attempt) -> "RestVisit":
        """Return what carries the requests of a delivery."""
        return RestVisit(self._http.exchange(), delivery, self._base, self._headers, self._options)

    # Contacts

    async def _upsert_contact(self, visit: "RestVisit", arguments: UpsertContact) -> Done:
        contacts = self._options.contacts
        values = flatten(arguments)
        keys = drop_nulls({"external_id": arguments.external_id, "email": arguments.email})
        body = _translate(values, contacts.fields)
        for name, value in drop_nulls(arguments.custom).items():
            _put(body, _join_path(contacts.fields.get("custom", "custom"), name), value)
        found = await self._find_contact(visit, keys)
        if found is not None and await self._update_contact(visit, found, body):
            await self._remember_contact(values | keys, found)
            return Done(result={"id": found, "created": False}, status=visit.status)
        if found is not None:  # The id map named a contact that is gone.
            await self._forget_contact(keys)
            found = await self._search_contact(visit, keys)
            if found is not None:
                await self._update_contact(visit, found, body)
                await self._remember_contact(values | keys, found)
                return Done(result={"id": found, "created": False}, status=visit.status)
        made = await self._create_contact(visit, body, keys)
        await self._remember_contact(values | keys, made)
        return Done(result={"id": made, "created": True}, status=visit.status)

    async def _set_consent(self, visit: "RestVisit", arguments: SetConsent) -> Done:
        found = await self._find_contact(visit, {"email": arguments.email})
        if found is None:
            return Done(note="no_such_contact", status=visit.status)
        values = drop_nulls({"newsletter": arguments.newsletter, "tracking": arguments.tracking})
        if not await self._update_contact(visit, found, _translate(values, self._options.contacts.fields)):
            await self._forget_contact({"email": arguments.email})
            raise Failed("transient", "stale_id", hint="the contact was replaced by another; the next attempt searches")
        return Done(status=visit.status)

    async def _add_note(self, visit: "RestVisit", arguments: AddNote) -> Done:
        contacts = self._options.contacts
        if visit.delivery.doubtful and not self._options.idempotency_header and contacts.note_on_doubt == "hold":
            raise fail_unresolved("the note may have been written, and notes cannot be searched")
        keys = drop_nulls({"email": arguments.email, "phone": arguments.phone})
        found = await self._find_contact(visit, keys)
        if found is None:
            found = await self._create_contact(visit, _translate(keys, contacts.fields), keys, part="contact")
            await self._remember_contact(keys, found)
        note = {contacts.note_text: arguments.text}
        answer = await visit.send("POST", contacts.notes, note, creates=True, id=found)
        return Done(result=drop_nulls({"id": _read_id(answer, contacts.id), "contact": found}), status=visit.status)

    async def _find_contact(self, visit: "RestVisit", keys: Mapping[str, str]) -> str | None:
        for name, value in keys.items():
            if known := await self._memory.get(self._key("contact", name, value)):
                return known
        return await self._search_contact(visit, keys)

    async def _search_contact(self, visit: "RestVisit", keys: Mapping[str, str]) -> str | None:
        contacts = self._options.contacts
        for name, value in keys.items():
            if name in contacts.find:
                theirs = contacts.fields.get(name, name)
                found = await visit.find(contacts, {contacts.find[name]: value}, theirs, value, name)
                if found is not None:
                    return str(dig(found, contacts.id))
        return None

    async def _create_contact(
        self, visit: "RestVisit", body: Mapping[str, Any], keys: Mapping[str, str], part: str = ""
    ) -> str:
        contacts = self._options.contacts
        answer = await visit.send("POST", contacts.path, body, creates=True, part=part)
        made = _read_id(answer, contacts.id) or await self._search_contact(visit, keys)
        if made is None:
            raise Failed("ambiguous", "no_id", status=answer.status, hint="a contact was made, but no id came back")
        return made

    async def _update_contact(self, visit: "RestVisit", id: str, body: Mapping[str, Any]) -> bool:
        """Write the fields; False: there is no contact with that id."""
        contacts = self._options.contacts
        if not body:
            return True
        answer = await visit.try_send(contacts.update, contacts.path + "/{id}", body, id=id)
        if answer.status in (404, 410):
            return False
        visit.check(answer)
        return True

    async def _remember_contact(self, keys: Mapping[str, Any], id: str) -> None:
        for name in ("external_id", "email", "phone"):
            if keys.get(name):
                await self._memory.set(self._key("contact", name, keys[name]), id, ID_DAYS)

    async def _forget_contact(self, keys: Mapping[str, str]) -> None:
        for name, value in keys.items():
            await self._memory.set(self._key("contact", name, value), "", 1)

    # Invoices

    async def _create_invoice(self, visit: "RestVisit", arguments: CreateInvoice) -> Done:
        invoices = self._options.invoices
        invoice = await self._find_invoice(visit, arguments.reference)
        created = invoice is None
        if invoice is None:
            customer = await self._find_or_create_customer(visit, arguments.customer)
            answer = await visit.send("POST", invoices.path, self._invoice_body(arguments, customer), creates=True)
            made = answer.json()
            if _read_id(answer, invoices.id) is None:
                made = await self._find_invoice(visit, arguments.reference)
            if not isinstance(made, Mapping):
                raise Failed(
                    "ambiguous", "no_id", status=answer.status, hint="an invoice was made, but no id came back"
                )
            invoice = made
        id = str(dig(invoice, invoices.id))
        if invoices.finalise:
            invoice = await self._finalise(visit, arguments.reference, id, invoice)
        result = {"id": id, "number": dig(invoice, invoices.number), "status": dig(invoice, invoices.status)}
        if result["number"] is not None:
            result["number"] = str(result["number"])
        note = "" if created else "already_there"
        return Done(result={**result, "created": created}, note=note, status=visit.status)

    async def _finalise(
        self, visit: "RestVisit", reference: str, id: str, invoice: Mapping[str, Any]
    ) -> Mapping[str, Any]:
        """Finalise a draft, once; return the invoice as it then is."""
        invoices = self._options.invoices
        marker = self._key("finalised", "reference", reference)
        status = dig(invoice, invoices.status)
        if (status is not None and status not in invoices.draft) or await self._memory.get(marker) == id:
            return invoice
        answer = await visit.send("POST", invoices.finalise_path, {}, creates=True, part="finalise", id=id)
        await self._memory.set(marker, id, ID_DAYS)
        final = answer.json()
        return final if isinstance(final, Mapping) and dig(final, invoices.id) is not None else invoice

    async def _cancel_invoice(self, visit: "RestVisit", arguments: CancelInvoice) -> Done:
        invoices = self._options.invoices
        invoice = await self._find_invoice(visit, arguments.reference)
        if invoice is None:
            return Done(note="nothing_to_cancel", status=visit.status)
        id = str(dig(invoice, invoices.id))
        status = dig(invoice, invoices.status)
        if status in invoices.cancelled:
            return Done(result={"id": id}, note="already_cancelled", status=visit.status)
        if status in invoices.draft:
            answer = await visit.try_send("DELETE", invoices.path + "/{id}", id=id)
            if answer.status not in (404, 410):
                visit.check(answer)
            return Done(result={"id": id}, note="draft_deleted", status=visit.status)
        await visit.send("POST", invoices.cancel_path, drop_nulls({"reason": arguments.reason}), creates=True, id=id)
        return Done(result={"id": id}, status=visit.status)

    async def _find_invoice(self, visit: "RestVisit", reference: str) -> Mapping[str, Any] | None:
        invoices = self._options.invoices
        theirs = invoices.fields.get("reference", "reference")
        found = await visit.find_all(invoices, {invoices.find: reference}, theirs, reference)
        return next((one for one in found if dig(one, invoices.type) not in invoices.other_types), None)

    async def _find_or_create_customer(self, visit: "RestVisit", customer: Customer) -> str:
        customers = self._options.customers
        key = self._key("customer", "email", customer.email)
        if known := await self._memory.get(key):
            return known
        theirs = customers.fields.get("email", "email")
        found = await visit.find(customers, {customers.find: customer.email}, theirs, customer.email, "email")
        id = None if found is None else str(dig(found, customers.id))
        if id is None:
            values = drop_nulls({"email": customer.email, "name": customer.name})
            if customer.address is not None:
                values |= {
                    f"address.{name}": value for name, value in drop_nulls(customer.address.model_dump()).items()
                }
            body = _translate(values, customers.fields)
            answer = await visit.send("POST", customers.path, body, creates=True, part="customer")
            id = _read_id(answer, customers.id)
        if id is None:
            raise Failed("ambiguous", "no_id", status=visit.status, hint="a customer was made, but no id came back")
        await self._memory.set(key, id, ID_DAYS)
        return id

    def _invoice_body(self, arguments: CreateInvoice, customer: str) -> dict[str, Any]:
        invoices = self._options.invoices
        values = drop_nulls(arguments.model_dump(mode="json", include={"reference", "due", "currency"}))
        values["customer_id"] = _to_json_id(customer)
        values["lines"] = [
            _translate(drop_nulls(line.model_dump(mode="json")), invoices.line_fields) for line in arguments.lines
        ]
        return _translate(values, invoices.fields)

    def _key(self, kind: str, name: str, value: str) -> str:
        return f"{self._name}:{kind}:{name}:{value}"

    methods = MappingProxyType(
        {
            "upsert_contact": _upsert_contact,
            "set_consent": _set_consent,
            "add_note": _add_note,
            "create_invoice": _create_invoice,
            "cancel_invoice": _cancel_invoice,
        }
    )


DESTINATION = DestinationType(KIND, RestClient)


class RestVisit(Visit):
    """The requests of one delivery to one API, judged by its rules."""

    def __init__(
        self, exchange: HttpExchange, delivery: Attempt, base: str, headers: Mapping[str, str], options: RestOptions
    ) -> None:
        super().__init__(exchange, delivery)
        self._base = base
        self._headers = headers
        self._options = options
        #: Status of the latest answer.
        self.status = 0

    async def find(
        self, collection: Collection, query: Mapping[str, str], field: str, value: str, kind: str = ""
    ) -> Mapping[str, Any] | None:
        """Return the first object whose field has exactly this value: searches may be fuzzy. None: there is none."""
        return next(iter(await self.find_all(collection, query, field, value, kind)), None)

    async def find_all(
        self, collection: Collection, query: Mapping[str, str], field: str, value: str, kind: str = ""
    ) -> list[Mapping[str, Any]]:
        """Return all objects whose field has exactly this value; `kind` tells what it is: email, phone, or an id."""
        url = build_url(self._base, collection.path, query)
        answer = await self.exchange.request("GET", url, headers=self._headers)
        self.status = answer.status
        if answer.status == 404:
            return []
        self.check(answer)
        found = dig(answer.json(), collection.list)
        if not isinstance(found, list):
            raise Failed("transient", "bad_answer", status=answer.status, hint="a search did not answer with a list")
        return [
            item
            for item in found
            if isinstance(item, Mapping)
            and dig(item, collection.id) is not None
            and (not field or _equals(dig(item, field), value, kind))
        ]

    async def send(
        self,
        method: str,
        template: str,
        body: Mapping[str, Any] | None = None,
        *,
        creates: bool = False,
        part: str = "",
        **values: object,
    ) -> HttpAnswer:
        """Send and judge. Raises Failed."""
        answer = await self.try_send(method, template, body, creates=creates, part=part, **values)
        self.check(answer, creates=creates)
        return answer

    async def try_send(
        self,
        method: str,
        template: str,
        body: Mapping[str, Any] | None = None,
        *,
        creates: bool = False,
        part: str = "",
        **values: object,
    ) -> HttpAnswer:
        """Send and leave the judging to the caller.

        `part` tells several creates of one delivery apart: an idempotency key belongs to one request.
        """
        headers = dict(self._headers)
        if creates and self._options.idempotency_header:
            headers[self._options.idempotency_header] = "-".join(filter(None, (self.delivery.id, part)))
        url = build_url(self._base, template, None, **values)
        answer = await self.exchange.request(method, url, headers=headers, json=body, creates=creates)
        self.status = answer.status
        return answer

    def check(self, answer: HttpAnswer, *, creates: bool = False) -> None:
        """Raise what the answer means, if it does not mean done."""
        failed = classify(answer, creates=creates, rules=self._options.errors, success=self._options.success)
        if failed is not None:
            raise failed


def _equals(theirs: Any, ours: str, kind: str) -> bool:
    if theirs is None:
        return True
    if kind == "email":
        return addresses.same_email(str(theirs), ours)
    if kind == "phone":
        return addresses.same_phone(str(theirs), ours)
    return str(theirs).strip().lower() == ours.lower()


def _read_id(answer: HttpAnswer, path: str) -> str | None:
    id = dig(answer.json(), path)
    return str(id) if isinstance(id, str | int) and not isinstance(id, bool) else None


def _to_json_id(id: str) -> str | int:
    """Return an id as JSON has it: a number stays a number."""
    return int(id) if id.isascii() and id.isdecimal() and str(int(id)) == id else id


def _join_path(prefix: str, name: str) -> str:
    return f"{prefix}.{name}" if prefix else name


def _translate(values: Mapping[str, Any], names: Mapping[str, str]) -> dict[str, Any]:
    """Return our values under their names; a field whose name is empty is not theirs."""
    body: dict[str, Any] = {}
    for name, value in values.items():
        if theirs := names.get(name, name):
            _put(body, theirs, value)
    return body


def _put(body: dict[str, Any], path: str, value: Any) -> None:
    *parents, last = path.split(".")
    for parent in parents:
        body = body.setdefault(parent, {})
    body[last] = value
