"""Fixtures of invented people: what is written, what is not, and that a replay sends it as it came."""

import json
from pathlib import Path

import pytest
from click.testing import CliRunner

from console import book, cli, recording, replay
from console.processes import port
from console.recording import CapturedRequest
from console.trigger import FAMILY, GIVEN
from receiver import errors, payload
from rules.rulebook import Rulebook
from tests.console.conftest import Start

FIXTURES = Path(__file__).parents[1] / "fixtures"
BOOK = """
sources:
  shop:
    kind: generic
    retain: 1d
    verify: {hmac: {header: X-Signature, secret: "${SHOP_SECRET}"}}
    read: {id: body.id, type: header.X-Event, order_key: body.email}
"""
SECRETS = {"SHOP_SECRET": "swordfish"}


def capture(loaded: Rulebook) -> list[CapturedRequest]:
    """Return all recorded bodies as requests, a second apart."""
    found = []
    folders = [folder for folder in sorted(FIXTURES.iterdir()) if folder.name in loaded.sources]
    for n, file in enumerate(replay.find_bodies(folders)):
        source = replay.find_source(file, loaded, None)
        query = file.read_text().strip() if file.suffix == replay.QUERY else ""
        body = b"" if query else file.read_bytes()
        name = replay.find_event(source, file) or ""
        found.append(CapturedRequest(source.name, name, n * 1000, body, query, replay.read_headers(file)))
    return found


def test_every_kind(tmp_path: Path) -> None:
    """Of each kind of source bodies are written that it reads as the same types, and that name nobody of the former."""
    loaded = book.load(FIXTURES / "book")
    captured = capture(loaded)
    made = recording.make(captured, loaded)
    assert len(made.timing) > 80
    assert {name.partition("/")[0] for name in made.timing} == set(loaded.sources)
    made.write(tmp_path)
    people = set()
    for one in captured:
        try:
            events = payload.read_payload(loaded.sources[one.source], one.body or one.query.encode(), one.name or None)
        except (errors.RequestRefused, ValueError):
            continue
        for event in events:
            people |= {str(event.data[name]) for name in ("email", "phone", "last_name") if event.data.get(name)}
    people = {each.lower() for each in people if len(each) > 3} - {each.lower() for each in (*GIVEN, *FAMILY)}
    assert len(people) > 10
    texts = {file: file.read_bytes() for file in tmp_path.rglob("*") if file.suffix in replay.CONTENT_TYPES}
    left = {
        (str(file.relative_to(tmp_path)), each)
        for file, text in texts.items()
        for each in people
        if f'"{each}"' in text.decode().lower()
    }
    assert left == set()


def test_no_secret(tmp_path: Path) -> None:
    """A token in the URL, a signature and other headers are not written; the header of the event is."""
    text = BOOK.replace("hmac: {header: X-Signature,", "query: {name: token,").replace("secret:", "value:")
    (tmp_path / "book.yaml").write_text(text)
    loaded = book.load(tmp_path)
    headers = {"x-event": "order.paid", "authorization": "Bearer swordfish", "x-signature": "abc"}
    one = CapturedRequest("shop", "", 5, b"", "id=1&email=paula%40firma.example&token=swordfish", headers)
    made = recording.make([one], loaded)
    if not made.files:
        pytest.fail(str(made.left_out))
    assert {name: text.decode() for name, text in made.files.items() if name.endswith(".headers")} == {
        name: "x-event: order.paid\n" for name in made.files if name.endswith(".headers")
    }
    assert b"swordfish" not in b"".join(made.files.values())


def test_a_recording_is_replayed(start: Start, short_folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """What goes through the recorder arrives; what is written of it is sent anew, signed and in time."""
    folder = short_folder / "recording"
    folder.mkdir()
    (folder / "book.yaml").write_text(BOOK)
    numbers = [port.free("127.0.0.1") for _ in range(3)]
    receiver, console, between = (f"http://127.0.0.1:{number}" for number in numbers)
    environ = {**SECRETS, "RELAIS_BOOK": str(folder)}
    up = start("up", "--port", str(numbers[0]), "--console-port", str(numbers[1]), **environ)
    up.wait_for("Relais is up.")
    words = ["recorded", "--listen", str(numbers[2]), "--to", receiver, "--count", "2", "--yes"]
    recorder = start("record", *words, **environ)
    recorder.wait_for("ends the recording")
    sent = short_folder / "shop"
    sent.mkdir()
    for n, name in enumerate(("paid", "canceled")):
        body = {"id": f"m_7712{n}", "email": "Paula@firma.example", "note": "Paula Kern ruft an", "total": "19.99"}
        (sent / f"{n}.json").write_text(json.dumps(body))
        (sent / f"{n}.headers").write_text(f"X-Event: order.{name}\n")
    for name, value in {**environ, "RELAIS_CONSOLE_URL": console}.items():
        monkeypatch.setenv(name, value)
    said = CliRunner().invoke(cli.relais, ["replay", str(sent), "--to", between, "--wait", "--json"])
    assert json.loads(said.output)["states"] == {"unmatched": 2}, said.output
    recorder.wait_for("Written.")
    written = short_folder / "recorded" / "shop"
    bodies = {file.name: json.loads(file.read_text()) for file in sorted(written.glob("*.json"))}
    assert sorted(bodies) == ["order.canceled.001.json", "order.paid.001.json"]
    assert {body["email"] for body in bodies.values()} == {"eva.muster.1@example.org"}
    assert "Kern" not in str(bodies)
    assert {body["total"] for body in bodies.values()} == {"19.99"}
    assert (written / "order.paid.001.headers").read_text() == "x-event: order.paid\n"
    timing = written.parent / "timing.tsv"
    first, second = timing.read_text().splitlines()
    assert first == "0\tshop/order.paid.001.json"
    timing.write_text(f"{first}\n3000\t{second.partition(chr(9))[2]}\n")
    words = ["replay", str(written.parent), "--to", receiver, "--timing", "10", "--wait", "--json"]
    told = json.loads(CliRunner().invoke(cli.relais, words).output)
    assert told["states"] == {"unmatched": 2}
    assert told["seconds"] >= 0.3
    said = CliRunner().invoke(cli.relais, ["replay", str(sent), "--timing", "1"])
    assert "nothing says when" in said.output
    monkeypatch.setenv("REDIS_URL", f"unix://{short_folder}/.relais/valkey.sock")
    asked = CliRunner().invoke(cli.relais, ["record", str(short_folder / "stored"), "--since", "1h"], input="n\n")
    assert "email: " not in asked.output
    assert "replaced: " in asked.output
    assert "Kern" not in asked.output
    assert not (short_folder / "stored").exists()
