"""The folder of a book.

Comes in: a path. Goes out: a Rulebook, or what is wrong with it. Of all modules of `rules` only this one and
`rules.secret` open files; never writes one.
"""

import json
import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from rules.catalogue import Catalogue
from rules.compiler import compilation, rules_section
from rules.compiler.compilation import Checked
from rules.errors import BookRefused
from rules.rulebook import Rulebook
from rules.source import yaml_document
from rules.source.node import Node
from rules.source.problem import Problem
from rules.source.yaml_document import MAX_BYTES

SUFFIXES = (".yaml", ".yml")
#: What looks like a file of a book: `10.YAML`, `10.yaml.bak`, `10.yml~`.
YAML_NAME = re.compile(r"\.ya?ml(?![a-z])", re.IGNORECASE)
#: The folder inside a book for bodies that its tests name.
FIXTURES = "fixtures"
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
        problem = Problem(".", 1, 1, f"there is no YAML file in {folder}", mend, "empty_book")
        return Checked(None, (problem, *_name_ignored(folder)))
    checked = _compile(contents, catalogue)
    return Checked(checked.book, (*checked.problems, *_name_ignored(folder)))


def _name_ignored(folder: Path) -> Iterator[Problem]:
    """Yield a warning for each file that looks like a part of the book and is none: an editor's copy, a subfolder."""
    for path in sorted(folder.rglob("*")) if folder.is_dir() else ():
        inside = path.relative_to(folder)
        if not YAML_NAME.search(path.name) or inside.parts[0] == FIXTURES:
            continue
        if any(part.startswith(".") for part in inside.parts):
            continue
        text = f"{inside} is no part of the book: only files of the folder itself are that end in .yaml or .yml"
        mend = "rename it, move it up, or move it out"
        if path.parent == folder and path.suffix in SUFFIXES:
            if path.is_file():
                continue
            text = f"{inside} is no part of the book: it is {'a folder' if path.is_dir() else 'a link to nothing'}"
            mend = "put the file there, or take it out"
        elif not path.is_file():
            continue
        yield Problem(str(inside), 1, 1, text, mend, "ignored_file", "warning")


def check_texts(files: Mapping[str, str], catalogue: Catalogue) -> Checked:
    """Return the same for a book that is at hand as texts: one that was in force earlier."""
    return _compile({name: text.encode("utf-8", "surrogatepass") for name, text in files.items()}, catalogue)


class _Last:
    """The files that were compiled last, against what, and the result."""

    compiled: tuple[Mapping[str, bytes], Catalogue, Checked] | None = None


def _compile(files: Mapping[str, bytes], catalogue: Catalogue) -> Checked:
    """Compile files, unless they are those of the last time: a copy of a process has what its parent compiled."""
    last = _Last.compiled
    if last is None or last[:2] != (files, catalogue):
        last = _Last.compiled = (files, catalogue, compilation.compile_book(files, catalogue))
    return last[2]


def parse(files: Mapping[str, str]) -> dict[str, dict[str, Any]]:
    """Return what a book says, by section and name, without compiling it; groups are taken apart.

    The problems of a book with errors are passed over, and so is what has no name.
    """
    found: dict[str, dict[str, Any]] = {}
    for file in sorted(files):
        document = yaml_document.read(files[file].encode("utf-8", "surrogatepass"), file, [])
        top = Node(document, (), document.value, []) if document is not None else None
        for section, node in top.mapping().items() if top is not None else ():
            entries = found.setdefault(section, {})
            if section == "rules":
                entries |= {
                    rule.value["name"]: rule.value for rule in rules_section.single_rules(node) if _is_named(rule)
                }
            elif section == "tests":
                entries |= {test.value["name"]: test.value for test in node.items() if _is_named(test)}
            else:
                entries |= node.value if isinstance(node.value, dict) else {section: node.value}
    return found


def _is_named(node: Node) -> bool:
    return isinstance(node.value, dict) and isinstance(node.value.get("name"), str)


def describe_rules(files: Mapping[str, str]) -> dict[str, str]:
    """Return the descriptions that a book's rules have, by their names, without compiling it."""
    rules = parse(files).get("rules", {})
    return {name: rule["description"] for name, rule in rules.items() if rule.get("description")}


def read(folder: Path) -> dict[str, bytes]:
    """Return the contents of the book's files by name. Raises OSError."""
    if folder.is_file():
        return {folder.name: _bytes(folder)}
    names = sorted(path for path in folder.iterdir() if path.suffix in SUFFIXES and not path.name.startswith("."))
    return {path.name: _bytes(path) for path in names if path.is_file()}


def fingerprint(folder: Path) -> str:
    """Return the version that the files of a book would have, right or wrong; empty while they cannot be read."""
    try:
        return compilation.version_of(read(folder))
    except OSError:
        return ""


def fixture(folder: Path, name: str) -> Any:
    """Return the vendor's body that a test names: parsed where it is JSON, else bytes. Raises FixtureMissing."""
    root = folder.resolve()
    for base in (root, root / FIXTURES):
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
