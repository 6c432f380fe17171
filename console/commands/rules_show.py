"""`relais rules show`."""

from collections.abc import Mapping
from pathlib import Path
from urllib.parse import quote

import click

from console import json_output
from console.client import ConsoleClient
from console.errors import UserError


@click.command()
@click.argument("version", default="current")
@click.option("--write", "folder", type=click.Path(path_type=Path), help="Write its files into this new folder.")
@json_output.option
def command(version: str, folder: Path | None, as_json: bool) -> None:
    """Print a book that was in force, by its version.

    Every delivery names the version it was made by: relais events show EVENT.

    \b
    Examples:
      relais rules show
      relais rules show 3f2a91c0b1d4 --write book-before
    """
    found = ConsoleClient.from_settings().get(f"/books/{quote(version, safe='')}")
    if folder is not None:
        _write(found["files"], folder)
        return
    if as_json:
        json_output.write(found)
        return
    for name, text in found["files"].items():
        click.secho(f"# {name}, version {found['version']}", bold=True)
        click.echo(text)


def _write(files: Mapping[str, str], folder: Path) -> None:
    """Write the files of a book into a folder that has none. Raises UserError."""
    if folder.exists() and any(folder.iterdir()):
        raise UserError(f"{folder} is not empty", mend="name a new folder")
    for name, text in files.items():
        place = folder / name
        if not place.resolve().is_relative_to(folder.resolve()):
            raise UserError(f"{name} does not lie in a book's folder")
        place.parent.mkdir(parents=True, exist_ok=True)
        place.write_text(text, encoding="utf-8")
    click.echo(f"{len(files)} files are written into {folder}.")
