"""`relais record`."""

import asyncio
import contextlib
import socket
from pathlib import Path

import click
import uvicorn

from console import book, recording, settings, stored_events
from console.commands.rules_preview import span
from console.errors import SAID_NO, UserError
from console.processes import port, up
from console.recording import CapturedRequest, Recording
from rules.rulebook import Rulebook
from rules.source.problem import did_you_mean

#: Texts of one field that are shown; of the others it is said how many.
SHOWN = 6


@click.command()
@click.argument("target", metavar="FOLDER", type=click.Path(file_okay=False, path_type=Path))
@click.option("--since", metavar="TIME", callback=span, help="What came in, as far as its payload is kept: 2h, 7d.")
@click.option("--listen", "number", type=click.IntRange(1, 65535), help="Stand in front of the receiver on this port.")
@click.option("--to", help="The receiver, for --listen [RELAIS_HOST and RELAIS_PORT, http://127.0.0.1:8080].")
@click.option("--count", type=click.IntRange(1), help="End --listen after so many; without it Ctrl-C does.")
@click.option("--source", help="Only of this source.")
@click.option("--keep", multiple=True, metavar="FIELD", help="Leave this field as it is: lines[].text; repeatable.")
@click.option("--yes", is_flag=True, help="Write the files, do not ask.")
@click.option("--book", "folder", type=click.Path(path_type=Path), help="The book [RELAIS_BOOK, rules/book].")
def command(
    target: Path,
    since: int | None,
    number: int | None,
    to: str | None,
    count: int | None,
    source: str | None,
    keep: tuple[str, ...],
    yes: bool,
    folder: Path | None,
) -> None:
    """Make fixtures of invented people out of what sources really sent.

    With --listen it passes everything on to the receiver, unchanged, and keeps in memory what that took; with --since
    it reads what the store still has (a source with retain:). The same person becomes the same invention, formats
    stay, free text is replaced, and no secret is kept. What was kept as it is, is shown before anything is
    written: look whether it names somebody. Without a terminal nothing is written unless told --yes (status 1).
    relais replay FOLDER sends it, signed anew; with --timing 1 in its original pauses.

    \b
    Examples:
      relais record recorded --since 7d --source shop
      relais record recorded --listen 8090 --count 20
      relais record recorded --since 1d --keep lines[].text --yes
    """
    if (since is None) is (number is None):
        raise click.UsageError("say --since 7d, or --listen 8090")
    if target.exists() and any(target.iterdir()):
        raise UserError(f"{target} is not empty", mend="name another folder")
    loaded = book.load(folder)
    if source is not None and source not in loaded.sources:
        raise UserError(f"the book has no source {source!r}", mend=did_you_mean(source, loaded.sources))
    if number is not None:
        captured = listen(number, to or up.find_receiver(settings.load(up.UpSettings)), loaded, count)
        captured = [one for one in captured if source in (None, one.source)]
    else:
        captured = recording.read_stored(stored_events.since(since or 0).events, loaded, source)
    made = recording.make(captured, loaded, keep)
    show(made)
    if not made.timing:
        raise UserError(
            "there is nothing to write",
            mend="look further back, or let the platform send: --listen 8090",
            status=SAID_NO,
        )
    if not yes and not click.confirm(f"Write {len(made.files)} files to {target}?", default=False):
        raise SystemExit(SAID_NO)
    made.write(target)
    click.echo(f"Written. Send it: relais replay {target} --timing 1")


def listen(number: int, to: str, loaded: Rulebook, count: int | None) -> list[CapturedRequest]:
    """Pass requests on until there are enough, or until Ctrl-C; return what the receiver took."""
    port.demand("127.0.0.1", number, "--listen")
    captured: list[CapturedRequest] = []

    def told(one: CapturedRequest) -> None:
        captured.append(one)
        click.echo(f"{len(captured)}  {one.source}  {one.name}", err=True)
        if count and len(captured) >= count:
            server.should_exit = True

    app = recording.build_proxy(to, loaded, told)
    server = uvicorn.Server(uvicorn.Config(app, "127.0.0.1", number, log_level="warning", lifespan="off"))
    with socket.create_server(("127.0.0.1", number)) as listening, contextlib.suppress(KeyboardInterrupt):
        click.echo(f"http://127.0.0.1:{number} leads to {to}; Ctrl-C ends the recording.", err=True)
        asyncio.run(server.serve(sockets=[listening]))
    return captured


def show(made: Recording) -> None:
    """Print the bodies as they would be written, one of each name, and what was kept as it is."""
    seen = set()
    for name in made.timing:
        stem = name.rsplit(".", 2)[0]
        if stem not in seen:
            seen.add(stem)
            click.secho(name, bold=True)
            click.echo(made.files[name].decode().strip()[:2_000])
    for source, fields in made.kept.items():
        click.secho(f"kept as it is, {source}", bold=True)
        for path, texts in sorted(fields.items()):
            more = f" and {len(texts) - SHOWN} more" if len(texts) > SHOWN else ""
            click.echo(f"  {path}: {', '.join(sorted(texts)[:SHOWN])}{more}")
    replaced = ", ".join(f"{kind} {count}" for kind, count in made.replaced.most_common())
    click.echo(f"{len(made.timing)} requests; replaced: {replaced or 'nothing'}")
    for why, count in made.left_out.items():
        click.secho(f"left out, {count}: {why}", fg="yellow")
