"""Verifies senders: a RawRequest becomes a VerifiedRequest here and nowhere else.

Comes in: a request and the checks of its source, secrets resolved. Goes out: the request as verified, or Unverified
with a short code. `sign` is the sender's side, for replays and tests. Never compares a secret in a time that depends on
it, and never raises anything but RequestRefused, whatever the request holds.
"""

import base64
import binascii
import hmac
import ipaddress
import re
from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Literal

from receiver import errors
from receiver.request import RawRequest
from rules import secret
from rules.errors import SecretMissing
from rules.secret import Secret
from rules.verify import Verify

Address = ipaddress.IPv4Address | ipaddress.IPv6Address
Network = ipaddress.IPv4Network | ipaddress.IPv6Network

#: Epoch times above this are milliseconds: as seconds they would lie beyond the year 5000.
MILLISECONDS_FROM = 100_000_000_000
#: Entries of X-Forwarded-For that are looked at, from the last one: no real chain of proxies is longer.
MOST_PROXIES = 32
#: Signatures of one request that are compared: a sender that rotates its key sends two.
MOST_SIGNATURES = 16

#: `[2001:db8::1]:443`, `[2001:db8::1]`, `198.51.100.7:51008`.
_WITH_PORT = re.compile(r"\[([^\[\]]+)\](?::\w*)?|([\d.]+):\w*", re.ASCII)
_FOR = re.compile(r"(?:^|;)\s*for\s*=\s*(\"[^\"]*\"|[^;\s]*)", re.IGNORECASE)

STANDARD_ID = "webhook-id"
STANDARD_TIMESTAMP = "webhook-timestamp"
STANDARD_SIGNATURE = "webhook-signature"


@dataclass(slots=True)
class VerifiedRequest:
    """A request whose sender proved to be the source. Made by `verify` only (`trusted`: what lies on our own disk)."""

    raw: RawRequest
    #: The platform's message id, where the scheme itself carries one (Standard Webhooks).
    sender_id: str | None = None
    #: Parameters of the URL that are secrets; they never become part of an event.
    hidden: frozenset[str] = frozenset()
    #: Whether the body is that of one item, as it was kept: without what stood around it in its request.
    kept: bool = False

    @property
    def body(self) -> bytes:
        """The body as it came."""
        return self.raw.body

    @property
    def query(self) -> list[tuple[str, str]]:
        """The parameters of the URL without the secret ones."""
        if not self.raw.query_string:
            return []
        return [(name, value) for name, value in self.raw.query if name not in self.hidden]


@dataclass
class Signed:
    """What a sender adds to a request to prove itself."""

    headers: dict[str, str] = field(default_factory=dict)
    query: dict[str, str] = field(default_factory=dict)


class Check(ABC):
    """One way to verify a sender. A source may have several; all must hold."""

    @abstractmethod
    def check(self, request: RawRequest, now: float) -> str | None:
        """Return the message id if the scheme carries one. Raises RequestRefused."""

    @abstractmethod
    def sign(self, body: bytes, now: float, message_id: str) -> Signed:
        """Return what the sender adds, with the first of the secrets."""

    @property
    def secret_headers(self) -> frozenset[str]:
        """Headers that are never stored, in lower case."""
        return frozenset()

    @property
    def secret_parameters(self) -> frozenset[str]:
        """Parameters of the URL that are never stored."""
        return frozenset()


def verify(request: RawRequest, checks: Sequence[Check], now: float) -> VerifiedRequest:
    """Return the request as verified by all checks. Raises RequestRefused."""
    sender_id: str | None = None
    hidden: frozenset[str] = frozenset()
    for each in checks:
        sender_id = each.check(request, now) or sender_id
        hidden |= each.secret_parameters
    return VerifiedRequest(request, sender_id, hidden)


def trusted(request: RawRequest, *, kept: bool = False) -> VerifiedRequest:
    """Return a request that needs no proof: a payload in a book's tests, a fixture; `kept`: the body of one item."""
    return VerifiedRequest(request, kept=kept)


def sign(checks: Sequence[Check], body: bytes, now: float, message_id: str) -> Signed:
    """Return what the source would add to a request with this body."""
    signed = Signed()
    for each in checks:
        part = each.sign(body, now, message_id)
        signed.headers.update(part.headers)
        signed.query.update(part.query)
    return signed


def _matches(given: bytes, secrets: Sequence[bytes]) -> bool:
    """Compare with each of the secrets, all of them whatever the result, each in constant time."""
    found = False
    for each in secrets:
        found |= hmac.compare_digest(given, each)
    return found


@dataclass(frozen=True)
class HeaderCheck(Check):
    """A fixed text in a header."""

    name: str
    values: tuple[bytes, ...] = field(repr=False)

    def check(self, request: RawRequest, now: float) -> None:
        """Compare the header."""
        given = request.header(self.name)
        if given is None:
            raise errors.Unverified("missing_credentials", f"the header {self.name} is missing")
        if not _matches(given, self.values):
            raise errors.Unverified("wrong_credentials", f"the header {self.name} has another value than agreed")

    def sign(self, body: bytes, now: float, message_id: str) -> Signed:
        """Add the header."""
        return Signed(headers={self.name: self.values[0].decode()})

    @property
    def secret_headers(self) -> frozenset[str]:
        """The header is the secret."""
        return frozenset({self.name.lower()})


@dataclass(frozen=True)
class Query(Check):
    """A fixed text in a parameter of the URL."""

    name: str
    values: tuple[bytes, ...] = field(repr=False)

    def check(self, request: RawRequest, now: float) -> None:
        """Compare the parameter."""
        given = request.parameter(self.name)
        if given is None:
            raise errors.Unverified("missing_credentials", f"the parameter {self.name} of the URL is missing")
        if not _matches(given.encode("utf-8", "surrogatepass"), self.values):
            raise errors.Unverified("wrong_credentials", f"the parameter {self.name} has another value than agreed")

    def sign(self, body: bytes, now: float, message_id: str) -> Signed:
        """Add the parameter."""
        return Signed(query={self.name: self.values[0].decode()})

    @property
    def secret_parameters(self) -> frozenset[str]:
        """The parameter is the secret."""
        return frozenset({self.name})


@dataclass(frozen=True)
class BasicCheck(Check):
    """User and password (RFC 7617), UTF-8."""

    user: bytes
    passwords: tuple[bytes, ...] = field(repr=False)

    def check(self, request: RawRequest, now: float) -> None:
        """Compare user and password."""
        given = request.header("authorization")
        if given is None:
            raise errors.Unverified("missing_credentials", "user and password (HTTP Basic) are missing")
        scheme, _, encoded = given.strip().partition(b" ")
        if scheme.lower() != b"basic":
            raise errors.Unverified("malformed_credentials", "the header Authorization must be: Basic …")
        try:
            pair = base64.b64decode(encoded.strip(), validate=True)
        except binascii.Error as exc:
            raise errors.Unverified("malformed_credentials", "what follows Basic must be base64") from exc
        user, colon, password = pair.partition(b":")
        if not colon:
            raise errors.Unverified("malformed_credentials", "user and password must be parted by a colon")
        right_user = hmac.compare_digest(user, self.user)
        right_password = _matches(password, self.passwords)
        if not (right_user and right_password):
            raise errors.Unverified("wrong_credentials", "user or password is not the one agreed")

    def sign(self, body: bytes, now: float, message_id: str) -> Signed:
        """Add the header."""
        pair = base64.b64encode(self.user + b":" + self.passwords[0]).decode("ascii")
        return Signed(headers={"Authorization": f"Basic {pair}"})

    @property
    def secret_headers(self) -> frozenset[str]:
        """The header with the password."""
        return frozenset({"authorization"})


def read_timestamp(given: bytes | None, name: str, tolerance: float, now: float) -> None:
    """Check that the sender's clock and ours agree well enough. Raises Unverified."""
    if given is None:
        raise errors.Unverified("missing_timestamp", f"the header {name} is missing")
    # int() would also take `1_000`, `+5` and digits of other scripts.
    if not given.isdigit() or len(given) > 16:
        raise errors.Unverified("malformed_timestamp", f"the header {name} must be seconds since 1970")
    sent = int(given)
    seconds = sent / 1000 if sent >= MILLISECONDS_FROM else float(sent)
    if abs(now - seconds) > tolerance:
        raise errors.Unverified(
            "stale_timestamp", f"the header {name} is more than {tolerance:g} s away from our clock; is yours right?"
        )


Encoding = Literal["hex", "base64"]


def _decode(text: bytes, encoding: Encoding) -> bytes | None:
    try:
        return binascii.unhexlify(text) if encoding == "hex" else base64.b64decode(text, validate=True)
    except ValueError:
        return None


def _encode(digest: bytes, encoding: Encoding) -> str:
    return digest.hex() if encoding == "hex" else base64.b64encode(digest).decode("ascii")


@dataclass(frozen=True)
class HmacCheck(Check):
    """A keyed hash over the body, or over a timestamp, a dot and the body."""

    header: str
    secrets: tuple[bytes, ...] = field(repr=False)
    algorithm: str = "sha256"
    encoding: Encoding = "hex"
    #: What stands before the hash in the header: `sha256=`.
    prefix: str = ""
    #: The header with the timestamp, where it is signed with the body.
    timestamp_header: str | None = None
    #: Seconds.
    tolerance: float = 300

    def check(self, request: RawRequest, now: float) -> None:
        """Compute the hash with each secret and compare."""
        given = request.header(self.header)
        if given is None:
            raise errors.Unverified("missing_signature", f"the header {self.header} is missing")
        given = given.strip()
        prefix = self.prefix.encode()
        if not given.startswith(prefix):
            raise errors.Unverified("malformed_signature", f"the header {self.header} must begin with {self.prefix!r}")
        digest = _decode(given[len(prefix) :].strip(), self.encoding)
        if digest is None:
            raise errors.Unverified("malformed_signature", f"the signature must be written in {self.encoding}")
        timestamp = request.header(self.timestamp_header) if self.timestamp_header else None
        content = self._content(request.body, timestamp)
        if not _matches(digest, [hmac.digest(key, content, self.algorithm) for key in self.secrets]):
            raise errors.Unverified(
                "wrong_signature", "the signature is not the one of this body; are secret and signed content as agreed?"
            )
        if self.timestamp_header:
            read_timestamp(timestamp, self.timestamp_header, self.tolerance, now)

    def _content(self, body: bytes, timestamp: bytes | None) -> bytes:
        return (timestamp or b"") + b"." + body if self.timestamp_header else body

    def sign(self, body: bytes, now: float, message_id: str) -> Signed:
        """Add the signature, and the timestamp where it is signed."""
        timestamp = str(int(now))
        digest = hmac.digest(self.secrets[0], self._content(body, timestamp.encode()), self.algorithm)
        headers = {self.header: self.prefix + _encode(digest, self.encoding)}
        if self.timestamp_header:
            headers[self.timestamp_header] = timestamp
        return Signed(headers=headers)

    @property
    def secret_headers(self) -> frozenset[str]:
        """The signature: it is no password, but it proves that the source sent this body."""
        return frozenset({self.header.lower()})


@dataclass(frozen=True)
class StandardWebhooksCheck(Check):
    """The scheme of standardwebhooks.com: id, timestamp and body, signed with HMAC-SHA256."""

    secrets: tuple[bytes, ...] = field(repr=False)
    #: Seconds.
    tolerance: float = 300

    def check(self, request: RawRequest, now: float) -> str:
        """Compare each signature given with each secret; return the message id."""
        message_id = request.header(STANDARD_ID)
        if not message_id:
            raise errors.Unverified("missing_signature", f"the header {STANDARD_ID} is missing")
        timestamp = request.header(STANDARD_TIMESTAMP)
        given = request.header(STANDARD_SIGNATURE)
        if given is None:
            raise errors.Unverified("missing_signature", f"the header {STANDARD_SIGNATURE} is missing")
        signatures = [
            digest
            for version, comma, text in (each.partition(b",") for each in given.split()[:MOST_SIGNATURES])
            if version == b"v1" and comma and (digest := _decode(text, "base64")) is not None
        ]
        if not signatures:
            raise errors.Unverified(
                "malformed_signature",
                f"the header {STANDARD_SIGNATURE} must be: v1,<base64>; several are parted by blanks",
            )
        content = message_id + b"." + (timestamp or b"") + b"." + request.body
        expected = [hmac.digest(key, content, "sha256") for key in self.secrets]
        found = False
        for signature in signatures:
            found |= _matches(signature, expected)
        if not found:
            raise errors.Unverified("wrong_signature", "no signature is the one of this id, timestamp and body")
        read_timestamp(timestamp, STANDARD_TIMESTAMP, self.tolerance, now)
        return message_id.decode("utf-8", "replace")

    def sign(self, body: bytes, now: float, message_id: str) -> Signed:
        """Add the three headers."""
        timestamp = str(int(now))
        digest = hmac.digest(self.secrets[0], f"{message_id}.{timestamp}.".encode() + body, "sha256")
        return Signed(
            headers={
                STANDARD_ID: message_id,
                STANDARD_TIMESTAMP: timestamp,
                STANDARD_SIGNATURE: f"v1,{_encode(digest, 'base64')}",
            }
        )

    @property
    def secret_headers(self) -> frozenset[str]:
        """The signature, as with HMAC."""
        return frozenset({STANDARD_SIGNATURE})


def standard_key(text: str) -> bytes:
    """Return the key of a Standard Webhooks secret: `whsec_` and base64. Raises ValueError."""
    key = _decode(text.removeprefix("whsec_").encode(), "base64")
    if not key:
        raise ValueError("a Standard Webhooks secret is whsec_ followed by base64")
    return key


@dataclass(frozen=True)
class IpCheck(Check):
    """An address that may send. Headers of proxies count only where the proxy itself is trusted."""

    allow: tuple[Network, ...]
    trusted_proxies: tuple[Network, ...] = ()
    #: Where a trusted proxy writes who is before it.
    header: str = "X-Forwarded-For"

    def check(self, request: RawRequest, now: float) -> None:
        """Find the sender's address and compare it with the list."""
        if not _within(self._sender(request), self.allow):
            raise errors.NotAdmitted("address_not_allowed", "your address is not on the list of this source")

    def _sender(self, request: RawRequest) -> Address:
        address = _address(request.client or "")
        if address is None:
            raise errors.NotAdmitted("address_not_allowed", "the address at the other end is not known")
        if not self.trusted_proxies:
            return address
        wanted = self.header.lower().encode()
        chain = b",".join(value for name, value in request.headers if name == wanted).split(b",")
        for hop in reversed(chain[-MOST_PROXIES:]):
            if not hop.strip() or not _within(address, self.trusted_proxies):
                break
            before = _read_hop(hop.decode("ascii", "replace"), in_pairs=wanted == b"forwarded")
            if before is None:
                raise errors.NotAdmitted(
                    "malformed_forwarded", f"what the header {self.header} holds before a trusted proxy is no address"
                )
            address = before
        return address

    def sign(self, body: bytes, now: float, message_id: str) -> Signed:
        """Add nothing: the address is the proof."""
        return Signed()


def _address(text: str) -> Address | None:
    try:
        address = ipaddress.ip_address(text)
    except ValueError:
        return None
    mapped = address.ipv4_mapped if isinstance(address, ipaddress.IPv6Address) else None
    return mapped or address


def _read_hop(text: str, *, in_pairs: bool) -> Address | None:
    """Return the address of one proxy or sender, with or without a port; None: it is none.

    `in_pairs`: as Forwarded has it, `for="[2001:db8::1]:443";proto=https` (RFC 7239).
    """
    if in_pairs:
        found = _FOR.search(text)
        text = found[1] if found else ""
    text = text.strip().strip('"')
    with_port = _WITH_PORT.fullmatch(text)
    return _address((with_port[1] or with_port[2]) if with_port else text)


def _within(address: Address, networks: Sequence[Network]) -> bool:
    return any(address.version == network.version and address in network for network in networks)


def checks(
    of: Verify,
    environ: Mapping[str, str],
    read_file: secret.ReadFile = secret.no_file,
    missing: Callable[[SecretMissing], None] | None = None,
) -> tuple[Check, ...]:
    """Return what a source's `verify:` asks for, with its secrets. Raises SecretMissing, ValueError.

    Where several secrets are valid while they rotate, one that is not there is left out, and `missing` is called with
    it.
    """

    def resolved(of: Sequence[Secret]) -> list[str]:
        found: list[str] = []
        gone: list[SecretMissing] = []
        for each in of:
            try:
                found.append(each.resolve(environ, read_file))
            except SecretMissing as exc:
                gone.append(exc)
        if not found:
            raise gone[0]
        if missing is not None:
            for left_out in gone:
                missing(left_out)
        return found

    def texts(of: Sequence[Secret]) -> tuple[bytes, ...]:
        return tuple(each.encode() for each in resolved(of))

    found: list[Check] = []
    if of.ip:
        found.append(IpCheck(_networks(of.ip.allow), _networks(of.ip.trusted_proxies), of.ip.trusted_header))
    if of.header:
        found.append(HeaderCheck(of.header.name, texts(of.header.value)))
    if of.query:
        found.append(Query(of.query.name, texts(of.query.value)))
    if of.basic:
        user = secret.resolve(of.basic.user, environ, read_file)
        found.append(BasicCheck(user.encode(), texts(of.basic.password)))
    if of.hmac:
        found.append(
            HmacCheck(
                of.hmac.header,
                texts(of.hmac.secret),
                of.hmac.algorithm,
                of.hmac.encoding,
                of.hmac.prefix,
                of.hmac.timestamp_header,
                of.hmac.tolerance / 1000,
            )
        )
    if of.standard_webhooks:
        keys = tuple(standard_key(each) for each in resolved(of.standard_webhooks.secret))
        found.append(StandardWebhooksCheck(keys, of.standard_webhooks.tolerance / 1000))
    return tuple(found)


def _networks(texts: Sequence[str]) -> tuple[Network, ...]:
    return tuple(ipaddress.ip_network(text) for text in texts)
