"""`relais rules show`."""

import json
from urllib.parse import quote

import click

from console import settings
from console.client import ClientSettings, ConsoleClient


@click.command()
@click.argument("version", default="current")
@click.option("--json", "as_json", is_flag=True, help="As JSON.")
def command(version: str, as_json: bool) -> None:
    """Print a book that was in force, by its version.

    Every delivery names the version it was made by: relais events show EVENT.

    \b
    Examples:
      relais rules show
      relais rules show 3f2a91c0
    """
    found = ConsoleClient(settings.load(ClientSettings)).get(f"/books/{quote(version, safe='')}")
    if as_json:
        click.echo(json.dumps(found, indent=2, ensure_ascii=False))
        return
    for name, text in found["files"].items():
        click.secho(f"# {name}, version {found['version']}", bold=True)
        click.echo(text)
