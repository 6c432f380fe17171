"""The id map of a destination: names in clear come in, hashes and the vendor's ids are kept."""

import pytest

from mailroom import Mailroom
from tests.conftest import PrivateValkey
from workers.destinations.id_map import RedisMemory

pytestmark = pytest.mark.anyio

EVA, NUMBER = "email:eva@example.org", "external_id:4711"


async def test_names(site_valkey: PrivateValkey) -> None:
    """An object is found by each of its names until one is taken from it, or all are forgotten."""
    async with await Mailroom.open(site_valkey.url, hash_key=b"k" * 32) as room:
        await room.store.flushall()
        await room.prepare()
        memory = RedisMemory(room, "crm")
        await memory.learn([EVA, NUMBER], "contact", "c/1 ü")
        assert await memory.ids([EVA, NUMBER, "email:ole@example.org"]) == {EVA: ("c/1 ü", 0), NUMBER: ("c/1 ü", 0)}
        assert not [key for key in await room.store.keys("*") if b"eva" in key]
        await memory.learn(["email:eva@example.com"], "contact", "c/1 ü", gone=[EVA])
        assert set(await memory.ids([EVA, NUMBER])) == {NUMBER}
        await memory.forget_names([NUMBER])
        assert await memory.ids([EVA, NUMBER, "email:eva@example.com"]) == {}
