"""Tokens by client credentials: one at a time, renewed before they end, never shown."""

import asyncio
import base64
import json
import logging
from collections.abc import Awaitable, Callable
from typing import Any
from urllib.parse import parse_qs

import pytest

from tests.workers.wire import RESET, RawServer, reply
from workers import oauth
from workers.http import Http
from workers.oauth import TokenRequest, TokenSource
from workers.outcome import Failed


def token(value: str = "t-1", **more: Any) -> bytes:
    """Return the answer of a server that gives a token."""
    return reply(200, json.dumps({"access_token": value, "token_type": "Bearer", "expires_in": 3600, **more}))


def ask(url: str, use: Callable[[TokenSource], Awaitable[Any]], **more: Any) -> Any:
    """Use a source of tokens of a server."""

    async def main() -> Any:
        async with Http() as way_out:
            http = way_out.bind(timeout=2, allow_private=True)
            return await use(TokenSource(http.aside(), TokenRequest(url, "us:r", "s3cret&", **more)))

    return asyncio.run(main())


def test_token() -> None:
    """It is asked for as RFC 6749 says: a form, and who we are in the header, each part encoded."""
    with RawServer(token()) as server:
        assert ask(server.url, lambda source: source.get(), scope="a b", more={"audience": "crm"}) == "t-1"
    (seen,) = server.requests
    assert (seen.method, seen.headers["content-type"]) == ("POST", "application/x-www-form-urlencoded")
    assert parse_qs(seen.body.decode()) == {
        "grant_type": ["client_credentials"],
        "scope": ["a b"],
        "audience": ["crm"],
    }
    assert base64.b64decode(seen.headers["authorization"].removeprefix("Basic ")) == b"us%3Ar:s3cret%26"


def test_in_body() -> None:
    """Vendors that want id and secret in the form get them there, and nowhere else."""
    with RawServer(token()) as server:
        ask(server.url, lambda source: source.get(), in_body=True)
    (seen,) = server.requests
    assert parse_qs(seen.body.decode()) == {
        "grant_type": ["client_credentials"],
        "client_id": ["us:r"],
        "client_secret": ["s3cret&"],
    }
    assert "authorization" not in seen.headers


def test_one_at_a_time() -> None:
    """Many that need a token at once fetch one; so do those that come later."""

    async def use(source: TokenSource) -> list[str]:
        first = await asyncio.gather(*(source.get() for _ in range(20)))
        return [*first, await source.get()]

    with RawServer(token(), token("t-2")) as server:
        assert ask(server.url, use) == ["t-1"] * 21
    assert len(server.requests) == 1


@pytest.mark.parametrize(
    ("life", "early"), [(3600, 60), (100, 20), ("100", 20), (None, 60), ("soon", 60), (-5, 60), (0, 60)]
)
def test_renewed_early(monkeypatch: pytest.MonkeyPatch, life: Any, early: float) -> None:
    """A minute before it ends it is replaced, or when four fifths of its life are over; where none is said, in time."""
    now = 1_000.0
    monkeypatch.setattr("workers.oauth.time.monotonic", lambda: now)
    lasts = float(life) if life in (3600, 100, "100") else oauth.UNSAID

    async def use(source: TokenSource) -> list[str]:
        nonlocal now
        first = await source.get()
        now += lasts - early - 0.01
        second = await source.get()
        now += 0.02
        return [first, second, await source.get()]

    with RawServer(token(expires_in=life), token("t-2")) as server:
        assert ask(server.url, use) == ["t-1", "t-1", "t-2"]


def test_dropped() -> None:
    """A token that the API refused is fetched anew, once, however many were refused with it."""

    async def use(source: TokenSource) -> list[str]:
        first = await source.get()
        source.drop(first)
        second = await source.get()
        source.drop(first)  # by one that used the old one
        return [first, second, await source.get()]

    with RawServer(token(), token("t-2"), token("t-3")) as server:
        assert ask(server.url, use) == ["t-1", "t-2", "t-2"]


@pytest.mark.parametrize(
    ("answer", "failure", "code", "hint"),
    [
        (reply(401, '{"error": "invalid_client"}'), "credential", "token_refused", "(invalid_client)"),
        (reply(400, '{"error": "invalid_scope"}'), "credential", "token_refused", "(invalid_scope)"),
        (reply(400, '{"error": "eva@example.org s3cret"}'), "credential", "token_refused", "(HTTP 400)"),
        (reply(403, "[]"), "credential", "token_refused", "(HTTP 403)"),
        (reply(429, "{}", Retry_After="7"), "limited", "limited", ""),
        (reply(503, "{}", Retry_After="7"), "transient", "token_unavailable", "look at token_url"),
        (reply(500, "oops"), "transient", "token_unavailable", "look at token_url"),
        (reply(200, "<html>log in</html>", "text/html"), "transient", "token_unavailable", "look at token_url"),
        (reply(200, '{"access_token": ""}'), "transient", "token_unavailable", "look at token_url"),
        (reply(200, '{"access_token": "t", "token_type": "mac"}'), "transient", "token_unavailable", "token_url"),
        (reply(302, "", Location="/elsewhere"), "transient", "token_unavailable", "look at token_url"),
        (RESET, "transient", "reset", ""),
    ],
)
def test_no_token(caplog: pytest.LogCaptureFixture, answer: bytes, failure: str, code: str, hint: str) -> None:
    """Without a token nothing was asked of the API: never ambiguous; what is shown holds no secret."""
    caplog.set_level(logging.DEBUG)
    with RawServer(answer) as server, pytest.raises(Failed) as caught:
        ask(server.url, lambda source: source.get())
    failed = caught.value
    assert (failed.failure, failed.code) == (failure, code)
    assert hint in failed.hint
    assert failed.wait == (7 if "Retry-After" in answer.decode("latin-1") else 0)
    said = f"{failed!r} {failed.hint} {failed.__context__!r} {caplog.text} {TokenRequest('u', 'us:r', 's3cret&')!r}"
    assert "s3cret" not in said
    assert "us:r" not in said
