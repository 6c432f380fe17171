"""The pages Rules: the book in force beside the files on disk, what each rule did, a preview, an approval, a try.

Comes in: GET requests, and forms that ask to look at events. Goes out: errors with their line, coverage, what a change
would do to recorded events. Never changes a file, and keeps nothing that was pasted.
"""

import asyncio
import json
import sys
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from console.access import Role
from console.api import books, shadow
from console.errors import UserError
from console.web import page, snapshots
from console.web.language import N_
from mailroom import rule_counts
from mailroom.sentences import give_reason
from receiver import payload
from receiver.errors import RequestRefused
from rules.compiler import loader, reload
from rules.event import Event
from rules.rulebook import Given, Rulebook, TestCase
from rules.tools import explanation
from rules.tools.testing import TestBroken, events_of

#: Spans of recorded events, as `relais rules preview --since` takes them.
SPANS = ("1h", "24h", "7d")
#: Seconds that a preview may take: it runs in a process of its own, one at a time.
LONGEST_PREVIEW = 60.0
#: Characters of what somebody pastes.
LONGEST_EVENT = 262_144
PREVIEWING = asyncio.Semaphore(1)


async def show_rules(request: Request) -> Response:
    """Answer the book in force, the files on disk, and what each rule did in a week."""
    book = await snapshots.find_book(request)
    since = int(time.time() * 1000) - 7 * rule_counts.DAY
    coverage = None
    if book is not None:
        coverage = await snapshots.ask(request, "coverage", lambda: books.find_coverage(request, book, since))
    return await page.render(
        request,
        "rules.html",
        book=book,
        disk=await snapshots.ask(request, "book on disk", lambda: read_disk(request, book)),
        coverage=coverage,
        shadow=await snapshots.ask(request, "shadow", lambda: shadow.describe_shadow(request)),
        spans=SPANS,
        preview=None,
        wrong="",
    )


async def read_disk(request: Request, in_force: Rulebook | None) -> dict[str, Any]:
    """Return what the files on disk are, and whether they count."""
    ready = request.app.state.readiness
    checked = await asyncio.to_thread(loader.check, ready.book, ready.catalogue)
    version = checked.book.version if checked.book else ""
    waits = reload.judge(in_force, checked.book, approve_all=False) if in_force and checked.book else None
    return {
        "folder": str(ready.book),
        "version": version,
        "same": bool(in_force and version == in_force.version),
        "waits": str(waits) if waits else "",
        "problems": [str(problem) for problem in checked.problems][:50],
        "broken": checked.book is None,
    }


@page.needs(Role.OPERATOR)
async def preview(request: Request) -> Response:
    """Answer what the files on disk would do otherwise to events that came in."""
    span = (await page.read_form(request)).get("since", "")
    ready = request.app.state.readiness
    found, wrong = None, N_("Please choose how far back.")
    if span in SPANS:
        found, wrong = await run_preview(str(ready.book), span, request.app.state.environ)
    return await page.render(request, "rules.preview.html", found=found, wrong=wrong, span=span)


async def run_preview(folder: str, span: str, environ: Mapping[str, str]) -> tuple[dict[str, Any] | None, str]:
    """Return what `relais rules preview` says, or why it says nothing.

    In a process of its own: thousands of rules over thousands of events would stop all pages.
    """
    command = (sys.executable, "-m", "console.cli", "rules", "preview", folder, "--since", span, "--json")
    async with PREVIEWING:
        process = await asyncio.create_subprocess_exec(
            *command, env=dict(environ), stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.PIPE
        )
        try:
            said, complained = await asyncio.wait_for(process.communicate(), LONGEST_PREVIEW)
        except TimeoutError:
            process.kill()
            await process.wait()
            return None, N_("It took more than a minute. Choose less, or use the command line.")
    try:
        found: dict[str, Any] = json.loads(said)
    except ValueError:
        return None, complained.decode("utf-8", "replace").strip()[-500:]
    for difference in found.get("differences", []):  # what is sent holds values of people
        difference["samples"] = [{"event": one["event"], "type": one["type"]} for one in difference["samples"]]
    return found, ""


async def show_try(request: Request) -> Response:
    """Answer the form for an event to try."""
    book = await snapshots.find_book(request)
    return await page.render(request, "rules.try.html", book=book, found=[], wrong="", text="", source="")


@page.needs(Role.OPERATOR)
async def try_event(request: Request) -> Response:
    """Say for every rule whether a pasted event matches it. Nothing is kept, nothing is sent."""
    form = await page.read_form(request)
    text, source = form.get("text", "")[:LONGEST_EVENT], form.get("source", "")
    book = await snapshots.find_book(request)
    found: list[explanation.Explanation] = []
    wrong = ""
    try:
        found = await asyncio.to_thread(explain_text, book, text, source)
    except UserError as exc:
        wrong = exc.message
    status = 400 if wrong else 200
    return await page.render(
        request, "rules.try.html", status, book=book, found=found, wrong=wrong, text=text, source=source
    )


def explain_text(book: Rulebook | None, text: str, source: str) -> list[explanation.Explanation]:
    """Return what the rules say of a body, or of an event that somebody wrote down. Raises UserError."""
    if book is None or source not in book.sources:
        raise UserError(N_("Please choose who sends it."))
    return [explanation.explain(book, event, {}, {}) for event in _read_text(book, text, source)]


def _read_text(book: Rulebook, text: str, source: str) -> list[Event]:
    try:
        written = json.loads(text)
    except ValueError:
        written = None
    try:
        if isinstance(written, dict) and isinstance(written.get("type"), str) and isinstance(written.get("data"), dict):
            test = TestCase("given", "pasted", 1, Given(source, event=written), ())
            return list(events_of(book, Path(), payload.read_payload, test))
        return list(payload.read_payload(book.sources[source], text.encode(), None))
    except RequestRefused as exc:
        raise UserError(give_reason(exc.code, exc.hint, of="refused.")) from exc
    except TestBroken as exc:
        raise UserError(str(exc)) from exc


async def show_book(request: Request) -> Response:
    """Answer the text of the book in force, file by file."""
    book = await snapshots.find_book(request)
    return await page.render(request, "rules.book.html", book=book)


ROUTES = (
    Route("/rules", show_rules),
    Route("/rules/book", show_book),
    Route("/rules/preview", preview, methods=["POST"]),
    Route("/rules/try", show_try, methods=["GET"]),
    Route("/rules/tried", try_event, methods=["POST"]),
)
