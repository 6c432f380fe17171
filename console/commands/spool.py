"""`relais spool`: the group."""

import click

from console.cli import Lazy

COMMANDS = {
    "list": "List the events of this host's spool that were set aside, and what the store said.",
    "retry": "Put events that were set aside behind those that wait.",
}


@click.group(cls=Lazy, table=COMMANDS, prefix="spool_")
def command() -> None:
    """See events that the store refuses again and again; hand them over once more.

    An event that the store never takes, though it takes others, is set aside in the spool (RELAIS_SPOOL), so that
    nobody waits for it. It is never deleted. Run this on the receiver's host, as its user.

    \b
    Examples:
      relais spool list
      relais spool retry --all
    """
