"""How people come in and go: a link that is good for one use, name and pass phrase, single sign-on; language and zone.

Comes in: a link, a form, the way back from a provider. Goes out: a session's cookie, and the page that was wanted.
Never consumes a link that was only opened: previews and scanners of mails do that.
"""

import logging
import secrets
from typing import TYPE_CHECKING

from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import RedirectResponse, Response
from starlette.routing import Route

from console.access import Audit, PhraseRefused, Sessions, SignInRefused, SignOnRefused
from console.access.sessions import LINK_LIVES
from console.web import guard, page
from console.web.language import LANGUAGES, N_

if TYPE_CHECKING:
    from console.access.oidc import SignOn

log = logging.getLogger("relais.console")

A_YEAR = 365 * 86_400
#: The cookie by which a browser that comes back from the provider is known.
SSO = "-sso"
#: Why single sign-on lets somebody not in -> status and what they are told.
REFUSALS = {
    "over": (400, N_("This sign-in is over: it was used, is older than ten minutes, or began in another browser.")),
    "denied": (403, N_("The provider of single sign-on did not let you in.")),
    "away": (503, N_("The provider of single sign-on does not answer. Try again in a while.")),
    "unfit": (
        502,
        N_("The provider of single sign-on answered what does not hold. See relais doctor and the console's log."),
    ),
    "no_role": (
        403,
        N_("The provider knows you, but none of your groups has a role here. Ask who runs Relais: RELAIS_OIDC_ROLES."),
    ),
    "domain": (
        403,
        N_("The provider knows you, but your domain is none of those that may come in: RELAIS_OIDC_DOMAINS."),
    ),
    "name_taken": (
        403,
        N_("Another account of the provider came in under your name before. An admin frees it: relais users remove."),
    ),
}


async def show_link(request: Request) -> Response:
    """Answer what a link is good for, with one button."""
    sessions: Sessions = request.app.state.sessions
    entry = await sessions.look(request.path_params["link"])
    return await page.render(request, "enter.html", 200 if entry else 410, entry=entry, wrong="")


async def use_link(request: Request) -> Response:
    """Use a link up."""
    sessions: Sessions = request.app.state.sessions
    link, form = request.path_params["link"], await page.read_form(request)
    entry = await sessions.look(link)
    if form.get("phrase", "") != form.get("again", ""):
        return await page.render(request, "enter.html", 400, entry=entry, wrong=N_("The two are not the same."))
    try:
        cookie = await sessions.enter(link, form.get("phrase", ""))
    except PhraseRefused:
        wrong = N_("A pass phrase has 12 characters at least, and 1,024 at the most.")
        return await page.render(request, "enter.html", 400, entry=entry, wrong=wrong)
    if cookie is None:
        return await page.render(request, "enter.html", 410, entry=None, wrong="")
    return await _let_in(request, cookie, "link")


async def show_login(request: Request, status: int = 200, wrong: str = "", wait: int = 0, then: str = "") -> Response:
    """Answer the form for name and pass phrase, and the way to the provider of single sign-on where there is one."""
    then = then or page.keep_own(request.query_params.get("next", ""))
    sso = request.app.state.sign_on is not None
    return await page.render(request, "login.html", status, wrong=wrong, wait=wait, then=then, sso=sso)


async def sign_in(request: Request) -> Response:
    """Let somebody in who knows their pass phrase."""
    sessions: Sessions = request.app.state.sessions
    form = await page.read_form(request)
    address = request.client.host if request.client else ""
    try:
        cookie = await sessions.sign_in(form.get("name", ""), form.get("phrase", ""), address)
    except SignInRefused as exc:
        wrong = N_("Too many attempts.") if exc.wait else N_("Name and pass phrase do not fit.")
        then = page.keep_own(form.get("next", ""))
        return await show_login(request, 429 if exc.wait else 401, wrong, exc.wait, then)
    return await _let_in(request, cookie, "pass phrase", form.get("next", ""))


async def _let_in(request: Request, cookie: str, how: str, then: str = "") -> Response:
    audit: Audit = request.app.state.audit
    sessions: Sessions = request.app.state.sessions
    if actor := await sessions.find(cookie):
        await audit.write(actor, "sign_in", how)
    answer = RedirectResponse(page.link(request.app.state.base) + page.keep_own(then)[1:], 303)
    guard.set_cookie(request, answer, cookie)
    return answer


async def go_to_provider(request: Request) -> Response:
    """Lead somebody to the provider of single sign-on. A link: what a form leads to, a page's policy would refuse."""
    sign_on = _find_sign_on(request)
    browser = request.cookies.get(guard.cookie_name(request, SSO), "") or secrets.token_urlsafe(32)
    base = f"{request.url.scheme}://{request.url.netloc}"
    back = base + page.link(request.app.state.base, "sso", "back")
    then = page.keep_own(request.query_params.get("next", ""))
    address = request.client.host if request.client else ""
    try:
        answer = RedirectResponse(await sign_on.begin(browser, address, back, then), 303)
    except SignInRefused as exc:
        return await show_login(request, 429, N_("Too many attempts."), exc.wait, then)
    except SignOnRefused as exc:
        return await _refuse(request, exc, then)
    # The provider leads back here, and that is another site: a strict cookie would not come along.
    guard.set_cookie(request, answer, browser, SSO, lives=LINK_LIVES, samesite="lax")
    return answer


async def come_back(request: Request) -> Response:
    """Let somebody in for whom the provider vouches.

    What answers is a page that leads on: the cookie of a session is strict, and a browser that another site has led
    here would not send it with a redirection.
    """
    sign_on = _find_sign_on(request)
    browser = request.cookies.get(guard.cookie_name(request, SSO), "")
    try:
        cookie, then = await sign_on.finish(browser, request.query_params)
    except SignOnRefused as exc:
        if exc.code != "over":
            return await _refuse(request, exc)
        # Who went back and pressed once more may be in already, which this request does not tell, either.
        return await page.render(request, "onward.html", 400, to=page.link(request.app.state.base, "sso", "over"))
    answer = await page.render(request, "onward.html", to=page.link(request.app.state.base) + then[1:])
    guard.set_cookie(request, answer, cookie)
    return answer


async def show_over(request: Request) -> Response:
    """Answer that a sign-in is over; who is in already sees the first page."""
    return page.go(request) if request.state.actor else await show_login(request, *REFUSALS["over"])


def _find_sign_on(request: Request) -> "SignOn":
    sign_on: SignOn | None = request.app.state.sign_on
    if sign_on is None:
        raise HTTPException(404)
    return sign_on


async def _refuse(request: Request, exc: SignOnRefused, then: str = "") -> Response:
    log.warning("sign_on.refused code=%s why=%s", exc.code, exc.why)
    status, said = REFUSALS[exc.code]
    return await show_login(request, status, said, then=then)


async def sign_out(request: Request) -> Response:
    """End the session; `everywhere`: all sessions of this person."""
    sessions: Sessions = request.app.state.sessions
    form = await page.read_form(request)
    if form.get("everywhere") and request.state.actor is not None:
        await sessions.end_all(request.state.actor.name)
    await sessions.end(request.cookies.get(guard.cookie_name(request), ""))
    answer = page.go(request, "login")
    guard.set_cookie(request, answer, "")
    return answer


async def change_look(request: Request) -> Response:
    """Remember language and time zone."""
    form = await page.read_form(request)
    known, zone = page.read_look(request)
    chosen = form.get("language", known)
    wanted = form.get("zone", zone.key)
    value = f"{chosen if chosen in LANGUAGES else known}.{wanted if wanted in page.zones() else zone.key}"
    base = f"{request.app.state.base}/ui"
    back = page.keep_own(form.get("back", "").removeprefix(base))
    answer = RedirectResponse(base + (back or "/"), 303)
    secure = request.url.scheme == "https"
    answer.set_cookie(page.LOOK, value, A_YEAR, path="/", secure=secure, httponly=True, samesite="strict")
    return answer


ROUTES = (
    Route("/enter/{link}", show_link),
    Route("/enter/{link}", use_link, methods=["POST"]),
    Route("/login", show_login),
    Route("/login", sign_in, methods=["POST"]),
    Route("/sso", go_to_provider),
    Route("/sso/back", come_back),
    Route("/sso/over", show_over),
    Route("/logout", sign_out, methods=["POST"]),
    Route("/look", change_look, methods=["POST"]),
)
