"""The recorded bodies under tests/fixtures, and requests made of them."""

from pathlib import Path

from pydantic import BaseModel

from receiver import verification
from receiver.request import RawRequest
from receiver.sources import registry
from receiver.sources.base import Batch, NoSourceOptions
from receiver.sources.generic import GenericOptions, ReadPlaces
from receiver.verification import VerifiedRequest

FOLDER = Path(__file__).parents[1] / "fixtures"
TYPES = {".json": b"application/json", ".form": b"application/x-www-form-urlencoded"}
#: As a book would say it for tests/fixtures/generic.
SHOP = GenericOptions(read=ReadPlaces(id="body.id", type="body.event", order_key="body.customer.email"))

ALL = sorted(path for path in FOLDER.rglob("*") if path.suffix in TYPES)
NAMES = [str(path.relative_to(FOLDER)) for path in ALL]
#: Authentic, but not as their model wants them.
UNFIT = [name for name in NAMES if ".invalid_" in name or name.endswith(("no_type.json", "one_invalid.json"))]


def verified(body: bytes, content_type: bytes = b"application/json", query: bytes = b"") -> VerifiedRequest:
    """Return a request as if its sender had proved itself."""
    return verification.trusted(RawRequest(body, ((b"content-type", content_type),), query))


def options(kind: str) -> BaseModel:
    """Return what a book would say under a source of the kind."""
    return SHOP if kind == "generic" else NoSourceOptions()


def event_of(name: str) -> str | None:
    """Return what stands in the URL."""
    kind, _, file = name.partition("/")
    return file.split(".")[0] if kind == "activetrail" else None


def unpacked(name: str) -> Batch:
    """Return the items of a recorded body: `seminardesk/booking.create.free.json`."""
    path = FOLDER / name
    kind = path.parent.name
    request = verified(path.read_bytes(), TYPES[path.suffix])
    return registry.ADAPTERS[kind].unpack(request, options(kind), event_of(name))
