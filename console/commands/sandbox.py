"""`relais sandbox`."""

import os

import click

from console.processes import port
from receiver.settings import in_url
from sandbox import accounts, server


@click.command()
@click.option("--host", default="127.0.0.1", show_default=True, help="Address to listen on.")
@click.option(
    "--port", "number", type=click.IntRange(1, 65535), default=server.PORT, show_default=True, help="Port to listen on."
)
def command(host: str, number: int) -> None:
    """Run stand-ins for Maileon, SeminarDesk, a CRM and an invoicing system.

    They keep what they are sent in memory, show it, and fail when told to.

    \b
    Examples:
      relais sandbox
      curl http://127.0.0.1:8030/_sandbox/state
      curl 127.0.0.1:8030/_sandbox/faults -d '{"vendor":"crm","status":503}'
    """
    port.demand(host, number, "--port")
    keys = accounts.from_environ(os.environ)
    click.echo(f"The sandbox listens on http://{in_url(host)}:{number} (what it holds: /_sandbox/state).", err=True)
    server.serve(host, number, keys)
