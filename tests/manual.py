"""The pages of docs/reference that are made whole from the code; `python -m tests.reference` writes them.

Comes in: the commands, the settings, the metrics, the source text of those who refuse. Goes out: the text of each page.
Never holds a sentence that the code could say itself.
"""

import inspect
import re
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path

import click

from console import cli, settings
from console.api.metrics import CATALOGUE
from tests import error_codes, keys_page

ROOT = Path(__file__).parents[1]
FOLDER = ROOT / "docs" / "reference"
COMMANDS = """\
# Commands

Made from the code (`python -m tests.reference`). All that prints something takes `--json`. Exit status: 0 done, 1 the
answer is no, 2 the command line is not understood, 3 it could not run (a port is taken, the receiver, the store or the
console is away).

| command | |
|---|---|"""
SETTINGS = """\
# Settings

Made from the code (`python -m tests.reference`). From the environment, or from `.env` in the current folder;
`relais settings` prints the same, `relais settings --effective` the value of each and where it comes from. What each
buys and what it costs: [operating](../operating.md#settings). Secrets that a book refers to as `${NAME}` come from the
environment as well, or from files of that name in `RELAIS_SECRETS`.

| variable | default | read by | |
|---|---|---|---|"""
METRICS = """\
# Metrics

Made from the code (`python -m tests.reference`). `GET :8081/metrics` is for Prometheus; these are the names that it
stores. Which of them are worth a call at night: [operating](../operating.md#watching-it); alerts and a dashboard to
begin with: [monitoring](../monitoring/README.md).

| metric | kind | labels | what it says |
|---|---|---|---|"""


# -- commands


def walk(group: cli.Lazy, path: str) -> Iterator[tuple[str, str, click.Command]]:
    """Yield each command that is no group: its whole name, its sentence, itself, in the order of the help."""
    for name, about in group.table.items():
        command = group.get_command(click.Context(group), name)
        assert command is not None
        if isinstance(command, cli.Lazy):
            yield from walk(command, f"{path} {name}")
        else:
            yield f"{path} {name}", about, command


def commands_page() -> str:
    """Return the page of all commands: a table, then each with its options and examples."""
    assert isinstance(cli.relais, cli.Lazy)
    every = list(walk(cli.relais, "relais"))
    rows = [f"| [`{path}`](#{path.replace(' ', '-')}) | {about} |" for path, about, _ in every]
    sections = [line for path, _, command in every for line in _section(path, command)]
    return "\n".join([COMMANDS, *rows, *sections, ""])


def _section(path: str, command: click.Command) -> list[str]:
    text, _, examples = inspect.cleandoc(command.help or "").partition("\b\n")
    lines = ["", f"## {path}", "", *_escaped(text.strip())]
    if examples:
        lines += ["", "```sh", *(line.removeprefix("  ") for line in examples.strip().splitlines()[1:]), "```"]
    ctx = click.Context(command, info_name=path, max_content_width=100_000, terminal_width=100_000)
    usage = " ".join(command.collect_usage_pieces(ctx))
    lines += ["", f"`{path}{' ' if usage else ''}{usage}`"]
    rows = [row for each in command.get_params(ctx) if (row := _option(each, ctx))]
    return [*lines, "", "| option | |", "|---|---|", *rows] if rows else lines


def _option(param: click.Parameter, ctx: click.Context) -> str:
    record = param.get_help_record(ctx)
    if record is None or "--help" in param.opts or isinstance(param, click.Argument):
        return ""
    name, about = record
    return f"| `{name.replace('|', chr(92) + '|')}` | {' '.join(_escaped(about.replace('|', chr(92) + '|')))} |"


def _escaped(text: str) -> list[str]:
    """Return the lines of a help as Markdown: stars and angle brackets as they stand."""
    return re.sub(r"([*<])", r"\\\1", text).splitlines()


# -- settings


def settings_page() -> str:
    """Return the page of all settings."""
    rows = [
        f"| `{one.variable}` | {f'`{one.default}`' if one.default else ''} | {', '.join(one.processes)} | {one.about} |"
        for one in settings.every()
    ]
    return "\n".join([SETTINGS, *rows, ""])


# -- metrics


def metrics_page() -> str:
    """Return the page of all metrics."""
    rows = [
        f"| `{one.name}{'_total' if one.kind == 'counter' else ''}` | {one.kind} | "
        f"{', '.join(f'`{label}`' for label in one.labels)} | {one.about} |"
        for one in CATALOGUE
    ]
    return "\n".join([METRICS, *rows, ""])


#: Each page with what makes it.
PAGES: Mapping[Path, Callable[[], str]] = {
    FOLDER / "commands.md": commands_page,
    FOLDER / "settings.md": settings_page,
    FOLDER / "metrics.md": metrics_page,
    FOLDER / "errors.md": error_codes.page,
    FOLDER / "book.md": keys_page.book_page,
    FOLDER / "arguments.md": keys_page.arguments_page,
}
