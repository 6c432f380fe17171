import json
from pathlib import Path

import yaml

from console import catalogue, replay, starter_book
from console.demo import arrivals, scenario
from console.replay import ReplayReport, SentRequest
from rules.compiler import loader
from tests.console.conftest import Start


def test_everything_arrives(start: Start, short_folder: Path) -> None:
    """`relais demo --exit` ends with status 0 when all that was expected arrived, and leaves nothing behind.

    What `.env` says of a real Relais is not for the demo.
    """
    (short_folder / ".env").write_text("RELAIS_CONSOLE_TOKEN=x\nREDIS_URL=redis://127.0.0.1:9\nCRM_TOKEN=real\n")
    process = start("demo", "--exit", "--port", "28080")
    assert process.process.wait(100) == 0, process.said
    process.stop()
    assert "Everything that was expected has arrived, once." in process.said
    assert "eva@example.org" in process.said
    assert [path.name for path in short_folder.iterdir() if path.name not in ("book", "s")] == [".env"]


def test_all_secrets_are_invented() -> None:
    """Every secret of the starter book's sources has a value in the demo, and no key of a destination needs one."""
    found = loader.load(starter_book.starter(), catalogue.build())
    values = scenario.invented(found)
    names = {name for source in found.sources.values() for secret in source.verify.secrets for name in secret.names}
    assert values.keys() == names
    assert values["CMX_PASSWORD"] == "demo-cmx-password"
    assert found.destinations.keys() == scenario.STAND_INS.keys()


def test_all_kinds_of_sources() -> None:
    """The demo has webhooks of every kind of source, and sends all that it has."""
    folders = {path.name for path in scenario.fixtures().iterdir() if path.is_dir()}
    assert folders == set(scenario.STORY) == set(catalogue.build().sources)


def test_differences() -> None:
    """What is missing, what is too much, what was refused and how events ended: each is told."""
    empty: dict[str, list[object]] = {"contacts": [], "mailbox": [], "unsubscriptions": []}
    contact = {"id": "c1", "email": "eva@example.org", "first_name": "Eva"}
    held = {
        "maileon": empty,
        "crm": {
            "contacts": [contact],
            "notes": [{"contact_id": "c1", "text": "Draft invoice i7."}],
            "tasks": [],
            "leads": [],
        },
        "invoicing": {
            "customers": [],
            "invoices": [{"id": "i7", "reference": "SD-1", "customer_id": "k1", "lines": [], "status": "draft"}],
        },
        "etracker": {"orders": []},
        "seminardesk": {"external_references": [], "requests": []},
    }
    wanted = {
        "events": {"delivered": 2, "duplicate": 0},
        "arrived": {
            "crm": [["eva@example.org", "note", "Draft invoice #SD-1."], ["kim@example.org", "contact", ""]],
            "invoicing": [["", "draft invoice SD-1", "0 lines, 0.00"]],
        },
    }
    report = ReplayReport(
        [
            SentRequest("a", "cmx", 202, events=["1"], fates=[{"id": "1", "state": "delivered", "settled": True}]),
            SentRequest("b", "cmx", 401, code="wrong_credentials"),
        ],
        1.0,
    )
    assert arrivals.compare(wanted, held, report, scenario.STAND_INS) == [
        "1 webhook refused: wrong_credentials",
        "events ended as {'delivered': 1, 'duplicate': 0}, expected {'delivered': 2, 'duplicate': 0}",
        "crm lacks kim@example.org | contact | ",
        "crm has, too much: eva@example.org | contact | first_name Eva",
    ]


def test_one_word_per_file() -> None:
    """Packaged bodies are valid: JSON parses, and each folder is a kind of source that the starter book has."""
    found = loader.load(starter_book.starter(), catalogue.build())
    for file in replay.find_bodies([scenario.fixtures()]):
        assert replay.find_source(file, found, None).kind == file.parent.name
        if file.suffix == ".json":
            json.loads(file.read_bytes())


def test_expected_is_about_the_stand_ins() -> None:
    """What is expected names every destination of the demo and no other."""
    assert scenario.expected()["arrived"].keys() == scenario.STAND_INS.keys()
    assert yaml.safe_dump(scenario.expected())
