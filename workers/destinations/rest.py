"""Any CRM or invoicing system with an ordinary REST API, told by options: addresses, field names, what an error means.

Takes the actions of `contacts` and `invoices`; returns Done or raises Failed.
Never creates before it has searched: ordinary systems have no uniqueness of their own.
"""

import base64
from collections.abc import Mapping, Sequence
from types import MappingProxyType
from typing import Annotated, Any, Literal

from pydantic import AfterValidator, Field, model_validator

from mailroom.sentences import say
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
    rename_keys,
)
from workers.destinations.classify import ErrorRule, SuccessTest, classify, is_page
from workers.destinations.contacts import (
    ADD_LABEL,
    ADD_NOTE,
    ADD_TASK,
    CONTACT,
    CREATE_LEAD,
    MOVE_DEAL,
    REMOVE_LABEL,
    SET_CONSENT,
    UPSERT_CONTACT,
    AddNote,
    AddTask,
    CallerArguments,
    CreateLead,
    FoundContact,
    LabelContact,
    MoveDeal,
    SetConsent,
    UpsertContact,
    flatten,
)
from workers.destinations.finding import (
    BELIEVED,
    FoundObject,
    ObjectFinder,
    VendorObjects,
    same_id,
)
from workers.destinations.invoices import (
    CANCEL_INVOICE,
    CREATE_CREDIT_NOTE,
    CREATE_INVOICE,
    INVOICE_STATUS,
    RECORD_PAYMENT,
    UPSERT_CUSTOMER,
    CancelInvoice,
    CreateCreditNote,
    CreateInvoice,
    Customer,
    FindInvoice,
    InvoiceLine,
    RecordPayment,
    UpsertCustomer,
    fail_no_invoice,
    fail_not_final,
    fail_reused,
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
    "labels",
)
TASK_FIELDS = ("subject", "text", "due")
LEAD_FIELDS = ("reference", "title", "contact_id", "text", "amount", "currency", "custom", "stage")
CUSTOMER_FIELDS = (
    "email",
    "name",
    "address.street",
    "address.postal_code",
    "address.city",
    "address.country",
)
INVOICE_FIELDS = ("reference", "customer_id", "lines", "due", "currency")
CREDIT_NOTE_FIELDS = ("reference", "invoice_id", "customer_id", "lines", "reason")
PAYMENT_FIELDS = ("reference", "amount", "currency", "paid_on", "method")
LINE_FIELDS = ("text", "quantity", "unit_price", "tax_rate")


class RestBasicAuth(DestinationOptions):
    """HTTP Basic."""

    #: The name, as a reference.
    user: Secret
    #: The password, as a reference.
    password: Secret


class RestHeaderAuth(DestinationOptions):
    """A header of its own."""

    #: The header: X-Api-Key.
    name: str = Field(pattern=r"^[A-Za-z0-9-]+$")
    #: What it holds, as a reference.
    value: Secret


class RestOAuth(DestinationOptions):
    """OAuth 2.0 client credentials: a token is fetched, and replaced shortly before it ends."""

    token_url: Base = Field(description="Where tokens are given.")
    #: The id that the vendor gave, as a reference.
    client_id: Secret
    #: The secret beside it, as a reference.
    client_secret: Secret
    scope: str = Field(default="", description="What the token is to be good for, as the vendor calls it.")
    audience: str | None = Field(default=None, description="For vendors that ask which API it is for.")
    send: Literal["header", "body"] = Field(
        default="header", description="Where client_id and client_secret are sent: body for vendors that want that."
    )


class RestAuth(DestinationOptions):
    """How the destination knows us: one of these."""

    #: A token that is sent as `Authorization: Bearer`.
    bearer: Secret | None = None
    #: User and password (HTTP Basic).
    basic: RestBasicAuth | None = None
    #: A header of its own.
    header: RestHeaderAuth | None = None
    #: Tokens that are fetched (OAuth 2.0 client credentials).
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


def _known(names: Sequence[str]) -> AfterValidator:
    """Return what checks that the keys of a mapping are names of ours."""

    def check(fields: Mapping[str, str]) -> Mapping[str, str]:
        if strange := sorted(set(fields) - set(names)):
            raise ValueError(f"{', '.join(strange)}: no field of ours; there are {', '.join(names)}")
        return fields

    return AfterValidator(check)


class Listing(DestinationOptions):
    """Where a list of objects is."""

    path: str = Field(pattern=r"^/", description="Below base.")
    list: str = Field(default="data", description="Where a search answers its list; empty: the answer is the list.")
    id: str = Field(default="id", description="Where an object has its id: `id`, `data.id` …")


class Collection(Listing):
    """Where one kind of object lives, and how it is found."""

    path: str = Field(pattern=r"^/", description="Below base; one object is at path/{id}.")
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

    #: Where contacts are, behind `base`.
    path: str = "/contacts"
    find: Annotated[Mapping[str, str], _known(("email", "external_id", "phone"))] = Field(
        default={"email": "email", "external_id": "external_id", "phone": "phone"},
        description="What a contact can be searched by, and the query parameter for it.",
    )
    fields: Annotated[Mapping[str, str], _known(CONTACT_FIELDS)] = Field(
        default={},
        description="Our field: theirs, dots for nested ones, empty: never sent (custom: at the top).",
    )
    null_clears: bool = Field(
        default=False, description="A field that a rule clears is sent as null; else as an empty text."
    )
    notes: str = Field(default="/contacts/{id}/notes", description="Where a note is posted.")
    note_text: str = Field(default="text", description="Their field for the text of a note.")
    note_on_doubt: Literal["hold", "resend"] = Field(
        default="hold",
        description="A note or task that may have been written: ask a person, or rather write it twice.",
    )
    tasks: str = Field(default="/contacts/{id}/tasks", description="Where a task is posted.")
    delete: bool = Field(
        default=False, description="`relais forget --at` deletes a contact for good: `DELETE path/{id}`."
    )
    task_fields: Annotated[Mapping[str, str], _known(TASK_FIELDS)] = Field(
        default={}, description="Our field of a task: theirs."
    )


class Leads(Collection):
    """The leads or deals of a CRM."""

    #: Where leads are.
    path: str = "/leads"
    find: str = Field(default="reference", description="The query parameter for a search by reference.")
    fields: Annotated[Mapping[str, str], _known(LEAD_FIELDS)] = Field(default={}, description="Our field: theirs.")


class Customers(Collection):
    """The customers of an invoicing system."""

    #: Where customers are.
    path: str = "/customers"
    find: str = Field(default="email", description="The query parameter for a search by e-mail.")
    fields: Annotated[Mapping[str, str], _known(CUSTOMER_FIELDS)] = Field(default={}, description="Our field: theirs.")


class Documents(Collection):
    """The documents of one kind of an invoicing system."""

    find: str = Field(default="reference", description="The query parameter for a search by reference.")
    fields: Mapping[str, str] = Field(default={}, description="Our field: theirs.")
    line_fields: Annotated[Mapping[str, str], _known(LINE_FIELDS)] = Field(
        default={}, description="Our field of a line: theirs."
    )
    number: str = Field(default="number", description="Where a document has its number.")
    status: str = Field(default="status", description="Where a document has its status.")
    draft: tuple[str, ...] = Field(default=("draft",), description="Their words for a draft.")
    finalise: bool = Field(default=False, description="Finalise what was made; else it stays a draft.")


class Payments(Listing):
    """The payments of an invoice."""

    path: str = Field(
        default="/invoices/{id}/payments", pattern=r"^/", description="Where they are listed and one is posted."
    )
    fields: Annotated[Mapping[str, str], _known(PAYMENT_FIELDS)] = Field(default={}, description="Our field: theirs.")


class Invoices(Documents):
    """The invoices of an invoicing system."""

    #: Where invoices are.
    path: str = "/invoices"
    fields: Annotated[Mapping[str, str], _known(INVOICE_FIELDS)] = Field(default={}, description="Our field: theirs.")
    cancelled: tuple[str, ...] = Field(default=("canceled", "cancelled"), description="Their words for cancelled.")
    paid: tuple[str, ...] = Field(default=("paid",), description="Their words for paid.")
    total: str = Field(default="gross", description="Where an invoice has its total, with taxes.")
    due_amount: str = Field(default="due_amount", description="Where an invoice has what is still to be paid.")
    type: str = Field(default="type", description="Where a document says what it is.")
    other_types: tuple[str, ...] = Field(
        default=("cancellation", "credit_note"), description="Documents with the same reference that are no invoices."
    )
    #: Where a draft is made final.
    finalise_path: str = "/invoices/{id}/finalise"
    #: Where one is cancelled.
    cancel_path: str = "/invoices/{id}/cancel"
    payments: Payments = Payments()


class CreditNotes(Documents):
    """The credit notes of an invoicing system."""

    #: Where credit notes are.
    path: str = "/credit-notes"
    fields: Annotated[Mapping[str, str], _known(CREDIT_NOTE_FIELDS)] = Field(
        default={}, description="Our field: theirs."
    )
    #: Where a draft is made final.
    finalise_path: str = "/credit-notes/{id}/finalise"


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
    leads: Leads = Leads()
    customers: Customers = Customers()
    invoices: Invoices = Invoices()
    credit_notes: CreditNotes = CreditNotes()


def _say_deleted(options: RestOptions) -> str:
    return say("deletes_by_path", request=f"DELETE {options.contacts.path}/ID") if options.contacts.delete else ""


KIND = DestinationKind(
    name="rest",
    about="A CRM or invoicing system with an ordinary REST API; paths and field names are options.",
    options=RestOptions,
    deletes=_say_deleted,
    # One base for both: its contacts are the sandbox's CRM, its customers and invoices the invoicing system.
    stand_in=StandIn(
        {
            "base": "{sandbox}",
            "auth": {"bearer": "${SANDBOX_REST_TOKEN}"},
            "contacts": {
                "path": "/crm/contacts",
                "notes": "/crm/contacts/{id}/notes",
                "tasks": "/crm/contacts/{id}/tasks",
                "delete": True,
            },
            "leads": {"path": "/crm/leads"},
            "customers": {"path": "/invoicing/customers"},
            "invoices": {
                "path": "/invoicing/invoices",
                "finalise_path": "/invoicing/invoices/{id}/finalise",
                "cancel_path": "/invoicing/invoices/{id}/cancel",
                "payments": {"path": "/invoicing/invoices/{id}/payments"},
            },
            "credit_notes": {
                "path": "/invoicing/credit-notes",
                "finalise_path": "/invoicing/credit-notes/{id}/finalise",
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
            ADD_LABEL.adopt("sent again"),
            REMOVE_LABEL.adopt("sent again"),
            CREATE_LEAD.adopt("found again"),
            MOVE_DEAL.adopt("sent again"),
            ADD_TASK.adopt("held"),
            CONTACT,
            UPSERT_CUSTOMER.adopt("found again"),
            CREATE_CREDIT_NOTE.adopt("found again"),
            RECORD_PAYMENT.adopt("found again"),
            INVOICE_STATUS,
        )
    },
    cannot={"link": "rest has no recipe for links: every CRM ties its objects in a way of its own"},
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
                note = "" if body else "nothing_to_write"
                return Done(result={"id": found.id, "created": False}, note=note, status=visit.status)
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

    async def delete_person(self, email: str) -> int:
        """Delete every contact that shows an address. Raises Failed."""
        visit, contacts = self.visit(Attempt("no delivery")), self._options.contacts
        found = await self._contact_finder(visit, consent=True, believed=0).find_all([Name("email", email)])
        for each in found:
            answer = await visit.try_send("DELETE", contacts.path + "/{id}", id=each.id)
            if answer.status not in (404, 410):
                visit.check(answer)
        return len(found)

    async def _add_note(self, visit: "RestVisit", arguments: AddNote) -> Done:
        contacts = self._options.contacts
        note = {contacts.note_text: arguments.text}
        names = ADD_NOTE.list_strong_names(arguments)
        return await self._post_to_contact(visit, names, arguments, contacts.notes, note)

    async def _add_task(self, visit: "RestVisit", arguments: AddTask) -> Done:
        contacts = self._options.contacts
        values = drop_nulls(arguments.model_dump(mode="json", include=set(TASK_FIELDS)))
        names = ADD_TASK.list_strong_names(arguments)
        return await self._post_to_contact(
            visit, names, arguments, contacts.tasks, _translate(values, contacts.task_fields)
        )

    async def _post_to_contact(
        self,
        visit: "RestVisit",
        names: Sequence[Name],
        arguments: AddNote | CallerArguments,
        path: str,
        body: Mapping[str, Any],
    ) -> Done:
        """Post what nobody can search for to a contact, which is made if nobody has these names."""
        contacts = self._options.contacts
        if visit.delivery.doubtful and not self._options.idempotency_header and contacts.note_on_doubt == "hold":
            raise fail_unresolved("it may have been written, and notes and tasks cannot be searched")
        found = await self._find_or_make_contact(visit, names, arguments)
        answer = await visit.send("POST", path, body, creates=True, id=found.id)
        return Done(result=drop_nulls({"id": _read_id(answer, contacts), "contact": found.id}), status=visit.status)

    async def _find_or_make_contact(
        self, visit: "RestVisit", names: Sequence[Name], arguments: AddNote | CallerArguments
    ) -> FoundObject:
        """Return the contact of these names; where there is none, a bare one."""
        contacts = self._options.contacts
        # A number is a name only where nothing else is: colleagues share one.
        given = drop_nulls(arguments.model_dump(include={"email", "external_id", "phone"}))
        finder = self._contact_finder(visit)
        found = await finder.find(names)
        if found is None:
            body = _translate(given, contacts.fields)
            found, created = await self._create(visit, finder, contacts, names, body, "contact")
            await finder.learn(list_names(*given.items()) if created else names, found.id)
        if found.news:
            await finder.meet(found)
            await finder.learn(names, found.id)
        return found

    async def _look_up_contact(self, visit: "RestVisit", arguments: CallerArguments) -> Done:
        contacts = self._options.contacts
        found = await self._contact_finder(visit, believed=0).find(CONTACT.list_strong_names(arguments))
        if found is None:
            return Done(result={"found": False}, status=visit.status)
        told: dict[str, Any] = {"found": True, "id": found.id}
        for name in FoundContact.model_fields.keys() - told.keys():
            shown = _show(contacts, found.record, contacts.fields.get(name, name)) or ()
            told[name] = next((str(value) for value in shown if isinstance(value, str | int) and value != ""), None)
        return Done(result=rename_keys(found.record) | told, status=visit.status)

    async def _add_label(self, visit: "RestVisit", arguments: LabelContact) -> Done:
        return await self._label(visit, arguments, wanted=True)

    async def _remove_label(self, visit: "RestVisit", arguments: LabelContact) -> Done:
        return await self._label(visit, arguments, wanted=False)

    async def _label(self, visit: "RestVisit", arguments: LabelContact, *, wanted: bool) -> Done:
        """Write the list of labels with one more or one less, and look whether the contact shows it."""
        contacts = self._options.contacts
        names = ADD_LABEL.list_strong_names(arguments)
        finder = self._contact_finder(visit)
        found = await finder.find(names)
        if found is None:
            return Done(note="no_such_contact", status=visit.status)
        labels = await self._read_labels(visit, found.id)
        if (arguments.label in labels) is wanted:
            return Done(result={"id": found.id}, note="already_there" if wanted else "not_there", status=visit.status)
        await finder.meet(found)
        kept = [label for label in labels if label != arguments.label]
        body = _translate({"labels": [*kept, arguments.label] if wanted else kept}, contacts.fields)
        if not await self._update_contact(visit, found.id, body):
            await finder.forget(found)
            raise _fail_stale()
        if (arguments.label in await self._read_labels(visit, found.id)) is not wanted:
            raise self._fail_not_in_force(visit, "they took it, and the contact does not show it")
        if found.news:
            await finder.learn(names, found.id)
        return Done(result={"id": found.id}, status=visit.status)

    async def _read_labels(self, visit: "RestVisit", id: str) -> Sequence[Any]:
        """Return the labels of a contact. Where it shows none of them, writing one would take away the others."""
        contacts = self._options.contacts
        field = contacts.fields.get("labels", "labels")
        if (record := await visit.read(contacts, id)) is None:
            raise _fail_stale()
        if (labels := _show(contacts, record, field)) is None:
            hint = f"their contacts show no `{field}`: name the field under contacts.fields, labels"
            raise Failed("permanent", "labels_unreadable", status=visit.status, hint=hint)
        return [label for label in labels if label is not None]

    # Leads

    async def _create_lead(self, visit: "RestVisit", arguments: CreateLead) -> Done:
        leads, name = self._options.leads, Name("lead", arguments.reference)
        finder = self._lead_finder(visit)
        found = await finder.find([name])
        if found is not None:
            return Done(result={"id": found.id, "created": False}, note="already_there", status=visit.status)
        contact = await self._find_or_make_contact(visit, CONTACT.list_strong_names(arguments), arguments)
        values = drop_nulls(arguments.model_dump(mode="json", include=set(LEAD_FIELDS) - {"custom"}))
        body = _translate(values | {"contact_id": _to_json_id(contact.id)}, leads.fields)
        for field, value in drop_nulls(arguments.custom).items():
            _put(body, _join_path(leads.fields.get("custom", "custom"), field), value)
        found, created = await self._create(visit, finder, leads, [name], body, "")
        await finder.learn([name], found.id)
        note = "" if created else "already_there"
        result = {"id": found.id, "contact": contact.id, "created": created}
        return Done(result=result, note=note, status=visit.status)

    async def _move_deal(self, visit: "RestVisit", arguments: MoveDeal) -> Done:
        leads, name = self._options.leads, Name("lead", arguments.reference)
        finder = self._lead_finder(visit)
        if (found := await finder.find([name])) is None:
            return Done(note="no_such_lead", status=visit.status)
        field = leads.fields.get("stage", "stage")
        if arguments.stage in (_show(leads, _unwrap(leads, found.record), field) or ()):
            return Done(result={"id": found.id}, note="already_there", status=visit.status)
        await finder.meet(found)
        body = _translate({"stage": arguments.stage}, leads.fields)
        answer = await visit.try_send(leads.update, leads.path + "/{id}", body, id=found.id)
        if answer.status in (404, 410):
            await finder.forget(found)
            raise _fail_stale()
        visit.check(answer)
        if found.news:
            await finder.learn([name], found.id)
        return Done(result={"id": found.id}, status=visit.status)

    def _lead_finder(self, visit: "RestVisit") -> ObjectFinder:
        leads = self._options.leads
        fields = {"lead": leads.fields.get("reference", "reference")}
        objects = RestObjects("lead", visit, leads, {"lead": leads.find}, fields, self._options.find_lag)
        return ObjectFinder(objects, self._memory, visit.delivery, believed=0)  # Its stage is needed as it is now.

    def _contact_finder(self, visit: "RestVisit", *, consent: bool = False, believed: int = BELIEVED) -> ObjectFinder:
        contacts = self._options.contacts
        fields = {name: contacts.fields.get(name, name) for name in ("email", "external_id", "phone")}
        objects = RestObjects(
            "contact", visit, contacts, contacts.find, fields, self._options.find_lag, consent=consent
        )
        return ObjectFinder(objects, self._memory, visit.delivery, believed=believed)

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
        return not body or await self._update(visit, self._options.contacts, id, body)

    async def _update(self, visit: "RestVisit", collection: Collection, id: str, body: Mapping[str, Any]) -> bool:
        """Write fields of an object; False: there is none with that id."""
        answer = await visit.try_send(collection.update, collection.path + "/{id}", body, id=id)
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
        if found is not None and dig(_unwrap(invoices, found.record), invoices.status) in invoices.cancelled:
            raise fail_reused(visit.status)
        if found is None:
            customer, _ = await self._write_customer(visit, arguments.customer)
            body = self._invoice_body(arguments, customer)
            found, created = await self._create(visit, finder, invoices, [name], body, "")
            await finder.learn([name], found.id)
        if found.news:
            await finder.meet(found)
            await finder.learn([name], found.id)
        invoice = _unwrap(invoices, found.record)
        if invoices.finalise if arguments.finalise is None else arguments.finalise:
            invoice = await self._finalise(visit, invoices, arguments.reference, found.id, invoice)
        result = {"id": found.id, "number": dig(invoice, invoices.number), "status": dig(invoice, invoices.status)}
        if result["number"] is not None:
            result["number"] = str(result["number"])
        note = "" if created else "already_there"
        return Done(result={**result, "created": created}, note=note, status=visit.status)

    async def _finalise(
        self,
        visit: "RestVisit",
        documents: Invoices | CreditNotes,
        reference: str,
        id: str,
        document: Mapping[str, Any],
    ) -> Mapping[str, Any]:
        """Finalise a draft, once; return it as it then is. Raises Failed if it is shown as a draft still."""
        kind = "finalised" if isinstance(documents, Invoices) else "finalised_credit_note"
        marker = self._key(kind, "reference", reference)
        status = dig(document, documents.status)
        if (status is not None and status not in documents.draft) or await self._memory.get(marker) == id:
            return document
        answer = await visit.send("POST", documents.finalise_path, {}, creates=True, part="finalise", id=id)
        final = _unwrap(documents, answer.json())
        if _to_id(dig(final, documents.id)) != id:
            final = {}
        if dig(final, documents.status) in (None, *documents.draft):
            final = await visit.read(documents, id) or final
            if dig(final, documents.status) in documents.draft:
                hint = "they took it, and it is a draft still; look at `draft`, their words for one"
                raise self._fail_not_in_force(visit, hint)
        await self._memory.set(marker, id, ID_DAYS)
        return final or document

    async def _find_final_invoice(self, visit: "RestVisit", reference: str) -> FoundObject:
        """Return the final invoice that something is done about. Raises Failed."""
        invoices = self._options.invoices
        finder = self._invoice_finder(visit)
        name = Name("invoice", reference)
        if (found := await finder.find([name])) is None:
            raise fail_no_invoice(visit.status)
        if dig(_unwrap(invoices, found.record), invoices.status) in invoices.draft:
            raise fail_not_final(visit.status)
        await finder.meet(found)
        if found.news:
            await finder.learn([name], found.id)
        return found

    async def _create_credit_note(self, visit: "RestVisit", arguments: CreateCreditNote) -> Done:
        notes, name = self._options.credit_notes, Name("credit_note", arguments.reference)
        fields = {"credit_note": notes.fields.get("reference", "reference")}
        objects = RestObjects("credit_note", visit, notes, {"credit_note": notes.find}, fields, self._options.find_lag)
        finder = ObjectFinder(objects, self._memory, visit.delivery, believed=0)
        found = await finder.find([name])
        created = False
        if found is None:
            invoice = await self._find_final_invoice(visit, arguments.invoice)
            customer, _ = await self._write_customer(visit, arguments.customer)
            values = drop_nulls({"reference": arguments.reference, "reason": arguments.reason})
            values |= {"invoice_id": _to_json_id(invoice.id), "customer_id": _to_json_id(customer)}
            if arguments.lines:
                values["lines"] = _translate_lines(arguments.lines, notes.line_fields)
            found, created = await self._create(visit, finder, notes, [name], _translate(values, notes.fields), "")
            await finder.learn([name], found.id)
        note = _unwrap(notes, found.record)
        if notes.finalise if arguments.finalise is None else arguments.finalise:
            note = await self._finalise(visit, notes, arguments.reference, found.id, note)
        number = dig(note, notes.number)
        result = {"id": found.id, "number": None if number is None else str(number), "created": created}
        return Done(result=result, note="" if created else "already_there", status=visit.status)

    async def _record_payment(self, visit: "RestVisit", arguments: RecordPayment) -> Done:
        payments = self._options.invoices.payments
        marker = self._key("payment", "reference", arguments.reference)
        if (known := await self._memory.get(marker)) is not None:
            return Done(result={"id": known, "created": False}, note="already_there")
        invoice = await self._find_final_invoice(visit, arguments.invoice)
        if (known := await self._find_payment(visit, invoice.id, arguments.reference)) is not None:
            await self._memory.set(marker, known, ID_DAYS)
            return Done(result={"id": known, "created": False}, note="already_there", status=visit.status)
        values = drop_nulls(arguments.model_dump(mode="json", include=set(PAYMENT_FIELDS)))
        body = _translate(values, payments.fields)
        answer = await visit.send("POST", payments.path, body, creates=True, id=invoice.id)
        id = _to_id(dig(answer.json(), payments.id)) or await self._find_payment(visit, invoice.id, arguments.reference)
        if id is None:
            raise Failed("ambiguous", "no_id", status=visit.status, hint="no id came back, and no payment is shown")
        await self._memory.set(marker, id, ID_DAYS)
        return Done(result={"id": id, "created": True}, status=visit.status)

    async def _find_payment(self, visit: "RestVisit", invoice: str, reference: str) -> str | None:
        """Return the id of the payment of an invoice that has our reference."""
        payments = self._options.invoices.payments
        field = payments.fields.get("reference", "reference")
        for payment in await visit.search(payments, {}, id=invoice):
            if same_id(dig(payment, field), reference):
                return _to_id(dig(payment, payments.id))
        return None

    async def _look_up_invoice(self, visit: "RestVisit", arguments: FindInvoice) -> Done:
        invoices = self._options.invoices
        found = await self._invoice_finder(visit).find([Name("invoice", arguments.reference)])
        if found is None:
            return Done(result={"found": False}, status=visit.status)
        record = _unwrap(invoices, found.record)
        status, number = dig(record, invoices.status), dig(record, invoices.number)
        words = {"draft": invoices.draft, "paid": invoices.paid, "cancelled": invoices.cancelled}
        state = next((state for state, theirs in words.items() if status in theirs), "open" if status else None)
        told = {
            "found": True,
            "id": found.id,
            "number": None if number is None else str(number),
            "state": state,
            "status": status,
            "total": dig(record, invoices.total),
            "due_amount": dig(record, invoices.due_amount),
        }
        return Done(result=told, status=visit.status)

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

    async def _upsert_customer(self, visit: "RestVisit", arguments: UpsertCustomer) -> Done:
        id, created = await self._write_customer(visit, arguments)
        return Done(result={"id": id, "created": created}, status=visit.status)

    async def _write_customer(self, visit: "RestVisit", customer: Customer) -> tuple[str, bool]:
        """Return the customer's id and whether it is new; name and address are written where they are given."""
        customers = self._options.customers
        fields = {"email": customers.fields.get("email", "email")}
        objects = RestObjects("customer", visit, customers, {"email": customers.find}, fields, self._options.find_lag)
        # The id map tells customers from contacts, unless the vendor has one list for both.
        prefix = "" if customers.path == self._options.contacts.path else "customer_"
        finder = ObjectFinder(objects, self._memory, visit.delivery, prefix=prefix)
        names = [Name("email", customer.email)]
        values = drop_nulls({"name": customer.name})
        if customer.address is not None:
            values |= {f"address.{name}": value for name, value in drop_nulls(customer.address.model_dump()).items()}
        for _ in range(2):
            found = await finder.find(names)
            if found is None:
                body = _translate({"email": customer.email} | values, customers.fields)
                found, created = await self._create(visit, finder, customers, names, body, "customer")
                await finder.learn(names, found.id)
                if created:
                    return found.id, True
            if found.news:
                await finder.meet(found)
                await finder.learn(names, found.id)
            body = _translate(_differing(customers, found.record, values, customers.fields), customers.fields)
            if not body or await self._update(visit, customers, found.id, body):
                return found.id, False
            await finder.forget(found)
        raise _fail_stale()

    def _invoice_body(self, arguments: CreateInvoice, customer: str) -> dict[str, Any]:
        invoices = self._options.invoices
        values = drop_nulls(arguments.model_dump(mode="json", include={"reference", "due", "currency"}))
        values["customer_id"] = _to_json_id(customer)
        values["lines"] = _translate_lines(arguments.lines, invoices.line_fields)
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
            "add_label": _add_label,
            "remove_label": _remove_label,
            "create_lead": _create_lead,
            "move_deal": _move_deal,
            "add_task": _add_task,
            "contact": _look_up_contact,
            "upsert_customer": _upsert_customer,
            "create_credit_note": _create_credit_note,
            "record_payment": _record_payment,
            "invoice_status": _look_up_invoice,
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

    async def search(self, collection: Listing, query: Mapping[str, str], **values: object) -> list[Mapping[str, Any]]:
        """Return the objects that a search answers."""
        url = build_url(self._base, collection.path, query, **values)
        answer = await self._request("GET", url, self._headers)
        if answer.status == 404 and not is_page(answer):
            return []  # Some answer so where nothing is found. A page says that the address is wrong.
        self.check(answer)
        found = dig(answer.json(), collection.list)
        if not isinstance(found, list):
            place = f"no list at {collection.list}" if collection.list else "no list"
            raise Failed(
                "transient",
                "bad_answer",
                status=answer.status,
                hint=f"a search answered {place}; say under list: where it stands (empty: the answer is the list)",
            )
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


class RestObjects(VendorObjects):
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


def _unwrap(collection: Listing, answer: Any) -> Mapping[str, Any]:
    """Return the object of an answer, which may lie where a search has its list: `{"data": {"id": 7}}`."""
    if dig(answer, collection.id) is None and isinstance(inner := dig(answer, collection.list), Mapping):
        return inner
    return answer if isinstance(answer, Mapping) else {}


def _show(collection: Listing, record: Any, field: str) -> Sequence[Any] | None:
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


def _read_id(answer: HttpAnswer, collection: Listing) -> str | None:
    return _to_id(dig(_unwrap(collection, answer.json()), collection.id))


def _to_id(value: Any) -> str | None:
    return str(value) if isinstance(value, str | int) and not isinstance(value, bool) and value != "" else None


def _to_json_id(id: str) -> str | int:
    """Return an id as JSON has it: a number stays a number."""
    return int(id) if id.isascii() and id.isdecimal() and str(int(id)) == id else id


def _join_path(prefix: str, name: str) -> str:
    return f"{prefix}.{name}" if prefix else name


def _differing(
    collection: Collection, record: Any, values: Mapping[str, Any], names: Mapping[str, str]
) -> dict[str, Any]:
    """Return those of our values that a record does not show; all where it was not read."""
    return {
        name: value
        for name, value in values.items()
        if record is None or value not in (_show(collection, record, names.get(name, name)) or ())
    }


def _translate_lines(lines: Sequence[InvoiceLine], names: Mapping[str, str]) -> list[dict[str, Any]]:
    return [_translate(drop_nulls(line.model_dump(mode="json")), names) for line in lines]


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
