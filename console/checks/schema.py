"""Whether the store speaks our schema, and who keeps it from that during a rolling upgrade.

Comes in: a mailroom. Goes out: at the most a note: while programs of two versions run, both work. Never migrates
anything.
"""

from console.checks.rights import name_some
from console.checks.store import HealthCheck
from mailroom import Mailroom, liveness, migration
from mailroom.keys import FORMER_SCHEMAS, SCHEMA

#: So many processes of the older version are named.
MOST_TOLD = 4


async def check(mailroom: Mailroom) -> list[HealthCheck]:
    """Return a note while the store does not speak our schema, else nothing. Raises StoreUnavailable."""
    found = await migration.schema(mailroom)
    if found not in FORMER_SCHEMAS:
        return []
    schemas = {"former": found, "schema": SCHEMA}
    holders = await migration.holders(mailroom)
    if not holders:
        return [HealthCheck.of("schema", True, "schema_migrates", **schemas)]
    told = [_name(name, said) for name, said in sorted(holders.items())]
    return [HealthCheck.of("schema", True, "schema_held_up", **schemas, holders=name_some(told, MOST_TOLD))]


def _name(name: str, said: str) -> str:
    process = liveness.number(said.partition(" ")[2])
    return f"{name} (process {process})" if process else name
