"""What `relais work` reads from its environment."""

import os
from pathlib import Path

from pydantic import Field, field_validator

from mailroom.settings import QueueSettings
from mailroom.tracing import TraceSettings

#: The longest time-out a destination may have, in seconds (`timeout:` in the book).
LONGEST_REQUEST = 30.0


class WorkSettings(QueueSettings, TraceSettings):
    """Settings of the workers; times in seconds."""

    book: Path = Field(Path("rules/book"), description="Folder of the rule book.")
    approve: bool = Field(
        False,
        description="1: every change of the book waits for `relais rules approve`, not only one that loses a source, a "
        "destination or most of its rules.",
    )
    secrets: Path = Field(
        Path("/run/secrets"),
        description="Folder with one file per secret, read where the environment has no such name.",
    )
    workers: int = Field(
        0,
        ge=0,
        le=64,
        validate_default=True,
        description="Worker processes of one `relais work`; 0: one less than the machine has cores, at least one.",
    )
    pool: str = Field("default", pattern=r"^[a-z0-9_]+$", description="Pool whose rooms these workers serve.")
    in_flight: int = Field(2000, ge=1, description="Deliveries that one worker process has under way at once.")
    #: After this time another drain follows, so that RQ sees jobs end, each with what it did as its result.
    drain_budget: float = Field(300.0, gt=0, description="Seconds that one drain job runs.")
    stop_seconds: float = Field(10.0, ge=0, description="Seconds that a stopping worker waits for answers under way.")
    dead_after: float = Field(
        45.0, ge=5, description="Seconds without a beat after which a drain on another host counts as dead."
    )

    @field_validator("workers")
    @classmethod
    def _leave_a_core(cls, workers: int) -> int:
        """Choose how many: the receiver and the store need a core, too."""
        return workers or max(1, (os.cpu_count() or 1) - 1)

    @property
    def queue_url(self) -> str:
        """Where RQ's queues are."""
        return self.rq_url or self.redis_url

    @property
    def longest_request(self) -> float:
        """Seconds that a request may take, so that no request of a drain is under way once the drain counts as dead."""
        return min(LONGEST_REQUEST, self.dead_after - 4.0)
