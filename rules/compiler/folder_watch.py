"""Notices that the files of a book, or the mounted secrets it refers to, have changed.

Comes in: the book's folder and the reader of its secrets. Goes out: the version of the files once it differs from the
one that was accepted last and has stood still from one look to the next. Never takes times or sizes for content: an
editor, rsync or git may keep both.
"""

from collections.abc import Callable
from pathlib import Path

from rules.compiler import loader
from rules.secret import FileStamps, SecretFiles

#: Seconds between two looks.
LOOK_EVERY = 1.0


class FolderWatch:
    """What receiver and workers watch a book with. It changes nothing by itself: whoever took a change accepts it."""

    def __init__(
        self, folder: Path, secrets: SecretFiles, *, fingerprint: Callable[[Path], str] = loader.fingerprint
    ) -> None:
        self._folder = folder
        self._secrets = secrets
        self._fingerprint = fingerprint
        #: The version of the files that was accepted last; None: none yet.
        self._accepted: str | None = None
        self._last: str | None = None
        self._secret_stamps: FileStamps = secrets.stamp()

    def changed(self) -> str | None:
        """Return the version of files that differ from those accepted last; None: none do, or they still change.

        Files are taken together and when they have stood still since the look before, so that a rule which moves from
        one file to another is never missed in between. Only the very first look does not wait: a process that starts
        needs a book.
        """
        seen = self._fingerprint(self._folder)
        still = self._last is None or seen == self._last
        self._last = seen
        return seen if still and seen != self._accepted else None

    @property
    def quiet(self) -> bool:
        """Whether the files were those that had been accepted, at the last look."""
        return self._last == self._accepted

    def accept(self, version: str) -> None:
        """Remember that these files have been dealt with, whether they could be used or not."""
        self._accepted = version

    def secrets_changed(self) -> bool:
        """Say once of each change of the secrets that there was one."""
        before, self._secret_stamps = self._secret_stamps, self._secrets.stamp()
        return self._secret_stamps != before
