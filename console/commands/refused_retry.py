"""`relais refused retry`."""

from typing import Any

import click

from console import aside, bulk


@click.command()
@click.argument("requests", nargs=-1)
@aside.filters
@aside.even_if_older
@click.option("--unverified", is_flag=True, help="Also those that nobody verified: you vouch for their senders.")
@bulk.rate
@bulk.decision
def command(
    requests: tuple[str, ...],
    even_if_older: bool,
    unverified: bool,
    rate: float,
    reason: str,
    yes: bool,
    as_json: bool,
    **given: Any,
) -> None:
    """Take refused requests in, as the book in force reads them.

    Says how many it would be, by cause, and asks. Without a terminal it does nothing unless told --yes (status 1).
    Each is read by the book in force, and taken in where it fits now. Whose sender was never verified is left alone:
    with --unverified you vouch for it, and the story says so.

    \b
    Examples:
      relais refused retry 1764…-0
      relais refused retry --code wrong_signature --since 2h --yes
    """
    how = {"even_if_older": even_if_older, "unverified": unverified, "rate": rate, "reason": reason}
    aside.retry_kept("refused", given, requests, how, yes=yes, as_json=as_json)
