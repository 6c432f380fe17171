"""An invoicing system with the generic REST preset.

Comes in: HTTP below `/invoicing` with a bearer token: customers, and invoices that are drafts, then final, then
canceled by a cancellation document. Goes out: JSON. Never refuses a second invoice with the same reference unless it is
told to (`unique`), as the systems that were measured do not; never changes a final one.
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
        self._numbered = 0

    def object_of(self, call: VendorCall) -> str | None:
        """Return the customer's e-mail, also for an invoice; of a search for an invoice its reference."""
        parts = call.path.strip("/").split("/")
        values: Mapping[str, Any] = call.query if call.method == "GET" else call.json_object()
        if parts[0] == "customers":
            return crm.identity(self.customers.records.get(parts[1], {}) if len(parts) > 1 else values)
        if parts[0] != "invoices":
            return None
        if len(parts) > 1:
            values = self.invoices.records.get(parts[1], {})
        customer = self.customers.records.get(str(values.get("customer_id")), {})
        reference = values.get("reference")
        return crm.identity(customer) or (f"invoice:{reference}" if reference else None)

    def holds(self) -> Mapping[str, Any]:
        """Return customers and invoices, cancellation documents among them."""
        return {"customers": self.customers.all(), "invoices": self.invoices.all()}

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
        invoice = self.invoices.get(request.path_params["id"])
        if invoice["status"] != "draft":
            raise rest.RestRefusal(409, "Only a draft can be finalised", "status")
        invoice["status"] = "final"
        invoice["number"] = self._number()
        return JSONResponse(invoice)

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
            }
        )
        invoice["canceled_by"] = document["id"]
        return JSONResponse(document, 201)

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
