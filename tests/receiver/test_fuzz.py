"""Noise over sockets, at every source and preset: authentic requests whose bodies, types and encodings went wrong.

What is sent is made of the recorded bodies by a seeded generator, so that a failure comes again. It takes seconds.
"""

import asyncio
import gzip
import json
import random
import resource
import time
import zlib
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from urllib.parse import urlencode

import pytest

from console import book as books
from console import replay
from receiver import verification
from rules.rulebook import Rulebook
from tests.conftest import PrivateValkey
from tests.mailroom.store import Store, key_faults
from tests.receiver import fixtures
from tests.receiver.port import Port

ENVIRON = {"FIXTURE_SECRET": "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"}
BOOK = fixtures.FOLDER / "book"
#: Requests to each source, in each of two rounds.
EACH = 15

Noise = Callable[[random.Random, bytes], bytes]
NAMES = ("id", "email", "type", "event", "notifications", "data", "payload", "contact", "call", "\ud83d", "")
WORDS: tuple[bytes, ...] = (
    b"1e400",
    b"-1",
    b"9" * 400,
    b"null",
    b"[]",
    b"{}",
    b'"\\u0000"',
    b'"\\ud800"',
    b'"\xe2\x80\xae\xf0\x9f\x98\x80"',
    b'"' + b"x" * 9_000 + b'"',
    b"NaN",
    b"true",
    b'"2026-13-99T99:99:99Z"',
    b"\xff\xfe",
)
KINDS = (
    "application/json",
    "application/json; charset=utf-16",
    "application/x-www-form-urlencoded; charset=latin-1",
    "multipart/form-data; boundary=x",
    "multipart/form-data",
    "application/cloudevents+json",
    "application/cloudevents-batch+json",
    "text/xml",
    "text/plain; charset=nonsense",
    "",
)


def cut(rng: random.Random, body: bytes) -> bytes:
    return body[: rng.randrange(len(body) + 1)]


def flip(rng: random.Random, body: bytes) -> bytes:
    changed = bytearray(body or b"x")
    for _ in range(rng.randint(1, 8)):
        changed[rng.randrange(len(changed))] = rng.randrange(256)
    return bytes(changed)


def exchange(rng: random.Random, body: bytes) -> bytes:
    """Put another value at some place of the body, as text: names may stand there twice then."""
    at = [place for place, sign in enumerate(body) if sign in b":=["]
    if not at:
        return rng.choice(WORDS)
    place = rng.choice(at) + 1
    return body[:place] + rng.choice(WORDS) + body[place + rng.randint(0, 6) :]


def nest(rng: random.Random, body: bytes) -> bytes:
    deep = rng.choice((5, 120, 3_000))
    name = json.dumps(rng.choice(NAMES)).encode()
    return rng.choice((b"[" * deep + body + b"]" * deep, (b"{" + name + b":") * deep + b"1" + b"}" * deep))


def repeat(rng: random.Random, body: bytes) -> bytes:
    return b"[" + b",".join([body] * rng.randint(2, 30)) + b"]"


def part(rng: random.Random, body: bytes) -> bytes:
    """Write it as multipart, whose end may be missing."""
    head = b'--x\r\nContent-Disposition: form-data; name="' + rng.choice((b"a", b"a[b][]", b"\xff")) + b'"\r\n\r\n'
    return cut(rng, head + body + b"\r\n--x--\r\n")


def invent(rng: random.Random, body: bytes) -> bytes:
    return rng.randbytes(rng.randint(0, 200))


NOISES: tuple[Noise, ...] = (cut, flip, exchange, exchange, nest, repeat, part, invent)


@pytest.fixture(scope="module")
def loaded() -> Rulebook:
    return books.load(BOOK)


@pytest.fixture
def fuzzed(tmp_path: Path, valkey: PrivateValkey) -> Iterator[Port]:
    """A receiver with a source for each kind and each preset."""
    text = (BOOK / "sources.yaml").read_text()
    with Port(tmp_path, valkey.url, text=text, environ=ENVIRON, max_body=65_536, body_seconds=5) as running:
        yield running


def requests(rng: random.Random, book: Rulebook) -> Iterator[tuple[str, bytes, Mapping[str, str]]]:
    """Yield URL, body and headers of authentic noise for each source."""
    shots = replay.plan([fixtures.FOLDER], book, ENVIRON)
    for name in book.sources:
        recorded = [shot for shot in shots if shot.source == name]
        for _ in range(EACH):
            shot = rng.choice(recorded)
            body = rng.choice(NOISES)(rng, shot.body)
            headers = {**shot.headers}
            if label := rng.choice((shot.content_type, rng.choice(KINDS))):
                headers["Content-Type"] = label
            packed = rng.random()
            if packed < 0.1:
                headers["Content-Encoding"] = rng.choice(("gzip", "deflate", "br", "gzip, gzip"))
                body = rng.choice((gzip.compress, zlib.compress, bytes))(body)
            if rng.random() < 0.1:
                headers |= {"X-Odd": "a," * 500, "traceparent": "00-" + "f" * 70}
            signed = verification.sign(shot.checks, body, time.time(), f"msg_{rng.random()}")
            noise = rng.choice(("", "", "a[b][c]=1&a[b]=2", "id=%00&id=%F0%9F%98%80", "x=" + "9" * 300))
            query = "&".join(each for each in (shot.query, noise, urlencode(signed.query)) if each)
            yield f"{shot.path}?{query}", body, {**headers, **signed.headers}


def test_noise(fuzzed: Port, loaded: Rulebook, valkey: PrivateValkey) -> None:
    """Each is answered 2xx, or 4xx with a code of ours; the receiver lives, and neither memory nor keys grow by it."""
    rng, sizes = random.Random(13), []
    for _ in range(2):
        for path, body, headers in requests(rng, loaded):
            answer = fuzzed.post(path, body, headers)
            assert answer.status < 500, (path, body, headers, answer)
            assert answer.status < 300 or answer.json["error"], (path, body, headers, answer)
        sizes.append(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss)
    assert sizes[1] - sizes[0] < 64 * 1024, "KiB that the second round added"
    assert asyncio.run(_find_faults(valkey)) == [], "each key is of the schema, and ends as it says"
    shot = replay.plan([fixtures.FOLDER / "stripe"], loaded, ENVIRON)[0]
    signed = verification.sign(shot.checks, shot.body, time.time(), "msg")
    assert fuzzed.post(shot.path, shot.body, {"Content-Type": shot.content_type, **signed.headers}).status == 202
    assert fuzzed.thread.is_alive()


async def _find_faults(server: PrivateValkey) -> list[str]:
    store = Store(server)
    try:
        return key_faults(await store.dump())
    finally:
        await store.close()
