"""`relais forget`."""

import asyncio
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import click

from console import bulk, json_output, receipts, settings
from console.checks.doctor import DoctorSettings
from console.client import ConsoleClient
from console.errors import USAGE, UserError
from console.render import tables
from mailroom import Mailroom, StoreDamaged, StoreUnavailable, forgetting
from mailroom.forgetting import ForgetReceipt

#: Seconds that the console may take: what is under way settles, receivers answer, the store writes its files anew.
PATIENCE = 150.0


@click.command(cls=bulk.HashCommand)
@click.argument("person", required=False)
@click.option("--dry-run", is_flag=True, help="Only show what would be erased.")
@click.option("--mentions", is_flag=True, help="Also erase what is about others and mentions the person.")
@click.option("--at", "at", multiple=True, metavar="DESTINATION", help="Also delete the person there, for good.")
@click.option("--list", "list_them", is_flag=True, help="List the receipts.")
@click.option("--again", is_flag=True, help="Forget anew whom a restored store has brought back. Asks the store.")
@bulk.decision
def command(
    person: str | None,
    *,
    dry_run: bool,
    mentions: bool,
    at: tuple[str, ...],
    list_them: bool,
    again: bool,
    reason: str,
    yes: bool,
    as_json: bool,
) -> None:
    """Erase what is kept of a person, everywhere, and keep a receipt without values.

    PERSON is an address, a telephone number with its country, an id of a system (seminardesk:profile:4711), or a
    hash that `relais people find` said; - reads it from a pipe. Shows what would go, and asks. What a worker
    holds settles first. Events of that person that come later are new. Destinations keep what they have; where --at
    names them the person is deleted there, too, after Relais has forgotten what waits for them. It goes to the console
    (RELAIS_CONSOLE_URL); after a restore, `relais forget --again` goes to the store, before anything else starts.

    \b
    Examples:
      relais forget eva@example.org --dry-run
      relais forget eva@example.org --reason "case 4711"
      echo eva@example.org | relais forget - --yes
      relais forget eva@example.org --at crm --at newsletter --reason "case 4711"
      relais forget --list
      relais forget --again
    """
    if sum((person is not None, list_them, again)) != 1:
        raise UserError("say whom to forget, or one of --list and --again", status=USAGE)
    if again:
        _say_again(_forget_again(), as_json=as_json)
        return
    client = ConsoleClient.from_settings()
    if list_them:
        _list(client.get("/forgotten"), as_json=as_json)
        return
    text = sys.stdin.readline().strip() if person == "-" else str(person)
    asked = {"text": text, "reason": reason, "mentions": mentions, "at": at}
    found = client.post("/people/forget", {**asked, "dry": True}, PATIENCE)
    if dry_run and as_json:
        json_output.write(found)
        return
    if not as_json:
        _show(found, at)
    if dry_run:
        return
    if not yes and not _agreed():
        raise UserError("nothing was erased; say --yes", status=USAGE)
    done = client.post("/people/forget", {**asked, "dry": False}, PATIENCE)
    if as_json:
        json_output.write(done)
    else:
        _tell(done["receipt"])


def _agreed() -> bool:
    return sys.stdin.isatty() and click.confirm("Erase this for good?")


def _show(found: Mapping[str, Any], at: Sequence[str]) -> None:
    read = ", ".join(f"{each['who']} ({each['read_as']})" for each in found["readings"])
    click.echo(f"Read as {read}. Would be erased:")
    _print_counts(found["counts"])
    if found["receivers"]:
        whose = "its spool" if found["receivers"] == 1 else "their spools"
        many = tables.say_count(found["receivers"], "receiver")
        click.echo(f"{many} will look through {whose}; the count is that of this host's.")
    if found["under_way"]:
        click.echo(f"Under way, and settles first: {found['under_way']}")
    if found["mentions"]:
        ids = ", ".join(found["mentioned"])
        click.echo(f"About others, mentions the person: {found['mentions']} (--mentions erases them, too): {ids}")
    for name, what in found["deleting"].items():
        if name in at:
            click.echo(f"Would be deleted at {name}: {what}")
        else:
            click.echo(f"{name} keeps what it has; --at {name} deletes there: {what}")
    for each in found["related"]:
        many = tables.say_count(each["events"], "further event")
        click.echo(f"The same events are also found by {each['who']}, which has {many}: relais forget {each['who']}")


def _print_counts(counts: Mapping[str, int]) -> None:
    for kind, word in forgetting.KINDS.items():
        if counts.get(kind):
            click.echo(f"  {counts[kind]:>6}  {word}")
    if not any(counts.values()):
        click.echo("  nothing")


def _tell(receipt: Mapping[str, Any]) -> None:
    click.echo(f"Erased, what was received until {receipt['at']} (receipt {receipt['id']}):")
    _print_counts(receipt["counts"])
    click.echo(forgetting.REWRITTEN[receipt["rewrite"]])
    if receipt["silent"]:
        many = tables.say_count(receipt["silent"], "receiver has", "receivers have")
        click.echo(f"{many} not answered yet: what their spools hold is erased before it is handed over.")
    if receipt["under_way"]:
        click.echo(f"Still under way: {receipt['under_way']}. Say it once more when they have settled.")
    for name, end in receipt["elsewhere"].items():
        click.echo(f"At {name}: {forgetting.say_end(end)}.")
    click.echo(f"Backups may hold it until {receipt['until'][:10]}; a restored store forgets it before it starts.")


def _list(found: Mapping[str, Any], *, as_json: bool) -> None:
    if as_json:
        json_output.write(found)
        return
    for one in found["receipts"]:
        erased = one["counts"]
        told = [f"{erased[kind]} {word}" for kind, word in forgetting.KINDS.items() if erased.get(kind)]
        counts = ", ".join(told) or "nothing"
        ends = ", ".join(f"{name}: {end}" for name, end in one["elsewhere"].items())
        click.echo(f"{one['at'][:19]}Z  {one['id']}  {one['by'] or '?'}: {counts}{ends and f'; at {ends}'}")
    if not found["receipts"]:
        click.echo("Nobody was forgotten.")


def _forget_again() -> list[ForgetReceipt]:
    chosen = settings.load(DoctorSettings)
    if not chosen.receipts:
        raise UserError("there is no file of receipts", mend="set RELAIS_RECEIPTS")
    if not Path(chosen.receipts).exists():
        raise UserError(
            f"there is no file of receipts at {chosen.receipts}",
            mend="bring it back from its backup, or set RELAIS_RECEIPTS; where nobody was ever forgotten there is none",
        )

    async def run() -> list[ForgetReceipt]:
        key = chosen.hash_key.get_secret_value().encode()
        async with Mailroom.connect(chosen.url, hash_key=key, replicas=chosen.replicas) as mailroom:
            return await receipts.forget_again(mailroom, receipts.ReceiptFile(Path(chosen.receipts)))

    try:
        return asyncio.run(run())
    except (StoreUnavailable, StoreDamaged) as exc:
        raise UserError(str(exc), mend="say where the store is: REDIS_URL") from exc


def _say_again(again: list[ForgetReceipt], *, as_json: bool) -> None:
    if as_json:
        json_output.write({"forgotten": [{"id": one.id, "counts": one.counts} for one in again]})
        return
    many = tables.say_count(len(again), "person", "persons")
    click.echo(f"{many} forgotten once more." if again else "The store knows all who were forgotten.")
