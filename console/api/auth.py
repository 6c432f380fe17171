"""Who may use the console's port: a bearer token, the Host header, and a header that browsers do not send on their own.

Comes in: a request to any route, JSON or page. Goes out: the request, passed on, or 401 or 400. Never decides what a
request does, and knows no route but `/healthz`.
"""

import hmac
import ipaddress
from collections.abc import Sequence

from starlette.middleware import Middleware
from starlette.middleware.trustedhost import TrustedHostMiddleware
from starlette.requests import Request
from starlette.responses import JSONResponse
from starlette.types import ASGIApp, Receive, Scope, Send

#: The JSON routes that change something demand this header. A browser adds a header of this name only if the server
#: allows it to the page's origin, and the console allows it to none.
BY_HAND = "X-Relais-By-Hand"

#: Open to everybody: it tells nothing but that the process runs.
OPEN_PATH = "/healthz"

#: Names under which the console may be asked while it has no token.
LOCAL_HOSTS = ("localhost", "127.0.0.1", "[::1]", "*.localhost")


class BearerToken:
    """Middleware that answers 401 to requests without the token. An empty token lets every request through."""

    def __init__(self, app: ASGIApp, token: str) -> None:
        self.app = app
        self.expected = f"Bearer {token}".encode() if token else b""

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass the request on, or answer 401."""
        if scope["type"] != "http" or not self.expected or scope["path"] == OPEN_PATH:
            await self.app(scope, receive, send)
            return
        given = dict(scope["headers"]).get(b"authorization", b"")
        if hmac.compare_digest(given, self.expected):
            await self.app(scope, receive, send)
            return
        answer = JSONResponse(
            {"error": "unauthorized", "hint": "send Authorization: Bearer with the value of RELAIS_CONSOLE_TOKEN"},
            401,
            {"WWW-Authenticate": "Bearer"},
        )
        await answer(scope, receive, send)


def build_middleware(token: str) -> Sequence[Middleware]:
    """Return the middleware that guards every route of the application."""
    guards = [Middleware(BearerToken, token=token)]
    if not token:
        # DNS rebinding: a web page may use a host name of its own that resolves to 127.0.0.1. Refuse such names.
        guards.append(Middleware(TrustedHostMiddleware, allowed_hosts=list(LOCAL_HOSTS)))
    return guards


def may_be_web_page(request: Request) -> bool:
    """Say whether a web page in a browser could have sent this request without anybody's consent."""
    return BY_HAND not in request.headers or "origin" in request.headers


def is_loopback(host: str) -> bool:
    """Say whether an address is reachable from this machine alone."""
    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False
