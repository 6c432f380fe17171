"""Tryton 8, over its REST API: parties with their addresses, notes, customer invoices and their cancellation.

Takes the actions of `contacts` and `invoices`; returns Done or raises Failed.
Never creates before it has searched, since Tryton has no uniqueness here, and never trusts a status alone: some lie.

Facts: measured on trytond 8.2 (tests/tryton); `trytond/protocols/rest.py` is the API's own text.
"""

import base64
import json
from collections.abc import Mapping, Sequence
from datetime import date
from decimal import Decimal
from types import MappingProxyType
from typing import Annotated, Any

from pydantic import Field

from rules.catalogue import DestinationKind, Name
from rules.secret import Secret
from workers.destinations.base import (
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
    list_names,
    open_base,
)
from workers.destinations.classify import ErrorRule, classify
from workers.destinations.contacts import (
    ADD_LABEL,
    ADD_NOTE,
    CONTACT,
    REMOVE_LABEL,
    UPSERT_CONTACT,
    AddNote,
    CallerArguments,
    ContactAddress,
    LabelContact,
    UpsertContact,
)
from workers.destinations.finding import (
    FoundObject,
    ObjectFinder,
    VendorObjects,
    equals,
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
    UpsertCustomer,
    fail_no_invoice,
    fail_not_final,
    fail_reused,
)
from workers.http import HiddenHeaders, Http, HttpAnswer, build_url
from workers.outcome import Done, Failed, Failure

Record = Mapping[str, Any]

#: Where the status says something else than what happened.
ERRORS = tuple(
    ErrorRule.model_validate(rule)
    for rule in (
        # A KeyError, shown as an HTML page: a field or model that does not exist. It will not exist next time either.
        {
            "status": [500],
            "content_type": "text/html",
            "contains": "<p>&#39;",
            "is": "permanent",
            "code": "unknown_name",
        },
        # Two parties made at the same moment drew the same code; rolled back, and different next time.
        {"status": [400], "contains": "code on party must be unique", "is": "transient", "code": "racing"},
    )
)

#: Places of addresses at their party; the first one is that of its invoices.
FIRST, BEHIND = 1, 10

#: Where somebody is called; Tryton tells them apart by looking at the number, if it can.
PHONES = ["phone", "mobile"]

#: What of a party is needed to see what an upsert changes.
PARTY_FIELDS = (
    "name",
    "addresses.id",
    "addresses.street_unstructured",
    "addresses.postal_code",
    "addresses.city",
    "addresses.country",
    "contact_mechanisms.type",
    "contact_mechanisms.value",
    "contact_mechanisms.value_compact",
    "identifiers.code",
)

#: Of a party that the id map named, what tells whether it is still in use.
LIFE_FIELDS = ("active", "replaced_by")
#: Replacements of replacements that are followed.
MOST_REPLACED = 5

INVOICE_FIELDS = ("state", "number", "reference")

#: Tryton's state of an invoice -> the state that rules see.
STATES = {"draft": "draft", "validated": "draft", "posted": "open", "paid": "paid", "cancelled": "cancelled"}

#: States of an invoice that counts.
POSTED = ("posted", "paid")
NOT_CANCELLED = "Tryton took it, and the invoice is not cancelled"

#: Of an invoice, what its cancellation document repeats.
REPEATED = ("party", "invoice_address", "currency", "account", "journal", "payment_term")


#: Decimals of a unit price (`price_decimal` of trytond, as it comes); one with more is refused, and named nowhere.
PRICE_DECIMALS = 4

#: 19 % is 0.19: a 19 here would be 1900 %.
TaxRate = Annotated[Decimal, Field(ge=0, lt=1)]


class InvoiceOptions(DestinationOptions):
    """How customer invoices are made. Numbers are Tryton's ids; what is absent is what the company has set."""

    revenue_account: int | None = Field(default=None, description="Account of the lines.")
    receivable_account: int | None = Field(default=None, description="Account that the customer owes on.")
    journal: int | None = Field(default=None, description="Journal; default: the first one for revenue.")
    #: Number of the payment term, where none is due on a day.
    payment_term: int | None = None
    taxes: Mapping[TaxRate, int] = Field(default={}, description="Rate as a fraction: the id of the tax. 0.19: 1")
    post: bool = Field(default=False, description="Post what was made, which numbers it; else it stays a draft.")
    cancel_suffix: str = Field(
        default="/C", min_length=1, description="What is put behind the reference of an invoice on its cancellation."
    )


class TrytonOptions(DestinationOptions):
    """What ops may write under a destination of kind `tryton`."""

    base: Base = Field(description="Address of the server: https://erp.example.org")
    database: str = Field(min_length=1, description="Name of the database.")
    key: Secret = Field(description="Key of a user application of type rest.")
    company: int = Field(default=1, description="Id of the company.")
    invoices: InvoiceOptions = InvoiceOptions()


PARTY_RIGHTS = "a user of the group Accounting; who may write parties"
INVOICE_RIGHTS = "a user of the group Accounting"

#: What a clerk has to know. Nobody may write the reconciliation of a line over REST; Tryton's wizards do it.
ADDING = "new numbers and addresses are added, none is removed; a one-part name never replaces a full one"
OPEN_ITEMS = "invoice and cancellation both stay open until somebody reconciles them in Tryton"

KIND = DestinationKind(
    name="tryton",
    about="Tryton 8 as CRM and invoicing system.",
    options=TrytonOptions,
    actions={
        kind.name: kind
        for kind in (
            UPSERT_CONTACT.adopt("found again", rights=PARTY_RIGHTS, limits=ADDING),
            ADD_NOTE.adopt("found again", rights=PARTY_RIGHTS),
            CREATE_INVOICE.adopt("found again", rights=INVOICE_RIGHTS),
            CANCEL_INVOICE.adopt("found again", rights=INVOICE_RIGHTS, limits=OPEN_ITEMS),
            ADD_LABEL.adopt("sent again", rights=PARTY_RIGHTS),
            REMOVE_LABEL.adopt("sent again", rights=PARTY_RIGHTS),
            CONTACT,
            UPSERT_CUSTOMER.adopt("found again", rights=PARTY_RIGHTS),
            CREATE_CREDIT_NOTE.adopt("found again", rights=INVOICE_RIGHTS, limits=OPEN_ITEMS),
            INVOICE_STATUS,
        )
    },
    cannot={
        "set_consent": "Tryton's parties have no field for a consent",
        "create_lead": "Tryton keeps leads in its module sale_opportunity, which relais does not write",
        "move_deal": "Tryton keeps leads in its module sale_opportunity, which relais does not write",
        "add_task": "Tryton has no tasks for a party",
        "link": "Tryton ties parties in its module party_relationship, which relais does not write",
        "record_payment": "Tryton records payments in a wizard, and its REST API has no wizards",
    },
)


class TrytonClient(Client[TrytonOptions]):
    """Carries out the actions of kind `tryton`."""

    def __init__(self, name: str, options: TrytonOptions, reveal: Reveal, http: Http, memory: Memory) -> None:
        super().__init__(name, options, reveal, http, memory)
        self._base = build_url(open_base(options.base, reveal), "/{database}/rest/model", database=options.database)
        context = {"company": options.company, "companies": [options.company]}
        self._headers = HiddenHeaders(
            {
                "Authorization": f"bearer {reveal(options.key)}",
                "Accept-Language": "en",  # Else error texts come in the language of the server.
                "X-Tryton-Context": encode(context),
            }
        )

    def visit(self, delivery: Attempt) -> "TrytonVisit":
        """Return what carries the requests of a delivery."""
        return TrytonVisit(self._http.exchange(), delivery, self._base, self._headers)

    # Parties

    async def _upsert_contact(self, visit: "TrytonVisit", arguments: UpsertContact) -> Done:
        names = UPSERT_CONTACT.list_strong_names(arguments)
        wanted = list_names(("external_id", arguments.external_id), ("email", arguments.new_email or arguments.email))
        country = await visit.country(arguments.address)
        finder = self._party_finder(visit)
        found = await finder.find(names)
        created, note = False, ""
        if found is None:
            found, created = await self._create(
                visit, finder, "party.party", names, new_party(arguments, country), PARTY_FIELDS
            )
        if created:
            phones = list_names(("phone", arguments.phone))
            await finder.learn([*wanted, *phones], found.id, gone=names)
        else:
            await finder.meet(found)
            changes = party_changes(found.record, arguments, country)
            note = "" if "name" in changes or has_name(found.record, arguments) else "name_not_written"
            if changes:
                await visit.update("party.party", int(found.id), changes)
            if found.news or not found.names.issuperset(wanted):
                await finder.learn(wanted, found.id, gone=names)
        return Done(result={"id": found.id, "created": created}, note=note, status=visit.status)

    async def _add_note(self, visit: "TrytonVisit", arguments: AddNote) -> Done:
        # A number is a name only where there is no address: colleagues share one.
        given = drop_nulls({"email": arguments.email, "phone": arguments.phone})
        names = ADD_NOTE.list_strong_names(arguments)
        finder = self._party_finder(visit)
        found = await finder.find(names)
        if found is None:
            bare = {"name": arguments.email or arguments.phone, "contact_mechanisms": [["create", mechanisms(given)]]}
            found, created = await self._create(visit, finder, "party.party", names, bare, PARTY_FIELDS)
            await finder.learn(list_names(*given.items()) if created else names, found.id)
        if found.news:
            await finder.meet(found)
            await finder.learn(names, found.id)
        resource = f"party.party,{found.id}"
        if visit.delivery.doubtful or visit.delivery.attempt > 1:
            same = [["resource", "=", resource], ["message", "=", arguments.text]]
            for note in await visit.search("ir.note", same, ()):
                result = {"id": str(note["id"]), "contact": found.id}
                return Done(result=result, note="already_there", status=visit.status)
        note = await visit.create("ir.note", {"resource": resource, "message": arguments.text}, ())
        return Done(result={"id": str(note["id"]), "contact": found.id}, status=visit.status)

    async def _add_label(self, visit: "TrytonVisit", arguments: LabelContact) -> Done:
        return await self._label(visit, arguments, wanted=True)

    async def _remove_label(self, visit: "TrytonVisit", arguments: LabelContact) -> Done:
        return await self._label(visit, arguments, wanted=False)

    async def _label(self, visit: "TrytonVisit", arguments: LabelContact, *, wanted: bool) -> Done:
        """Put a party into a category, which is made where there is none, or take it out."""
        names = ADD_LABEL.list_strong_names(arguments)
        finder = self._party_finder(visit)
        found = await finder.find(names)
        if found is None:
            return Done(note="no_such_contact", status=visit.status)
        result = {"id": found.id}
        categories = await visit.search("party.category", [["name", "=", arguments.label], ["parent", "=", None]], ())
        party = await visit.get("party.party", found.id, ("categories",)) or {}
        having = {dig(each, "id") if isinstance(each, Mapping) else each for each in party.get("categories") or ()}
        if any(category["id"] in having for category in categories) is wanted:
            return Done(result=result, note="already_there" if wanted else "not_there", status=visit.status)
        await finder.meet(found)
        if wanted and not categories:
            # A second one of the same name is refused by Tryton; a lost answer is found by the next attempt.
            categories = [await visit.create("party.category", {"name": arguments.label}, (), creates=False)]
        change = ["add" if wanted else "remove", [category["id"] for category in categories]]
        await visit.update("party.party", int(found.id), {"categories": [change]})
        if found.news:
            await finder.learn(names, found.id)
        return Done(result=result, status=visit.status)

    async def _look_up_contact(self, visit: "TrytonVisit", arguments: CallerArguments) -> Done:
        found = await self._party_finder(visit).find(CONTACT.list_strong_names(arguments))
        if found is None:
            return Done(result={"found": False}, status=visit.status)
        ways, codes = found.record.get("contact_mechanisms") or (), found.record.get("identifiers") or ()
        told = {"found": True, "id": found.id, "name": found.record.get("name")}
        told |= {kind: next(iter(list_mechanisms(ways, kind)), None) for kind in ("email", "phone")}
        return Done(
            result=told | {"external_id": next((each.get("code") for each in codes), None)}, status=visit.status
        )

    def _party_finder(self, visit: "TrytonVisit") -> ObjectFinder:
        return ObjectFinder(
            TrytonParties(visit), self._memory, visit.delivery, believed=0
        )  # It is needed as it is now.

    async def _create(
        self,
        visit: "TrytonVisit",
        finder: ObjectFinder,
        model: str,
        names: Sequence[Name],
        values: Record,
        fields: Sequence[str],
    ) -> tuple[FoundObject, bool]:
        """Create a record. False: Tryton refused, because it exists, and it was found."""
        try:
            record = await visit.create(model, values, fields)
        except Failed as failed:
            if (failed.status, failed.code) != (409, "conflict"):
                raise
            return await finder.find_existing(names, None, failed.status), False
        return FoundObject(str(record["id"]), record), True

    # Invoices

    async def _create_invoice(self, visit: "TrytonVisit", arguments: CreateInvoice) -> Done:
        name = Name("invoice", arguments.reference)
        finder = self._invoice_finder(visit)
        found = await finder.find([name])
        created = False
        if found is not None and await self._was_cancelled(visit, found.record, arguments.reference):
            raise fail_reused(visit.status)
        if found is None:
            lines = [make_line(line, self._options) for line in arguments.lines]
            party, place, _ = await self._write_customer(visit, arguments.customer)
            accounts = await self._accounts(visit)
            for line in lines:
                line["account"] = accounts["revenue"]
            header = {
                "party": party,
                "invoice_address": place,
                "currency": await visit.currency(arguments.currency),
                "account": accounts["receivable"],
                "journal": accounts["journal"],
                # Without a term it is due on one day: this one.
                "payment_term": self._options.invoices.payment_term if arguments.due is None else None,
                "payment_term_date": None if arguments.due is None else encode_date(arguments.due),
                "reference": arguments.reference,
                "lines": [["create", lines]],
            }
            found, created = await self._make(visit, finder, name, header)
        if found.news:
            await finder.meet(found)
            await finder.learn([name], found.id)
        invoice = found.record
        post = self._options.invoices.post if arguments.finalise is None else arguments.finalise
        if post and invoice["state"] in ("draft", "validated"):
            invoice = await self._post(visit, int(invoice["id"]), "Tryton took it, and the invoice is a draft still")
        return Done(
            result={
                "id": str(invoice["id"]),
                "number": invoice["number"],
                "status": invoice["state"],
                "created": created,
            },
            note="" if created else "already_there",
            status=visit.status,
        )

    async def _was_cancelled(self, visit: "TrytonVisit", invoice: Record, reference: str) -> bool:
        """Tell whether an invoice counts no more: Tryton says so of some, a posted one has a cancellation document."""
        if invoice["state"] not in POSTED:
            return bool(invoice["state"] == "cancelled")
        suffixed = Name("invoice", reference + self._options.invoices.cancel_suffix)
        document = await self._invoice_finder(visit).find([suffixed])
        return document is not None and document.record["state"] in POSTED

    async def _create_credit_note(self, visit: "TrytonVisit", arguments: CreateCreditNote) -> Done:
        """Make a document with negative quantities: Tryton's own wizard cannot be reached over REST."""
        name = Name("invoice", arguments.reference)
        finder = self._invoice_finder(visit)
        document = await finder.find([name])
        created = False
        if document is None:
            invoice = await finder.find([Name("invoice", arguments.invoice)])
            if invoice is None:
                raise fail_no_invoice(visit.status)
            if invoice.record["state"] not in POSTED:
                raise fail_not_final(visit.status)
            await finder.meet(invoice)
            credit = await self._credit(visit, int(invoice.id), name.value, arguments.reason)
            if arguments.lines:
                lines = [make_line(line, self._options) for line in arguments.lines]
                account = (await self._accounts(visit))["revenue"]
                negative = [line | {"quantity": -line["quantity"], "account": account} for line in lines]
                credit["lines"] = [["create", negative]]
            document, created = await self._make(visit, finder, name, credit)
        record = document.record
        post = self._options.invoices.post if arguments.finalise is None else arguments.finalise
        if post and record["state"] in ("draft", "validated"):
            record = await self._post(visit, int(document.id), "Tryton took it, and the credit note is a draft still")
        result = {"id": document.id, "number": record["number"], "created": created}
        return Done(result=result, note="" if created else "already_there", status=visit.status)

    async def _look_up_invoice(self, visit: "TrytonVisit", arguments: FindInvoice) -> Done:
        found = await self._invoice_finder(visit).find([Name("invoice", arguments.reference)])
        if found is None:
            return Done(result={"found": False}, status=visit.status)
        amounts = await visit.get("account.invoice", found.id, ("total_amount", "amount_to_pay")) or {}
        state = found.record["state"]
        told = {
            "found": True,
            "id": found.id,
            "number": found.record["number"],
            "state": STATES.get(state),
            "status": state,
            "total": decode_decimal(amounts.get("total_amount")),
            "due_amount": decode_decimal(amounts.get("amount_to_pay")),
        }
        if await self._was_cancelled(visit, found.record, arguments.reference):
            told["state"] = "cancelled"
        return Done(result=told, status=visit.status)

    async def _cancel_invoice(self, visit: "TrytonVisit", arguments: CancelInvoice) -> Done:
        finder = self._invoice_finder(visit)
        found = await finder.find([Name("invoice", arguments.reference)])
        if found is None:
            return Done(note="nothing_to_cancel", status=visit.status)
        id, state = found.id, found.record["state"]
        if state == "cancelled":
            return Done(result={"id": id}, note="already_cancelled", status=visit.status)
        await finder.meet(found)
        if state in ("draft", "validated"):
            await visit.delete("account.invoice", int(id))
            left = await visit.get("account.invoice", id, INVOICE_FIELDS)
            if left is not None and left["state"] != "cancelled":
                raise _fail_not_in_force(visit, NOT_CANCELLED)
            await finder.forget(found)
            return Done(result={"id": id}, note="draft_deleted", status=visit.status)
        # Tryton's own wizard for credits cannot be reached over REST: the document is made as the wizard makes it.
        name = Name("invoice", arguments.reference + self._options.invoices.cancel_suffix)
        document = await finder.find([name])
        if document is None:
            credit = await self._credit(visit, int(id), name.value, arguments.reason)
            document, _ = await self._make(visit, finder, name, credit)
        elif document.record["state"] in POSTED:
            return Done(result={"id": id}, note="already_cancelled", status=visit.status)
        await self._post(visit, int(document.id), NOT_CANCELLED)
        return Done(result={"id": id, "document": document.id}, status=visit.status)

    async def _post(self, visit: "TrytonVisit", id: int, hint: str) -> Record:
        """Post an invoice and return it. Raises Failed, with the hint, if it is not shown as posted."""
        posted: Record | None = await visit.act("account.invoice", id, "post", INVOICE_FIELDS)
        if posted is not None and posted["state"] not in POSTED:
            posted = await visit.get("account.invoice", id, INVOICE_FIELDS)
        if posted is None or posted["state"] not in POSTED:
            raise _fail_not_in_force(visit, hint)
        return posted

    def _invoice_finder(self, visit: "TrytonVisit") -> ObjectFinder:
        objects = TrytonInvoices(visit, self._options.company)
        return ObjectFinder(objects, self._memory, visit.delivery, believed=0)  # Its state is needed as it is now.

    async def _make(
        self, visit: "TrytonVisit", finder: ObjectFinder, name: Name, header: Record
    ) -> tuple[FoundObject, bool]:
        """Create a customer invoice; its lines belong to the same company."""
        values = drop_nulls(header) | {"type": "out", "company": self._options.company}
        found, created = await self._create(visit, finder, "account.invoice", [name], values, INVOICE_FIELDS)
        await finder.learn([name], found.id)
        return found, created

    async def _credit(self, visit: "TrytonVisit", id: int, reference: str, reason: str | None) -> dict[str, Any]:
        """Return the cancellation document of a posted invoice: the same lines, negative."""
        wanted = [
            f"lines.{name}" for name in ("type", "description", "quantity", "unit_price", "account", "taxes", "unit")
        ]
        invoice = await visit.get("account.invoice", id, (*REPEATED, *wanted))
        if invoice is None:
            raise Failed("transient", "stale_id", hint="the invoice is gone; the next attempt searches")
        return {name: invoice[name] for name in REPEATED} | {
            "reference": reference,
            "description": reason,
            "lines": [["create", [credit_line(line, self._options.company) for line in invoice["lines"]]]],
        }

    async def _upsert_customer(self, visit: "TrytonVisit", arguments: UpsertCustomer) -> Done:
        party, _, created = await self._write_customer(visit, arguments)
        return Done(result={"id": str(party), "created": created}, status=visit.status)

    async def _write_customer(self, visit: "TrytonVisit", customer: Customer) -> tuple[int, int, bool]:
        """Return party, address and whether the party is new.

        Tryton makes no invoice without an address, be it an empty one. The one that is given is used, and made where
        the party has no such address; without one it is the party's first.
        """
        names = [Name("email", customer.email)]
        finder = self._party_finder(visit)
        found = await finder.find(names)
        country = await visit.country(customer.address)
        place = address_values(customer.address, country)
        created = False
        if found is None:
            values = {
                "name": customer.name or customer.email,
                "contact_mechanisms": [["create", mechanisms({"email": customer.email})]],
                "addresses": [["create", [place]]],
            }
            found, created = await self._create(visit, finder, "party.party", names, values, PARTY_FIELDS)
            await finder.learn(names, found.id)
        party = found.record
        if found.news:
            await finder.meet(found)
            await finder.learn(names, found.id)
        changes: dict[str, Any] = {}
        if customer.name and customer.name != party.get("name"):
            changes["name"] = customer.name
        if find_address(party, place) is None:
            changes["addresses"] = add_address(party, place)
        if changes:
            party = await visit.update("party.party", party["id"], changes)
        address = find_address(party, place)
        if address is None:
            raise _fail_not_in_force(visit, "Tryton took the address, and the party does not show it")
        return party["id"], address, created

    async def _accounts(self, visit: "TrytonVisit") -> dict[str, int]:
        """Return accounts and journal: told, or what the company has set."""
        told = self._options.invoices
        found = {"revenue": told.revenue_account, "receivable": told.receivable_account, "journal": told.journal}
        if found["revenue"] is None or found["receivable"] is None:
            names = ("default_category_account_revenue", "default_account_receivable")
            usual = await visit.get("account.configuration", 1, names) or {}
            found["revenue"] = found["revenue"] or usual.get(names[0])
            found["receivable"] = found["receivable"] or usual.get(names[1])
        if found["journal"] is None:
            journals = await visit.search("account.journal", [["type", "=", "revenue"]], ())
            found["journal"] = next((journal["id"] for journal in journals), None)
        missing = sorted(name for name, id in found.items() if id is None)
        if missing:
            raise Failed(
                "permanent", "not_set_up", hint=f"neither the destination nor the company has: {', '.join(missing)}"
            )
        return {name: id for name, id in found.items() if id is not None}

    methods = MappingProxyType(
        {
            "upsert_contact": _upsert_contact,
            "add_note": _add_note,
            "create_invoice": _create_invoice,
            "cancel_invoice": _cancel_invoice,
            "add_label": _add_label,
            "remove_label": _remove_label,
            "contact": _look_up_contact,
            "upsert_customer": _upsert_customer,
            "create_credit_note": _create_credit_note,
            "invoice_status": _look_up_invoice,
        }
    )


DESTINATION = DestinationType(KIND, TrytonClient)


class TrytonVisit(JsonVisit):
    """The requests of one delivery to one Tryton."""

    async def search(self, model: str, domain: Sequence[Any], fields: Sequence[str]) -> list[Record]:
        """Return the records of a domain, the oldest first."""
        query = [("d", encode(domain)), ("o", encode([["id", "ASC"]])), ("s", "20")]
        answer = await self._try_send("GET", build_url(self._base, "/{model}", _query(fields, query), model=model))
        self._check(answer)
        found = answer.json()
        if not isinstance(found, list):
            raise Failed("transient", "bad_answer", status=answer.status, hint="a search did not answer with a list")
        return [record for record in found if isinstance(record, Mapping) and isinstance(record.get("id"), int)]

    async def get(self, model: str, id: int | str, fields: Sequence[str]) -> Record | None:
        """Return a record, None where there is none."""
        answer = await self._try_send("GET", build_url(self._base, "/{model}/{id}", _query(fields), model=model, id=id))
        if answer.status == 404:
            return None
        record = self._record(answer)
        if not same_id(record["id"], str(id)):
            raise Failed("transient", "bad_answer", status=answer.status, hint="another record came back")
        return record

    async def create(self, model: str, values: Record, fields: Sequence[str], *, creates: bool = True) -> Record:
        """Create a record and return it; `creates`: a second one would do harm."""
        url = build_url(self._base, "/{model}", _query(fields), model=model)
        answer = await self._try_send("POST", url, values, creates=creates)
        return self._record(answer, creates=creates)

    async def update(self, model: str, id: int, values: Record) -> Record:
        """Write a record and return it, as a party."""
        url = build_url(self._base, "/{model}/{id}", _query(PARTY_FIELDS), model=model, id=id)
        answer = await self._try_send("PUT", url, values)
        if answer.status == 404:
            raise Failed(
                "transient", "stale_id", status=404, hint="the record is not in use any more; the next attempt searches"
            )
        return self._record(answer)

    async def delete(self, model: str, id: int) -> None:
        """Delete a record, or find it gone."""
        answer = await self._try_send("DELETE", build_url(self._base, "/{model}/{id}", model=model, id=id))
        if answer.status != 404:
            self._check(answer)

    async def act(self, model: str, id: int, action: str, fields: Sequence[str]) -> Record:
        """Press a button of a record and return it."""
        url = build_url(self._base, "/{model}/{id}/{action}", _query(fields), model=model, id=id, action=action)
        return self._record(await self._try_send("POST", url, {}, creates=True), creates=True)

    async def currency(self, code: str) -> int:
        """Return the id of a currency."""
        return await self._id_of("currency.currency", code)

    async def country(self, place: ContactAddress | None) -> int | None:
        """Return the id of the country of an address that names one."""
        return await self._id_of("country.country", place.country.upper()) if place and place.country else None

    async def _id_of(self, model: str, code: str) -> int:
        for record in await self.search(model, [["code", "=", code]], ()):
            return int(record["id"])
        raise Failed("permanent", "unknown_code", hint=f"{model} has no such code")

    def _record(self, answer: HttpAnswer, *, creates: bool = False) -> Record:
        self._check(answer, creates=creates)
        record = answer.json()
        if not isinstance(record, Mapping) or not isinstance(record.get("id"), int):
            failure: Failure = "ambiguous" if creates else "transient"
            raise Failed(failure, "bad_answer", status=answer.status, hint="no record came back")
        return record

    def _check(self, answer: HttpAnswer, *, creates: bool = False) -> None:
        failed = classify(answer, creates=creates, rules=ERRORS)
        if failed is not None:
            raise failed


class TrytonParties(VendorObjects):
    """The parties of a Tryton, for `finding`."""

    kind = "contact"
    searched = frozenset({"email", "external_id", "phone"})
    trust_search = False
    find_lag = 0.0

    def __init__(self, visit: TrytonVisit) -> None:
        self._visit = visit

    async def search(self, name: Name) -> list[FoundObject]:
        """Return what a search finds; inactive parties are not among it."""
        found = await self._visit.search("party.party", party_domain(name.kind, name.value), PARTY_FIELDS)
        return [FoundObject(str(party["id"]), party) for party in found]

    async def read(self, id: str) -> FoundObject | None:
        """Return a party, or the one that it was merged into; None where it is gone or not in use any more."""
        for _ in range(MOST_REPLACED):
            party = await self._visit.get("party.party", id, (*PARTY_FIELDS, *LIFE_FIELDS))
            if party is None:
                return None
            successor = party.get("replaced_by")
            successor = dig(successor, "id") if isinstance(successor, Mapping) else successor
            if isinstance(successor, int):
                id = str(successor)
            else:
                # 0 in place of false where Tryton's database is SQLite.
                return None if party.get("active", True) == 0 else FoundObject(id, party)
        return None

    def values(self, record: Record, kind: str) -> list[Any] | None:
        """Return the addresses, numbers or identifiers of a party."""
        if kind == "external_id":
            codes = record.get("identifiers")
            return None if codes is None else [one.get("code") for one in codes]
        ways = record.get("contact_mechanisms")
        return None if ways is None else list_mechanisms(ways, kind)

    def explain_unreadable(self, kind: str) -> str:
        """Return what to do where Tryton does not show what was searched."""
        return f"Tryton shows no {kind} at parties: look at the rights of the user application"


class TrytonInvoices:
    """The customer invoices of a company, for `finding`."""

    kind = "invoice"
    searched = frozenset({"invoice"})
    trust_search = False
    find_lag = 0.0

    def __init__(self, visit: TrytonVisit, company: int) -> None:
        self._visit = visit
        self._company = company

    async def search(self, name: Name) -> list[FoundObject]:
        """Return what a search finds."""
        domain = [["type", "=", "out"], ["company", "=", self._company], ["reference", "=", name.value]]
        found = await self._visit.search("account.invoice", domain, INVOICE_FIELDS)
        return [FoundObject(str(invoice["id"]), invoice) for invoice in found]

    async def read(self, id: str) -> FoundObject | None:
        """Return an invoice, None where there is none."""
        invoice = await self._visit.get("account.invoice", id, INVOICE_FIELDS)
        return None if invoice is None else FoundObject(id, invoice)

    def values(self, record: Record, kind: str) -> list[Any] | None:
        """Return the reference of an invoice."""
        return [record["reference"]] if "reference" in record else None

    def explain_unreadable(self, kind: str) -> str:
        """Return what to do where Tryton does not show what was searched."""
        return "Tryton shows no reference at invoices: look at the rights of the user application"

    def narrow(self, found: Sequence[FoundObject]) -> Sequence[FoundObject]:
        """Return those that are not cancelled, or the newest of the cancelled ones."""
        return [each for each in found if each.record.get("state") != "cancelled"] or found[-1:]


def _fail_not_in_force(visit: TrytonVisit, hint: str) -> Failed:
    return Failed("transient", "not_in_force", status=visit.status, hint=hint)


def _query(fields: Sequence[str], more: Sequence[tuple[str, str]] = ()) -> list[tuple[str, str]]:
    return [*more, *(("f", field) for field in fields)]


def encode(value: Any) -> str:
    """Return JSON as Tryton takes it in queries and headers."""
    return base64.urlsafe_b64encode(json.dumps(value).encode()).decode()


def encode_decimal(value: Decimal) -> dict[str, str]:
    """Return an amount as Tryton's JSON has it."""
    return {"__class__": "Decimal", "decimal": str(value)}


def encode_date(value: date) -> dict[str, Any]:
    """Return a day as Tryton's JSON has it."""
    return {"__class__": "date", "year": value.year, "month": value.month, "day": value.day}


def decode_decimal(value: Any) -> float | None:
    """Return an amount of Tryton's JSON, None where there is none."""
    text = dig(value, "decimal") if isinstance(value, Mapping) else None
    return float(text) if isinstance(text, str) else None


def party_domain(name: str, value: str) -> list[Any]:
    """Return the search for a party by external id, e-mail or phone. How capital letters are stored does not matter."""
    if name == "external_id":
        return [["identifiers.code", "=", value]]
    if name == "phone":
        return [["contact_mechanisms", "where", [["type", "in", PHONES], ["value_compact", "=", value]]]]
    escaped = value.replace("\\", "\\\\").replace("%", "\\%").replace("_", "\\_")
    return [["contact_mechanisms", "where", [["type", "=", "email"], ["value", "ilike", escaped]]]]


def list_mechanisms(ways: Sequence[Record], type: str) -> list[Any]:
    """Return under which addresses or numbers somebody can be reached."""
    types = PHONES if type == "phone" else [type]
    return [one.get(field) for one in ways if one.get("type") in types for field in ("value", "value_compact")]


def has_mechanism(party: Record, type: str, value: str) -> bool:
    """Tell whether the party can be reached there."""
    ways = party.get("contact_mechanisms") or ()
    return any(equals(Name(type, value), theirs) for theirs in list_mechanisms(ways, type))


def mechanisms(keys: Mapping[str, str | None]) -> list[dict[str, str]]:
    """Return e-mail and phone as Tryton keeps them."""
    return [{"type": name, "value": keys[name] or ""} for name in ("email", "phone") if keys.get(name)]


def address_values(place: ContactAddress | None, country: int | None) -> dict[str, Any]:
    """Return the parts of an address that are given."""
    if place is None:
        return {}
    values = {"street_unstructured": place.street, "postal_code": place.postal_code, "city": place.city}
    return drop_nulls(values | {"country": country})


def find_address(party: Record, place: Mapping[str, Any]) -> int | None:
    """Return the id of the party's first address that is this one: it has all that is given and nothing else."""
    for known in party.get("addresses") or ():
        country = known.get("country")
        shown = {"street_unstructured": known.get("street_unstructured"), "postal_code": known.get("postal_code")}
        shown |= {"city": known.get("city"), "country": dig(country, "id") if isinstance(country, Mapping) else country}
        if not place or {name: value for name, value in shown.items() if value} == {
            k: v for k, v in place.items() if v
        }:
            return int(known["id"])
    return None


def add_address(party: Record, place: Mapping[str, Any]) -> list[Any]:
    """Return what makes this the first address of a party. The others stay as they are: documents show them."""
    others = [known["id"] for known in party.get("addresses") or ()]
    behind = [["write", others, {"sequence": BEHIND}]] if others else []
    return [*behind, ["create", [{**place, "sequence": FIRST}]]]


def new_party(arguments: UpsertContact, country: int | None) -> dict[str, Any]:
    """Return what a new party has."""
    email = arguments.new_email or arguments.email
    name = arguments.name or " ".join(filter(None, (arguments.first_name, arguments.last_name)))
    party: dict[str, Any] = {
        **drop_nulls(arguments.custom),
        "name": name or email or arguments.external_id,
        "contact_mechanisms": [["create", mechanisms({"email": email, "phone": arguments.phone})]],
    }
    if place := address_values(arguments.address, country):
        party["addresses"] = [["create", [place]]]
    if arguments.external_id is not None:
        party["identifiers"] = [["create", [{"type": None, "code": arguments.external_id}]]]
    return party


def party_changes(party: Record, arguments: UpsertContact, country: int | None) -> dict[str, Any]:
    """Return what an upsert changes at a party that exists; nothing is removed.

    A party has one name: it is written when it is given, as `name` or in both of its parts. One part alone is written
    where the party has no name yet, but an address, number or id in its place.
    """
    changes: dict[str, Any] = dict(drop_nulls(arguments.custom))
    name = _full_name(arguments)
    if name is None and _is_nameless(party):
        name = arguments.first_name or arguments.last_name
    if name and name != party.get("name"):
        changes["name"] = name
    if ways := _mechanism_changes(party, arguments):
        changes["contact_mechanisms"] = ways
    if (place := address_values(arguments.address, country)) and find_address(party, place) is None:
        changes["addresses"] = add_address(party, place)
    codes = [one.get("code") for one in party.get("identifiers") or ()]
    if arguments.external_id is not None and arguments.external_id not in codes:
        changes["identifiers"] = [["create", [{"type": None, "code": arguments.external_id}]]]
    return changes


def has_name(party: Record, arguments: UpsertContact) -> bool:
    """Tell whether the party's name has each part that an upsert gives; it gives none, or a whole name, too."""
    parts = [] if _full_name(arguments) else [arguments.first_name, arguments.last_name]
    return all(part in str(party.get("name") or "") for part in parts if part)


def _full_name(arguments: UpsertContact) -> str | None:
    if arguments.first_name and arguments.last_name:
        return f"{arguments.first_name} {arguments.last_name}"
    return arguments.name


def _is_nameless(party: Record) -> bool:
    """Tell whether the name is what was put in its place when the party was made."""
    name = str(party.get("name") or "").casefold()
    others = [each.get("code") for each in party.get("identifiers") or ()]
    others += [
        way for kind in ("email", "phone") for way in list_mechanisms(party.get("contact_mechanisms") or (), kind)
    ]
    return not name or name in {str(each).casefold() for each in others}


def _mechanism_changes(party: Record, arguments: UpsertContact) -> list[Any]:
    changes: list[Any] = []
    email = arguments.new_email or arguments.email
    if email and not has_mechanism(party, "email", email):
        old = [
            one["id"]
            for one in party.get("contact_mechanisms") or ()
            if arguments.new_email and has_mechanism({"contact_mechanisms": [one]}, "email", arguments.email or "")
        ]
        changes.append(["write", old, {"value": email}] if old else ["create", mechanisms({"email": email})])
    if arguments.phone and not has_mechanism(party, "phone", arguments.phone):
        changes.append(["create", mechanisms({"phone": arguments.phone})])
    return changes


def make_line(line: InvoiceLine, options: TrytonOptions) -> dict[str, Any]:
    """Return the line of a customer invoice, but for its account. Raises Failed where no tax is listed for its rate."""
    made: dict[str, Any] = {
        "type": "line",
        "company": options.company,
        "description": line.text,
        "quantity": float(line.quantity),
        "unit_price": encode_decimal(round(line.unit_price, PRICE_DECIMALS)),
    }
    tax = options.invoices.taxes.get(line.tax_rate) if line.tax_rate is not None else None
    if tax is not None:
        made["taxes"] = [["add", [tax]]]
    elif line.tax_rate:
        raise Failed("permanent", "unknown_tax", hint="a line has a tax rate that is not under invoices.taxes")
    return made


def credit_line(line: Record, company: int) -> dict[str, Any]:
    """Return the line that undoes a line."""
    quantity = line.get("quantity")
    values = {
        "type": line["type"],
        "company": company,
        "description": line.get("description"),
        "quantity": -quantity if quantity is not None else None,
        "unit_price": line.get("unit_price"),
        "account": line.get("account"),
        "unit": line.get("unit"),
        "origin": f"account.invoice.line,{line['id']}",
    }
    if taxes := line.get("taxes"):
        values["taxes"] = [["add", [dig(tax, "id") if isinstance(tax, Mapping) else tax for tax in taxes]]]
    return drop_nulls(values)
