"""Deciding about many stuck things: choosing, asking, ordering a job, telling. The console is a real one."""

import time
from datetime import UTC, datetime

import click
import pytest
from click.testing import CliRunner

from console import bulk, cli
from console.bulk import Until
from tests.conftest import PrivateValkey, wait_until
from tests.console.api.conftest import relais
from tests.console.api.stuck_things import Stuck, StuckConsole, stuck

__all__ = ["relais"]


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


def test_since_today() -> None:
    """Today began at midnight of this machine's clock."""
    began = datetime.fromtimestamp(bulk.Since().convert("today", None, None) / 1000)
    assert (began.hour, began.minute, began.second) == (0, 0, 0)
    assert 0 <= (datetime.now() - began).total_seconds() < 90_000


def test_who() -> None:
    """An address is no hash: nothing is found by it, and it would stand in a URL."""
    for words in (["events", "list", "--who", "eva@example.org"], ["people", "show", "eva@example.org"]):
        refused = CliRunner().invoke(cli.relais, words)
        assert (refused.exit_code, "relais people find" in refused.output) == (2, True)


def test_query() -> None:
    """What was not chosen is left out of the question."""
    assert (
        bulk.query({"destination": "crm", "rule": "", "since": 0}, ids="a,b", items="") == "destination=crm&ids=a%2Cb"
    )


def test_order() -> None:
    """An order says what was chosen and how; what was not said is left out."""
    given = {"destination": "crm", "rule": "", "since": 0}
    assert bulk.write_order("retry", "dead", given, rate=5.0, reason="mended", today=True, even_if_older=False) == {
        "verb": "retry",
        "place": "dead",
        "filter": {"destination": "crm"},
        "how": {"today": True},
        "rate": 5.0,
        "reason": "mended",
    }


def drop(*, as_json: bool = False) -> None:
    order = bulk.write_order("drop", "dead", {}, reason="not needed")
    bulk.carry_out(order, "would be given up", yes=False, as_json=as_json)


def test_asked(relais: StuckConsole, valkey: PrivateValkey, monkeypatch: pytest.MonkeyPatch) -> None:
    """At a terminal above 20 their number is to be written, else a yes; nothing is done before, nor with --json."""
    stuck(valkey.url, lambda world: world.die(*(f"e{n}" for n in range(21))))
    # A test has no terminal: only the question whether there is one, and the answers, are not real.
    monkeypatch.setattr(bulk, "at_a_terminal", lambda: True)
    answers = ["y", "21"]
    monkeypatch.setattr(click, "prompt", lambda question, **_: answers.pop(0))
    for as_json in (True, False):
        with pytest.raises(SystemExit) as ended:
            drop(as_json=as_json)
        assert ended.value.code == 1
    assert relais.json("dead", "list", "--each")["total"] == 21
    drop()
    assert relais.json("dead", "list", "--each")["total"] == 0
    (job,) = relais.json("jobs", "list")
    assert (job["verb"], job["words"], job["reason"]) == ("drop", {"done": 21}, "not needed")


def test_left_alone(relais: StuckConsole, valkey: PrivateValkey) -> None:
    """What was left alone is told in words and by name, the first ten of it; the status says that not all was done."""

    async def prepare(world: Stuck) -> None:
        await world.die(*(f"e{n:02}" for n in range(12)))
        await world.put("newer")
        await world.end("done")

    stuck(valkey.url, prepare)
    said = relais("dead", "retry", "--yes", status=1).splitlines()
    assert (
        said.count(
            "12 left alone: something newer was sent to the same object, or waits for it; --even-if-older insists"
        )
        == 2  # before it is done, and after
    )
    assert [line for line in said if line.startswith("  e")] == [f"  e{n:02}.0  overtaken" for n in range(10)]
    assert said[-1] == "  and 2 more; --json names them"


def test_interrupted(relais: StuckConsole, valkey: PrivateValkey, monkeypatch: pytest.MonkeyPatch) -> None:
    """Who stops looking does not stop the job, and is told so."""
    stuck(valkey.url, lambda world: world.die("a", "b"))

    def interrupt(seconds: float) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(time, "sleep", interrupt)
        said = relais("dead", "drop", "--yes", status=1)
    (job,) = relais.json("jobs", "list")
    assert f"{job['id']} goes on without you" in said
    wait_until(lambda: relais.json("jobs", "show", job["id"])["words"] == {"done": 2}, "the job has ended")


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


def test_a_hash_that_begins_with_a_dash_is_no_option() -> None:
    """One of 64 hashes does; it is taken as it is said, and what is mistyped is still told."""

    @click.command(cls=bulk.HashCommand)
    @click.argument("who", type=bulk.Who())
    @click.option("--json", "as_json", is_flag=True)
    def show(who: str, as_json: bool) -> None:
        click.echo(f"{who} {as_json}")

    runner = CliRunner()
    assert runner.invoke(show, ["-gs05AIbyZRU-3My", "--json"]).output == "-gs05AIbyZRU-3My True\n"
    assert runner.invoke(show, ["--s05AIbyZRU-3My"]).output == "--s05AIbyZRU-3My False\n"
    assert runner.invoke(show, ["--", "-gs05AIbyZRU-3My"]).output == "-gs05AIbyZRU-3My False\n"
    assert "No such option" in runner.invoke(show, ["4xwqABCDEFGHIJKL", "--jsn"]).output
