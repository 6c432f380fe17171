"""`relais receive`."""

from pathlib import Path

import click

from console import book, catalogue, settings
from console.checks import doctor
from console.errors import UserError
from console.processes import port
from console.vendor_api import OutgoingApi
from receiver import server
from receiver.settings import ReceiverSettings
from receiver.spool import Unusable
from rules.errors import BookRefused


@click.command()
@click.option("--host", help="Address to listen on [RELAIS_HOST, 127.0.0.1].")
@click.option("--port", type=int, help="Port to listen on [RELAIS_PORT, 8080].")
@click.option("--book", type=click.Path(file_okay=False, path_type=Path), help="The book [RELAIS_BOOK, rules/book].")
def command(**options: object) -> None:
    """Run the receiver: webhooks in, on the public port.

    Serves POST /in/SOURCE, POST /in/SOURCE/EVENT and GET /healthz, nothing else. Answers 2xx only
    when the event is on disk: in the store, or in the spool while the store is away.
    SIGTERM finishes what has been accepted.

    \b
    Examples:
      relais receive
      RELAIS_BOOK=/etc/relais/book relais receive --host 0.0.0.0 --port 8080
    """
    chosen = settings.load(ReceiverSettings, **options)
    settings.demand_traces(chosen)
    settings.announce("receive", chosen)
    if server.inherited(chosen) < 0:
        port.demand(chosen.host, chosen.port, "--port")
    found = doctor.ask(chosen.redis_url, chosen.replicas)
    doctor.demand(found, chosen.strict)
    click.echo(f"relais receive: {doctor.promise(found, chosen.spool)}", err=True)
    try:
        server.run(chosen, catalogue.build(), OutgoingApi())
    except server.CannotListen as exc:
        raise UserError(str(exc), mend="relais receive --port N") from exc
    except Unusable as exc:
        raise UserError(str(exc), mend="RELAIS_SPOOL=FOLDER relais receive") from exc
    except BookRefused as exc:
        raise book.refused(chosen.book, exc) from exc
