"""Every defect has a file named after it, beside the message that it must give."""

from pathlib import Path

import pytest

from console import catalogue
from rules.compiler import compilation

CATALOGUE = catalogue.build()
DEFECTS = Path(__file__).parent / "defects"
BASE = DEFECTS / "00-base.yaml"
FILES = sorted(path for path in DEFECTS.glob("*.yaml") if path != BASE)


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.stem)
def test_defect(path: Path) -> None:
    """A defect gives its message, with file, line, column and mend, and no other."""
    checked = compilation.compile_book({BASE.name: BASE.read_bytes(), path.name: path.read_bytes()}, CATALOGUE)
    assert "\n".join(str(problem) for problem in checked.problems) == path.with_suffix(".txt").read_text().strip()


def test_no_defect() -> None:
    """The file that the defects share has none."""
    assert compilation.compile_book({BASE.name: BASE.read_bytes()}, CATALOGUE).problems == ()


def test_all_at_once() -> None:
    """A folder with all defects gives all messages at once, each file its own: none hides or alters another."""
    files = {path.name: path.read_bytes() for path in (BASE, *FILES)}
    found = [str(problem) for problem in compilation.compile_book(files, CATALOGUE).problems]
    for path in FILES:
        expected = path.with_suffix(".txt").read_text().splitlines()
        assert [line for line in found if line.startswith(f"{path.name}:")] == expected, path.name


def test_errors_and_warnings() -> None:
    """A book with warnings counts, a book with an error does not."""
    for path in FILES:
        checked = compilation.compile_book({BASE.name: BASE.read_bytes(), path.name: path.read_bytes()}, CATALOGUE)
        assert (checked.book is None) == bool(checked.errors), path.name


def test_codes() -> None:
    """Every problem has a code of its own that is a word."""
    files = {path.name: path.read_bytes() for path in (BASE, *FILES)}
    problems = compilation.compile_book(files, CATALOGUE).problems
    assert all(problem.code.replace("_", "").isalnum() and problem.code != "wrong" for problem in problems), [
        str(problem) for problem in problems if problem.code == "wrong"
    ]
