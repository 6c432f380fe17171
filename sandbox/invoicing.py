"""An invoicing system with the generic REST preset.

Comes in: HTTP below `/invoicing` with a bearer token: customers, invoices that are drafts, then final, then paid or
canceled by a cancellation document, and credit notes on final ones. Goes out: JSON. Never refuses a second invoice with
the same reference unless it is told to (`unique`), as the systems that were measured do not; never changes a final one.
"""

import re
from collections.abc import Mapping
from datetime import date
from decimal import ROUND_HALF_UP, Decimal
from typing import Any

from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.middleware import Middleware
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route
from starlette.types import ASGIApp

from sandbox import crm, rest
from sandbox.accounts import Accounts
from sandbox.calls import VendorCall

CENT = Decimal("0.01")
CURRENCY = re.compile(r"[A-Z]{3}")


class Invoicing(rest.Api):
    """One invoicing system."""

    name = "invoicing"
    prefix = "/invoicing"

    def __init__(self, accounts: Accounts) -> None:
        self._tokens = (accounts.invoicing_token, accounts.rest_token)
        self.reset()

    def reset(self) -> None:
        """Start over empty."""
        super().__init__()
        self.customers = rest.Table("k")
        self.invoices = rest.Table("i")
        self.credit_notes = rest.Table("g")
        self.payments = rest.Table("p")
        self._numbered = 0

    def object_of(self, call: VendorCall) -> str | None:
        """Return the customer's e-mail, also for an invoice; of a search for an invoice its reference."""
        parts = call.path.strip("/").split("/")
        values: Mapping[str, Any] = call.query if call.method == "GET" else call.json_object()
        if parts[0] == "customers":
            return crm.identity(self.customers.records.get(parts[1], {}) if len(parts) > 1 else values)
        tables = {"invoices": self.invoices, "credit-notes": self.credit_notes}
        if parts[0] not in tables:
            return None
        if len(parts) > 1:
            values = tables[parts[0]].records.get(parts[1], {})
        customer = self.customers.records.get(str(values.get("customer_id")), {})
        reference = values.get("reference")
        return crm.identity(customer) or (f"invoice:{reference}" if reference else None)

    def holds(self) -> Mapping[str, Any]:
        """Return customers, invoices with the cancellation documents among them, credit notes and payments."""
        return {
            "customers": self.customers.all(),
            "invoices": self.invoices.all(),
            "credit_notes": self.credit_notes.all(),
            "payments": self.payments.all(),
        }

    def app(self) -> ASGIApp:
        """Return the API."""
        return Starlette(
            routes=[
                Route("/customers", self._find_customers, methods=["GET"]),
                Route("/customers", self._create_customer, methods=["POST"]),
                Route("/customers/{id}", self._show_customer, methods=["GET"]),
                Route("/customers/{id}", self._change_customer, methods=["PATCH"]),
                Route("/invoices", self._find_invoices, methods=["GET"]),
                Route("/invoices", self._create_invoice, methods=["POST"]),
                Route("/invoices/{id}", self._show_invoice, methods=["GET"]),
                Route("/invoices/{id}", self._delete_invoice, methods=["DELETE"]),
                Route("/invoices/{id}/finalise", self._finalise, methods=["POST"]),
                Route("/invoices/{id}/cancel", self._cancel, methods=["POST"]),
                Route("/invoices/{id}/payments", self._list_payments, methods=["GET"]),
                Route("/invoices/{id}/payments", self._add_payment, methods=["POST"]),
                Route("/credit-notes", self._find_credit_notes, methods=["GET"]),
                Route("/credit-notes", self._create_credit_note, methods=["POST"]),
                Route("/credit-notes/{id}", self._show_credit_note, methods=["GET"]),
                Route("/credit-notes/{id}/finalise", self._finalise_credit_note, methods=["POST"]),
            ],
            middleware=[Middleware(rest.Door, tokens=self._tokens, answers=lambda: self.answers)],
            exception_handlers={rest.RestRefusal: rest.refuse, HTTPException: rest.refuse},
        )

    # -- customers

    async def _find_customers(self, request: Request) -> Response:
        return self.search(request, self.customers, crm.IDENTITIES)

    async def _create_customer(self, request: Request) -> Response:
        body = await rest.read_object(request)
        _check_customer(body)
        if crm.identity(body) is None:
            raise rest.RestRefusal(422, "A customer needs an email, an external_id or a phone", "email")
        self.check_unique(self.customers, body, "email")
        return JSONResponse(self.customers.add(body), 201)

    async def _show_customer(self, request: Request) -> Response:
        return JSONResponse(self.customers.get(request.path_params["id"]))

    async def _change_customer(self, request: Request) -> Response:
        customer = self.customers.get(request.path_params["id"])
        body = await rest.read_object(request)
        _check_customer(body)
        rest.merge(customer, body)
        return JSONResponse(customer)

    # -- invoices

    async def _find_invoices(self, request: Request) -> Response:
        return self.search(request, self.invoices, ("reference", "customer_id", "status"))

    async def _create_invoice(self, request: Request) -> Response:
        """Make a draft: no number yet."""
        body = await rest.read_object(request)
        reference, customer_id = body.get("reference"), body.get("customer_id")
        if not isinstance(reference, str) or not 0 < len(reference) <= 255:
            raise rest.RestRefusal(422, "An invoice needs a reference of at most 255 characters", "reference")
        if not isinstance(customer_id, str) or customer_id not in self.customers.records:
            raise rest.RestRefusal(422, "customer_id is no customer", "customer_id")
        currency = body.get("currency", "EUR")
        if not isinstance(currency, str) or CURRENCY.fullmatch(currency) is None:
            raise rest.RestRefusal(422, "currency must be three capital letters", "currency")
        self.check_unique(self.invoices, body, "reference")
        net, gross = _totals(body.get("lines"))
        invoice = self.invoices.add(
            {
                "type": "invoice",
                "status": "draft",
                "number": None,
                "reference": reference,
                "customer_id": customer_id,
                "lines": body["lines"],
                "due": _due(body.get("due")),
                "currency": currency,
                "net": net,
                "gross": gross,
                "due_amount": gross,
            }
        )
        return JSONResponse(invoice, 201)

    async def _show_invoice(self, request: Request) -> Response:
        return JSONResponse(self.invoices.get(request.path_params["id"]))

    async def _delete_invoice(self, request: Request) -> Response:
        invoice = self.invoices.get(request.path_params["id"])
        if invoice["status"] != "draft":
            raise rest.RestRefusal(409, "Only a draft can be deleted", "status")
        del self.invoices.records[invoice["id"]]
        return Response(status_code=204)

    async def _finalise(self, request: Request) -> Response:
        return self._number_draft(self.invoices.get(request.path_params["id"]))

    def _number_draft(self, document: rest.Record) -> Response:
        if document["status"] != "draft":
            raise rest.RestRefusal(409, "Only a draft can be finalised", "status")
        document["status"] = "final"
        document["number"] = self._number()
        return JSONResponse(document)

    async def _cancel(self, request: Request) -> Response:
        """Cancel a final invoice: 201 with the cancellation document, a numbered one of its own."""
        invoice = self.invoices.get(request.path_params["id"])
        if invoice["type"] != "invoice" or invoice["status"] != "final":
            raise rest.RestRefusal(409, "Only a final invoice can be canceled; a draft is deleted", "status")
        body = await rest.read_object(request) if await request.body() else {}
        invoice["status"] = "canceled"
        document = self.invoices.add(
            {
                **{name: invoice[name] for name in ("reference", "customer_id", "currency", "lines")},
                "type": "cancellation",
                "status": "final",
                "number": self._number(),
                "cancels": invoice["id"],
                "reason": body.get("reason"),
                "due": None,
                "net": -invoice["net"],
                "gross": -invoice["gross"],
                "due_amount": 0,
            }
        )
        invoice["due_amount"] = 0
        invoice["canceled_by"] = document["id"]
        return JSONResponse(document, 201)

    # -- payments

    async def _list_payments(self, request: Request) -> Response:
        invoice = self.invoices.get(request.path_params["id"])
        return rest.page(request, self.payments.find(lambda payment: payment["invoice_id"] == invoice["id"], 0))

    async def _add_payment(self, request: Request) -> Response:
        """Take a payment for a final invoice; one that is paid in full is `paid`."""
        invoice = self.invoices.get(request.path_params["id"])
        body = await rest.read_object(request)
        if invoice["status"] not in ("final", "paid"):
            raise rest.RestRefusal(409, "Only a final invoice can be paid", "status")
        amount = _decimal(body.get("amount"), "amount")
        invoice["due_amount"] = float(Decimal(str(invoice["due_amount"])) - amount)
        if invoice["due_amount"] <= 0:
            invoice["status"] = "paid"
        return JSONResponse(self.payments.add({**body, "invoice_id": invoice["id"]}), 201)

    # -- credit notes

    async def _find_credit_notes(self, request: Request) -> Response:
        return self.search(request, self.credit_notes, ("reference", "invoice_id"))

    async def _show_credit_note(self, request: Request) -> Response:
        return JSONResponse(self.credit_notes.get(request.path_params["id"]))

    async def _create_credit_note(self, request: Request) -> Response:
        """Make a draft for a final invoice: its lines, or those that are sent."""
        body = await rest.read_object(request)
        invoice = self.invoices.get(str(body.get("invoice_id")))
        if invoice["status"] not in ("final", "paid"):
            raise rest.RestRefusal(409, "Only a final invoice can be credited", "invoice_id")
        if not isinstance(body.get("reference"), str) or not body["reference"]:
            raise rest.RestRefusal(422, "A credit note needs a reference", "reference")
        self.check_unique(self.credit_notes, body, "reference")
        lines = body.get("lines", invoice["lines"])
        net, gross = _totals(lines)
        made = {**body, "status": "draft", "number": None, "lines": lines, "net": -net, "gross": -gross}
        return JSONResponse(self.credit_notes.add(made), 201)

    async def _finalise_credit_note(self, request: Request) -> Response:
        return self._number_draft(self.credit_notes.get(request.path_params["id"]))

    def _number(self) -> str:
        self._numbered += 1
        return f"R-{self._numbered:05}"


def _check_customer(body: rest.Record) -> None:
    if "id" in body:
        raise rest.RestRefusal(422, "The id is the system's own", "id")
    email = body.get("email")
    if email is not None and (not isinstance(email, str) or crm.EMAIL.fullmatch(email) is None):
        raise rest.RestRefusal(422, "The email is not an address", "email")


def _due(value: object) -> str | None:
    if value is None:
        return None
    try:
        return date.fromisoformat(str(value)).isoformat()
    except ValueError:
        raise rest.RestRefusal(422, "due must be a date: 2026-12-01", "due") from None


def _totals(lines: object) -> tuple[float, float]:
    """Return net and gross; `unit_price` is net, `tax_rate` a fraction from 0 to 1."""
    if not isinstance(lines, list) or not lines:
        raise rest.RestRefusal(422, "An invoice needs at least one line", "lines")
    net = gross = Decimal(0)
    for position, line in enumerate(lines):
        if not isinstance(line, dict) or not isinstance(line.get("text"), str) or not line["text"]:
            raise rest.RestRefusal(422, "A line needs a text", f"lines[{position}].text")
        price = _decimal(line.get("unit_price"), f"lines[{position}].unit_price")
        quantity = _decimal(line.get("quantity", 1), f"lines[{position}].quantity")
        rate = _decimal(line.get("tax_rate", 0), f"lines[{position}].tax_rate")
        if not 0 <= rate <= 1:
            raise rest.RestRefusal(422, "tax_rate is a fraction: 0.19", f"lines[{position}].tax_rate")
        amount = (price * quantity).quantize(CENT, ROUND_HALF_UP)
        net += amount
        gross += (amount * (1 + rate)).quantize(CENT, ROUND_HALF_UP)
    return float(net), float(gross)


def _decimal(value: object, field: str) -> Decimal:
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise rest.RestRefusal(422, f"{field} must be a number", field)
    return Decimal(str(value))
