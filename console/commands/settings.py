"""`relais settings`."""

import os
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path

import click
from dotenv import dotenv_values
from rich.table import Table

from console import json_output, settings
from console.cli import FROM_SANDBOX
from console.render import tables
from console.settings import EffectiveSetting, Setting


@click.command()
@click.option("--effective", is_flag=True, help="What each is here, and where that comes from.")
@json_output.option
def command(effective: bool, as_json: bool) -> None:
    """Print every setting, its default and what it means.

    Settings come from the environment and from `.env` in the current folder. With --effective, variables that begin
    with RELAIS_ and that nobody reads are named, too; secrets are stars.

    \b
    Examples:
      relais settings
      relais settings --effective
      relais settings --json
    """
    if effective:
        found = settings.effective(os.environ, dotenv_values(Path.cwd() / ".env"), FROM_SANDBOX)
        _print(found, as_json, Table("variable", "value", "from", box=None, pad_edge=False))
    else:
        _print(settings.every(), as_json, Table("variable", "default", "read by", "meaning"))


def _print(found: Sequence[Setting] | Sequence[EffectiveSetting], as_json: bool, table: Table) -> None:
    if as_json:
        json_output.write([asdict(setting) for setting in found])
        return
    for setting in found:
        if isinstance(setting, Setting):
            table.add_row(setting.variable, setting.default, ", ".join(setting.processes), setting.about)
        else:
            table.add_row(setting.variable, setting.value, setting.mistake or setting.origin)
    tables.out().print(table)
