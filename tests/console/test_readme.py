"""What the README shows works as it stands there."""

import re
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
import yaml
from click.testing import CliRunner

from console import catalogue, cli, starter_book
from console.processes import port
from rules.catalogue import Catalogue
from tests import reference
from tests.conftest import GENEROUS, wait_until
from tests.console.api.console_process import samples
from tests.console.conftest import Start
from tests.console.processes.test_up import all_ready

ROOT = Path(__file__).parents[2]
README = (ROOT / "README.md").read_text()


def block(language: str, containing: str) -> str:
    """The fenced block of that language that contains a text."""
    blocks = re.findall(rf"```{language}\n(.*?)```", README, re.S)
    return str(next(each for each in blocks if containing in each))


def test_the_first_webhook(start: Start, short_folder: Path) -> None:
    """The README's commands, as they stand there, get a webhook delivered by a fresh `relais up --sandbox`."""
    numbers = port.free("127.0.0.1"), port.free("127.0.0.1")
    console = f"http://127.0.0.1:{numbers[1]}"
    words = ("up", "--sandbox", "--port", str(numbers[0]), "--console-port", str(numbers[1]))
    up = start(*words, RELAIS_BOOK=str(starter_book.starter()))
    up.wait_for("Relais is up.")
    sandbox = up.said.partition("  vendors   ")[2].partition("/_sandbox")[0]
    wait_until(lambda: all_ready(console), "everything is ready")
    commands = block("sh", "curl").replace(":8080", f":{numbers[0]}").replace("http://127.0.0.1:8030", sandbox)
    commands = commands.replace(".venv/bin/relais", f"{sys.executable} -m console.cli")
    said = subprocess.run(
        ["bash", "-ec", commands],
        cwd=short_folder,
        env={"PATH": "/usr/bin:/bin"},
        capture_output=True,
        text=True,
        timeout=GENEROUS,
    )
    assert said.returncode == 0, said.stderr
    found = re.search(r'"events":\[\{"id":"([a-z2-7]{26})"\}\]', said.stdout)
    assert found
    story = said.stdout.partition("}]}")[2]
    assert story.startswith(f"{found[1]}  newsletter.signup from cmx  delivered")
    assert "maileon_main.subscribe delivered" in story
    assert '"email":"eva@example.org"' in story
    assert samples(console)["relais_undeclared_counters"] == 0


def test_the_words_of_the_start() -> None:
    """`make` runs the command that the test above runs."""
    [words] = [line for line in block("sh", "--sandbox").splitlines() if line.startswith("make")]
    said = subprocess.run(
        [*words.split(), "--dry-run", "--no-print-directory"], cwd=ROOT, capture_output=True, text=True, check=True
    )
    assert said.stdout.splitlines()[-1] == ".venv/bin/relais up --sandbox"


def test_the_first_rule(tmp_path: Path) -> None:
    """The README's first rule is right, and is the starter book's."""
    rule = block("yaml", "newsletter sign-up")
    starter_book.copy(tmp_path / "book")
    systems = (tmp_path / "book" / "00-systems.yaml").read_text()
    only = tmp_path / "only"
    only.mkdir()
    (only / "systems.yaml").write_text(systems)
    (only / "rule.yaml").write_text(rule)
    outcome = CliRunner().invoke(cli.relais, ["rules", "check", str(only)])
    assert outcome.exit_code == 0, outcome.output
    assert yaml.safe_load(rule)["rules"][0]["name"] in (tmp_path / "book" / "10-newsletter.yaml").read_text()


def test_the_words_of_make() -> None:
    """Every `make` word of the README is one of the Makefile."""
    words = set(re.findall(r"`?make ([a-z]+)", README))
    targets = set(re.findall(r"^([a-z]+):", (ROOT / "Makefile").read_text(), re.M))
    assert {"demo", "up", "test", "check", "bench"} <= words <= targets


@pytest.mark.parametrize(("table", "page"), reference.TABLES)
def test_kinds_are_documented(table: Callable[[Catalogue], list[str]], page: Path) -> None:
    """The tables of kinds and presets are those of the code; `python -m tests.reference` writes them."""
    made = table(catalogue.build())
    lines = page.read_text().splitlines()
    start, end = reference.find(lines, made[0])
    assert lines[start:end] == made
    assert not lines[start - 1].startswith("|"), "an older table stands before it"
