import pytest

from console.access import Role


def test_order() -> None:
    """A role may all that those before it may, and nothing more."""
    assert [role.word for role in Role] == ["viewer", "operator", "rules", "admin"]
    for role in Role:
        assert [role.may(other) for other in Role] == [other <= role for other in Role]


def test_words() -> None:
    """A role is written as its word; another word is refused with those that there are."""
    assert [Role.read(role.word) for role in Role] == list(Role)
    with pytest.raises(ValueError, match="'root' is no role: viewer, operator, rules, admin"):
        Role.read("root")
