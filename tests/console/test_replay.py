import asyncio
import json
from pathlib import Path
from xml.etree import ElementTree

import pytest
from click.testing import CliRunner

from console import book as books
from console import cli, replay
from console.errors import CANNOT_RUN, UserError
from console.replay import ReplayReport, SentRequest
from rules.rulebook import Rulebook
from tests.console.conftest import BOOK, SECRETS

SIGNUP = {"E-Mailadresse": "eva@example.org", "Name": "Muster", "Vorname": "Eva", "Einzelnutzertracking": "ja"}


@pytest.fixture
def bodies(tmp_path: Path) -> Path:
    """Bodies of two kinds of sources, one of them a form."""
    (tmp_path / "cmxorganize").mkdir()
    (tmp_path / "generic").mkdir()
    (tmp_path / "cmxorganize" / "signup.json").write_text(json.dumps(SIGNUP))
    (tmp_path / "cmxorganize" / "signup.form").write_text("E-Mailadresse=kim%40example.org&Name=Vorlage")
    (tmp_path / "cmxorganize" / "README.md").write_text("no body")
    (tmp_path / "generic" / "order.json").write_text(json.dumps({"id": "5501", "event": "order.paid", "total": 3}))
    return tmp_path


@pytest.fixture
def loaded(book: Path) -> Rulebook:
    return books.load(book)


def test_all_accepted(receiver: str, bodies: Path, loaded: Rulebook) -> None:
    """Bodies are sent to the source of their folder, signed as it signs, with the content type of their name."""
    report = asyncio.run(replay.send_all(replay.plan([bodies], loaded, SECRETS), receiver))
    assert [(Path(one.file).name, one.source, one.status) for one in report.sent] == [
        ("signup.form", "cmx", 202),
        ("signup.json", "cmx", 202),
        ("order.json", "shop", 202),
    ]
    assert all(len(one.events) == 1 for one in report.sent)
    assert report.good
    assert 0 < report.latency(0.5) <= report.latency(0.99)


def test_refused(receiver: str, bodies: Path, loaded: Rulebook) -> None:
    """A refusal is counted by its code."""
    wrong = replay.plan([bodies / "generic"], loaded, SECRETS | {"SHOP_SECRET": "another"})
    (bodies / "cmxorganize" / "signup.json").write_text("{")
    broken = replay.plan([bodies / "cmxorganize" / "signup.json"], loaded, SECRETS)
    report = asyncio.run(replay.send_all([*wrong, *broken], receiver))
    assert report.refused == {"wrong_signature": 1, "bad_json": 1}
    assert not report.good


def test_query(receiver: str, bodies: Path, loaded: Rulebook) -> None:
    """A file of parameters goes out without a body, behind the address, as it is written."""
    (bodies / "cmxorganize" / "signup.query").write_text("E-Mailadresse=ada+x%40example.org&Name=Beispiel\n")
    (shot,) = replay.plan([bodies / "cmxorganize" / "signup.query"], loaded, SECRETS)
    assert (shot.body, shot.query) == (b"", "E-Mailadresse=ada+x%40example.org&Name=Beispiel")
    assert asyncio.run(replay.send_all([shot], receiver)).accepted == 1


def test_rate(receiver: str, bodies: Path, loaded: Rulebook) -> None:
    """At a rate the requests leave when they are due, and all are answered."""
    shots = replay.plan([bodies / "cmxorganize" / "signup.json"], loaded, SECRETS) * 20
    report = asyncio.run(replay.send_all(shots, receiver, rate=200))
    assert report.accepted == 20
    assert report.seconds >= 19 / 200


def test_nobody_answers(bodies: Path, loaded: Rulebook) -> None:
    """Without a receiver nothing is accepted, and it is said so."""
    report = asyncio.run(replay.send_all(replay.plan([bodies], loaded, SECRETS), "http://127.0.0.1:9"))
    assert report.refused == {"unanswered": 3}


def test_no_console(bodies: Path) -> None:
    """Waiting for fates without a console says where one was looked for."""
    report = ReplayReport([SentRequest("a.json", "cmx", 202, events=["e1"])], 0.1)
    with pytest.raises(UserError, match="no console answers at http://127"):
        asyncio.run(replay.await_fates(report, "http://127.0.0.1:9"))


@pytest.mark.parametrize(
    ("source", "environ", "said"),
    [
        (None, {}, "CMX_PASSWORD is not set, so nothing can be sent as cmx"),
        ("cnx", SECRETS, "the book has no source 'cnx'"),
    ],
)
def test_cannot_be_planned(
    source: str | None, environ: dict[str, str], said: str, bodies: Path, loaded: Rulebook
) -> None:
    """What is missing is named before anything is sent."""
    with pytest.raises(UserError, match=said):
        replay.plan([bodies / "cmxorganize"], loaded, environ, source=source)


def test_unknown_folder(tmp_path: Path, loaded: Rulebook) -> None:
    """A file that belongs to no source is refused with the sources there are."""
    (tmp_path / "order.json").write_text("{}")
    with pytest.raises(UserError, match="no source of the book sends") as refused:
        replay.plan([tmp_path / "order.json"], loaded, SECRETS)
    assert "cmx, shop" in refused.value.mend
    assert replay.plan([tmp_path / "order.json"], loaded, SECRETS, source="shop")[0].path == "/in/shop"


def test_percentiles() -> None:
    """A percentile is a time that was measured; requests that nobody answered have none."""
    report = ReplayReport(
        [SentRequest("f", "s", 202, ms=float(ms)) for ms in range(1, 101)] + [SentRequest("f", "s", 0, ms=9e9)],
        1.0,
    )
    assert (report.latency(0.5), report.latency(0.99), report.latency(1.0)) == (50, 99, 100)
    assert ReplayReport([], 0.0).latency(0.5) == 0


def test_sent_before() -> None:
    """What had come before this replay is said to have, not to be delivered by it; what comes twice in it is not."""
    fates = [
        {"id": "old", "state": "delivered", "settled": True, "received_at": "2026-11-21T09:59:00.000Z"},
        {"id": "new", "state": "delivered", "settled": True, "received_at": "2026-11-21T10:00:01.000Z"},
        {"id": "gone", "state": "unknown", "settled": False, "deliveries": []},
    ]
    marked = [replay._mark(fate, "2026-11-21T10:00:00.000Z") for fate in fates]
    report = ReplayReport([SentRequest(name, "shop", 202, fates=marked) for name in ("a", "b")], 1.0)
    assert report.states == {"was sent before": 1, "delivered": 1, "unknown": 1}


def test_a_stopped_receiver(bodies: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Where nobody answers the command could not run: that is no answer of a receiver."""
    for name, value in SECRETS.items():
        monkeypatch.setenv(name, value)
    (bodies / "book").mkdir()
    (bodies / "book" / "book.yaml").write_text(BOOK)
    words = ["replay", str(bodies / "generic"), "--to", "http://127.0.0.1:9", "--book", str(bodies / "book")]
    said = CliRunner().invoke(cli.relais, words)
    assert said.exit_code == CANNOT_RUN
    assert "no receiver answers at http://127.0.0.1:9" in said.output


def test_junit() -> None:
    """For CI each request is a case: refused, dead and unsettled ones have failed, and say why."""
    fates = {
        "good": {"id": "1", "state": "delivered", "settled": True},
        "dead": {"id": "2", "state": "dead", "settled": True},
        "old": {"id": "3", "state": "dead", "settled": True, "sent_before": True},
        "slow": {"id": "4", "state": "waiting", "settled": False},
    }
    sent = [SentRequest(f"{name}.json", "shop", 202, fates=[fate]) for name, fate in fates.items()]
    report = ReplayReport([*sent, SentRequest("bad.json", "shop", 401, "wrong_signature")], 1.0)
    suite = ElementTree.fromstring(replay.as_junit(report))  # noqa: S314 - our own
    found = {case.attrib["name"]: [each.attrib["message"] for each in case] for case in suite}
    assert found == {
        "good.json": [],
        "dead.json": ["dead"],
        "old.json": [],
        "slow.json": ["not settled in time"],
        "bad.json": ["refused: wrong_signature"],
    }
    assert (suite.attrib["tests"], suite.attrib["failures"]) == ("5", "3")
    assert not report.good
    assert ReplayReport([sent[0], sent[2]], 1.0).good
