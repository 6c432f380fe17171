"""A request as it came, before anybody knows who sent it.

Comes in: what the server read from the wire. Goes out: a record that only `verification.verify` turns into a
VerifiedRequest. Never decodes more than it is asked for, since every byte may be hostile.
"""

from collections.abc import Callable, Sequence
from functools import lru_cache
from urllib.parse import parse_qsl

from receiver import errors

#: Names in lower case and values, in the order in which they came or are sent.
Headers = Sequence[tuple[bytes, bytes]]
#: Takes status, further headers and body of an answer, JSON.
Answer = Callable[[int, Headers, bytes], None]

#: More parameters than this no platform sends; parsing them would only cost time.
MOST_PARAMETERS = 1_000


@lru_cache(maxsize=256)
def _encode_name(name: str) -> bytes:
    return name.lower().encode("latin-1", "replace")


class RawRequest:
    """Bytes from the internet."""

    __slots__ = ("_by_name", "body", "client", "headers", "query_string")

    def __init__(
        self,
        body: bytes,
        headers: Headers = (),
        query_string: bytes = b"",
        client: str | None = None,
    ) -> None:
        self.body = body
        #: Names in lower case, as ASGI gives them.
        self.headers = headers
        self.query_string = query_string
        #: The address at the other end of the connection; None on a unix socket.
        self.client = client
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
        try:
            return parse_qsl(
                self.query_string.decode("ascii"),
                keep_blank_values=True,
                errors="strict",
                max_num_fields=MOST_PARAMETERS,
            )
        except ValueError as exc:
            raise errors.NotParseable("bad_query", "the query of the URL is not percent-encoded UTF-8") from exc

    def parameter(self, name: str) -> str | None:
        """Return the value of a parameter of the URL, None without it. Raises Unverified where it stands twice."""
        values = [value for key, value in self.query if key == name]
        if len(values) > 1:
            raise errors.Unverified("ambiguous_parameter", f"the parameter {name} stands twice; send it once")
        return values[0] if values else None
