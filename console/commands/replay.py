"""`relais replay`."""

import asyncio
import os
from collections.abc import Sequence
from pathlib import Path

import click
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn
from rich.table import Table

from console import book, json_output, replay, settings
from console.client import ClientSettings
from console.errors import SAID_NO, UserError
from console.processes import up
from console.render import events, tables
from console.replay import ReplayReport, ReplayRequest


@click.command()
@click.argument("paths", nargs=-1, required=True, type=click.Path(exists=True, path_type=Path))
@click.option("--to", help="The receiver [RELAIS_HOST and RELAIS_PORT, http://127.0.0.1:8080].")
@click.option("--source", help="The source to send as; otherwise the folder's name says it.")
@click.option("--rate", type=click.FloatRange(0, 100_000), default=0, help="Requests a second; 0: one after the other.")
@click.option(
    "--timing",
    type=click.FloatRange(0.001),
    help="With the recorded pauses, so many times as fast: 1, 60 (timing.tsv).",
)
@click.option("--repeat", type=click.IntRange(1, 1_000_000), default=1, help="Send everything this many times.")
@click.option("--wait", is_flag=True, help="Wait until every event is settled, and say how it ended.")
@click.option("--within", type=click.FloatRange(0), default=60, show_default=True, help="Seconds to wait for that.")
@click.option("--book", "folder", type=click.Path(path_type=Path), help="The book [RELAIS_BOOK, rules/book].")
@json_output.option
@click.option("--junit", type=click.Path(path_type=Path), help="Also write JUnit's XML to this file; - is the output.")
def command(
    paths: tuple[Path, ...],
    to: str | None,
    source: str | None,
    rate: float,
    timing: float | None,
    repeat: int,
    wait: bool,
    within: float,
    folder: Path | None,
    as_json: bool,
    junit: Path | None,
) -> None:
    """Send recorded vendor webhooks, signed as their source would.

    A folder's name is the kind of the source (activetrail, seminardesk …) or its name in the book; where only the URL
    says what happened, the file is named after the event. `.json` is sent as JSON, `.form` as a form, `.query` as
    parameters of the URL without a body; headers of the platform stand beside it in a file that ends in `.headers`, a
    line each. Status 1 when anything was refused, or with --wait died.

    \b
    Examples:
      relais replay tests/fixtures
      relais replay tests/fixtures/seminardesk --wait --junit report.xml
      relais replay recorded --timing 60
      relais replay signup.json --source cmx --rate 200 --repeat 1000 --json
    """
    shots = replay.plan(paths, book.load(folder), os.environ, source=source, read_file=book.read_file) * repeat
    seconds: list[float] = []
    if timing:
        if rate or repeat > 1:
            raise click.UsageError("--timing says when each is sent: leave --rate and --repeat out")
        when = replay.read_timing(paths, timing)
        if strange := [shot.file for shot in shots if shot.file not in when]:
            raise UserError(f"nothing says when {strange[0]} came", mend=f"add it to {replay.TIMING}, or take it out")
        shots.sort(key=lambda shot: when[shot.file])
        seconds = [when[shot.file] - when[shots[0].file] for shot in shots]
    last = within if wait else None
    send_and_show(shots, to=to, rate=rate, at=seconds, within=last, as_json=as_json, junit=junit, repeat=repeat)


def send_and_show(
    shots: Sequence[ReplayRequest],
    *,
    to: str | None,
    rate: float,
    within: float | None,
    as_json: bool,
    at: Sequence[float] = (),
    junit: Path | None = None,
    repeat: int = 1,
) -> None:
    """Send, wait for the ends (`within`: seconds; None: not at all), print what happened, and end with its status."""
    asked = settings.load(ClientSettings)
    to = to or up.find_receiver(settings.load(up.UpSettings))
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn())
    with Progress(*columns, console=tables.out(stderr=True), disable=as_json, transient=True) as progress:
        sending = progress.add_task("sending", total=len(shots))
        report = asyncio.run(replay.send_all(shots, to, rate=rate, at=at, told=lambda _: progress.advance(sending)))
        if report.unanswered:
            raise UserError(
                f"no receiver answers at {to}", mend="start it: relais up\nor say where it is: --to http://HOST:PORT"
            )
        if within is not None:
            settling = progress.add_task("settling", total=len(report.sent))
            asyncio.run(
                replay.await_fates(
                    report,
                    asked.console_url,
                    token=asked.console_token.get_secret_value(),
                    within=within,
                    told=lambda: progress.advance(settling),
                )
            )
    if junit is not None:
        with click.open_file(str(junit), "w", encoding="utf-8") as file:
            file.write(replay.as_junit(report) + "\n")
    if as_json:
        json_output.write(report.as_json())
    elif str(junit) != "-":
        show(report, repeat)
    if not report.good:
        raise SystemExit(SAID_NO)


def show(report: ReplayReport, repeat: int) -> None:
    """Print what happened."""
    out = tables.out()
    if repeat == 1 and len(report.sent) <= 200:
        table = Table("file", "source", "answer", "ms", "events", box=None, pad_edge=False)
        for one in report.sent:
            ended = [events.state(replay.say(fate)) for fate in one.fates]
            answer = str(one.status or "none") + (f" {one.code}" if one.code else "")
            table.add_row(
                str(Path(one.file).relative_to(Path(one.file).parent.parent)),
                one.source,
                answer,
                f"{one.ms:.1f}",
                events.joined(ended) if ended else str(len(one.events)),
            )
        out.print(table)
    out.print(
        f"{len(report.sent)} sent in {report.seconds:.1f} s, {report.accepted} accepted, "
        f"p50 {report.latency(0.5):.1f} ms, p99 {report.latency(0.99):.1f} ms"
    )
    for code, count in report.refused.items():
        out.print(f"  [red]refused[/red] {code}: {count}")
    for state, count in report.states.items():
        out.print(events.joined([events.state(state)]).append(f": {count}", style=""))
    if report.unsettled:
        out.print(f"  [red]not settled in time[/red]: {report.unsettled}")
