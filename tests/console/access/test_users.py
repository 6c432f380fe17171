import pytest

from console.access import NameTaken, Role, Users
from mailroom import Mailroom

pytestmark = pytest.mark.anyio


async def test_add(mailroom: Mailroom) -> None:
    """A person is added once, under a name that can stand everywhere; another role counts at once."""
    users = Users(mailroom)
    await users.add("eva", Role.OPERATOR)
    with pytest.raises(NameTaken):
        await users.add("eva", Role.ADMIN)
    for name in ("", "Eva", "e va", "-eva", "e" * 61, "eva\n"):
        with pytest.raises(ValueError, match="is no name"):
            await users.add(name, Role.VIEWER)
    await users.add("max@example.org", Role.VIEWER, payloads=True)
    assert [(user.name, user.role, user.payloads, user.phrase) for user in await users.all()] == [
        ("eva", Role.OPERATOR, False, ""),
        ("max@example.org", Role.VIEWER, True, ""),
    ]
    assert await users.change("eva", Role.RULES)
    assert not await users.change("eva", Role.RULES)
    assert not await users.change("nobody", Role.RULES)
    found = await users.find("eva")
    assert found is not None
    assert found.role is Role.RULES


async def test_remove(mailroom: Mailroom) -> None:
    """Who was removed is there no more."""
    users = Users(mailroom)
    await users.add("eva", Role.OPERATOR)
    assert await users.remove("eva")
    assert not await users.remove("eva")
    assert await users.find("eva") is None
