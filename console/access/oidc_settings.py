"""What single sign-on by OpenID Connect is told from the environment; `console.access.oidc` acts by it.

Comes in: the environment. Goes out: settings that can work, or errors that name the variable. Never keeps the client's
secret, and imports nothing of the extra `oidc` where they ask for no single sign-on.
"""

import importlib
import os
from collections.abc import Mapping
from typing import Any
from urllib.parse import urlsplit

from pydantic import Field, ValidationInfo, field_validator
from pydantic_settings import BaseSettings, SettingsConfigDict

from console import book
from console.access.roles import Role
from console.errors import UserError
from console.processes import port
from rules import secret
from rules.errors import SecretMissing

#: What a group may be worth, beside a role.
PAYLOADS = "payloads"


class OidcSettings(BaseSettings):
    """Where people sign in, and what their groups may there; for the settings of the console."""

    model_config = SettingsConfigDict(env_prefix="RELAIS_", frozen=True, hide_input_in_errors=True, extra="ignore")

    oidc_issuer: str = Field(
        "",
        description="The OpenID provider by which people sign in at the console, as it calls itself (`issuer`). Needs "
        "the extra relais-router[oidc]. Empty: no single sign-on.",
    )
    oidc_client: str = Field(
        "",
        validate_default=True,
        description="What the provider calls the console (client id). Its secret is OIDC_CLIENT_SECRET, kept as those "
        "of a book.",
    )
    oidc_roles: str = Field(
        "",
        validate_default=True,
        description="Which group may what: `operator=support; admin=it; payloads=privacy`. Roles are viewer, operator, "
        "rules, admin, of several the highest counts; payloads is the right apart to see those.",
    )
    oidc_groups: str = Field(
        "groups", min_length=1, description="Claim of the ID token that holds a person's groups: `realm_access.roles`."
    )
    oidc_domains: str = Field(
        "",
        description="Domains of the people who may sign in: `example.org, example.com`. Google's `hd`, else that of an "
        "e-mail address that the provider has verified. Empty: any.",
    )
    oidc_scopes: str = Field("openid profile email", description="Scopes that the provider is asked for.")
    oidc_redirect: str = Field(
        "",
        description="Where the provider sends people back to: https://HOST/ui/sso/back. Empty: the host that the "
        "browser asked.",
    )

    @field_validator("oidc_issuer", "oidc_redirect")
    @classmethod
    def _is_address(cls, text: str) -> str:
        if text:
            demand_address(text)
        return text

    @field_validator("oidc_client", "oidc_roles")
    @classmethod
    def _is_there(cls, text: str, info: ValidationInfo) -> str:
        if info.data.get("oidc_issuer") and not text:
            raise ValueError("RELAIS_OIDC_ISSUER needs it")
        return text

    @field_validator("oidc_roles")
    @classmethod
    def _are_roles(cls, text: str) -> str:
        read_roles(text)
        return text

    @field_validator("oidc_scopes")
    @classmethod
    def _is_openid(cls, text: str) -> str:
        if "openid" not in text.split():
            raise ValueError("openid is one of them")
        return text

    @property
    def roles(self) -> Mapping[str, frozenset[str]]:
        """What each group may: words of roles, and `payloads`."""
        return read_roles(self.oidc_roles)

    @property
    def domains(self) -> frozenset[str]:
        """The domains, in small letters; none: any."""
        return frozenset(self.oidc_domains.replace(",", " ").casefold().split())


def read_secret() -> str:
    """Return the client's secret; it is kept as those of a book are. Raises SecretMissing."""
    return secret.resolve("${OIDC_CLIENT_SECRET}", os.environ, book.read_file)


def demand(chosen: OidcSettings) -> None:
    """Raise UserError where single sign-on is asked for and cannot be."""
    if not chosen.oidc_issuer:
        return
    unset = "unset RELAIS_OIDC_ISSUER"
    try:
        importlib.import_module("console.access.oidc")
        read_secret()
    except ImportError as exc:
        missing = f"RELAIS_OIDC_ISSUER needs packages that are not there ({exc.name})"
        raise UserError(missing, mend=f"pip install 'relais-router[oidc]', or {unset}") from exc
    except SecretMissing as exc:
        raise UserError("RELAIS_OIDC_ISSUER needs the client's secret", mend=f"{exc}\nor {unset}") from exc


def read_roles(text: str) -> Mapping[str, frozenset[str]]:
    """Return group -> words, of `ROLE=GROUP; ROLE=GROUP`. A group may hold any sign but `;`. Raises ValueError."""
    found: dict[str, frozenset[str]] = {}
    for part in filter(None, map(str.strip, text.split(";"))):
        word, _, group = (each.strip() for each in part.partition("="))
        if not group:
            raise ValueError(f"{part!r} is no ROLE=GROUP")
        if word != PAYLOADS:
            Role.read(word)
        found[group] = found.get(group, frozenset()) | {word}
    return found


def demand_address(text: Any) -> str:
    """Return an address to which secrets may be sent: https, or plain HTTP on this machine. Raises ValueError."""
    parts = urlsplit(text if isinstance(text, str) else "")
    good = parts.scheme == "https" or (parts.scheme == "http" and port.is_loopback(parts.hostname or ""))
    if not good or not parts.hostname or parts.username is not None or parts.fragment or not str(text).isprintable():
        raise ValueError("it is no https:// address (http:// is for loopback alone)")
    return str(text)
