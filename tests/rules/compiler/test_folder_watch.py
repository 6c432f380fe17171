import os
from pathlib import Path

import pytest

from rules.compiler.folder_watch import FolderWatch
from rules.secret import SecretFiles


@pytest.fixture
def folders(tmp_path: Path) -> tuple[Path, Path]:
    """A book and its mounted secrets."""
    book, secrets = tmp_path / "book", tmp_path / "secrets"
    book.mkdir()
    secrets.mkdir()
    (book / "a.yaml").write_text("a")
    (secrets / "TOKEN").write_text("t")
    return book, secrets


def touch(path: Path) -> None:
    """Change a file so that it shows whatever the clock's resolution."""
    before = path.stat().st_mtime_ns
    os.utime(path, ns=(before + 10**9, before + 10**9))


def accepted(watch: FolderWatch) -> None:
    """Deal with a change as a process does."""
    seen = watch.changed()
    assert seen is not None
    watch.accept(seen)
    assert watch.changed() is None


def test_first_look(folders: tuple[Path, Path]) -> None:
    """Everything is news until it has been accepted; nothing is afterwards."""
    watch = FolderWatch(folders[0], SecretFiles(folders[1]))
    first = watch.changed()
    assert first is not None
    assert watch.changed() == first
    assert not watch.secrets_changed(first)
    accepted(watch)


@pytest.mark.parametrize("place", ["book", "secrets"])
@pytest.mark.parametrize("how", ["changed", "added", "removed"])
def test_changes(folders: tuple[Path, Path], place: str, how: str) -> None:
    """A file that changes, comes or goes is noticed, in the book and among the secrets."""
    watch = FolderWatch(folders[0], SecretFiles(folders[1]))
    accepted(watch)
    file = folders[0] / "a.yaml" if place == "book" else folders[1] / "TOKEN"
    if how == "changed":
        touch(file)
    elif how == "added":
        file.with_name("b.yaml").write_text("b")
    else:
        file.unlink()
    seen = watch.changed()
    assert seen is not None
    assert watch.secrets_changed(seen) == (place == "secrets")
    accepted(watch)


def test_secret_elsewhere(folders: tuple[Path, Path], tmp_path: Path) -> None:
    """A secret outside the folder is watched once it has been asked for, even before it is there."""
    secrets = SecretFiles(folders[1])
    other = tmp_path / "other"
    assert secrets(str(other)) is None
    watch = FolderWatch(folders[0], secrets)
    accepted(watch)
    other.write_text("x")
    accepted(watch)
    touch(other)
    accepted(watch)


def test_no_folders(tmp_path: Path) -> None:
    """Folders that are not there are a state like any other: they are noticed when they come."""
    watch = FolderWatch(tmp_path / "book", SecretFiles(tmp_path / "secrets"))
    accepted(watch)
    (tmp_path / "secrets").mkdir()
    (tmp_path / "secrets" / "TOKEN").write_text("t")
    accepted(watch)
