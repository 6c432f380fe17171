import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import click
import pytest
from click.testing import CliRunner

from console import cli
from console.cli import Lazy


def commands(group: Lazy, path: str = "relais") -> Iterator[tuple[str, str, click.Command]]:
    """Every command with its path and the sentence of its group's table."""
    context = click.Context(group)
    for name, about in group.table.items():
        command = group.get_command(context, name)
        assert command is not None
        yield f"{path} {name}", about, command
        if isinstance(command, Lazy):
            yield from commands(command, f"{path} {name}")


assert isinstance(cli.relais, Lazy)
EVERY = list(commands(cli.relais))


@pytest.mark.parametrize(("path", "about", "command"), EVERY, ids=[path for path, _, _ in EVERY])
def test_help(path: str, about: str, command: click.Command) -> None:
    """Every command says what it does as its group does, and has examples that begin with its own name."""
    text = command.help or ""
    assert text.split("\n")[0] == about
    examples = text.partition("Examples:\n")[2].splitlines()
    assert any(path in line for line in examples)


@pytest.mark.parametrize(("path", "about", "command"), EVERY, ids=[path for path, _, _ in EVERY])
def test_options_are_explained(path: str, about: str, command: click.Command) -> None:
    """Every option has a sentence."""
    silent = [one.name for one in command.params if isinstance(one, click.Option) and not one.help]
    assert silent == []


def test_help_is_fast() -> None:
    """`relais --help` imports neither pydantic nor Redis nor any command."""
    code = (
        "import sys; from console import cli\n"
        "try: cli.relais(['--help'])\n"
        "except SystemExit: pass\n"
        "print(sorted(m for m in ('pydantic', 'redis', 'starlette', 'rich', 'console.commands') if m in sys.modules))"
    )
    said = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout
    assert said.splitlines()[-1] == "[]"
    assert "Exit status:" in said


@pytest.mark.parametrize(
    ("arguments", "status", "said"),
    [
        (["nonsense"], 2, "No such command 'nonsense'"),
        (["evnets", "list"], 2, 'Did you mean "relais events"?'),
        (["rules", "chek"], 2, 'Did you mean "relais rules check"?'),
        (["up", "--port", "many"], 2, "'many' is not a valid integer"),
        (["rules", "check", "nowhere"], 3, "there is no book at nowhere"),
        (["events", "list"], 3, "no console answers at http://127.0.0.1:9"),
        (["replay", "nowhere"], 2, "'nowhere' does not exist"),
        (["console", "--host", "0.0.0.0"], 3, "without a token"),  # noqa: S104 - refused
    ],
)
def test_mistakes(arguments: list[str], status: int, said: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """A user's mistake ends with its documented status and a sentence, never with a traceback."""
    monkeypatch.setenv("RELAIS_CONSOLE_URL", "http://127.0.0.1:9")
    outcome = CliRunner().invoke(cli.relais, arguments)
    assert outcome.exit_code == status
    assert said in outcome.output
    assert "Traceback" not in outcome.output


def test_dotenv(tmp_path: Path) -> None:
    """`.env` fills in what the environment does not say."""
    (tmp_path / ".env").write_text("RELAIS_PORT=1\nCRM_TOKEN='a$b#c'\n")
    environ = {"RELAIS_PORT": "2"}
    cli.read_dotenv(tmp_path, environ)
    assert environ == {"RELAIS_PORT": "2", "CRM_TOKEN": "a$b#c"}


def test_closed_pipe() -> None:
    """A reader that has gone is no error."""
    command = f"{sys.executable} -m console.cli settings --json | head -c 1"
    outcome = subprocess.run(["bash", "-c", command], capture_output=True, text=True, check=True, env=dict(os.environ))
    assert outcome.stderr == ""


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_completion(shell: str) -> None:
    """What is printed for a shell asks this program, which answers with its commands."""
    script = CliRunner().invoke(cli.relais, ["completion", shell], prog_name="relais").output
    assert f"_RELAIS_COMPLETE={shell}_complete" in script
    asked = {
        "_RELAIS_COMPLETE": f"{shell}_complete",
        "COMP_WORDS": "relais rul",
        "COMP_CWORD": "rul" if shell == "fish" else "1",
    }
    said = subprocess.run(
        [sys.executable, "-c", "from console.cli import main; main()"],
        capture_output=True,
        text=True,
        check=True,
        env=dict(os.environ) | asked,
    )
    assert "rules" in said.stdout
