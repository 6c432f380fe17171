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
from datetime import UTC, datetime
from typing import Literal

from receiver import errors
from receiver.request import RawRequest
from rules import secret, standard_webhooks
from rules.errors import SecretMissing
from rules.secret import Secret
from rules.verify import Verify, name_secrets, split_template

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

#: Returns the value of a header; None without it.
ReadHeader = Callable[[str], "bytes | None"]
#: Makes the signed bytes of a body, the timestamp as it was sent, and the headers.
Content = Callable[[bytes, bytes, ReadHeader], bytes]
#: Which of a check's secrets were right (a bit each, from the first on), and the message id.
Proof = tuple[int, str | None]
#: Parts of a header such as `t=1795000000,v1=5257…`.
_PARTS = re.compile(rb"[,;]")


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
    #: Of each check of the source: which of its secrets were right, a bit each.
    proofs: tuple[int, ...] = ()

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


@dataclass(frozen=True)
class Check(ABC):
    """One way to verify a sender. A source may have several; all must hold."""

    #: What its secrets are called, in their order: the names of their references, never what is in them.
    labels: tuple[str, ...] = field(default=(), kw_only=True, compare=False)

    @abstractmethod
    def check(self, request: RawRequest, now: float) -> Proof:
        """Return which secrets the sender knows, and the message id where there is one. Raises RequestRefused."""

    def greet(self, request: RawRequest, now: float) -> Proof:
        """Check a handshake, which has no body: as an event, unless it is the body that proves who sends it.

        Raises RequestRefused.
        """
        return self.check(request, now)

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
    proofs: tuple[int, ...] = ()
    for each in checks:
        right, message_id = each.check(request, now)
        proofs += (right,)
        sender_id = message_id or sender_id
        if parameters := each.secret_parameters:
            hidden |= parameters
    return VerifiedRequest(request, sender_id, hidden, False, proofs)


def greet(request: RawRequest, checks: Sequence[Check], now: float) -> VerifiedRequest:
    """Return a handshake (GET, HEAD, OPTIONS) as verified by what can be known of it. Raises RequestRefused."""
    proofs = tuple([each.greet(request, now)[0] for each in checks])
    hidden: frozenset[str] = frozenset().union(*(each.secret_parameters for each in checks))
    return VerifiedRequest(request, None, hidden, proofs=proofs)


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


def _matches(given: bytes, secrets: Sequence[bytes]) -> int:
    """Compare with each of the secrets, all of them whatever the result, each in constant time.

    Returns a bit for each that is the same, the lowest for the first.
    """
    if len(secrets) == 1:
        return int(hmac.compare_digest(given, secrets[0]))
    found = 0
    for at, each in enumerate(secrets):
        found |= hmac.compare_digest(given, each) << at
    return found


@dataclass(frozen=True)
class HeaderCheck(Check):
    """A fixed text in a header."""

    name: str
    values: tuple[bytes, ...] = field(repr=False)

    def check(self, request: RawRequest, now: float) -> Proof:
        """Compare the header."""
        given = request.header(self.name)
        if given is None:
            raise errors.Unverified("missing_credentials", f"the header {self.name} is missing")
        right = _matches(given, self.values)
        if not right:
            raise errors.Unverified("wrong_credentials", f"the header {self.name} has another value than agreed")
        return right, None

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

    def check(self, request: RawRequest, now: float) -> Proof:
        """Compare the parameter."""
        given = request.parameter(self.name)
        if given is None:
            raise errors.Unverified("missing_credentials", f"the parameter {self.name} of the URL is missing")
        right = _matches(given.encode("utf-8", "surrogatepass"), self.values)
        if not right:
            raise errors.Unverified("wrong_credentials", f"the parameter {self.name} has another value than agreed")
        return right, None

    def sign(self, body: bytes, now: float, message_id: str) -> Signed:
        """Add the parameter."""
        return Signed(query={self.name: self.values[0].decode()})

    @property
    def secret_parameters(self) -> frozenset[str]:
        """The parameter is the secret."""
        return frozenset({self.name})


@dataclass(frozen=True)
class HandshakeCheck(Query):
    """A token that comes with the handshake alone."""

    def check(self, request: RawRequest, now: float) -> Proof:
        """Pass an event: other checks are there for it."""
        return 0, None

    def greet(self, request: RawRequest, now: float) -> Proof:
        """Compare the parameter."""
        return super().check(request, now)

    def sign(self, body: bytes, now: float, message_id: str) -> Signed:
        """Add nothing."""
        return Signed()


def _read_basic(request: RawRequest, what: str) -> bytes:
    """Return what follows `Basic` in the header Authorization. Raises Unverified."""
    given = request.header("authorization")
    if given is None:
        raise errors.Unverified("missing_credentials", f"{what} (HTTP Basic) are missing")
    scheme, _, rest = given.strip().partition(b" ")
    if scheme.lower() != b"basic":
        raise errors.Unverified("malformed_credentials", "the header Authorization must be: Basic …")
    return rest.strip()


@dataclass(frozen=True)
class BasicCheck(Check):
    """User and password (RFC 7617), UTF-8."""

    user: bytes
    passwords: tuple[bytes, ...] = field(repr=False)

    def check(self, request: RawRequest, now: float) -> Proof:
        """Compare user and password."""
        try:
            pair = base64.b64decode(_read_basic(request, "user and password"), validate=True)
        except binascii.Error as exc:
            raise errors.Unverified("malformed_credentials", "what follows Basic must be base64") from exc
        user, colon, password = pair.partition(b":")
        if not colon:
            raise errors.Unverified("malformed_credentials", "user and password must be parted by a colon")
        right_user = hmac.compare_digest(user, self.user)
        right_password = _matches(password, self.passwords)
        if not (right_user and right_password):
            raise errors.Unverified("wrong_credentials", "user or password is not the one agreed")
        return right_password, None

    def sign(self, body: bytes, now: float, message_id: str) -> Signed:
        """Add the header."""
        pair = base64.b64encode(self.user + b":" + self.passwords[0]).decode("ascii")
        return Signed(headers={"Authorization": f"Basic {pair}"})

    @property
    def secret_headers(self) -> frozenset[str]:
        """The header with the password."""
        return frozenset({"authorization"})


@dataclass(frozen=True)
class BasicKeyCheck(Check):
    """A key alone behind `Basic`: in base64, as Maileon documents it, or as it is, as its settings dialog shows it."""

    keys: tuple[bytes, ...] = field(repr=False)

    def check(self, request: RawRequest, now: float) -> Proof:
        """Compare the key."""
        given = _read_basic(request, "the header Authorization and the key in it")
        right = _matches(given, (*self.keys, *map(base64.b64encode, self.keys)))
        if not right:
            raise errors.Unverified("wrong_credentials", "the key is not the one agreed")
        return (right | right >> len(self.keys)) & ((1 << len(self.keys)) - 1), None

    def sign(self, body: bytes, now: float, message_id: str) -> Signed:
        """Add the header."""
        return Signed(headers={"Authorization": f"Basic {base64.b64encode(self.keys[0]).decode('ascii')}"})

    @property
    def secret_headers(self) -> frozenset[str]:
        """The header with the key."""
        return frozenset({"authorization"})


def read_timestamp(given: bytes | None, name: str, tolerance: float, now: float) -> None:
    """Check that the sender's clock and ours agree well enough. Raises Unverified."""
    if given is None:
        raise errors.Unverified("missing_timestamp", f"the header {name} is missing, or holds no timestamp")
    seconds = _seconds(given)
    if seconds is None:
        raise errors.Unverified(
            "malformed_timestamp",
            f"the timestamp in the header {name} must be seconds or milliseconds since 1970, or ISO 8601",
        )
    if abs(now - seconds) > tolerance:
        raise errors.Unverified(
            "stale_timestamp",
            f"the timestamp in the header {name} is more than {tolerance:g} s away from our clock; is yours right?",
        )


def _seconds(given: bytes) -> float | None:
    """Return a time as seconds since 1970; without a zone it is UTC. None where it is none."""
    # int() would also take `1_000`, `+5` and digits of other scripts.
    if given.isdigit() and len(given) <= 16:
        sent = int(given)
        return sent / 1000 if sent >= MILLISECONDS_FROM else float(sent)
    if not _ISO.fullmatch(given):
        return None
    try:
        moment = datetime.fromisoformat(given.decode("ascii"))
        return (moment if moment.tzinfo else moment.replace(tzinfo=UTC)).timestamp()
    except (ValueError, OverflowError):
        return None


_ISO = re.compile(rb"\d{4}-\d\d-\d\d[T ][\d:.,+Z-]{5,30}")

Encoding = Literal["hex", "base64", "base64url"]

_URL_ALPHABET, _NO_URL_ALPHABET = bytes.maketrans(b"-_", b"+/"), frozenset(b"+/")


def _decode(text: bytes, encoding: Encoding) -> bytes | None:
    """Return what is written so; None where it is not. Base64 may leave away the = at its end."""
    try:
        if encoding == "hex":
            return binascii.unhexlify(text)
        if encoding == "base64url":
            if not _NO_URL_ALPHABET.isdisjoint(text):
                return None
            text = text.translate(_URL_ALPHABET)
        bare = text.removesuffix(b"=").removesuffix(b"=")
        return base64.b64decode(bare + b"=" * (-len(bare) % 4), validate=True)
    except ValueError:
        return None


def _encode(digest: bytes, encoding: Encoding) -> str:
    if encoding == "hex":
        return digest.hex()
    return (base64.b64encode if encoding == "base64" else base64.urlsafe_b64encode)(digest).decode("ascii")


def _first_header(request: RawRequest, names: Sequence[str]) -> bytes | None:
    """Return the header of the first of these names that came; None where none did."""
    for name in names:
        found = request.header(name)
        if found is not None:
            return found
    return None


def compile_content(template: str) -> Content:
    """Return what makes the signed bytes by a template such as `{timestamp}.{body}`. Raises ValueError."""
    pieces = split_template(template)
    if pieces == ["{body}"]:
        return lambda body, timestamp, header: body
    makers = [_compile_piece(piece) for piece in pieces]
    return lambda body, timestamp, header: b"".join([make(body, timestamp, header) for make in makers])


def _compile_piece(piece: str) -> Content:
    if piece == "{body}":
        return lambda body, timestamp, header: body
    if piece == "{timestamp}":
        return lambda body, timestamp, header: timestamp
    if not piece.startswith("{"):
        text = piece.encode()
        return lambda body, timestamp, header: text
    name = piece[len("{header.") : -1]

    def signed_header(body: bytes, timestamp: bytes, header: ReadHeader) -> bytes:
        value = header(name)
        if value is None:
            raise errors.Unverified("missing_signature", f"the header {name}, which is signed, is missing")
        return value

    return signed_header


@dataclass(frozen=True)
class HmacCheck(Check):
    """A keyed hash over the body and what a template puts around it."""

    #: Of these the first that came counts.
    headers: tuple[str, ...]
    secrets: tuple[bytes, ...] = field(repr=False)
    algorithm: str = "sha256"
    encoding: Encoding = "hex"
    #: What stands before each hash in the header: `sha256=`.
    prefix: str = ""
    #: The parts of the header with signature and timestamp, where it is `t=…,v1=…`.
    signature_part: str | None = None
    timestamp_part: str | None = None
    signed: str = "{body}"
    timestamp_headers: tuple[str, ...] = ()
    #: Seconds.
    tolerance: float = 300
    _content: Content = field(init=False, repr=False, compare=False)
    #: What parts several signatures: commas and blanks, unless one is in the prefix.
    _between: "re.Pattern[bytes] | None" = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        """Compile the template."""
        object.__setattr__(self, "_content", compile_content(self.signed))
        signs = (rb"," if "," not in self.prefix else b"") + (rb"\s" if " " not in self.prefix else b"")
        object.__setattr__(self, "_between", re.compile(b"[" + signs + b"]+") if signs else None)

    @property
    def _named(self) -> str:
        return " or ".join(self.headers)

    def check(self, request: RawRequest, now: float) -> Proof:
        """Compute the hash with each secret and compare with each that was given."""
        given = _first_header(request, self.headers)
        if given is None:
            raise errors.Unverified("missing_signature", f"the header {self._named} is missing")
        texts, timestamp = self._read_parts(given) if self.signature_part else (self._split(given.strip()), None)
        digests = [digest for text in texts[:MOST_SIGNATURES] if (digest := _decode(text, self.encoding)) is not None]
        if not digests:
            raise errors.Unverified("malformed_signature", f"the signature must be written in {self.encoding}")
        if self.timestamp_headers:
            timestamp = _first_header(request, self.timestamp_headers)
        content = self._content(request.body, timestamp or b"", request.header)
        expected = [hmac.digest(key, content, self.algorithm) for key in self.secrets]
        right = 0
        for each in digests:
            right |= _matches(each, expected)
        if not right:
            raise errors.Unverified(
                "wrong_signature", "the signature is not the one of this body; are secret and signed content as agreed?"
            )
        if self.timestamp_headers or self.timestamp_part:
            read_timestamp(timestamp, " or ".join(self.timestamp_headers or self.headers), self.tolerance, now)
        return right, None

    def _split(self, given: bytes) -> list[bytes]:
        """Return the signatures of a header that holds nothing else."""
        prefix = self.prefix.encode()
        if given.startswith(prefix) and b"," not in given and b" " not in given:
            return [given[len(prefix) :]]  # nearly always
        texts = self._between.split(given) if self._between else [given]
        found = [text[len(prefix) :].strip() for text in texts if text.startswith(prefix)]
        if not found:
            raise errors.Unverified("malformed_signature", f"the header {self._named} must begin with {self.prefix!r}")
        return found

    def _read_parts(self, given: bytes) -> tuple[list[bytes], bytes | None]:
        """Return the signatures and the timestamp of a header such as `t=…,v1=…`."""
        pairs = [part.strip().partition(b"=") for part in _PARTS.split(given)]
        texts = [value for name, _, value in pairs if name == str(self.signature_part).encode()]
        if not texts:
            raise errors.Unverified(
                "malformed_signature", f"the header {self._named} must hold {self.signature_part}=<signature>"
            )
        stamps = [value for name, _, value in pairs if self.timestamp_part and name == self.timestamp_part.encode()]
        return texts, stamps[0] if len(stamps) == 1 else None

    def greet(self, request: RawRequest, now: float) -> Proof:
        """Pass it: nothing is signed."""
        return 0, None

    def sign(self, body: bytes, now: float, message_id: str) -> Signed:
        """Add the signature, and what is signed with it: the timestamp, and the message's id as any other header."""
        timestamp = str(int(now))
        headers = dict.fromkeys(_list_headers(self.signed), message_id)
        content = self._content(body, timestamp.encode(), lambda name: message_id.encode())
        signature = _encode(hmac.digest(self.secrets[0], content, self.algorithm), self.encoding)
        if self.signature_part:
            stamp = f"{self.timestamp_part}={timestamp}," if self.timestamp_part else ""
            headers[self.headers[0]] = f"{stamp}{self.signature_part}={signature}"
        else:
            headers[self.headers[0]] = self.prefix + signature
        if self.timestamp_headers:
            headers[self.timestamp_headers[0]] = timestamp
        return Signed(headers=headers)

    @property
    def secret_headers(self) -> frozenset[str]:
        """The signature: it is no password, but it proves that the source sent this body."""
        return frozenset(name.lower() for name in self.headers)


def _list_headers(template: str) -> list[str]:
    return [piece[len("{header.") : -1] for piece in split_template(template) if piece.startswith("{header.")]


@dataclass(frozen=True)
class StandardWebhooksCheck(Check):
    """The scheme of standardwebhooks.com: id, timestamp and body, signed with HMAC-SHA256."""

    secrets: tuple[bytes, ...] = field(repr=False)
    #: Seconds.
    tolerance: float = 300
    #: What the names of the three headers begin with; the first under which an id came counts.
    prefixes: tuple[str, ...] = ("webhook",)

    def check(self, request: RawRequest, now: float) -> Proof:
        """Compare each signature given with each secret; return the message id."""
        came = (each for each in self.prefixes if request.header(f"{each}-id") is not None)
        prefix = next(came, self.prefixes[0])
        message_id = request.header(f"{prefix}-id")
        if not message_id:
            raise errors.Unverified("missing_signature", f"the header {prefix}-id is missing")
        timestamp = request.header(f"{prefix}-timestamp")
        given = request.header(f"{prefix}-signature")
        if given is None:
            raise errors.Unverified("missing_signature", f"the header {prefix}-signature is missing")
        signatures = [
            digest
            for version, comma, text in (each.partition(b",") for each in given.split()[:MOST_SIGNATURES])
            if version == b"v1" and comma and (digest := _decode(text, "base64")) is not None
        ]
        if not signatures:
            raise errors.Unverified(
                "malformed_signature",
                f"the header {prefix}-signature must be: v1,<base64>; several are parted by blanks",
            )
        content = message_id + b"." + (timestamp or b"") + b"." + request.body
        expected = [hmac.digest(key, content, "sha256") for key in self.secrets]
        right = 0
        for signature in signatures:
            right |= _matches(signature, expected)
        if not right:
            raise errors.Unverified("wrong_signature", "no signature is the one of this id, timestamp and body")
        read_timestamp(timestamp, f"{prefix}-timestamp", self.tolerance, now)
        return right, message_id.decode("utf-8", "replace")

    def greet(self, request: RawRequest, now: float) -> Proof:
        """Pass it: nothing is signed."""
        return 0, None

    def sign(self, body: bytes, now: float, message_id: str) -> Signed:
        """Add the three headers."""
        return Signed(
            headers={
                f"{self.prefixes[0]}-id": message_id,
                f"{self.prefixes[0]}-timestamp": str(int(now)),
                f"{self.prefixes[0]}-signature": standard_webhooks.sign(self.secrets[:1], message_id, int(now), body),
            }
        )

    @property
    def secret_headers(self) -> frozenset[str]:
        """The signature, as with HMAC."""
        return frozenset(f"{each}-signature".lower() for each in self.prefixes)


@dataclass(frozen=True)
class IpCheck(Check):
    """An address that may send. Headers of proxies count only where the proxy itself is trusted."""

    allow: tuple[Network, ...]
    trusted_proxies: tuple[Network, ...] = ()
    #: Where a trusted proxy writes who is before it.
    header: str = "X-Forwarded-For"

    def check(self, request: RawRequest, now: float) -> Proof:
        """Find the sender's address and compare it with the list."""
        if not _within(self._sender(request), self.allow):
            raise errors.NotAdmitted("address_not_allowed", "your address is not on the list of this source")
        return 0, None

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


@dataclass(frozen=True)
class _Secrets:
    """Where the secrets of a source are read."""

    environ: Mapping[str, str]
    read_file: secret.ReadFile
    missing: Callable[[SecretMissing], None] | None

    def resolve(self, way: str, of: Sequence[Secret]) -> tuple[tuple[str, ...], tuple[str, ...]]:
        """Return the secrets of a way to verify that are there, and what they are called."""
        found: dict[str, str] = {}
        gone: list[SecretMissing] = []
        for label, each in name_secrets(way, of):
            try:
                found[label] = each.resolve(self.environ, self.read_file)
            except SecretMissing as exc:
                gone.append(exc)
        if not found:
            raise gone[0]
        if self.missing is not None:
            for left_out in gone:
                self.missing(left_out)
        return tuple(found.values()), tuple(found)

    def encode(self, way: str, of: Sequence[Secret]) -> tuple[tuple[bytes, ...], tuple[str, ...]]:
        """Return the same as bytes."""
        values, labels = self.resolve(way, of)
        return tuple(each.encode() for each in values), labels


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

    secrets = _Secrets(environ, read_file, missing)
    found: list[Check] = []
    if of.ip:
        found.append(IpCheck(_networks(of.ip.allow), _networks(of.ip.trusted_proxies), of.ip.trusted_header))
    if of.header:
        values, labels = secrets.encode("header", of.header.value)
        found.append(HeaderCheck(of.header.name, values, labels=labels))
    if of.query:
        values, labels = secrets.encode("query", of.query.value)
        found.append(Query(of.query.name, values, labels=labels))
    if of.handshake:
        values, labels = secrets.encode("handshake", of.handshake.value)
        found.append(HandshakeCheck(of.handshake.name, values, labels=labels))
    if of.basic:
        user = secret.resolve(of.basic.user, environ, read_file)
        values, labels = secrets.encode("basic", of.basic.password)
        found.append(BasicCheck(user.encode(), values, labels=labels))
    if of.basic_key:
        values, labels = secrets.encode("basic_key", of.basic_key.value)
        found.append(BasicKeyCheck(values, labels=labels))
    if of.hmac:
        parts = of.hmac.parts
        values, labels = secrets.encode("hmac", of.hmac.secret)
        found.append(
            HmacCheck(
                of.hmac.header,
                values,
                of.hmac.algorithm,
                of.hmac.encoding,
                of.hmac.prefix,
                parts.signature if parts else None,
                parts.timestamp if parts else None,
                of.hmac.signed,
                of.hmac.timestamp_header or (),
                of.hmac.tolerance / 1000,
                labels=labels,
            )
        )
    if of.standard_webhooks:
        written, labels = secrets.resolve("standard_webhooks", of.standard_webhooks.secret)
        keys = tuple(standard_webhooks.read_key(each) for each in written)
        tolerance = of.standard_webhooks.tolerance / 1000
        found.append(StandardWebhooksCheck(keys, tolerance, of.standard_webhooks.prefix, labels=labels))
    return tuple(found)


def _networks(texts: Sequence[str]) -> tuple[Network, ...]:
    return tuple(ipaddress.ip_network(text) for text in texts)
