import os
from pathlib import Path

import pytest

from rules.compiler import loader
from rules.compiler.reload import QUIET, BookReload
from rules.errors import BookRefused
from rules.rulebook import Rulebook
from rules.secret import SecretFiles
from tests.rules.catalogue import CATALOGUE

SOURCE = "  {}:\n    kind: cmxorganize\n    verify:\n      none: only a test posts here\n"
RULE = """\
  - name: {}
    when:
      type: contact.changed
    then:
      - crm.upsert_contact:
          email: e@example.org
"""
DESTINATION = "  {}:\n    kind: rest\n    base: https://crm.example.org\n    auth:\n      bearer: ${{TOKEN}}\n"


def write(
    folder: Path, rules: str = "abcd", sources: str = "st", destinations: tuple[str, ...] = ("crm", "other")
) -> None:
    """Write a book with things of these names."""
    text = "sources:\n" + "".join(SOURCE.format(name) for name in sources)
    text += "destinations:\n" + "".join(DESTINATION.format(name) for name in destinations)
    text += "rules:\n" * bool(rules) + "".join(RULE.format(name) for name in rules)
    (folder / "a.yaml").write_text(text)


class WatchedFolder:
    """A folder, its book in force and a clock that stands still."""

    def __init__(self, folder: Path, *, approve_all: bool = False) -> None:
        self.folder = folder
        self.now = 0.0
        self.reload = BookReload(folder, CATALOGUE, SecretFiles(None), approve_all=approve_all, clock=lambda: self.now)
        write(folder)
        self.current: Rulebook | None = None
        assert self.look() is not None

    def look(self, approved: str = "") -> str | None:
        """Look twice and take what may be taken; return what was lost, None where nothing was taken."""
        for _ in range(2):
            change = self.reload.look(self.current, approved)
            if change is not None:
                self.current = change.book
                self.reload.accept(change.book.version)
                return str(change.losses)
        return None


@pytest.fixture
def watched(tmp_path: Path) -> WatchedFolder:
    return WatchedFolder(tmp_path)


def test_o3_replaced_by_an_equal_file(watched: WatchedFolder) -> None:
    """Another file of the same size and time, in the place of the book's, is taken: content counts."""
    file = watched.folder / "a.yaml"
    times = (file.stat().st_atime_ns, file.stat().st_mtime_ns)
    other = watched.folder / ".other"
    other.write_text(file.read_text().replace("e@example.org", "f@example.org"))
    os.utime(other, ns=times)
    other.replace(file)
    before = watched.current
    assert watched.look() == ""
    assert watched.current is not None
    assert watched.current is not before
    assert watched.current.version == loader.fingerprint(watched.folder)


def test_nothing_is_lost(watched: WatchedFolder) -> None:
    """A book that only gains counts at once."""
    write(watched.folder, rules="abcde")
    assert watched.look() == ""
    assert watched.reload.pending is None


def test_a_few_rules_go(watched: WatchedFolder) -> None:
    """A book that loses at most half of its rules counts once it has stood still for a quiet time."""
    write(watched.folder, rules="ab")
    assert watched.look() is None
    assert str(watched.reload.pending).endswith("would lose rules c, d; counts after 30 quiet seconds")
    watched.now = QUIET - 1
    assert watched.look() is None
    watched.now = QUIET
    assert watched.look() == "rules c, d"
    assert watched.reload.pending is None


def test_quiet_time_begins_anew(watched: WatchedFolder) -> None:
    """Files that change within their quiet time are waited for anew."""
    write(watched.folder, rules="abc")
    assert watched.look() is None
    watched.now = QUIET - 1
    write(watched.folder, rules="ab")
    assert watched.look() is None
    watched.now = QUIET + 1
    assert watched.look() is None
    watched.now = 2 * QUIET
    assert watched.look() == "rules c, d"


def test_o6_emptied_and_mended(watched: WatchedFolder) -> None:
    """A file that was emptied and is put back is no change at all."""
    whole = (watched.folder / "a.yaml").read_text()
    before = watched.current
    (watched.folder / "a.yaml").write_text("")
    assert watched.look() is None
    assert watched.reload.pending is not None
    (watched.folder / "a.yaml").write_text(whole)
    assert watched.look() is None
    assert watched.reload.pending is None
    watched.now = 10 * QUIET
    assert watched.look() is None
    assert watched.current is before


@pytest.mark.parametrize(
    ("change", "lost"),
    [
        ({"rules": "a"}, "rules b, c, d"),
        ({"rules": ""}, "rules a, b, c, d"),
        ({"sources": "s"}, "source t"),
        ({"destinations": ("crm",)}, "destination other"),
        ({"rules": "abc", "sources": "s"}, "rule d; source t"),
    ],
)
def test_needs_approval(watched: WatchedFolder, change: dict[str, str], lost: str) -> None:
    """A book that loses most of its rules, a source or a destination counts when a person has approved these files."""
    write(watched.folder, **change)  # type: ignore[arg-type]
    assert watched.look() is None
    watched.now = 100 * QUIET
    assert watched.look("another") is None
    assert watched.reload.pending is not None
    assert watched.reload.pending.needs_approval
    approved = loader.fingerprint(watched.folder)
    write(watched.folder, rules="z")
    assert watched.look(approved) is None
    write(watched.folder, **change)  # type: ignore[arg-type]
    assert watched.look(approved) == lost


def test_every_change_needs_approval(tmp_path: Path) -> None:
    """Where all changes are to be approved, one that loses nothing waits as well; the first book does not."""
    watched = WatchedFolder(tmp_path, approve_all=True)
    write(watched.folder, rules="abcde")
    assert watched.look() is None
    assert str(watched.reload.pending).endswith("loses nothing; waits for: relais rules approve")
    assert watched.look(loader.fingerprint(tmp_path)) == ""


def test_o12_moved_rule(watched: WatchedFolder) -> None:
    """A rule that moves to another file in two writes is never lost in between."""
    write(watched.folder, rules="abc")
    assert watched.reload.look(watched.current) is None
    (watched.folder / "b.yaml").write_text("rules:\n" + RULE.format("d"))
    assert watched.look() == ""
    assert watched.current is not None
    assert [rule.name for rule in watched.current.rules] == ["a", "b", "c", "d"]


def test_bad_files(watched: WatchedFolder) -> None:
    """Bad files are told once and change nothing; mended ones count."""
    before = watched.current
    (watched.folder / "a.yaml").write_text("rules: {")
    with pytest.raises(BookRefused):
        watched.look()
    assert watched.reload.refused is not None
    assert watched.look() is None
    write(watched.folder, rules="abcde")
    assert watched.look() == ""
    assert watched.reload.refused is None
    assert watched.current is not before


def test_not_accepted(watched: WatchedFolder) -> None:
    """A book that nobody could put in force is returned again."""
    write(watched.folder, rules="abcde")
    assert watched.reload.look(watched.current) is None
    first = watched.reload.look(watched.current)
    assert first is not None
    assert watched.reload.look(watched.current) == first
