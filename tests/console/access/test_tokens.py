import pytest

from console.access import Actor, NameTaken, Role, Tokens
from mailroom import Mailroom, StoreUnavailable
from tests.conftest import PrivateValkey

pytestmark = pytest.mark.anyio


async def test_find(mailroom: Mailroom) -> None:
    """A token opens what it was made for until it is removed, and stands nowhere in the store."""
    tokens = Tokens(mailroom)
    token = await tokens.add("nightly", Role.OPERATOR)
    other = await tokens.add("prometheus", Role.VIEWER)
    with pytest.raises(NameTaken):
        await tokens.add("nightly", Role.ADMIN)
    assert await tokens.find(token) == Actor("nightly", Role.OPERATOR)
    assert await tokens.find(token + "x") is None
    assert await tokens.find("relais_") is None
    assert [(each.name, each.last_used > 0) for each in await tokens.all()] == [
        ("nightly", True),
        ("prometheus", False),
    ]
    assert token not in str(await mailroom.store.hgetall(mailroom.key("tokens")))
    assert await tokens.remove("nightly")
    assert not await tokens.remove("nightly")
    assert await tokens.find(token) is None
    assert await Tokens(mailroom).find(other) == Actor("prometheus", Role.VIEWER)


async def test_store_away(valkey: PrivateValkey) -> None:
    """While the store is away, a token is known that was used before: monitoring must see that it is."""
    async with await Mailroom.open(valkey.url) as mailroom:
        tokens = Tokens(mailroom)
        used, unused = await tokens.add("used", Role.VIEWER), await tokens.add("unused", Role.VIEWER)
        await tokens.find(used)
        valkey.stop()
        assert await tokens.find(used) == Actor("used", Role.VIEWER)
        with pytest.raises(StoreUnavailable):
            await tokens.find(unused)
