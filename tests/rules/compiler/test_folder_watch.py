import os
from collections.abc import Callable
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
    (book / "a.yaml").write_text("rules: [1]\n")
    (secrets / "TOKEN").write_text("t")
    return book, secrets


def accepted(watch: FolderWatch) -> None:
    """Deal with a change as a process does."""
    seen = watch.changed()
    assert seen is not None
    watch.accept(seen)
    assert watch.quiet
    assert watch.changed() is None


def test_first_look(folders: tuple[Path, Path]) -> None:
    """Everything is news until it has been accepted; nothing is afterwards."""
    watch = FolderWatch(folders[0], SecretFiles(folders[1]))
    first = watch.changed()
    assert first is not None
    assert watch.changed() == first
    assert not watch.secrets_changed()
    accepted(watch)


def change(file: Path) -> None:
    file.write_text("rules: [2]\n")


def replace_by_equal(file: Path) -> None:
    """Put another file of the same size and time in its place, as `rsync --times` does."""
    times = (file.stat().st_atime_ns, file.stat().st_mtime_ns)
    other = file.with_name(".other")
    other.write_text("rules: [3]\n")
    other.replace(file)
    os.utime(file, ns=times)


def add(file: Path) -> None:
    file.with_name("b.yaml").write_text("b")


def swap_folder(file: Path) -> None:
    """Let the file be a link into a folder that is swapped, as Kubernetes mounts a ConfigMap."""
    for name, text in (("..1", file.read_text()), ("..2", "rules: [4]\n")):
        (file.parent / name).mkdir()
        (file.parent / name / file.name).write_text(text)
    file.unlink()
    file.symlink_to(f"..data/{file.name}")
    (file.parent / "..data").symlink_to("..2")


@pytest.mark.parametrize(
    "how", [change, pytest.param(replace_by_equal, id="o3-replace_by_equal"), add, swap_folder, Path.unlink]
)
def test_changes(folders: tuple[Path, Path], how: Callable[[Path], None]) -> None:
    """However a file changes, comes or goes: it counts when it is the same at two looks, and once."""
    watch = FolderWatch(folders[0], SecretFiles(folders[1]))
    accepted(watch)
    how(folders[0] / "a.yaml")
    assert watch.changed() is None
    assert not watch.quiet
    accepted(watch)


def test_still_changing(folders: tuple[Path, Path]) -> None:
    """Files that are another version at each look are not taken; nor is a rule lost on its way to another file."""
    watch = FolderWatch(folders[0], SecretFiles(folders[1]))
    accepted(watch)
    for n in range(5):
        (folders[0] / "a.yaml").write_text(f"rules: [{n + 5}]\n")
        assert watch.changed() is None
    (folders[0] / "b.yaml").write_text((folders[0] / "a.yaml").read_text())
    assert watch.changed() is None
    (folders[0] / "a.yaml").write_text("rules: []\n")
    assert watch.changed() is None
    accepted(watch)


def test_changed_back(folders: tuple[Path, Path]) -> None:
    """Files that are what they were before anybody took them are no change, and touched ones neither."""
    watch = FolderWatch(folders[0], SecretFiles(folders[1]))
    accepted(watch)
    before = (folders[0] / "a.yaml").read_text()
    change(folders[0] / "a.yaml")
    assert watch.changed() is None
    (folders[0] / "a.yaml").write_text(before)
    assert watch.changed() is None
    assert watch.quiet


@pytest.mark.parametrize("how", [change, replace_by_equal, add, Path.unlink])
def test_secrets(folders: tuple[Path, Path], how: Callable[[Path], None]) -> None:
    """A secret that changes, comes or goes is told once."""
    watch = FolderWatch(folders[0], SecretFiles(folders[1]))
    assert not watch.secrets_changed()
    how(folders[1] / "TOKEN")
    assert watch.secrets_changed()
    assert not watch.secrets_changed()


def test_secret_elsewhere(folders: tuple[Path, Path], tmp_path: Path) -> None:
    """A secret outside the folder is watched once it has been asked for, even before it is there."""
    secrets = SecretFiles(folders[1])
    other = tmp_path / "other"
    assert secrets(str(other)) is None
    watch = FolderWatch(folders[0], secrets)
    assert not watch.secrets_changed()
    other.write_text("x")
    assert watch.secrets_changed()
    change(other)
    assert watch.secrets_changed()


def test_no_folders(tmp_path: Path) -> None:
    """Folders that are not there are a state like any other: they are noticed when they come."""
    watch = FolderWatch(tmp_path / "book", SecretFiles(tmp_path / "secrets"))
    accepted(watch)
    assert not watch.secrets_changed()
    (tmp_path / "secrets").mkdir()
    (tmp_path / "secrets" / "TOKEN").write_text("t")
    assert watch.secrets_changed()
