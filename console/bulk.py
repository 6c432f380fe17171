"""What commands that act on many things share: filters, a dry run, the question whether to go on, a job and its end.

Comes in: options of the command line. Goes out: a query for the console; then, once a person has agreed, a job of the
console, and how its items ended. Never changes anything without a yes.
"""

import re
import secrets
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from datetime import UTC, datetime, timedelta
from typing import Any, TypeVar
from urllib.parse import urlencode

import click
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

from console import json_output
from console.client import ConsoleClient
from console.errors import SAID_NO
from console.render import rooms, tables
from console.render.tables import say_count
from mailroom.hashing import HASH

#: Seconds between two looks at a job that runs.
LOOK_AGAIN = 0.2
#: More than so many are done only by whoever writes their number, at the terminal and on pages.
TYPED = 20
#: Items that were left alone are named, so many of them.
NAMED = 10

F = TypeVar("F", bound=Callable[..., Any])

UNITS = {"s": 1, "m": 60, "h": 3600, "d": 86_400}


def read_span(value: str) -> float | None:
    """Return the seconds of a while: `2h`; None where it is none."""
    found = re.fullmatch(r"(\d+)([smhd])", value)
    return int(found[1]) * UNITS[found[2]] if found else None


class Since(click.ParamType[int]):
    """A time: `2h` ago, `2026-11-21` or `2026-11-21T10:00`, in UTC where nothing else is said; `today` here. As ms."""

    name = "time"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> int:
        """Return it in ms."""
        if isinstance(value, int):
            return value
        if value == "today":
            midnight = datetime.now().astimezone().replace(hour=0, minute=0, second=0, microsecond=0)
            return int(midnight.timestamp() * 1000)
        if (ago := read_span(value)) is not None:
            return int((time.time() - ago) * 1000)
        try:
            at = datetime.fromisoformat(value)
        except ValueError:
            self.fail(f"{value!r} is no time: write today, 2h, 3d, 2026-11-21 or 2026-11-21T10:00", param, ctx)
        return int((at if at.tzinfo else at.replace(tzinfo=UTC)).timestamp() * 1000)


class Who(click.ParamType[str]):
    """The keyed hash of a person. An address is refused: it would stand in a URL, and no event is found by it."""

    name = "hash"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> str:
        """Return it as it is."""
        if value and not HASH.fullmatch(value):
            self.fail("that is no hash; `relais people find` says the hash of an address", param, ctx)
        return str(value)


class HashCommand(click.Command):
    """A command that takes a keyed hash as its argument: one may begin with a dash, and is no option then."""

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        """Put such hashes behind `--`."""
        options = {name for param in self.params for name in param.opts}
        hashes = [] if "--" in args else [each for each in args if is_dashed(each) and each not in options]
        rest = [each for each in args if each not in hashes]
        return super().parse_args(ctx, [*rest, "--", *hashes] if hashes else args)


def is_dashed(text: str) -> bool:
    """Say whether a word of a command line is a hash that looks like an option."""
    return text.startswith("-") and HASH.fullmatch(text) is not None


class Until(click.ParamType[int]):
    """A time to come: `18:00` on this machine's clock, in `2h`, or `2026-11-30T08:00`. As ms."""

    name = "time"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> int:
        """Return it in ms."""
        if isinstance(value, int):
            return value
        now = datetime.now().astimezone()
        try:
            if (ahead := read_span(value)) is not None:
                at = now + timedelta(seconds=ahead)
            elif clock := re.fullmatch(r"(\d\d):(\d\d)", value):
                at = now.replace(hour=int(clock[1]), minute=int(clock[2]), second=0, microsecond=0)
                at += timedelta(days=at <= now)
            else:
                at = datetime.fromisoformat(value).astimezone()
        except (ValueError, OverflowError):
            self.fail(f"{value!r} is no time: write 18:00, 2h, 3d or 2026-11-30T08:00", param, ctx)
        if at <= now:
            self.fail(f"{value!r} is over", param, ctx)
        return int(at.timestamp() * 1000)


class ItemsPerSecond(click.ParamType[float]):
    """Items a second: `5`, `5/s`, `100/m`."""

    name = "n/s"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> float:
        """Return items a second."""
        if isinstance(value, float):
            return value
        found = re.fullmatch(r"(\d+(?:\.\d+)?)(?:/([smhd]))?", value)
        if not found or float(found[1]) <= 0:
            self.fail(f"{value!r} is no rate: write 5/s or 100/m", param, ctx)
        return float(found[1]) / UNITS[found[2] or "s"]


Option = Callable[[Any], Any]


def add_options(*options: Option) -> Callable[[F], F]:
    """Return a decorator that adds options to a command, in this order."""

    def add(command: F) -> F:
        for option in reversed(options):
            command = option(command)
        return command

    return add


#: The options that choose.
filters = add_options(
    click.option("--destination", default="", help="Only of this destination; `in` is the inbox."),
    click.option("--action", default="", help="Only of this action, `upsert_contact`."),
    click.option("--rule", default="", help="Only of this rule."),
    click.option("--code", default="", help="Only with this reason, `invalid`."),
    click.option("--source", default="", help="Only of events from this source."),
    click.option("--type", default="", help="Only of events of this type."),
    click.option("--event", default="", help="Only of this event."),
    click.option("--since", type=Since(), default=0, help="Only since then: today, 2h, 3d, 2026-11-21T10:00."),
)
#: Why somebody decides: the story of what was decided about says so.
reason = click.option("--reason", default="", help="Why, for whoever reads the story later.")
#: When what somebody decides ends by itself.
until = click.option(
    "--until", type=Until(), default=0, help="It ends then: 18:00, 2h, 2026-11-30T08:00, of this clock."
)
#: How somebody decides about many at once.
decision = add_options(
    reason,
    click.option("--yes", is_flag=True, help="Do it, do not ask."),
    json_output.option,
)
rate = click.option(
    "--rate", type=ItemsPerSecond(), default=0.0, help="At most so many: 5/s, 100/m. As fast as can be."
)


def say_until(until: int) -> str:
    """Return when something ends, to be put behind what it is; empty: not by itself."""
    return f" until {datetime.fromtimestamp(until / 1000).astimezone():%Y-%m-%d %H:%M %Z}" if until else ""


def query(given: Mapping[str, Any], **more: str) -> str:
    """Return the query of what was chosen."""
    return urlencode({name: value for name, value in {**given, **more}.items() if value})


def at_a_terminal() -> bool:
    """Say whether somebody can be asked."""
    return sys.stdin.isatty()


def write_order(
    verb: str, place: str | None, given: Mapping[str, Any], ids: Sequence[str] = (), **more: Any
) -> dict[str, Any]:
    """Return an order as the console takes it. `given`: what was chosen; `more`: rate, reason, and how it is done."""
    chosen = {name: value for name, value in {**given, "ids": list(ids)}.items() if value}
    said: dict[str, Any] = {name: more.pop(name) for name in ("rate", "reason") if name in more}
    return {"verb": verb, "place": place, "filter": chosen, "how": {name: True for name in more if more[name]}, **said}


def carry_out(
    order: Mapping[str, Any], would: str, noun: str = "dead letters", *, yes: bool, as_json: bool, **more: bool
) -> None:
    """Show what would happen, ask, order the job, follow it, tell. Status 1 where nothing was done, or not everything.

    `would`: what would become of them, `would be retried as they were sent`. `more`: `dry`, only show it; `detach`, do
    not wait for the end.
    """
    client = ConsoleClient.from_settings()
    found = client.post("/jobs", {**order, "dry": True})
    meant = f"{noun[0].upper()}{noun[1:]}: {found['count']} {would}."
    dry = more.get("dry", False)
    asks = not yes and not dry
    if as_json:
        if dry or asks or not found["count"]:
            json_output.write({"dry_run": True, **found})
    elif not found["count"]:
        click.echo(f"No {noun} of this kind.")
    else:
        _tell_dry(found)
        if dry or (asks and not at_a_terminal()):
            click.echo(f"{meant} Nothing was done{'' if dry else ': say --yes to do it'}.")
    if dry or not found["count"]:
        return
    if asks and (as_json or not at_a_terminal() or not _ask(meant, found["count"])):
        raise SystemExit(SAID_NO)
    # Whoever says --yes has not seen a number that could have changed.
    expect = "any" if yes else found["count"]
    job = client.post("/jobs", {**order, "expect": expect, "intent": secrets.token_hex(16)})
    if not more.get("detach"):
        job = _follow(client, job, quiet=as_json)
    if as_json:
        json_output.write(job)
    else:
        tell(job)
    if not more.get("detach") and job["words"].get("done", 0) < job["count"]:
        raise SystemExit(SAID_NO)


def _tell_dry(found: Mapping[str, Any]) -> None:
    if found["groups"]:
        tables.out().print(rooms.groups(found["groups"]))
    if found["tried"] < found["count"]:
        click.echo(f"Of the first {found['tried']}:")
    for word, count in found["words"].items():
        click.echo(f"{count} {'would be done' if word == 'done' else rooms.SAYS[word]}")
    if found.get("today", {}).get("events"):
        _tell_today(found["today"])
    if found["ahead"]:
        click.echo(
            f"{found['ahead']} held events of the same persons came before some of these and are not among them: what "
            "would overtake them waits for them (--with-older releases them, too)."
        )


def _tell_today(today: Mapping[str, Any]) -> None:
    """Print what the rules of today would send."""
    click.echo(f"The rules of today, for {say_count(today['events'], 'event')}:")
    signs = {"sent": "+", "dead": "!", "left_out": "-", "unknown": "?"}
    for one in today["lines"]:
        why = f": {one['why']}" if one["why"] else ""
        what = f"{one['destination']}.{one['action']}".strip(".") or "all of it"
        click.echo(f"  {signs[one['outcome']]} {one['count']} {what} ({one['rule']}){why}  {' '.join(one['samples'])}")
    for name, says in (("nothing", "for which they ask nothing"), ("unreadable", "that cannot be read any more")):
        if today[name]:
            click.echo(f"  - {say_count(today[name], 'event')} {says}")


def _ask(meant: str, count: int) -> bool:
    if count <= TYPED:
        return click.confirm(f"{meant} Go on?")
    return bool(click.prompt(f"{meant} Write the number to go on", default="", show_default=False) == str(count))


def _follow(client: ConsoleClient, job: Mapping[str, Any], *, quiet: bool) -> Mapping[str, Any]:
    """Show how far a job is until it has ended, or somebody pauses it."""
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
    try:
        with Progress(*columns, console=tables.out(stderr=True), disable=quiet, transient=True) as progress:
            bar = progress.add_task(job["id"], total=job["count"])
            while job["state"] == "running":
                time.sleep(LOOK_AGAIN)
                job = client.get(f"/jobs/{job['id']}")
                progress.update(bar, completed=job["done"])
    except KeyboardInterrupt:
        click.echo(f"{job['id']} goes on without you: relais jobs show|pause|stop {job['id']}", err=True)
        raise
    return job


def tell(job: Mapping[str, Any]) -> None:
    """Print a job: what it is, how far, what came of it."""
    why = f': "{job["reason"]}"' if job["reason"] else ""
    click.echo(f"{job['id']}  {job['verb']} {job['place']}  {job['state']}  {job['done']} of {job['count']}")
    click.echo(f"by {job['by']} at {job['at']}{why}")
    for word, count in job["words"].items():
        click.echo(f"{count} {rooms.SAYS[word]}")
    left = job.get("left_alone", ())
    for one in left[:NAMED]:
        click.echo(f"  {one['item']}  {one['word']}")
    if len(left) > NAMED:
        click.echo(f"  and {len(left) - NAMED} more; --json names them")
