"""The folder of a book.

Comes in: a path. Goes out: a Rulebook, or what is wrong with it. Of all modules of `rules` only this one and
`rules.secret` open files; never writes one.
"""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from rules.catalogue import Catalogue
from rules.compiler import compilation
from rules.compiler.compilation import Checked
from rules.errors import BookRefused
from rules.rulebook import Rulebook
from rules.source.problem import Problem
from rules.source.yaml_document import MAX_BYTES

SUFFIXES = (".yaml", ".yml")
#: Fixtures are single webhook bodies; the receiver takes no larger ones.
MAX_FIXTURE = 4_000_000  # bytes


class FixtureMissing(Exception):
    """A test names a fixture that is not there, or not inside the book."""


def load(folder: Path, catalogue: Catalogue) -> Rulebook:
    """Return the book in a folder. Raises BookRefused."""
    checked = check(folder, catalogue)
    if checked.book is None:
        raise BookRefused(checked.problems)
    return checked.book


def check(folder: Path, catalogue: Catalogue) -> Checked:
    """Return what is wrong with the book in a folder, and the book where nothing is in its way."""
    try:
        contents = read(folder)
    except OSError as exc:
        problem = Problem(".", 1, 1, f"{folder} cannot be read ({exc.strerror or 'error'})", _mend(exc), "unreadable")
        return Checked(None, (problem,))
    if not contents:
        mend = "put a .yaml file there, or run: relais init"
        return Checked(None, (Problem(".", 1, 1, f"there is no YAML file in {folder}", mend, "empty_book"),))
    return compilation.compile_book(contents, catalogue)


def check_texts(files: Mapping[str, str], catalogue: Catalogue) -> Checked:
    """Return the same for a book that is at hand as texts: one that was in force earlier."""
    return compilation.compile_book(
        {name: text.encode("utf-8", "surrogatepass") for name, text in files.items()}, catalogue
    )


def read(folder: Path) -> dict[str, bytes]:
    """Return the contents of the book's files by name. Raises OSError."""
    if folder.is_file():
        return {folder.name: _bytes(folder)}
    names = sorted(path for path in folder.iterdir() if path.suffix in SUFFIXES and not path.name.startswith("."))
    return {path.name: _bytes(path) for path in names if path.is_file()}


def changed(folder: Path) -> tuple[tuple[str, int, int], ...]:
    """Return a mark that differs once a file of the book has changed; cheap enough to ask every second."""
    try:
        found = sorted(path for path in folder.iterdir() if path.suffix in SUFFIXES and not path.name.startswith("."))
        return tuple((path.name, path.stat().st_mtime_ns, path.stat().st_size) for path in found)
    except OSError:
        return ()


def fixture(folder: Path, name: str) -> Any:
    """Return the vendor's body that a test names: parsed where it is JSON, else bytes. Raises FixtureMissing."""
    root = folder.resolve()
    for base in (root, root / "fixtures"):
        path = (base / name).resolve()
        if not path.is_relative_to(root):
            raise FixtureMissing(f"the fixture {name} is outside the book")
        if path.is_file():
            if path.stat().st_size > MAX_FIXTURE:
                raise FixtureMissing(f"the fixture {name} is larger than {MAX_FIXTURE // 1_000_000} MB")
            content = path.read_bytes()
            try:
                return json.loads(content)
            except ValueError:
                return content
    raise FixtureMissing(f"there is no fixture {name} in the book")


def _bytes(path: Path) -> bytes:
    with path.open("rb") as file:
        return file.read(MAX_BYTES + 1)


def _mend(exc: OSError) -> str:
    if isinstance(exc, FileNotFoundError):
        return "check the path, or run: relais init"
    return "check who may read it"
