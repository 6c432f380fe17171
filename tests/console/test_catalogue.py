"""What the sandbox must keep of every kind: it is reached with its own address and key, and nothing else is."""

from collections.abc import Iterator
from dataclasses import fields
from typing import Any

import pytest
from pydantic import BaseModel

from console import catalogue
from console.errors import UserError
from rules import secret
from rules.catalogue import DestinationKind, SourceKind
from sandbox.accounts import Accounts
from sandbox.state import SandboxState

URL = "http://127.0.0.1:8030"
BUILT = catalogue.build()
DESTINATIONS = [kind for kind in BUILT.destinations.values() if kind.stand_in is not None]
SOURCES = list(BUILT.sources.values())
KEYS = {f"SANDBOX_{field.name.upper()}" for field in fields(Accounts)}
PREFIXES = {vendor.prefix for vendor in SandboxState().vendors.values()}
#: Groups of a source's options in which its platform's API is asked.
ASKING = ("hooks", "pull")


def texts(told: Any) -> Iterator[str]:
    """Every text of a stand-in."""
    for value in told.values():
        if isinstance(value, dict):
            yield from texts(value)
        elif isinstance(value, str):
            yield value


def check(told: Any, model: type[BaseModel]) -> None:
    """Options of a stand-in are right, its keys are the sandbox's, and its addresses lead to a vendor there."""
    model.model_validate({name: _filled(value) for name, value in told.items()})
    found = list(texts(told))
    assert {name for text in found for name in secret.REFERENCE.findall(text)} <= KEYS
    addresses = [text for text in found if "://" in text or "{sandbox}" in text]
    assert addresses
    assert all(text.startswith("{sandbox}") for text in addresses)
    below = [text.removeprefix("{sandbox}") for text in addresses]
    if below == [""]:  # one base for several: their paths say which
        below = [text for text in found if text.startswith("/")]
    assert all(any(path.startswith(prefix) for prefix in PREFIXES) for path in below)


def _filled(value: Any) -> Any:
    if isinstance(value, dict):
        return {name: _filled(inner) for name, inner in value.items()}
    return value.replace("{sandbox}", URL) if isinstance(value, str) else value


@pytest.mark.parametrize("kind", DESTINATIONS, ids=lambda kind: kind.name)
def test_destination(kind: DestinationKind) -> None:
    """The stand-in of a kind of destination is complete: no option of a book is needed to reach it."""
    assert kind.stand_in is not None
    check(kind.stand_in.options, kind.options)
    assert kind.stand_in.keeps <= kind.options.model_fields.keys()


@pytest.mark.parametrize("kind", SOURCES, ids=lambda kind: kind.name)
def test_source(kind: SourceKind) -> None:
    """Each group of a source's options in which an API is asked says where that is in the sandbox."""
    groups = set(ASKING) & kind.options.model_fields.keys()
    assert groups == kind.stand_in.keys()
    for name in groups:
        [model] = _models(kind.options.model_fields[name].annotation)
        check({**kind.stand_in[name], "allow_private": True}, model)


def _models(annotation: Any) -> list[type[BaseModel]]:
    """The models of `Group | None`."""
    return [each for each in annotation.__args__ if isinstance(each, type) and issubclass(each, BaseModel)]


def test_setting(monkeypatch: pytest.MonkeyPatch) -> None:
    """RELAIS_SANDBOX is an address without a path; another value is refused."""
    monkeypatch.setenv("RELAIS_SANDBOX", f"{URL}/")
    assert catalogue.build().sandbox == URL
    monkeypatch.setenv("RELAIS_SANDBOX", "8030")
    with pytest.raises(UserError, match="RELAIS_SANDBOX"):
        catalogue.build()
