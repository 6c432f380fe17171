"""The book in force, as the receiver needs it: each source with its checks, swapped whole when files change.

Comes in: the book's folder, the catalogue, the environment. Goes out: the gate of a source by its name. A bad book is
reported and the one in force stays; a source whose secret is missing answers 503 until it is there. Never takes half of
a book.
"""

import asyncio
import contextlib
import logging
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

from receiver import errors, sources, verification
from receiver.sources.base import SourceType
from receiver.verification import Check
from rules.catalogue import Catalogue
from rules.compiler import loader
from rules.errors import BookRefused, SecretMissing
from rules.rulebook import Rulebook, Source

logger = logging.getLogger("relais.receiver")

#: Seconds between two looks at the files: ops see their change at once, and a look costs some microseconds.
LOOK_EVERY = 1.0
#: A secret is a line of text; what is longer is no secret.
LONGEST_SECRET = 65_536

#: Name, time and size of each file: of the book, and of the folder of secrets.
Files = tuple[tuple[str, int, int], ...]
Stamp = tuple[Files, Files]


@dataclass(frozen=True)
class SourceEntry:
    """The entrance of one source."""

    source: Source
    adapter: SourceType
    #: None: a secret is missing, so nobody can be verified.
    checks: tuple[Check, ...] | None
    #: Headers and parameters of the URL that are never stored.
    secret_headers: frozenset[str] = frozenset()
    secret_parameters: frozenset[str] = frozenset()

    def verified_by(self) -> tuple[Check, ...]:
        """Return the checks. Raises Unavailable while a secret is missing."""
        if self.checks is None:
            raise errors.NotKept("secret_missing", "this source is not set up completely; try again later")
        return self.checks


class RulebookWatcher:
    """Holds the book in force. Load it with `load`, keep it fresh with `watch`."""

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
        self._secrets = secrets
        self._load = load
        self._gates: Mapping[str, SourceEntry] = {}
        self._stamp: Stamp = ((), ())
        #: Version of the book in force.
        self.version = ""
        #: What is wrong with the files as they are now; empty: nothing.
        self.problem = ""

    def gate(self, name: str) -> SourceEntry:
        """Return the gate of a source. Raises NotFound."""
        found = self._gates.get(name)
        if found is None:
            raise errors.NotFound("unknown_source", "the book has no source of this name; is the URL right?")
        return found

    @property
    def names(self) -> list[str]:
        """The names of the sources."""
        return sorted(self._gates)

    def load(self) -> None:
        """Load the book and take it. Raises BookRefused and leaves the one in force as it is."""
        # Looked at first: what changes while it is being read is seen at the next look.
        stamp = self._look()
        try:
            book = self._load(self._folder, self._catalogue)
        finally:
            self._stamp = stamp
        self._take(book)

    def load_kept(self, files: Mapping[str, str]) -> None:
        """Take a book that was in force, by its texts, until the files are right. Raises BookRefused."""
        checked = loader.check_texts(files, self._catalogue)
        if checked.book is None:
            raise BookRefused(checked.problems)
        self._take(checked.book)

    def _take(self, book: Rulebook) -> None:
        self._gates = {name: self._gate(source) for name, source in book.sources.items()}
        self.version = book.version

    def _gate(self, source: Source) -> SourceEntry:
        adapter = sources.SOURCES[source.kind]

        def missing(name: str) -> None:
            logger.warning("secret_missing source=%s name=%s: the others of this source are valid", source.name, name)

        try:
            checks = verification.checks(source.verify, self._environ, self._read_file, missing)
        except (SecretMissing, ValueError) as exc:
            logger.error("source_without_secret source=%s: %s", source.name, exc)
            return SourceEntry(source, adapter, None)
        return SourceEntry(
            source,
            adapter,
            checks,
            frozenset().union(*(each.secret_headers for each in checks)),
            frozenset().union(*(each.secret_parameters for each in checks)),
        )

    def _read_file(self, name: str) -> str | None:
        """Return the secret in a mounted file: NAME in the folder of secrets, or the path that NAME_FILE gives."""
        path = Path(name) if "/" in name else (self._secrets / name if self._secrets else None)
        try:
            if path is None or path.stat().st_size > LONGEST_SECRET:
                return None
            return path.read_text(encoding="utf-8").rstrip("\r\n") or None
        except (OSError, ValueError):
            return None

    def _look(self) -> Stamp:
        return loader.changed(self._folder), tuple(self._secret_files())

    def _secret_files(self) -> Iterator[tuple[str, int, int]]:
        for path in sorted(self._secrets.glob("*")) if self._secrets else ():
            with contextlib.suppress(OSError):  # gone since it was listed
                status = path.stat()
                yield path.name, status.st_mtime_ns, status.st_size

    async def watch(self) -> None:
        """Take each change of the files, until cancelled."""
        while True:
            await asyncio.sleep(LOOK_EVERY)
            await self.refresh()

    async def refresh(self) -> bool:
        """Take the files if they have changed; return whether a new book is in force."""
        if await asyncio.to_thread(self._look) == self._stamp:
            return False
        try:
            await asyncio.to_thread(self.load)
        except BookRefused as exc:
            self.problem = str(exc)
            logger.error("book_refused, the one in force stays: %s", exc)
            return False
        except Exception as exc:  # files in a state that nobody thought of must not end the watch
            self.problem = f"{exc.__class__.__name__} while reading the book"
            logger.exception("book_unreadable, the one in force stays")
            return False
        self.problem = ""
        logger.info("book_taken version=%s sources=%d", self.version, len(self._gates))
        return True
