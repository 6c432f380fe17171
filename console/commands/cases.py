"""`relais cases`: the group."""

import click

from console.cli import Lazy

COMMANDS = {
    "list": "List failures by their cause, and what people say of them.",
    "know": "Say that a case is known: nobody has to look any more.",
    "mute": "Say nothing of a case for a while.",
    "unmute": "Take a mute back.",
    "solve": "Say that a case is solved: the next failure tells that it came back.",
}


@click.group(cls=Lazy, table=COMMANDS, prefix="cases_")
def command() -> None:
    """See failures by their cause, and say what is known of them.

    A case is a destination, a code and a rule. Its first failure raises the alert `case_new`; one after it was solved,
    or after its mute has ended, `case_came_back`. Asks the console (RELAIS_CONSOLE_URL).

    \b
    Examples:
      relais cases list
      relais cases mute crm invalid "paid orders" --until 2d --reason vendor
      relais cases solve crm invalid "paid orders"
    """
