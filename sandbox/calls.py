"""One HTTP request as a stand-in sees it, and what every stand-in must be able to say.

Plain facts. Never answers, never keeps anything.
"""

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Protocol

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
    """A stand-in: an app, what it holds, and its way to say no."""

    #: `maileon`; the word in `/_sandbox/faults` and in the log.
    name: str
    #: Where it is mounted: `/maileon/1.0`.
    prefix: str

    def app(self) -> ASGIApp:
        """Return the API itself."""
        ...

    def object_of(self, call: VendorCall) -> str | None:
        """Return the object that a call touches, `email:eva@example.org`, so that order can be checked per object."""
        ...

    def holds(self) -> Mapping[str, Any]:
        """Return all it keeps, as JSON values."""
        ...

    def reset(self) -> None:
        """Forget everything that was sent to it."""
        ...

    def tell(self, settings: Mapping[str, Any]) -> None:
        """Take settings such as `find_lag`; raises ValueError for one it does not have."""
        ...

    def error(self, status: int, text: str) -> Response:
        """Return an error in the shape of this vendor."""
        ...
