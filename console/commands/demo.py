"""`relais demo`."""

import click

from console.demo import scenario


@click.command()
@click.option(
    "--port", type=click.IntRange(1, 65534), default=8080, show_default=True, help="Port of the receiver, if free."
)
@click.option(
    "--exit", "leave", is_flag=True, help="End after the table; status 0 only if everything expected arrived."
)
@click.option("--verbose", is_flag=True, help="Show the lines of the processes from the start.")
def command(port: int, leave: bool, verbose: bool) -> None:
    """Watch webhooks of all sources travel to a CRM, an invoicing system and Maileon.

    Runs everything of `relais up` and stand-ins for the vendors, sends invented webhooks of all sources, and
    shows per destination what arrived. Needs nothing but this machine; leaves nothing behind.

    \b
    Examples:
      relais demo
      relais demo --exit
    """
    scenario.run(port, stay=not leave, verbose=verbose)
