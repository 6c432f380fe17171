"""The entry point of one worker process: puts the adapters together and hands them to `workers`.

Runs in a fresh process that `relais work` spawns, so it is a function at module level.
"""

import logging

from console import catalogue
from receiver.sources import registry
from workers import worker
from workers.settings import WorkSettings


def main(name: str, parent: int, settings: WorkSettings) -> None:
    """Be a worker of that name until told to stop or until the parent process is gone."""
    logging.basicConfig(level=logging.INFO, format="%(message)s")
    worker.run(name, parent, settings, catalogue.build(), registry.read)
