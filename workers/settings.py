"""What `relais work` reads from its environment."""

from pathlib import Path

from pydantic import Field, SecretStr
from pydantic_settings import BaseSettings, SettingsConfigDict

#: The longest time-out a destination may have, in seconds (`timeout:` in the book).
LONGEST_REQUEST = 30.0


class WorkSettings(BaseSettings):
    """Settings of the workers; times in seconds."""

    model_config = SettingsConfigDict(env_prefix="RELAIS_", frozen=True, hide_input_in_errors=True, extra="ignore")

    redis_url: str = Field(
        "redis://localhost:6379",
        validation_alias="REDIS_URL",
        description="The store: Redis >= 7 or Valkey, or its Sentinels. Empty: `relais up` starts its own.",
    )
    book: Path = Field(Path("rules/book"), description="Folder of the rule book.")
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
    secrets: Path = Field(
        Path("/run/secrets"),
        description="Folder with one file per secret, read where the environment has no such name.",
    )
    workers: int = Field(2, ge=1, le=64, description="Worker processes of one `relais work`.")
    pool: str = Field("default", pattern=r"^[a-z0-9_]+$", description="Pool whose rooms these workers serve.")
    in_flight: int = Field(2000, ge=1, description="Deliveries that one worker process has under way at once.")
    #: After this a drain hands over to its successor: RQ sees finished jobs, and memory leaks of libraries stay small.
    drain_budget: float = Field(300.0, gt=0, description="Seconds that one drain job runs.")
    stop_seconds: float = Field(10.0, ge=0, description="Seconds that a stopping worker waits for answers under way.")
    dead_after: float = Field(
        45.0, ge=5, description="Seconds without a beat after which a drain on another host counts as dead."
    )

    @property
    def longest_request(self) -> float:
        """Seconds that a request may take, so that a drain that counts as dead has nothing on the wire any more."""
        return min(LONGEST_REQUEST, self.dead_after - 4.0)
