"""`relais work`."""

from pathlib import Path

import click

from console import book, catalogue, receipts, settings
from console.checks import doctor
from console.processes import worker_process
from rules.compiler import loader
from workers import pool
from workers.settings import WorkSettings


@click.command()
@click.option("--workers", type=int, help="Worker processes [RELAIS_WORKERS].")
@click.option("--book", type=click.Path(file_okay=False, path_type=Path), help="The book [RELAIS_BOOK, rules/book].")
def command(**options: object) -> None:
    """Run the workers: rules and deliveries.

    Changes of the book count within three seconds; a book with errors changes nothing. SIGTERM finishes or
    hands back what is held.

    \b
    Examples:
      relais work
      relais work --workers 4
    """
    chosen = settings.load(WorkSettings, **options)
    doctor.demand(doctor.ask(chosen.redis_url), "")
    settings.demand_traces(chosen)
    settings.announce("work", chosen)
    # Compiled here, it is there in all workers. What is wrong with it they say.
    loader.check(book.folder(chosen.book), catalogue.build())
    receipts.before_start(chosen)
    pool.run(chosen, worker_process.main)
