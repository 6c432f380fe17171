"""A running console on a store of its own, and ways to ask it.

Comes in: an address of a store. Goes out: what the console answers. Never
stops it: the fixture `start` does.
"""

import asyncio
import json
from collections.abc import Callable, Coroutine, Mapping
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from prometheus_client.parser import text_string_to_metric_families

from console.client import ClientSettings, ConsoleClient
from console.processes import port
from mailroom import Mailroom
from rules.event import Event
from tests.conftest import PrivateValkey
from tests.console.conftest import Start

#: When events of these tests were received: a few days ago, so that the ledger tells of them whenever the tests run.
DAY = f"{datetime.now(UTC) - timedelta(days=9):%Y-%m-%d}"


def event(name: str, type: str = "order.paid", second: int = 0) -> Event:
    return Event(
        id=name,
        source="shop",
        kind="generic",
        type=type,
        received_at=f"{DAY}T10:{second // 60:02}:{second % 60:02}.000Z",
        body=b'{"email": "eva@example.org"}',
        order_key="email:eva@example.org",
        sender_id=name,
    )


def with_mailroom(valkey: PrivateValkey, do: Callable[[Mailroom], Coroutine[Any, Any, None]]) -> None:
    async def run() -> None:
        async with await Mailroom.open(valkey.url) as mailroom:
            await do(mailroom)

    asyncio.run(run())


def begin(start: Start, store: str, **environ: str) -> str:
    number = port.free("127.0.0.1")
    process = start("console", "--port", str(number), REDIS_URL=store, **environ)
    client = ConsoleClient(ClientSettings(console_url=f"http://127.0.0.1:{number}"))
    process.wait_healthy(client.url)
    return client.url


def asked(url: str, path: str, token: str = "") -> Any:
    return ConsoleClient(ClientSettings(console_url=url, console_token=token)).get(path)


def samples(console: str) -> Mapping[str, float]:
    import urllib.request

    with urllib.request.urlopen(f"{console}/metrics") as answer:  # noqa: S310 - our own address
        text = answer.read().decode()
    found = {}
    for family in text_string_to_metric_families(text):
        for sample in family.samples:
            labels = ",".join(f'{name}="{value}"' for name, value in sorted(sample.labels.items()))
            found[sample.name + (f"{{{labels}}}" if labels else "")] = sample.value
    return found


def ready(url: str) -> Any:
    import urllib.error
    import urllib.request

    with pytest.raises(urllib.error.HTTPError, match="503") as refused:
        urllib.request.urlopen(f"{url}/readyz")  # noqa: S310 - our own address
    with refused.value as answer:
        return json.loads(answer.read())
