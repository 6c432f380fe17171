"""The same book, led to the sandbox: what `relais up --sandbox` puts in force.

Comes in: a compiled Rulebook, and the sandbox's address. Goes out: a Rulebook with the same version, sources and rules
that names no address and no key of the book: of destinations, of what is fetched or registered at sources, of alerts.
Never changes a file.
"""

import dataclasses
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from pydantic import BaseModel

from rules.catalogue import Catalogue
from rules.rulebook import AlertSettings, Destination, Rulebook, Source
from rules.secret import Secret, find_key


def lead(book: Rulebook, catalogue: Catalogue) -> Rulebook:
    """Return the book whose destinations and sources lead to `catalogue.sandbox`, and which alerts nobody."""
    accounts = _SandboxAccounts(book, catalogue.sandbox)
    return dataclasses.replace(
        book,
        destinations={
            name: _lead_destination(each, catalogue, accounts.find(each.kind, find_key(each.options), name))
            for name, each in book.destinations.items()
        },
        sources={name: _lead_source(each, catalogue, accounts) for name, each in book.sources.items()},
        alerts=AlertSettings(),
    )


class _SandboxAccounts:
    """The address of each account. Destinations with one key are one account, as they are at the vendor.

    The first account of a kind is the sandbox itself, any other one has an address below it.
    """

    def __init__(self, book: Rulebook, url: str) -> None:
        self._url = url
        self._found: dict[tuple[object, ...], str] = {}
        kinds: set[str] = set()
        for name, each in book.destinations.items():
            address = f"{url}/of/{name}" if each.kind in kinds else url
            kinds.add(each.kind)
            self._found.setdefault((each.kind, *(find_key(each.options) or (name,))), address)

    def find(self, kind: str, key: Sequence[Secret], name: str = "") -> str:
        """Return where a key leads, or a destination without one. A key that no destination has: the first account."""
        return self._found.get((kind, *(key or (name,))), self._url)


def _lead_destination(destination: Destination, catalogue: Catalogue, url: str) -> Destination:
    """Return it with the options of its stand-in; the pool is the one that `relais up` serves."""
    kind = catalogue.destinations[destination.kind]
    if kind.stand_in is None:
        return dataclasses.replace(destination, absent=True, quota=None, pool="default")
    told = kind.options.model_validate(_insert(kind.stand_in.options, url))
    options = _copy(told, destination.options, kind.stand_in.keeps & destination.options.model_fields_set)
    # Its quota is that of a key which is not used here.
    return dataclasses.replace(destination, options=options, allow_private=True, quota=None, pool="default")


def _lead_source(source: Source, catalogue: Catalogue, accounts: _SandboxAccounts) -> Source:
    """Return it with the groups of its options that ask an API led to the sandbox, as far as the book has them."""
    changed: dict[str, BaseModel] = {}
    for name, options in catalogue.sources[source.kind].stand_in.items():
        group = getattr(source.options, name, None)
        if isinstance(group, BaseModel):
            url = accounts.find(source.kind, find_key(group))
            told = type(group).model_validate({**_insert(options, url), "allow_private": True})
            changed[name] = _copy(group, told, told.model_fields_set)
    return dataclasses.replace(source, options=source.options.model_copy(update=changed)) if changed else source


def _copy(options: BaseModel, others: BaseModel, names: Iterable[str]) -> BaseModel:
    """Return options with some values of others. Both were validated, and a value must not be twice."""
    return options.model_copy(update={name: getattr(others, name) for name in names})


def _insert(told: Any, url: str) -> Any:
    """Return what a kind tells, with the sandbox's address in its texts."""
    if isinstance(told, Mapping):
        return {name: _insert(value, url) for name, value in told.items()}
    return told.replace("{sandbox}", url) if isinstance(told, str) else told
