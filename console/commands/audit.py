"""`relais audit`: the group."""

import click

from console.cli import Lazy

COMMANDS = {"list": "List who did, searched and saw what, and why."}


@click.group(cls=Lazy, table=COMMANDS, prefix="audit_")
def command() -> None:
    """See who did, searched and saw what, and why.

    Kept for 400 days. A search for a person stands there by its keyed hash. Asks the console (RELAIS_CONSOLE_URL); that
    takes the role admin.

    \b
    Examples:
      relais audit list --since 7d
      relais audit list --csv > audit.csv
    """
