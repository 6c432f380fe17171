"""`relais work` with a destination that ends its process whenever it is to do something for somebody called poison."""

import os
from types import MappingProxyType
from typing import Any

from console.processes import worker_process
from workers import destinations, pool
from workers.destinations import rest
from workers.destinations.base import Attempt, DestinationType
from workers.outcome import Done
from workers.settings import WorkSettings


class Poisoned(rest.RestClient):
    """A client with a crash in it."""

    async def deliver(self, action: str, arguments: Any, delivery: Attempt) -> Done:
        if arguments.email.startswith("poison"):
            os._exit(1)
        return await super().deliver(action, arguments, delivery)


def main(name: str, parent: int, settings: WorkSettings) -> None:
    """Be a worker with that client."""
    poisoned = DestinationType(rest.KIND, Poisoned)
    destinations.DESTINATIONS = MappingProxyType({**destinations.DESTINATIONS, "rest": poisoned})
    worker_process.main(name, parent, settings)


if __name__ == "__main__":
    pool.run(WorkSettings(), main)
