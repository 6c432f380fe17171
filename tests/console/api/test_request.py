"""The bounds of a request to the private port, asked of the application itself."""

import asyncio
from collections.abc import Mapping
from typing import Any

import pytest
from pydantic import Field
from starlette.requests import Request
from starlette.responses import JSONResponse, Response

from console.api import request as requests
from console.api.request import LARGEST_BODY, DecisionBody, takes

HEADERS = {"x-relais-by-hand": "1", "content-type": "application/json"}


class ExampleDecision(DecisionBody):
    items: list[str] = Field(min_length=1, max_length=500)
    sure: bool = False


@takes(ExampleDecision)
async def decide(_: Request, decision: ExampleDecision) -> Response:
    """Answer what was understood."""
    return JSONResponse({"count": len(decision.items), "sure": decision.sure})


async def _decide(request: Request) -> Response:
    return await decide(request)


def asked(body: bytes, headers: Mapping[str, str] = HEADERS) -> tuple[int, bytes]:
    """Send a body, in chunks as a server passes it on, to the endpoint."""
    chunks = [body[at : at + 65_536] for at in range(0, len(body), 65_536)] or [b""]

    async def receive() -> dict[str, Any]:
        chunk = chunks.pop(0)
        return {"type": "http.request", "body": chunk, "more_body": bool(chunks)}

    scope = {"type": "http", "method": "POST", "headers": [(k.encode(), v.encode()) for k, v in headers.items()]}
    answer: Response = asyncio.run(_decide(Request(scope, receive)))
    return answer.status_code, bytes(answer.body)


def test_understood() -> None:
    """A right body reaches the handler as a model; its docstring and name stay those of the handler."""
    assert asked(b'{"items": ["a"], "sure": true}') == (200, b'{"count":1,"sure":true}')
    assert asked(b'{"items": ["a"]}', {**HEADERS, "content-type": "application/json; charset=utf-8"})[0] == 200
    assert (decide.__name__, decide.__doc__) == ("decide", "Answer what was understood.")


@pytest.mark.parametrize(
    ("body", "hint"),
    [
        (b"", b"the body: "),
        (b"{}", b"items: "),
        (b'{"items": []}', b"items: "),
        (b'{"items": [1]}', b"items.0: "),
        (b'{"items": ["a"], "sure": "yes"}', b"sure: "),
        (b'{"items": ["a"], "more": 1}', b"more: "),
    ],
)
def test_bad_request(body: bytes, hint: bytes) -> None:
    """What is not understood is refused with the place; nothing is converted and nothing ignored."""
    status, answer = asked(body)
    assert status == 400
    assert answer.startswith(b'{"error":"bad_request","hint":"' + hint)


def test_value_is_not_repeated() -> None:
    """A refused value does not come back in the answer: it may be a secret or a person's."""
    assert b"swordfish" not in asked(b'{"items": ["a"], "sure": "swordfish"}')[1]


@pytest.mark.parametrize(("more", "status"), [(0, 200), (1, 413)])
def test_largest_body(more: int, status: int) -> None:
    """A body of the largest size is taken, and not one byte more."""
    body = b'{"items": ["a"]}'
    assert asked(body + b" " * (LARGEST_BODY - len(body) + more))[0] == status


@pytest.mark.parametrize(
    ("headers", "status"),
    [
        ({"content-type": "application/json"}, 403),
        ({**HEADERS, "origin": "http://127.0.0.1:8081"}, 403),
        ({**HEADERS, "origin": "null"}, 403),
        ({"x-relais-by-hand": "1"}, 415),
        ({**HEADERS, "content-type": "text/plain"}, 415),
        ({**HEADERS, "content-type": "application/x-www-form-urlencoded"}, 415),
    ],
)
def test_web_page(headers: Mapping[str, str], status: int) -> None:
    """What a web page could send by itself is refused before its body is read."""
    assert asked(b'{"items": ["a"]}', headers)[0] == status


def query(text: str) -> Request:
    return Request({"type": "http", "method": "GET", "headers": [], "query_string": text.encode()})


def test_selection() -> None:
    """Every filter of a query selects; empty ids are none; a time that is none is not understood."""
    words = {name: f"a {name}" for name in requests.FILTERS}
    found = requests.read_selection(query("&".join(f"{k}={v}" for k, v in words.items()) + "&since=5&ids=a,,b,"))
    assert found is not None
    assert {name: getattr(found, name) for name in words} == words
    assert (found.since, found.ids) == (5, frozenset({"a", "b"}))
    assert requests.read_selection(query("")) == type(found)()
    assert requests.read_selection(query("since=yesterday")) is None


@pytest.mark.parametrize(("text", "number"), [(None, 7.0), ("", None), ("3", 3.0), ("0.5", 0.5), ("many", None)])
def test_number(text: str | None, number: float | None) -> None:
    """A number of a query, its default where there is none, None where it is no number."""
    assert requests.read_number(text, 7.0) == number
