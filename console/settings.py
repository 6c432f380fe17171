"""Settings: read from the environment into one frozen model per process, printed at start with stars for secrets.

Comes in: a settings class that another module declares beside its code, and what the command line overrides. Goes
out: an instance, or a UserError that names the variable. Never prints or keeps the value of a rejected setting.
"""

import importlib
import re
from collections.abc import Iterable, Iterator, Mapping, Set
from dataclasses import dataclass
from typing import Any, Literal, TypeVar
from urllib.parse import urlsplit, urlunsplit

import click
from pydantic import SecretStr, ValidationError
from pydantic.fields import FieldInfo
from pydantic_settings import BaseSettings

from console import log
from console.errors import UserError
from mailroom import address, tracing
from mailroom.tracing import TraceSettings
from rules.source.node import words_of
from rules.source.problem import find_nearest

PREFIX = "RELAIS_"

#: Process -> where its settings are declared.
DECLARED: Mapping[str, str] = {
    "receive": "receiver.settings:ReceiverSettings",
    "work": "workers.settings:WorkSettings",
    "console": "console.api.app:ConsoleSettings",
    "up": "console.processes.up:UpSettings",
    "events": "console.client:ClientSettings",
    "book": "console.catalogue:CatalogueSettings",
    "all": "console.log:LogSettings",
}

Origin = Literal["default", ".env", "environment", "sandbox"]

S = TypeVar("S", bound=BaseSettings)


@dataclass(frozen=True)
class Setting:
    """One line of the table of settings."""

    variable: str
    default: str
    about: str
    #: Who reads it: `receive`, `work` …
    processes: tuple[str, ...]


@dataclass(frozen=True)
class EffectiveSetting:
    """What a setting is here."""

    variable: str
    #: Stars for a secret.
    value: str
    origin: Origin
    #: Why it has no effect: no process reads a variable of this name.
    mistake: str = ""


def load(model: type[S], **overrides: Any) -> S:
    """Return the settings of a process. An override that is None says nothing. Raises UserError."""
    try:
        found = model(**{name: value for name, value in overrides.items() if value is not None})
        if url := getattr(found, "redis_url", ""):
            check_store(url)
        return found
    except ValidationError as exc:
        first = exc.errors(include_input=False, include_url=False)[0]
        name = str(first["loc"][0]) if first["loc"] else ""
        field = model.model_fields.get(name)
        where = variable(name, field) if field else name
        words = words_of(dict(first))
        more = f" (and {exc.error_count() - 1} more)" if exc.error_count() > 1 else ""
        raise UserError(
            f"the setting {where} {words if words.startswith('must ') else f'cannot be: {words}'}{more}",
            mend=f"{field.description}" if field and field.description else "",
        ) from exc


def check_store(url: str) -> None:
    """Raise a UserError for a REDIS_URL that leads nowhere by its form alone."""
    try:
        address.parse(url)
    except address.BadAddress as exc:
        raise UserError(f"the setting REDIS_URL cannot be: {exc}", mend=address.SHAPES) from exc


def variable(name: str, field: FieldInfo) -> str:
    """Return the environment variable of a field."""
    alias = field.validation_alias
    return alias if isinstance(alias, str) else PREFIX + name.upper()


def describe(settings: BaseSettings) -> Iterator[str]:
    """Yield `RELAIS_PORT=8080` for each setting, with stars for secrets."""
    for name, field in type(settings).model_fields.items():
        yield f"{variable(name, field)}={covered(getattr(settings, name))}"


def covered(value: Any) -> str:
    """Return a setting as text that may be read by everybody."""
    if isinstance(value, SecretStr):
        return "***" if value.get_secret_value() else ""
    text = "" if value is None else str(value)
    if "://" not in text:
        return text
    parts = urlsplit(text)
    if parts.password is not None:
        host = parts.netloc.rpartition("@")[2]
        parts = parts._replace(netloc=f"{parts.username or ''}:***@{host}")
    return urlunsplit(parts._replace(query=re.sub(r"(password=)[^&]*", r"\1***", parts.query)))


def demand_traces(chosen: TraceSettings) -> None:
    """Raise a UserError where traces are asked for that cannot be made."""
    try:
        tracing.demand(chosen)
    except tracing.TracingUnavailable as exc:
        raise UserError(str(exc), mend="pip install 'relais-router[otel]', or unset RELAIS_TRACES") from exc


def find_model(place: str) -> type[BaseSettings]:
    """Return the settings that are declared at a place of DECLARED."""
    module, _, name = place.partition(":")
    model: type[BaseSettings] = getattr(importlib.import_module(module), name)
    return model


def every() -> list[Setting]:
    """Return all settings of all processes, each variable once."""
    found: dict[str, Setting] = {}
    for process, place in DECLARED.items():
        for field_name, field in find_model(place).model_fields.items():
            key = variable(field_name, field)
            default = covered(field.get_default(call_default_factory=True))
            before = found.get(key, Setting(key, default, field.description or "", ()))
            # The same variable may mean the same thing with another default elsewhere: then both are said.
            both = before.default if default == before.default else f"{before.default}; {process}: {default or 'none'}"
            about = field.description or ""
            abouts = before.about if about in before.about else f"{before.about} {about}"
            found[key] = Setting(key, both, abouts, (*before.processes, process))
    return sorted(found.values(), key=lambda setting: setting.variable)


def effective(
    environ: Mapping[str, str], written: Mapping[str, str | None], sandbox: Set[str] = frozenset()
) -> list[EffectiveSetting]:
    """Return what each setting is here and where that comes from; last, variables like ours that no process reads.

    `written`: what `.env` says; `sandbox`: what the sandbox run of this folder has set. Secrets are stars,
    and a value that the setting cannot have is shown as it is, unless it belongs to a secret.
    """
    found: dict[str, EffectiveSetting] = {}
    for place in DECLARED.values():
        for field_name, field in find_model(place).model_fields.items():
            key = variable(field_name, field)
            default = field.get_default(call_default_factory=True)
            if key not in environ:
                found.setdefault(key, EffectiveSetting(key, covered(default), "default"))
                continue
            value = SecretStr(environ[key]) if isinstance(default, SecretStr) else environ[key]
            found[key] = EffectiveSetting(key, covered(value), _origin(key, environ, written, sandbox))
    known = sorted(found.values(), key=lambda one: one.variable)
    strange = sorted(key for key in environ if key.startswith(PREFIX) and key not in found)
    return [
        *known,
        *(EffectiveSetting(key, "", _origin(key, environ, written, sandbox), _guess(key, found)) for key in strange),
    ]


def _guess(key: str, known: Iterable[str]) -> str:
    # Without what all of them begin with, or each would be like the other.
    near = find_nearest(key.removeprefix(PREFIX), [each.removeprefix(PREFIX) for each in known])
    return f'nobody reads it; did you mean "{PREFIX}{near}"?' if near else "nobody reads it"


def _origin(key: str, environ: Mapping[str, str], written: Mapping[str, str | None], sandbox: Set[str]) -> Origin:
    if key in sandbox:
        return "sandbox"
    return ".env" if written.get(key) == environ[key] else "environment"


def announce(process: str, settings: BaseSettings) -> None:
    """Set up the log of a process, and say what it runs with."""
    log.set_up(load(log.LogSettings))
    click.echo(f"relais {process} runs with {' '.join(describe(settings))}", err=True)
