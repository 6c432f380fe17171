"""What the how-to and the tutorial tell somebody to write and to type works as it stands there."""

import re
import subprocess
import sys
from pathlib import Path

import pytest
from click.testing import CliRunner

from console import cli, starter_book
from console.processes import port
from tests.conftest import GENEROUS, wait_until
from tests.console.conftest import RelaisProcess
from tests.console.processes.test_up import all_ready
from tests.test_compose import parse

DOCS = Path(__file__).parents[2] / "docs"
HOW_TO = (DOCS / "how-to.md").read_text(encoding="utf-8")
TUTORIAL = (DOCS / "tutorial.md").read_text(encoding="utf-8")


def blocks(page: str, language: str) -> list[str]:
    """The blocks of a page in one language."""
    return re.findall(rf"^```{language}\n(.*?)^```", page, re.MULTILINE | re.DOTALL)


@pytest.mark.parametrize("block", blocks(HOW_TO, "yaml"), ids=lambda block: block.split()[2])
def test_edits(block: str, tmp_path: Path) -> None:
    """Each edit of the how-to is right as a further file of the starter book."""
    starter_book.copy(tmp_path / "book")
    (tmp_path / "book" / "95-edit.yaml").write_text(block)
    done = CliRunner().invoke(cli.relais, ["rules", "check", "--strict", str(tmp_path / "book")])
    assert done.exit_code == 0, done.output
    assert len(blocks(HOW_TO, "yaml")) >= 6


@pytest.mark.parametrize("command", re.findall(r"^relais [^#\n]*", "\n".join(blocks(HOW_TO, "sh")), re.MULTILINE))
def test_commands(command: str) -> None:
    """Each command of the how-to exists, with its options."""
    parse([word.strip('"') for word in re.findall(r'"[^"]*"|\S+', command)])


def test_tutorial(short_folder: Path) -> None:
    """What the tutorial tells to type, typed, ends with a delivery that failed, was sent again, and is done."""
    path, first, *others = blocks(TUTORIAL, "sh")
    assert path == 'export PATH="$PWD/.venv/bin:$PATH"\n'
    made, *started = first.splitlines()
    assert made == "mkdir -p ~/relais-tutorial && cd ~/relais-tutorial"
    assert started == ["export RELAIS_BOOK=book", "relais init book", "relais up --sandbox"]
    starter_book.copy(short_folder / "book")
    numbers = port.free("127.0.0.1"), port.free("127.0.0.1")
    words = ("up", "--sandbox", "--port", str(numbers[0]), "--console-port", str(numbers[1]))
    up = RelaisProcess(*words, folder=short_folder, environ={"RELAIS_BOOK": "book"})
    try:
        up.wait_for("Relais is up.")
        sandbox = up.said.partition("  vendors   ")[2].partition("/_sandbox")[0]
        wait_until(lambda: all_ready(f"http://127.0.0.1:{numbers[1]}"), "everything is ready")
        commands = "\n".join(others).replace(":8080", f":{numbers[0]}").replace("http://127.0.0.1:8030", sandbox)
        said = subprocess.run(
            ["bash", "-ec", f'relais() {{ "{sys.executable}" -m console.cli "$@"; }}\n{commands}'],
            cwd=short_folder,
            env={"PATH": "/usr/bin:/bin"},
            capture_output=True,
            text=True,
            timeout=3 * GENEROUS,
        )
    finally:
        up.stop()
    assert said.returncode == 0, said.stdout + said.stderr
    assert '"text":"Write to Prof. Dr. ' in said.stdout
    story = said.stdout.rpartition("newsletter.signup from cmx  delivered")[2]
    assert "attempt 1: permanent invalid, HTTP 422" in story
    assert "the CRM is mended" in story
