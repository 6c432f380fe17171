"""`relais tokens`: the group."""

import click

from console.cli import Lazy

COMMANDS = {
    "add": "Make a token by which a program asks the console; it is shown once.",
    "list": "List the tokens, and when each was used last.",
    "remove": "Let a token open nothing any more.",
}


@click.group(cls=Lazy, table=COMMANDS, prefix="tokens_")
def command() -> None:
    """Make, list and remove the bearer tokens of programs.

    A program sends one as `Authorization: Bearer …`; `relais` itself takes it from RELAIS_CONSOLE_TOKEN. Roles are
    those of `relais users`. Asks the console (RELAIS_CONSOLE_URL); that takes the role admin.

    \b
    Examples:
      relais tokens add prometheus
      relais tokens add nightly-retry --role operator
      relais tokens list
    """
