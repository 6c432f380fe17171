"""What every process that talks to the store reads of it from the environment."""

from pydantic import Field, SecretStr
from pydantic_settings import BaseSettings, SettingsConfigDict


class StoreSettings(BaseSettings):
    """Where the store is, and what counts as kept there; the settings of receiver, workers and console build on it."""

    model_config = SettingsConfigDict(env_prefix="RELAIS_", frozen=True, hide_input_in_errors=True, extra="ignore")

    redis_url: str = Field(
        "redis://localhost:6379",
        validation_alias="REDIS_URL",
        description="The store: Redis >= 7 or Valkey, or its Sentinels. Empty: `relais up` starts its own.",
    )
    hash_key: SecretStr = Field(
        SecretStr(""),
        description="Key of the hashes by which people appear in key names. Empty: one is made and kept in the store.",
    )
    replicas: int = Field(
        0,
        ge=0,
        le=10,
        description="Replicas of the store that must have an event on disk before it is acknowledged, and a lease or "
        "an outcome before it counts. 0: a failover may lose the last of them.",
    )


class QueueSettings(StoreSettings):
    """The same for those who also ask RQ's queues, and must know who was forgotten."""

    rq_url: str = Field(
        "",
        description="Redis or Valkey for RQ's queues, which hold no event. Empty: the store. Away, emptied or hung, it "
        "stops no delivery.",
    )
    receipts: str = Field(
        ".relais/forgotten.jsonl",
        description="File with a receipt for each person who was forgotten, without a value of anybody: after a "
        "restore of the store they are forgotten once more before anything starts. Not among the store's backups. "
        "Empty: no file.",
    )
