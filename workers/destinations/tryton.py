"""Tryton 8, over its REST API: parties with their addresses, notes, customer invoices and their cancellation.

Takes the actions of `contacts` and `invoices`; returns Done or raises Failed.
Never creates before it has searched, since Tryton has no uniqueness here, and never trusts a status alone: some lie.

Facts: measured on trytond 8.2 (tests/tryton); `trytond/protocols/rest.py` is the API's own text.
"""

import base64
import json
from collections.abc import Mapping, Sequence
from decimal import Decimal
from types import MappingProxyType
from typing import Any

from pydantic import Field

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
    open_base,
)
from workers.destinations.classify import ErrorRule, classify
from workers.destinations.contacts import ADD_NOTE, UPSERT_CONTACT, AddNote, ContactAddress, UpsertContact
from workers.destinations.invoices import CANCEL_INVOICE, CREATE_INVOICE, CancelInvoice, CreateInvoice, Customer
from workers.http import HiddenHeaders, Http, HttpAnswer, HttpExchange, build_url
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

#: Where somebody is called; Tryton tells them apart by looking at the number, if it can.
PHONES = ["phone", "mobile"]

#: What of a party is needed to see what an upsert changes.
PARTY_FIELDS = (
    "name",
    "addresses.id",
    "contact_mechanisms.type",
    "contact_mechanisms.value",
    "contact_mechanisms.value_compact",
    "identifiers.code",
)

INVOICE_FIELDS = ("state", "number", "reference")

#: Of an invoice, what its cancellation document repeats.
REPEATED = ("party", "invoice_address", "currency", "account", "journal", "payment_term")


class InvoiceOptions(DestinationOptions):
    """How customer invoices are made. Numbers are Tryton's ids; what is absent is what the company has set."""

    revenue_account: int | None = Field(default=None, description="Account of the lines.")
    receivable_account: int | None = Field(default=None, description="Account that the customer owes on.")
    journal: int | None = Field(default=None, description="Journal; default: the first one for revenue.")
    payment_term: int | None = None
    taxes: Mapping[Decimal, int] = Field(default={}, description="Rate as a fraction: the id of the tax. 0.19: 1")
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


KIND = DestinationKind(
    name="tryton",
    about="Tryton 8 as CRM and invoicing system.",
    options=TrytonOptions,
    actions={kind.name: kind for kind in (UPSERT_CONTACT, ADD_NOTE, CREATE_INVOICE, CANCEL_INVOICE)},
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
        keys = drop_nulls({"external_id": arguments.external_id, "email": arguments.email})
        country = await visit.country(arguments.address)
        party = await self._find_party(visit, keys)
        if party is None:
            party = await visit.create("party.party", new_party(arguments, country), PARTY_FIELDS)
            created = True
        else:
            created = False
            if changes := party_changes(party, arguments, country):
                await visit.update("party.party", party["id"], changes)
        id = str(party["id"])
        await self._remember_party(keys | drop_nulls({"email": arguments.new_email}), id)
        return Done(result={"id": id, "created": created}, status=visit.status)

    async def _add_note(self, visit: "TrytonVisit", arguments: AddNote) -> Done:
        keys = drop_nulls({"email": arguments.email, "phone": arguments.phone})
        party = await self._find_party(visit, keys)
        if party is None:
            bare = {"name": arguments.email or arguments.phone, "contact_mechanisms": [["create", mechanisms(keys)]]}
            party = await visit.create("party.party", bare, PARTY_FIELDS)
            await self._remember_party(keys, str(party["id"]))
        resource = f"party.party,{party['id']}"
        if visit.delivery.doubtful or visit.delivery.attempt > 1:
            same = [["resource", "=", resource], ["message", "=", arguments.text]]
            for note in await visit.search("ir.note", same, ()):
                result = {"id": str(note["id"]), "contact": str(party["id"])}
                return Done(result=result, note="already_there", status=visit.status)
        note = await visit.create("ir.note", {"resource": resource, "message": arguments.text}, ())
        return Done(result={"id": str(note["id"]), "contact": str(party["id"])}, status=visit.status)

    async def _find_party(self, visit: "TrytonVisit", keys: Mapping[str, str]) -> Record | None:
        for name, value in keys.items():
            if known := await self._memory.get(self._key(name, value)):
                party = await visit.get("party.party", known, PARTY_FIELDS)
                if party is not None:
                    return party
                await self._memory.set(self._key(name, value), "", 1)
        for name, value in keys.items():
            for party in await visit.search("party.party", party_domain(name, value), PARTY_FIELDS):
                if name == "external_id" or has_mechanism(party, name, value):
                    return party
        return None

    async def _remember_party(self, keys: Mapping[str, str], id: str) -> None:
        for name, value in keys.items():
            await self._memory.set(self._key(name, value), id, ID_DAYS)

    def _key(self, name: str, value: str) -> str:
        return f"{self._name}:party:{name}:{value}"

    # Invoices

    async def _create_invoice(self, visit: "TrytonVisit", arguments: CreateInvoice) -> Done:
        invoice = await self._find_invoice(visit, arguments.reference)
        created = invoice is None
        if invoice is None:
            lines = [self._line(line.text, line.quantity, line.unit_price, line.tax_rate) for line in arguments.lines]
            party, place = await self._find_or_create_customer(visit, arguments.customer)
            accounts = await self._accounts(visit)
            for line in lines:
                line["account"] = accounts["revenue"]
            header = {
                "party": party,
                "invoice_address": place,
                "currency": await visit.currency(arguments.currency),
                "account": accounts["receivable"],
                "journal": accounts["journal"],
                "payment_term": self._options.invoices.payment_term,
                "reference": arguments.reference,
                "lines": [["create", lines]],
            }
            invoice = await self._make(visit, header)
        if self._options.invoices.post and invoice["state"] in ("draft", "validated"):
            invoice = await visit.act("account.invoice", invoice["id"], "post", INVOICE_FIELDS)
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

    async def _cancel_invoice(self, visit: "TrytonVisit", arguments: CancelInvoice) -> Done:
        invoice = await self._find_invoice(visit, arguments.reference)
        if invoice is None:
            return Done(note="nothing_to_cancel", status=visit.status)
        id = str(invoice["id"])
        if invoice["state"] == "cancelled":
            return Done(result={"id": id}, note="already_cancelled", status=visit.status)
        if invoice["state"] in ("draft", "validated"):
            await visit.delete("account.invoice", invoice["id"])
            return Done(result={"id": id}, note="draft_deleted", status=visit.status)
        # Tryton's own wizard for credits cannot be reached over REST: the document is made as the wizard makes it.
        reference = arguments.reference + self._options.invoices.cancel_suffix
        document = await self._find_invoice(visit, reference)
        if document is None:
            document = await self._make(visit, await self._credit(visit, invoice["id"], reference, arguments.reason))
        elif document["state"] == "posted":
            return Done(result={"id": id}, note="already_cancelled", status=visit.status)
        await visit.act("account.invoice", document["id"], "post", INVOICE_FIELDS)
        return Done(result={"id": id, "document": str(document["id"])}, status=visit.status)

    async def _find_invoice(self, visit: "TrytonVisit", reference: str) -> Record | None:
        domain = [
            ["type", "=", "out"],
            ["company", "=", self._options.company],
            ["reference", "=", reference],
        ]
        return next(iter(await visit.search("account.invoice", domain, INVOICE_FIELDS)), None)

    async def _make(self, visit: "TrytonVisit", header: Record) -> Record:
        """Create a customer invoice; its lines belong to the same company."""
        return await visit.create(
            "account.invoice", drop_nulls(header) | {"type": "out", "company": self._options.company}, INVOICE_FIELDS
        )

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

    async def _find_or_create_customer(self, visit: "TrytonVisit", customer: Customer) -> tuple[int, int]:
        """Return party and address; Tryton makes no invoice without an address, be it an empty one."""
        keys = {"email": customer.email}
        party = await self._find_party(visit, keys)
        country = await visit.country(customer.address)
        place = address_values(customer.address, country)
        if party is None:
            party = await visit.create(
                "party.party",
                {
                    "name": customer.name or customer.email,
                    "contact_mechanisms": [["create", mechanisms(keys)]],
                    "addresses": [["create", [place]]],
                },
                PARTY_FIELDS,
            )
        elif not party["addresses"]:
            party = await visit.update("party.party", party["id"], {"addresses": [["create", [place]]]})
        await self._remember_party(keys, str(party["id"]))
        return party["id"], party["addresses"][0]["id"]

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

    def _line(self, text: str, quantity: Decimal, unit_price: Decimal, tax_rate: Decimal | None) -> dict[str, Any]:
        line: dict[str, Any] = {
            "type": "line",
            "company": self._options.company,
            "description": text,
            "quantity": float(quantity),
            "unit_price": encode_decimal(unit_price),
        }
        if tax_rate:
            tax = self._options.invoices.taxes.get(tax_rate)
            if tax is None:
                raise Failed("permanent", "unknown_tax", hint="a line has a tax rate that is not under invoices.taxes")
            line["taxes"] = [["add", [tax]]]
        return line

    methods = MappingProxyType(
        {
            "upsert_contact": _upsert_contact,
            "add_note": _add_note,
            "create_invoice": _create_invoice,
            "cancel_invoice": _cancel_invoice,
        }
    )


DESTINATION = DestinationType(KIND, TrytonClient)


class TrytonVisit(Visit):
    """The requests of one delivery to one Tryton."""

    def __init__(self, exchange: HttpExchange, delivery: Attempt, base: str, headers: Mapping[str, str]) -> None:
        super().__init__(exchange, delivery)
        self._base = base
        self._headers = headers
        #: Status of the latest answer.
        self.status = 0

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
        return self._record(answer)

    async def create(self, model: str, values: Record, fields: Sequence[str]) -> Record:
        """Create a record and return it."""
        url = build_url(self._base, "/{model}", _query(fields), model=model)
        answer = await self._try_send("POST", url, values, creates=True)
        return self._record(answer, creates=True)

    async def update(self, model: str, id: int, values: Record) -> Record:
        """Write a record and return it, as a party."""
        url = build_url(self._base, "/{model}/{id}", _query(PARTY_FIELDS), model=model, id=id)
        return self._record(await self._try_send("PUT", url, values))

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

    async def _try_send(self, method: str, url: str, body: Any = None, *, creates: bool = False) -> HttpAnswer:
        answer = await self.exchange.request(method, url, headers=self._headers, json=body, creates=creates)
        self.status = answer.status
        return answer

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


def _query(fields: Sequence[str], more: Sequence[tuple[str, str]] = ()) -> list[tuple[str, str]]:
    return [*more, *(("f", field) for field in fields)]


def encode(value: Any) -> str:
    """Return JSON as Tryton takes it in queries and headers."""
    return base64.urlsafe_b64encode(json.dumps(value).encode()).decode()


def encode_decimal(value: Decimal) -> dict[str, str]:
    """Return an amount as Tryton's JSON has it."""
    return {"__class__": "Decimal", "decimal": str(value)}


def party_domain(name: str, value: str) -> list[Any]:
    """Return the search for a party by external id, e-mail or phone. How capital letters are stored does not matter."""
    if name == "external_id":
        return [["identifiers.code", "=", value]]
    if name == "phone":
        return [["contact_mechanisms", "where", [["type", "in", PHONES], ["value_compact", "=", value]]]]
    escaped = value.replace("\\", "\\\\").replace("%", "\\%").replace("_", "\\_")
    return [["contact_mechanisms", "where", [["type", "=", "email"], ["value", "ilike", escaped]]]]


def has_mechanism(party: Record, type: str, value: str) -> bool:
    """Tell whether the party can be reached there."""
    types, same = (PHONES, addresses.same_phone) if type == "phone" else ([type], addresses.same_email)
    return any(
        one.get("type") in types
        and any(
            isinstance(theirs, str) and same(theirs, value) for theirs in (one.get("value"), one.get("value_compact"))
        )
        for one in party.get("contact_mechanisms") or ()
    )


def mechanisms(keys: Mapping[str, str | None]) -> list[dict[str, str]]:
    """Return e-mail and phone as Tryton keeps them."""
    return [{"type": name, "value": keys[name] or ""} for name in ("email", "phone") if keys.get(name)]


def address_values(place: ContactAddress | None, country: int | None) -> dict[str, Any]:
    """Return the parts of an address that are given."""
    if place is None:
        return {}
    values = {"street_unstructured": place.street, "postal_code": place.postal_code, "city": place.city}
    return drop_nulls(values | {"country": country})


def new_party(arguments: UpsertContact, country: int | None) -> dict[str, Any]:
    """Return what a new party has."""
    email = arguments.new_email or arguments.email
    name = " ".join(filter(None, (arguments.first_name, arguments.last_name)))
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

    A party has one name: it is written only when both of its parts are given.
    """
    changes: dict[str, Any] = dict(drop_nulls(arguments.custom))
    if arguments.first_name and arguments.last_name:
        name = f"{arguments.first_name} {arguments.last_name}"
        if name != party.get("name"):
            changes["name"] = name
    if ways := _mechanism_changes(party, arguments):
        changes["contact_mechanisms"] = ways
    if place := address_values(arguments.address, country):
        known = party.get("addresses") or ()
        changes["addresses"] = [["write", [known[0]["id"]], place]] if known else [["create", [place]]]
    codes = [one.get("code") for one in party.get("identifiers") or ()]
    if arguments.external_id is not None and arguments.external_id not in codes:
        changes["identifiers"] = [["create", [{"type": None, "code": arguments.external_id}]]]
    return changes


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
