"""The pages of docs/destinations: each whole book on them compiles and passes its own tests."""

import re
from pathlib import Path

import pytest

from console import catalogue
from receiver import payload
from rules.compiler import loader
from rules.tools import testing
from workers.destinations import DESTINATIONS

PAGES = [
    page
    for page in sorted((Path(__file__).parents[3] / "docs" / "destinations").glob("*.md"))
    if page.stem != "reference"  # made from the code
]
BLOCKS = [
    pytest.param(block, id=f"{page.stem}-{number}")
    for page in PAGES
    for number, block in enumerate(re.findall(r"^```yaml\n(.*?)^```", page.read_text(), re.MULTILINE | re.DOTALL))
    if "tests:" in block  # else it is a part of a book
]


def test_every_kind_has_a_page() -> None:
    """A page for each kind, which says what to do at the vendor, and what is known."""
    assert {page.stem for page in PAGES} == set(DESTINATIONS)
    assert all("## There" in page.read_text() and "## What is known" in page.read_text() for page in PAGES)


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.stem)
def test_page_is_of_a_kind(page: Path) -> None:
    """A page is named after a kind, and has all its actions."""
    text = page.read_text()
    assert all(f"{action}`" in text or f".{action}:" in text for action in DESTINATIONS[page.stem].kind.actions)


@pytest.mark.parametrize("block", BLOCKS)
def test_example(block: str) -> None:
    """Each example is a book without problems, and its tests pass."""
    checked = loader.check_texts({"book.yaml": block}, catalogue.build())
    assert checked.book is not None, checked.problems
    assert [str(each) for each in checked.problems] == []
    results = testing.run(checked.book, Path("nowhere"), payload.read_payload)
    assert results.results
    assert [line for each in results.failed for line in each.lines] == []
