"""The book in force and its predecessors."""

import gc
import logging
from pathlib import Path

import pytest

from console import catalogue
from rules.rulebook import Rulebook
from rules.secret import SecretFiles
from tests.workers.worker_fixture import NOTE, UPSERT, WorkerFixture
from workers.rulebook import MOST_OLD, RulebookStore

pytestmark = pytest.mark.anyio


def said(caplog: pytest.LogCaptureFixture) -> list[tuple[int, str]]:
    """Return what was logged of books: level and line."""
    return [(record.levelno, record.getMessage()) for record in caplog.records if record.name == "relais.books"]


async def look(books: RulebookStore, site: WorkerFixture | None = None) -> bool:
    """Look as often as a change needs that stands still; approve what waits for a person. Tell whether it was taken."""
    taken = await books.look()
    if not taken:
        taken = await books.look()
    if books.pending is not None and site is not None:
        await site.approve()
        taken = await books.look()
    return taken


async def test_old_versions(site: WorkerFixture) -> None:
    """A book that was in force once is found by its version, in this process and in another."""
    books = RulebookStore(site.book, catalogue.build(), site.mailroom)
    site.write(NOTE)
    assert await look(books, site)
    assert not await look(books, site)
    first = books.version
    site.write(UPSERT)
    assert await look(books, site)
    assert (await books.by_version(books.version)) is books.current
    old = await books.by_version(first)
    assert old is not None
    assert old.version == first
    elsewhere = await RulebookStore(site.book, catalogue.build(), site.mailroom).by_version(first)
    assert elsewhere is not None
    assert [rule.name for rule in elsewhere.rules] == ["keep a note"]
    assert await books.by_version("never") is None


async def test_few_predecessors(site: WorkerFixture) -> None:
    """Books that are not in force any more do not pile up in memory, and the first is still found."""
    books = RulebookStore(site.book, catalogue.build(), site.mailroom)
    versions = []
    for n in range(2 * MOST_OLD):
        site.write(NOTE.replace("keep a note", f"keep note {n}"))
        assert await look(books, site)
        versions.append(books.version)
    for version in versions * 2:
        found = await books.by_version(version)
        assert found is not None
        assert found.version == version
    del found
    gc.collect()
    here = {each.version for each in gc.get_objects() if isinstance(each, Rulebook)}
    assert len(here & set(versions)) == MOST_OLD + 1


async def test_secrets(site: WorkerFixture, tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    """A secret that changes is a new revision of the same book; files that were only touched are none."""
    caplog.set_level("INFO", "relais.books")
    secrets = tmp_path / "mounted"
    secrets.mkdir()
    books = RulebookStore(site.book, catalogue.build(), site.mailroom, SecretFiles(secrets))
    site.write(NOTE)
    assert await look(books, site)
    assert books.revision == 1
    assert f"book.taken version={books.version} rules=1" in caplog.text
    (secrets / "TOKEN").write_text("t")
    assert not await look(books, site)
    assert books.revision == 2
    site.write(NOTE)
    assert not await look(books, site)
    assert books.revision == 2
    site.write(UPSERT)
    assert await look(books, site)
    assert books.revision == 3


async def test_touched(site: WorkerFixture) -> None:
    """Files that were only touched are the same book."""
    books = RulebookStore(site.book, catalogue.build(), site.mailroom)
    site.write(NOTE)
    assert await look(books, site)
    version = books.version
    site.write(NOTE)
    assert not await look(books, site)
    assert books.version == version


async def test_refused(site: WorkerFixture, caplog: pytest.LogCaptureFixture) -> None:
    """A refused book says what is wrong and leaves the one before in force, until the files are good again."""
    books = RulebookStore(site.book, catalogue.build(), site.mailroom)
    site.write(NOTE)
    caplog.set_level(logging.INFO, "relais.books")
    await look(books, site)
    version = books.version
    assert said(caplog) == [(logging.INFO, f"book.taken version={version} rules=1")]
    caplog.clear()
    site.write(NOTE + "  - nonsense\n")
    assert not await look(books, site)
    assert books.problems
    problems = " | ".join(books.problems)
    assert said(caplog) == [(logging.ERROR, f"book.refused stays={version} problems={problems}")]
    assert books.version == version
    site.write(UPSERT)
    assert await look(books, site)
    assert books.problems == ()


async def test_refused_at_the_start(site: WorkerFixture) -> None:
    """A worker that starts while the files are bad acts by the book in force; without one it has none."""
    site.write("  - nonsense\n")
    books = RulebookStore(site.book, catalogue.build(), site.mailroom)
    assert not await look(books, site)
    assert (books.current, bool(books.problems)) == (None, True)
    site.write(NOTE)
    assert await look(books, site)
    site.write("  - more nonsense\n")
    fresh = RulebookStore(site.book, catalogue.build(), site.mailroom)
    assert await fresh.look()
    assert (fresh.version, bool(fresh.problems)) == (books.version, True)


async def test_refused_is_counted(site: WorkerFixture) -> None:
    """However many workers see the same bad files, they are counted once; other bad files are counted anew."""
    several = [RulebookStore(site.book, catalogue.build(), site.mailroom) for _ in range(3)]
    site.write("  - nonsense\n")
    for books in several:
        await look(books, site)
    assert (await site.mailroom.counts())["book_refused"] == 1
    site.write("  - another nonsense\n")
    for books in several:
        await look(books, site)
    assert (await site.mailroom.counts())["book_refused"] == 2


async def test_no_folder(site: WorkerFixture, tmp_path: Path) -> None:
    """A folder that is not there is a bad book, too."""
    books = RulebookStore(tmp_path / "nowhere", catalogue.build(), site.mailroom)
    assert not await look(books, site)
    assert "cannot be read" in books.problems[0]
