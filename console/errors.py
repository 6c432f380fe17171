"""What a person can mend: said in one sentence, with the mend, without a traceback.

Comes in: what is wrong, where, how to mend it. Goes out: two lines on stderr and an exit status.
Never holds the value of a setting: it may be a secret.
"""

from typing import IO, Any

import click

#: Exit statuses of every command; `relais --help` says them too. 1: the command ran, and its answer is no: a book with
#: errors, a test that fails, an event that did not arrive.
SAID_NO = 1
USAGE = 2  # click's own: no such option, no such command
CANNOT_RUN = 3  # it could not start: a port taken, no store, a setting that cannot be


class UserError(click.ClickException):
    """Something outside of Relais is not as it must be."""

    exit_code: int  # type: ignore[misc]  # click declares it for the class, each of ours knows its own

    def __init__(self, what: str, *, mend: str = "", status: int = CANNOT_RUN) -> None:
        super().__init__(what)
        self.mend = mend
        self.exit_code = status

    def show(self, file: IO[Any] | None = None) -> None:
        """Print what is wrong and the mend."""
        click.echo(f"{click.style('error:', fg='red', bold=True)} {self.message}", err=True, file=file)
        for at, line in enumerate(self.mend.splitlines()):
            head = " mend:" if at == 0 else "   or:" if line.startswith("or ") else "      "
            click.echo(f"{click.style(head, fg='green')} {line.removeprefix('or ')}", err=True, file=file)
