"""Deciding about many stuck things: choosing, asking, doing it at a pace, telling. The console is a stand-in."""

import json
import time
from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Any, cast

import click
import pytest

from console import bulk
from console.bulk import BulkWork, Until
from console.client import ConsoleClient

GROUPS = [
    {
        "destination": "crm",
        "code": "invalid",
        "rule": "keep a note",
        "count": 3,
        "oldest": "2026-11-21T10:00:00.000Z",
        "newest": "2026-11-21T10:00:00.000Z",
        "sample": "a.0",
    }
]
NOBODY = cast("ConsoleClient", None)


class StubConsole:
    """Answers what it was told to, item by item, and remembers what it was asked."""

    def __init__(self, **words: Sequence[str]) -> None:
        self.words = {item: list(said) for item, said in words.items()}
        self.asked: list[list[str]] = []

    def __call__(self, items: Sequence[Any]) -> Any:
        self.asked.append([str(item) for item in items])
        return {"results": [[item, self.words[item].pop(0) if item in self.words else "done"] for item in items]}


def work(console: StubConsole, items: Sequence[str], rate: float = 0.0) -> BulkWork:
    return BulkWork("would be retried", console, str, items, GROUPS, rate=rate)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("2026-11-21", datetime(2026, 11, 21, tzinfo=UTC)),
        ("2026-11-21T10:00", datetime(2026, 11, 21, 10, tzinfo=UTC)),
        ("2026-11-21T10:00+02:00", datetime(2026, 11, 21, 8, tzinfo=UTC)),
    ],
)
def test_since(text: str, expected: datetime) -> None:
    """A time is in UTC where nothing else is said."""
    assert bulk.Since().convert(text, None, None) == int(expected.timestamp() * 1000)


@pytest.mark.parametrize(("text", "seconds"), [("30s", 30), ("5m", 300), ("2h", 7200), ("3d", 259_200)])
def test_since_ago(text: str, seconds: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """A span is counted back from now."""
    monkeypatch.setattr(time, "time", lambda: 1_000_000.0)
    assert bulk.Since().convert(text, None, None) == (1_000_000 - seconds) * 1000


def test_query() -> None:
    """What was not chosen is left out of the question."""
    assert (
        bulk.query({"destination": "crm", "rule": "", "since": 0}, ids="a,b", items="") == "destination=crm&ids=a%2Cb"
    )


def test_batches() -> None:
    """Without a rate a hundred go in one request."""
    console = StubConsole()
    one = work(console, [str(n) for n in range(250)])
    bulk.carry_out(one, NOBODY, yes=True, as_json=True)
    assert [len(batch) for batch in console.asked] == [100, 100, 50]
    assert [item for item, _ in one.results] == [str(n) for n in range(250)]


@pytest.mark.parametrize(("rate", "size"), [(1.0, 1), (9.0, 1), (50.0, 5), (10_000.0, 100)])
def test_pace(rate: float, size: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """At a rate a tenth of a second's worth goes in one request, and the next waits for its turn."""
    clock = [100.0]
    naps: list[float] = []

    def sleep(seconds: float) -> None:
        naps.append(seconds)
        clock[0] += seconds

    monkeypatch.setattr(time, "monotonic", lambda: clock[0])
    monkeypatch.setattr(time, "sleep", sleep)
    console = StubConsole()
    bulk.carry_out(work(console, [str(n) for n in range(3 * size)], rate), NOBODY, yes=True, as_json=True)
    assert [len(batch) for batch in console.asked] == [size] * 3
    assert naps == pytest.approx([0.0, size / rate, size / rate])


def test_busy(monkeypatch: pytest.MonkeyPatch) -> None:
    """What a drain has in hand is asked for again, that alone, half a second later, ten times at the most."""
    naps: list[float] = []
    monkeypatch.setattr(time, "sleep", naps.append)
    console = StubConsole(a=["busy", "busy", "done"], b=["busy"] * 10)
    one = work(console, ["a", "b", "c"])
    with pytest.raises(SystemExit) as ended:
        bulk.carry_out(one, NOBODY, yes=True, as_json=True)
    assert ended.value.code == 1
    assert console.asked == [["a", "b", "c"], ["a", "b"], ["a", "b"], *[["b"]] * 7]
    assert naps[:2] == [0.5, 0.5]
    assert dict(one.results) == {"a": "done", "b": "busy", "c": "done"}


def test_told(capsys: pytest.CaptureFixture[str]) -> None:
    """How each ended is told in words, what was left alone by name, the first ten of it."""
    console = StubConsole(**{f"x{n}": ["overtaken"] for n in range(12)})
    with pytest.raises(SystemExit) as ended:
        bulk.carry_out(work(console, [*(f"x{n}" for n in range(12)), "a"]), NOBODY, yes=True, as_json=False)
    said = capsys.readouterr().out.splitlines()
    assert ended.value.code == 1
    assert (
        "12 left alone: something newer was sent to the same object, or waits for it; --even-if-older insists" in said
    )
    assert "1 done" in said
    assert [line for line in said if line.startswith("  x")] == [f"  x{n}  overtaken" for n in range(10)]
    assert said[-1] == "  and 2 more; --json names all"


@pytest.mark.parametrize("count", [1, 10])
def test_told_without_more(count: int, capsys: pytest.CaptureFixture[str]) -> None:
    """Where all are named, none is said to be left out."""
    console = StubConsole(**{f"x{n}": ["gone"] for n in range(count)})
    with pytest.raises(SystemExit):
        bulk.carry_out(work(console, [f"x{n}" for n in range(count)]), NOBODY, yes=True, as_json=False)
    assert capsys.readouterr().out.splitlines()[-1] == f"  x{count - 1}  gone"


def test_as_json(capsys: pytest.CaptureFixture[str]) -> None:
    """As JSON each that was left alone is named with its word; all done is status 0."""
    bulk.carry_out(work(StubConsole(), ["a", "b"]), NOBODY, yes=True, as_json=True)
    assert json.loads(capsys.readouterr().out) == {"count": 2, "results": {"done": 2}, "refused": []}
    with pytest.raises(SystemExit):
        bulk.carry_out(work(StubConsole(a=["gone"]), ["a", "b"]), NOBODY, yes=True, as_json=True)
    told = json.loads(capsys.readouterr().out)
    assert told == {"count": 2, "results": {"gone": 1, "done": 1}, "refused": [{"id": "a", "why": "gone"}]}


def test_nothing_to_do(capsys: pytest.CaptureFixture[str]) -> None:
    """Where nothing fits, nothing is asked of the console."""
    console = StubConsole()
    bulk.carry_out(work(console, []), NOBODY, yes=True, as_json=True)
    assert json.loads(capsys.readouterr().out) == {"count": 0, "results": {}}
    assert console.asked == []


def test_asks(monkeypatch: pytest.MonkeyPatch) -> None:
    """At a terminal nothing is done before somebody has said yes; with --json nobody is asked, and nothing is done."""
    console = StubConsole()
    monkeypatch.setattr(bulk, "at_a_terminal", lambda: True)
    monkeypatch.setattr(click, "confirm", lambda question: question == "1 dead letters would be retried. Go on?")
    with pytest.raises(SystemExit):
        bulk.carry_out(work(console, ["a"]), NOBODY, yes=False, as_json=True)
    assert console.asked == []
    bulk.carry_out(work(console, ["a"]), NOBODY, yes=False, as_json=False)
    assert console.asked == [["a"]]
    monkeypatch.setattr(click, "confirm", lambda question: False)
    with pytest.raises(SystemExit):
        bulk.carry_out(work(console, ["b"]), NOBODY, yes=False, as_json=False)
    assert console.asked == [["a"]]


def test_until() -> None:
    """An hour of this clock is the next one; a while counts from now; what is over is refused."""
    at = datetime.fromtimestamp(Until().convert("18:00", None, None) / 1000)
    assert (at.hour, at.minute) == (18, 0)
    assert 0 < at.timestamp() - time.time() <= 86_400 + 3_600
    assert abs(Until().convert("2h", None, None) / 1000 - time.time() - 7_200) < 60
    assert Until().convert(5, None, None) == 5
    for wrong in ("2020-01-01", "25:00", "soon"):
        with pytest.raises(click.BadParameter):
            Until().convert(wrong, None, None)
