"""`relais rules shadow`."""

from pathlib import Path

import click

from console import book, json_output
from console.client import ConsoleClient
from console.render import rules, tables


@click.command()
@click.argument("folder", type=click.Path(path_type=Path), required=False)
@click.option("--end", is_flag=True, help="Observe it no longer.")
@json_output.option
def command(folder: Path | None, end: bool, as_json: bool) -> None:
    """Observe a whole new book beside the one in force, and say what it would do otherwise.

    With FOLDER the book there is checked and observed from now on: the workers decide each event by it, too, and send
    nothing of it. Without FOLDER it says what has been seen: per rule what would be sent in addition, no longer or with
    other arguments, and the latest events that differ. Nothing is looked up for it. Events come from the sources in
    force, as these read them. To put it in force, put its files in the place of those on disk.

    \b
    Examples:
      relais rules shadow new_book
      relais rules shadow
      relais rules shadow --end
    """
    if folder is not None and end:
        raise click.UsageError("FOLDER or --end, not both")
    console = ConsoleClient.from_settings()
    if folder is not None:
        wanted = book.load(folder)
        found = console.post("/book/shadow/begin", {"files": dict(wanted.files)})
    elif end:
        found = console.post("/book/shadow/end", {})
    else:
        found = console.get("/book/shadow")
    if as_json:
        json_output.write(found)
    elif end:
        ended = found["ended"]
        click.echo(f"{ended} is no longer observed." if ended else "No book was observed.")
    elif found["version"] is None:
        click.echo("No book is observed. Observe one: relais rules shadow FOLDER")
    else:
        show(found, begins=folder is not None)


def show(found: rules.Json, *, begins: bool) -> None:
    """Print which book is observed, and what was seen."""
    click.echo(rules.shadow_head(found), err=begins)
    for name in found["unknown_sources"]:
        click.echo(f"the source {name} is not in force, so no event of it will come", err=True)
    if begins:
        click.echo(f"{found['version']} is observed: workers decide by it, too, within three seconds.")
    elif found["differences"]:
        tables.out().print(rules.shadow_differences(found))
        tables.out().print(rules.shadow_events(found))
