"""`relais dead`, over HTTP: a real console on a real store."""

import getpass
import json
import time
import urllib.error
import urllib.request

import pytest
from click.testing import CliRunner

from console import bulk, cli
from tests.conftest import PrivateValkey
from tests.console.api.console_process import begin, samples
from tests.console.api.stuck_things import Stuck, StuckConsole, stuck
from tests.console.conftest import Start


def some(url: str) -> None:
    """Let three deliveries die for two reasons by two rules."""

    async def do(it: Stuck) -> None:
        await it.die("a1", "a2", who="ada")
        await it.die("b1", who="bob", rule="keep a contact", code="forbidden")

    stuck(url, do)


def test_list(relais: StuckConsole, valkey: PrivateValkey) -> None:
    """Dead letters are counted by cause; filters leave out the others."""
    assert relais("dead", "list") == "No dead letters.\n"
    some(valkey.url)
    found = relais.json("dead", "list")
    assert [(g["destination"], g["code"], g["rule"], g["count"], g["why"]) for g in found["groups"]] == [
        ("crm", "invalid", "keep a note", 2, "said no"),
        ("crm", "forbidden", "keep a contact", 1, "said no"),
    ]
    assert found["groups"][0]["sample"] in ("a1.0", "a2.0")
    assert found["groups"][0]["oldest"] <= found["groups"][0]["newest"]
    assert "invalid" in relais("dead", "list")
    for option, value, count in [
        ("--destination", "crm", 3),
        ("--destination", "in", 0),
        ("--action", "add_note", 3),
        ("--rule", "keep a contact", 1),
        ("--code", "invalid", 2),
        ("--source", "shop", 3),
        ("--source", "desk", 0),
        ("--event", "a1", 1),
        ("--since", "1h", 3),
        ("--since", "2999-01-01", 0),
    ]:
        assert relais.json("dead", "list", option, value)["total"] == count, (option, value)
    assert [x["id"] for x in relais.json("dead", "list", "--each")["items"]] == ["a1.0", "a2.0", "b1.0"]


def test_show(relais: StuckConsole, valkey: PrivateValkey) -> None:
    """One letter is shown with its reason and the story of its event, and no value of a person."""
    some(valkey.url)
    said = relais("dead", "show", "b1.0")
    assert "because forbidden, HTTP 422: said no" in said
    assert "keep a contact" in said
    found = relais.json("dead", "show", "b1.0")
    assert found["story"]["deliveries"][0]["state"] == "dead"
    assert "bob" not in json.dumps(found)
    assert "unknown_letter" in relais("dead", "show", "none", status=1)


def test_dry_run(relais: StuckConsole, valkey: PrivateValkey) -> None:
    """Without a terminal and without --yes nothing happens; it says what would."""
    some(valkey.url)
    said = relais("dead", "retry", "--code", "invalid", status=1)
    assert "Dead letters: 2 would be retried as they were sent. Nothing was done" in said
    dry = relais.json("dead", "drop", status=1)
    assert (dry["dry_run"], dry["count"]) == (True, 3)
    assert relais.json("dead", "list")["total"] == 3
    assert relais("dead", "retry", "--code", "unheard_of", "--yes") == "No dead letters of this kind.\n"


def test_retry(relais: StuckConsole, valkey: PrivateValkey) -> None:
    """Those chosen are retried in the order of their events; the story and the metrics say so."""
    some(valkey.url)
    assert "2 done" in relais("dead", "retry", "--code", "invalid", "--yes")
    assert stuck(valkey.url, lambda it: it.waiting()) == ["a1.0", "a2.0"]
    assert relais.json("dead", "list")["total"] == 1
    assert relais.json("events", "show", "a1")["state"] == "delivered"
    counted = samples(relais.url)
    assert counted['relais_by_hand_total{room="crm",verb="retry"}'] == 2
    assert counted["relais_dead_letters"] == 1
    assert counted["relais_undeclared_counters"] == 0


def test_retry_by_name(relais: StuckConsole, valkey: PrivateValkey) -> None:
    """A letter is retried by its id, and the others stay."""
    some(valkey.url)
    assert relais.json("dead", "retry", "b1.0", "--yes")["words"] == {"done": 1}
    assert stuck(valkey.url, lambda it: it.waiting()) == ["b1.0"]


def test_overtaken(relais: StuckConsole, valkey: PrivateValkey) -> None:
    """A letter that something newer overtook is left alone with status 1, unless a person insists."""

    async def overtake(it: Stuck) -> None:
        await it.die("a1", who="ada")
        await it.put("a2", who="ada")
        await it.end("done")

    stuck(valkey.url, overtake)
    found = relais.json("dead", "retry", "--yes", status=1)
    assert found["left_alone"] == [{"item": "a1.0", "word": "overtaken"}]
    assert "--even-if-older insists" in relais("dead", "retry", "--yes", status=1)
    assert "1 done" in relais("dead", "retry", "--yes", "--even-if-older")


def test_today(relais: StuckConsole, valkey: PrivateValkey) -> None:
    """By today's rules the events wait in the inbox again, and their stories say why."""
    some(valkey.url)
    assert "3 done" in relais("dead", "retry", "--today", "--yes")
    assert relais.json("dead", "list")["total"] == 0
    (inbox, _) = relais.json("rooms", "list")["rooms"]
    assert (inbox["name"], inbox["ready"]) == ("in", 2)
    found = relais.json("events", "show", "a1")
    assert (found["state"], found["deliveries"][0]["state"]) == ("delivering", "retried")


def test_rate(relais: StuckConsole, valkey: PrivateValkey) -> None:
    """At a rate they go one after the other."""

    async def many(it: Stuck) -> None:
        await it.die(*(f"e{n}" for n in range(6)))

    stuck(valkey.url, many)
    begun = time.monotonic()
    assert "6 done" in relais("dead", "retry", "--yes", "--rate", "10/s")
    assert time.monotonic() - begun >= 0.5


def test_drop(relais: StuckConsole, valkey: PrivateValkey) -> None:
    """What is dropped at once is gone with its payload; its story says that a person did it."""
    some(valkey.url)
    assert "1 done" in relais("dead", "drop", "--event", "b1", "--yes", "--at-once")
    found = relais.json("events", "show", "b1")
    assert (found["state"], found["deliveries"][0]["why"]) == ("skipped", "by a person")
    assert stuck(valkey.url, lambda it: it.mailroom.record("b1")) is None


def test_agreed_at_a_terminal(relais: StuckConsole, valkey: PrivateValkey, monkeypatch: pytest.MonkeyPatch) -> None:
    """At a terminal it asks, and does nothing where the answer is no."""
    some(valkey.url)
    # A click runner has no terminal: only the question whether there is one is answered otherwise.
    monkeypatch.setattr(bulk, "at_a_terminal", lambda: True)
    for word, status, left in (("n", 1, 3), ("y", 0, 2)):
        outcome = CliRunner().invoke(cli.relais, ["dead", "drop", "--code", "forbidden"], input=f"{word}\n")
        assert outcome.exit_code == status
        assert "Dead letters: 1 would be given up for good. Go on?" in outcome.output
        assert relais.json("dead", "list")["total"] == left


@pytest.mark.parametrize(
    ("headers", "body", "status", "code"),
    [
        ({"X-Relais-By-Hand": ""}, b"{}", 400, "bad_request"),
        ({}, b"{}", 403, "not_by_hand"),
        ({"X-Relais-By-Hand": "1", "Origin": "http://127.0.0.1:8081"}, b"{}", 403, "not_by_hand"),
        ({"X-Relais-By-Hand": "1", "Content-Type": "text/plain"}, b"{}", 415, "not_json"),
        ({"X-Relais-By-Hand": "1"}, b'{"verb":"retry","dry":true,"how":"somehow"}', 400, "bad_request"),
        ({"X-Relais-By-Hand": "1"}, b'{"verb":"retry","dry":true,"more":1}', 400, "bad_request"),
        ({"X-Relais-By-Hand": "1"}, b" " * 1_100_000, 413, "too_large"),
        ({"X-Relais-By-Hand": "1", "Host": "evil.example.org"}, b"{}", 400, ""),
    ],
)
def test_no_web_page(relais: StuckConsole, headers: dict[str, str], body: bytes, status: int, code: str) -> None:
    """Nothing that a browser sends by itself changes anything, and nothing that is not understood does."""
    request = urllib.request.Request(  # noqa: S310 - our own address
        f"{relais.url}/jobs", body, {"Content-Type": "application/json", **headers}
    )
    with pytest.raises(urllib.error.HTTPError) as refused:
        urllib.request.urlopen(request)  # noqa: S310 - our own address
    with refused.value as answer:
        assert answer.status == status
        assert code in answer.read().decode()


def test_get_changes_nothing(relais: StuckConsole, valkey: PrivateValkey) -> None:
    """The addresses of the verbs refuse GET."""
    some(valkey.url)
    for path in ("/jobs/job_1/stop", "/rooms/crm/pause"):
        with pytest.raises(urllib.error.HTTPError) as refused:
            urllib.request.urlopen(relais.url + path)  # noqa: S310 - our own address
        with refused.value as answer:
            assert answer.status == 405


def test_verbs_want_the_token(start: Start, valkey: PrivateValkey, monkeypatch: pytest.MonkeyPatch) -> None:
    """With a token nobody decides anything without it."""
    relais = StuckConsole(begin(start, valkey.url, RELAIS_CONSOLE_TOKEN="swordfish"), monkeypatch)
    assert "wants a token" in relais("rooms", "pause", "in", status=3)
    monkeypatch.setenv("RELAIS_CONSOLE_TOKEN", "swordfish")
    assert "in is paused" in relais("rooms", "pause", "in")


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["dead", "list", "--since", "yesterday"], "is no time"),
        (["dead", "retry", "--rate", "fast"], "is no rate"),
        (["dead", "retry", "--rate", "0/s"], "is no rate"),
    ],
)
def test_not_understood(relais: StuckConsole, arguments: list[str], said: str) -> None:
    """A time or a rate that is none ends with status 2 and what it may be."""
    assert said in relais(*arguments, status=2)


def test_pace() -> None:
    """A rate is read with its unit."""
    pace = bulk.ItemsPerSecond()
    assert [pace.convert(x, None, None) for x in ("5", "5/s", "120/m", "36/h")] == [5, 5, 2, 0.01]


def test_who_and_why(relais: StuckConsole, valkey: PrivateValkey) -> None:
    """The story of an event says which user of the system decided what about it, and why."""
    some(valkey.url)
    relais("dead", "retry", "b1.0", "--reason", "their form was down", "--yes")
    (one,) = relais.json("events", "show", "b1")["decisions"]
    assert (one["by"], one["what"], one["item"], one["why"]) == (
        getpass.getuser(),
        "revived",
        "b1.0",
        "their form was down",
    )
    assert f"{getpass.getuser()} revived b1.0: their form was down" in relais("events", "show", "b1")


def test_who_with_a_token(start: Start, valkey: PrivateValkey, monkeypatch: pytest.MonkeyPatch) -> None:
    """Where the console has a token, the story says that its bearer decided, whatever name is given."""
    monkeypatch.setenv("RELAIS_CONSOLE_TOKEN", "swordfish")
    relais = StuckConsole(begin(start, valkey.url, RELAIS_CONSOLE_TOKEN="swordfish"), monkeypatch)
    some(valkey.url)
    monkeypatch.setattr("getpass.getuser", lambda: "ada\nnobody")
    relais("dead", "drop", "b1.0", "--yes")
    (one,) = relais.json("events", "show", "b1")["decisions"]
    assert (one["by"], one["why"]) == ("ada nobody (token)", "")


def test_of_an_event(relais: StuckConsole, valkey: PrivateValkey) -> None:
    """An event's id without the number of a delivery means all of its dead letters."""
    some(valkey.url)
    assert relais.json("dead", "retry", "a1", "b1", "--yes")["words"] == {"done": 2}
    assert [one["id"] for one in relais.json("dead", "list", "--each")["items"]] == ["a2.0"]


def test_a_reason_is_no_command(relais: StuckConsole, valkey: PrivateValkey) -> None:
    """What somebody gives as a reason is text: no terminal that shows it later takes part of it for a command."""
    some(valkey.url)
    relais("dead", "drop", "b1.0", "--yes", "--reason", "done\x1b[2J\nby\u202e me")
    (one,) = relais.json("events", "show", "b1")["decisions"]
    assert one["why"] == "done[2J by me"
