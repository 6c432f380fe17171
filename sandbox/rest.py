"""The common base of the CRM and the invoicing API: a plain REST API with a bearer token.

Comes in: HTTP. Goes out: JSON; lists as `{"data": […]}`, errors as `{"error": {"code", "message", "field"}}`. Never
enforces uniqueness: real CRMs accept a second contact with the same e-mail (Tryton's party.party does, measured), so
the caller has to avoid duplicates.
"""

import hmac
import json
import re
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from datetime import UTC, datetime
from typing import Any

from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send

Record = dict[str, Any]

#: Where the first word of a value ends, for a search that is not exact.
WORD = re.compile(r"[@-]")

#: Records in one answer of a list.
PAGE_SIZE = 100

CODES = {
    400: "bad_request",
    401: "unauthorised",
    403: "forbidden",
    404: "not_found",
    405: "method_not_allowed",
    409: "conflict",
    413: "too_large",
    415: "unsupported_type",
    422: "invalid",
    429: "rate_limited",
    503: "unavailable",
}


class RestRefusal(Exception):
    """An answer other than success; `field` is the one that is wrong, `id` the record that is in the way."""

    def __init__(self, status: int, message: str, field: str | None = None, id: str | None = None) -> None:
        super().__init__(message)
        self.status = status
        self.message = message
        self.field = field
        self.id = id


class Table:
    """Records of one kind in order of creation. A search does not find the newest ones (`find_lag`)."""

    def __init__(self, prefix: str) -> None:
        self._prefix = prefix
        self._made: dict[str, float] = {}
        self.records: dict[str, Record] = {}

    def add(self, values: Mapping[str, Any]) -> Record:
        """Create a record, even if an equal one exists."""
        record = {"id": f"{self._prefix}{len(self._made) + 1}", **values, "created_at": now()}
        self._made[record["id"]] = time.monotonic()
        self.records[record["id"]] = record
        return record

    def get(self, number: str) -> Record:
        """Return a record by its id; never lags. Raises Refused 404."""
        try:
            return self.records[number]
        except KeyError:
            raise RestRefusal(404, "There is no such record") from None

    def find(self, matches: Callable[[Record], bool], lag: float) -> list[Record]:
        """Return the records that match and are older than the lag."""
        latest = time.monotonic() - lag
        return [record for number, record in self.records.items() if self._made[number] <= latest and matches(record)]

    def all(self) -> list[Record]:
        """Return all."""
        return list(self.records.values())


class Answers:
    """Stored answers by `Idempotency-Key`, as the IETF draft of that name says: same key, same answer."""

    def __init__(self) -> None:
        self._kept: dict[str, tuple[str, list[Message]]] = {}

    async def once(self, key: str, fingerprint: str, app: ASGIApp, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer a request with a key: run it once, then repeat the answer; 422 if another request has the key."""
        if key in self._kept:
            kept, messages = self._kept[key]
            if kept != fingerprint:
                response = error(422, "The idempotency key was used for another request", "Idempotency-Key")
                await response(scope, receive, send)
                return
            start, *rest = messages
            await send({**start, "headers": [*start["headers"], (b"idempotent-replayed", b"true")]})
            for message in rest:
                await send(message)
            return
        messages = []

        async def keep(message: Message) -> None:
            messages.append(message)
            await send(message)

        await app(scope, receive, keep)
        if messages[0]["status"] < 500:
            self._kept[key] = (fingerprint, messages)


class Api:
    """Settings and errors that both APIs have in common."""

    name: str

    def __init__(self) -> None:
        self.answers: Answers | None = Answers()
        #: Seconds during which a search does not find a new record, as in systems whose index lags (Pipedrive's may).
        self.find_lag = 0.0
        #: A search finds what contains the text, as a search box does, and not only what is equal.
        self.fuzzy = False
        #: Fields that the hits of a search do not have, and fields that are null there. The record itself shows them.
        self.hidden: frozenset[str] = frozenset()
        self.null: frozenset[str] = frozenset()
        #: A second record with one e-mail or reference is None: made; plain: 409; id: 409 with the id of the first.
        self.unique: str | None = None

    def tell(self, settings: Mapping[str, Any]) -> None:
        """Take `find_lag` (seconds), `idempotency`, `fuzzy`, `hidden`, `null` (lists of fields) and `unique`."""
        for name, value in settings.items():
            match name:
                case "find_lag":
                    self.find_lag = lag(name, value)
                case "idempotency":
                    self.answers = Answers() if value else None
                case "fuzzy":
                    self.fuzzy = bool(value)
                case "hidden":
                    self.hidden = field_names(name, value)
                case "null":
                    self.null = field_names(name, value)
                case "unique":
                    if value not in (None, "plain", "id"):
                        raise ValueError("unique must be null, plain or id")
                    self.unique = value
                case _:
                    known = "find_lag, idempotency, fuzzy, hidden, null, unique"
                    raise ValueError(f"{self.name} has no setting {name}; there are {known}")

    def search(self, request: Request, table: Table, fields: Iterable[str]) -> Response:
        """Answer a search of a table, as exact and as complete as the settings say."""
        hits = table.find(searched(request, fields, fuzzy=self.fuzzy), self.find_lag)
        shown = [
            {name: None if name in self.null else value for name, value in hit.items() if name not in self.hidden}
            for hit in hits
        ]
        return page(request, shown)

    def check_unique(self, table: Table, body: Mapping[str, Any], field: str) -> None:
        """Refuse a second record with one value, if the settings say so. Raises RestRefusal 409."""
        value = normal(field, body.get(field))
        if self.unique is None or value is None:
            return
        for number, record in table.records.items():
            if normal(field, record.get(field)) == value:
                raise RestRefusal(409, "There is one already", field, number if self.unique == "id" else None)

    def error(self, status: int, text: str) -> Response:
        """Return an error in the API's shape."""
        return error(status, text)


class Door:
    """Middleware: checks the token, demands JSON, and applies the idempotency key of a POST if that is enabled."""

    def __init__(self, app: ASGIApp, tokens: Sequence[str], answers: Callable[[], Answers | None]) -> None:
        self._app = app
        self._tokens = [token.encode() for token in tokens]
        self._answers = answers

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Let a request through, or refuse it."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        request = Request(scope, receive)
        scheme, _, token = request.headers.get("authorization", "").partition(" ")
        if scheme.lower() != "bearer" or not any(hmac.compare_digest(token.encode(), each) for each in self._tokens):
            refusal = error(401, "The token is missing or wrong")
            refusal.headers["WWW-Authenticate"] = "Bearer"
            await refusal(scope, receive, send)
            return
        body = await request.body()
        media = request.headers.get("content-type", "").partition(";")[0].strip().lower()
        if body and media != "application/json":
            await error(415, "The body must be application/json")(scope, receive, send)
            return

        async def again() -> Message:
            return {"type": "http.request", "body": body, "more_body": False}

        key, answers = request.headers.get("idempotency-key"), self._answers()
        if request.method == "POST" and key and answers is not None:
            fingerprint = f"{request.url.path}\0{body.decode('utf-8', 'replace')}"
            await answers.once(key, fingerprint, self._app, scope, again, send)
        else:
            await self._app(scope, again, send)


async def read_object(request: Request) -> Record:
    """Return the body. Raises Refused 400 where it is no JSON object."""
    try:
        body = json.loads(await request.body())
    except ValueError as exc:
        raise RestRefusal(400, "The body is not valid JSON") from exc
    if not isinstance(body, dict):
        raise RestRefusal(400, "The body must be a JSON object")
    return body


def merge(record: Record, patch: Mapping[str, Any]) -> None:
    """Change a record as RFC 7396 (JSON Merge Patch) says: objects field by field, null removes."""
    for name, value in patch.items():
        if value is None:
            record.pop(name, None)
        elif isinstance(value, dict):
            inner = record.get(name)
            record[name] = inner if isinstance(inner, dict) else {}
            merge(record[name], value)
        else:
            record[name] = value


def page(request: Request, records: list[Record]) -> Response:
    """Return the first records, or those of `?page=2`."""
    text = request.query_params.get("page", "1")
    if not (text.isascii() and text.isdigit()) or int(text) < 1:
        raise RestRefusal(400, "page must be a number from 1", "page")
    start = (int(text) - 1) * PAGE_SIZE
    return JSONResponse({"data": records[start : start + PAGE_SIZE], "total": len(records)})


def searched(request: Request, fields: Iterable[str], *, fuzzy: bool = False) -> Callable[[Record], bool]:
    """Return the predicate of a search: every field in the query is equal, e-mails regardless of case.

    `fuzzy`: it is enough that the first word of the value, up to an @ or a dash, stands in the field.
    """
    wanted = {name: normal(name, request.query_params[name]) for name in fields if name in request.query_params}
    if fuzzy:
        return lambda record: all(
            WORD.split(value or "")[0] in (normal(name, record.get(name)) or "") for name, value in wanted.items()
        )
    return lambda record: all(normal(name, record.get(name)) == value for name, value in wanted.items())


def normal(name: str, value: object) -> str | None:
    """Return a value normalised for comparison: e-mails in lower case, phone numbers as digits."""
    if value is None:
        return None
    text = str(value).strip()
    if name == "phone":
        # A `+` in a query that was not percent-encoded arrives as a space.
        return "".join(character for character in text if character.isdigit())
    return text.lower() if name == "email" else text


def error(status: int, message: str, field: str | None = None, id: str | None = None) -> Response:
    """Return an error in the shape of both APIs."""
    told = {"code": CODES.get(status, "error"), "message": message, "field": field}
    return JSONResponse({"error": told if id is None else {**told, "id": id}}, status)


async def refuse(request: Request, exc: Exception) -> Response:
    """Answer a refusal or an unknown route."""
    if isinstance(exc, RestRefusal):
        return error(exc.status, exc.message, exc.field, exc.id)
    return error(exc.status_code if isinstance(exc, HTTPException) else 500, "There is no such route")


def now() -> str:
    """Return the time as RFC 3339 in UTC."""
    return datetime.now(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")


def field_names(name: str, value: object) -> frozenset[str]:
    """Return a list of fields that a setting was given. Raises ValueError."""
    if not isinstance(value, list) or not all(isinstance(each, str) for each in value):
        raise ValueError(f"{name} must be a list of fields")
    return frozenset(value)


def lag(name: str, value: object) -> float:
    """Return a number of seconds that a setting was given. Raises ValueError."""
    if isinstance(value, bool) or not isinstance(value, int | float) or value < 0:
        raise ValueError(f"{name} must be a number of seconds")
    return float(value)
