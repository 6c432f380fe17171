"""`relais backup`."""

import os
import sys
from datetime import UTC, datetime
from pathlib import Path

import click

from console import backup, settings


@click.command()
@click.argument("file", required=False, type=click.Path(path_type=Path, allow_dash=True))
@click.option("--data", type=click.Path(file_okay=False, path_type=Path), help="Data folder [RELAIS_DATA, .relais].")
@click.option("--book", type=click.Path(file_okay=False, path_type=Path), help="The book [RELAIS_BOOK, rules/book].")
def command(file: Path | None, **options: object) -> None:
    """Write a backup: the store, this host's spool, the book and the receipts of who was forgotten.

    Everything runs on meanwhile. All that was acknowledged before is in it. The store is asked for a copy as a replica
    would (REDIS_URL, or the data folder of `relais up`); the copy is started once, on the side, before it counts. FILE
    is a file, a folder to put one into, or - for standard output. Secrets are not in it, values of people are:
    encrypt it, and keep it for RELAIS_BACKUP_DAYS at the most.

    \b
    Examples:
      relais backup
      relais backup /var/backups/relais
      relais backup - | age -r age1… > relais.tar.age
    """
    chosen = settings.load(backup.BackupSettings, **options)
    if file is not None and str(file) == "-":
        manifest = backup.write(chosen, sys.stdout.buffer)
    else:
        target = file or Path()
        if target.is_dir():
            target /= f"relais-{datetime.now(UTC):%Y-%m-%dT%H%M%SZ}.tar"
        beside = target.with_name(f"{target.name}.part")
        try:
            with os.fdopen(os.open(beside, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "wb") as opened:
                manifest = backup.write(chosen, opened, target.parent)
                opened.flush()
                os.fsync(opened.fileno())
            beside.replace(target)
        finally:
            beside.unlink(missing_ok=True)
        click.echo(target)
    click.echo(f"Tried and kept: {', '.join(backup.describe(manifest.counts))}, {len(manifest.files)} files.", err=True)
