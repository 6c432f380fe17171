"""`relais console`."""

import click

from console import catalogue, settings
from console.api import app
from console.checks import doctor


@click.command()
@click.option("--host", "console_host", help="Address to listen on [RELAIS_CONSOLE_HOST, 127.0.0.1].")
@click.option("--port", "console_port", type=int, help="Port to listen on [RELAIS_CONSOLE_PORT, 8081].")
def command(**options: object) -> None:
    """Run the console: events, metrics and readiness on a private port.

    Serves /events, /events/ID, /metrics, /readyz and /healthz. Beyond loopback it demands a bearer token
    (RELAIS_CONSOLE_TOKEN).

    \b
    Examples:
      relais console
      RELAIS_CONSOLE_TOKEN=… relais console --host 0.0.0.0
      curl http://127.0.0.1:8081/readyz
    """
    chosen = settings.load(app.ConsoleSettings, **options)
    doctor.demand(doctor.ask(chosen.redis_url), "")
    settings.announce("console", chosen)
    app.run(chosen, catalogue.build())
