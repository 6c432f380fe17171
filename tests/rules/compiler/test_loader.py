from dataclasses import replace
from pathlib import Path

import pytest

from rules.compiler import loader
from rules.errors import BookRefused
from tests.rules.catalogue import CATALOGUE
from tests.rules.writing import SYSTEMS


def test_load(tmp_path: Path) -> None:
    """A book is the YAML files of a folder by name; others, hidden ones and folders are not part of it."""
    (tmp_path / "00.yaml").write_text(SYSTEMS)
    (tmp_path / "10.yml").write_text("vars:\n  a: 1\n")
    (tmp_path / ".hidden.yaml").write_text("{{")
    (tmp_path / "notes.txt").write_text("{{")
    (tmp_path / "fixtures").mkdir()
    (tmp_path / "fixtures" / "x.yaml").write_text("{{")
    book = loader.load(tmp_path, CATALOGUE)
    assert list(book.files) == ["00.yaml", "10.yml"]


def test_refused(tmp_path: Path) -> None:
    """A book with errors is refused with all of them, and says the first."""
    (tmp_path / "a.yaml").write_text("rule: 1\n")
    (tmp_path / "b.yaml").write_text("a: 1\na: 2\n")
    with pytest.raises(BookRefused) as caught:
        loader.load(tmp_path, CATALOGUE)
    assert str(caught.value).startswith('a.yaml:1:1 "rule" is unknown here; did you mean "rules"?')
    assert {problem.file for problem in caught.value.problems} == {"a.yaml", "b.yaml"}


def test_nothing_there(tmp_path: Path) -> None:
    """A folder that is missing or has no YAML is a problem with a mend."""
    assert [each.code for each in loader.check(tmp_path, CATALOGUE).problems] == ["empty_book"]
    assert [each.code for each in loader.check(tmp_path / "none", CATALOGUE).problems] == ["unreadable"]


def test_texts(tmp_path: Path) -> None:
    """The texts of a book make the same book again, with the same version."""
    (tmp_path / "00.yaml").write_text(SYSTEMS)
    book = loader.load(tmp_path, CATALOGUE)
    again = loader.check_texts(book.files, CATALOGUE).book
    assert again is not None
    assert again.version == book.version


def test_same_again(tmp_path: Path) -> None:
    """What was compiled last is not compiled again, whether it comes as files or as texts; anything else is."""
    file = tmp_path / "00.yaml"
    file.write_text(SYSTEMS)
    book = loader.load(tmp_path, CATALOGUE)
    assert loader.load(tmp_path, CATALOGUE) is book
    assert loader.check_texts(book.files, CATALOGUE).book is book
    assert loader.load(tmp_path, replace(CATALOGUE, sandbox="http://127.0.0.1:8030")) is not book
    file.write_text(f"{SYSTEMS}\n")
    assert loader.load(tmp_path, CATALOGUE).version != book.version


def test_changed(tmp_path: Path) -> None:
    """The mark of a folder changes with its files."""
    before = loader.fingerprint(tmp_path)
    (tmp_path / "00.yaml").write_text(SYSTEMS)
    assert loader.fingerprint(tmp_path) != before


@pytest.mark.parametrize(
    "name", ["10.YAML", "10.Yml", "10.yaml.bak", "10.yaml.txt", "10.yml~", "#10.yaml#", "sub/10.yaml", "10.yaml_old"]
)
def test_o10_ignored_files(tmp_path: Path, name: str) -> None:
    """A file that looks like a part of the book and is none is named."""
    (tmp_path / "00.yaml").write_text(SYSTEMS)
    (tmp_path / name).parent.mkdir(exist_ok=True)
    (tmp_path / name).write_text("rules: []\n")
    (problem,) = loader.check(tmp_path, CATALOGUE).problems
    assert (problem.file, problem.code, problem.severity) == (name, "ignored_file", "warning")


def test_o10_only_file(tmp_path: Path) -> None:
    """A book whose only file is named otherwise is no book, and the file is named."""
    (tmp_path / "10.YAML").write_text(SYSTEMS)
    checked = loader.check(tmp_path, CATALOGUE)
    assert checked.book is None
    assert [(problem.file, problem.code) for problem in checked.problems] == [
        (".", "empty_book"),
        ("10.YAML", "ignored_file"),
    ]


def test_o10_no_file(tmp_path: Path) -> None:
    """A link to nothing, or a folder, with the name of a file is named."""
    (tmp_path / "00.yaml").write_text(SYSTEMS)
    (tmp_path / "10.yaml").symlink_to("gone")
    (tmp_path / "20.yml").mkdir()
    texts = [problem.text for problem in loader.check(tmp_path, CATALOGUE).problems]
    assert texts == [
        "10.yaml is no part of the book: it is a link to nothing",
        "20.yml is no part of the book: it is a folder",
    ]


@pytest.mark.parametrize("name", ["fixtures/a.yaml", ".10.yaml.swp", "..data/00.yaml", "README.md", "notes.txt"])
def test_other_files(tmp_path: Path, name: str) -> None:
    """Fixtures, hidden files and what has another ending are nobody's mistake."""
    (tmp_path / "00.yaml").write_text(SYSTEMS)
    (tmp_path / name).parent.mkdir(exist_ok=True)
    (tmp_path / name).write_text("rules: []\n")
    assert loader.check(tmp_path, CATALOGUE).problems == ()


def test_fixture(tmp_path: Path) -> None:
    """A fixture is found in the book or its folder `fixtures`, parsed where it is JSON, and nowhere else."""
    (tmp_path / "fixtures").mkdir()
    (tmp_path / "fixtures" / "a.json").write_text('{"a": 1}')
    (tmp_path / "b.form").write_text("a=1")
    assert loader.fixture(tmp_path, "a.json") == {"a": 1}
    assert loader.fixture(tmp_path, "b.form") == b"a=1"
    for name in ("../x.json", "/etc/hostname", "c.json"):
        with pytest.raises(loader.FixtureMissing):
            loader.fixture(tmp_path, name)
