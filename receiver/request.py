"""A request as it came, before anybody knows who sent it.

Comes in: what the server read from the wire. Goes out: a record that only `verification.verify` turns into a
VerifiedRequest. Never decodes more than it is asked for, since every byte may be hostile.
"""

import re
from collections.abc import Callable, Sequence
from functools import lru_cache
from urllib.parse import unquote_to_bytes

from receiver import errors

#: Names in lower case and values, in the order in which they came or are sent.
Headers = Sequence[tuple[bytes, bytes]]
#: Takes status, further headers and body of an answer. It is JSON, unless the first header says another type.
Answer = Callable[[int, Headers, bytes], None]

#: More parameters than this no platform sends; parsing them would only cost time.
MOST_PARAMETERS = 1_000
#: Largest body where nobody says.
MOST_BODY = 1_048_576
#: Older programs part the fields of a form by `;`. Encoded as they should be, values have none.
_SEMICOLON = re.compile(rb";(?=[^;=\s]+=)")


def has_type(headers: Headers) -> bool:
    """Say whether the headers of an answer name the type of its body."""
    return bool(headers) and headers[0][0] == b"content-type"


def split_form(text: bytes) -> list[tuple[bytes, bytes]] | None:
    """Return names and values of a form or query, decoded to bytes; None: they are more than MOST_PARAMETERS."""
    parts = text.split(b"&") if b"&" in text else _SEMICOLON.split(text)
    if len(parts) > MOST_PARAMETERS:
        return None
    pairs = [part.replace(b"+", b" ").partition(b"=") for part in parts if part]
    return [(unquote_to_bytes(name), unquote_to_bytes(value)) for name, _, value in pairs]


@lru_cache(maxsize=256)
def _encode_name(name: str) -> bytes:
    return name.lower().encode("latin-1", "replace")


class RawRequest:
    """Bytes from the internet."""

    __slots__ = ("_by_name", "body", "client", "headers", "most", "query_string")

    def __init__(
        self,
        body: bytes,
        headers: Headers = (),
        query_string: bytes = b"",
        client: str | None = None,
        most: int = MOST_BODY,
    ) -> None:
        self.body = body
        #: Names in lower case, as ASGI gives them.
        self.headers = headers
        self.query_string = query_string
        #: The address at the other end of the connection; None on a unix socket.
        self.client = client
        #: Bytes that the body may have when it is unpacked.
        self.most = most
        self._by_name = dict(headers)

    def header(self, name: str) -> bytes | None:
        """Return the value of a header, None without it. Raises Unverified where it stands twice."""
        wanted = _encode_name(name)
        found = self._by_name.get(wanted)
        if found is not None and len(self._by_name) < len(self.headers) and self._times(wanted) > 1:
            raise errors.Unverified("ambiguous_header", f"the header {name} stands twice; send it once")
        return found

    def _times(self, wanted: bytes) -> int:
        return sum(name == wanted for name, _ in self.headers)

    @property
    def query(self) -> list[tuple[str, str]]:
        """The parameters of the URL, in their order. Raises NotParseable."""
        if not self.query_string:
            return []
        pairs = split_form(self.query_string)
        if pairs is None:
            raise errors.NotParseable("too_many_fields", f"the URL has more than {MOST_PARAMETERS} parameters")
        try:
            return [(name.decode(), value.decode()) for name, value in pairs]
        except ValueError as exc:
            raise errors.NotParseable("bad_query", "the query of the URL is not percent-encoded UTF-8") from exc

    def parameter(self, name: str) -> str | None:
        """Return the value of a parameter of the URL, None without it. Raises Unverified where it stands twice."""
        values = [value for key, value in self.query if key == name]
        if len(values) > 1:
            raise errors.Unverified("ambiguous_parameter", f"the parameter {name} stands twice; send it once")
        return values[0] if values else None
