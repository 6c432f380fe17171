"""`relais jobs start`."""

from collections.abc import Mapping
from typing import Any, get_args

import click

from console import bulk
from console.jobs.orders import JobPlace, JobVerb

#: What would become of what is chosen.
WOULD: Mapping[str, str] = {
    "retry": "would be retried",
    "reroute": "would be routed anew",
    "drop": "would be given up",
    "undrop": "would be dead letters again",
    "release": "would go on",
    "discard": "would be given up for good",
    "skip": "would go on without their first item",
    "replay": "would be routed once more",
    "cancel": "would not be sent",
}


@click.command()
@click.argument("verb", type=click.Choice(get_args(JobVerb)))
@click.argument("ids", nargs=-1)
@click.option("--place", type=click.Choice(get_args(JobPlace)), help="Where, if the verb can act at several places.")
@bulk.filters
@click.option("--today", is_flag=True, help="retry: by the rules of today.")
@click.option("--even-if-older", is_flag=True, help="retry, reroute, replay: also where something newer was sent.")
@click.option("--not-sent", is_flag=True, help="release: somebody has looked, the first items did not arrive.")
@click.option("--drop", is_flag=True, help="skip: give the first items up for good.")
@click.option("--at-once", is_flag=True, help="drop: erase dead letters now, they cannot be had back.")
@click.option("--with-older", is_flag=True, help="release: also what stands before held events, of the same persons.")
@click.option("--unverified", is_flag=True, help="retry refused: also of senders that were never verified.")
@bulk.rate
@click.option("--dry", is_flag=True, help="Only say what would become of each.")
@click.option("--detach", is_flag=True, help="Do not wait for its end.")
@bulk.decision
def command(
    verb: str,
    ids: tuple[str, ...],
    place: str | None,
    rate: float,
    reason: str,
    dry: bool,
    detach: bool,
    yes: bool,
    as_json: bool,
    **given: Any,
) -> None:
    """Do something about many things at once, after a count and a yes.

    \b
    retry    dead letters; with --place what is in quarantine or was refused
    reroute  events that no rule wanted
    drop     dead letters (ten minutes long `relais jobs undo` has them back)
    undrop   dead letters that were dropped within ten minutes
    release  held boxes; with --place held events of a held source
    discard  events of a held source
    skip     the first items of held boxes
    replay   events that have ended and whose payload is kept (`retain:`)
    cancel   deliveries that wait

    Says what would become of each, by the words of the act, and asks. Where there are more or fewer by then, nothing is
    done. Without a terminal it does nothing unless told --yes (status 1).

    \b
    Examples:
      relais jobs start retry --destination crm --code invalid --today --rate 5/s
      relais jobs start replay --source shop --since 2h --dry
      relais jobs start cancel --destination newsletter --reason "wrong" --yes
    """
    names = ("today", "even_if_older", "not_sent", "drop", "unverified", "at_once", "with_older")
    how = {name: given.pop(name) for name in names}
    order = bulk.write_order(verb, place, given, ids, rate=rate, reason=reason, **how)
    bulk.carry_out(order, WOULD[verb], "things", yes=yes, as_json=as_json, dry=dry, detach=detach)
