"""Makes a page of a template: in the language and the time zone of who asks, with links that work below any path.

Comes in: a request, the name of a template, values. Goes out: an HTML answer with an ETag, or 304. Never asks the
store, and never trusts a value: all are escaped, and one that is missing is an error.
"""

import functools
import hashlib
import itertools
import re
import time
from collections.abc import Awaitable, Callable, Sequence
from datetime import UTC, date, datetime
from typing import Any
from urllib.parse import parse_qsl, quote, unquote, urlencode
from zoneinfo import ZoneInfo, available_timezones

import jinja2
from babel import Locale, dates, numbers
from jinja2.ext import Extension
from jinja2.runtime import Context
from markupsafe import Markup
from starlette.requests import Request
from starlette.responses import HTMLResponse, RedirectResponse, Response

from console.access import Role
from console.api.request import get_actor
from console.web import assets, language, words
from console.web.language import LANGUAGES
from mailroom import sentences
from rules.matching.truth import Why

#: The cookie in which language and time zone are remembered: `de.Europe/Berlin`.
LOOK = "relais-look"
#: Bytes of a form; a pasted event is the largest.
LARGEST_FORM = 1_048_576
#: Characters of an address that is remembered for after the sign-in.
LONGEST_PATH = 1_000
#: Stands in a page where the time of its making is filled in: that changes no ETag.
AS_OF = "\N{OBJECT REPLACEMENT CHARACTER}as of\N{OBJECT REPLACEMENT CHARACTER}"

#: How a language writes a day.
DAYS = {"en": "d MMM", "de": "d. MMM", "fr": "d MMM"}
#: An instant as sentences hold it.
INSTANT = re.compile(r"\b\d{4}-\d\d-\d\dT\d\d:\d\d(?::\d\d(?:\.\d+)?)?Z(?!\w)")

#: Templates whose page is below another entry of the navigation.
SECTIONS = {"event": "events", "people": "events", "act": "todo", "job": "todo", "jobs": "todo"}

Form = dict[str, str]


class FormRefused(Exception):
    """What was sent is no form of ours."""


@functools.cache
def environment(chosen: str, base: str) -> jinja2.Environment:
    """Return the templates in one language."""
    extensions: Sequence[str | type[Extension]] = ["jinja2.ext.i18n", "jinja2.ext.do"]
    found = jinja2.Environment(
        loader=jinja2.PackageLoader("console.web"),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        extensions=extensions,
        trim_blocks=True,
        lstrip_blocks=True,
        auto_reload=False,
    )
    known = language.translations(chosen)
    found.install_gettext_callables(known.gettext, known.ngettext, newstyle=True)  # type: ignore[attr-defined]
    found.filters |= {
        # A sentence that no template has: `_` would trust it, and it may hold what somebody typed.
        "say": lambda text: known.gettext(text) if text else "",
        "tell": tell,
        "reason": lambda code: known.gettext(told) if (told := sentences.find_reason(code)) else "",
        "moment": show_moment,
        "day": functools.partial(say_day, chosen),
        "age": functools.partial(show_age, Locale(chosen)),
        "number": functools.partial(numbers.format_decimal, locale=chosen),
        "labelled": label_cells,
        "span": functools.partial(show_span, Locale(chosen)),
    }
    found.tests["sentence"] = lambda text: isinstance(text, sentences.Sentence | Why)
    found.globals |= {
        "link": functools.partial(link, base),
        "asset": lambda name: f"{base}/ui/static/{assets.address(name)}",
        "languages": LANGUAGES,
        "words": words,
        "roles": Role,
    }
    return found


def link(base: str, *path: str, **query: Any) -> str:
    """Return the address of a page; what is empty in the query is left out."""
    told = urlencode({name.rstrip("_"): value for name, value in query.items() if value not in ("", None, 0)})
    return f"{base}/ui/" + "/".join(quote(part, safe="") for part in path) + (f"?{told}" if told else "")


@jinja2.pass_context
def tell(context: Context, text: Any) -> Any:
    """Return a sentence of the catalogue in the language and the time zone of who asks; anything else as it is."""
    chosen, zone = context["language"], context["zone"]
    known = language.translations(chosen)
    told = sentences.write(text, known.gettext, known.ngettext)
    if not isinstance(text, sentences.Sentence):
        return told
    return INSTANT.sub(lambda found: say_moment(datetime.fromisoformat(found[0]), zone, chosen), told)


@jinja2.pass_context
def show_moment(context: Context, value: str | int | None) -> str | Markup:
    """Return a time in the zone of who asks; UTC stands in its title."""
    return write_moment(value, context["zone"], context["language"]) if value else "–"


def write_moment(value: str | int, zone: ZoneInfo, chosen: str) -> Markup:
    """Return a time as HTML."""
    at = datetime.fromtimestamp(value / 1000, UTC) if isinstance(value, int) else datetime.fromisoformat(value)
    stamp = at.astimezone(UTC).isoformat(timespec="milliseconds")
    utc = stamp.replace("T", " ").removesuffix("+00:00")
    return Markup('<time datetime="{}" title="{} UTC">{}</time>').format(stamp, utc, say_moment(at, zone, chosen))


def say_moment(at: datetime, zone: ZoneInfo, chosen: str) -> str:
    """Return a time in a zone, as a language writes it; of today without the day."""
    here, today = at.astimezone(zone), datetime.now(zone).date()
    day = DAYS[chosen]
    shape = "HH:mm:ss" if here.date() == today else f"{day} HH:mm" if here.year == today.year else f"{day} y HH:mm"
    return dates.format_datetime(here, shape, locale=chosen)


def say_day(chosen: str, value: str) -> str:
    """Return the day of a date or a time, as a language writes it."""
    return dates.format_date(date.fromisoformat(value[:10]), f"{DAYS[chosen]} y", locale=chosen)


def show_age(locale: Locale, value: str | int | None) -> str:
    """Return how long ago a time is: `3 hours`."""
    if not value:
        return "–"
    at = value / 1000 if isinstance(value, int) else datetime.fromisoformat(value).timestamp()
    return show_span(locale, max(0.0, time.time() - at))


def show_span(locale: Locale, seconds: float) -> str:
    """Return how long something takes or took."""
    return dates.format_timedelta(max(int(seconds), 1), threshold=1.2, locale=locale)


def label_cells(row: str, heads: Sequence[str]) -> Markup:
    """Return the cells of a row, each with the head of its column: on a narrow screen a row is a card."""
    named = itertools.chain(heads, itertools.repeat(""))
    return Markup(re.sub(r"<td(?=[ >])", lambda _: f'<td data-label="{Markup.escape(next(named))}"', row))  # noqa: S704


def read_look(request: Request) -> tuple[str, ZoneInfo]:
    """Return the language and the time zone of who asks."""
    chosen, _, zone = request.cookies.get(LOOK, "").partition(".")
    if chosen not in LANGUAGES:
        chosen = language.choose(request.headers.get("accept-language", ""))
    return chosen, ZoneInfo(zone if zone in zones() else "UTC")


@functools.cache
def zones() -> frozenset[str]:
    """Return the names of all time zones."""
    return frozenset(available_timezones())


async def render(request: Request, template: str, /, status: int = 200, **values: Any) -> Response:
    """Return a page."""
    chosen, zone = read_look(request)
    state = request.scope["state"]
    context = {
        "actor": state.get("actor"),
        "section": SECTIONS.get(template.partition(".")[0], template.partition(".")[0]),
        "zone_chosen": "." in request.cookies.get(LOOK, ""),
        "language": chosen,
        "zone": zone,
        "path": request.app.state.base + request.url.path,
        "query": dict(request.query_params),
        "stale": state.get("stale"),
        "as_of": AS_OF,
        **values,
    }
    text = environment(chosen, request.app.state.base).get_template(template).render(context)
    tag = f'"{hashlib.sha256(text.encode()).hexdigest()[:20]}"'
    said = write_moment(state.get("stale") or int(time.time() * 1000), zone, chosen)
    if request.method == "GET" and request.headers.get("if-none-match") == tag:
        return Response(status_code=304, headers={"ETag": tag})
    return HTMLResponse(text.replace(AS_OF, said), status, {"ETag": tag})


Handler = Callable[[Request], Awaitable[Response]]


def needs(role: Role) -> Callable[[Handler], Handler]:
    """Let a page be answered to those alone who have a role, or more."""

    def guard(handler: Handler) -> Handler:
        @functools.wraps(handler)
        async def guarded(request: Request) -> Response:
            return await handler(request) if get_actor(request).role.may(role) else await refuse_role(request, role)

        return guarded

    return guard


async def refuse_role(request: Request, role: Role) -> Response:
    """Answer that somebody may not do this."""
    return await render(request, "refused.html", 403, code="role", needs=role.word)


def go(request: Request, *path: str, **query: Any) -> Response:
    """Return a redirection to another page, after a form was sent."""
    return RedirectResponse(link(request.app.state.base, *path, **query), 303)


def keep_own(path: str) -> str:
    """Return a path below `/ui` to which a browser may be led, `/events?type=x`; empty where it may lead elsewhere."""
    ours = path.startswith("/") and not any(each in unquote(path) for each in ("//", "..", "\\"))
    return path if ours and path.isprintable() and len(path) <= LONGEST_PATH else ""


async def read_form(request: Request) -> Form:
    """Return the fields of a form. Raises FormRefused."""
    if request.headers.get("content-type", "").partition(";")[0].strip() != "application/x-www-form-urlencoded":
        raise FormRefused
    body = b""
    async for chunk in request.stream():
        body += chunk
        if len(body) > LARGEST_FORM:
            raise FormRefused
    try:
        return dict(parse_qsl(body.decode("ascii"), keep_blank_values=True, strict_parsing=bool(body), errors="strict"))
    except ValueError as exc:
        raise FormRefused from exc
