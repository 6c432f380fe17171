"""The option `--json` of commands, and what it prints.

Comes in: JSON values; times and decimals among them are written as text. Goes out: indented JSON on stdout. Never
escapes a letter that is not ASCII: people read it, too.
"""

import json
from typing import Any

import click

option = click.option("--json", "as_json", is_flag=True, help="As JSON.")


def write(value: Any) -> None:
    """Print a value."""
    click.echo(json.dumps(value, indent=2, ensure_ascii=False, default=str))
