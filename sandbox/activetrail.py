"""ActiveTrail: webhooks and the list of contacts of its REST API, as far as they are documented; the rest is refused.

Comes in: HTTP below `/activetrail/api` with the key in `Authorization`. Goes out: JSON in snake_case, as its pages
"POST api/webhooks" and "GET api/webhooks" show it. Errors are `{"Message"}` (inferred: ASP.NET Web API). PUT and
DELETE have no body. Everything else is 501.
"""

from collections.abc import Mapping
from typing import Any

from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route
from starlette.types import ASGIApp

from sandbox.accounts import Accounts
from sandbox.calls import VendorCall

#: What the pages show of a webhook that is written.
MEMBERS = frozenset({"name", "url", "event_type", "format", "is_active", "stateid", "parameters"})
#: "GET api/contacts": states of contacts, and the largest page.
STATES = frozenset(["ACTIVE", "ALL", "BOUNCED", "CUSTOMER_REQUEST", "INACTIVE", "QUARANTINED", "SPAM_COMPLIENT"])
PAGE = 100
NEEDED = ("name", "url", "event_type")


class ActiveTrail:
    """The vendor: webhooks, and contacts that somebody put there."""

    name = "activetrail"
    prefix = "/activetrail/api"

    def __init__(self, accounts: Accounts) -> None:
        self._key = accounts.activetrail_api_key
        self.webhooks: dict[int, dict[str, Any]] = {}
        self.contacts: list[dict[str, Any]] = []

    def reset(self) -> None:
        """Forget all webhooks and contacts."""
        self.webhooks, self.contacts = {}, []

    def tell(self, settings: Mapping[str, Any]) -> None:
        """Take `contacts` that exist from now on, each with `state` and `changed` beside. Raises ValueError."""
        if strange := set(settings) - {"contacts"}:
            raise ValueError(f"activetrail has no setting {', '.join(sorted(strange))}")
        self.contacts += settings.get("contacts", [])

    def holds(self) -> Mapping[str, Any]:
        """Return the webhooks and the contacts."""
        return {"webhooks": list(self.webhooks.values()), "contacts": self.contacts}

    def object_of(self, call: VendorCall) -> str | None:
        """Return nothing: contacts are only read."""
        return None

    def error(self, status: int, text: str) -> Response:
        """Return an error."""
        return JSONResponse({"Message": text}, status)

    def app(self) -> ASGIApp:
        """Return the API."""
        every = ["GET", "POST", "PUT", "DELETE", "PATCH"]
        return Starlette(
            routes=[
                Route("/contacts", self._list_contacts, methods=["GET"]),
                Route("/webhooks", self._webhooks, methods=["GET", "POST"]),
                Route("/webhooks/{id:int}", self._webhook, methods=["GET", "PUT", "DELETE"]),
                Route("/{path:path}", self._not_modelled, methods=every),
            ]
        )

    async def _not_modelled(self, request: Request) -> Response:
        return self.error(501, "the sandbox does not model this")

    async def _list_contacts(self, request: Request) -> Response:
        """ "GET api/contacts": of a state and of days; which date of a contact counts is not documented."""
        if request.headers.get("authorization") != self._key:
            return self.error(401, "Authorization has been denied for this request.")
        asked = request.query_params
        if strange := set(asked) - {"CustomerStates", "FromDate", "ToDate", "Page", "Limit"}:
            return self.error(501, f"the sandbox does not model {', '.join(sorted(strange))}")
        page, limit, state = asked.get("Page", "1"), asked.get("Limit", "20"), asked.get("CustomerStates")
        if state not in STATES or not (page.isdigit() and limit.isdigit() and 1 <= int(limit) <= PAGE and int(page)):
            return self.error(400, "The request is invalid.")
        since, until = asked.get("FromDate", ""), asked.get("ToDate", "9999")
        found = [
            {name: value for name, value in contact.items() if name not in ("state", "changed")}
            for contact in self.contacts
            if state in ("ALL", contact["state"]) and since <= contact["changed"][:10] <= until
        ]
        return JSONResponse(found[(int(page) - 1) * int(limit) : int(page) * int(limit)])

    async def _webhooks(self, request: Request) -> Response:
        if request.headers.get("authorization") != self._key:
            return self.error(401, "Authorization has been denied for this request.")
        if request.method == "GET":
            return JSONResponse(list(self.webhooks.values()))
        number = max(self.webhooks, default=40) + 1
        return await self._save(request, number) or JSONResponse(self.webhooks[number])

    async def _webhook(self, request: Request) -> Response:
        if request.headers.get("authorization") != self._key:
            return self.error(401, "Authorization has been denied for this request.")
        number = request.path_params["id"]
        if number not in self.webhooks:
            return self.error(404, "not found")
        if request.method == "GET":
            return JSONResponse(self.webhooks[number])
        if request.method == "PUT":
            return await self._save(request, number) or Response(status_code=200)
        del self.webhooks[number]
        return Response(status_code=200)

    async def _save(self, request: Request, number: int) -> Response | None:
        """Keep what was sent, or return why not."""
        try:
            told = await request.json()
        except ValueError:
            told = None
        if not isinstance(told, dict) or any(not told.get(name) for name in NEEDED):
            return self.error(400, "The request is invalid.")
        if strange := set(told) - MEMBERS:
            return self.error(501, f"the sandbox does not model {', '.join(sorted(strange))}")
        self.webhooks[number] = {**told, "id": number, "target_type_id": None}
        return None
