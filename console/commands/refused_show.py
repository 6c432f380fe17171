"""`relais refused show`."""

import click

from console import aside, bulk, json_output


@click.command()
@click.argument("request")
@click.option("--payload", is_flag=True, help="With what was kept of it. The story says who looked.")
@bulk.reason
@json_output.option
def command(request: str, payload: bool, reason: str, as_json: bool) -> None:
    """Show one of them and its story; its payload only when asked to.

    \b
    Examples:
      relais refused show 1764…-0
      relais refused show 1764…-0 --payload --reason "what do they send?"
    """
    aside.show_kept("refused", request, payload=payload, reason=reason, as_json=as_json)
