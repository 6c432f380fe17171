"""`relais spool retry`."""

import asyncio
from collections.abc import Sequence
from pathlib import Path

import click

from console import bulk, settings
from console.checks import doctor
from console.client import read_user
from console.errors import UserError
from console.render.tables import say_count
from mailroom import Mailroom, StoreDamaged, StoreUnavailable, aside
from mailroom.ledger import Decision
from mailroom.operator import Operator
from receiver import spool
from receiver.spool import Aside
from rules.event_types.base import from_epoch


@click.command()
@click.argument("events", nargs=-1)
@click.option("--all", "everything", is_flag=True, help="All that were set aside.")
@bulk.reason
def command(events: tuple[str, ...], everything: bool, reason: str) -> None:
    """Put events that were set aside behind those that wait.

    A receiver of this host hands them over within a second. What the store refuses still is set aside once more. What
    came later for the same person has gone before. The stories of the events say who did it.

    \b
    Examples:
      relais spool retry 0c5f2a9be1d04c55
      relais spool retry --all
    """
    where = settings.load(doctor.DoctorSettings)
    folder = Path(where.spool_folder)
    try:
        known = {one.id: one for one in spool.aside(folder)}
        if unknown := sorted(set(events) - set(known)):
            raise UserError(f"{unknown[0]} is not set aside in {folder}", mend="relais spool list", status=1)
        if not events and not everything:
            raise click.UsageError("name events, or say --all")
        chosen = list(known) if everything else list(events)
        moved = spool.again(folder, chosen)
    except (spool.SpoolFull, spool.SpoolFailed) as exc:
        raise UserError(str(exc), mend="run it as the user of the receiver; is the disk well?") from exc
    click.echo(f"{say_count(moved, 'event')} back in the spool.")
    try:
        asyncio.run(_write_down(where.url, [known[id] for id in chosen], Decision(read_user(), reason)))
    except (StoreUnavailable, StoreDamaged) as exc:
        click.echo(f"The store does not answer ({exc}), so no story will say who did this.", err=True)


async def _write_down(url: str, moved: Sequence[Aside], decision: Decision) -> None:
    """Let the ledger say who decided. Raises StoreUnavailable, StoreDamaged."""
    async with await Mailroom.open(url) as mailroom:
        operator = Operator(mailroom, decision)
        for one in moved:
            await aside.note_retried(operator, one.id, from_epoch(one.at)[:10])
