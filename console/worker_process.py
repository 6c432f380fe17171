"""The entry point of one worker process: puts the adapters together and hands them to `workers`.

Runs in a fresh process that `relais work` spawns, so it is a function at module level.
"""

from console import catalogue, log
from console import settings as console_settings
from receiver.sources import registry
from workers import worker
from workers.settings import WorkSettings


def main(name: str, parent: int, settings: WorkSettings) -> None:
    """Be a worker of that name until told to stop or until the parent process is gone."""
    log.set_up(console_settings.load(log.LogSettings))
    worker.run(name, parent, settings, catalogue.build(), registry.read)
