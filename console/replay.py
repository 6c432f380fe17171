"""Sends recorded vendor bodies to a receiver as their source would: same address, same proof, same content type.

Comes in: files in folders named after a kind of source, and the book, which knows the secrets. Goes out: what was
accepted or refused and, when asked, what became of each event. Never changes a body.
"""

import asyncio
import math
import secrets
import time
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any
from urllib.parse import quote, urlencode

import aiohttp
from yarl import URL

from console.errors import UserError
from receiver import sources, verification
from rules.errors import SecretMissing
from rules.event_types.base import from_epoch
from rules.rulebook import Rulebook, Source
from rules.secret import ReadFile, no_file
from rules.source.problem import did_you_mean
from rules.tools import junit
from rules.tools.junit import JUnitCase

#: Of platforms that send no body: all stands in the URL.
QUERY = ".query"
#: Suffix -> content type; files of other suffixes are not bodies.
CONTENT_TYPES = {".json": "application/json", ".form": "application/x-www-form-urlencoded", QUERY: ""}
#: In a folder of recorded bodies: lines of ms after the first one, a tab, and the file.
TIMING = "timing.tsv"
#: Beside a body: the headers in which its platform says what happened.
HEADERS = ".headers"

#: Seconds for one answer: a receiver answers in milliseconds, or says 503.
ANSWER_WITHIN = 30.0

#: How long an event may take to settle, in seconds, when its end is waited for.
SETTLE_WITHIN = 60.0

#: What is said of an event that had come before the replay, whatever became of it then.
SENT_BEFORE = "was sent before"

#: States in which an event has not gone well.
BAD = frozenset({"dead", "quarantined"})

#: Milliseconds that the receiver's clock may be behind ours.
CLOCKS_APART = 1_000

#: Questions to the console at once.
ASKING = 50


@dataclass(frozen=True)
class ReplayRequest:
    """One request to send."""

    file: str
    source: str
    path: str
    content_type: str
    body: bytes
    checks: tuple[verification.Check, ...]
    #: Parameters of the URL, as they are written there.
    query: str = ""
    #: Headers of the platform beside those of its proof.
    headers: Mapping[str, str] = field(default_factory=dict)


@dataclass
class SentRequest:
    """What a request was answered."""

    file: str
    source: str
    status: int = 0
    #: The stable code of a refusal; `unanswered` where nobody answered.
    code: str = ""
    ms: float = 0.0
    events: list[str] = field(default_factory=list)
    #: What became of the events, in their order, when that was waited for. `sent_before`: it had come before.
    fates: list[Mapping[str, Any]] = field(default_factory=list)

    @property
    def accepted(self) -> bool:
        """True when the receiver took responsibility for all of it."""
        return 200 <= self.status < 300 and not self.code

    @property
    def wrong(self) -> str:
        """What was wrong with it, in words; empty: nothing that is known."""
        if not self.accepted:
            return f"refused: {self.code or self.status}"
        bad = [str(fate["state"]) for fate in self.fates if fate["state"] in BAD and not fate.get("sent_before")]
        late = ["not settled in time" for fate in self.fates if not fate["settled"]]
        return ", ".join(dict.fromkeys([*bad, *late]))


@dataclass
class ReplayReport:
    """All that was sent."""

    sent: list[SentRequest]
    seconds: float
    #: When it began, as events carry times.
    began: str = ""

    @property
    def accepted(self) -> int:
        """How many requests were accepted."""
        return sum(one.accepted for one in self.sent)

    @property
    def refused(self) -> dict[str, int]:
        """Code -> how many requests were refused with it."""
        return dict(Counter(one.code or str(one.status) for one in self.sent if not one.accepted).most_common())

    @property
    def duplicates(self) -> int:
        """How often an event was answered with the id of one that had come before."""
        named = [event for one in self.sent for event in one.events]
        return len(named) - len(set(named))

    @property
    def fates(self) -> list[Mapping[str, Any]]:
        """What became of each event, each once."""
        return list({fate["id"]: fate for one in self.sent for fate in one.fates}.values())

    @property
    def states(self) -> dict[str, int]:
        """State -> how many events ended in it; of one that came before this replay, that it did."""
        return dict(Counter(say(fate) for fate in self.fates).most_common())

    @property
    def unanswered(self) -> bool:
        """True when nobody answered anything."""
        return bool(self.sent) and all(one.code == "unanswered" for one in self.sent)

    @property
    def unsettled(self) -> int:
        """How many of the events waited for did not settle in time."""
        return sum(not fate["settled"] for fate in self.fates)

    def latency(self, share: float) -> float:
        """Return the time in ms within which this share of the requests was answered."""
        times = sorted(one.ms for one in self.sent if one.status)
        return times[min(len(times) - 1, math.ceil(share * len(times)) - 1)] if times else 0.0

    @property
    def good(self) -> bool:
        """True when everything was accepted, and whatever was waited for neither died nor lies about."""
        return not any(one.wrong for one in self.sent)

    def as_json(self) -> dict[str, Any]:
        """Return plain JSON values."""
        return {
            "sent": len(self.sent),
            "accepted": self.accepted,
            "refused": self.refused,
            "seconds": round(self.seconds, 3),
            "per_second": round(len(self.sent) / self.seconds, 1) if self.seconds else 0.0,
            "latency_ms": {"p50": round(self.latency(0.5), 2), "p99": round(self.latency(0.99), 2)},
            "duplicates": self.duplicates,
            "states": self.states,
            "unsettled": self.unsettled,
            "requests": [asdict(one) for one in self.sent],
        }


def as_junit(report: ReplayReport) -> str:
    """Return JUnit's XML: one suite, the replay, with a case for each request."""
    cases = [
        JUnitCase(one.file, one.source, one.wrong, "\n".join(one.events), {"time": f"{one.ms / 1000:.3f}"})
        for one in report.sent
    ]
    return junit.write("replay", cases)


def list_bodies(folder: Path) -> list[Path]:
    """Return the files below a folder that hold a body, in name order."""
    return sorted(file for file in folder.rglob("*") if file.suffix in CONTENT_TYPES and file.is_file())


def find_bodies(paths: Sequence[Path]) -> Iterator[Path]:
    """Yield the files that hold a body, folders in name order. Raises UserError."""
    for path in paths:
        if path.is_dir():
            found = list_bodies(path)
            if not found:
                raise UserError(f"there is no body in {path}", mend="bodies end in .json, .form or .query")
            yield from found
        elif path.suffix in CONTENT_TYPES:
            yield path
        else:
            raise UserError(f"{path} is no body that can be sent", mend="bodies end in .json, .form or .query")


def plan(
    paths: Sequence[Path],
    book: Rulebook,
    environ: Mapping[str, str],
    *,
    source: str | None = None,
    read_file: ReadFile = no_file,
) -> list[ReplayRequest]:
    """Return what to send. Raises UserError for a file that belongs to no source, and for a secret that is missing."""
    checks: dict[str, tuple[verification.Check, ...]] = {}
    requests = []
    for file in find_bodies(paths):
        chosen = find_source(file, book, source)
        if chosen.name not in checks:
            checks[chosen.name] = read_checks(chosen, environ, read_file)
        requests.append(build_request(file, file.read_bytes(), chosen, checks[chosen.name]))
    return requests


def read_timing(paths: Sequence[Path], speed: float) -> Mapping[str, float]:
    """Return the second at which each recorded body is to be sent: with the pauses in which they came, so many times
    as fast. Raises UserError.
    """
    found: dict[str, float] = {}
    for path in paths:
        folder = next((each for each in (path, *path.parents) if (each / TIMING).is_file()), None)
        if folder is None:
            raise UserError(f"nothing says when what is in {path} came", mend=f"{TIMING} of relais record says it")
        for line in (folder / TIMING).read_text(encoding="utf-8").splitlines():
            ms, _, name = line.partition("\t")
            found[str(folder / name)] = int(ms) / 1000 / speed
    return found


def build_request(file: Path, content: bytes, source: Source, checks: tuple[verification.Check, ...]) -> ReplayRequest:
    """Return the request that sends a content as such a file would be sent."""
    event = find_event(source, file)
    alone = file.suffix == QUERY
    return ReplayRequest(
        file=str(file),
        source=source.name,
        path=f"/in/{quote(source.name)}" + (f"/{quote(event)}" if event else ""),
        content_type=CONTENT_TYPES[file.suffix],
        body=b"" if alone else content,
        checks=checks,
        query=content.decode().strip() if alone else "",
        headers=read_headers(file),
    )


def read_headers(file: Path) -> Mapping[str, str]:
    """Return the headers that a file of the same name that ends in `.headers` says, a line each: `X-Event: push`."""
    written = file.with_suffix(HEADERS)
    lines = written.read_text(encoding="utf-8").splitlines() if written.exists() else []
    return {name.strip(): value.strip() for name, _, value in (line.partition(":") for line in lines if line.strip())}


def find_source(file: Path, book: Rulebook, name: str | None) -> Source:
    """Return the source that sends such a file: the named one, or the book's first of the kind its folder names."""
    if name is not None:
        if name not in book.sources:
            raise UserError(f"the book has no source {name!r}", mend=did_you_mean(name, book.sources))
        return book.sources[name]
    for folder in file.absolute().parts[-2::-1]:
        if folder in book.sources:
            return book.sources[folder]
        for source in book.sources.values():
            if source.kind == folder:
                return source
    raise UserError(
        f"no source of the book sends {file}",
        mend="put it into a folder named after a kind of source, or say which: --source NAME; the book has "
        + ", ".join(book.sources),
    )


def read_checks(source: Source, environ: Mapping[str, str], read_file: ReadFile) -> tuple[verification.Check, ...]:
    """Return how the source proves itself. Raises UserError."""
    try:
        return verification.checks(source.verify, environ, read_file)
    except SecretMissing as exc:
        raise UserError(
            f"{exc.name} is not set, so nothing can be sent as {source.name}",
            mend=f"set it as the receiver has it: export {exc.name}=…, or in .env",
        ) from exc


def find_event(source: Source, file: Path) -> str | None:
    """Return the event of a source that tells it only in the URL: the file's name up to the first dot."""
    kind = sources.SOURCES[source.kind].kind
    return file.name.split(".")[0] if kind.event_from_url(source.options) else None


async def send_all(
    requests: Sequence[ReplayRequest],
    to: str,
    *,
    rate: float = 0.0,
    at: Sequence[float] = (),
    told: Callable[[SentRequest], None] = lambda sent: None,
) -> ReplayReport:
    """Send all: one after the other, or at a rate, or each at its second, in which case a slow answer delays nobody."""
    started = time.monotonic()
    began = from_epoch(int(time.time() * 1000) - CLOCKS_APART)
    timeout = aiohttp.ClientTimeout(total=ANSWER_WITHIN)
    async with aiohttp.ClientSession(to.rstrip("/"), timeout=timeout, cookie_jar=aiohttp.DummyCookieJar()) as session:
        if rate or at:
            async with asyncio.TaskGroup() as group:
                tasks = []
                for number, request in enumerate(requests):
                    due = started + (at[number] if at else number / rate)
                    await asyncio.sleep(max(0.0, due - time.monotonic()))
                    # Measured from when it was due: a sender that falls behind must not make the receiver look fast.
                    tasks.append(group.create_task(send(session, request, due, told)))
            sent = [task.result() for task in tasks]
        else:
            sent = [await send(session, request, time.monotonic(), told) for request in requests]
    return ReplayReport(sent, time.monotonic() - started, began)


async def send(
    session: aiohttp.ClientSession, request: ReplayRequest, due: float, told: Callable[[SentRequest], None]
) -> SentRequest:
    """Send one request and read its answer."""
    signed = verification.sign(request.checks, request.body, time.time(), f"msg_{secrets.token_hex(12)}")
    query = "&".join(part for part in (request.query, urlencode(signed.query)) if part)
    # What is written in the file goes out as it is, signs that should be encoded and are not included.
    path = URL(request.path + (f"?{query}" if query else ""), encoded=True)
    labels = {"Content-Type": request.content_type} if request.content_type else {}
    labels |= request.headers
    sent = SentRequest(request.file, request.source)
    try:
        async with session.post(
            path, data=request.body or None, headers={**labels, **signed.headers}, skip_auto_headers=("Content-Type",)
        ) as answer:
            sent.status = answer.status
            read_answer(await answer.json(content_type=None), sent)
    except (aiohttp.ClientError, TimeoutError, ValueError):
        sent.code = sent.code or ("unanswered" if not sent.status else "not_understood")
    sent.ms = (time.monotonic() - due) * 1000
    told(sent)
    return sent


def read_answer(answer: Any, sent: SentRequest) -> None:
    """Read the ids of the events, or the code of the refusal, out of an answer."""
    if not isinstance(answer, Mapping):
        return
    sent.code = str(answer.get("error", ""))
    sent.events = [str(event["id"]) for event in answer.get("events") or ()]


async def await_fates(
    report: ReplayReport,
    console: str,
    *,
    token: str = "",
    within: float = SETTLE_WITHIN,
    told: Callable[[], None] = lambda: None,
) -> None:
    """Fill in what became of each event. Raises UserError where no console answers."""
    deadline = time.monotonic() + within
    gate = asyncio.Semaphore(ASKING)
    headers = {"Authorization": f"Bearer {token}"} if token else {}
    timeout = aiohttp.ClientTimeout(total=None, sock_read=70)

    async def ask(session: aiohttp.ClientSession, event: str) -> Mapping[str, Any]:
        async with gate:
            wait = min(max(deadline - time.monotonic(), 0), 30)
            while True:
                async with session.get(f"/events/{quote(event)}", params={"wait": f"{wait:.1f}"}) as answer:
                    found: Mapping[str, Any] = await answer.json()
                if answer.status == 404:
                    found = {"id": event, "state": "unknown", "settled": False, "deliveries": []}
                elif answer.status != 200:
                    raise UserError(
                        f"the console at {console} answers {answer.status}: {found.get('hint', '')}",
                        mend="look at GET /readyz there",
                    )
                wait = min(deadline - time.monotonic(), 30)
                if found.get("settled") or wait <= 0:
                    return found

    async with aiohttp.ClientSession(console.rstrip("/"), headers=headers, timeout=timeout) as session:
        for one in report.sent:
            try:
                fates = await asyncio.gather(*(ask(session, event) for event in one.events))
                one.fates = [_mark(fate, report.began) for fate in fates]
            except (aiohttp.ClientError, ValueError) as exc:
                raise UserError(
                    f"no console answers at {console}",
                    mend="start it: relais up\nor say where it is: RELAIS_CONSOLE_URL=http://HOST:PORT",
                ) from exc
            told()


def say(fate: Mapping[str, Any]) -> str:
    """Return what became of an event that was replayed."""
    return SENT_BEFORE if fate.get("sent_before") else str(fate["state"])


def _mark(fate: Mapping[str, Any], began: str) -> Mapping[str, Any]:
    """Return a fate that says whether its event had been received before the replay began."""
    received = str(fate.get("received_at", ""))
    return {**fate, "sent_before": True} if received and received < began else fate
