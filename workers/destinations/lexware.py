"""Lexware Office, over its Public API: customers, invoices, credit notes; the state of an invoice.

Takes the actions of `invoices`; returns Done or raises Failed.
Never creates before it has looked, never issues, changes or deletes an invoice that is there (the API cannot), and
never writes a payment (it can only read them).

The API searches no text, so an invoice of ours is known by the id map, else by a line of its remark (`Ref. SD-9001`):
then the invoices of the customer are read one by one, each only once.

Facts: developers.lexware.io/docs; that no filter looks into a remark, and which errors come, was measured by the
authors of published clients (docs/destinations/lexware.md names them).
"""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import date, datetime
from types import MappingProxyType
from typing import Any, Literal
from zoneinfo import ZoneInfo

from pydantic import Field

from rules.catalogue import DestinationKind, Name, StandIn
from rules.secret import Secret
from rules.source.units import Rate
from workers.destinations.base import (
    ID_DAYS,
    Attempt,
    Base,
    Client,
    DestinationOptions,
    DestinationType,
    JsonVisit,
    Memory,
    Reveal,
    dig,
    drop_nulls,
    open_base,
)
from workers.destinations.classify import ErrorRule, classify
from workers.destinations.contacts import ContactAddress
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
    UPSERT_CUSTOMER,
    CancelInvoice,
    CreateCreditNote,
    CreateInvoice,
    Customer,
    FindInvoice,
    InvoiceLine,
)
from workers.http import HiddenHeaders, Http, HttpAnswer, build_url
from workers.outcome import Done, Failed

Record = Mapping[str, Any]

#: A 500 with this text may be the limit ("Internal server error or rate limit exceeded"). Of what creates nobody knows.
LIMITED = ErrorRule.model_validate(
    {"status": [500], "contains": "rate limit exceeded", "is": "limited", "code": "limited"}
)

#: Where invoices have their day. Lexware Office is for companies in Germany.
ZONE = ZoneInfo("Europe/Berlin")

#: Records of one page; 250 is the most ("Paging").
PAGE_SIZE = 100
#: Pages that are read of one list.
MOST_PAGES = 20
#: Documents that one attempt reads in search of a reference; the next one reads on.
MOST_READ = 40
#: Decimals of a quantity and of a price.
DECIMALS = 4

#: What is put behind the reference of an invoice on its cancellation.
CANCEL_SUFFIX = "/C"

#: A field or code in an error, which holds no value of a person.
_WORD = re.compile(r"[A-Za-z0-9_.\[\]-]{1,60}")

STATES: Mapping[str, str] = {
    **dict.fromkeys(("open", "overdue"), "open"),
    **dict.fromkeys(("paid", "paidoff", "transferred", "sepadebit"), "paid"),
    "draft": "draft",
    "voided": "cancelled",
}

DRAFT_STAYS = "it is a draft, which the API can neither issue nor delete: do that in Lexware Office"


@dataclass(frozen=True)
class DocumentKind:
    """A kind of documents: its word among our names, its path, and its type in the list of vouchers."""

    name: str
    path: str
    type: str


INVOICE = DocumentKind("invoice", "/invoices", "invoice")
CREDIT_NOTE = DocumentKind("credit_note", "/credit-notes", "creditnote")


class LexwareOptions(DestinationOptions):
    """What ops may write under a destination of kind `lexware`."""

    base: Base = Field(default="https://api.lexware.io/v1", description="Address of the API.")
    api_key: Secret = Field(description="A key of the Public API; it ends after 24 months at the latest.")
    finalise: bool = Field(
        default=False, description="Issue what is made, which numbers it; else it stays a draft, and only a person can."
    )
    tax_type: Literal["net", "gross", "vatfree"] = Field(
        default="net", description="What the prices of the lines are; vatfree: no line has a tax rate."
    )
    shipping: Literal["none", "service", "delivery"] = Field(
        default="none", description="Whether the day of the invoice is printed as the day of a service or delivery."
    )
    unit: str = Field(default="Stück", min_length=1, description="Unit of the lines.")
    label: str = Field(
        default="Ref.", min_length=1, max_length=40, description="What stands before the reference in the remark."
    )
    customers: Literal["person", "company"] = Field(default="person", description="What a new customer is.")
    country: str = Field(default="DE", pattern=r"^[A-Z]{2}$", description="Of an address that names none.")
    find_lag: float = Field(
        default=60.0, ge=0, le=3600, description="Seconds after a lost answer until it is looked what came of it."
    )


_RIGHTS = "a key of the Public API (plan XL); it has no rights of its own"
_LIMITS = "2 requests a second for all endpoints together; no header says when the next may come"
_INVOICES = f"{_LIMITS}; EUR only; a draft cannot be issued or deleted later"

KIND = DestinationKind(
    name="lexware",
    about="Lexware Office as invoicing system.",
    options=LexwareOptions,
    actions={
        kind.name: kind
        for kind in (
            UPSERT_CUSTOMER.adopt("found again", rights=_RIGHTS, limits=_LIMITS),
            CREATE_INVOICE.adopt("found again", rights=_RIGHTS, limits=_INVOICES),
            CANCEL_INVOICE.adopt("found again", rights=_RIGHTS, limits=_INVOICES),
            CREATE_CREDIT_NOTE.adopt("found again", rights=_RIGHTS, limits=_INVOICES),
            INVOICE_STATUS.adopt(
                None, rights=_RIGHTS, limits="invoices that Relais made or found in the last 180 days"
            ),
        )
    },
    cannot={"record_payment": "Lexware Office's API reads payments and writes none"},
    # Two a second are documented; a client that ran so was refused and one that ran at 1.3 was not (measured).
    limit=Rate(78, 60_000),
    stand_in=StandIn(
        {"base": "{sandbox}/lexware/v1", "api_key": "${SANDBOX_LEXWARE_API_KEY}"},
        frozenset({"finalise", "tax_type", "shipping", "unit", "label", "customers", "country", "find_lag"}),
    ),
)


class LexwareClient(Client[LexwareOptions]):
    """Carries out the actions of kind `lexware`."""

    def __init__(self, name: str, options: LexwareOptions, reveal: Reveal, http: Http, memory: Memory) -> None:
        super().__init__(name, options, reveal, http, memory)
        self._base = open_base(options.base, reveal)
        self._headers = HiddenHeaders({"Authorization": f"Bearer {reveal(options.api_key)}"})

    def visit(self, delivery: Attempt) -> "LexwareVisit":
        """Return what carries the requests of a delivery."""
        return LexwareVisit(self._http.exchange(), delivery, self._base, self._headers)

    async def read_nobody(self) -> None:
        """Ask for a contact. Raises Failed."""
        await self.visit(Attempt("no delivery")).find_contacts("nobody@example.org")

    # Customers

    async def _upsert_customer(self, visit: "LexwareVisit", arguments: Customer) -> Done:
        finder = self._customer_finder(visit, believed=0)  # It is replaced as a whole, so it is needed as it is now.
        names = [Name("email", arguments.email)]
        found = await finder.find(names)
        if found is None:
            return Done(
                result={"id": await self._create_customer(visit, finder, arguments), "created": True},
                status=visit.status,
            )
        await finder.meet(found)
        if changed := change_contact(found.record, arguments, self._options):
            await visit.replace(found.id, changed)
        if found.news:
            await finder.learn(names, found.id)
        return Done(result={"id": found.id, "created": False}, status=visit.status)

    async def _create_customer(self, visit: "LexwareVisit", finder: ObjectFinder, customer: Customer) -> str:
        id = await visit.create("/contacts", new_contact(customer, self._options))
        await finder.learn([Name("email", customer.email)], id)
        return id

    async def _find_customer(self, visit: "LexwareVisit", customer: Customer) -> tuple[ObjectFinder, str | None]:
        """Return the customer of a document, ready to get one; None: there is none."""
        finder = self._customer_finder(visit)
        found = await finder.find([Name("email", customer.email)])
        if found is None:
            return finder, None
        if found.news:
            await finder.meet(found)
            await finder.learn([Name("email", customer.email)], found.id)
        # What a customer lacks is added; what is there is a person's, and only upsert_customer writes over it.
        if found.record is not None and (lacking := add_to_contact(found.record, customer, self._options)):
            await visit.replace(found.id, lacking)
        return finder, found.id

    def _customer_finder(self, visit: "LexwareVisit", *, believed: int = BELIEVED) -> ObjectFinder:
        return ObjectFinder(
            LexwareContacts(visit, self._options.find_lag), self._memory, visit.delivery, believed=believed
        )

    # Invoices

    async def _create_invoice(self, visit: "LexwareVisit", arguments: CreateInvoice) -> Done:
        final = self._options.finalise if arguments.finalise is None else arguments.finalise
        name = Name(INVOICE.name, arguments.reference)
        invoice = await self._find_known(visit, INVOICE, name)
        created = False
        if invoice is None:
            lines = [make_line(line, self._options) for line in arguments.lines]
            check_currency(arguments.currency)
            finder, customer = await self._find_customer(visit, arguments.customer)
            if customer is not None:
                invoice = await self._read_through(visit, INVOICE, name, customer)
            if invoice is None:
                if customer is None:
                    customer = await self._create_customer(visit, finder, arguments.customer)
                body = self._document(customer, arguments.reference, lines, arguments.due)
                query, gone = {"finalize": _word(final)}, [Name("email", arguments.customer.email).key]
                invoice = await self._make(visit, INVOICE, name, body, query, gone)
                created = True
        if final and invoice["voucherStatus"] == "draft":
            raise _fail_draft(visit, created=created)
        result = {
            "id": invoice["id"],
            "number": invoice.get("voucherNumber"),
            "status": invoice["voucherStatus"],
            "created": created,
        }
        return Done(result=result, note="" if created else "already_there", status=visit.status)

    async def _cancel_invoice(self, visit: "LexwareVisit", arguments: CancelInvoice) -> Done:
        invoice = await self._find_document(visit, INVOICE, arguments.reference, arguments.customer)
        if invoice is None:
            return Done(note="nothing_to_cancel", status=visit.status)
        id = str(invoice["id"])
        if invoice["voucherStatus"] == "voided":
            return Done(result={"id": id}, note="already_cancelled", status=visit.status)
        if invoice["voucherStatus"] == "draft":
            raise _fail_draft(visit)
        reference = arguments.reference + CANCEL_SUFFIX
        credit = await self._find_credit_note(visit, invoice, reference)
        created = credit is None
        if credit is None:
            if await self._is_credited(visit, invoice):
                return Done(result={"id": id}, note="already_cancelled", status=visit.status)
            credit = await self._credit(visit, invoice, reference, (), arguments.reason, final=True)
        if credit["voucherStatus"] == "draft":
            raise _fail_draft(visit, created=created)
        note = "" if created else "already_cancelled"
        return Done(result={"id": id, "document": credit["id"]}, note=note, status=visit.status)

    async def _create_credit_note(self, visit: "LexwareVisit", arguments: CreateCreditNote) -> Done:
        final = self._options.finalise if arguments.finalise is None else arguments.finalise
        invoice = await self._find_document(visit, INVOICE, arguments.invoice, arguments.customer)
        if invoice is None:
            raise Failed("permanent", "not_found", status=visit.status, hint="there is no invoice with that reference")
        credit = await self._find_credit_note(visit, invoice, arguments.reference)
        created = credit is None
        if credit is None:
            if invoice["voucherStatus"] == "draft":
                raise Failed(
                    "permanent", "not_final", status=visit.status, hint="the invoice is a draft: issue it in Lexware"
                )
            lines = [make_line(line, self._options) for line in arguments.lines]
            credit = await self._credit(visit, invoice, arguments.reference, lines, arguments.reason, final=final)
        if final and credit["voucherStatus"] == "draft":
            raise _fail_draft(visit, created=created)
        result = {"id": credit["id"], "number": credit.get("voucherNumber"), "created": created}
        return Done(result=result, note="" if created else "already_there", status=visit.status)

    async def _credit(
        self,
        visit: "LexwareVisit",
        invoice: Record,
        reference: str,
        lines: Sequence[Record],
        reason: str | None,
        *,
        final: bool,
    ) -> Record:
        """Make the credit note of an invoice: of some lines, or of all."""
        customer = dig(invoice, "address.contactId")
        if not isinstance(customer, str):
            raise Failed("permanent", "no_contact", status=visit.status, hint="the invoice has no contact in Lexware")
        tax_type = dig(invoice, "taxConditions.taxType")
        body = self._document(customer, reference, lines or [copy_line(line) for line in invoice["lineItems"]])
        del body["shippingConditions"]
        body["taxConditions"] = {"taxType": tax_type}
        body |= drop_nulls({"introduction": reason})
        query = {"precedingSalesVoucherId": str(invoice["id"]), "finalize": _word(final)}
        return await self._make(visit, CREDIT_NOTE, Name(CREDIT_NOTE.name, reference), body, query)

    async def _invoice_status(self, visit: "LexwareVisit", arguments: FindInvoice) -> Done:
        invoice = await self._find_known(visit, INVOICE, Name(INVOICE.name, arguments.reference))
        if invoice is None:
            return Done(result={"found": False}, status=visit.status)
        status = str(invoice["voucherStatus"])
        state = STATES.get(status)
        cancelled = Name(CREDIT_NOTE.name, arguments.reference + CANCEL_SUFFIX).key
        if state in ("open", "paid") and await self._memory.ids([cancelled]):
            state = "cancelled"
        due = await visit.open_amount(str(invoice["id"])) if state == "open" else 0.0 if state == "paid" else None
        total = dig(invoice, "totalPrice.totalGrossAmount")
        result = {"found": True, "id": invoice["id"], "number": invoice.get("voucherNumber"), "state": state}
        return Done(result=result | {"status": status, "total": total, "due_amount": due}, status=visit.status)

    # Documents of ours

    async def _find_document(
        self, visit: "LexwareVisit", kind: DocumentKind, reference: str, customer: Customer
    ) -> Record | None:
        """Return the document of ours with a reference: by the id map, else among those of the customer."""
        name = Name(kind.name, reference)
        document = await self._find_known(visit, kind, name)
        if document is None:
            found = await self._customer_finder(visit).find([Name("email", customer.email)])
            if found is not None:
                document = await self._read_through(visit, kind, name, found.id)
        return document

    async def _find_credit_note(self, visit: "LexwareVisit", invoice: Record, reference: str) -> Record | None:
        """Return the credit note of ours with a reference, among those of the customer of an invoice."""
        name = Name(CREDIT_NOTE.name, reference)
        document = await self._find_known(visit, CREDIT_NOTE, name)
        customer = dig(invoice, "address.contactId")
        if document is None and isinstance(customer, str):
            document = await self._read_through(visit, CREDIT_NOTE, name, customer)
        return document

    async def _find_known(self, visit: "LexwareVisit", kind: DocumentKind, name: Name) -> Record | None:
        """Return the document that the id map names, as it is now."""
        found = await self._document_finder(visit, kind).find([name])
        return None if found is None else found.record

    async def _read_through(
        self, visit: "LexwareVisit", kind: DocumentKind, name: Name, customer: str
    ) -> Record | None:
        """Look for a document of ours among those of a customer, the newest first. Each is read once.

        What it is not is remembered: the id map learns the references of those that are read. Raises Failed where there
        are more than one attempt reads.
        """
        left, finder = MOST_READ, self._document_finder(visit, kind)
        for row in await visit.list_documents(kind, customer):
            mark = f"other:{row['id']}:{row.get('updatedDate')}"
            if await self._memory.get(mark):
                continue
            if not left:
                # No attempt, and the destination need not be left alone: the next one goes on where this one ends.
                raise Failed("limited", "reading_on", wait=1.0, hint="the customer's other documents are read first")
            left -= 1
            document = await visit.get(kind, str(row["id"]))
            if document is None:
                continue
            names = [Name(kind.name, reference) for reference in list_references(document, self._options.label)]
            found = FoundObject(str(document["id"]), document, set(names), news=True)
            if name in names:
                await finder.meet(found)
            await finder.learn(names, found.id)
            if name in names:
                return document
            await self._memory.set(mark, "1", ID_DAYS)
        return None

    async def _is_credited(self, visit: "LexwareVisit", invoice: Record) -> bool:
        """Tell whether a person has credited all of an invoice. Raises Failed where it is a part."""
        credited = 0.0
        for related in invoice.get("relatedVouchers") or ():
            if dig(related, "voucherType") == CREDIT_NOTE.type:
                note = await visit.get(CREDIT_NOTE, str(related["id"]))
                if note is not None and note["voucherStatus"] not in ("draft", "voided"):
                    credited += abs(float(dig(note, "totalPrice.totalGrossAmount") or 0.0))
        total = abs(float(dig(invoice, "totalPrice.totalGrossAmount") or 0.0))
        if credited and round(credited, 2) < round(total, 2):
            raise Failed(
                "permanent", "partly_credited", status=visit.status, hint="a part of the invoice was credited already"
            )
        return credited > 0

    async def _make(
        self,
        visit: "LexwareVisit",
        kind: DocumentKind,
        name: Name,
        body: Record,
        query: Mapping[str, str],
        forget: Sequence[str] = (),
    ) -> Record:
        """Create a document and return it as it is there. Its id is remembered before anything else can fail.

        `forget`: names of a contact that turns out to be gone.
        """
        try:
            id = await visit.create(kind.path, body, query)
        except Failed as failed:
            if failed.code == "stale_id":
                await self._memory.forget_names(forget)
            raise
        await self._document_finder(visit, kind).learn([name], id)
        document = await visit.get(kind, id)
        if document is None:
            raise Failed("transient", "not_shown", status=visit.status, hint="what was just made is not shown yet")
        return document

    def _document_finder(self, visit: "LexwareVisit", kind: DocumentKind) -> ObjectFinder:
        objects = LexwareDocuments(visit, kind, self._options)
        return ObjectFinder(objects, self._memory, visit.delivery, believed=0)  # Its status is needed as it is now.

    def _document(
        self, customer: str, reference: str, lines: Sequence[Record], due: date | None = None
    ) -> dict[str, Any]:
        """Return what invoices and credit notes have in common."""
        today = datetime.now(ZONE).replace(hour=0, minute=0, second=0, microsecond=0)
        day = today.isoformat(timespec="milliseconds")
        body: dict[str, Any] = {
            "voucherDate": day,
            "address": {"contactId": customer},
            "lineItems": list(lines),
            "totalPrice": {"currency": "EUR"},
            "taxConditions": {"taxType": self._options.tax_type},
            "shippingConditions": {"shippingType": self._options.shipping},
            "remark": f"{self._options.label} {reference}",
        }
        if self._options.shipping != "none":
            body["shippingConditions"]["shippingDate"] = day
        if due is not None:
            body["paymentConditions"] = {
                "paymentTermLabel": f"Zahlbar bis {due:%d.%m.%Y}",
                "paymentTermDuration": max(0, (due - today.date()).days),
            }
        return body

    methods = MappingProxyType(
        {
            "upsert_customer": _upsert_customer,
            "create_invoice": _create_invoice,
            "cancel_invoice": _cancel_invoice,
            "create_credit_note": _create_credit_note,
            "invoice_status": _invoice_status,
        }
    )


DESTINATION = DestinationType(KIND, LexwareClient)


class LexwareVisit(JsonVisit):
    """The requests of one delivery to one organisation."""

    async def find_contacts(self, email: str) -> list[Record]:
        """Return the contacts that have a text in an address; the filter takes `%` and `_` for anything."""
        escaped = re.sub(r"([\\%_])", r"\\\1", email)
        return await self._list("/contacts", {"email": escaped})

    async def list_documents(self, kind: DocumentKind, customer: str) -> list[Record]:
        """Return the documents of a customer as the list shows them, the newest first.

        Of a parameter that it does not know the API says nothing, so whose a row is decides the row.
        """
        query = {"voucherType": kind.type, "voucherStatus": "any", "contactId": customer, "sort": "createdDate,DESC"}
        return [row for row in await self._list("/voucherlist", query) if row.get("contactId") == customer]

    async def _list(self, path: str, query: Mapping[str, str]) -> list[Record]:
        rows: list[Record] = []
        for page in range(MOST_PAGES):
            url = build_url(self._base, path, {**query, "page": str(page), "size": str(PAGE_SIZE)})
            answer = await self._send("GET", url)
            told = answer.json()
            content = dig(told, "content")
            if not isinstance(content, list):
                raise Failed("transient", "bad_answer", status=answer.status, hint="a list did not answer with one")
            rows += [row for row in content if isinstance(row, Mapping) and isinstance(row.get("id"), str)]
            if dig(told, "last") is not False:
                return rows
        raise Failed("permanent", "too_many", status=self.status, hint="the list there has more pages than are read")

    async def get_contact(self, id: str) -> Record | None:
        """Return a contact, None where there is none."""
        return await self._get("/contacts/{id}", id)

    async def get(self, kind: DocumentKind, id: str) -> Record | None:
        """Return a document, None where there is none."""
        document = await self._get(kind.path + "/{id}", id)
        if document is not None and not (
            isinstance(document.get("voucherStatus"), str) and isinstance(document.get("lineItems"), list)
        ):
            raise Failed("transient", "bad_answer", status=self.status, hint="a document came back without its status")
        return document

    async def open_amount(self, id: str) -> float | None:
        """Return what is still to be paid of an invoice, None where the API does not say."""
        answer = await self._try_send("GET", build_url(self._base, "/payments/{id}", id=id))
        if answer.status == 404:
            return None
        self._check(answer)
        amount = dig(answer.json(), "openAmount")
        return float(amount) if isinstance(amount, int | float) else None

    async def create(self, path: str, body: Record, query: Mapping[str, str] | None = None) -> str:
        """Create a record and return its id; the API tells little more of it."""
        answer = await self._send("POST", build_url(self._base, path, query), body, creates=True)
        id = dig(answer.json(), "id")
        if not isinstance(id, str) or not id:
            raise Failed("ambiguous", "no_id", status=answer.status, hint="something was made, but no id came back")
        return id

    async def replace(self, id: str, contact: Record) -> None:
        """Write a contact as a whole. Raises Failed where somebody else has written it since it was read."""
        answer = await self._try_send("PUT", build_url(self._base, "/contacts/{id}", id=id), contact)
        # 409 is documented; contacts answer 406 and name the version (measured).
        if answer.status == 409 or (answer.status == 406 and "version" in list_wrong_fields(answer.json())):
            hint = "the contact was changed meanwhile; the next attempt reads it again"
            raise Failed("transient", "stale_version", status=answer.status, hint=hint)
        if answer.status == 404:
            raise Failed("transient", "stale_id", status=404, hint="the contact is gone; the next attempt searches")
        self._check(answer)

    async def _get(self, template: str, id: str) -> Record | None:
        answer = await self._try_send("GET", build_url(self._base, template, id=id))
        if answer.status == 404:
            return None
        self._check(answer)
        record = answer.json()
        if not isinstance(record, Mapping) or not same_id(record.get("id"), id):
            raise Failed("transient", "bad_answer", status=answer.status, hint="another record came back")
        return record

    def _check(self, answer: HttpAnswer, *, creates: bool = False) -> None:
        failed = classify(answer, creates=creates, rules=() if creates else (LIMITED,))
        if failed is None:
            return
        if failed.failure == "permanent" and (wrong := list_wrong_fields(answer.json())):
            if "address.contactId" in wrong:
                hint = "the contact is not there any more; the next attempt searches"
                raise Failed("transient", "stale_id", status=answer.status, hint=hint)
            said = ", ".join(f"{field} {code}".strip() for field, code in list(wrong.items())[:3])
            raise Failed("permanent", "invalid", status=answer.status, hint=f"Lexware refuses {said}")
        raise failed


class LexwareContacts:
    """The contacts of an organisation, for `finding`."""

    kind = "customer"
    searched = frozenset({"email"})
    trust_search = False

    def __init__(self, visit: LexwareVisit, find_lag: float) -> None:
        self._visit = visit
        self.find_lag = find_lag

    async def search(self, name: Name) -> list[FoundObject]:
        """Return the contacts that have the text in an address; archived ones are among them."""
        return [FoundObject(str(contact["id"]), contact) for contact in await self._visit.find_contacts(name.value)]

    async def read(self, id: str) -> FoundObject | None:
        """Return a contact, None where it is gone or archived."""
        contact = await self._visit.get_contact(id)
        return None if contact is None or contact.get("archived") is True else FoundObject(id, contact)

    def values(self, record: Record, kind: str) -> list[Any] | None:
        """Return the addresses of a contact, those of a company's contact persons among them."""
        return list_emails(record)

    def explain_unreadable(self, kind: str) -> str:
        """Return what to do where a contact shows no address; it always does."""
        return "Lexware shows no addresses at contacts"

    def narrow(self, found: Sequence[FoundObject]) -> Sequence[FoundObject]:
        """Return those in use, of them the customers."""
        used = [each for each in found if dig(each.record, "archived") is not True] or list(found)
        return [each for each in used if dig(each.record, "roles.customer") is not None] or used


class LexwareDocuments(VendorObjects):
    """Invoices or credit notes, for `finding`. No search takes their references: the id map alone knows them."""

    searched: frozenset[str] = frozenset()
    trust_search = False
    find_lag = 0.0

    def __init__(self, visit: LexwareVisit, kind: DocumentKind, options: LexwareOptions) -> None:
        self.kind = kind.name
        self._kind = kind
        self._visit = visit
        self._label = options.label

    async def search(self, name: Name) -> list[FoundObject]:
        """Return nothing."""
        return []

    async def read(self, id: str) -> FoundObject | None:
        """Return a document, None where there is none."""
        document = await self._visit.get(self._kind, id)
        return None if document is None else FoundObject(id, document)

    def values(self, record: Record, kind: str) -> list[str] | None:
        """Return the references of a document. None: it shows none, since a clerk may change the remark of a draft."""
        return list_references(record, self._label) or None

    def explain_unreadable(self, kind: str) -> str:
        """Return nothing: nothing is searched."""
        return ""


def _fail_draft(visit: LexwareVisit, *, created: bool = False) -> Failed:
    """Return the failure of what must be final and is a draft; `created`: it was just made, as a final one."""
    if created:
        return Failed("transient", "not_in_force", status=visit.status, hint="it was to be final, and is a draft")
    return Failed("permanent", "draft_stays", status=visit.status, hint=DRAFT_STAYS)


def _word(value: bool) -> str:
    return "true" if value else "false"


def check_currency(currency: str) -> None:
    """Raise Failed for another currency than the only one that the API takes."""
    if currency != "EUR":
        raise Failed("permanent", "unknown_code", hint="Lexware Office takes EUR only")


def list_wrong_fields(error: Any) -> dict[str, str]:
    """Return which fields an error names, each with its code: in `details`, in `IssueList`, or flat at the top."""
    issues = dig(error, "IssueList") or dig(error, "details") or [error]
    wrong: dict[str, str] = {}
    for issue in issues if isinstance(issues, list) else ():
        field = dig(issue, "source") or dig(issue, "field")
        code = dig(issue, "violation") or dig(issue, "i18nKey") or ""
        if isinstance(field, str) and _WORD.fullmatch(field):
            wrong[field] = code if isinstance(code, str) and _WORD.fullmatch(code) else ""
    return wrong


def list_references(document: Record, label: str) -> list[str]:
    """Return the references that stand in a document, each on a line of its own behind the label."""
    lines = [
        line.strip() for field in ("remark", "introduction") for line in str(document.get(field) or "").split("\n")
    ]
    return [line.removeprefix(f"{label} ").strip() for line in lines if line.startswith(f"{label} ")]


def list_emails(contact: Record) -> list[Any]:
    """Return the addresses of a contact."""
    lists = contact.get("emailAddresses")
    found = [each for entries in (lists.values() if isinstance(lists, Mapping) else ()) for each in entries or ()]
    people = dig(contact, "company.contactPersons")
    return found + [dig(person, "emailAddress") for person in (people if isinstance(people, list) else ())]


def write_address(place: ContactAddress | None, known: Record, options: LexwareOptions) -> dict[str, Any]:
    """Return a billing address with the parts that are given; Lexware takes none without a country."""
    if place is None:
        return {}
    parts = {"street": place.street, "zip": place.postal_code, "city": place.city}
    country = place.country.upper() if place.country else known.get("countryCode") or options.country
    return {**known, **drop_nulls(parts), "countryCode": country}


def new_contact(customer: Customer, options: LexwareOptions) -> dict[str, Any]:
    """Return what a new customer has."""
    name = customer.name or customer.email
    body: dict[str, Any] = {
        "version": 0,
        "roles": {"customer": {}},
        **({"person": {"lastName": name}} if options.customers == "person" else {"company": {"name": name}}),
        "emailAddresses": {"private" if options.customers == "person" else "business": [customer.email]},
    }
    if place := write_address(customer.address, {}, options):
        body["addresses"] = {"billing": [place]}
    return body


def add_to_contact(contact: Record, customer: Customer, options: LexwareOptions) -> dict[str, Any]:
    """Return a contact with the role of a customer and an address, if it lacks one of them; else nothing."""
    changed: dict[str, Any] = {}
    if dig(contact, "roles.customer") is None:
        changed["roles"] = {**(contact.get("roles") or {}), "customer": {}}
    if not dig(contact, "addresses.billing") and (place := write_address(customer.address, {}, options)):
        changed["addresses"] = {**(contact.get("addresses") or {}), "billing": [place]}
    return {**contact, **changed} if changed else {}


def change_contact(contact: Record, customer: Customer, options: LexwareOptions) -> dict[str, Any]:
    """Return a contact as it is after an upsert, with its version; nothing where nothing changes.

    A contact's name is one text here: where it differs, a person gets it as last name.
    """
    changed = dict(add_to_contact(contact, customer, options) or contact)
    if customer.name:
        person, company = contact.get("person"), contact.get("company")
        if isinstance(person, Mapping):
            whole = " ".join(filter(None, (person.get("firstName"), person.get("lastName"))))
            if whole != customer.name:
                kept = {name: value for name, value in person.items() if name != "firstName"}
                changed["person"] = {**kept, "lastName": customer.name}
        elif isinstance(company, Mapping) and company.get("name") != customer.name:
            changed["company"] = {**company, "name": customer.name}
    billing = dig(contact, "addresses.billing")
    known = billing[0] if isinstance(billing, list) and billing and isinstance(billing[0], Mapping) else {}
    place = write_address(customer.address, known, options)
    if place and place != known:
        changed["addresses"] = {**(contact.get("addresses") or {}), "billing": [place]}
    return changed if changed != contact else {}


def make_line(line: InvoiceLine, options: LexwareOptions) -> dict[str, Any]:
    """Return a line of a document. Raises Failed where its tax does not fit the destination."""
    rate = line.tax_rate or 0
    if rate and options.tax_type == "vatfree":
        raise Failed("permanent", "unknown_tax", hint="a line has a tax rate, and tax_type is vatfree")
    return {
        "type": "custom",
        "name": line.text,
        "quantity": float(round(line.quantity, DECIMALS)),
        "unitName": options.unit,
        "unitPrice": {
            "currency": "EUR",
            "grossAmount" if options.tax_type == "gross" else "netAmount": float(round(line.unit_price, DECIMALS)),
            "taxRatePercentage": float(rate * 100),
        },
    }


def copy_line(line: Record) -> dict[str, Any]:
    """Return a line of an invoice for its credit note, without what the API makes of it."""
    names = ("type", "name", "description", "quantity", "unitName", "unitPrice", "discountPercentage")
    copied = drop_nulls({name: line.get(name) for name in names})
    if copied.get("type") != "text":
        copied["type"] = "custom"  # A line of an article would need the article's id.
    return copied
