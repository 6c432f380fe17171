"""The interface of a tool that `bench.peers` measures."""

from abc import ABC, abstractmethod
from pathlib import Path

from bench.stage import PATH, ROOT, BenchStage

#: Where tools are unpacked.
CACHE = ROOT / ".cache" / "peers"


class CannotInstall(Exception):
    """The tool cannot be installed here; the text says why."""


class Peer(ABC):
    """A tool. Each has a module of its own, whose docstring says how it is set up and which advice that follows."""

    name: str
    #: What is on disk when a webhook is acknowledged.
    durability: str
    #: The path to which webhooks are posted.
    path = PATH
    #: Seconds after the last delivery in which what is missing may still come, by the tool's own rules.
    patience = 15.0

    @abstractmethod
    def install(self) -> None:
        """Install the tool. Raises CannotInstall."""

    @abstractmethod
    def start(self, stage: BenchStage, port: int) -> None:
        """Start the tool, with what an earlier start left on disk, and wait until it listens."""

    def kept(self, stage: BenchStage) -> int:
        """Return how many webhooks it still has on disk."""
        return 0


def folder(stage: BenchStage, name: str) -> Path:
    """Return a folder of the tool's own on a stage."""
    path = stage.folder / name
    path.mkdir(exist_ok=True)
    return path
