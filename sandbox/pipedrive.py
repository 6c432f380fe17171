"""Pipedrive: persons, organisations, activities, deals, stages and searches of its API v2; leads and notes of v1.

Comes in: HTTP below `/pipedrive/api/v2` and `/pipedrive/api/v1` with the token in `x-api-token`. Goes out:
`{"success", "data"}`, errors `{"success": false, "error", "error_info"}`; every answer tells what is left of the burst
and of the day's tokens. Like the real one it has no uniqueness and no idempotency key. What it does not model is 501.

Facts: paths, members and filters as in the vendor's own client (npm `pipedrive` 33.7, made from its specification);
limits and costs as in pipedrive.readme.io/docs/core-api-concepts-rate-limiting. That a search may not show what is new,
the statuses of errors and the field of labels are inferred.
"""

import hmac
import itertools
import json
import re
import time
import uuid
from collections.abc import Iterable, Mapping
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

#: Requests of one token in two seconds, the lowest plan ("Burst limits").
BURST = 20
#: Seconds of a burst.
BURST_SECONDS = 2.0
#: Tokens of a day, the lowest plan with one seat.
DAILY = 30_000
#: Key of a custom field: 40 hexadecimal digits.
CUSTOM = re.compile(r"[0-9a-f]{40}")

#: What the vendor's client may send; the members that come with contact sync are refused with 403.
PERSON_MEMBERS = frozenset(
    {"name", "owner_id", "org_id", "add_time", "emails", "phones", "visible_to", "label_ids", "marketing_status"}
    | {"custom_fields"}
)
SYNCED = frozenset({"postal_address", "notes", "im", "birthday", "job_title"})
ACTIVITY_MEMBERS = frozenset(
    {"subject", "type", "owner_id", "deal_id", "lead_id", "org_id", "due_date", "due_time", "done", "note"}
    | {"participants", "priority"}
)
LEAD_MEMBERS = frozenset(
    {"title", "owner_id", "label_ids", "person_id", "organization_id", "value", "expected_close_date", "visible_to"}
    | {"was_seen", "origin_id", "channel", "channel_id", "is_archived"}
)
NOTE_PLACES = ("lead_id", "deal_id", "person_id", "org_id", "project_id", "task_id")
MARKETING = ("no_consent", "subscribed", "unsubscribed", "archived")


class PipedriveRefusal(Exception):
    """An answer other than success."""

    def __init__(self, status: int, error: str) -> None:
        super().__init__(error)
        self.status = status
        self.error = error


class Pipedrive:
    """One company at Pipedrive."""

    name = "pipedrive"
    prefix = "/pipedrive"

    def __init__(self, accounts: Accounts) -> None:
        self._token = accounts.pipedrive_api_token
        self.reset()

    def reset(self) -> None:
        """Start over with one pipeline, two labels and nobody."""
        #: Seconds during which no search shows what is new.
        self.find_lag = 0.0
        #: What is left of the day's tokens.
        self.tokens = DAILY
        #: Whether the company uses Campaigns: else a person has no `marketing_status`.
        self.campaigns = True
        self.persons: dict[str, Record] = {}
        self.organizations: dict[str, Record] = {}
        self.activities: dict[str, Record] = {}
        self.deals: dict[str, Record] = {}
        self.leads: dict[str, Record] = {}
        self.notes: dict[str, Record] = {}
        self.stages = {
            str(id): {"id": id, "name": name, "pipeline_id": 1, "is_deleted": False, "order_nr": id}
            for id, name in enumerate(("Angefragt", "Angebot", "Gebucht"), 1)
        }
        self.labels = [{"id": 5, "label": "Kunde"}, {"id": 6, "label": "Stammgast"}]
        self._ids = itertools.count(1)
        self._made: dict[str, float] = {}

    def tell(self, settings: Mapping[str, Any]) -> None:
        """Take `find_lag` (seconds), `tokens` (left of the day) and `campaigns`. Raises ValueError."""
        for name, value in settings.items():
            match name:
                case "find_lag":
                    self.find_lag = rest.lag(name, value)
                case "tokens":
                    self.tokens = int(value)
                case "campaigns":
                    self.campaigns = bool(value)
                case _:
                    raise ValueError(f"pipedrive has no setting {name}; there are find_lag, tokens, campaigns")

    def error(self, status: int, text: str) -> Response:
        """Return an error in the shape of all APIs."""
        info = "Please check developers.pipedrive.com for more information about Pipedrive API."
        return JSONResponse(
            {"success": False, "error": text, "errorCode": status, "error_info": info, "data": None}, status
        )

    def limited(self, wait: float) -> Response:
        """Return the refusal of one request too many in a burst; there is no `Retry-After`."""
        refusal = self.error(429, "request over limit")
        refusal.headers.update(self.limit_headers(remaining=0))
        return refusal

    def limit_headers(self, remaining: int = BURST - 1) -> dict[str, str]:
        """Return what every answer says of the limits."""
        return {
            "x-ratelimit-limit": str(BURST),
            "x-ratelimit-remaining": str(remaining),
            "x-ratelimit-reset": str(int(BURST_SECONDS)),
            "x-daily-ratelimit-token-remaining": str(max(0, self.tokens)),
        }

    def object_of(self, call: VendorCall) -> str | None:
        """Return the person's e-mail, as far as the call or what it names tells it."""
        parts = call.path.strip("/").split("/")[2:]
        body = call.json_object()
        if parts[:2] == ["persons", "search"]:
            return f"email:{call.query.get('term', '').lower()}"
        if parts[:1] == ["persons"]:
            return _identity(self.persons.get(parts[1], {}) if len(parts) > 1 else body)
        participants = body.get("participants") or [{}]
        person = body.get("person_id") or participants[0].get("person_id")
        return _identity(self.persons.get(str(person), {}))

    def holds(self) -> Mapping[str, Any]:
        """Return all records."""
        kinds = ("persons", "organizations", "activities", "deals", "leads", "notes")
        return {kind: list(getattr(self, kind).values()) for kind in kinds}

    def convert(self, lead: str) -> Record:
        """Make a deal of a lead, as a person does in the surface: the lead is gone, custom fields go along."""
        old = self.leads.pop(lead)
        fields = {name: value for name, value in old.items() if CUSTOM.fullmatch(name)}
        deal = {"title": old["title"], "person_id": old["person_id"], "stage_id": 1, "pipeline_id": 1}
        return self._keep(self.deals, {**deal, "custom_fields": fields, "status": "open", "is_deleted": False})

    def app(self) -> ASGIApp:
        """Return the API."""
        two, one = "/api/v2", "/api/v1"
        return Starlette(
            routes=[
                Route(f"{two}/persons/search", self._search_persons, methods=["GET"]),
                Route(f"{two}/persons", self._list_persons, methods=["GET"]),
                Route(f"{two}/persons", self._create_person, methods=["POST"]),
                Route(f"{two}/persons/{{id}}", self._show_person, methods=["GET"]),
                Route(f"{two}/persons/{{id}}", self._change_person, methods=["PATCH"]),
                Route(f"{two}/organizations/search", self._search_organizations, methods=["GET"]),
                Route(f"{two}/organizations", self._create_organization, methods=["POST"]),
                Route(f"{two}/organizations/{{id}}", self._show_organization, methods=["GET"]),
                Route(f"{two}/activities", self._create_activity, methods=["POST"]),
                Route(f"{two}/activities/{{id}}", self._show_activity, methods=["GET"]),
                Route(f"{two}/deals/search", self._search_deals, methods=["GET"]),
                Route(f"{two}/deals/{{id}}", self._show_deal, methods=["GET"]),
                Route(f"{two}/deals/{{id}}", self._change_deal, methods=["PATCH"]),
                Route(f"{two}/leads/search", self._search_leads, methods=["GET"]),
                Route(f"{two}/stages", self._list_stages, methods=["GET"]),
                Route(f"{two}/personFields/label_ids", self._show_labels, methods=["GET"]),
                Route(f"{one}/leads", self._list_leads, methods=["GET"]),
                Route(f"{one}/leads", self._create_lead, methods=["POST"]),
                Route(f"{one}/leads/{{id}}", self._show_lead, methods=["GET"]),
                Route(f"{one}/leads/{{id}}", self._change_lead, methods=["PATCH"]),
                Route(f"{one}/notes", self._list_notes, methods=["GET"]),
                Route(f"{one}/notes", self._create_note, methods=["POST"]),
                fallback.build_route(self),
            ],
            middleware=[Middleware(_PipedriveGateway, vendor=self)],
            exception_handlers={PipedriveRefusal: self._refuse, HTTPException: self._refuse},
        )

    def opens(self, token: str) -> bool:
        """Tell whether a token is the company's."""
        return hmac.compare_digest(token.encode(), self._token.encode())

    # -- persons

    async def _search_persons(self, request: Request) -> Response:
        return self._search(request, self.persons, {"email": "emails", "phone": "phones", "name": "name"}, "person")

    async def _list_persons(self, request: Request) -> Response:
        since = request.query_params.get("updated_since", "")
        return _data([person for person in self.persons.values() if person["update_time"] >= since])

    async def _create_person(self, request: Request) -> Response:
        body = await _read_object(request)
        self._check_person(body)
        if not body.get("name"):
            raise PipedriveRefusal(400, "Validation failed: name: Required")
        person = {"org_id": None, "label_ids": [], "emails": [], "phones": [], "custom_fields": {}, **body}
        if self.campaigns:
            person.setdefault("marketing_status", "no_consent")
        return _data(self._keep(self.persons, {**person, **_split(person["name"]), "is_deleted": False}), 201)

    async def _show_person(self, request: Request) -> Response:
        """Show a person; `marketing_status` only if it is asked for, and the company uses Campaigns."""
        person = dict(self._get(request, self.persons, "Person not found"))
        if "marketing_status" not in request.query_params.get("include_fields", ""):
            person.pop("marketing_status", None)
        return _data(person)

    async def _change_person(self, request: Request) -> Response:
        """Change what is given; lists are replaced. A marketing status may be changed once; then it stays, silently."""
        person = self._get(request, self.persons, "Person not found")
        body = await _read_object(request)
        self._check_person(body)
        status = body.pop("marketing_status", None)
        if status is not None and not person.get("_status_changed"):
            person["_status_changed"] = status != person["marketing_status"]
            person["marketing_status"] = status
        person["custom_fields"] = person["custom_fields"] | body.pop("custom_fields", {})
        person |= body
        if "name" in body:
            person |= _split(body["name"])
        person["update_time"] = _now()
        return _data({name: value for name, value in person.items() if name != "_status_changed"})

    def _check_person(self, body: Record) -> None:
        if body.keys() & SYNCED:
            raise PipedriveRefusal(403, "Contact sync is not enabled for the company")
        if "marketing_status" in body and not self.campaigns:
            raise PipedriveRefusal(400, "Validation failed: marketing_status: unrecognized key")
        if body.get("marketing_status", "no_consent") not in MARKETING:
            raise PipedriveRefusal(400, "Validation failed: marketing_status: invalid")
        if strange := body.keys() - PERSON_MEMBERS:
            raise PipedriveRefusal(501, f"the sandbox does not model {', '.join(sorted(strange))}")
        for each in (*(body.get("emails") or ()), *(body.get("phones") or ())):
            if not isinstance(each, dict) or not each.get("value"):
                raise PipedriveRefusal(400, "Validation failed: value: Required")
        _check_custom(body.get("custom_fields") or {})

    async def _show_labels(self, request: Request) -> Response:
        return _data({"field_code": "label_ids", "field_name": "Labels", "field_type": "set", "options": self.labels})

    # -- organisations, activities, deals

    async def _search_organizations(self, request: Request) -> Response:
        return self._search(request, self.organizations, {"name": "name"}, "organization")

    async def _create_organization(self, request: Request) -> Response:
        body = await _read_object(request)
        if not body.get("name") or body.keys() - {"name", "owner_id", "label_ids", "visible_to"}:
            raise PipedriveRefusal(400 if not body.get("name") else 501, "Validation failed: name: Required")
        return _data(self._keep(self.organizations, {**body, "is_deleted": False}), 201)

    async def _show_organization(self, request: Request) -> Response:
        return _data(self._get(request, self.organizations, "Organization not found"))

    async def _create_activity(self, request: Request) -> Response:
        """Make an activity; whom it is about stands in `participants`, `person_id` is read only in v2."""
        body = await _read_object(request)
        if "person_id" in body:
            raise PipedriveRefusal(400, "Validation failed: person_id: read only, use participants")
        if strange := body.keys() - ACTIVITY_MEMBERS:
            raise PipedriveRefusal(501, f"the sandbox does not model {', '.join(sorted(strange))}")
        people: list[Record] = body.get("participants") or []
        first: Record = next((each for each in people if each.get("primary")), {})
        if first and str(first.get("person_id")) not in self.persons:
            raise PipedriveRefusal(400, "Validation failed: participants: person not found")
        activity = {"type": "task", "done": False, "subject": "", **body, "person_id": first.get("person_id")}
        return _data(self._keep(self.activities, {**activity, "is_deleted": False}), 201)

    async def _show_activity(self, request: Request) -> Response:
        return _data(self._get(request, self.activities, "Activity not found"))

    async def _search_deals(self, request: Request) -> Response:
        return self._search(request, self.deals, {"title": "title"}, "deal")

    async def _show_deal(self, request: Request) -> Response:
        return _data(self._get(request, self.deals, "Deal not found"))

    async def _change_deal(self, request: Request) -> Response:
        deal = self._get(request, self.deals, "Deal not found")
        body = await _read_object(request)
        if strange := body.keys() - {"stage_id", "title", "person_id", "org_id", "status", "custom_fields"}:
            raise PipedriveRefusal(501, f"the sandbox does not model {', '.join(sorted(strange))}")
        if "stage_id" in body and str(body["stage_id"]) not in self.stages:
            raise PipedriveRefusal(400, "Validation failed: stage_id: not found")
        deal |= {**body, "update_time": _now()}
        return _data(deal)

    async def _list_stages(self, request: Request) -> Response:
        return _data(list(self.stages.values()))

    # -- v1: leads and notes

    async def _search_leads(self, request: Request) -> Response:
        return self._search(request, self.leads, {"title": "title"}, "lead")

    async def _list_leads(self, request: Request) -> Response:
        person = request.query_params.get("person_id")
        return _data([lead for lead in self.leads.values() if person in (None, str(lead["person_id"]))])

    async def _create_lead(self, request: Request) -> Response:
        """Make a lead: a title, and a person or an organisation; custom fields are those of deals, at the top."""
        body = await _read_object(request)
        self._check_lead(body)
        if not body.get("title"):
            raise PipedriveRefusal(400, "Title is required")
        if (
            str(body.get("person_id")) not in self.persons
            and str(body.get("organization_id")) not in self.organizations
        ):
            raise PipedriveRefusal(400, "A lead must be linked to a person or an organization.")
        usual = {"person_id": None, "organization_id": None, "value": None, "origin_id": None, "is_archived": False}
        return _data(self._keep(self.leads, {**usual, **body, "origin": "API"}, str(uuid.uuid4())), 201)

    async def _show_lead(self, request: Request) -> Response:
        return _data(self._get(request, self.leads, "Lead not found"))

    async def _change_lead(self, request: Request) -> Response:
        lead = self._get(request, self.leads, "Lead not found")
        body = await _read_object(request)
        self._check_lead(body)
        lead |= {**body, "update_time": _now()}
        return _data(lead)

    def _check_lead(self, body: Record) -> None:
        fields = {name for name in body if CUSTOM.fullmatch(name)}
        if strange := body.keys() - LEAD_MEMBERS - fields:
            raise PipedriveRefusal(501, f"the sandbox does not model {', '.join(sorted(strange))}")
        if body.get("value") is not None and body["value"].keys() != {"amount", "currency"}:
            raise PipedriveRefusal(400, "value must have amount and currency")

    async def _list_notes(self, request: Request) -> Response:
        query = request.query_params
        asked = {name: query[name] for name in NOTE_PLACES if name in query}
        found = [note for note in self.notes.values() if all(str(note.get(k)) == v for k, v in asked.items())]
        return _data(found)

    async def _create_note(self, request: Request) -> Response:
        """Make a note at exactly one thing; its content is HTML, of which scripts are taken out."""
        body = await _read_object(request)
        places = [name for name in NOTE_PLACES if body.get(name) is not None]
        if not body.get("content") or len(places) != 1:
            raise PipedriveRefusal(400, "A note needs content, and one of lead_id, deal_id, person_id, org_id")
        if body.keys() - {"content", *NOTE_PLACES}:
            raise PipedriveRefusal(501, "the sandbox models content and the place of a note only")
        content = re.sub(r"<script.*?</script>|<!--.*?-->", "", body["content"], flags=re.DOTALL)
        return _data(self._keep(self.notes, {**body, "content": content, "active_flag": True}), 201)

    # -- records

    def _keep(self, where: dict[str, Record], values: Record, id: str | None = None) -> Record:
        key = id or str(next(self._ids))
        record = {"id": id or int(key), **values, "add_time": _now(), "update_time": _now()}
        where[key] = record
        self._made[key] = time.monotonic()
        return record

    def _get(self, request: Request, where: dict[str, Record], error: str) -> Record:
        record = where.get(request.path_params["id"])
        if record is None:
            raise PipedriveRefusal(404, error)
        return record

    def _search(self, request: Request, where: dict[str, Record], fields: Mapping[str, str], kind: str) -> Response:
        """Search by a term in some fields; exact or not, capital and small letters are the same."""
        query = request.query_params
        term, exact = query.get("term", "").lower(), query.get("exact_match") == "true"
        if len(term) < (1 if exact else 2):
            raise PipedriveRefusal(400, "term must be at least 2 characters long")
        asked = set(query.get("fields", "").split(",")) - {""} or {*fields, "custom_fields"}
        if strange := asked - {*fields, "custom_fields", "notes"}:
            raise PipedriveRefusal(400, f"fields: {', '.join(sorted(strange))} is invalid")
        latest = time.monotonic() - self.find_lag
        items = []
        for key, record in where.items():
            values = [value for name in asked & set(fields) for value in _texts(record.get(fields[name]))]
            custom = [str(value) for value in _custom(record).values() if value is not None]
            values += custom if "custom_fields" in asked else []
            met = any(term == v.lower() if exact else term in v.lower() for v in values)
            if met and not record.get("is_deleted") and self._made[key] <= latest:
                item: Record = {"id": record["id"], "type": kind, "custom_fields": custom, "notes": []}
                item |= {name: _texts(record[name]) for name in ("emails", "phones") if name in record}
                items.append(
                    {"result_score": 1.0, "item": item | {n: record[n] for n in ("name", "title") if n in record}}
                )
        return _data({"items": items}, additional_data={"next_cursor": None})

    async def _refuse(self, request: Request, exc: Exception) -> Response:
        if isinstance(exc, PipedriveRefusal):
            return self.error(exc.status, exc.error)
        return self.error(exc.status_code if isinstance(exc, HTTPException) else 500, "Unknown method.")


class _PipedriveGateway:
    """Middleware: checks the token, counts what a request costs, and says in every answer what is left."""

    def __init__(self, app: ASGIApp, vendor: Pipedrive) -> None:
        self._app = app
        self._vendor = vendor

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        request = Request(scope)
        refusal = None
        if not self._vendor.opens(request.headers.get("x-api-token", "")):
            refusal = self._vendor.error(401, "unauthorized access")
        elif self._vendor.tokens < (cost := _cost(request)):
            self._vendor.tokens = 0
            refusal = self._vendor.error(429, "Daily API token limit exceeded")
        else:
            self._vendor.tokens -= cost
        headers = [(name.encode(), value.encode()) for name, value in self._vendor.limit_headers().items()]

        async def told(message: Message) -> None:
            if message["type"] == "http.response.start":
                message = {**message, "headers": [*message["headers"], *headers]}
            await send(message)

        await (refusal or self._app)(scope, receive, told)


def _cost(request: Request) -> int:
    """Return the tokens that a request costs ("API costs"): one record 1, a list 10, a search 20, a write 5."""
    if request.method != "GET":
        return 5
    last = request.url.path.rstrip("/").rpartition("/")[2]
    return 20 if last == "search" else 1 if last.isdigit() or "-" in last else 10


async def _read_object(request: Request) -> Record:
    try:
        body = json.loads(await request.body())
    except ValueError as exc:
        raise PipedriveRefusal(400, "Bad request") from exc
    if not isinstance(body, dict):
        raise PipedriveRefusal(400, "Bad request")
    return body


def _data(data: Any, status: int = 200, **more: Any) -> Response:
    return JSONResponse({"success": True, "data": data, **more}, status)


def _check_custom(fields: Mapping[str, Any]) -> None:
    if wrong := [name for name in fields if not CUSTOM.fullmatch(name)]:
        raise PipedriveRefusal(400, f"Validation failed: custom_fields: {wrong[0]}: unrecognized key")


def _custom(record: Mapping[str, Any]) -> Mapping[str, Any]:
    """Return the custom fields of a record: in v2 in an object of their own, of a lead at the top."""
    own = record.get("custom_fields")
    return own if isinstance(own, dict) else {name: record[name] for name in record if CUSTOM.fullmatch(name)}


def _texts(value: Any) -> list[str]:
    entries: Iterable[Any] = value if isinstance(value, list) else [value]
    return [str(each["value"] if isinstance(each, dict) else each) for each in entries if each]


def _split(name: str) -> Record:
    first, _, last = name.rpartition(" ")
    return {"first_name": first or last or None, "last_name": last if first else None}


def _identity(person: Mapping[str, Any]) -> str | None:
    return next((f"email:{email.lower()}" for email in _texts(person.get("emails") or [])), None)


def _now() -> str:
    """Return the time as v2 writes it: no milliseconds."""
    return datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
