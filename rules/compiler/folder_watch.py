"""Notices that the files of a book, or the mounted secrets it refers to, have changed.

Comes in: the book's folder and the reader of its secrets. Goes out: a stamp of the files when it differs from the one
that was accepted last. Never reads a file's content: times and sizes are cheap enough to look at every second.
"""

from pathlib import Path
from typing import NamedTuple

from rules.compiler import loader
from rules.secret import FileStamps, SecretFiles

#: Seconds between two looks: a change by operators counts at once, and a look costs some microseconds.
LOOK_EVERY = 1.0


class FolderStamp(NamedTuple):
    """The files at one look."""

    book: FileStamps
    secrets: FileStamps


class FolderWatch:
    """What receiver and workers watch a book with. It changes nothing by itself: whoever took a change accepts it."""

    def __init__(self, folder: Path, secrets: SecretFiles) -> None:
        self._folder = folder
        self._secrets = secrets
        #: The files that were accepted last; None: none yet.
        self._accepted: FolderStamp | None = None

    def look(self) -> FolderStamp:
        """Return the stamp of the files as they are now."""
        return FolderStamp(loader.changed(self._folder), self._secrets.stamp())

    def changed(self) -> FolderStamp | None:
        """Return the stamp of files that differ from those that were accepted last; None: nothing has changed."""
        seen = self.look()
        return None if seen == self._accepted else seen

    def accept(self, stamp: FolderStamp) -> None:
        """Remember that these files have been dealt with, whether they could be used or not."""
        self._accepted = stamp

    def secrets_changed(self, stamp: FolderStamp) -> bool:
        """Say whether secrets differ from those that were accepted last."""
        return self._accepted is not None and stamp.secrets != self._accepted.secrets
