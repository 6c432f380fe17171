"""The `relais` command: a table of names. A command's module is imported when it is called, not before.

Comes in: the command line and `.env` of the current folder. Goes out: what the command prints, and its exit status.
Never does the work itself.
"""

import gc
import importlib
import io
import os
import sys
from collections.abc import Mapping
from difflib import get_close_matches
from pathlib import Path

import click

from console.errors import UserError

#: Command -> the first line of its help. A test compares them, so that `relais --help` needs to import nothing.
COMMANDS: Mapping[str, str] = {
    "demo": "Watch webhooks of all sources travel to a CRM, an invoicing system and Maileon.",
    "up": "Run everything in the foreground: Valkey, receiver, workers, console.",
    "init": "Copy the starter book to a folder of your own.",
    "receive": "Run the receiver: webhooks in, on the public port.",
    "work": "Run the workers: rules and deliveries.",
    "console": "Run the console: events, metrics and readiness on a private port.",
    "sandbox": "Run stand-ins for Maileon, SeminarDesk, a CRM and an invoicing system.",
    "pull": "Show what is fetched from sources, or back-fill one.",
    "reconcile": "Compare what a platform's API says with what came, and take in what is missing.",
    "hooks": "List, register or remove webhooks at the platform of a source.",
    "sources": "Look at sources; hold them, release or discard what waits of them.",
    "replay": "Send recorded vendor webhooks, signed as their source would.",
    "record": "Make fixtures of invented people out of what sources really sent.",
    "trigger": "Send an invented webhook of a source, of any type it has.",
    "doctor": "Examine store and spool, and say what an acknowledged event survives.",
    "backup": "Write a backup: the store, this host's spool, the book and the receipts of who was forgotten.",
    "restore": "Make a data folder of a backup: for `relais up`, or for a store elsewhere.",
    "upgrade": "Try a new version against the live store before it starts.",
    "chaos": "Kill, stop and mislead every process under load, then check that nothing was lost.",
    "events": "See what came in and what became of it.",
    "people": "Find what became of a person's events, without keeping who it is.",
    "forget": "Erase what is kept of a person, everywhere, and keep a receipt without values.",
    "stats": "Show what came from each source and went to each destination, and how long it took.",
    "dead": "See what could not be delivered; retry or drop it.",
    "boxes": "See which boxes are held for a person; release or skip them.",
    "quarantine": "See events that do not fit their type; take them in after a mend, or drop them.",
    "refused": "See requests that were refused; take them in after a mend, or drop them.",
    "rooms": "See what waits where; pause and resume destinations.",
    "quotas": "Show what the quotas of vendors' keys were used for, and how long they last.",
    "cases": "See failures by their cause, and say what is known of them.",
    "alerts": "Try whether alerts reach somebody.",
    "jobs": "Act on many things at once: at a rate, with a pause, a stop and a result.",
    "spool": "See events that the store refuses again and again; hand them over once more.",
    "rules": "Check, test and explain the rules.",
    "users": "Say who may use the console, and what each may do.",
    "tokens": "Make, list and remove the bearer tokens of programs.",
    "audit": "See who did, searched and saw what, and why.",
    "settings": "Print every setting, its default and what it means.",
    "completion": "Print the completion of a shell: commands and options with the Tab key.",
}

EXIT_STATUS = """\b
Exit status:
  0  done
  1  the answer is no: errors in the book, a failing test, a lost event
  2  the command line is not understood
  3  it could not run: a port is taken, the store is away, a setting cannot be
"""


class Lazy(click.Group):
    """A group whose commands live in modules of their own: `relais rules check` in `console.commands.rules_check`."""

    def __init__(self, *, table: Mapping[str, str], prefix: str = "", **rest: object) -> None:
        super().__init__(**rest)  # type: ignore[arg-type]
        self.table = table
        self.prefix = prefix

    def list_commands(self, ctx: click.Context) -> list[str]:
        """Return the names in the order of the table."""
        return list(self.table)

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        """Find the command; of one that is not there say which is nearest."""
        try:
            return super().resolve_command(ctx, args)
        except click.UsageError as exc:
            near = get_close_matches(args[0], self.table, 1)
            said = f'{exc.message} Did you mean "{ctx.command_path} {near[0]}"?' if near else exc.message
            raise click.UsageError(said, ctx) from exc

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        """Import the module of one command."""
        if cmd_name not in self.table:
            return None
        gc.disable()  # an import makes next to no garbage: the search for it would take an eighth of the time
        try:
            module = importlib.import_module(f"console.commands.{self.prefix}{cmd_name}")
        finally:
            gc.enable()
        command = module.command
        if not isinstance(command, click.Command):
            raise TypeError(f"{module.__name__}.command is no command")
        return command

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """Write the list of commands from the table."""
        with formatter.section("Commands"):
            formatter.write_dl(list(self.table.items()))


@click.group(
    cls=Lazy,
    table=COMMANDS,
    context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 110},
    epilog=EXIT_STATUS,
)
@click.version_option(package_name="relais-router", prog_name="relais")
def relais() -> None:
    """Webhooks in, kept on disk, decided by rules, forwarded in order.

    \b
    Examples:
      relais demo             see it work, on this machine alone
      relais up               run it
      relais rules check      is the book right?
      relais events list      what came, and what became of it
    """


def read_dotenv(folder: Path, environ: dict[str, str] | os._Environ[str]) -> None:
    """Put what `.env` says into the environment, unless it is set there already. Raises UserError."""
    file = folder / ".env"
    if not file.is_file():
        return
    from dotenv import dotenv_values

    try:
        content = file.read_bytes()
        text = content.decode("utf-8-sig")
    except OSError as exc:
        raise UserError(f"{file} cannot be read: {exc.strerror}") from exc
    except UnicodeDecodeError as exc:
        line = content.count(b"\n", 0, exc.start) + 1
        raise UserError(f"{file} is not UTF-8 in line {line}", mend="save it as UTF-8") from None
    if "\0" in text:
        raise UserError(f"{file} holds a zero byte", mend="save it as UTF-8 text")
    for name, value in dotenv_values(stream=io.StringIO(text)).items():
        if value is not None:
            environ.setdefault(name, value)


#: Commands that are processes of ours, or bring a system of their own. All others ask the one that runs.
SYSTEMS = frozenset({"up", "demo", "receive", "work", "console", "sandbox", "chaos", "init"})

#: The variables that `ask_sandbox` has set.
FROM_SANDBOX: set[str] = set()


def ask_sandbox(environ: os._Environ[str], told: Mapping[str, str]) -> None:
    """Let the command ask the sandbox run of this folder, if one is up, unless the shell says otherwise (`told`)."""
    if not (Path(environ.get("RELAIS_DATA") or ".relais") / "sandbox" / "sandbox.json").is_file():
        return
    from console.processes import sandbox_run

    run = sandbox_run.find(environ)
    if run is not None:
        taken = {name: value for name, value in run.environ(environ).items() if name not in told}
        environ.update(taken)
        FROM_SANDBOX.update(taken)
        click.echo(f"(the sandbox of this folder: {run.console})", err=True)


def main() -> None:
    """Run `relais`."""
    told = dict(os.environ)
    try:
        read_dotenv(Path.cwd(), os.environ)
    except UserError as exc:
        exc.show()
        sys.exit(exc.exit_code)
    if sys.argv[1:2] and sys.argv[1] not in SYSTEMS:
        ask_sandbox(os.environ, told)
    try:
        relais(prog_name="relais")
    except BrokenPipeError:
        # `relais events list | head`: the reader has gone, nothing is wrong; stdout must not be flushed again.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        sys.exit(0)


if __name__ == "__main__":
    main()
