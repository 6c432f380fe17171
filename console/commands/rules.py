"""`relais rules`: the group."""

import click

from console.cli import Lazy

COMMANDS = {
    "check": "Say what is wrong with the book, with file, line, column and the mend.",
    "test": "Run the tests that stand in the book.",
    "actions": "List the actions of the book's destinations: who can what, arguments, what they write, consent.",
    "explain": "Say for every rule whether an event matches it, and where not.",
    "preview": "Show what a new book would do differently.",
    "coverage": "Say of each rule how often it fired and when last, and which never do.",
    "shadow": "Observe a whole new book beside the one in force, and say what it would do otherwise.",
    "diff": "Say in words what one book does otherwise than another.",
    "schema": "Print the JSON Schema of a book, for editors.",
    "history": "List the books that were in force, the newest first.",
    "show": "Print a book that was in force, by its version.",
    "approve": "Put the files on disk in force although they lose rules, sources or destinations.",
    "status": "Say which book is in force, and whether the files on disk could take its place.",
}


@click.group(cls=Lazy, table=COMMANDS, prefix="rules_")
def command() -> None:
    """Check, test and explain the rules.

    The book is the folder of YAML that RELAIS_BOOK names, or the FOLDER of a command. None of these needs a
    secret, Redis or the network, except approve, coverage, history, shadow, show and status, which ask the console.

    \b
    Examples:
      relais rules check
      relais rules test
      relais rules explain booking.json --source sd_nord
    """
