"""ActiveTrail: the webhooks of its REST API, as far as they are documented; the rest is refused.

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
NEEDED = ("name", "url", "event_type")


class ActiveTrail:
    """The vendor: webhooks."""

    name = "activetrail"
    prefix = "/activetrail/api"

    def __init__(self, accounts: Accounts) -> None:
        self._key = accounts.activetrail_api_key
        self.webhooks: dict[int, dict[str, Any]] = {}

    def reset(self) -> None:
        """Forget all webhooks."""
        self.webhooks = {}

    def tell(self, settings: Mapping[str, Any]) -> None:
        """Take no setting. Raises ValueError."""
        raise ValueError(f"activetrail has no setting {', '.join(sorted(settings))}")

    def holds(self) -> Mapping[str, Any]:
        """Return the webhooks."""
        return {"webhooks": list(self.webhooks.values())}

    def object_of(self, call: VendorCall) -> str | None:
        """Return nothing: no contacts are modelled."""
        return None

    def error(self, status: int, text: str) -> Response:
        """Return an error."""
        return JSONResponse({"Message": text}, status)

    def app(self) -> ASGIApp:
        """Return the API."""
        every = ["GET", "POST", "PUT", "DELETE", "PATCH"]
        return Starlette(
            routes=[
                Route("/webhooks", self._webhooks, methods=["GET", "POST"]),
                Route("/webhooks/{id:int}", self._webhook, methods=["GET", "PUT", "DELETE"]),
                Route("/{path:path}", self._not_modelled, methods=every),
            ]
        )

    async def _not_modelled(self, request: Request) -> Response:
        return self.error(501, "the sandbox does not model this")

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
