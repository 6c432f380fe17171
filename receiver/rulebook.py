"""The book in force, as the receiver needs it: each source with its checks, swapped whole when files change.

Comes in: the book's folder, the catalogue, the environment. Goes out: the entry of a source by its name. A bad book is
reported and the one in force stays; a source whose secret is missing answers 503 until it is there. Never takes half of
a book.
"""

import asyncio
import logging
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

from receiver import errors, sources, verification
from receiver.sources.base import SourceType
from receiver.verification import Check
from rules.catalogue import Catalogue
from rules.compiler import loader
from rules.compiler.folder_watch import LOOK_EVERY, FolderWatch
from rules.errors import BookRefused, SecretMissing
from rules.rulebook import Rulebook, Source
from rules.secret import SecretFiles

log = logging.getLogger("relais.receiver")


@dataclass(frozen=True)
class SourceEntry:
    """A source of the book, ready to take requests."""

    source: Source
    adapter: SourceType
    #: None: a secret is missing, so nobody can be verified.
    checks: tuple[Check, ...] | None
    #: Headers that are never stored, in lower case.
    secret_headers: frozenset[str] = frozenset()

    def verified_by(self) -> tuple[Check, ...]:
        """Return the checks. Raises NotKept while a secret is missing."""
        if self.checks is None:
            raise errors.NotKept("secret_missing", "this source is not set up completely; try again later")
        return self.checks


class RulebookWatcher:
    """Holds the book in force. Load it with `load`, keep it up to date with `watch`."""

    def __init__(
        self,
        folder: Path,
        catalogue: Catalogue,
        environ: Mapping[str, str],
        secrets: Path | None = None,
        *,
        load: Callable[[Path, Catalogue], Rulebook] = loader.load,
    ) -> None:
        self._folder = folder
        self._catalogue = catalogue
        self._environ = environ
        self._secrets = SecretFiles(secrets)
        self._load = load
        self._entries: Mapping[str, SourceEntry] = {}
        self._watch = FolderWatch(folder, self._secrets)
        #: Version of the book in force.
        self.version = ""
        #: What is wrong with the files as they are now; empty: nothing.
        self.problem = ""

    def entry(self, name: str) -> SourceEntry:
        """Return the entry of a source. Raises NotFound."""
        found = self._entries.get(name)
        if found is None:
            raise errors.NotFound("unknown_source", "the book has no source of this name; is the URL right?")
        return found

    @property
    def names(self) -> list[str]:
        """The names of the sources."""
        return sorted(self._entries)

    def load(self) -> None:
        """Load the book and take it. Raises BookRefused and leaves the one in force as it is."""
        # The stamp is taken first: a change made while the files are read is seen at the next look.
        stamp = self._watch.look()
        try:
            book = self._load(self._folder, self._catalogue)
        finally:
            self._watch.accept(stamp)
        self._take(book)

    def load_kept(self, files: Mapping[str, str]) -> None:
        """Take a book that was in force, by its texts, until the files are right. Raises BookRefused."""
        checked = loader.check_texts(files, self._catalogue)
        if checked.book is None:
            raise BookRefused(checked.problems)
        self._take(checked.book)

    def _take(self, book: Rulebook) -> None:
        self._entries = {name: self._build_entry(source) for name, source in book.sources.items()}
        self.version = book.version

    def _build_entry(self, source: Source) -> SourceEntry:
        adapter = sources.SOURCES[source.kind]

        def missing(left_out: SecretMissing) -> None:
            why = left_out.why or "not set"
            log.warning(
                "secret.missing source=%s name=%s why=%s: the others of this source are valid",
                source.name,
                left_out.name,
                why,
            )

        try:
            checks = verification.checks(source.verify, self._environ, self._secrets, missing)
        except (SecretMissing, ValueError) as exc:
            log.error("secret.missing source=%s answers=503 why=%s", source.name, exc)
            return SourceEntry(source, adapter, None)
        return SourceEntry(source, adapter, checks, frozenset().union(*(each.secret_headers for each in checks)))

    async def watch(self) -> None:
        """Take each change of the files, until cancelled."""
        while True:
            await asyncio.sleep(LOOK_EVERY)
            await self.refresh()

    async def refresh(self) -> bool:
        """Take the files if they have changed; return whether they are in force."""
        if await asyncio.to_thread(self._watch.changed) is None:
            return False
        try:
            await asyncio.to_thread(self.load)
        except BookRefused as exc:
            self.problem = str(exc)
            log.error("book.refused stays=%s problems=%s", self.version, exc)
            return False
        except Exception as exc:  # files in a state that nobody thought of must not end the watch
            self.problem = f"{exc.__class__.__name__} while reading the book"
            log.exception("book.unreadable stays=%s", self.version)
            return False
        self.problem = ""
        log.info("book.taken version=%s sources=%d", self.version, len(self._entries))
        return True
