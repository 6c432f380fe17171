"""How people come in and go: the link that is good for one use, name and pass phrase, signing out; language and zone.

Comes in: a link, a form. Goes out: a session's cookie, and the first page. Never consumes a link that was only opened:
previews and scanners of mails do that.
"""

from starlette.requests import Request
from starlette.responses import RedirectResponse, Response
from starlette.routing import Route

from console.access import PhraseRefused, Sessions, SignInRefused
from console.web import guard, page
from console.web.language import LANGUAGES, N_

A_YEAR = 365 * 86_400


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
    return _let_in(request, cookie)


async def show_login(request: Request) -> Response:
    """Answer the form for name and pass phrase."""
    return await page.render(request, "login.html", wrong="", wait=0)


async def sign_in(request: Request) -> Response:
    """Let somebody in who knows their pass phrase."""
    sessions: Sessions = request.app.state.sessions
    form = await page.read_form(request)
    address = request.client.host if request.client else ""
    try:
        cookie = await sessions.sign_in(form.get("name", ""), form.get("phrase", ""), address)
    except SignInRefused as exc:
        wrong = N_("Too many attempts.") if exc.wait else N_("Name and pass phrase do not fit.")
        return await page.render(request, "login.html", 429 if exc.wait else 401, wrong=wrong, wait=exc.wait)
    return _let_in(request, cookie)


def _let_in(request: Request, cookie: str) -> Response:
    answer = page.go(request)
    guard.set_cookie(request, answer, cookie)
    return answer


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
    back = form.get("back", "")
    base = f"{request.app.state.base}/ui"
    ours = back.startswith(f"{base}/") and "//" not in back and "\\" not in back and back.isprintable()
    answer = RedirectResponse(back if ours else f"{base}/", 303)
    secure = request.url.scheme == "https"
    answer.set_cookie(page.LOOK, value, A_YEAR, path="/", secure=secure, httponly=True, samesite="strict")
    return answer


ROUTES = (
    Route("/enter/{link}", show_link),
    Route("/enter/{link}", use_link, methods=["POST"]),
    Route("/login", show_login),
    Route("/login", sign_in, methods=["POST"]),
    Route("/logout", sign_out, methods=["POST"]),
    Route("/look", change_look, methods=["POST"]),
)
