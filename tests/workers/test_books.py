"""The book in force and its predecessors."""

import pytest

from console import catalogue
from tests.workers.site import NOTE, UPSERT, Site
from workers.books import Books

pytestmark = pytest.mark.anyio


async def test_old_versions(site: Site) -> None:
    """A book that was in force once is found by its version, in this process and in another."""
    books = Books(site.book, catalogue.build(), site.mailroom)
    site.write(NOTE)
    assert await books.look()
    assert not await books.look()
    first = books.version
    site.write(UPSERT)
    assert await books.look()
    assert (await books.by_version(books.version)) is books.current
    old = await books.by_version(first)
    assert old is not None
    assert old.version == first
    elsewhere = await Books(site.book, catalogue.build(), site.mailroom).by_version(first)
    assert elsewhere is not None
    assert [rule.name for rule in elsewhere.rules] == ["keep a note"]
    assert await books.by_version("never") is None


async def test_touched(site: Site) -> None:
    """Files that were only touched are the same book."""
    books = Books(site.book, catalogue.build(), site.mailroom)
    site.write(NOTE)
    assert await books.look()
    version = books.version
    site.write(NOTE)
    assert not await books.look()
    assert books.version == version


async def test_refused(site: Site) -> None:
    """A refused book says what is wrong and leaves the one before in force, until the files are good again."""
    books = Books(site.book, catalogue.build(), site.mailroom)
    site.write(NOTE)
    await books.look()
    version = books.version
    site.write(NOTE + "  - nonsense\n")
    assert not await books.look()
    assert books.problems
    assert books.version == version
    site.write(UPSERT)
    assert await books.look()
    assert books.problems == ()
