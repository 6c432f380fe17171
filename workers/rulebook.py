"""The book that the workers act by: loaded, watched, swapped whole, and kept by its version.

Comes in: the book's folder. Goes out: the compiled book in force, and older ones by version for deliveries that were
made under them. A bad book is reported, counted and changes nothing: a worker that starts while the files are bad takes
the book in force from the store.
"""

import asyncio
import contextlib
import logging
from pathlib import Path

from mailroom import Mailroom, StoreUnavailable
from rules.catalogue import Catalogue
from rules.compiler import loader
from rules.compiler.folder_watch import FolderStamp, FolderWatch
from rules.errors import BookRefused
from rules.rulebook import Rulebook
from rules.secret import SecretFiles

log = logging.getLogger("relais.books")

#: Seconds for which several workers that see the same bad files count them once.
COUNT_ONCE = 86_400
#: Older books that stay compiled in memory; the store has them all. A hundred rules take about one MB (measured).
MOST_OLD = 3


class RulebookStore:
    """The book in force and its predecessors."""

    def __init__(
        self, folder: Path, catalogue: Catalogue, mailroom: Mailroom, secrets: SecretFiles | None = None
    ) -> None:
        self._folder = folder
        self._catalogue = catalogue
        self._mailroom = mailroom
        self._watch = FolderWatch(folder, secrets or SecretFiles(None))
        self._old: dict[str, Rulebook] = {}
        self.current: Rulebook | None = None
        #: Counts what the clients are built of: one more whenever another book is in force, or a secret has changed.
        self.revision = 0
        #: What is wrong with the files on disk, while an older book stays in force.
        self.problems: tuple[str, ...] = ()

    async def look(self) -> bool:
        """Load the book if its files changed. Returns whether another book is in force now."""
        seen = self._watch.changed()
        if seen is None:
            return False
        if self._watch.secrets_changed(seen):
            self.revision += 1
        try:
            book = await asyncio.to_thread(loader.load, self._folder, self._catalogue)
        except BookRefused as exc:
            self.problems = tuple(str(problem) for problem in exc.problems if problem.severity == "error")
            taken = self.current is None and await self._take_over()
            log.error("book.refused stays=%s problems=%s", self.version, " | ".join(self.problems))
            self._watch.accept(seen)
            await self._count(seen)
            return taken
        self.problems = ()
        if self.current is not None and book.version == self.current.version:
            self._watch.accept(seen)
            return False
        await self._keep(book)  # Raises while the store is away; then the files are read again.
        self._watch.accept(seen)
        if self.current is not None:
            self._remember(self.current)
        self.current = book
        self.revision += 1
        log.info("book.taken version=%s rules=%d", book.version, len(book.rules))
        return True

    async def _take_over(self) -> bool:
        """Take the book in force from the store. Returns whether there was one. Raises StoreUnavailable."""
        files = await self._mailroom.kept_book()
        checked = await asyncio.to_thread(loader.check_texts, files, self._catalogue) if files else None
        if checked is not None:
            self.current = checked.book
            self.revision += 1
        return self.current is not None

    async def _count(self, seen: FolderStamp) -> None:
        with contextlib.suppress(StoreUnavailable):  # The log has it, and the alert.
            if await self._mailroom.first(f"book_refused|{self._folder}|{seen.book}", COUNT_ONCE):
                await self._mailroom.count("book_refused")

    @property
    def version(self) -> str:
        """The version in force, `none` before the first."""
        return self.current.version if self.current is not None else "none"

    async def _keep(self, book: Rulebook) -> None:
        await self._mailroom.keep_book(book.version, dict(book.files))

    async def by_version(self, version: str) -> Rulebook | None:
        """Return a book that was in force once; None if nobody kept it or this program cannot read it any more."""
        if self.current is not None and self.current.version == version:
            return self.current
        if version not in self._old:
            files = await self._mailroom.kept_book(version)
            if files is None:
                return None
            checked = await asyncio.to_thread(loader.check_texts, files, self._catalogue)
            if checked.book is None:
                return None
            self._remember(checked.book)
            return checked.book
        return self._old[version]

    def _remember(self, book: Rulebook) -> None:
        self._old[book.version] = book
        while len(self._old) > MOST_OLD:
            del self._old[next(iter(self._old))]
