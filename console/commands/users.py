"""`relais users`: the group."""

import click

from console.cli import Lazy

COMMANDS = {
    "add": "Add a person who may use the console, or give one another role.",
    "list": "List the people who may use the console.",
    "remove": "Let a person in no more.",
    "reset": "Take a person's pass phrase and sessions, and print a link to set another.",
    "link": "Print a link by which somebody comes in once, without a pass phrase.",
}


@click.group(cls=Lazy, table=COMMANDS, prefix="users_")
def command() -> None:
    """Say who may use the console, and what each may do.

    These are the people who look and decide; `relais people` finds those whom events are about. Asks the console
    (RELAIS_CONSOLE_URL); that takes the role admin.

    \b
    Roles, each with all that the one before may:
      viewer    sees events, rooms, causes and counts
      operator  also searches for people, and decides about what is stuck
      rules     also approves a book
      admin     also says who may what

    \b
    Examples:
      relais users add eva --role operator
      relais users list
      relais users reset eva --reason "lost her phone"
    """
