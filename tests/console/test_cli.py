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


@pytest.mark.parametrize("path", ["relais", *(path for path, _, _ in EVERY)])
def test_help_fits_a_terminal(path: str) -> None:
    """No line of a help is wider than 80 columns: examples are not wrapped by click, but by the terminal."""
    told = CliRunner().invoke(cli.relais, [*path.split()[1:], "--help"], terminal_width=80).output
    assert [line for line in told.splitlines() if len(line) > 80] == []


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


@pytest.mark.parametrize(
    ("content", "said"),
    [
        ("# Schlüssel\nA=1\n".encode("latin-1"), "is not UTF-8 in line 1"),
        ("A=1\n".encode("utf-16"), "is not UTF-8 in line 1"),
        (b"A=1\nB=\xfc\n", "is not UTF-8 in line 2"),
        (b"A=1\0\n", "holds a zero byte"),
    ],
)
def test_dotenv_of_another_editor(content: bytes, said: str, tmp_path: Path) -> None:
    """A `.env` that cannot be read ends each command with a sentence and the mend, not with a traceback."""
    (tmp_path / ".env").write_bytes(content)
    command = [sys.executable, "-m", "console.cli", "settings"]
    outcome = subprocess.run(command, capture_output=True, text=True, check=False, cwd=tmp_path)
    assert (outcome.returncode, said in outcome.stderr, "mend: save it" in outcome.stderr) == (3, True, True)
    assert "Traceback" not in outcome.stderr


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


#: Commands that ask nobody, bring everybody along, look at this host (the doctor's answer is no then: 1), or are
#: processes that wait for the store.
ALONE = frozenset(
    {
        *("up", "demo", "sandbox", "chaos", "init", "settings", "completion", "receive", "work", "console"),
        *("restore", "doctor", "spool list", "spool retry"),
        *(f"rules {word}" for word in ("check", "test", "actions", "schema", "diff")),
    }
)
#: Command -> the words with which it is asked while receiver, store and console are away.
AWAY = {
    "reconcile": "sd_nord --since 1d --yes",
    "hooks": "list mailing",
    "record": "recorded --since 1h",
    "replay": "tests/fixtures/cmxorganize --source cmx",
    "trigger": "cmx newsletter.signup",
    "people find": "eva@example.org",
    "people show": "5i-qHa-3xGMxTiSx",
    "forget": "eva@example.org --yes --reason test",
    "dead show": "abc.0",
    "boxes show": "crm/abc",
    "quarantine show": "abc",
    "refused show": "abc",
    "rooms pause": "crm --reason test",
    "rooms resume": "crm",
    "jobs start": "retry --yes --reason test",
    "rules explain": "abcdefghijklmnopqrstuvwxyz",
    "rules preview": "rules/book --since 1h",
    "users add": "eva --role viewer",
    "tokens add": "prometheus",
    **dict.fromkeys(("sources drift", "sources held", "sources release"), "cmx"),
    "sources hold": "cmx --reason test",
    "sources discard": "cmx --all --yes --reason test",
    **dict.fromkeys(("events show", "events reroute", "events drop"), "abc --yes"),
    "events show": "abc",
    **dict.fromkeys(("dead retry", "dead drop", "dead undrop"), "abc.0 --yes"),
    **dict.fromkeys(("boxes release", "boxes skip"), "crm/abc --yes"),
    **dict.fromkeys(("quarantine retry", "quarantine drop", "refused retry", "refused drop"), "abc --yes"),
    **dict.fromkeys(("cases know", "cases unmute", "cases solve"), "crm invalid"),
    "cases mute": "crm invalid --until 2d",
    **dict.fromkeys(("jobs show", "jobs pause", "jobs resume", "jobs stop", "jobs undo"), "abc"),
    **dict.fromkeys(("users remove", "users reset", "users link", "tokens remove"), "eva"),
}
LEAVES = [path.removeprefix("relais ") for path, _, command in EVERY if not isinstance(command, Lazy)]


@pytest.mark.parametrize("name", sorted(set(LEAVES) - ALONE))
def test_away(name: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Without receiver, store and console a command says who is away and how to start them: status 3."""
    root = Path(__file__).parents[2]
    monkeypatch.chdir(tmp_path)
    for variable, value in {
        "RELAIS_CONSOLE_URL": "http://127.0.0.1:9",
        "REDIS_URL": "redis://127.0.0.1:9",
        "RELAIS_PORT": "9",
        "RELAIS_BOOK": str(root / "rules" / "book"),
        "CMX_PASSWORD": "a secret",
        "MAILEON_KEY": "a secret",
    }.items():
        monkeypatch.setenv(variable, value)
    told = AWAY.get(name, "").split()
    words = [str(root / word) if "/" in word and (root / word).exists() else word for word in told]
    outcome = CliRunner().invoke(cli.relais, [*name.split(), *words])
    assert outcome.exit_code == 3, outcome.output
    assert "error: " in outcome.output
    assert " mend: " in outcome.output
    assert "Traceback" not in outcome.output
