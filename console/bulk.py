"""What `relais dead` and `relais boxes` share: filters, a preview, the question whether to go on, batches at a rate.

Comes in: options of the command line. Goes out: a query for the console; then, once a person has agreed, one request
after the other, and how each item ended. Never changes anything without a yes.
"""

import json
import re
import sys
import time
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any, TypeVar
from urllib.parse import urlencode

import click
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

from console.client import ConsoleClient
from console.errors import SAID_NO
from console.render import rooms, tables

#: Items in one request; a chosen rate makes it fewer.
BATCH = 100
#: Requests a second when a rate is given: one request takes the items of a tenth of a second.
BEATS = 10
#: An item that a drain is routing just now (`busy`) is asked for this often, with so many seconds between.
BUSY_TRIES, BUSY_AGAIN = 10, 0.5

F = TypeVar("F", bound=Callable[..., Any])

UNITS = {"s": 1, "m": 60, "h": 3600, "d": 86_400}


def read_span(value: str) -> float | None:
    """Return the seconds of a while: `2h`; None where it is none."""
    found = re.fullmatch(r"(\d+)([smhd])", value)
    return int(found[1]) * UNITS[found[2]] if found else None


class Since(click.ParamType[int]):
    """A time: `2h` ago, or `2026-11-21`, or `2026-11-21T10:00`; in UTC where nothing else is said. As ms."""

    name = "time"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> int:
        """Return it in ms."""
        if isinstance(value, int):
            return value
        if (ago := read_span(value)) is not None:
            return int((time.time() - ago) * 1000)
        try:
            at = datetime.fromisoformat(value)
        except ValueError:
            self.fail(f"{value!r} is no time: write 2h, 3d, 2026-11-21 or 2026-11-21T10:00", param, ctx)
        return int((at if at.tzinfo else at.replace(tzinfo=UTC)).timestamp() * 1000)


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
    click.option("--since", type=Since(), default=0, help="Only since then: 2h, 3d, 2026-11-21, 2026-11-21T10:00."),
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
    click.option("--json", "as_json", is_flag=True, help="As JSON."),
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


def name(box: Mapping[str, Any]) -> str:
    """Return what a held box is called."""
    return str(box["id"])


def head(box: Mapping[str, Any]) -> dict[str, str]:
    """Return what the console wants to know of a held box that somebody saw."""
    return {word: box[word] for word in ("destination", "box", "item")}


@dataclass
class BulkWork:
    """What is to be done, to whom, and what came of it."""

    #: `would be retried as they were sent`.
    would: str
    #: What is asked of the console for some items.
    ask: Callable[[Sequence[Any]], Any]
    #: What each item is called.
    name: Callable[[Any], str]
    items: Sequence[Any]
    groups: Sequence[Mapping[str, Any]]
    noun: str = "dead letters"
    rate: float = 0.0
    results: list[tuple[str, str]] = field(default_factory=list)

    @property
    def refused(self) -> list[tuple[str, str]]:
        """The items that nothing was done about, and the word for why."""
        return [(item, word) for item, word in self.results if word != "done"]


def at_a_terminal() -> bool:
    """Say whether somebody can be asked."""
    return sys.stdin.isatty()


def carry_out(work: BulkWork, client: ConsoleClient, *, yes: bool, as_json: bool) -> None:
    """Show what would happen, ask, do it, tell. Status 1 where nothing was done, or not everything."""
    if not work.items:
        click.echo(json.dumps({"count": 0, "results": {}}) if as_json else f"No {work.noun} of this kind.")
        return
    if not yes and (as_json or not at_a_terminal()):
        _dry(work, as_json)
        raise SystemExit(SAID_NO)
    if not as_json:
        tables.out().print(rooms.groups(work.groups))
    if not yes and not click.confirm(f"{len(work.items)} {work.noun} {work.would}. Go on?"):
        raise SystemExit(SAID_NO)
    _do(work, quiet=as_json)
    _tell(work, as_json)
    if work.refused:
        raise SystemExit(SAID_NO)


def _dry(work: BulkWork, as_json: bool) -> None:
    if as_json:
        click.echo(json.dumps({"dry_run": True, "count": len(work.items), "groups": work.groups}, indent=2))
        return
    tables.out().print(rooms.groups(work.groups))
    click.echo(f"{len(work.items)} {work.noun} {work.would}. Nothing was done: say --yes to do it.")


def _do(work: BulkWork, *, quiet: bool) -> None:
    size = BATCH if not work.rate else max(1, min(BATCH, int(work.rate / BEATS)))
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
    with Progress(*columns, console=tables.out(stderr=True), disable=quiet, transient=True) as progress:
        bar = progress.add_task(work.noun, total=len(work.items))
        begun = time.monotonic()
        for start in range(0, len(work.items), size):
            if work.rate:
                time.sleep(max(0.0, begun + start / work.rate - time.monotonic()))
            batch = work.items[start : start + size]
            work.results += _ask_until_not_busy(work, batch)
            progress.advance(bar, len(batch))


def _ask_until_not_busy(work: BulkWork, batch: Sequence[Any]) -> list[tuple[str, str]]:
    """Ask for a batch, and again for its items that were busy."""
    known: dict[str, str] = {}
    left = list(batch)
    for _ in range(BUSY_TRIES):
        known |= dict(work.ask(left)["results"])
        left = [item for item in left if known.get(work.name(item)) == "busy"]
        if not left:
            break
        time.sleep(BUSY_AGAIN)
    return list(known.items())


def _tell(work: BulkWork, as_json: bool) -> None:
    words = Counter(word for _, word in work.results)
    if as_json:
        refused = [{"id": item, "why": word} for item, word in work.refused]
        click.echo(json.dumps({"count": len(work.results), "results": words, "refused": refused}, indent=2))
        return
    for word, count in words.most_common():
        click.echo(f"{count} {rooms.SAYS[word]}")
    for item, word in work.refused[:10]:
        click.echo(f"  {item}  {word}")
    if len(work.refused) > 10:
        click.echo(f"  and {len(work.refused) - 10} more; --json names all")
