"""Stands before every page: who asks, whether a foreign page has sent it, what a browser may do with the answer.

Comes in: a request to a page. Goes out: the answer of the page with its headers, or a redirection to the door, or a
refusal. Never takes a bearer token: the JSON routes do, and they take no cookie.
"""

import logging
import secrets
import time
from collections.abc import Awaitable, Callable
from typing import Literal
from urllib.parse import quote, urlencode, urlsplit

from starlette.datastructures import MutableHeaders
from starlette.requests import Request
from starlette.responses import RedirectResponse, Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from console.access import Actor, Role, Sessions
from mailroom import StoreUnavailable

log = logging.getLogger("relais.console")

#: What a browser may do with a page. Only our own module makes HTML of text that it fetched (policy `relais`).
POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; connect-src 'self'; form-action 'self'; "
    "frame-ancestors 'none'; base-uri 'none'; require-trusted-types-for 'script'; trusted-types relais"
)
HEADERS = {
    "Content-Security-Policy": POLICY,
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "no-referrer",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Permissions-Policy": "camera=(), geolocation=(), microphone=()",
}
#: Seconds that a session is known without the store, while that is away, and how many are.
KNOWN_FOR, MOST_KNOWN = 3600.0, 1000
#: Asked without a session.
OPEN = ("/login", "/enter/", "/sso", "/static/", "/look")

#: Makes the page that says what went wrong.
Refuse = Callable[[Request, int, str], Awaitable[Response]]


class PageGuard:
    """Middleware of all pages."""

    def __init__(self, app: ASGIApp, refuse: Refuse) -> None:
        """`refuse`: makes the page of a refusal, from its status and its code."""
        self.app = app
        self._refuse = refuse
        self._known: dict[str, tuple[Actor, float]] = {}

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass the request on, or answer in its place."""
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return
        begun = False

        async def send_with_headers(message: Message) -> None:
            nonlocal begun
            if message["type"] == "http.response.start":
                begun = True
                headers = MutableHeaders(scope=message)
                headers.update(HEADERS)
                headers.setdefault("Cache-Control", "no-store")
            await send(message)

        request = Request(scope, receive)
        try:
            answer = await self._judge(request)
            await (answer or self.app)(scope, receive, send_with_headers)
        except Exception:
            if begun:
                raise
            # What stands on the page is found in the log.
            scope["state"]["fault"] = fault = secrets.token_hex(4)
            log.exception("page.failed fault=%s path=%s", fault, path_of(request))
            answer = await self._refuse(request, 500, "fault")
            await answer(scope, receive, send_with_headers)

    async def _judge(self, request: Request) -> Response | None:
        """Find out who asks; return an answer where that is not enough."""
        state = request.scope.setdefault("state", {})
        state["actor"] = None
        if request.method not in ("GET", "HEAD") and not is_of_own_page(request):
            return await self._refuse(request, 403, "foreign_page")
        path = path_of(request)
        if path.startswith("/static/"):
            return None
        try:
            state["actor"] = await self._find_actor(request)
        except StoreUnavailable:
            if not path.startswith(OPEN):
                return await self._refuse(request, 503, "store_away")
        if state["actor"] is None and not path.startswith(OPEN):
            return RedirectResponse(f"{request.app.state.base}/ui/login{wanted(request, path)}", 303)
        return None

    async def _find_actor(self, request: Request) -> Actor | None:
        """Return whose session it is. While the store is away, those are known that were seen lately."""
        cookie = request.cookies.get(cookie_name(request), "")
        if not cookie:
            return None
        sessions: Sessions = request.app.state.sessions
        now = time.monotonic()
        try:
            found = await sessions.find(cookie)
        except StoreUnavailable:
            actor, seen = self._known.get(cookie, (None, 0.0))
            if actor is None or now - seen > KNOWN_FOR:
                raise
            return Actor(actor.name, Role.VIEWER)  # nothing can be decided now
        self._known.pop(cookie, None)
        if found is not None:
            while len(self._known) >= MOST_KNOWN:
                del self._known[next(iter(self._known))]
            self._known[cookie] = found, now
        return found


def is_of_own_page(request: Request) -> bool:
    """Say whether a form of ours was sent: browsers say so themselves, and older ones name the origin."""
    site = request.headers.get("sec-fetch-site")
    if site is not None:
        return site == "same-origin"
    origin = request.headers.get("origin", "")
    return bool(origin) and urlsplit(origin).netloc == request.headers.get("host")


def path_of(request: Request) -> str:
    """Return the path below `/ui`."""
    return request.url.path.removeprefix(request.scope.get("root_path", "")) or "/"


def wanted(request: Request, path: str) -> str:
    """Return the query by which the door remembers which page somebody wanted to see; empty for the first one."""
    if request.method != "GET" or path == "/":
        return ""
    query = f"?{request.url.query}" if request.url.query else ""
    return "?" + urlencode({"next": quote(path) + query})


def cookie_name(request: Request, what: str = "") -> str:
    """Return what a cookie is called. Over HTTP, cookies of all ports of a host are sent to each of them."""
    if request.url.scheme == "https":
        return f"__Host-relais{what}"
    return f"relais{what}-{request.url.port or 80}"


def set_cookie(
    request: Request,
    answer: Response,
    value: str,
    what: str = "",
    *,
    lives: int | None = None,
    samesite: Literal["lax", "strict"] = "strict",
) -> None:
    """Give the browser its session, or another secret (`what`); an empty one ends it.

    `lives`: seconds; None: as long as the browser. `lax`: also sent when another site leads here.
    """
    answer.set_cookie(
        cookie_name(request, what),
        value,
        max_age=lives if value else 0,
        path="/",
        secure=request.url.scheme == "https",
        httponly=True,
        samesite=samesite,
    )
