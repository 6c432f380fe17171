"""The control API of the sandbox, below `/_sandbox`.

Comes in: HTTP without a key. Goes out: JSON: the vendors' stored data, the log of requests, the active faults. Never
part of a vendor's API. A further account, below `/of/NAME`, has one of its own, with faults and a log of its own; only
state and reset are about all of them.

- `GET /_sandbox/state`, `GET /_sandbox/state/{vendor}`: all stored data.
- `POST /_sandbox/faults`: `{vendor, method?, path?, object?, status?, body?, content_type?, retry_after?, delay?,
  reset?, after_effect?, times?}`, one call unless `times` says otherwise (null: all); or settings that stay:
  `{vendor, find_lag?, idempotency?, fuzzy?, hidden?, null?, unique?, rate?: {requests, per}, unsubscribe_lag?,
  default_doi_mailing?, calls?, leads?, daily?, tokens?, campaigns?}`.
- `GET /_sandbox/faults`, `DELETE /_sandbox/faults?vendor=`: list, clear. Settings are put back by a reset.
- `GET /_sandbox/requests?vendor=&object=&after=`, `DELETE /_sandbox/requests`: the log.
- `POST /_sandbox/reset?vendor=`: delete everything, of all vendors or one, including log and faults.
- `POST /_sandbox/maileon/confirm?email=`: click the link in the DOI mail (GET as well, as a link is clicked).
"""

from collections.abc import Mapping
from typing import Any

from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from sandbox import faults
from sandbox.accounts import Accounts
from sandbox.activetrail import ActiveTrail
from sandbox.calls import Vendor
from sandbox.crm import Crm
from sandbox.etracker import Etracker
from sandbox.faults import SandboxFaults
from sandbox.gate import CallLimit, VendorGate
from sandbox.hubspot import Hubspot
from sandbox.invoicing import Invoicing
from sandbox.journal import Journal
from sandbox.lexware import Lexware
from sandbox.magnetis import Magnetis
from sandbox.mail import MailServer
from sandbox.maileon import Maileon
from sandbox.pipedrive import Pipedrive
from sandbox.seminardesk import SeminarDesk
from sandbox.webhook import WebhookReceiver

#: Settings that last until a reset, unlike faults, which are used up.
SETTINGS = frozenset(
    {
        "calls",
        "campaigns",
        "daily",
        "default_doi_mailing",
        "find_lag",
        "fuzzy",
        "hidden",
        "idempotency",
        "leads",
        "null",
        "orders",
        "rate",
        "tokens",
        "unique",
        "unsubscribe_lag",
    }
)


class SandboxState:
    """All vendors, with faults and log."""

    def __init__(self, accounts: Accounts | None = None) -> None:
        self.accounts = accounts or Accounts()
        self.maileon = Maileon(self.accounts)
        self.seminardesk = SeminarDesk(self.accounts)
        self.crm = Crm(self.accounts)
        self.invoicing = Invoicing(self.accounts)
        self.magnetis = Magnetis(self.accounts)
        self.activetrail = ActiveTrail(self.accounts)
        self.lexware = Lexware(self.accounts)
        self.pipedrive = Pipedrive(self.accounts)
        self.webhook = WebhookReceiver(self.accounts)
        self.hubspot = Hubspot(self.accounts)
        self.etracker = Etracker(self.accounts)
        self.mail = MailServer(self.accounts)
        everybody: tuple[Vendor, ...] = (
            self.maileon,
            self.seminardesk,
            self.crm,
            self.invoicing,
            self.magnetis,
            self.activetrail,
            self.lexware,
            self.pipedrive,
            self.webhook,
            self.hubspot,
            self.etracker,
            self.mail,
        )
        self.vendors = {vendor.name: vendor for vendor in everybody}
        self.faults = SandboxFaults()
        self.journal = Journal()
        self.gates = {name: VendorGate(vendor, self.faults, self.journal) for name, vendor in self.vendors.items()}
        #: Further accounts: all vendors once more, for the destinations that are not the first of their kind.
        self.others: dict[str, SandboxState] = {}

    def open_account(self, name: str) -> "SandboxState":
        """Return a further account, which begins empty."""
        if name not in self.others:
            self.others[name] = SandboxState(self.accounts)
        return self.others[name]

    def holds(self) -> dict[str, Any]:
        """Return the stored data of every vendor; of further accounts below `of`."""
        own = {name: dict(vendor.holds()) for name, vendor in self.vendors.items()}
        others = {name: state.holds() for name, state in self.others.items()}
        return {**own, "of": others} if others else own

    def close(self) -> None:
        """Stop what listens beside the server of HTTP."""
        for state in (self, *self.others.values()):
            state.mail.close()

    def reset(self, name: str | None = None) -> None:
        """Reset one vendor or all, with their faults; if all, the log too."""
        for vendor in self.vendors.values():
            if name in (None, vendor.name):
                vendor.reset()
                self.gates[vendor.name].rate = None
        self.faults.clear(name)
        if name is None:
            self.journal.clear()
        for state in self.others.values():
            state.reset(name)

    def tell(self, name: str, settings: Mapping[str, Any]) -> None:
        """Pass settings to a vendor. Raises ValueError."""
        others = {setting: value for setting, value in settings.items() if setting != "rate"}
        if "rate" in settings:
            rate = settings["rate"]
            try:
                self.gates[name].rate = None if rate is None else CallLimit(int(rate["requests"]), float(rate["per"]))
            except (TypeError, KeyError) as exc:
                raise ValueError("rate must be {requests, per} or null") from exc
        self.vendors[name].tell(others)

    def routes(self) -> list[Route]:
        """Return the routes below `/_sandbox`."""
        return [
            Route("/state", self._state, methods=["GET"]),
            Route("/state/{vendor}", self._state_of, methods=["GET"]),
            Route("/faults", self._list_faults, methods=["GET"]),
            Route("/faults", self._add_fault, methods=["POST"]),
            Route("/faults", self._clear_faults, methods=["DELETE"]),
            Route("/requests", self._requests, methods=["GET"]),
            Route("/requests", self._clear_requests, methods=["DELETE"]),
            Route("/reset", self._reset, methods=["POST"]),
            Route("/maileon/confirm", self._confirm, methods=["GET", "POST"]),
        ]

    async def _state(self, request: Request) -> Response:
        return JSONResponse(self.holds())

    async def _state_of(self, request: Request) -> Response:
        return JSONResponse(self._vendor(request.path_params["vendor"]).holds())

    async def _list_faults(self, request: Request) -> Response:
        return JSONResponse({"faults": self.faults.listed()})

    async def _add_fault(self, request: Request) -> Response:
        try:
            order = await request.json()
        except ValueError as exc:
            raise HTTPException(400, "The body is not valid JSON") from exc
        if not isinstance(order, dict):
            raise HTTPException(400, "A fault is a JSON object")
        settings = {name: order.pop(name) for name in SETTINGS & set(order)}
        try:
            if settings:
                self.tell(self._vendor(order.get("vendor")).name, settings)
            if not settings or set(order) - {"vendor"}:
                self.faults.add(faults.read(order, frozenset(self.vendors)))
        except (ValueError, TypeError, faults.FaultUnknown) as exc:
            raise HTTPException(400, str(exc)) from exc
        return JSONResponse({"faults": self.faults.listed()}, 201)

    async def _clear_faults(self, request: Request) -> Response:
        self.faults.clear(request.query_params.get("vendor"))
        return Response(status_code=204)

    async def _requests(self, request: Request) -> Response:
        after = request.query_params.get("after", "0")
        if not (after.isascii() and after.isdigit()):
            raise HTTPException(400, "after is the number of a request")
        query = request.query_params
        entries = [one.as_json() for one in self.journal.entries(query.get("vendor"), query.get("object"), int(after))]
        return JSONResponse({"requests": entries, "most_at_once": self.journal.most_at_once()})

    async def _clear_requests(self, request: Request) -> Response:
        self.journal.clear()
        return Response(status_code=204)

    async def _reset(self, request: Request) -> Response:
        name = request.query_params.get("vendor")
        self.reset(None if name is None else self._vendor(name).name)
        return Response(status_code=204)

    async def _confirm(self, request: Request) -> Response:
        contact = self.maileon.confirm(request.query_params.get("email", ""))
        if contact is None:
            raise HTTPException(404, "No DOI mail is out for this address")
        return JSONResponse({"email": contact.email, "permission": contact.permission})

    def _vendor(self, name: object) -> Vendor:
        vendor = self.vendors.get(str(name))
        if vendor is None:
            raise HTTPException(404, f"There is no vendor {name}; there are {', '.join(self.vendors)}")
        return vendor
