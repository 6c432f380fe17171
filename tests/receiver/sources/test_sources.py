import json

import pytest

from receiver import sources
from rules import event_types
from tests.receiver import fixtures


@pytest.mark.parametrize("name", fixtures.NAMES)
def test_every_recorded_body_is_read(name: str) -> None:
    """A recorded body fits its model unless its name says otherwise, and its data is plain JSON in our spelling."""
    kind = name.partition("/")[0]
    batch = fixtures.unpacked(name)
    taken = [item for item in batch.items if item.type is not None]
    assert taken
    assert any(item.invalid for item in taken) == (name in fixtures.UNFIT)
    for item in taken:
        assert item.type is not None
        if item.invalid is not None:
            continue
        data = sources.read(kind, item.type, item.body)
        assert json.loads(json.dumps(data)) == data
        assert all(key == key.lower() for key in data)
        assert item.order_key in item.identities


@pytest.mark.parametrize("name", [name for name in fixtures.NAMES if name.endswith(".json")])
def test_bytes_are_kept(name: str) -> None:
    """An item's body is a piece of the request, byte by byte, and JSON of its own."""
    whole = (fixtures.FOLDER / name).read_bytes()
    for item in fixtures.unpacked(name).items:
        assert item.body in whole
        assert isinstance(json.loads(item.body), dict)


def test_all_types_have_recorded_bodies() -> None:
    """Each event that a platform can send is in the recorded bodies."""
    seen = {item.type for name in fixtures.NAMES for item in fixtures.unpacked(name).items}
    for source in sources.SOURCES.values():
        assert source.kind.types <= seen


def test_types_have_models() -> None:
    """Each type that a kind names has a model, so that rules can be checked against it."""
    for source in sources.SOURCES.values():
        assert source.kind.types <= event_types.TYPES.keys()


@pytest.mark.parametrize("name", fixtures.UNFIT)
def test_unfit_is_said_by_read(name: str) -> None:
    """What was quarantined is refused by `read` too, with the field and without its value."""
    kind = name.partition("/")[0]
    for item in fixtures.unpacked(name).items:
        if item.invalid is not None and item.type is not None and item.type in event_types.TYPES:
            with pytest.raises(ValueError, match=r".") as caught:
                sources.read(kind, item.type, item.body)
            assert str(caught.value) == str(item.invalid)


def test_unknown_kind() -> None:
    """A kind that a newer version knows is a ValueError that names it."""
    with pytest.raises(ValueError, match="named newer"):
        sources.read("newer", "contact.changed", b"{}")
