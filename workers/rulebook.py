"""The book that the workers act by: loaded, watched, swapped whole, and kept by its version.

Comes in: the book's folder. Goes out: the compiled book in force, and older ones by version for deliveries that were
made under them. A bad book is reported, counted and changes nothing: a worker that starts while the files are bad takes
the book in force from the store.
"""

import asyncio
import contextlib
import logging
from pathlib import Path

from mailroom import Mailroom, StoreUnavailable, shadow
from rules.book_losses import BookLosses
from rules.catalogue import Catalogue
from rules.compiler import loader
from rules.compiler.reload import BookReload, PendingBook
from rules.errors import BookRefused
from rules.rulebook import Rulebook
from rules.secret import SecretFiles
from rules.tools.preview import BookPair

log = logging.getLogger("relais.books")

#: Seconds for which several workers that see the same bad files count them once.
COUNT_ONCE = 86_400
#: Older books that stay compiled in memory; the store has them all. A hundred rules take about one MB (measured).
MOST_OLD = 3


class RulebookStore:
    """The book in force and its predecessors."""

    def __init__(
        self,
        folder: Path,
        catalogue: Catalogue,
        mailroom: Mailroom,
        secrets: SecretFiles | None = None,
        *,
        approve_all: bool = False,
    ) -> None:
        self._folder = folder
        self._catalogue = catalogue
        self._mailroom = mailroom
        self._reload = BookReload(folder, catalogue, secrets or SecretFiles(None), approve_all=approve_all)
        self._old: dict[str, Rulebook] = {}
        self.current: Rulebook | None = None
        #: The book in force and the one that is only observed beside it; None: there is none.
        self.shadow: BookPair | None = None
        #: The versions of which `shadow` was made, or could not be.
        self._pair = ("", "")
        #: Counts what the clients are built of: one more whenever another book is in force, or a secret has changed.
        self.revision = 0
        #: What is wrong with the files on disk, while an older book stays in force.
        self.problems: tuple[str, ...] = ()
        #: What the book in force no longer has of the one before it.
        self.lost = BookLosses()

    @property
    def pending(self) -> PendingBook | None:
        """Files that are right and wait for a person or for a quiet time; None: none do."""
        return self._reload.pending

    async def look(self) -> bool:
        """Take the files if they changed and count. Returns whether another book is in force now."""
        taken_over = self.current is None and await self._take_over()
        if self._reload.secrets_changed():
            self.revision += 1
        pending = self.pending
        try:
            change = await asyncio.to_thread(self._reload.look, self.current)
            if self.pending is not None and await self._mailroom.approved_book() == self.pending.version:
                change = await asyncio.to_thread(self._reload.look, self.current, self.pending.version)
        except BookRefused as exc:
            self.problems = tuple(str(problem) for problem in exc.problems if problem.severity == "error")
            log.error("book.refused stays=%s problems=%s", self.version, " | ".join(self.problems))
            await self._count()
            return taken_over
        if self.pending is not None and self.pending != pending:
            log.warning("book.waits stays=%s why=%s", self.version, self.pending)
        if self._reload.refused is None:
            self.problems = ()
        if change is None:
            return taken_over
        book = change.book
        await self._keep(book)  # Raises while the store is away; then the files are read again.
        self._reload.accept(book.version)
        self.problems = ()
        if self.current is not None:
            self._remember(self.current)
        self.current, self.lost = book, change.losses
        self.revision += 1
        log.info("book.taken version=%s rules=%d", book.version, len(book.rules))
        return True

    async def look_at_shadow(self) -> None:
        """Take the book that is to be observed, or none. What is wrong with it disturbs nothing.

        Raises StoreUnavailable.
        """
        version = await shadow.find_version(self._mailroom)
        pair = (self.version, version)
        if pair == self._pair or self.current is None:
            return
        book = await self.by_version(version) if version not in ("", self.version) else None
        if version and book is None:
            why = "it is in force" if version == self.version else "it is gone, or this program cannot read it"
            log.warning("shadow.unused version=%s why=%s", version, why)
        self.shadow = BookPair(self.current, book) if book is not None else None
        self._pair = pair
        if book is not None:
            log.info("shadow.taken version=%s beside=%s", version, self.version)

    async def _take_over(self) -> bool:
        """Take the book in force from the store. Returns whether there was one. Raises StoreUnavailable.

        A restart is no approval: files that have lost something meanwhile wait as they do in a process that runs.
        """
        files = await self._mailroom.kept_book()
        checked = await asyncio.to_thread(loader.check_texts, files, self._catalogue) if files else None
        if checked is None or checked.book is None:
            return False
        self.current = checked.book
        self.revision += 1
        return True

    async def _count(self) -> None:
        with contextlib.suppress(StoreUnavailable):  # The log has it, and the alert.
            what = f"book_refused|{self._folder}|{loader.fingerprint(self._folder)}"
            if await self._mailroom.first(what, COUNT_ONCE):
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
