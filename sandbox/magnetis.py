"""Magnetis: the API for calls and leads, as far as it is documented; the rest is refused.

Comes in: `GET /calls` and `GET /leads` with `x-api-key`. Goes out: pages of invented calls and leads, 250 at the most,
in the vendor's envelope. What it models: header, paging, envelope, ids, times (documented), `from` and `to` as
published scripts send them; the fields of a call beyond id and account are what is put there. Everything else is 501.
"""

from collections.abc import Mapping
from datetime import datetime
from typing import Any

from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route
from starlette.types import ASGIApp

from sandbox import fallback
from sandbox.accounts import Accounts
from sandbox.calls import VendorCall

#: The largest page, and what is sent where nobody says.
PAGE = 250
TIME = "%Y%m%d%H%M%S"
#: Requests a day and key (MG-S).
DAILY = 5000
ACCOUNT = {"id": "acc-00000000-0000-4000-8000-000000000001", "name": "Maison Exemple"}


class Magnetis:
    """The vendor: calls and leads that somebody put there."""

    name = "magnetis"
    prefix = "/magnetis"

    def __init__(self, accounts: Accounts) -> None:
        self._accounts = accounts
        self._daily = DAILY
        self._rows: dict[str, list[dict[str, Any]]] = {}
        self._asked: dict[str, int] = {}
        self.reset()

    def reset(self) -> None:
        """Forget all that is stored."""
        self._rows = {"calls": [], "leads": []}
        self._asked = {}

    def tell(self, settings: Mapping[str, Any]) -> None:
        """Take `daily`, and lists of `calls` and `leads` that exist from now on. Raises ValueError."""
        if strange := set(settings) - {"daily", "calls", "leads"}:
            raise ValueError(f"magnetis has no setting {', '.join(sorted(strange))}")
        self._daily = int(settings.get("daily", self._daily))
        for kind in ("calls", "leads"):
            self._rows[kind] += [{"account": ACCOUNT, **row} for row in settings.get(kind, ())]

    def holds(self) -> Mapping[str, Any]:
        """Return what is stored, and how often each key asked."""
        return {**self._rows, "asked": dict(self._asked)}

    def object_of(self, call: VendorCall) -> str | None:
        """Return nothing: it is only read."""
        return None

    def error(self, status: int, text: str) -> Response:
        """Return an error as Laravel writes one (inferred)."""
        return JSONResponse({"message": text}, status)

    def app(self) -> ASGIApp:
        """Return the API."""
        return Starlette(
            routes=[
                Route("/calls", self._list("calls", "start_at")),
                Route("/leads", self._list("leads", "created_at")),
                fallback.build_route(self),
            ]
        )

    def _list(self, kind: str, at: str) -> Any:
        async def answer(request: Request) -> Response:
            key = request.headers.get("x-api-key", "")
            if key not in (self._accounts.magnetis_api_key, self._accounts.magnetis_sandbox_key):
                return self.error(401, "Unauthenticated.")
            self._asked[key] = self._asked.get(key, 0) + 1
            if self._asked[key] > self._daily:
                return self.error(429, "Too Many Attempts.")
            if strange := set(request.query_params) - {"from", "to", "limit", "page", "analysis", "account_id"}:
                return self.error(501, f"the sandbox does not model {', '.join(sorted(strange))}")
            try:
                page, limit = int(request.query_params.get("page", "1")), int(request.query_params.get("limit", PAGE))
                since = datetime.strptime(request.query_params.get("from", "20000101000000"), TIME)
                until = datetime.strptime(request.query_params.get("to", "29991231000000"), TIME)
            except ValueError:
                return self.error(422, "The given data was invalid.")
            if page < 1 or not 1 <= limit <= PAGE:
                return self.error(422, "The given data was invalid.")
            rows = [row for row in self._rows[kind] if since <= datetime.fromisoformat(row[at]) < until]
            last = max(1, -(-len(rows) // limit))
            path = str(request.url.replace(query=""))

            def link(number: int) -> str | None:
                return f"{path}?page={number}" if 1 <= number <= last else None

            some = rows[(page - 1) * limit : page * limit]
            links = {"first": link(1), "last": link(last), "prev": link(page - 1), "next": link(page + 1)}
            meta = {"current_page": page, "last_page": last, "per_page": limit, "total": len(rows), "path": path}
            return JSONResponse({"data": some, "links": links, "meta": meta})

        return answer
