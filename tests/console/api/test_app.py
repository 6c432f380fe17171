import asyncio
import contextlib
import json
import signal
from collections.abc import Callable, Coroutine, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner
from prometheus_client.parser import text_string_to_metric_families

from console import cli
from console.api import auth, metrics
from console.client import ClientSettings, ConsoleClient
from console.errors import UserError
from console.processes import port
from mailroom import Mailroom
from receiver.spool import Spool
from rules.event import Event
from tests.conftest import GENEROUS, PrivateValkey, wait_until_async
from tests.console.conftest import Start


def event(name: str, type: str = "order.paid") -> Event:
    return Event(
        id=name,
        source="shop",
        kind="generic",
        type=type,
        received_at="2026-11-21T10:00:00.000Z",
        body=b'{"email": "eva@example.org"}',
        order_key="email:eva@example.org",
        sender_id=name,
    )


def with_mailroom(valkey: PrivateValkey, do: Callable[[Mailroom], Coroutine[Any, Any, None]]) -> None:
    async def run() -> None:
        async with await Mailroom.open(valkey.url) as mailroom:
            await do(mailroom)

    asyncio.run(run())


@pytest.fixture
def console(start: Start, valkey: PrivateValkey) -> str:
    """A running console on a store of its own; its address."""
    return begin(start, valkey.url)


def begin(start: Start, store: str, **environ: str) -> str:
    number = port.free("127.0.0.1")
    process = start("console", "--port", str(number), REDIS_URL=store, **environ)
    client = ConsoleClient(ClientSettings(console_url=f"http://127.0.0.1:{number}"))
    process.wait_healthy(client.url)
    return client.url


def asked(url: str, path: str, token: str = "") -> Any:
    return ConsoleClient(ClientSettings(console_url=url, console_token=token)).get(path)


def test_events(console: str, valkey: PrivateValkey) -> None:
    """Events come newest first in pages; one is told with its fate; none shows a value of a person."""

    async def put(mailroom: Mailroom) -> None:
        await mailroom.put([event("first"), event("second")])
        await mailroom.put([event("third")])

    with_mailroom(valkey, put)
    page = asked(console, "/events?limit=1")
    before = asked(console, f"/events?limit=1&before={page['next']}")
    # Events that were put together come together, in the order of their coming.
    assert [each["id"] for each in page["events"]] == ["third"]
    assert [each["id"] for each in before["events"]] == ["second", "first"]
    assert asked(console, "/events/first")["state"] == "waiting"
    assert "eva" not in json.dumps(page)


def test_wait(console: str, valkey: PrivateValkey) -> None:
    """A question with `wait` is answered when the event's fate is settled, or when the time is over."""

    async def put_and_quarantine(mailroom: Mailroom) -> None:
        await mailroom.put([event("open")])
        asking = asyncio.create_task(asyncio.to_thread(asked, console, "/events/settled?wait=20"))
        still = await asyncio.to_thread(asked, console, "/events/open?wait=0.1")
        await mailroom.quarantine([(event("settled"), "data.email: missing")])
        found = await asyncio.wait_for(asking, GENEROUS)
        assert (still["state"], still["settled"]) == ("waiting", False)
        assert (found["state"], found["settled"]) == ("quarantined", True)

    with_mailroom(valkey, put_and_quarantine)


REFUSED = {
    "/events?limit=0": "bad_limit",
    "/events?limit=many": "bad_limit",
    "/events?limit=nan": "bad_limit",
    "/events?before=yesterday": "bad_cursor",
    "/events/unknown": "unknown_event",
    "/events/unknown?wait=1000": "bad_wait",
    "/events/unknown?wait=-1": "bad_wait",
    "/books/unknown": "unknown_book",
}


def test_refused(console: str) -> None:
    """A question that cannot be answered has a code and a hint."""
    for path, code in REFUSED.items():
        with pytest.raises(UserError, match=rf"^{code}: .{{10}}"):
            asked(console, path)


def test_metrics(console: str, valkey: PrivateValkey) -> None:
    """The metrics are Prometheus text, and count what happened."""

    async def happen(mailroom: Mailroom) -> None:
        await mailroom.put([event("first"), event("second")])
        await mailroom.put([event("first")])
        await mailroom.refused(reason="wrong_signature", source="shop", headers={}, body=b"")

    with_mailroom(valkey, happen)
    found = samples(console)
    labels = 'source="shop",type="order.paid"'
    assert found[f"relais_events_received_total{{{labels}}}"] == 2
    assert found[f"relais_events_duplicate_total{{{labels}}}"] == 1
    assert found['relais_requests_refused_total{reason="wrong_signature"}'] == 1
    assert found['relais_room_boxes{room="in",state="ready"}'] == 1
    assert found["relais_undeclared_counters"] == 0


def test_metrics_of_the_spool(start: Start, tmp_path: Path) -> None:
    """What waits in the spool is told while the store is away, and nothing that nobody knows."""
    with contextlib.closing(Spool(tmp_path / "spool", 1 << 20)) as waiting:
        waiting.append([(event("first"), None), (event("second"), None), (event("third"), None)])
        waiting.set_aside(waiting.first(), "no", 5)
    found = dict(samples(begin(start, "redis://127.0.0.1:9", RELAIS_SPOOL=str(tmp_path / "spool"))))
    assert found.pop("relais_spool_bytes") > 4096
    assert found.pop("relais_spool_seconds") > 3600
    assert found == {"relais_store_up": 0, "relais_spool_events": 2, "relais_spool_aside_events": 1}


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


def test_undeclared() -> None:
    """A counter that the catalogue does not know, or with other labels, is said to be undeclared."""
    counts = {"received|shop|order.paid": 1, "received|shop": 1, "invented|x": 1}
    assert metrics.undeclared(counts) == ["received|shop", "invented|x"]
    assert b"relais_undeclared_counters 2.0" in metrics.write_text(metrics.Snapshot(counts))


def test_readyz(start: Start, valkey: PrivateValkey, book: Path) -> None:
    """Readiness says in words what is not there, and what an acknowledged event survives."""
    url = begin(start, valkey.url)
    found = ready(url)
    assert found["ready"] is False
    assert {check["name"]: check["ok"] for check in found["checks"]} == {
        "store": True,
        "kept": True,
        "noeviction": True,
        "persistence": True,
        "memory": True,
        "replicas": True,
        "disk": True,
        "spool": True,
        "drains": False,
        "book": True,
    }
    assert found["checks"][0]["says"] == "no drain is alive, so events wait"
    assert "acknowledged events survive a power cut" in json.dumps(found)


def test_readyz_without_a_store(start: Start, book: Path) -> None:
    """The console is there also when the store is away, and says so."""
    (book / "book.yaml").write_text("rules: [\n")
    url = begin(start, "redis://127.0.0.1:9")
    found = {check["name"]: check for check in ready(url)["checks"]}
    assert found["store"]["says"].startswith("the store does not answer")
    assert found["book"]["ok"] is False
    with pytest.raises(UserError, match=r"^store_away: "):
        asked(url, "/events")


def ready(url: str) -> Any:
    import urllib.error
    import urllib.request

    with pytest.raises(urllib.error.HTTPError, match="503") as refused:
        urllib.request.urlopen(f"{url}/readyz")  # noqa: S310 - our own address
    with refused.value as answer:
        return json.loads(answer.read())


def test_token(start: Start, valkey: PrivateValkey) -> None:
    """With a token nobody gets in without it; `/healthz` tells nothing and stays open."""
    url = begin(start, valkey.url, RELAIS_CONSOLE_TOKEN="swordfish")
    with pytest.raises(UserError, match="wants a token"):
        asked(url, "/events")
    assert asked(url, "/events", token="swordfish") == {"events": [], "next": None}


def test_rebinding(console: str) -> None:
    """Without a token a request under a foreign name is refused: a web page may have led its name to us."""
    import urllib.error
    import urllib.request

    request = urllib.request.Request(f"{console}/events", headers={"Host": "evil.example.org"})  # noqa: S310
    with pytest.raises(urllib.error.HTTPError) as refused:
        urllib.request.urlopen(request)  # noqa: S310
    with refused.value:
        assert refused.value.code == 400


@contextmanager
def environ(monkeypatch: pytest.MonkeyPatch, **values: str) -> Iterator[None]:
    with monkeypatch.context() as changed:
        for name, value in values.items():
            changed.setenv(name, value)
        yield


def test_commands(console: str, valkey: PrivateValkey, monkeypatch: pytest.MonkeyPatch) -> None:
    """`relais events list` and `show` print what the console says, as a table and as JSON."""

    async def put(mailroom: Mailroom) -> None:
        await mailroom.quarantine([(event("spoiled"), "data.email: missing")])
        await mailroom.put([event("first")])

    with_mailroom(valkey, put)
    with environ(monkeypatch, RELAIS_CONSOLE_URL=console):
        listed = CliRunner().invoke(cli.relais, ["events", "list"])
        shown = CliRunner().invoke(cli.relais, ["events", "show", "spoiled"])
        as_json = CliRunner().invoke(cli.relais, ["events", "show", "first", "--json"])
        unknown = CliRunner().invoke(cli.relais, ["events", "show", "nothing"])
    assert "first" in listed.output
    assert "order.paid" in listed.output
    assert "because data.email: missing" in shown.output
    assert json.loads(as_json.output)["id"] == "first"
    assert (unknown.exit_code, "unknown_event" in unknown.output) == (1, True)


def test_loopback() -> None:
    """Only what nobody else can reach counts as loopback."""
    addresses = ("127.0.0.1", "127.8.8.8", "::1", "localhost", "0.0.0.0", "::", "192.168.1.1", "example.org")  # noqa: S104
    assert [each for each in addresses if auth.is_loopback(each)] == ["127.0.0.1", "127.8.8.8", "::1", "localhost"]


def test_tail(start: Start, console: str, valkey: PrivateValkey) -> None:
    """`relais events tail` prints an event when it has come, and again when it has ended."""
    process = start("events", "tail", "--json", RELAIS_CONSOLE_URL=console)

    async def happen(mailroom: Mailroom) -> None:
        number = 0

        async def seen() -> bool:
            nonlocal number
            number += 1
            await mailroom.put([event(f"e{number}")])
            return bool(process.lines)

        await wait_until_async(seen, "the tail follows")

    with_mailroom(valkey, happen)
    assert json.loads(process.lines[0])["state"] == "waiting"
    assert process.stop(signal.SIGINT) == 0
