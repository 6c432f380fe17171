"""The recorded bodies under tests/fixtures, and requests made of them."""

from pathlib import Path

import yaml
from pydantic import BaseModel

from receiver import sources, verification
from receiver.request import RawRequest
from receiver.sources.base import Batch
from receiver.verification import VerifiedRequest

FOLDER = Path(__file__).parents[1] / "fixtures"
#: Of platforms that send no body: all stands in the URL.
QUERY = ".query"
TYPES = {".json": b"application/json", ".form": b"application/x-www-form-urlencoded", QUERY: b""}
#: In the folder of a kind: what a book would say under its source, where that is needed to read the bodies.
OPTIONS = "options.yaml"

ALL = sorted(path for path in FOLDER.rglob("*") if path.suffix in TYPES and path.parent.name in sources.SOURCES)
NAMES = [str(path.relative_to(FOLDER)) for path in ALL]
#: Authentic, but not as their model wants them.
UNFIT = [name for name in NAMES if ".invalid_" in name or name.endswith(("no_type.json", "one_invalid.json"))]


def verified(body: bytes, content_type: bytes = b"application/json", query: bytes = b"") -> VerifiedRequest:
    """Return a request as if its sender had proved itself."""
    return verification.trusted(RawRequest(body, ((b"content-type", content_type),), query))


def options(kind: str) -> BaseModel:
    """Return what a book would say under a source of the kind."""
    written = FOLDER / kind / OPTIONS
    said = yaml.safe_load(written.read_text()) if written.exists() else {}
    return sources.SOURCES[kind].kind.options.model_validate(said)


def event_of(name: str) -> str | None:
    """Return what stands in the URL."""
    kind, _, file = name.partition("/")
    return file.split(".")[0] if sources.SOURCES[kind].kind.event_from_url(options(kind)) else None


def unpacked(name: str) -> Batch:
    """Return the items of a recorded body: `seminardesk/booking.create.free.json`."""
    path = FOLDER / name
    kind = path.parent.name
    content = path.read_bytes()
    request = verified(b"", query=content.strip()) if path.suffix == QUERY else verified(content, TYPES[path.suffix])
    return sources.SOURCES[kind].unpack(request, options(kind), event_of(name))
