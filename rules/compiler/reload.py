"""A change of the book counts only when it is meant.

Comes in: the book's folder, the book in force, the version that a person has approved. Goes out: the book that takes
its place now; else why the files wait. Never takes a book that loses most of its rules, a source or a destination
without a person's word: an emptied or truncated file looks like that.
"""

import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from rules import book_losses
from rules.book_losses import BookLosses
from rules.catalogue import Catalogue
from rules.compiler import loader
from rules.compiler.folder_watch import FolderWatch
from rules.errors import BookRefused
from rules.rulebook import Rulebook
from rules.secret import SecretFiles

#: Seconds for which files that lose a few rules have to stand still before they count.
QUIET = 30.0


@dataclass(frozen=True)
class BookChange:
    """A book that takes the place of the one in force, and what goes with that one."""

    book: Rulebook
    losses: BookLosses


@dataclass(frozen=True)
class PendingBook:
    """Files that are right and do not count yet."""

    version: str
    losses: BookLosses
    #: A person has to approve it; else it counts when it has stood still for QUIET seconds.
    needs_approval: bool

    def __str__(self) -> str:
        loses = f"would lose {self.losses}" if self.losses else "loses nothing"
        how = "waits for: relais rules approve" if self.needs_approval else f"counts after {QUIET:.0f} quiet seconds"
        return f"book {self.version} {loses}; {how}"


def judge(current: Rulebook, book: Rulebook, *, approve_all: bool) -> PendingBook | None:
    """Return why a book may not follow the one in force at once; None where it may."""
    losses = book_losses.compare(current, book)
    if not losses and not approve_all:
        return None
    return PendingBook(book.version, losses, approve_all or losses.need_approval)


class BookReload:
    """Watches the folder of a book and says when its files count. Whoever put them in force accepts them."""

    def __init__(
        self,
        folder: Path,
        catalogue: Catalogue,
        secrets: SecretFiles,
        *,
        approve_all: bool = False,
        load: Callable[[Path, Catalogue], Rulebook] = loader.load,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._folder = folder
        self._catalogue = catalogue
        self._approve_all = approve_all
        self._load = load
        self._clock = clock
        self._watch = FolderWatch(folder, secrets)
        self._candidate: Rulebook | None = None
        self._since = 0.0
        #: Files that are right and wait; None: none do.
        self.pending: PendingBook | None = None
        #: What is wrong with the files as they are now; None: nothing.
        self.refused: BookRefused | None = None

    def secrets_changed(self) -> bool:
        """Say once of each change of the mounted secrets that there was one."""
        return self._watch.secrets_changed()

    def look(self, current: Rulebook | None, approved: str = "") -> BookChange | None:
        """Return the book that may take the place of `current` now; again at each look until it is accepted.

        `approved`: the version that a person has approved last. Raises BookRefused, once for the same bad files.
        """
        version = self._watch.changed()
        if version is None:
            if self._watch.quiet:
                self.pending = None
            return None
        if current is not None and version == current.version:
            self.accept(version)
            return None
        book = self._read(version)
        pending = judge(current, book, approve_all=self._approve_all) if current is not None else None
        if pending is None:
            return BookChange(book, BookLosses())
        if version != approved and (pending.needs_approval or self._clock() - self._since < QUIET):
            self.pending = pending
            return None
        return BookChange(book, pending.losses)

    def accept(self, version: str) -> None:
        """Remember that the files of this version are in force, or cannot be used."""
        self._watch.accept(version)
        self._candidate = self.pending = self.refused = None

    def _read(self, version: str) -> Rulebook:
        """Return the compiled files; a book that waits is compiled once."""
        if self._candidate is None or self._candidate.version != version:
            self._since = self._clock()
            try:
                self._candidate = self._load(self._folder, self._catalogue)
            except BookRefused as exc:
                self.accept(version)
                self.refused = exc
                raise
        return self._candidate
