"""The file of receipts: who was forgotten, as keyed hashes, so that a store that was restored forgets them again.

Comes in: a path, receipts. Goes out: the receipts, and what was erased once more. It lies beside the store and not in
it: a restore brings back the store as it was. Never holds a value of anybody.
"""

import asyncio
import os
from collections.abc import Sequence
from pathlib import Path

import click

from console.errors import UserError
from console.render import tables
from mailroom import Mailroom, StoreDamaged, StoreUnavailable, aof_rewrite
from mailroom.forgetting import ForgetReceipt, Forgetting, Person, read_receipt
from mailroom.ledger import Decision
from mailroom.settings import QueueSettings

#: Seconds that a start waits for the store's files to be written anew.
REWRITE_WITHIN = 60.0


class ReceiptFile:
    """One file; each line is a receipt."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def read(self) -> list[ForgetReceipt]:
        """Return the receipts. Raises UserError where the file cannot be read or is damaged."""
        try:
            lines = self.path.read_text(encoding="utf-8").splitlines()
            return [read_receipt(line) for line in lines if line.strip()]
        except FileNotFoundError:
            return []
        except (OSError, ValueError, KeyError, TypeError) as exc:
            raise UserError(
                f"the receipts of who was forgotten cannot be read: {self.path} ({exc.__class__.__name__})",
                mend="bring the file back from its backup, or set RELAIS_RECEIPTS; without it a restored store "
                "forgets nobody again",
            ) from exc

    def keep(self, receipts: Sequence[ForgetReceipt]) -> None:
        """Write receipts, synced, in place of those of the same ids. Raises UserError."""
        new = {receipt.id: receipt for receipt in (*self.read(), *receipts)}
        text = "".join(f"{receipt.encode()}\n" for receipt in new.values())
        beside = self.path.with_name(f"{self.path.name}.new")
        try:
            self.path.parent.mkdir(parents=True, exist_ok=True)
            with os.fdopen(
                os.open(beside, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "w", encoding="utf-8"
            ) as file:
                file.write(text)
                file.flush()
                os.fsync(file.fileno())
            beside.replace(self.path)
        except OSError as exc:
            raise UserError(
                f"the receipt cannot be written: {self.path} ({exc.strerror})",
                mend="let this user write there, or set RELAIS_RECEIPTS",
            ) from exc


async def forget_again(mailroom: Mailroom, file: ReceiptFile) -> list[ForgetReceipt]:
    """Forget whom the store does not know to be forgotten: it is older than their receipts. Return the receipts.

    Raises StoreUnavailable, UserError.
    """
    receipts = file.read()
    if not receipts:
        return []
    await mailroom.prepare()
    known = {receipt.id for receipt in await Forgetting(mailroom).receipts()}
    again = []
    for receipt in receipts:
        if receipt.id not in known:
            forgetting = Forgetting(mailroom, Decision(receipt.by))
            await forgetting.keep(receipt)
            again.append(await forgetting.carry_out(receipt, Person(frozenset(receipt.hashes))))
    if any(receipt.hashes for receipt in again):
        await aof_rewrite.rewrite(mailroom, REWRITE_WITHIN)
    return again


def before_start(settings: QueueSettings) -> None:
    """Forget whom a restored store has brought back, before anything of theirs is sent. Raises UserError."""
    if not settings.receipts or not (file := ReceiptFile(Path(settings.receipts))).read():
        return

    async def run() -> list[ForgetReceipt]:
        key = settings.hash_key.get_secret_value().encode()
        async with Mailroom.connect(settings.redis_url, hash_key=key, replicas=settings.replicas) as mailroom:
            return await forget_again(mailroom, file)

    try:
        again = asyncio.run(run())
    except (StoreUnavailable, StoreDamaged) as exc:
        raise UserError(
            f"nobody can say yet whether the store knows who was forgotten: {exc}", mend="start when the store is there"
        ) from exc
    if again:
        many = tables.say_count(len(again), "person", "persons")
        click.echo(f"The store was restored: {many} forgotten once more.", err=True)
