"""The model of `verify:`, which says how the requests of a source are authenticated.

Comes in: the YAML of a source. Goes out: a frozen record, which `receiver.verification` applies. Never verifies by
itself, and never defaults to "no verification": that has to be written down, with its reason.
"""

from ipaddress import ip_network
from typing import Annotated, Any, Literal, Self

from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict, Field, model_validator

from rules.secret import Secret
from rules.source.units import MINUTE, Duration


def _several(value: Any) -> Any:
    """Turn a single value into a list of one. Several secrets are valid while they are rotated."""
    return value if isinstance(value, list | tuple) else [value]


def _network(value: str) -> str:
    try:
        return str(ip_network(value, strict=False))
    except ValueError:
        raise ValueError("must be an address or a network such as 192.0.2.0/24") from None


def _no_header_trouble(value: str) -> str:
    if not value.isascii() or not all(sign.isalnum() or sign in "-_" for sign in value):
        raise ValueError("must be the name of a header, such as X-Signature")
    return value


Secrets = Annotated[tuple[Secret, ...], BeforeValidator(_several), Field(min_length=1)]
Header = Annotated[str, Field(min_length=1, max_length=100), AfterValidator(_no_header_trouble)]
Networks = Annotated[tuple[Annotated[str, AfterValidator(_network)], ...], BeforeValidator(_several)]


class VerifyMethod(BaseModel):
    """Base class of the verification methods."""

    # A rejected secret must not show up in the error about it.
    model_config = ConfigDict(frozen=True, extra="forbid", hide_input_in_errors=True)


class HeaderToken(VerifyMethod):
    """A static token in a header."""

    name: Header
    value: Secrets


class QueryToken(VerifyMethod):
    """A static token in the URL (`?token=…`), for platforms that support nothing better."""

    name: str = Field(min_length=1, max_length=100)
    value: Secrets


class Basic(VerifyMethod):
    """HTTP Basic."""

    user: Annotated[str, Field(min_length=1)]
    password: Secrets


class Hmac(VerifyMethod):
    """A signature over the body with a shared secret."""

    header: Header
    algorithm: Literal["sha1", "sha256", "sha512"] = "sha256"
    encoding: Literal["hex", "base64"] = "hex"
    #: Text before the signature in the header: `sha256=`.
    prefix: str = ""
    secret: Secrets
    #: The signed text: the body, or the timestamp header, a dot and the body.
    signed: Literal["body", "timestamp.body"] = "body"
    timestamp_header: Header | None = None
    #: The largest accepted difference between timestamp and clock, in milliseconds. Vendors recommend five minutes.
    tolerance: Duration = 5 * MINUTE

    @model_validator(mode="after")
    def _time_needs_a_header(self) -> Self:
        if (self.signed == "timestamp.body") != (self.timestamp_header is not None):
            raise ValueError("signed: timestamp.body and timestamp_header: go together")
        return self


class StandardWebhooks(VerifyMethod):
    """The scheme of standardwebhooks.com (`webhook-id`, `webhook-timestamp`, `webhook-signature`)."""

    secret: Secrets
    tolerance: Duration = 5 * MINUTE


class Ip(VerifyMethod):
    """Only requests from these addresses. Behind a trusted proxy the forwarded address counts."""

    allow: Annotated[Networks, Field(min_length=1)]
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
    hmac: Hmac | None = None
    standard_webhooks: StandardWebhooks | None = None
    ip: Ip | None = None
    #: No verification at all, with the reason in words.
    none: str | None = Field(default=None, min_length=8, max_length=500)

    @model_validator(mode="after")
    def _something(self) -> Self:
        ways = [self.header, self.query, self.basic, self.hmac, self.standard_webhooks, self.ip]
        if self.none is None and not any(ways):
            raise ValueError("says nothing: name a way to verify, or none: with the reason in words")
        if self.none is not None and any(ways):
            raise ValueError("none: says there is no verification, so nothing else may stand beside it")
        return self

    @property
    def secrets(self) -> tuple[Secret, ...]:
        """Every secret in it."""
        found: list[Secret] = []
        for part in (self.header, self.query):
            found += part.value if part else ()
        found += self.basic.password if self.basic else ()
        for signed in (self.hmac, self.standard_webhooks):
            found += signed.secret if signed else ()
        return tuple(found)
