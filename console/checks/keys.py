"""What the keys of the book's destinations may not do there.

Comes in: a book. Goes out: a HealthCheck for each destination whose vendor has a harmless test for it; others are not
asked. Never writes at a vendor.
"""

import asyncio
import os

from console import book
from console.checks.store import HealthCheck
from rules.errors import RulesError
from rules.rulebook import Destination, Rulebook
from rules.secret import Secret
from workers import destinations
from workers.destinations.base import Client, MissingRight
from workers.http import Http
from workers.outcome import Failed


def check(found: Rulebook) -> list[HealthCheck]:
    """Return what each key may do, and what not."""
    asked = [each for each in found.destinations.values() if _can_be_asked(each)]
    return [_check(each) for each in asked]


def _can_be_asked(destination: Destination) -> bool:
    client = destinations.DESTINATIONS[destination.kind].client
    return client.list_missing_rights is not Client.list_missing_rights


def _check(destination: Destination) -> HealthCheck:
    name = f"key {destination.name}"
    try:
        missing = asyncio.run(_ask(destination))
    except Failed as failed:
        return HealthCheck(name, False, f"it could not be tried: {failed.code}", failed.hint or "look at base and key")
    except (RulesError, ValueError) as exc:
        return HealthCheck(name, False, f"it could not be tried: {exc}", "set the secret where relais doctor runs")
    if not missing:
        return HealthCheck(name, True, "it may do everything that relais asks for")
    told = "; ".join(each.says for each in missing)
    refused = any(each.needed for each in missing)
    return HealthCheck(name, not refused, told, "grant the key these rights there" if refused else "")


async def _ask(destination: Destination) -> list[MissingRight]:
    async with Http() as http:
        bound = http.bind(timeout=destination.timeout, allow_private=destination.allow_private)
        client = destinations.DESTINATIONS[destination.kind].client
        opened = client(destination.name, destination.options, _reveal, bound, _Nothing())
        return list(await opened.list_missing_rights())


def _reveal(secret: Secret) -> str:
    return secret.resolve(os.environ, book.read_file)


class _Nothing:
    """A memory for what remembers nothing: no delivery is carried out here."""

    async def get(self, key: str) -> str | None:
        return None

    async def set(self, key: str, value: str, days: int) -> None:
        return None

    async def ids(self, names: object) -> dict[str, tuple[str, int]]:
        return {}

    async def learn(self, names: object, kind: str, id: str, *, gone: object = ()) -> None:
        return None

    async def forget_names(self, names: object) -> None:
        return None
