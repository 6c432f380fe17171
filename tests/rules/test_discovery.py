import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from rules import discovery, event_types


@pytest.fixture
def folder(tmp_path: Path) -> Iterator[Path]:
    """A folder for modules; what was imported from it is forgotten at the end."""
    before = set(sys.modules)
    yield tmp_path
    for name in set(sys.modules) - before:
        del sys.modules[name]


def write(folder: Path, **modules: str) -> None:
    """Write modules: name = text."""
    for name, text in modules.items():
        (folder / f"{name}.py").write_text(text)


def test_in_the_order_of_names(folder: Path) -> None:
    """What the modules declare comes in the order of their names; `base`, helpers and underscores are not imported."""
    boom = "raise RuntimeError('imported')"
    write(folder, zoe="WORD = 'z'", anna="WORD = 'a'", mona="WORD = 'm'", base=boom, _draft=boom, shared=boom)
    assert discovery.discover("toys", [str(folder)], "WORD", str, helpers=("shared",)) == ["a", "m", "z"]


def test_further_folders(folder: Path) -> None:
    """Further folders come after the first one, and a module is imported once."""
    (folder / "more").mkdir()
    write(folder, zoe="WORD = []")
    write(folder / "more", anna="WORD = []")
    folders = [str(folder), str(folder / "more")]
    first, again = (discovery.discover("toys", folders, "WORD", list) for _ in range(2))
    assert len(first) == 2
    assert [id(each) for each in first] == [id(each) for each in again]
    assert sys.modules["toys.zoe"].WORD is first[0]


@pytest.mark.parametrize("text", ["WORDS = 'a'", "WORD = 7", ""])
def test_nothing_declared(text: str, folder: Path) -> None:
    """A module that declares nothing, or something else, is an error that names it."""
    write(folder, anna="WORD = 'a'", odd=text)
    with pytest.raises(ImportError, match=r"toys\.odd in .* must bind WORD to a str"):
        discovery.discover("toys", [str(folder)], "WORD", str)


def test_an_import_that_fails(folder: Path) -> None:
    """What a module raises comes out as it is, also when it is asked for again."""
    write(folder, broken="import no_such_module")
    for _ in range(2):
        with pytest.raises(ModuleNotFoundError, match="no_such_module"):
            discovery.discover("toys", [str(folder)], "WORD", str)


def test_two_of_one_name(folder: Path) -> None:
    """Two modules of one name in two folders are an error: the second one would never be looked at."""
    (folder / "more").mkdir()
    write(folder, anna="WORD = 'a'")
    write(folder / "more", anna="WORD = 'b'")
    with pytest.raises(ImportError, match="two modules named anna"):
        discovery.discover("toys", [str(folder), str(folder / "more")], "WORD", str)


def test_event_types(folder: Path) -> None:
    """A further folder's event types are found beside ours; a type that is declared twice is an error."""
    text = "from rules.event_types.base import EventData\nclass Parcel(EventData):\n    pass\nTYPES = {TYPE: Parcel}\n"
    write(folder, parcel=text.replace("TYPE:", "'parcel.sent':"))
    found = event_types.find(str(folder))
    assert found.keys() - event_types.TYPES.keys() == {"parcel.sent"}
    assert found.keys() >= event_types.TYPES.keys()
    write(folder, second=text.replace("TYPE:", "'call.missed':"))
    with pytest.raises(ImportError, match=r"declare call\.missed"):
        event_types.find(str(folder))
