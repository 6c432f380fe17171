import asyncio
from collections.abc import Mapping

import pytest

from mailroom import RefusedDetails, StoreUnavailable
from receiver.refused_requests import BODY_KEEPS, MOST_WAITING, RefusedRequests, hide_secrets
from tests.conftest import wait_until_async


class FakeRefusedStore:
    """Remembers what is kept; fails when told."""

    def __init__(self) -> None:
        self.kept: list[tuple[str, bytes]] = []
        self.away = False

    async def refused(
        self, *, reason: str, source: str, headers: Mapping[str, str], body: bytes, more: RefusedDetails
    ) -> None:
        if self.away:
            raise StoreUnavailable("away")
        self.kept.append((reason, body))


def test_secrets_are_hidden() -> None:
    """Headers that hold secrets, by the source's word or by their name, are not stored."""
    headers = [
        (b"x-house", b"agreed"),
        (b"authorization", b"Basic abc"),
        (b"cookie", b"abc"),
        (b"x-api-key", b"abc"),
        (b"x-hub-signature-256", b"abc"),
        (b"content-type", b"application/json"),
        (b"x-odd", b"\xff"),
    ]
    told = hide_secrets(headers, frozenset({"x-house"}))
    assert {name for name, value in told.items() if value == "***"} == {
        "x-house",
        "authorization",
        "cookie",
        "x-api-key",
        "x-hub-signature-256",
    }
    assert told["content-type"] == "application/json"


def test_strangers_do_not_fill_the_store() -> None:
    """What comes faster than it may be written is dropped and counted; a body is kept in its beginning only."""

    async def run() -> None:
        room = FakeRefusedStore()
        inspection = RefusedRequests(room)
        for _ in range(MOST_WAITING + 7):
            inspection.keep("bad_json", "at", {}, b"x" * (BODY_KEEPS + 1))
        assert inspection.dropped == 7
        carrying = asyncio.create_task(inspection.carry())

        async def carried() -> bool:
            return len(room.kept) >= 2

        await wait_until_async(carried, "two are kept")
        carrying.cancel()
        assert room.kept[0] == ("bad_json", b"x" * BODY_KEEPS)

    asyncio.run(run())


def test_store_away() -> None:
    """When the store is away the inspection goes on with what comes later."""

    async def run() -> None:
        room = FakeRefusedStore()
        room.away = True
        inspection = RefusedRequests(room)
        inspection.keep("bad_json", "at", {}, b"first")
        carrying = asyncio.create_task(inspection.carry())

        async def dropped() -> bool:
            return inspection.dropped == 1

        await wait_until_async(dropped, "the first one is dropped")
        room.away = False
        inspection.keep("bad_json", "at", {}, b"second")

        async def kept() -> bool:
            return room.kept == [("bad_json", b"second")]

        await wait_until_async(kept, "the second one is kept")
        carrying.cancel()

    asyncio.run(run())


@pytest.mark.parametrize(
    ("name", "value", "told"),
    [
        ("referer", "https://eva:pw@shop.example.org/a?token=abc#x", "https://***@shop.example.org/a?***"),
        ("x-original-url", "/in/at?email=eva@example.org", "/in/at?***"),
        ("from", "Eva <eva@example.org>", "Eva <***>"),
        ("x-info", "user eva%40example.org", "user ***"),
        ("x-info", "Bearer abc", "Bearer ***"),
        ("x-info", "a=1; api_key=abc; b=2", "a=1; api_key=***; b=2"),
        ("x-info", "sk_live_4eC39HqLyjWDarjtT1zdp7dc", "***"),
        ("x-info", "3f2504e0-4f89-11d3-9a0c-0305e82c3301", "***"),
        ("x-info", "contact.updated", "contact.updated"),
        ("x-credential", "abc", "***"),
        ("content-type", "multipart/form-data; boundary=----WebKitFormBoundary7MA4YWxkTrZu0gW", None),
        ("user-agent", "Mozilla/5.0 (X11; Linux x86_64)", None),
        ("x-forwarded-for", "198.51.100.7", None),
    ],
)
def test_what_looks_like_a_secret(name: str, value: str, told: str | None) -> None:
    """Queries, addresses and what looks like a credential are not stored, in whatever header; what helps is."""
    assert hide_secrets([(name.encode(), value.encode())], frozenset())[name] == (value if told is None else told)
