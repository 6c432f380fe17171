import json
import subprocess
import sys
from pathlib import Path

import pytest
from click.testing import CliRunner

from console import cli
from console.commands import chaos


def test_storm() -> None:
    """From a checkout it blows as `make chaos` does; asked for JSON it prints the verdict alone to stdout."""
    said = subprocess.run(
        [sys.executable, "-m", "console.cli", "chaos", "--seconds", "3", "--seed", "7", "--json"],
        cwd=Path(__file__).parents[2],
        capture_output=True,
        text=True,
        timeout=120,
    )
    told = json.loads(said.stdout)
    assert said.returncode == 0, said.stderr
    assert told["good"]
    assert told["seed"] == 7
    assert told["lost"] == told["inverted"] == told["doubled"] == []
    assert told["acknowledged"] > 0


def test_without_tests(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Where the tests are not, it says so and what to do."""
    monkeypatch.setattr(chaos, "HOME", tmp_path)
    said = CliRunner().invoke(cli.relais, ["chaos"])
    assert said.exit_code == 3
    assert "without its tests" in said.output
    assert "make chaos" in said.output
