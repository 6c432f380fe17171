"""What a tool has to offer to be measured."""

from abc import ABC, abstractmethod
from pathlib import Path

from bench.stage import PATH, ROOT, BenchStage

#: Where tools are unpacked.
CACHE = ROOT / ".cache" / "peers"


class CannotInstall(Exception):
    """The tool cannot be had here; the text says why."""


class Peer(ABC):
    """A tool. Its class stands in a file of its own, whose docstring says how it is set up and by which advice."""

    name: str
    #: What is on disk when a webhook is acknowledged.
    durability: str
    #: Where its webhooks go.
    path = PATH
    #: Seconds after the last delivery in which what is missing may still come, by the tool's own rules.
    patience = 15.0

    @abstractmethod
    def install(self) -> None:
        """Have the tool at hand. Raises CannotInstall."""

    @abstractmethod
    def start(self, stage: BenchStage, port: int) -> None:
        """Start everything, or start it anew on what is on disk, and wait until it listens."""

    def kept(self, stage: BenchStage) -> int:
        """Return how many webhooks it still has on disk."""
        return 0


def folder(stage: BenchStage, name: str) -> Path:
    """Return a folder of the tool's own on a stage."""
    path = stage.folder / name
    path.mkdir(exist_ok=True)
    return path
