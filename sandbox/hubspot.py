"""HubSpot: contacts, companies, deals, notes and tasks, their search, associations, pipelines.

Comes in: HTTP below `/hubspot/crm/objects/{date}/…`, as before 2026 `/hubspot/crm/v3/objects/…`, with a bearer token.
Goes out: JSON; errors are `{"status": "error", "message", "correlationId", "category"}`. An address is that of one
contact, further addresses included: a second one is 409 and names the first in its text. What it does not model is 501.

Facts: developers.hubspot.com/docs (objects, search, associations, usage guidelines) and the vendor's own SDK
(hubspot-sdk 0.1.0a9); the 409 and the content type as in HubSpot/hubspot-api-nodejs issue 545; the 429 of a day, which
has no header, as in the FAQ on limits. That a read shows at once what was written is inferred.
"""

import hmac
import itertools
import json
import time
import uuid
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any

from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.middleware import Middleware
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from sandbox import fallback, rest
from sandbox.accounts import Accounts
from sandbox.calls import VendorCall

Record = dict[str, Any]

#: Requests of an app in ten seconds, and of an account in a day, the lowest tier ("API usage guidelines").
BURST = 100
DAILY = 250_000

#: Properties of each type, as far as they are modelled; the last ones are an account's own.
PROPERTIES: Mapping[str, frozenset[str]] = {
    "contacts": frozenset(
        {"email", "hs_additional_emails", "firstname", "lastname", "phone", "mobilephone", "address", "zip", "city"}
        | {"country", "lifecyclestage", "seminardesk_id", "favourite_room"}
    ),
    "companies": frozenset({"name", "domain"}),
    "deals": frozenset(
        {"dealname", "amount", "deal_currency_code", "pipeline", "dealstage", "description", "closedate"}
        | {"booking_reference"}
    ),
    "notes": frozenset({"hs_timestamp", "hs_note_body", "hubspot_owner_id"}),
    "tasks": frozenset(
        {"hs_timestamp", "hs_task_subject", "hs_task_body", "hs_task_status", "hs_task_type", "hubspot_owner_id"}
    ),
}
#: Properties of which no two objects have the same value, beside a contact's addresses.
UNIQUE: Mapping[str, frozenset[str]] = {
    "contacts": frozenset({"seminardesk_id"}),
    "deals": frozenset({"booking_reference"}),
}
#: Ids of what HubSpot defines: type and what it is tied to -> association.
ASSOCIATIONS: Mapping[tuple[str, int], str] = {
    ("notes", 202): "contacts",
    ("notes", 190): "companies",
    ("notes", 214): "deals",
    ("tasks", 204): "contacts",
    ("tasks", 216): "deals",
    ("deals", 3): "contacts",
    ("deals", 341): "companies",
}
NAMES = {"contacts": "Contact", "deals": "Deal", "companies": "Company", "notes": "Note", "tasks": "Task"}
#: The id of a type, which the vendor's SDK uses for deals, beside its name.
TYPES = {"0-1": "contacts", "0-2": "companies", "0-3": "deals", "contact": "contacts", "company": "companies"}


class HubspotRefusal(Exception):
    """An answer other than success. `errors`: property and code."""

    def __init__(self, status: int, category: str, message: str, *errors: tuple[str, str]) -> None:
        super().__init__(message)
        self.status = status
        self.category = category
        self.message = message
        self.errors = errors


class HubspotJson(JSONResponse):
    """JSON with the type that HubSpot writes."""

    def __init__(self, content: Any, status: int = 200) -> None:
        super().__init__(content, status, {"Content-Type": "application/json;charset=utf-8"})


class Hubspot:
    """One account at HubSpot."""

    name = "hubspot"
    prefix = "/hubspot"

    def __init__(self, accounts: Accounts) -> None:
        self._token = accounts.hubspot_access_token
        self.reset()

    def reset(self) -> None:
        """Start over with one pipeline and nobody."""
        #: Seconds during which no search shows what is new; reads do.
        self.find_lag = 0.0
        #: What is left of the day's requests.
        self.daily = DAILY
        self.objects: dict[str, dict[str, Record]] = {type: {} for type in PROPERTIES}
        #: Of a contact that was merged: which one it is now.
        self.merged: dict[str, str] = {}
        #: Addresses that were deleted while no contact had them.
        self.blocked: set[str] = set()
        self.pipelines: list[Record] = [
            {
                "id": "default",
                "label": "Sales Pipeline",
                "displayOrder": 0,
                "archived": False,
                "stages": [
                    {"id": id, "label": label, "displayOrder": order, "archived": False, "metadata": {}}
                    for order, (id, label) in enumerate(
                        (("appointmentscheduled", "Anfrage"), ("qualifiedtobuy", "Angebot"), ("closedwon", "Gebucht"))
                    )
                ],
            }
        ]
        self._ids = itertools.count(101)
        self._made: dict[str, float] = {}

    def tell(self, settings: Mapping[str, Any]) -> None:
        """Take `find_lag` (seconds) and `daily` (requests left of the day). Raises ValueError."""
        for name, value in settings.items():
            match name:
                case "find_lag":
                    self.find_lag = rest.lag(name, value)
                case "daily":
                    self.daily = int(value)
                case _:
                    raise ValueError(f"hubspot has no setting {name}; there are find_lag, daily")

    def error(self, status: int, text: str) -> Response:
        """Return an error in HubSpot's shape."""
        categories = {401: "INVALID_AUTHENTICATION", 403: "MISSING_SCOPES", 404: "OBJECT_NOT_FOUND", 429: "RATE_LIMITS"}
        category = categories.get(status, "VALIDATION_ERROR" if status < 500 else "INTERNAL_ERROR")
        told = {"status": "error", "message": text, "correlationId": str(uuid.uuid4()), "category": category}
        return HubspotJson(told, status)

    def limited(self, wait: float) -> Response:
        """Return the refusal of one request too many in ten seconds."""
        return self._limited("TEN_SECONDLY_ROLLING", "You have reached your ten_secondly_rolling limit.")

    def limited_for_the_day(self) -> Response:
        """Return the refusal of a request when the day's are used up; nothing says until when."""
        return self._limited("DAILY", "You have reached your daily limit.")

    def _limited(self, policy: str, text: str) -> Response:
        told = {"status": "error", "message": text, "errorType": "RATE_LIMIT", "policyName": policy}
        return HubspotJson({**told, "correlationId": str(uuid.uuid4()), "requestId": str(uuid.uuid4())}, 429)

    def object_of(self, call: VendorCall) -> str | None:
        """Return the contact's e-mail, as far as the call tells it."""
        parts = call.path.strip("/").split("/")[3:]
        if not parts or parts[0] != "contacts":
            return None
        if len(parts) > 1 and call.query.get("idProperty") == "email":
            return f"email:{parts[1].lower()}"
        properties = call.json_object().get("properties")
        known = self.objects["contacts"].get(parts[1], {}).get("properties", {}) if len(parts) > 1 else {}
        email = known.get("email") or (properties.get("email") if isinstance(properties, dict) else None)
        return f"email:{email.lower()}" if email else None

    def holds(self) -> Mapping[str, Any]:
        """Return all objects."""
        return {type: list(each.values()) for type, each in self.objects.items()}

    def merge(self, gone: str, kept: str) -> None:
        """Merge a contact into another, as a person does: its address becomes a further one of that."""
        old, new = self.objects["contacts"].pop(gone)["properties"], self.objects["contacts"][kept]["properties"]
        new["hs_additional_emails"] = ";".join(filter(None, (new.get("hs_additional_emails"), old.get("email"))))
        self.merged[gone] = kept

    def app(self) -> ASGIApp:
        """Return the API."""
        routes = []
        for start in ("/crm/objects/{version}", "/crm/v3/objects"):
            routes += [
                Route(f"{start}/{{type}}/search", self._search, methods=["POST"]),
                Route(f"{start}/{{type}}", self._create, methods=["POST"]),
                Route(f"{start}/{{type}}/{{id}}", self._show, methods=["GET"]),
                Route(f"{start}/{{type}}/{{id}}", self._change, methods=["PATCH"]),
            ]
        routes.insert(0, Route("/crm/v3/objects/contacts/gdpr-delete", self._purge, methods=["POST"]))
        for start in ("/crm/objects/{version}", "/crm/v4/objects"):
            path = f"{start}/{{type}}/{{id}}/associations/default/{{other}}/{{other_id}}"
            routes.append(Route(path, self._associate, methods=["PUT"]))
        for path in ("/crm/pipelines/{version}/deals", "/crm/v3/pipelines/deals"):
            routes.append(Route(path, self._list_pipelines, methods=["GET"]))
        return Starlette(
            routes=[*routes, fallback.build_route(self)],
            middleware=[Middleware(_HubspotGateway, vendor=self)],
            exception_handlers={HubspotRefusal: self._refuse, HTTPException: self._refuse},
        )

    def opens(self, header: str) -> bool:
        """Tell whether an Authorization header has the token."""
        return hmac.compare_digest(header.encode(), f"Bearer {self._token}".encode())

    # -- objects

    async def _show(self, request: Request) -> Response:
        return HubspotJson(self._shown(self._find(request), request))

    async def _create(self, request: Request) -> Response:
        type, body = self._type(request), await _read_object(request)
        values = self._check(type, body)
        if body.keys() - {"properties", "associations"}:
            raise HubspotRefusal(501, "", "the sandbox models properties and associations only")
        if type in ("notes", "tasks") and not values.get("hs_timestamp"):
            raise HubspotRefusal(
                400, "VALIDATION_ERROR", "Property values were not valid", ("hs_timestamp", "REQUIRED")
            )
        self._check_unique(type, values)
        if type == "contacts" and (values.get("email") or "").lower() in self.blocked:
            raise HubspotRefusal(400, "VALIDATION_ERROR", "Property values were not valid", ("email", "BLOCKED"))
        ties: list[Record] = []
        for each in body.get("associations") or ():
            for kind in each["types"]:
                other = ASSOCIATIONS.get((type, kind["associationTypeId"]))
                if other is None or each["to"]["id"] not in self.objects[other]:
                    raise HubspotRefusal(400, "VALIDATION_ERROR", "One or more associations are not valid")
                ties.append({"type": other, "id": each["to"]["id"]})
        id = str(next(self._ids))
        record = {"id": id, "properties": values, "createdAt": _now(), "updatedAt": _now(), "archived": False}
        self.objects[type][id] = {**record, "associations": ties}
        self._made[id] = time.monotonic()
        return HubspotJson(self._shown(self.objects[type][id], request), 201)

    async def _change(self, request: Request) -> Response:
        type, record = self._type(request), self._find(request)
        values = self._check(type, await _read_object(request))
        self._check_unique(type, values, record["id"])
        record["properties"] |= values
        record["updatedAt"] = _now()
        return HubspotJson(self._shown(record, request))

    async def _purge(self, request: Request) -> Response:
        """Delete a contact for good: "Permanently delete a contact (GDPR-compliant)" of developers.hubspot.com.

        An address that no contact has goes on a blocklist, as the page says, and can never be created again.
        """
        body = await _read_object(request)
        by, value = body.get("idProperty"), str(body.get("objectId"))
        if by not in (None, "email"):
            raise HubspotRefusal(501, "", "the sandbox models the address as idProperty only")
        contacts = self.objects["contacts"]
        record = self._having("contacts", "email", value) if by else contacts.get(self.merged.get(value, value))
        if record is not None:
            del contacts[record["id"]]
            for each in (one for type in ("notes", "tasks") for one in list(self.objects[type].values())):
                if {"type": "contacts", "id": record["id"]} in each["associations"]:
                    del self.objects["notes" if each["id"] in self.objects["notes"] else "tasks"][each["id"]]
        elif by:
            self.blocked.add(value.lower())
        return Response(status_code=204)

    async def _search(self, request: Request) -> Response:
        """Search: groups are joined by or, the filters of one by and. Only EQ is modelled."""
        type, body = self._type(request), await _read_object(request)
        groups = body.get("filterGroups") or []
        latest = time.monotonic() - self.find_lag
        hits = []
        for group in groups:
            for each in group["filters"]:
                if each.get("operator") != "EQ":
                    raise HubspotRefusal(501, "", "the sandbox models the operator EQ only")
                if each["propertyName"] not in PROPERTIES[type]:
                    raise HubspotRefusal(400, "VALIDATION_ERROR", "There was a problem with the request.")
        for record in self.objects[type].values():
            has = record["properties"]
            met = any(
                all(
                    str(has.get(each["propertyName"]) or "").lower() == str(each["value"]).lower()
                    for each in g["filters"]
                )
                for g in groups
            )
            if met and self._made[record["id"]] <= latest:
                hits.append(self._shown(record, request, body.get("properties")))
        return HubspotJson({"total": len(hits), "results": hits[: body.get("limit", 10)]})

    async def _associate(self, request: Request) -> Response:
        record, other = self._find(request), request.path_params["other"]
        other = TYPES.get(other, other)
        if request.path_params["other_id"] not in self.objects.get(other, {}):
            raise HubspotRefusal(404, "OBJECT_NOT_FOUND", "resource not found")
        tie = {"type": other, "id": request.path_params["other_id"]}
        if tie not in record["associations"]:
            record["associations"].append(tie)
        return HubspotJson({"status": "COMPLETE", "results": [], "startedAt": _now(), "completedAt": _now()})

    async def _list_pipelines(self, request: Request) -> Response:
        return HubspotJson({"results": self.pipelines})

    # -- records

    def _type(self, request: Request) -> str:
        type: str = TYPES.get(request.path_params["type"], request.path_params["type"])
        if type not in self.objects:
            raise HubspotRefusal(501, "", "the sandbox does not model this type")
        return type

    def _find(self, request: Request) -> Record:
        """Return the object of a request, by its id, or by a property that is unique."""
        type, id, by = self._type(request), request.path_params["id"], request.query_params.get("idProperty")
        if by is None:
            record = self.objects[type].get(self.merged.get(id, id) if type == "contacts" else id)
        elif by in UNIQUE.get(type, ()) or (type, by) == ("contacts", "email"):
            record = self._having(type, by, id)
        else:
            raise HubspotRefusal(400, "VALIDATION_ERROR", f"{by} is not a unique property")
        if record is None:
            raise HubspotRefusal(404, "OBJECT_NOT_FOUND", "resource not found")
        return record

    def _having(self, type: str, name: str, value: str) -> Record | None:
        for record in self.objects[type].values():
            shown = _emails(record["properties"]) if name == "email" else [record["properties"].get(name)]
            if value.lower() in [each.lower() for each in shown if each]:
                return record
        return None

    def _check(self, type: str, body: Record) -> Record:
        """Return the properties of a body, as texts. Raises HubspotRefusal for one that does not exist."""
        values = body.get("properties")
        if not isinstance(values, dict):
            raise HubspotRefusal(400, "VALIDATION_ERROR", "Invalid input JSON")
        if strange := [name for name in values if name not in PROPERTIES[type]]:
            errors = [(name, "PROPERTY_DOESNT_EXIST") for name in strange]
            raise HubspotRefusal(400, "VALIDATION_ERROR", "Property values were not valid", *errors)
        if "@" not in (values.get("email") or "@"):
            raise HubspotRefusal(400, "VALIDATION_ERROR", "Property values were not valid", ("email", "INVALID_EMAIL"))
        return {name: "" if value is None else str(value) for name, value in values.items()}

    def _check_unique(self, type: str, values: Record, own: str | None = None) -> None:
        for name in (*(("email",) if type == "contacts" else ()), *UNIQUE.get(type, ())):
            found = self._having(type, name, values[name]) if values.get(name) else None
            if found is not None and found["id"] != own:
                raise HubspotRefusal(409, "CONFLICT", f"{NAMES[type]} already exists. Existing ID: {found['id']}")

    def _shown(self, record: Record, request: Request, properties: Any = None) -> Record:
        """Return an object with the properties that were asked for, else all that it has."""
        asked = properties or ",".join(request.query_params.getlist("properties")).split(",")
        has = record["properties"]
        shown = {name: has.get(name) for name in asked if name} if any(asked) else has
        return {**{name: value for name, value in record.items() if name != "associations"}, "properties": shown}

    async def _refuse(self, request: Request, exc: Exception) -> Response:
        if not isinstance(exc, HubspotRefusal):
            return self.error(exc.status_code if isinstance(exc, HTTPException) else 500, "Internal error")
        if exc.status == 501:
            return self.error(501, exc.message)
        told: Record = {"status": "error", "message": exc.message, "correlationId": str(uuid.uuid4())}
        told["category"] = exc.category
        if exc.errors:
            told["errors"] = [
                {"message": "not valid", "code": code, "context": {"propertyName": [name]}} for name, code in exc.errors
            ]
        return HubspotJson(told, exc.status)


class _HubspotGateway:
    """Middleware: checks the token, counts the day's requests, and says what is left, but not where one searches."""

    def __init__(self, app: ASGIApp, vendor: Hubspot) -> None:
        self._app = app
        self._vendor = vendor

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        request = Request(scope)
        if not self._vendor.opens(request.headers.get("authorization", "")):
            await self._vendor.error(401, "Authentication credentials not found.")(scope, receive, send)
            return
        if self._vendor.daily <= 0:
            await self._vendor.limited_for_the_day()(scope, receive, send)
            return
        self._vendor.daily -= 1
        told = {
            "X-HubSpot-RateLimit-Daily": DAILY,
            "X-HubSpot-RateLimit-Daily-Remaining": self._vendor.daily,
            "X-HubSpot-RateLimit-Interval-Milliseconds": 10_000,
            "X-HubSpot-RateLimit-Max": BURST,
            "X-HubSpot-RateLimit-Remaining": BURST - 1,
        }
        searches = request.url.path.endswith("/search")
        headers = [] if searches else [(name.lower().encode(), str(value).encode()) for name, value in told.items()]

        async def tell(message: Message) -> None:
            if message["type"] == "http.response.start":
                message = {**message, "headers": [*message["headers"], *headers]}
            await send(message)

        await self._app(scope, receive, tell)


async def _read_object(request: Request) -> Record:
    try:
        body = json.loads(await request.body())
    except ValueError as exc:
        raise HubspotRefusal(400, "VALIDATION_ERROR", "Invalid input JSON") from exc
    if not isinstance(body, dict):
        raise HubspotRefusal(400, "VALIDATION_ERROR", "Invalid input JSON")
    return body


def _emails(properties: Mapping[str, Any]) -> list[str]:
    others = str(properties.get("hs_additional_emails") or "").split(";")
    return [each for each in (str(properties.get("email") or ""), *others) if each]


def _now() -> str:
    return datetime.now(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")
