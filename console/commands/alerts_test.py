"""`relais alerts test`."""

import click

from console import bulk
from console.client import ConsoleClient
from console.errors import SAID_NO, UserError

#: What a worker says -> what that means.
SAYS = {
    "told": "The alert was taken: look whether it arrived.",
    "log_only": "no address: alerts stand in the log of the workers only. The book has neither webhook: nor mail: "
    "under alerts:, or what they name cannot be used (alerts.unusable in that log)",
    "partly": "webhook or mail did not take it: the log of the workers says why (alert.refused, alert.not_told)",
    "refused": "nobody took it: the log of the workers says why (alert.refused, alert.not_told)",
}


@click.command()
@bulk.reason
def command(reason: str) -> None:
    """Let a worker tell an alert, and say what became of it.

    It goes the way of all alerts: from a worker, with its secrets, to the webhook and the mail address of `alerts:` in
    the book in force, also outside of business hours.

    \b
    Examples:
      relais alerts test
    """
    said = ConsoleClient.from_settings().post("/alerts/test", {"reason": reason})["result"]
    if said != "told":
        raise UserError(SAYS[said], status=SAID_NO)
    click.echo(SAYS[said])
