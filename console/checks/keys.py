"""What the keys of the book's destinations may not do there.

Comes in: a book. Goes out: a HealthCheck for each destination whose vendor can be asked without harm: for rights, or
for somebody whom it does not know. Never writes at a vendor.
"""

import asyncio
from collections.abc import Mapping
from dataclasses import replace

from console.checks.store import HealthCheck
from console.elsewhere import open_client
from mailroom.sentences import give_reason
from rules.errors import RulesError
from rules.rulebook import Destination, Rulebook
from workers import destinations
from workers.destinations.base import Attempt, Client, MissingRight
from workers.http import Http
from workers.outcome import Failed


def check(found: Rulebook) -> list[HealthCheck]:
    """Return what each key may do, and what not."""
    asked = [each for each in found.destinations.values() if _can_be_asked(each)]
    return [_check(each) for each in asked]


#: Look-ups that do no harm, and of whom: of nobody, or of the first number.
LOOK_UPS: Mapping[str, Mapping[str, str]] = {"contact": {"email": "nobody@example.org"}, "person": {"id": "1"}}


def _tells_rights(destination: Destination) -> bool:
    client = destinations.DESTINATIONS[destination.kind].client
    return client.list_missing_rights is not Client.list_missing_rights


def _can_be_asked(destination: Destination) -> bool:
    found = destinations.DESTINATIONS[destination.kind]
    reads = found.client.read_nobody is not Client.read_nobody or LOOK_UPS.keys() & found.kind.actions.keys()
    return _tells_rights(destination) or bool(reads)


def _check(destination: Destination) -> HealthCheck:
    name = f"key {destination.name}"
    try:
        missing = asyncio.run(_ask(destination))
    except Failed as failed:
        found = HealthCheck.of(name, False, "key_not_tried", said=give_reason(failed.code))
        return replace(found, mend=failed.hint) if failed.hint else found
    except (RulesError, ValueError) as exc:
        return HealthCheck.of(name, False, "key_secret_missing", said=str(exc))
    if not missing:
        return HealthCheck.of(name, True, "key_may_all" if _tells_rights(destination) else "key_reads")
    told = "; ".join(each.says for each in missing)
    refused = any(each.needed for each in missing)
    found = HealthCheck.of(name, not refused, "key_may_not", missing=told)
    return found if refused else replace(found, mend="")


async def _ask(destination: Destination) -> list[MissingRight]:
    async with Http() as http:
        found = destinations.DESTINATIONS[destination.kind]
        opened = open_client(destination, http)
        action = next((name for name in LOOK_UPS if name in found.kind.actions), None)
        if action is not None:
            arguments = found.kind.actions[action].arguments.model_validate(LOOK_UPS[action])
            try:
                await opened.deliver(action, arguments, Attempt("no delivery"))
            except Failed as failed:
                if failed.code != "not_found":
                    raise
        elif found.client.read_nobody is not Client.read_nobody:
            await opened.read_nobody()
        return list(await opened.list_missing_rights())
