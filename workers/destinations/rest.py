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
from rules.catalogue import DestinationKind, Name, StandIn
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
    list_names,
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
from workers.destinations.finding import FoundObject, ObjectFinder
from workers.destinations.invoices import (
    CANCEL_INVOICE,
    CREATE_INVOICE,
    CancelInvoice,
    CreateInvoice,
    Customer,
)
from workers.http import HiddenHeaders, Http, HttpAnswer, HttpExchange, build_url
from workers.oauth import TokenRequest, TokenSource
from workers.outcome import Done, Failed

CONTACT_FIELDS = (
    "email",
    "external_id",
    "name",
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


class RestOAuth(DestinationOptions):
    """OAuth 2.0 client credentials: a token is fetched, and replaced shortly before it ends."""

    token_url: Base = Field(description="Where tokens are given.")
    client_id: Secret
    client_secret: Secret
    scope: str = Field(default="", description="What the token is to be good for, as the vendor calls it.")
    audience: str | None = Field(default=None, description="For vendors that ask which API it is for.")
    send: Literal["header", "body"] = Field(
        default="header", description="Where client_id and client_secret are sent: body for vendors that want that."
    )


class RestAuth(DestinationOptions):
    """How the destination knows us: one of these."""

    bearer: Secret | None = None
    basic: RestBasicAuth | None = None
    header: RestHeaderAuth | None = None
    oauth: RestOAuth | None = None

    @model_validator(mode="after")
    def _is_one(self) -> "RestAuth":
        if sum(way is not None for way in (self.bearer, self.basic, self.header, self.oauth)) != 1:
            raise ValueError("needs exactly one of bearer, basic, header, oauth")
        return self

    def headers(self, reveal: Reveal) -> HiddenHeaders:
        """Return the headers that prove who we are, as far as they never change."""
        if self.oauth is not None:
            return HiddenHeaders()
        if self.bearer is not None:
            return HiddenHeaders(Authorization=f"Bearer {reveal(self.bearer)}")
        if self.basic is not None:
            pair = f"{reveal(self.basic.user)}:{reveal(self.basic.password)}"
            return HiddenHeaders(Authorization=f"Basic {base64.b64encode(pair.encode()).decode()}")
        assert self.header is not None  # noqa: S101 (the validator saw to it)
        return HiddenHeaders({self.header.name: reveal(self.header.value)})

    def tokens(self, reveal: Reveal, http: Http) -> TokenSource | None:
        """Return what gives tokens; None where none is needed."""
        if (said := self.oauth) is None:
            return None
        more = {"audience": said.audience} if said.audience is not None else {}
        url = open_base(said.token_url, reveal)
        ours = reveal(said.client_id), reveal(said.client_secret)
        return TokenSource(http.aside(), TokenRequest(url, *ours, said.scope, more, said.send == "body"))


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
    trust_search: bool = Field(
        default=False,
        description="Believe a hit that does not show the field that was searched. Never for a consent.",
    )
    conflict_id: str | None = Field(
        default=None,
        min_length=1,
        description="Where the refusal of a create (409) says the id of the object that exists: `error.id` …",
    )


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
    null_clears: bool = Field(
        default=False, description="A field that a rule clears is sent as null; else as an empty text."
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
    # One base for both: its contacts are the sandbox's CRM, its customers and invoices the invoicing system.
    stand_in=StandIn(
        {
            "base": "{sandbox}",
            "auth": {"bearer": "${SANDBOX_REST_TOKEN}"},
            "contacts": {"path": "/crm/contacts", "notes": "/crm/contacts/{id}/notes"},
            "customers": {"path": "/invoicing/customers"},
            "invoices": {
                "path": "/invoicing/invoices",
                "finalise_path": "/invoicing/invoices/{id}/finalise",
                "cancel_path": "/invoicing/invoices/{id}/cancel",
            },
        }
    ),
    actions={
        kind.name: kind
        for kind in (
            UPSERT_CONTACT.adopt("found again"),
            SET_CONSENT.adopt("sent again"),
            ADD_NOTE.adopt("held"),
            CREATE_INVOICE.adopt("found again"),
            CANCEL_INVOICE.adopt("found again"),
        )
    },
    cannot={
        "add_label": "rest has no recipe for labels",
        "remove_label": "rest has no recipe for labels",
        "create_lead": "rest has no recipe for leads",
        "move_deal": "rest has no recipe for leads",
        "add_task": "rest has no recipe for tasks",
        "link": "rest has no recipe for links",
        "contact": "rest has no recipe for this look-up",
        "upsert_customer": "rest has no recipe for customers alone; create_invoice makes them",
        "create_credit_note": "rest has no recipe for credit notes; cancel_invoice cancels a whole invoice",
        "record_payment": "rest has no recipe for payments",
        "invoice_status": "rest has no recipe for this look-up",
    },
)


class RestClient(Client[RestOptions]):
    """Carries out the actions of kind `rest`."""

    def __init__(self, name: str, options: RestOptions, reveal: Reveal, http: Http, memory: Memory) -> None:
        super().__init__(name, options, reveal, http, memory)
        self._base = open_base(options.base, reveal)
        self._headers = HiddenHeaders({header: reveal(value) for header, value in options.headers.items()})
        if options.auth is not None:
            self._headers.update(options.auth.headers(reveal))
        self._tokens = options.auth.tokens(reveal, http) if options.auth is not None else None

    def field_names(self) -> Mapping[str, str]:
        """Return what the book says of the fields of a contact."""
        return self._options.contacts.fields

    def visit(self, delivery: Attempt) -> "RestVisit":
        """Return what carries the requests of a delivery."""
        return RestVisit(self._http.exchange(), delivery, self._base, self._headers, self._options, self._tokens)

    # Contacts

    async def _upsert_contact(self, visit: "RestVisit", arguments: UpsertContact) -> Done:
        names = UPSERT_CONTACT.list_strong_names(arguments)
        wanted = list_names(("external_id", arguments.external_id), ("email", arguments.new_email or arguments.email))
        finder = self._contact_finder(visit)
        for _ in range(2):
            found = await finder.find(names)
            if found is None:
                body = self._contact_body(arguments)
                found, created = await self._create(visit, finder, self._options.contacts, names, body, "")
                if created:
                    phones = list_names(("phone", arguments.phone))
                    await finder.learn([*wanted, *phones], found.id, gone=names)
                    return Done(result={"id": found.id, "created": True}, status=visit.status)
            await finder.meet(found)
            # Never the name by which it was found: an old address of the id map would come back.
            body = self._contact_body(arguments, leave_out=[name.kind for name in wanted if name in found.names])
            if await self._update_contact(visit, found.id, body):
                if found.news or not found.names.issuperset(wanted):
                    await finder.learn(wanted, found.id, gone=[*names, *self._replaced(found, body)])
                return Done(result={"id": found.id, "created": False}, status=visit.status)
            await finder.forget(found)
        raise _fail_stale()

    def _replaced(self, found: FoundObject, body: Mapping[str, Any]) -> list[Name]:
        """Return the addresses that a contact had before an update wrote another one."""
        field = self._options.contacts.fields.get("email", "email")
        if found.record is None or not field or dig(body, field) is None:
            return []
        shown = _show(self._options.contacts, found.record, field) or ()
        return [Name("email", addresses.key_or_text(each)) for each in shown if isinstance(each, str) and each]

    async def _set_consent(self, visit: "RestVisit", arguments: SetConsent) -> Done:
        values = drop_nulls({"newsletter": arguments.newsletter, "tracking": arguments.tracking})
        withdrawn = {name: value for name, value in values.items() if not value}
        names = [Name("email", arguments.email)]
        finder = self._contact_finder(visit, consent=True)
        if withdrawn:
            found = await finder.find_all(names)  # Whoever has the address: it is they who withdraw it.
        else:
            found = [one] if (one := await finder.find(names)) is not None else []
        if not found:
            return Done(note="no_such_contact", status=visit.status)
        await finder.meet(*found)
        ends = [await self._write_consent(visit, each, values if len(found) == 1 else withdrawn) for each in found]
        for each, end in zip(found, ends, strict=True):
            if end == "gone":
                await finder.forget(each)
        if set(ends) == {"gone"}:
            raise _fail_stale()
        if "hidden" in ends:
            raise Failed(
                "transient", "not_in_force", status=visit.status, hint="they took it, and the contact does not show it"
            )
        if len(found) > 1 and values != withdrawn:
            raise finder.fail_several(found)
        if len(found) == 1 and found[0].news:
            await finder.learn(names, found[0].id)
        return Done(status=visit.status)

    async def _write_consent(
        self, visit: "RestVisit", found: FoundObject, values: Mapping[str, bool]
    ) -> Literal["shown", "hidden", "gone"]:
        """Write what a person agreed to, and look whether the contact shows it."""
        contacts = self._options.contacts
        body = _translate(values, contacts.fields)
        if not body:
            return "shown"
        answer = await visit.try_send(contacts.update, contacts.path + "/{id}", body, id=found.id)
        if answer.status in (404, 410):
            return "gone"
        visit.check(answer)
        fields = {contacts.fields.get(name, name): value for name, value in values.items()}
        if _is_in_force(contacts, answer.json(), fields):
            return "shown"
        now = await visit.read(contacts, found.id)
        if now is None:
            return "gone"
        return "shown" if _is_in_force(contacts, now, fields) else "hidden"

    async def _add_note(self, visit: "RestVisit", arguments: AddNote) -> Done:
        contacts = self._options.contacts
        if visit.delivery.doubtful and not self._options.idempotency_header and contacts.note_on_doubt == "hold":
            raise fail_unresolved("the note may have been written, and notes cannot be searched")
        # A number is a name only where there is no address: colleagues share one.
        given = drop_nulls({"email": arguments.email, "phone": arguments.phone})
        names = ADD_NOTE.list_strong_names(arguments)
        finder = self._contact_finder(visit)
        found = await finder.find(names)
        if found is None:
            body = _translate(given, contacts.fields)
            found, created = await self._create(visit, finder, contacts, names, body, "contact")
            await finder.learn(list_names(*given.items()) if created else names, found.id)
        if found.news:
            await finder.meet(found)
            await finder.learn(names, found.id)
        note = {contacts.note_text: arguments.text}
        answer = await visit.send("POST", contacts.notes, note, creates=True, id=found.id)
        return Done(result=drop_nulls({"id": _read_id(answer, contacts), "contact": found.id}), status=visit.status)

    def _contact_finder(self, visit: "RestVisit", *, consent: bool = False) -> ObjectFinder:
        contacts = self._options.contacts
        fields = {name: contacts.fields.get(name, name) for name in ("email", "external_id", "phone")}
        objects = RestObjects(
            "contact", visit, contacts, contacts.find, fields, self._options.find_lag, consent=consent
        )
        return ObjectFinder(objects, self._memory, visit.delivery)

    def _contact_body(self, arguments: UpsertContact, *, leave_out: Sequence[str] = ()) -> dict[str, Any]:
        contacts = self._options.contacts
        empty = None if contacts.null_clears else ""
        values = {name: value or empty for name, value in flatten(arguments).items() if name not in leave_out}
        body = _translate(values, contacts.fields)
        for name, value in drop_nulls(arguments.custom).items():
            _put(body, _join_path(contacts.fields.get("custom", "custom"), name), empty if value == "" else value)
        return body

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

    async def _create(
        self,
        visit: "RestVisit",
        finder: ObjectFinder,
        collection: Collection,
        names: Sequence[Name],
        body: Mapping[str, Any],
        part: str,
    ) -> tuple[FoundObject, bool]:
        """Create an object. False: they refused, because it exists, and named the one that the search did not show."""
        answer = await visit.try_send("POST", collection.path, body, creates=True, part=part)
        failed = visit.judge(answer, creates=True)
        if failed is not None and (answer.status, failed.code) == (409, "conflict"):
            id = _to_id(dig(answer.json(), collection.conflict_id)) if collection.conflict_id else None
            return await finder.find_existing(names, id, answer.status), False
        if failed is not None:
            raise failed
        if (id := _read_id(answer, collection)) is not None:
            return FoundObject(id, _unwrap(collection, answer.json())), True
        if (found := await finder.find(names)) is None:
            raise Failed("ambiguous", "no_id", status=answer.status, hint="something was made, but no id came back")
        return found, True

    # Invoices

    async def _create_invoice(self, visit: "RestVisit", arguments: CreateInvoice) -> Done:
        invoices = self._options.invoices
        name = Name("invoice", arguments.reference)
        finder = self._invoice_finder(visit)
        found = await finder.find([name])
        created = False
        if found is None:
            customer = await self._find_or_create_customer(visit, arguments.customer)
            body = self._invoice_body(arguments, customer)
            found, created = await self._create(visit, finder, invoices, [name], body, "")
            await finder.learn([name], found.id)
        if found.news:
            await finder.meet(found)
            await finder.learn([name], found.id)
        invoice = _unwrap(invoices, found.record)
        if invoices.finalise if arguments.finalise is None else arguments.finalise:
            invoice = await self._finalise(visit, arguments.reference, found.id, invoice)
        result = {"id": found.id, "number": dig(invoice, invoices.number), "status": dig(invoice, invoices.status)}
        if result["number"] is not None:
            result["number"] = str(result["number"])
        note = "" if created else "already_there"
        return Done(result={**result, "created": created}, note=note, status=visit.status)

    async def _finalise(
        self, visit: "RestVisit", reference: str, id: str, invoice: Mapping[str, Any]
    ) -> Mapping[str, Any]:
        """Finalise a draft, once; return the invoice as it then is. Raises Failed if it is shown as a draft still."""
        invoices = self._options.invoices
        marker = self._key("finalised", "reference", reference)
        status = dig(invoice, invoices.status)
        if (status is not None and status not in invoices.draft) or await self._memory.get(marker) == id:
            return invoice
        answer = await visit.send("POST", invoices.finalise_path, {}, creates=True, part="finalise", id=id)
        final = _unwrap(invoices, answer.json())
        if _to_id(dig(final, invoices.id)) != id:
            final = {}
        if dig(final, invoices.status) in (None, *invoices.draft):
            final = await visit.read(invoices, id) or final
            if dig(final, invoices.status) in invoices.draft:
                hint = "they took it, and the invoice is a draft still; look at invoices.draft, their words for it"
                raise self._fail_not_in_force(visit, hint)
        await self._memory.set(marker, id, ID_DAYS)
        return final or invoice

    async def _cancel_invoice(self, visit: "RestVisit", arguments: CancelInvoice) -> Done:
        invoices = self._options.invoices
        finder = self._invoice_finder(visit)
        found = await finder.find([Name("invoice", arguments.reference)])
        if found is None:
            return Done(note="nothing_to_cancel", status=visit.status)
        id, status = found.id, dig(_unwrap(invoices, found.record), invoices.status)
        if status in invoices.cancelled:
            return Done(result={"id": id}, note="already_cancelled", status=visit.status)
        await finder.meet(found)
        if status in invoices.draft:
            answer = await visit.try_send("DELETE", invoices.path + "/{id}", id=id)
            if answer.status not in (404, 410):
                visit.check(answer)
                now = await visit.read(invoices, id)
                if now is not None and dig(now, invoices.status) in (None, *invoices.draft):
                    raise self._fail_not_cancelled(visit)
            await finder.forget(found)
            return Done(result={"id": id}, note="draft_deleted", status=visit.status)
        body = drop_nulls({"reason": arguments.reason})
        answer = await visit.send("POST", invoices.cancel_path, body, creates=True, id=id)
        now = _unwrap(invoices, answer.json())
        if status is not None and (
            _to_id(dig(now, invoices.id)) != id or dig(now, invoices.status) not in invoices.cancelled
        ):
            # It answered with something else, such as the cancellation document: look at the invoice itself.
            now = await visit.read(invoices, id)
            if now is not None and dig(now, invoices.status) not in invoices.cancelled:
                raise self._fail_not_cancelled(visit)
        return Done(result={"id": id}, status=visit.status)

    def _fail_not_cancelled(self, visit: "RestVisit") -> Failed:
        hint = "they took it, and the invoice is not cancelled; look at invoices.cancelled, their words for it"
        return self._fail_not_in_force(visit, hint)

    def _fail_not_in_force(self, visit: "RestVisit", hint: str) -> Failed:
        return Failed("transient", "not_in_force", wait=self._options.find_lag, status=visit.status, hint=hint)

    def _invoice_finder(self, visit: "RestVisit") -> ObjectFinder:
        invoices = self._options.invoices
        fields = {"invoice": invoices.fields.get("reference", "reference")}
        objects = RestInvoices("invoice", visit, invoices, {"invoice": invoices.find}, fields, self._options.find_lag)
        return ObjectFinder(objects, self._memory, visit.delivery, believed=0)  # Its status is needed as it is now.

    async def _find_or_create_customer(self, visit: "RestVisit", customer: Customer) -> str:
        customers = self._options.customers
        fields = {"email": customers.fields.get("email", "email")}
        objects = RestObjects("customer", visit, customers, {"email": customers.find}, fields, self._options.find_lag)
        # The id map tells customers from contacts, unless the vendor has one list for both.
        prefix = "" if customers.path == self._options.contacts.path else "customer_"
        finder = ObjectFinder(objects, self._memory, visit.delivery, prefix=prefix)
        names = [Name("email", customer.email)]
        found = await finder.find(names)
        if found is not None:
            if found.news:
                await finder.learn(names, found.id)
            return found.id
        values = drop_nulls({"email": customer.email, "name": customer.name})
        if customer.address is not None:
            values |= {f"address.{name}": value for name, value in drop_nulls(customer.address.model_dump()).items()}
        found, _ = await self._create(visit, finder, customers, names, _translate(values, customers.fields), "customer")
        await finder.learn(names, found.id)
        return found.id

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
        self,
        exchange: HttpExchange,
        delivery: Attempt,
        base: str,
        headers: Mapping[str, str],
        options: RestOptions,
        tokens: TokenSource | None = None,
    ) -> None:
        super().__init__(exchange, delivery)
        self._tokens = tokens
        self._base = base
        self._headers = headers
        self._options = options
        #: Status of the latest answer.
        self.status = 0

    async def search(self, collection: Collection, query: Mapping[str, str]) -> list[Mapping[str, Any]]:
        """Return the objects that a search answers."""
        url = build_url(self._base, collection.path, query)
        answer = await self._request("GET", url, self._headers)
        if answer.status == 404:
            return []
        self.check(answer)
        found = dig(answer.json(), collection.list)
        if not isinstance(found, list):
            raise Failed("transient", "bad_answer", status=answer.status, hint="a search did not answer with a list")
        return [item for item in found if isinstance(item, Mapping) and _to_id(dig(item, collection.id)) is not None]

    async def read(self, collection: Collection, id: str) -> Mapping[str, Any] | None:
        """Return an object, or the one that they answer with because it was merged; None where there is none."""
        answer = await self.try_send("GET", collection.path + "/{id}", id=id)
        if answer.status in (404, 410):
            return None
        if answer.status in (405, 501):
            return {}  # It cannot be read by its id: nothing is known of it.
        self.check(answer)
        found = _unwrap(collection, answer.json())
        if _to_id(dig(found, collection.id)) is None:
            raise Failed("transient", "bad_answer", status=answer.status, hint="an object was asked for, and not shown")
        return found

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
        return await self._request(method, url, headers, body, creates=creates)

    async def _request(
        self,
        method: str,
        url: str,
        headers: Mapping[str, str],
        body: Mapping[str, Any] | None = None,
        *,
        creates: bool = False,
    ) -> HttpAnswer:
        """Send one request; once more with a new token where the API refuses the one we have: it did nothing then."""
        for token_may_be_old in (True, False):
            said, token = headers, ""
            if self._tokens is not None:
                token = await self._tokens.get()
                said = HiddenHeaders({**headers, "Authorization": f"Bearer {token}"})
            answer = await self.exchange.request(method, url, headers=said, json=body, creates=creates)
            if self._tokens is None or answer.status != 401 or not token_may_be_old:
                break
            self._tokens.drop(token)
        self.status = answer.status
        return answer

    def check(self, answer: HttpAnswer, *, creates: bool = False) -> None:
        """Raise what the answer means, if it does not mean done."""
        failed = self.judge(answer, creates=creates)
        if failed is not None:
            raise failed

    def judge(self, answer: HttpAnswer, *, creates: bool = False) -> Failed | None:
        """Return what the answer means, None for done."""
        return classify(answer, creates=creates, rules=self._options.errors, success=self._options.success)


class RestObjects:
    """One collection of an API. `find`: kind of name -> query parameter; `fields`: kind of name -> their field."""

    def __init__(
        self,
        kind: str,
        visit: RestVisit,
        collection: Collection,
        find: Mapping[str, str],
        fields: Mapping[str, str],
        find_lag: float,
        *,
        consent: bool = False,
    ) -> None:
        self.kind = kind
        self.searched = frozenset(find)
        self.trust_search = collection.trust_search and not consent
        self.find_lag = find_lag
        self._visit = visit
        self._collection = collection
        self._find = find
        self._fields = fields
        self._consent = consent

    async def search(self, name: Name) -> list[FoundObject]:
        """Return what their search finds, be it fuzzy."""
        hits = await self._visit.search(self._collection, {self._find[name.kind]: name.value})
        return [FoundObject(str(dig(hit, self._collection.id)), hit) for hit in hits]

    async def read(self, id: str) -> FoundObject | None:
        """Return an object, None where there is none."""
        record = await self._visit.read(self._collection, id)
        return None if record is None else FoundObject(_to_id(dig(record, self._collection.id)) or id, record)

    def values(self, record: Any, kind: str) -> Sequence[Any] | None:
        """Return what an object has in the field of a kind of names; None: it does not have the field."""
        return _show(self._collection, record, self._fields[kind])

    def explain_unreadable(self, kind: str) -> str:
        """Return what to do where their search does not show the field that was searched."""
        told = f"their search returns no `{self._fields[kind] or kind}`: name the field under `fields`"
        return told if self._consent else f"{told}, or say `trust_search: true`"

    def narrow(self, found: Sequence[FoundObject]) -> Sequence[FoundObject]:
        """Return all: which one is meant is a person's to say."""
        return found


class RestInvoices(RestObjects):
    """The invoices of an API. Other documents may have their references, and cancelled ones give theirs away."""

    _collection: Invoices

    async def search(self, name: Name) -> list[FoundObject]:
        """Return the invoices that their search finds."""
        invoices = self._collection
        hits = await super().search(name)
        return [hit for hit in hits if dig(hit.record, invoices.type) not in invoices.other_types]

    def narrow(self, found: Sequence[FoundObject]) -> Sequence[FoundObject]:
        """Return those that are not cancelled, or the newest of the cancelled ones."""
        invoices = self._collection
        alive = [
            each for each in found if dig(_unwrap(invoices, each.record), invoices.status) not in invoices.cancelled
        ]
        return alive or found[-1:]


def _fail_stale() -> Failed:
    return Failed("transient", "stale_id", hint="the contact was replaced by another; the next attempt searches")


def _unwrap(collection: Collection, answer: Any) -> Mapping[str, Any]:
    """Return the object of an answer, which may lie where a search has its list: `{"data": {"id": 7}}`."""
    if dig(answer, collection.id) is None and isinstance(inner := dig(answer, collection.list), Mapping):
        return inner
    return answer if isinstance(answer, Mapping) else {}


def _show(collection: Collection, record: Any, field: str) -> Sequence[Any] | None:
    """Return what stands in a field of an object, beside its id or from the top; None where there is no such field."""
    beside = collection.id.rpartition(".")[0]
    for path in dict.fromkeys((field, _join_path(beside, field))) if field else ():
        parent, _, last = path.rpartition(".")
        holder = dig(record, parent)
        if isinstance(holder, Mapping) and last in holder:
            return holder[last] if isinstance(holder[last], list) else [holder[last]]
    return None


def _is_in_force(collection: Collection, answer: Any, fields: Mapping[str, bool]) -> bool:
    """Tell whether an object shows what was agreed to. Some write 1, or "true"."""
    shown = {field: _show(collection, _unwrap(collection, answer), field) for field in fields if field}
    words = {True: (True, 1, "1", "true", "yes"), False: (False, 0, "0", "false", "no")}
    return all(
        any((value.lower() if isinstance(value, str) else value) in words[fields[field]] for value in values or ())
        for field, values in shown.items()
    )


def _read_id(answer: HttpAnswer, collection: Collection) -> str | None:
    return _to_id(dig(_unwrap(collection, answer.json()), collection.id))


def _to_id(value: Any) -> str | None:
    return str(value) if isinstance(value, str | int) and not isinstance(value, bool) and value != "" else None


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
