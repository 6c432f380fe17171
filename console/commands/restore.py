"""`relais restore`."""

from pathlib import Path

import click

from console import backup, settings
from console.render import tables


@click.command()
@click.argument("file", type=click.Path(path_type=Path))
@click.option("--verify", is_flag=True, help="Only try: restore to a folder that is thrown away.")
@click.option("--data", type=click.Path(file_okay=False, path_type=Path), help="Data folder [RELAIS_DATA, .relais].")
@click.option("--book", type=click.Path(file_okay=False, path_type=Path), help="The book [RELAIS_BOOK, rules/book].")
def command(file: Path, verify: bool, **options: object) -> None:
    """Make a data folder of a backup: for `relais up`, or for a store elsewhere.

    Nothing that is there is overwritten: a store or a spool in the data folder is refused, a book that is there stays.
    The store is started once, compared with what the backup says of itself, and whoever was forgotten since (the
    receipts in RELAIS_RECEIPTS) is forgotten again. A store elsewhere starts from FOLDER/valkey/appendonlydir.

    \b
    Examples:
      relais restore relais-2026-11-21T030000Z.tar --verify
      relais restore relais-2026-11-21T030000Z.tar --data /var/lib/relais
    """
    chosen = settings.load(backup.BackupSettings, **options)
    found = backup.verify(chosen, file) if verify else backup.restore(chosen, file)
    taken = f"taken {found.manifest.taken} by Relais {found.manifest.relais}"
    click.echo(f"This backup, {taken}, holds {', '.join(backup.describe(found.counts))}.")
    if found.again:
        click.echo(f"{tables.say_count(found.again, 'person', 'persons')} forgotten once more.")
    if verify:
        click.echo("It can be restored.")
    else:
        click.echo(f"Restored to {chosen.data}. Next: relais up --data {chosen.data}")
        click.echo("What was delivered since this backup is delivered once more.")
