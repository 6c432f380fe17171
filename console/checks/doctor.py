"""What is amiss with the store, the spool and single sign-on, and what an acknowledged event survives.

Comes in: the address of the store, the folder of the spool, the settings of single sign-on. Goes out: a diagnosis.
Never mends anything.
"""

import asyncio
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import redis.exceptions
from pydantic import Field

from console.access.oidc_settings import OidcSettings
from console.checks import rights, schema, sign_on, spool, store, webhooks
from console.checks.store import Guarantee, HealthCheck, Strict
from console.errors import UserError
from console.processes import valkey
from mailroom import BoxFault, Mailroom, StoreDamaged, StoreUnavailable, errors
from mailroom.client import client
from mailroom.settings import QueueSettings

#: Seconds that the store gets to answer.
PATIENCE = 2.0


class DoctorSettings(QueueSettings, OidcSettings):
    """What `relais doctor` reads; the settings are those of the receiver."""

    redis_url: str = Field(
        "",
        validation_alias="REDIS_URL",
        description="The store: Redis >= 7 or Valkey, or its Sentinels. Empty: `relais up` starts its own.",
    )
    data: Path = Field(Path(".relais"), description="Folder in which `relais up` keeps the embedded Valkey's data.")
    spool: str | None = Field(
        None, description="Folder on a local disk where events wait while the store cannot take them. Empty: no spool."
    )
    strict: Strict = Field("", description="What the store must keep of acknowledged events.")

    @property
    def url(self) -> str:
        """Where the store is: as told, else the embedded one."""
        return self.redis_url or valkey.EmbeddedValkey(self.data).url

    @property
    def spool_folder(self) -> str:
        """Where the spool is: as told, else where `relais up` puts it."""
        return str(self.data / "spool") if self.spool is None else self.spool


@dataclass(frozen=True)
class Diagnosis:
    """What was found."""

    #: What an acknowledged event survives.
    says: str
    checks: tuple[HealthCheck, ...]

    @property
    def well(self) -> bool:
        """True when nothing is amiss."""
        return all(check.ok for check in self.checks)

    def as_json(self) -> dict[str, Any]:
        """Return it as JSON."""
        return {"well": self.well, "survives": self.says, "checks": [check.as_json() for check in self.checks]}


def look(settings: DoctorSettings) -> Diagnosis:
    """Return what is amiss."""
    beside = [spool.check(settings.spool_folder)]
    if aside := spool.aside(settings.spool_folder):
        beside.append(aside)
    beside += sign_on.check(settings)
    try:
        found = examine(settings.url, settings.replicas)
    except StoreUnavailable as exc:
        return Diagnosis(promise(None, settings.spool_folder), (store.away(exc), *beside))
    checks = [*found.checks, *beside]
    if found.unfit is None:
        checks += [*rights_of(settings.url, settings.rq_url), *waiting_in(settings.url)]
    if settings.strict:
        met = found.meets(settings.strict)
        strict = HealthCheck.of("strict", met, "strict_met" if met else "strict_not_met", strict=settings.strict)
        checks.append(replace(strict, mend=found.mend) if found.mend and not met else strict)
    return Diagnosis(promise(found, settings.spool_folder), tuple(checks))


def ask(url: str, replicas: int = 0) -> Guarantee | None:
    """Return what a store guarantees; None where it does not answer or refuses us."""
    try:
        return examine(url, replicas)
    except StoreUnavailable:
        return None


def examine(url: str, replicas: int = 0) -> Guarantee:
    """Return what a store guarantees. `replicas`: how many must have each event. Raises StoreUnavailable."""

    async def asking() -> Guarantee:
        asked = client(url, timeout=PATIENCE)
        try:
            return await store.examine(asked, replicas)
        finally:
            await asked.aclose()

    try:
        return asyncio.run(asking())
    except redis.exceptions.RedisError as exc:
        raise errors.explained(exc) from exc


def rights_of(url: str, rq_url: str) -> list[HealthCheck]:
    """Return a check of whether the user of these addresses may do what our processes do."""

    async def asking() -> HealthCheck:
        asked, queues = client(url, timeout=PATIENCE), client(rq_url or url, timeout=PATIENCE)
        try:
            return await rights.check(asked, queues)
        finally:
            await asked.aclose()
            await queues.aclose()

    try:
        return [asyncio.run(asking())]
    except redis.exceptions.RedisError as exc:
        return [rights.not_tried(exc)]


def waiting_in(url: str) -> list[HealthCheck]:
    """Return checks of the schema, of what waits in the store (each thing where it must), and of what came last."""

    async def asking() -> tuple[list[HealthCheck], list[BoxFault], list[HealthCheck]]:
        async with Mailroom.connect(url, timeout=PATIENCE) as room:
            return await schema.check(room), await room.box_faults(), await webhooks.check(room)

    try:
        spoken, faults, came = asyncio.run(asking())
    except (StoreUnavailable, StoreDamaged) as exc:
        return [HealthCheck.of("boxes", False, "boxes_not_examined", said=str(exc))]
    if not faults:
        return [*spoken, HealthCheck.of("boxes", True, "boxes_right"), *came]
    told = "; ".join(f"{fault.room}/{fault.box}: {fault.why}" for fault in faults)
    return [*spoken, HealthCheck.of("boxes", False, "boxes_wrong", faults=told), *came]


def promise(found: Guarantee | None, spool: str) -> str:
    """Return what an acknowledged event survives, now."""
    if found is not None:
        return f"{found.says} ({found.server})"
    if spool:
        return "the store does not answer; acknowledged events wait in the spool and survive a power cut"
    return "the store does not answer, so nothing is acknowledged"


def demand(found: Guarantee | None, strict: Strict) -> None:
    """Raise UserError for a store that cannot serve, or keeps less than was asked for.

    One that is away cannot be judged yet.
    """
    if found is not None and found.unfit is not None:
        raise UserError(f"{found.unfit.says}, so Relais cannot work on it", mend=found.unfit.mend)
    if found is not None and not found.meets(strict):
        evicts = ", and it may throw away what waits" if found.evicts else ""
        raise UserError(
            f"RELAIS_STRICT={strict} asks for more than this store keeps: {found.says}{evicts}",
            mend=found.mend or "relais doctor",
        )
