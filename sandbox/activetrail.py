"""ActiveTrail: webhooks, contacts and groups of its REST API, as far as they are documented; the rest is refused.

Comes in: HTTP below `/activetrail/api` with the key in `Authorization`, bare or behind `Basic` (published clients send
both). Goes out: JSON in snake_case, as its pages "POST api/webhooks", "GET api/groups", "POST api/contacts" show it.

- POST /contacts makes a contact or changes the one with its address, and answers it with its `id` (clients rely on it).
- GET /contacts lists those of a state and of days, and finds by a piece of the text; pages of 20, at most 100. Which
  date of a contact counts is not documented.
- POST /groups/{id}/members adds, also a contact that is new, and a member once more; answers `id`, `state` (a client).
- PUT and DELETE have no body. Errors are `{"Message"}` (inferred: ASP.NET Web API). Everything else is 501.
"""

import time
from collections.abc import Iterable, Mapping
from datetime import UTC, datetime
from typing import Any

from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route
from starlette.types import ASGIApp

from sandbox import fallback
from sandbox.accounts import Accounts
from sandbox.calls import VendorCall

#: What the pages show of a webhook that is written.
MEMBERS = frozenset({"name", "url", "event_type", "format", "is_active", "stateid", "parameters"})
NEEDED = ("name", "url", "event_type")

# fmt: off
#: What the pages "POST api/OperationalMessage/Contacts" and "POST api/mailinglist/{id}/members" show of a contact.
FIELDS = frozenset({
    "email", "sms", "first_name", "last_name", "anniversary", "birthday", "city", "fax", "phone1", "phone2", "street",
    "zip_code", "status",
    *(f"ext{n}" for n in range(1, 26)), *(f"date{n}" for n in range(1, 6)), *(f"num{n}" for n in range(1, 6)),
})
# fmt: on

#: Status by the number under which a client writes it.
STATUSES = {"0": "None", "1": "Subscribed", "2": "Unsubscribed", "3": "Pending"}
#: "GET api/contacts": states of contacts.
STATES = frozenset(["ACTIVE", "ALL", "BOUNCED", "CUSTOMER_REQUEST", "INACTIVE", "QUARANTINED", "SPAM_COMPLIENT"])
PAGE, LARGEST_PAGE = 20, 100
GROUP = {"id": 501, "name": "Newsletter"}


class ActiveTrail:
    """The vendor: webhooks, contacts, groups."""

    name = "activetrail"
    prefix = "/activetrail/api"

    def __init__(self, accounts: Accounts) -> None:
        self._key = accounts.activetrail_api_key
        self._find_lag = 0.0
        self.reset()

    def reset(self) -> None:
        """Forget all but one empty group."""
        self.webhooks: dict[int, dict[str, Any]] = {}
        self.contacts: dict[int, dict[str, Any]] = {}
        #: Contact -> its state, and when it was changed.
        self._states: dict[int, tuple[str, str]] = {}
        self.groups: dict[int, dict[str, Any]] = {GROUP["id"]: dict(GROUP)}  # type: ignore[dict-item]
        #: Group -> its members.
        self.members: dict[int, set[int]] = {}
        self._made: dict[int, float] = {}
        self._find_lag = 0.0

    def tell(self, settings: Mapping[str, Any]) -> None:
        """Take `contacts` that exist from now on, each with `state` and `changed` beside, and `find_lag`: seconds until
        a search shows a contact that was made. Raises ValueError.
        """
        if strange := set(settings) - {"contacts", "find_lag"}:
            raise ValueError(f"activetrail has no setting {', '.join(sorted(strange))}")
        self._find_lag = float(settings.get("find_lag", self._find_lag))
        for told in settings.get("contacts", []):
            self.contacts[told["id"]] = {name: told[name] for name in told if name not in ("state", "changed")}
            self._states[told["id"]] = told["state"], told["changed"]

    def holds(self) -> Mapping[str, Any]:
        """Return webhooks, contacts, and groups with their members."""
        groups = [{**group, "members": sorted(self.members.get(id, ()))} for id, group in self.groups.items()]
        return {"webhooks": list(self.webhooks.values()), "contacts": list(self.contacts.values()), "groups": groups}

    def object_of(self, call: VendorCall) -> str | None:
        """Return the contact that a call writes."""
        email = call.json_object().get("email")
        if email is None and call.path.startswith(("/contacts/", "/groups/")):
            number = call.path.rpartition("/")[2]
            email = self.contacts.get(int(number), {}).get("email") if number.isdigit() else None
        return f"email:{str(email).lower()}" if email else None

    def error(self, status: int, text: str) -> Response:
        """Return an error."""
        return JSONResponse({"Message": text}, status)

    def app(self) -> ASGIApp:
        """Return the API."""
        routes = [
            ("/webhooks", self._webhooks, ["GET", "POST"]),
            ("/webhooks/{id:int}", self._webhook, ["GET", "PUT", "DELETE"]),
            ("/contacts", self._list_contacts, ["GET"]),
            ("/contacts", self._save_contact, ["POST"]),
            ("/contacts/{id:int}", self._contact, ["GET", "PUT"]),
            ("/groups", self._groups, ["GET", "POST"]),
            ("/groups/{id:int}/members", self._add_member, ["POST"]),
            ("/groups/{id:int}/members/{contact:int}", self._remove_member, ["DELETE"]),
            (fallback.PATH, fallback.build_handler(self), fallback.METHODS),
        ]
        return Starlette(routes=[Route(path, self._open(answer), methods=of) for path, answer, of in routes])

    def _open(self, answer: Any) -> Any:
        """Return a route that asks for the key first."""

        async def guarded(request: Request) -> Response:
            if request.headers.get("authorization", "").removeprefix("Basic ") != self._key:
                return self.error(401, "Authorization has been denied for this request.")
            found: Response = await answer(request)
            return found

        return guarded

    # Webhooks.

    async def _webhooks(self, request: Request) -> Response:
        if request.method == "GET":
            return JSONResponse(list(self.webhooks.values()))
        number = max(self.webhooks, default=40) + 1
        return await self._save_webhook(request, number) or JSONResponse(self.webhooks[number])

    async def _webhook(self, request: Request) -> Response:
        number = request.path_params["id"]
        if number not in self.webhooks:
            return self.error(404, "not found")
        if request.method == "GET":
            return JSONResponse(self.webhooks[number])
        if request.method == "PUT":
            return await self._save_webhook(request, number) or Response(status_code=200)
        del self.webhooks[number]
        return Response(status_code=200)

    async def _save_webhook(self, request: Request, number: int) -> Response | None:
        """Keep what was sent, or return why not."""
        told = await _read(request)
        if told is None or any(not told.get(name) for name in NEEDED):
            return self.error(400, "The request is invalid.")
        if strange := set(told) - MEMBERS:
            return self.error(501, f"the sandbox does not model {', '.join(sorted(strange))}")
        self.webhooks[number] = {**told, "id": number, "target_type_id": None}
        return None

    # Contacts.

    async def _list_contacts(self, request: Request) -> Response:
        query = dict(request.query_params)
        state, since, until = query.pop("CustomerStates", ""), query.pop("FromDate", ""), query.pop("ToDate", "9999")
        if state not in STATES:
            return self.error(400, "The request is invalid.")
        term, latest = query.get("SearchTerm", "").lower(), time.monotonic() - self._find_lag
        shown = []
        for id, each in self.contacts.items():
            its_state, changed = self._states[id]
            text = " ".join(str(each.get(name) or "") for name in ("email", "sms", "first_name", "last_name")).lower()
            known = self._made.get(id, latest) <= latest and since <= changed[:10] <= until
            if state in ("ALL", its_state) and known and term in text:
                shown.append(each)
        return self._page(shown, query)

    async def _save_contact(self, request: Request) -> Response:
        told = await _read(request)
        if told is None or not (told.get("email") or told.get("sms")):
            return self.error(400, "The request is invalid.")
        number = self._find(told) or max(self.contacts, default=1000) + 1
        return self._write(number, told) or JSONResponse(self.contacts[number])

    async def _contact(self, request: Request) -> Response:
        number = request.path_params["id"]
        if number not in self.contacts:
            return self.error(404, "not found")
        if request.method == "GET":
            return JSONResponse(self.contacts[number])
        told = await _read(request)
        if told is None:
            return self.error(400, "The request is invalid.")
        if self._find(told) not in (None, number):
            return self.error(409, "another contact has this address")
        return self._write(number, told) or Response(status_code=200)

    def _find(self, told: Mapping[str, Any]) -> int | None:
        """Return the contact that has the address that was sent."""
        email = str(told.get("email") or "").lower()
        found = (id for id, each in self.contacts.items() if email and str(each.get("email")).lower() == email)
        return next(found, None)

    def _write(self, number: int, told: Mapping[str, Any]) -> Response | None:
        """Keep what was sent, or return why not."""
        if strange := set(told) - FIELDS:
            return self.error(501, f"the sandbox does not model {', '.join(sorted(strange))}")
        status = str(told.get("status", self.contacts.get(number, {}).get("status", "None")))
        status = STATUSES.get(status, status)
        if status not in STATUSES.values():
            return self.error(400, "The request is invalid.")
        self.contacts[number] = {**self.contacts.get(number, {}), **told, "id": number, "status": status}
        state = "CUSTOMER_REQUEST" if status == "Unsubscribed" else "ACTIVE"
        self._states[number] = state, datetime.now(UTC).isoformat()
        self._made.setdefault(number, time.monotonic())
        return None

    # Groups.

    async def _groups(self, request: Request) -> Response:
        if request.method == "GET":
            query = dict(request.query_params)
            term = query.get("SearchTerm", "").lower()
            return self._page([each for each in self.groups.values() if term in each["name"].lower()], query)
        told = await _read(request)
        if told is None or set(told) != {"name"} or not told["name"]:
            return self.error(400, "The request is invalid.")
        number = max(self.groups) + 1
        self.groups[number] = {"id": number, "name": str(told["name"])}
        return JSONResponse(self.groups[number])

    async def _add_member(self, request: Request) -> Response:
        group = request.path_params["id"]
        if group not in self.groups:
            return self.error(404, "not found")
        told = await _read(request)
        if told is None or not told.get("email"):
            return self.error(400, "The request is invalid.")
        number = self._find(told) or max(self.contacts, default=1000) + 1
        if (refused := self._write(number, told)) is not None:
            return refused
        self.members.setdefault(group, set()).add(number)
        return JSONResponse({"id": number, "state": self.contacts[number]["status"]})

    async def _remove_member(self, request: Request) -> Response:
        group, number = request.path_params["id"], request.path_params["contact"]
        if number not in self.members.get(group, set()):
            return self.error(404, "not found")
        self.members[group].remove(number)
        return Response(status_code=200)

    def _page(self, found: Iterable[Mapping[str, Any]], query: Mapping[str, str]) -> Response:
        """Return one page of a list."""
        if strange := set(query) - {"SearchTerm", "Page", "Limit"}:
            return self.error(501, f"the sandbox does not model {', '.join(sorted(strange))}")
        page, limit = query.get("Page", "1"), query.get("Limit", str(PAGE))
        if not (page.isdigit() and limit.isdigit() and int(page) >= 1 and 1 <= int(limit) <= LARGEST_PAGE):
            return self.error(400, "The request is invalid.")
        start = (int(page) - 1) * int(limit)
        return JSONResponse(list(found)[start : start + int(limit)])


async def _read(request: Request) -> dict[str, Any] | None:
    """Return the JSON object of a body, None where it is none."""
    try:
        told = await request.json()
    except ValueError:
        return None
    return told if isinstance(told, dict) else None
