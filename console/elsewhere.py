"""Deletes a person at the destinations of a book, where an admin says so.

Comes in: a book, names of destinations, an e-mail address. Goes out: what each of them can delete, and how each ended,
in one word. Never deletes at a destination that was not named, and never keeps or tells whom.
"""

import asyncio
import logging
import os
from collections.abc import Mapping, Sequence
from typing import Any

from console import book
from rules.errors import RulesError
from rules.rulebook import Destination, Rulebook
from rules.secret import Secret
from workers import destinations
from workers.destinations.base import Client
from workers.http import Http
from workers.outcome import Failed

#: Seconds that one destination may take for all its requests.
WITHIN = 30.0

log = logging.getLogger("relais.console")


class NoMemory:
    """A memory for what remembers nothing: no delivery is carried out here."""

    async def get(self, key: str) -> str | None:
        """Return nothing."""
        return None

    async def set(self, key: str, value: str, days: int) -> None:
        """Remember nothing."""

    async def ids(self, names: object) -> dict[str, tuple[str, int]]:
        """Return nothing."""
        return {}

    async def learn(self, names: object, kind: str, id: str, *, gone: object = ()) -> None:
        """Remember nothing."""

    async def forget_names(self, names: object) -> None:
        """Forget nothing."""


def open_client(destination: Destination, http: Http) -> Client[Any]:
    """Return what talks to a destination, with the secrets of this process. Raises RulesError, ValueError."""
    bound = http.bind(timeout=destination.timeout, allow_private=destination.allow_private)
    found = destinations.DESTINATIONS[destination.kind]
    return found.client(destination.name, destination.options, _reveal, bound, NoMemory())


def _reveal(secret: Secret) -> str:
    return secret.resolve(os.environ, book.read_file)


def list_deleting(found: Rulebook) -> dict[str, str]:
    """Return the destinations that can delete a person, each with what it deletes."""
    says = {
        name: destinations.DESTINATIONS[each.kind].kind.deletes(each.options)
        for name, each in found.destinations.items()
        if each.kind in destinations.DESTINATIONS
    }
    return {name: what for name, what in says.items() if what}


async def delete(found: Rulebook, names: Sequence[str], email: str) -> Mapping[str, str]:
    """Delete whoever has an address at some destinations; return how each ended: deleted, not_there, or why not."""
    async with Http() as http:
        return {name: await _delete(found.destinations[name], http, email) for name in names}


async def _delete(destination: Destination, http: Http, email: str) -> str:
    try:
        async with asyncio.timeout(WITHIN):
            count = await open_client(destination, http).delete_person(email)
    except Failed as failed:
        return failed.code
    except TimeoutError:
        return "timeout"
    except (RulesError, ValueError):
        return "no_secret"
    except Exception as exc:
        # What was erased here stays erased, and the receipt says that this failed. A traceback could name somebody.
        log.error("forget.bug destination=%s error=%s", destination.name, exc.__class__.__name__)
        return "bug"
    return "deleted" if count else "not_there"
