"""etracker: the confirmation of leads (`lsconfirm.php`), as its manual of 2014 describes it (chapter 7.3).

Comes in: GET or POST of `/etracker/lsconfirm.php` with et, et_key, et_tonr, and et_sale or et_profit. Goes out: plain
text, `OK` or `ERR: n`: 0, 1, 2 a field is missing; 3 neither state nor amount; 4, 5 a key is wrong; 6 the order is not
known. The status of an error is 200 here (not documented). Any order counts as tracked until `orders` names those that
are. What else is sent, and all other addresses, is 501: users, accounts, certificates and reports are not modelled.
"""

import re
from collections.abc import Mapping
from typing import Any
from urllib.parse import parse_qsl

from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import PlainTextResponse, Response
from starlette.routing import Route
from starlette.types import ASGIApp

from sandbox import fallback
from sandbox.accounts import Accounts
from sandbox.calls import VendorCall

FIELDS = frozenset({"et", "et_key", "et_tonr", "et_sale", "et_profit"})
STATES = {"0": "lead", "1": "sale", "2": "cancelled"}


class Etracker:
    """The vendor: orders, each with its state and amount."""

    name = "etracker"
    prefix = "/etracker"

    def __init__(self, accounts: Accounts) -> None:
        self._accounts = accounts
        self.reset()

    def reset(self) -> None:
        """Forget all orders; any is tracked again."""
        self.orders: dict[str, dict[str, Any]] = {}
        self._tracked: set[str] | None = None

    def tell(self, settings: Mapping[str, Any]) -> None:
        """Take `orders`: the numbers that a page has tracked. Raises ValueError."""
        if strange := set(settings) - {"orders"}:
            raise ValueError(f"etracker has no setting {', '.join(sorted(strange))}")
        self._tracked = {*(self._tracked or ()), *map(str, settings["orders"])}

    def holds(self) -> Mapping[str, Any]:
        """Return the orders that were confirmed."""
        return {"orders": list(self.orders.values())}

    def object_of(self, call: VendorCall) -> str | None:
        """Return the order."""
        told = dict(call.query) | dict(parse_qsl(call.body.decode("latin-1")))
        return f"order:{told['et_tonr']}" if "et_tonr" in told else None

    def error(self, status: int, text: str) -> Response:
        """Return an error."""
        return PlainTextResponse(text, status)

    def app(self) -> ASGIApp:
        """Return the interface."""
        return Starlette(
            routes=[
                Route("/lsconfirm.php", self._confirm, methods=["GET", "POST"]),
                fallback.build_route(self),
            ]
        )

    async def _confirm(self, request: Request) -> Response:
        told = dict(request.query_params) | dict(parse_qsl((await request.body()).decode()))
        if strange := set(told) - FIELDS:
            return self.error(501, f"the sandbox does not model {', '.join(sorted(strange))}")
        if (number := self._find_error(told)) is not None:
            return PlainTextResponse(f"ERR: {number}")
        order = self.orders.setdefault(told["et_tonr"], {"order": told["et_tonr"], "state": "lead", "amount": None})
        if "et_sale" in told:
            order["state"] = STATES[told["et_sale"]]
        if "et_profit" in told:
            order["amount"] = told["et_profit"]
        return PlainTextResponse("OK")

    def _find_error(self, told: Mapping[str, str]) -> int | None:
        """Return the number of what is wrong."""
        for number, name in enumerate(("et", "et_key", "et_tonr")):
            if not told.get(name):
                return number
        right_state = told.get("et_sale") in (None, *STATES)
        right_amount = re.fullmatch(r"\d+(\.\d{1,2})?", told.get("et_profit", "0")) is not None
        if not {"et_sale", "et_profit"} & set(told) or not (right_state and right_amount):
            return 3
        if told["et"] != self._accounts.etracker_account_key:
            return 4
        if told["et_key"] != self._accounts.etracker_api_key:
            return 5
        order = told["et_tonr"]
        known = self._tracked is None or order in self._tracked
        return None if known and len(order) <= 50 and not set(",;") & set(order) else 6
