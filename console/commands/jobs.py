"""`relais jobs`: the group."""

import click

from console.cli import Lazy

COMMANDS = {
    "start": "Do something about many things at once, after a count and a yes.",
    "list": "List the jobs of the last 31 days.",
    "show": "Show a job: how far it is, and what was left alone.",
    "pause": "Let a job rest until somebody resumes it.",
    "resume": "Let a paused job go on.",
    "stop": "End a job: what it has done stays done.",
    "undo": "Take back what a job has dropped, within ten minutes.",
}


@click.group(cls=Lazy, table=COMMANDS, prefix="jobs_")
def command() -> None:
    """Act on many things at once: at a rate, with a pause, a stop and a result.

    The console does it, so it goes on when this terminal is closed or the console restarts. Asks the console
    (RELAIS_CONSOLE_URL).

    \b
    Examples:
      relais jobs start retry --destination crm --rate 5/s --reason mended
      relais jobs list
      relais jobs stop job_5d0f…
    """
