"""The entry point of one worker process: puts the adapters together and hands them to `workers`.

Runs in a fresh process that `relais work` spawns, so it is a function at module level.
"""

import logging
import sys

import redis.exceptions

from console import catalogue, log
from console import settings as console_settings
from receiver import sources
from workers import worker
from workers.settings import WorkSettings


def main(name: str, parent: int, settings: WorkSettings) -> None:
    """Be a worker of that name until told to stop or until the parent process is gone."""
    log.set_up(console_settings.load(log.LogSettings))
    try:
        worker.run(name, parent, settings, catalogue.build(), sources.read)
    except (redis.exceptions.ConnectionError, redis.exceptions.TimeoutError) as exc:
        # RQ cannot work without the store; the pool starts another process in a moment.
        logging.getLogger("relais.worker").warning("worker.store_away why=%s", type(exc).__name__)
        sys.exit(1)
