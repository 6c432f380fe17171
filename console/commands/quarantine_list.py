"""`relais quarantine list`."""

from typing import Any

import click

from console import aside, json_output


@click.command()
@aside.filters
@click.option("--each", is_flag=True, help="Name each of them, not only their causes.")
@json_output.option
def command(each: bool, as_json: bool, **given: Any) -> None:
    """Count events in quarantine, by cause.

    \b
    Examples:
      relais quarantine list
      relais quarantine list --code email --each --json
    """
    aside.list_kept("quarantine", given, each=each, as_json=as_json)
