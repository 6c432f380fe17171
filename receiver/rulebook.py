"""The book in force, as the receiver needs it: each source with its checks, swapped whole when files change.

Comes in: the book's folder, the catalogue, the environment. Goes out: the entry of a source by its name. A bad book is
reported and the one in force stays; a source whose secret is missing answers 503 until it is there. Never takes half of
a book.
"""

import asyncio
import contextlib
import logging
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from mailroom import StoreUnavailable
from receiver import errors, sources, verification
from receiver.sources.base import SourceType
from receiver.verification import Check
from rules.catalogue import Catalogue
from rules.compiler import loader
from rules.compiler.folder_watch import LOOK_EVERY
from rules.compiler.reload import BookReload
from rules.errors import BookRefused, SecretMissing
from rules.rulebook import Rulebook, Source
from rules.secret import Secret, SecretFiles

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
    #: Which secrets were right (a bit each, by check) -> when that was last, ms; for the tally, which empties it.
    proved: dict[tuple[int, ...], int] = field(default_factory=dict, compare=False)

    def take_proofs(self) -> dict[str, int]:
        """Return the names of the secrets that verified a request since this was last asked, and when, ms."""
        proved = dict(self.proved)
        self.proved.clear()
        return {
            label: at
            for proofs, at in sorted(proved.items(), key=lambda each: each[1])
            for check, right in zip(self.checks or (), proofs, strict=True)
            for place, label in enumerate(check.labels)
            if right >> place & 1
        }

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
        approve_all: bool = False,
        load: Callable[[Path, Catalogue], Rulebook] = loader.load,
    ) -> None:
        self._catalogue = catalogue
        self._environ = environ
        self._secrets = SecretFiles(secrets)
        self._entries: Mapping[str, SourceEntry] = {}
        self._reload = BookReload(folder, catalogue, self._secrets, approve_all=approve_all, load=load)
        self._current: Rulebook | None = None
        #: What is wrong with the files as they are now; empty: nothing.
        self.problem = ""

    def entry(self, name: str) -> SourceEntry:
        """Return the entry of a source. Raises NotFound."""
        found = self._entries.get(name)
        if found is None:
            raise errors.NotFound("unknown_source", "the book has no source of this name; is the URL right?")
        return found

    def has(self, name: str) -> bool:
        """Return whether the book has a source of that name."""
        return name in self._entries

    @property
    def names(self) -> list[str]:
        """The names of the sources."""
        return sorted(self._entries)

    @property
    def entries(self) -> list[SourceEntry]:
        """The entries of all sources."""
        return list(self._entries.values())

    def resolve(self, secret: Secret) -> str:
        """Return a secret of the book. Raises SecretMissing."""
        return secret.resolve(self._environ, self._secrets)

    @property
    def version(self) -> str:
        """Version of the book in force; empty before the first."""
        return self._current.version if self._current is not None else ""

    def load(self, approved: str = "") -> None:
        """Take the book of the folder, unless it loses too much of the one in force. Raises BookRefused."""
        self._look(approved)

    def load_kept(self, files: Mapping[str, str]) -> None:
        """Take the book that was in force before this process, by its texts. Raises BookRefused."""
        checked = loader.check_texts(files, self._catalogue)
        if checked.book is None:
            raise BookRefused(checked.problems)
        self._take(checked.book)

    def _look(self, approved: str) -> bool:
        """Take the files if they count; return whether another book is in force. Raises BookRefused."""
        pending = self._reload.pending
        change = self._reload.look(self._current, approved)
        waits = self._reload.pending
        if waits is not None and waits != pending:
            log.warning("book.waits stays=%s why=%s", self.version, waits)
        if change is None:
            return False
        self._take(change.book)
        self._reload.accept(change.book.version)
        return True

    def _take(self, book: Rulebook) -> None:
        self._current = book
        self._build_entries()

    def _build_entries(self) -> None:
        if self._current is not None:
            self._entries = {name: self._build_entry(source) for name, source in self._current.sources.items()}

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

    async def watch(self, approved: Callable[[], Awaitable[str]]) -> None:
        """Take each change of the files, until cancelled. `approved` returns the version a person approved last."""
        while True:
            await asyncio.sleep(LOOK_EVERY)
            await self.refresh()
            if self._reload.pending is not None:
                with contextlib.suppress(StoreUnavailable, TimeoutError):
                    await self.refresh(await approved())

    async def refresh(self, approved: str = "") -> bool:
        """Take the files if they changed and count, and new secrets; return whether anything was taken."""
        secrets_changed = await asyncio.to_thread(self._reload.secrets_changed)
        if secrets_changed:
            self._build_entries()
            log.info("secrets.taken")
        try:
            taken = await asyncio.to_thread(self._look, approved)
        except BookRefused as exc:
            self.problem = str(exc)
            log.error("book.refused stays=%s problems=%s", self.version, exc)
            return False
        except Exception as exc:  # files in a state that nobody thought of must not end the watch
            problem = f"{exc.__class__.__name__} while reading the book"
            if self.problem != problem:
                log.exception("book.unreadable stays=%s", self.version)
            self.problem = problem
            return False
        if taken:
            self.problem = ""
            log.info("book.taken version=%s sources=%d", self.version, len(self._entries))
        return taken or secrets_changed
