"""`relais hooks`."""

import asyncio
import os
import time
from dataclasses import asdict
from pathlib import Path

import click
from rich.table import Table

from console import book, hooks, json_output, replay
from console.errors import SAID_NO, UserError
from console.hooks import HookReport
from console.render import tables
from console.vendor_api import OutgoingApi
from receiver import sources, verification
from receiver.vendor_api import ApiFailed
from rules.errors import SecretMissing
from rules.rulebook import Source
from rules.source.problem import did_you_mean


@click.command()
@click.argument("what", type=click.Choice(["list", "register", "remove"]))
@click.argument("source")
@click.option("--to", help="Our public address, https://relais.example.org; for register and remove.")
@click.option("--book", "folder", type=click.Path(path_type=Path), help="The book [RELAIS_BOOK, rules/book].")
@json_output.option
def command(what: str, source: str, to: str | None, folder: Path | None, as_json: bool) -> None:
    """List, register or remove webhooks at the platform of a source.

    For kinds whose platform has an API for it (activetrail, maileon), with the key under `hooks:` of the source. What
    is there is read first; only what differs is made or changed, and what posts elsewhere stays untouched, also what
    posts to a source of this name at another address: another Relais may use the account.

    \b
    Examples:
      relais hooks list mailing
      relais hooks register mailing --to https://relais.example.org
      relais hooks remove mailing --to https://relais.example.org
    """
    if what != "list" and not (to or "").startswith(("https://", "http://")):
        raise click.UsageError("say where the platform reaches us: --to https://relais.example.org")
    loaded = book.load(folder)
    chosen = loaded.sources.get(source)
    if chosen is None:
        raise UserError(f"the book has no source {source!r}", mend=did_you_mean(source, loaded.sources))
    try:
        found = asyncio.run(carry_out(what, chosen, to or ""))
    except ApiFailed as exc:
        raise UserError(f"{source}: {exc.code}: {exc.hint}", status=SAID_NO) from exc
    if as_json:
        json_output.write({"hooks": [asdict(one) for one in found]})
    elif not found:
        click.echo(f"{source}: there is no webhook.")
    else:
        table = Table("id", "event there", "posts to", "", box=None, pad_edge=False)
        for one in found:
            table.add_row(one.id or "-", one.event, one.url, one.state)
        tables.out().print(table)
        if any(one.state == "left" for one in found):
            click.echo(
                f"left: posts to another address; to remove it, name that: relais hooks remove {source} --to …",
                err=True,
            )


async def carry_out(what: str, source: Source, to: str) -> list[HookReport]:
    """Ask the platform. Raises ApiFailed, UserError."""
    adapter = sources.SOURCES[source.kind]
    async with OutgoingApi() as api:
        try:
            registry = adapter.hooks(source.options, lambda each: each.resolve(os.environ, book.read_file), api)
        except SecretMissing as exc:
            raise UserError(f"{exc.name} is not set", mend=f"set it: export {exc.name}=…, or in .env") from exc
        if registry is None:
            raise UserError(
                f"nothing can be registered for {source.name} ({source.kind})",
                mend="write hooks: with api_key: under the source, if its platform has an API for it: docs/sources",
            )
        if what == "list":
            return await hooks.list_all(registry, source.name)
        if what == "remove":
            return await hooks.remove(registry, source.name, to)
        checks = replay.read_checks(source, os.environ, book.read_file)
        return await hooks.register(registry, source.name, to, verification.sign(checks, b"", time.time(), "msg"))
