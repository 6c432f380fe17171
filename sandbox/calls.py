"""One HTTP request to an imitated vendor, and the interface that every imitation implements.

Comes in: the parts of a request. Goes out: a frozen record. Never answers, and keeps no state.
"""

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Protocol, runtime_checkable

from starlette.responses import Response
from starlette.types import ASGIApp


@dataclass(frozen=True)
class VendorCall:
    """A request to a vendor, its body read to the end."""

    method: str
    #: Percent-decoded, below the vendor's prefix: `/contacts/email/eva@example.org`.
    path: str
    query: Mapping[str, str] = field(default_factory=dict)
    body: bytes = b""

    def json(self) -> Any:
        """Return the body as JSON, None where it is none."""
        try:
            return json.loads(self.body)
        except ValueError:
            return None

    def json_object(self) -> Mapping[str, Any]:
        """Return the body as a JSON object, empty where it is none."""
        value = self.json()
        return value if isinstance(value, dict) else {}


class Vendor(Protocol):
    """An imitated vendor: its ASGI app, its stored data and the form of its errors."""

    #: `maileon`; the word in `/_sandbox/faults` and in the log.
    name: str
    #: Where it is mounted: `/maileon/1.0`.
    prefix: str

    def app(self) -> ASGIApp:
        """Return the ASGI app of the API."""
        ...

    def object_of(self, call: VendorCall) -> str | None:
        """Return the object that a call touches, `email:eva@example.org`, so that order can be checked per object."""
        ...

    def holds(self) -> Mapping[str, Any]:
        """Return all stored data as JSON values."""
        ...

    def reset(self) -> None:
        """Delete all stored data."""
        ...

    def tell(self, settings: Mapping[str, Any]) -> None:
        """Change settings such as `find_lag`. Raises ValueError for one that this vendor does not have."""
        ...

    def error(self, status: int, text: str) -> Response:
        """Return an error in the shape of this vendor."""
        ...


@runtime_checkable
class OwnLimits(Protocol):
    """A vendor that refuses one request too many in a form of its own, and not with `Retry-After`."""

    def limited(self, wait: float) -> Response:
        """Return the refusal; `wait`: seconds until a request is allowed."""
        ...
