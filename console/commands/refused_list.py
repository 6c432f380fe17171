"""`relais refused list`."""

from typing import Any

import click

from console import aside, json_output


@click.command()
@aside.filters
@click.option("--each", is_flag=True, help="Name each of them, not only their causes.")
@json_output.option
def command(each: bool, as_json: bool, **given: Any) -> None:
    """Count refused requests, by cause.

    \b
    Examples:
      relais refused list
      relais refused list --code wrong_signature --each --json
    """
    aside.list_kept("refused", given, each=each, as_json=as_json)
