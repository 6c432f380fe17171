"""Who asks the console's port: the bearer token, the Host header, and a header that browsers do not send on their own.

Comes in: a request to any route. Goes out: the request with its Actor, passed on, or 401 or 400. Never decides what an
actor may do (`console.api.permissions`), and leaves the pages to their own door: they know people by a cookie.
"""

import hmac
from collections.abc import Sequence
from dataclasses import replace
from urllib.parse import unquote

from starlette.datastructures import Headers
from starlette.middleware import Middleware
from starlette.middleware.trustedhost import TrustedHostMiddleware
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.types import ASGIApp, Receive, Scope, Send

from console.access import LOCAL, Actor
from mailroom import StoreUnavailable

#: The JSON routes that change something demand this header. A browser adds a header of this name only if the server
#: allows it to the page's origin, and the console allows it to none.
BY_HAND = "X-Relais-By-Hand"

#: Open to everybody: it tells nothing but that the process runs.
OPEN_PATH = "/healthz"
#: Where the pages are: whoever asks for one is known by a session, or shown the way in.
PAGES = "/ui"

#: Names under which the console may be asked while it has no token.
LOCAL_HOSTS = ("localhost", "127.0.0.1", "[::1]", "*.localhost")

#: Headers by which a proxy says that it asks for somebody else, who is not on this machine then.
OF_PROXIES = ("forwarded", "x-forwarded-for", "x-real-ip")

#: Characters of a name that somebody says.
LONGEST_NAME = 100


class Doorkeeper:
    """Middleware that finds out who asks, and answers 401 to whom it does not know.

    `token`: RELAIS_CONSOLE_TOKEN. Where it is empty, whoever reaches the port is taken for somebody of this machine.
    """

    def __init__(self, app: ASGIApp, token: str) -> None:
        self.app = app
        self.token = token.encode()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass the request on with its actor, or answer 401."""
        if scope["type"] == "http" and not _is_open(scope["path"]):
            try:
                actor = await self.recognise(scope, Headers(scope=scope))
            except StoreUnavailable as exc:
                await answer_store_away(exc)(scope, receive, send)
                return
            if actor is None:
                hint = "send Authorization: Bearer with a token of `relais tokens add`, or RELAIS_CONSOLE_TOKEN"
                refused = JSONResponse({"error": "unauthorized", "hint": hint}, 401, {"WWW-Authenticate": "Bearer"})
                await refused(scope, receive, send)
                return
            scope.setdefault("state", {})["actor"] = actor
        await self.app(scope, receive, send)

    async def recognise(self, scope: Scope, headers: Headers) -> Actor | None:
        """Return who asks, None for somebody unknown. Raises StoreUnavailable."""
        said = read_name(headers)
        given = headers.get("authorization", "")
        if not given:
            if self.token or any(name in headers for name in OF_PROXIES):
                return None
            return replace(LOCAL, name=said or LOCAL.name)
        token = given.removeprefix("Bearer ").encode()
        if self.token and hmac.compare_digest(token, self.token):
            # Who holds it reads the settings of this host, and so the store: nothing is kept from them.
            return replace(LOCAL, name=f"{said} (token)" if said else "token")
        found: Actor | None = await scope["app"].state.tokens.find(token.decode())
        return found


def build_middleware(token: str) -> Sequence[Middleware]:
    """Return the middleware that guards every route of the application."""
    guards = [Middleware(Doorkeeper, token=token)]
    if not token:
        # DNS rebinding: a web page may use a host name of its own that resolves to 127.0.0.1. Refuse such names.
        guards.append(Middleware(TrustedHostMiddleware, allowed_hosts=list(LOCAL_HOSTS)))
    return guards


def answer_store_away(exc: Exception) -> Response:
    """Return the answer where the store is away."""
    return JSONResponse({"error": "store_away", "hint": str(exc)}, 503, {"Retry-After": "1"})


def read_name(headers: Headers) -> str:
    """Return the name that the command line says: the operating-system user; empty where nobody says one."""
    said = unquote(headers.get(BY_HAND, ""))
    return "" if said == "1" else keep_printable(said)[:LONGEST_NAME].strip()


def keep_printable(text: str) -> str:
    """Return a text that no terminal takes for a command; line ends and tabs become blanks."""
    return "".join(sign if sign.isprintable() else " " if sign in "\r\n\t" else "" for sign in text)


def may_be_web_page(request: Request) -> bool:
    """Say whether a web page in a browser could have sent this request without anybody's consent."""
    return BY_HAND not in request.headers or "origin" in request.headers


def _is_open(path: str) -> bool:
    return path in (OPEN_PATH, PAGES) or path.startswith(f"{PAGES}/")
