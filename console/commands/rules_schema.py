"""`relais rules schema`."""

from pathlib import Path

import click

from console import book, catalogue, json_output
from console.errors import UserError
from rules.compiler import json_schema


@click.command()
@click.argument("folder", type=click.Path(path_type=Path), required=False)
def command(folder: Path | None) -> None:
    """Print the JSON Schema of a book, for editors.

    The YAML language server (VS Code and others) completes event types, fields, actions and arguments with it; the
    files of a book name it in their first line. With a book that is right, its own names are completed too.

    \b
    Examples:
      relais rules schema > rules/book/schema.json
      relais rules schema book > book/schema.json
    """
    try:
        loaded = book.load(folder)
    except UserError:
        loaded = None  # a book that is being written may have errors, and its author needs completion most
    json_output.write(json_schema.schema(catalogue.build(), loaded))
