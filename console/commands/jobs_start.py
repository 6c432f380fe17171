"""`relais jobs start`."""

import json
import secrets
import time
from collections.abc import Mapping
from typing import Any, get_args

import click
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

from console import bulk, settings
from console.client import ClientSettings, ConsoleClient
from console.errors import SAID_NO
from console.jobs.orders import JobPlace, JobVerb
from console.render import rooms, tables

#: Seconds between two looks at a job that runs.
LOOK_AGAIN = 0.2
#: More than so many are done only by whoever writes their number.
TYPED = 20


@click.command()
@click.argument("verb", type=click.Choice(get_args(JobVerb)))
@click.argument("ids", nargs=-1)
@click.option("--place", type=click.Choice(get_args(JobPlace)), help="Where, if the verb can act at several places.")
@bulk.filters
@click.option("--today", is_flag=True, help="retry: by the rules of today.")
@click.option("--even-if-older", is_flag=True, help="retry, reroute, replay: also where something newer was sent.")
@click.option("--not-sent", is_flag=True, help="release: somebody has looked, the first items did not arrive.")
@click.option("--drop", is_flag=True, help="skip: give the first items up for good.")
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
    release  held boxes
    skip     the first items of held boxes
    replay   events that have ended and whose payload is kept (`retain:`)
    cancel   deliveries that wait

    Says what would become of each, by the words of the act, and asks. Where there are more or fewer by then, nothing is
    done. Without a terminal it does nothing unless told --yes (status 1).

    \b
    Examples:
      relais jobs start retry --destination crm --code invalid --today --rate 5/s
      relais jobs start replay --source shop --since 2h --dry
      relais jobs start cancel --destination newsletter --yes --reason "wrong text"
    """
    names = ("today", "even_if_older", "not_sent", "drop", "unverified")
    how = {name: True for name in names if given.pop(name)}
    chosen = {name: value for name, value in {**given, "ids": list(ids)}.items() if value}
    order = {"verb": verb, "place": place, "filter": chosen, "how": how, "rate": rate, "reason": reason}
    client = ConsoleClient(settings.load(ClientSettings))
    found = client.post("/jobs", {**order, "dry": True})
    if dry or not found["count"] or (not yes and (as_json or not bulk.at_a_terminal())):
        _tell_dry(found, as_json=as_json, asked=dry)
        raise SystemExit(0 if dry or not found["count"] else SAID_NO)
    if not as_json:
        _tell_dry(found, as_json=False, asked=True)
    if not yes:
        _ask(verb, found["count"])
    job = client.post("/jobs", {**order, "expect": found["count"], "intent": secrets.token_hex(16)})
    if not detach:
        job = _follow(client, job, quiet=as_json)
    if as_json:
        click.echo(json.dumps(job, indent=2, ensure_ascii=False))
    else:
        tell(job)
    if not detach and job["words"].get("done", 0) < job["count"]:
        raise SystemExit(SAID_NO)


def _tell_dry(found: Mapping[str, Any], *, as_json: bool, asked: bool) -> None:
    if as_json:
        click.echo(json.dumps({"dry_run": True, **found}, indent=2, ensure_ascii=False))
        return
    if found["groups"]:
        tables.out().print(rooms.groups(found["groups"]))
    click.echo(
        f"{found['count']} are meant." if found["tried"] == found["count"] else f"Of {found['count']} the first:"
    )
    for word, count in found["words"].items():
        click.echo(f"{count} {'would be done' if word == 'done' else rooms.SAYS[word]}")
    if not asked and found["count"]:
        click.echo("Nothing was done: say --yes to do it.")


def _ask(verb: str, count: int) -> None:
    if count <= TYPED:
        if not click.confirm(f"{verb} {count}. Go on?"):
            raise SystemExit(SAID_NO)
    elif click.prompt(f"{verb} {count}. Write the number to go on", default="", show_default=False) != str(count):
        raise SystemExit(SAID_NO)


def _follow(client: ConsoleClient, job: Mapping[str, Any], *, quiet: bool) -> Mapping[str, Any]:
    """Show how far a job is until it has ended, or somebody pauses it."""
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
    with Progress(*columns, console=tables.out(stderr=True), disable=quiet, transient=True) as progress:
        bar = progress.add_task(job["id"], total=job["count"])
        while job["state"] == "running":
            time.sleep(LOOK_AGAIN)
            job = client.get(f"/jobs/{job['id']}")
            progress.update(bar, completed=job["done"])
    return job


def tell(job: Mapping[str, Any]) -> None:
    """Print a job: what it is, how far, what came of it."""
    why = f': "{job["reason"]}"' if job["reason"] else ""
    click.echo(f"{job['id']}  {job['verb']} {job['place']}  {job['state']}  {job['done']} of {job['count']}")
    click.echo(f"by {job['by']} at {job['at']}{why}")
    for word, count in job["words"].items():
        click.echo(f"{count} {rooms.SAYS[word]}")
    for one in job.get("left_alone", ())[:10]:
        click.echo(f"  {one['item']}  {one['word']}")
