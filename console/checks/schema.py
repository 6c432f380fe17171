"""Whether the store speaks our schema, and who keeps it from that during a rolling upgrade.

Comes in: a mailroom. Goes out: at the most a note: while programs of two versions run, both work. Never migrates
anything.
"""

from console.checks.store import HealthCheck
from mailroom import Mailroom, liveness, migration
from mailroom.keys import FORMER_SCHEMA, SCHEMA

#: So many processes of the older version are named.
MOST_TOLD = 4


async def check(mailroom: Mailroom) -> list[HealthCheck]:
    """Return a note while the store does not speak our schema, else nothing. Raises StoreUnavailable."""
    if await migration.schema(mailroom) != FORMER_SCHEMA:
        return []
    stays = f"the store speaks schema {FORMER_SCHEMA} until it is migrated to {SCHEMA}"
    holders = await migration.holders(mailroom)
    if not holders:
        mend = "relais work; but first replace receivers of 0.1.0, which do not say that they live"
        return [HealthCheck("schema", True, f"{stays}: nobody holds that up, a worker does it within seconds", mend)]
    told = [_name(name, said) for name, said in sorted(holders.items())]
    more = f" and {len(told) - MOST_TOLD} more" if len(told) > MOST_TOLD else ""
    says = f"{stays}: these of an older version hold that up: {', '.join(told[:MOST_TOLD])}{more}"
    return [HealthCheck("schema", True, says, "replace them by this version, receivers first")]


def _name(name: str, said: str) -> str:
    process = liveness.number(said.partition(" ")[2])
    return f"{name} (process {process})" if process else name
