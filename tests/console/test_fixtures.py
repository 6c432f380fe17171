"""Every recorded body of every source and preset, against Relais as a whole."""

import json
import subprocess
import sys
from pathlib import Path
from xml.etree import ElementTree

from console import book as books
from console.processes import port
from receiver import presets, sources
from tests.conftest import GENEROUS
from tests.console.conftest import Start

FIXTURES = Path(__file__).parents[1] / "fixtures"
#: The secret of the Standard Webhooks libraries' own test.
ENVIRON = {"FIXTURE_SECRET": "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw", "RELAIS_BOOK": str(FIXTURES / "book")}


def test_one_book_has_all() -> None:
    """The book beside the bodies has a source for each kind, for each preset, and for each folder of bodies."""
    names = set(books.load(FIXTURES / "book").sources)
    assert names == {*sources.SOURCES, *presets.read_presets()}
    assert names == {folder.name for folder in FIXTURES.iterdir() if folder.is_dir()} - {"book"}


def test_replay(start: Start, short_folder: Path) -> None:
    """`relais replay tests/fixtures --wait` against `relais up`: each body is accepted, each event is shown."""
    numbers = port.free("127.0.0.1"), port.free("127.0.0.1")
    up = start("up", "--port", str(numbers[0]), "--console-port", str(numbers[1]), **ENVIRON)
    up.wait_for("Relais is up.")
    words = ["replay", str(FIXTURES), "--to", f"http://127.0.0.1:{numbers[0]}", "--wait", "--json"]
    said = subprocess.run(
        [sys.executable, "-m", "console.cli", *words, "--junit", "all.xml", "--within", str(GENEROUS)],
        cwd=short_folder,
        env={"PATH": "/usr/bin:/bin", "RELAIS_CONSOLE_URL": f"http://127.0.0.1:{numbers[1]}", **ENVIRON},
        capture_output=True,
        text=True,
        timeout=2 * GENEROUS,
    )
    told = json.loads(said.stdout)
    assert (told["refused"], told["accepted"], told["unsettled"]) == ({}, told["sent"], 0)
    assert set(told["states"]) == {"unmatched", "quarantined"}
    # No rule wants them; what lies in quarantine says in its name, or is known, that it does not fit.
    for one in told["requests"]:
        states = {fate["state"] for fate in one["fates"]}
        name = Path(one["file"]).name
        unfit = ".invalid_" in name or name in ("order.paid.no_type.json", "batch.one_invalid.json")
        assert ("quarantined" in states) == unfit, name
        assert states or name == "batch.unknown_action.json", name
    suite = ElementTree.parse(short_folder / "all.xml").getroot()  # noqa: S314 - our own
    assert int(suite.attrib["tests"]) == told["sent"]
    failed = {case.attrib["name"] for case in suite if len(case)}
    assert failed == {one["file"] for one in told["requests"] if "quarantined" in str(one["fates"])}
