"""`relais cases mute`."""

import time

import click

from console import bulk, settings
from console.client import ClientSettings, ConsoleClient


class Ahead(click.ParamType[int]):
    """A while from now: `2h`, `3d`. As ms since 1970."""

    name = "while"

    def convert(self, value: object, param: click.Parameter | None, ctx: click.Context | None) -> int:
        """Return it in ms."""
        span = bulk.read_span(str(value))
        if span is None:
            self.fail(f"{value!r} is no while: write 30m, 2h or 3d", param, ctx)
        return int((time.time() + span) * 1000)


def say(verb: str, destination: str, code: str, rule: str, reason: str, until: int = 0) -> None:
    """Say something of a case. Raises UserError."""
    client = ConsoleClient(settings.load(ClientSettings))
    body = {"destination": destination, "code": code, "rule": rule, "reason": reason, "until": until}
    client.post(f"/cases/{verb}", body)


@click.command()
@click.argument("destination")
@click.argument("code")
@click.argument("rule", default="")
@click.option("--until", type=Ahead(), help="For this long: 2h, 3d. Until somebody takes it back.")
@bulk.reason
def command(destination: str, code: str, rule: str, until: int | None, reason: str) -> None:
    """Say nothing of a case for a while.

    A failure after that raises the alert that it came back.

    \b
    Examples:
      relais cases mute crm invalid "paid orders" --until 2d --reason "vendor mends it"
    """
    say("mute", destination, code, rule, reason, until or 0)
    click.echo("The case is muted.")
