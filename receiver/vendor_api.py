"""What sources need to ask a vendor's API: for pulling, and for registering webhooks there.

Comes in: whoever can send requests (`console.vendor_api` brings the HTTP client of the workers). Goes out: JSON, or an
ApiFailed with a stable code. Never names an address, a header or a body in an error.
"""

import json as jsonlib
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Annotated, Any, Protocol
from urllib.parse import urlencode

from pydantic import Field

#: The address of a vendor's API as a field of a model.
ApiAddress = Annotated[str, Field(pattern=r"^https?://[^\s/?#]+[^\s?#]*$")]


class ApiFailed(Exception):
    """A vendor's API did not do what it was asked for."""

    def __init__(self, code: str, hint: str = "", *, wait: float = 0.0) -> None:
        super().__init__(f"{code}: {hint}" if hint else code)
        #: One word: key_refused, limited, unavailable, not_found, bad_answer …
        self.code = code
        self.hint = hint
        #: Seconds the other side asked for, 0 if it did not.
        self.wait = wait


@dataclass(frozen=True, slots=True)
class VendorAnswer:
    """What came back. The body may hold personal data: it has no place in a repr."""

    status: int
    body: bytes = field(repr=False)
    #: Seconds that `Retry-After` asks for, 0 where it does not.
    wait: float = 0.0
    #: True: the body was too long and its end is missing.
    cut: bool = False


class VendorApi(Protocol):
    """Sends requests, within the bounds that all outgoing requests have."""

    async def request(
        self, method: str, url: str, *, headers: Mapping[str, str], json: Any = None, allow_private: bool = False
    ) -> VendorAnswer:
        """Return the answer, whatever its status. Raises ApiFailed where there is none."""
        ...

    async def close(self) -> None:
        """Close the connections."""
        ...


def build_url(base: str, path: str, query: Mapping[str, str] | None = None) -> str:
    """Return an address below a base."""
    found = f"{base.rstrip('/')}/{path.lstrip('/')}"
    return f"{found}?{urlencode(query)}" if query else found


def demand_success(answer: VendorAnswer) -> None:
    """Raise ApiFailed for an answer that is no success."""
    status = answer.status
    if 200 <= status < 300:
        return
    if status in (401, 403):
        raise ApiFailed("key_refused", f"the vendor answers {status}: is the key right, valid, and allowed to do this?")
    if status == 429:
        raise ApiFailed("limited", "the vendor says that there were too many requests", wait=answer.wait)
    if status == 404:
        raise ApiFailed("not_found", "the vendor knows no such address; is the path right?")
    if status >= 500 and status != 501:
        raise ApiFailed("unavailable", f"the vendor answers {status}", wait=answer.wait)
    raise ApiFailed("refused", f"the vendor answers {status}")


def read_json(answer: VendorAnswer) -> Any:
    """Return the JSON of an answer that is a success. Raises ApiFailed."""
    demand_success(answer)
    if answer.cut:
        raise ApiFailed("too_long", "the vendor's answer is too long; ask for fewer at a time")
    try:
        return jsonlib.loads(answer.body)
    except ValueError:
        raise ApiFailed("bad_answer", "the vendor's answer is no JSON") from None
