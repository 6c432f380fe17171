"""The model of `verify:`, which says how the requests of a source are authenticated.

Comes in: the YAML of a source. Goes out: a frozen record, which `receiver.verification` applies. Never verifies by
itself, and never defaults to "no verification": that has to be written down, with its reason.
"""

import re
from collections.abc import Sequence
from ipaddress import ip_network
from typing import Annotated, Any, Literal, Self

from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict, Field, model_validator

from rules.secret import Secret
from rules.source.units import MINUTE, SECOND, Duration


def _several(value: Any) -> Any:
    """Turn a single value into a list of one. Several secrets are valid while they are rotated."""
    return value if isinstance(value, list | tuple) else [value]


def _network(value: str) -> str:
    try:
        return str(ip_network(value, strict=False))
    except ValueError:
        raise ValueError("must be an address or a network such as 192.0.2.0/24") from None


def _no_header_trouble(value: str) -> str:
    if not value or not value.isascii() or not all(sign.isalnum() or sign in "-_" for sign in value):
        raise ValueError("must be the name of a header, such as X-Signature")
    return value


#: What is filled in where a template says what is signed.
PLACEHOLDER = re.compile(r"(\{[^{}]*\})")


def split_template(text: str) -> list[str]:
    """Return the pieces of a template: texts, `{body}`, `{timestamp}` and `{header.NAME}`. Raises ValueError."""
    pieces = [piece for piece in PLACEHOLDER.split(text) if piece]
    for piece in pieces:
        if piece in ("{body}", "{timestamp}"):
            continue
        if piece.startswith("{header."):
            _no_header_trouble(piece[len("{header.") : -1])
        elif "{" in piece or "}" in piece:
            raise ValueError("must be a template of {body}, {timestamp}, {header.NAME} and what stands between them")
    return pieces


def _template(value: Any) -> Any:
    """Take the two words that stood here before there were templates."""
    return {"body": "{body}", "timestamp.body": "{timestamp}.{body}"}.get(value, value) if value.__hash__ else value


def _is_template(value: str) -> str:
    if "{body}" not in split_template(value):
        raise ValueError("must hold {body}: what is not signed anybody can exchange")
    return value


def _is_prefix(value: str) -> str:
    if not value.isascii() or not value.isprintable() or value[:1] == " ":
        raise ValueError("can never match: a header begins with no blank and has ASCII only")
    return value


def _is_part(value: str) -> str:
    if not value.isascii() or not all(sign.isalnum() or sign in "-_." for sign in value):
        raise ValueError("must be the name of a part, such as v1 where the header is t=…,v1=…")
    return value


def _is_user(value: str) -> str:
    if ":" in value:
        raise ValueError("can never match: what follows the first colon is the password")
    return value


def _is_tolerance(value: int) -> int:
    if value < SECOND:
        raise ValueError("must be 1s or more: no two clocks are equal; vendors recommend 5m")
    return value


Tolerance = Annotated[Duration, AfterValidator(_is_tolerance)]
Secrets = Annotated[tuple[Secret, ...], BeforeValidator(_several), Field(min_length=1)]
Header = Annotated[str, Field(min_length=1, max_length=100), AfterValidator(_no_header_trouble)]
Headers = Annotated[tuple[Header, ...], BeforeValidator(_several), Field(min_length=1, max_length=8)]
Part = Annotated[str, Field(min_length=1, max_length=40), AfterValidator(_is_part)]
Template = Annotated[str, Field(min_length=1, max_length=500), BeforeValidator(_template), AfterValidator(_is_template)]
Networks = Annotated[tuple[Annotated[str, AfterValidator(_network)], ...], BeforeValidator(_several)]


def name_secrets(way: str, secrets: Sequence[Secret]) -> list[tuple[str, Secret]]:
    """Return the secrets of a way to verify, each with what it is called: its reference, else its place."""
    return [
        (f"{way}, no. {at}, in clear" if secret.literal else str(secret), secret)
        for at, secret in enumerate(secrets, 1)
    ]


class VerifyMethod(BaseModel):
    """Base class of the verification methods."""

    # A rejected secret must not show up in the error about it.
    model_config = ConfigDict(defer_build=True, frozen=True, extra="forbid", hide_input_in_errors=True)


class HeaderToken(VerifyMethod):
    """A static token in a header."""

    #: The header: X-Relais-Token.
    name: Header
    #: What it holds; several while it changes.
    value: Secrets


class QueryToken(VerifyMethod):
    """A static token in the URL (`?token=…`), for platforms that support nothing better."""

    #: The parameter: token.
    name: str = Field(min_length=1, max_length=100)
    #: What it holds; several while it changes.
    value: Secrets


class Basic(VerifyMethod):
    """HTTP Basic."""

    #: The name, in clear.
    user: Annotated[str, Field(min_length=1), AfterValidator(_is_user)]
    #: The password; several while it changes.
    password: Secrets


class BasicKey(VerifyMethod):
    """A key alone behind `Basic`, without user and colon, in base64 or as it is: how clients of Maileon send theirs."""

    #: The key; several while it changes.
    value: Secrets


class SignatureParts(VerifyMethod):
    """The parts of a header such as `t=1795000000,v1=5257a8…`."""

    #: The part with the signature: v1. It may stand there several times.
    signature: Part
    #: The part with the time of sending: t.
    timestamp: Part | None = None


class Hmac(VerifyMethod):
    """A signature over the body with a shared secret."""

    #: The header with the signature; of several names the first that came.
    header: Headers
    algorithm: Literal["sha1", "sha256", "sha384", "sha512"] = "sha256"
    #: How the signature is written; base64 and base64url with = at the end or without.
    encoding: Literal["hex", "base64", "base64url"] = "hex"
    #: Text before each signature in the header: `sha256=`. Several are parted by commas or blanks.
    prefix: Annotated[str, AfterValidator(_is_prefix)] = ""
    #: The parts of the header, where it is `t=…,v1=…`.
    parts: SignatureParts | None = None
    #: The key of the signature; several while it changes.
    secret: Secrets
    #: What is signed: a template of {body}, {timestamp}, {header.NAME} and what stands between them:
    #: "{timestamp}.{body}".
    signed: Template = "{body}"
    #: The header with the time of sending: seconds or milliseconds since 1970, or ISO 8601.
    timestamp_header: Headers | None = None
    #: The largest accepted difference between timestamp and clock. Vendors recommend five minutes.
    tolerance: Tolerance = 5 * MINUTE

    @model_validator(mode="after")
    def _can_match(self) -> Self:
        pieces = split_template(self.signed)
        names = {name.lower() for name in self.header}
        told_in = [each for each in (self.timestamp_header, self.parts and self.parts.timestamp) if each]
        if ("{timestamp}" in pieces) != bool(told_in):
            raise ValueError(
                "{timestamp} in signed: and the place where it stands (timestamp_header:, or parts: timestamp:) go "
                "together"
            )
        if "tolerance" in self.model_fields_set and not told_in:
            raise ValueError("tolerance: is for a timestamp, and none is read: timestamp_header:, or parts: timestamp:")
        if len(told_in) > 1:
            raise ValueError("the timestamp stands in one place: timestamp_header:, or parts: timestamp:")
        if names & {name.lower() for name in self.timestamp_header or ()}:
            raise ValueError("can never match: one header for signature and timestamp; parts: says which part is which")
        if names & {piece[len("{header.") : -1].lower() for piece in pieces}:
            raise ValueError("can never match: the header with the signature cannot be signed itself")
        if self.parts and self.prefix:
            raise ValueError("parts: says where the signature stands, so prefix: has no place beside it")
        if self.parts and self.parts.signature == self.parts.timestamp:
            raise ValueError("can never match: one part for signature and timestamp")
        return self


class StandardWebhooks(VerifyMethod):
    """The scheme of standardwebhooks.com (`webhook-id`, `webhook-timestamp`, `webhook-signature`)."""

    #: The key as the platform shows it, with `whsec_` before it or without; several while it changes.
    secret: Secrets
    #: What the names of the three headers begin with.
    prefix: Headers = ("webhook", "svix")
    #: The largest accepted difference between time of sending and clock.
    tolerance: Tolerance = 5 * MINUTE


class Ip(VerifyMethod):
    """Only requests from these addresses. Behind a trusted proxy the forwarded address counts."""

    #: Addresses and networks: 192.0.2.0/24.
    allow: Annotated[Networks, Field(min_length=1)]
    #: Networks of our own proxies.
    trusted_proxies: Networks = ()
    #: The header in which a trusted proxy tells the sender's address: X-Forwarded-For, or the one it is set up to write
    #: (`Forwarded`, `X-Real-IP`).
    trusted_header: Header = "X-Forwarded-For"

    @model_validator(mode="after")
    def _header_needs_a_proxy(self) -> Self:
        if "trusted_header" in self.model_fields_set and not self.trusted_proxies:
            raise ValueError("trusted_header: counts only where trusted_proxies: says who writes it")
        return self


class Verify(VerifyMethod):
    """The verification methods of a source. All that are set must succeed."""

    header: HeaderToken | None = None
    query: QueryToken | None = None
    basic: Basic | None = None
    basic_key: BasicKey | None = None
    hmac: Hmac | None = None
    standard_webhooks: StandardWebhooks | None = None
    ip: Ip | None = None
    #: A token in the URL that comes with a handshake alone (`hub.verify_token`); events are verified by the others.
    handshake: QueryToken | None = None
    #: No verification at all, with the reason in words.
    none: str | None = Field(default=None, min_length=8, max_length=500)

    @model_validator(mode="after")
    def _something(self) -> Self:
        ways = [self.header, self.query, self.basic, self.basic_key, self.hmac, self.standard_webhooks, self.ip]
        if self.none is None and not any(ways):
            raise ValueError("says nothing: name a way to verify, or none: with the reason in words")
        if self.none is not None and any(ways):
            raise ValueError("none: says there is no verification, so nothing else may stand beside it")
        return self

    @property
    def secrets(self) -> tuple[Secret, ...]:
        """Every secret in it."""
        return tuple(secret for of in self._by_way.values() for secret in of)

    @property
    def secret_names(self) -> tuple[str, ...]:
        """What every secret in it is called, each name once."""
        named = (label for way, of in self._by_way.items() for label, _ in name_secrets(way, of))
        return tuple(dict.fromkeys(named))

    @property
    def _by_way(self) -> dict[str, tuple[Secret, ...]]:
        found = {}
        for way in ("header", "query", "handshake", "basic_key"):
            if part := getattr(self, way):
                found[way] = part.value
        if self.basic:
            found["basic"] = self.basic.password
        for way in ("hmac", "standard_webhooks"):
            if part := getattr(self, way):
                found[way] = part.secret
        return found

    @property
    def secret_headers(self) -> frozenset[str]:
        """The headers that hold a secret or a signature, in lower case."""
        names = [self.header.name] if self.header else []
        names += ["Authorization"] if self.basic or self.basic_key else []
        names += self.hmac.header if self.hmac else ()
        names += [f"{each}-signature" for each in self.standard_webhooks.prefix] if self.standard_webhooks else []
        return frozenset(name.lower() for name in names)

    @property
    def secret_parameters(self) -> frozenset[str]:
        """The parameters of the URL that hold a secret."""
        return frozenset(part.name for part in (self.query, self.handshake) if part)
