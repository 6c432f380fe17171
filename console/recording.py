"""Makes fixtures of what sources sent: bodies of invented people, named and laid out as `relais replay` sends them.

Comes in: requests as they came, through a proxy in front of the receiver or out of the store. Goes out: files, and what
a person has to look at before they are written. Never keeps a secret: what proves a sender is left out, and a replay
signs anew.
"""

import re
import time
from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from urllib.parse import parse_qsl, urlencode

import aiohttp
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from console import anonymise, replay, trigger
from console.anonymise import Anonymiser
from console.trigger import RecordedBody
from receiver import errors, payload
from rules.event import Event
from rules.event_types.base import to_epoch
from rules.rulebook import Rulebook, Source

#: Headers of a connection, which a proxy does not pass on.
HOP = frozenset({"host", "content-length", "connection", "keep-alive", "transfer-encoding", "te", "upgrade", "expect"})
#: Of what is only read to compare it.
NEVER = "1970-01-01T00:00:00.000Z"
METHODS = ["GET", "POST", "PUT", "HEAD", "OPTIONS"]


@dataclass(frozen=True)
class CapturedRequest:
    """A request that a source sent."""

    source: str
    #: The event in the URL; empty: the body tells it.
    name: str
    #: When it came, ms since 1970.
    at: int
    body: bytes
    query: str = ""
    headers: Mapping[str, str] = field(default_factory=dict)


@dataclass
class Recording:
    """Files that are not written yet."""

    #: Path below the folder -> content.
    files: dict[str, bytes] = field(default_factory=dict)
    timing: dict[str, int] = field(default_factory=dict)
    #: Why a request was left out -> how many.
    left_out: Counter[str] = field(default_factory=Counter)
    #: Source -> path -> texts that are kept as they are.
    kept: dict[str, dict[str, set[str]]] = field(default_factory=dict)
    #: What was replaced -> how often.
    replaced: Counter[str] = field(default_factory=Counter)

    def write(self, folder: Path) -> None:
        """Write all files."""
        timing = "".join(f"{ms}\t{name}\n" for name, ms in self.timing.items())
        for name, content in {**self.files, replay.TIMING: timing.encode()}.items():
            file = folder / name
            file.parent.mkdir(parents=True, exist_ok=True)
            file.write_bytes(content)


def make(captured: Sequence[CapturedRequest], book: Rulebook, keep: Iterable[str] = ()) -> Recording:
    """Return the fixtures of requests: each is read by its source as the same events as before, or left out."""
    made = Recording()
    people = {name: Anonymiser(list_words(source), keep) for name, source in book.sources.items()}
    numbers: Counter[str] = Counter()
    first = min((one.at for one in captured), default=0)
    for one in sorted(captured, key=lambda each: each.at):
        source = book.sources[one.source]
        changed, why = _change(one, source, people[one.source])
        if changed is None:
            made.left_out[why] += 1
            continue
        body, types = changed
        stem = f"{one.source}/{one.name or '+'.join(dict.fromkeys(types))[:60]}"
        numbers[stem] += 1
        suffix = ".json" if body.is_json else ".form" if one.body else replay.QUERY
        name = f"{stem}.{numbers[stem]:03}{suffix}"
        made.files[name] = body.encode() + (b"\n" if body.is_json else b"")
        if headers := _choose_headers(one, source):
            lines = "".join(f"{header}: {value}\n" for header, value in headers.items())
            made.files[f"{stem}.{numbers[stem]:03}{replay.HEADERS}"] = lines.encode()
        made.timing[name] = one.at - first
    for name, anonymiser in people.items():
        made.replaced += anonymiser.replaced
        if kept := {path: texts for path, texts in anonymiser.kept.items() if texts}:
            made.kept[name] = kept
    return made


def _change(
    one: CapturedRequest, source: Source, people: Anonymiser
) -> tuple[tuple[RecordedBody, list[str]] | None, str]:
    content = one.body or _without_secrets(one.query, source).encode()
    headers = {name.lower(): value for name, value in _choose_headers(one, source).items()}
    before = _read(source, content, one.name, headers)
    if not before:
        return None, "the source cannot read it by itself"
    try:
        body = RecordedBody.read(content)
    except ValueError:
        return None, "it is neither JSON nor a form"
    changed = people.change(body)
    changed = people.change_text(changed, people.find_left(changed))
    after = _read(source, changed.encode(), one.name, headers)
    types = [event.type for event in before]
    if after is None or [event.type for event in after] != types:
        return None, "with invented people the source would read something else: name the field with --keep"
    return (changed, types), ""


def _read(source: Source, content: bytes, name: str, headers: Mapping[str, str]) -> Sequence[Event] | None:
    is_json = content.lstrip()[:1] in (b"{", b"[")
    label = replay.CONTENT_TYPES[".json" if is_json else ".form"]
    try:
        return payload.read_refused(source, {**headers, "content-type": label}, content, name or None, NEVER)
    except (errors.RequestRefused, ValueError):
        return None


def _without_secrets(query: str, source: Source) -> str:
    """Return the parameters of a URL without those that prove who sends it."""
    proofs = {each.name for each in (source.verify.query, source.verify.handshake) if each is not None}
    return urlencode([(name, value) for name, value in parse_qsl(query, keep_blank_values=True) if name not in proofs])


def _choose_headers(one: CapturedRequest, source: Source) -> dict[str, str]:
    """Return the headers in which the book looks for what happened, and no others."""
    told = re.findall(r"header\.([A-Za-z0-9-]+)", str(getattr(source.options, "read", "")))
    wanted = {name.lower() for name in told}
    return {name: value for name, value in one.headers.items() if name.lower() in wanted}


def list_words(source: Source) -> set[str]:
    """Return the texts that recorded bodies of such a source hold: words of its platform."""
    folder = trigger.find_folder() / source.kind
    found: set[str] = set()
    for file in replay.find_bodies([folder]) if folder.is_dir() else ():
        try:
            body = RecordedBody.read(file.read_bytes())
        except ValueError:
            continue
        for place, value in body.places.items():
            if isinstance(value, str) and not anonymise.find_kind(anonymise.name_place(body, place)):
                found.add(value)
    return found


def read_stored(events: Iterable[Event], book: Rulebook, source: str | None) -> list[CapturedRequest]:
    """Return events of the store as requests; where the URL told what happened, by a recorded body of that type."""
    found = []
    for event in events:
        if event.source not in book.sources or source not in (None, event.source):
            continue
        name = _find_name(book.sources[event.source], event.type)
        found.append(CapturedRequest(event.source, name, to_epoch(event.received_at), event.body))
    return found


def _find_name(source: Source, type: str) -> str:
    folder = trigger.find_folder() / source.kind
    for file in replay.find_bodies([folder]) if folder.is_dir() else ():
        name = replay.find_event(source, file)
        if name and any(event.type == type for event in _read(source, file.read_bytes(), name, {}) or ()):
            return name
    return ""


def build_proxy(to: str, book: Rulebook, told: Callable[[CapturedRequest], None]) -> Starlette:
    """Return an application that passes everything on to a receiver, and tells what that took."""

    async def forward(request: Request) -> Response:
        body, at = await request.body(), int(time.time() * 1000)
        headers = {name: value for name, value in request.headers.items() if name not in HOP}
        target = to.rstrip("/") + request.url.path + (f"?{request.url.query}" if request.url.query else "")
        async with (
            aiohttp.ClientSession(auto_decompress=False) as session,
            session.request(request.method, target, data=body or None, headers=headers, allow_redirects=False) as got,
        ):
            kept = {name: value for name, value in got.headers.items() if name.lower() not in HOP}
            answer = Response(await got.read(), got.status, kept)
        _, _, rest = request.url.path.partition("/in/")
        source, _, name = rest.partition("/")
        if request.method == "POST" and 200 <= answer.status_code < 300 and source in book.sources:
            told(CapturedRequest(source, name, at, body, request.url.query, dict(request.headers)))
        return answer

    return Starlette(routes=[Route("/{path:path}", forward, methods=METHODS)])
