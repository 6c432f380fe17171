"""The routes that forget a person: what would go, doing it, the receipts.

Comes in: POST requests that hold an address, a number, an id or a keyed hash: it must not stand in a URL. Goes out:
counts, and a receipt without values. Never decides who is meant, and never writes down what was typed.
"""

import asyncio
import re
from collections.abc import Mapping
from dataclasses import asdict, replace
from pathlib import Path
from types import MappingProxyType
from typing import NamedTuple

from pydantic import Field
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from console import elsewhere, people
from console.api.auth import keep_printable
from console.api.notebook import LONGEST_TEXT, ask
from console.api.request import (
    DecisionBody,
    Json,
    get_mailroom,
    read_who,
    refuse,
    takes,
    write_audit,
)
from console.errors import UserError
from console.notebook import search
from console.receipts import ReceiptFile
from mailroom import aof_rewrite
from mailroom.forgetting import KINDS, ForgetReceipt, Forgetting, Person, PersonSearch, new_id
from mailroom.hashing import HASH
from mailroom.keys import NO_POOL
from mailroom.ledger import Decision
from receiver import spool
from rules import addresses
from rules.event_types.base import to_epoch

#: Seconds that what is under way may take to settle, and that the store may take to write its files anew.
SETTLE_WITHIN, REWRITE_WITHIN = 20.0, 40.0
#: Events of others of which the ids are told.
MOST_TOLD = 20


class ForgetPerson(DecisionBody):
    """Who is to be forgotten, and whether it is to be done."""

    text: str = Field(min_length=1, max_length=LONGEST_TEXT)
    #: Only tell what would go.
    dry: bool = True
    #: Erase also what is about others and mentions the person.
    mentions: bool = False
    #: Destinations where the person is to be deleted, too.
    at: list[str] = Field(default_factory=list, max_length=100)


class ForgetRules(NamedTuple):
    """What the settings say of forgetting."""

    receipts: Path | None
    backup_days: int
    #: Folder of the spool of this host; empty: none.
    spool: str


@takes(ForgetPerson)
async def forget_person(request: Request, asked: ForgetPerson) -> Response:
    """Answer what would be erased of a person, or erase it and answer the receipt."""
    readings = await read_whom(request, asked.text)
    if not readings:
        return refuse("no_person", "that is no address, no number with its country, no id of a system and no hash")
    if names_person(asked.text, asked.reason):
        return refuse("names_person", "the reason would be kept, and names somebody: give the number of a case")
    deleting, email = await list_deleting(request), read_email(asked.text)
    if strange := [name for name in asked.at if name not in deleting]:
        which = ", ".join(deleting) or "none of the book in force"
        return refuse("cannot_delete", f"{strange[0]} cannot delete a person; who can: {which}", 409)
    if asked.at and not email:
        return refuse("no_address", "destinations know people by e-mail: say the address")
    person = Person(frozenset(readings), "" if asked.text in readings else asked.text)
    told: Json = {"readings": [{"who": who, "read_as": read_as} for who, read_as in readings.items()]}
    if asked.dry:
        for who in readings:
            await write_audit(request, "find_person", who, asked.reason)
        told |= {"deleting": deleting}
        return JSONResponse({**told, **await tell(request, person, mentions=asked.mentions)})
    at = dict.fromkeys(asked.at, email)
    try:
        receipt = await forget(request, person, asked.reason, mentions=asked.mentions, at=at)
    except UserError as exc:
        return refuse("no_receipt", f"{exc.message}; {exc.mend}", 503)
    return JSONResponse({**told, "receipt": asdict(receipt)})


async def read_whom(request: Request, text: str) -> dict[str, str]:
    """Return the keyed hashes of whom a text names, and how it was read; empty: nobody."""
    mailroom = get_mailroom(request)
    await mailroom.prepare()
    readings = {mailroom.hash(identity): read_as for identity, read_as in people.read_person(text)}
    return {**readings, text: "hash"} if HASH.fullmatch(text) else readings


def names_person(text: str, reason: str) -> bool:
    """Say whether a reason, which is kept, names whoever is forgotten, also by a word before the @, or anybody."""
    told = text.strip().casefold()
    local = told.rpartition("@")[0]
    named = {word for word in re.findall(r"[^\W\d_]+", local) if len(word) > 2}
    words = set(re.findall(r"[^\W\d_]+", reason.casefold()))
    return told in reason.casefold() or bool(named & words) or bool(addresses.find_mentioned(reason))


async def list_deleting(request: Request) -> Mapping[str, str]:
    """Return the destinations of the book in force that can delete a person, each with what it deletes."""
    book = await request.app.state.book_in_force.get()
    return {} if book is None else elsewhere.list_deleting(book)


def read_email(text: str) -> str:
    """Return the address of whom a text names; empty: it is none."""
    found = (identity for identity, _ in people.read_person(text) if identity.startswith("email:"))
    return next(found, "").removeprefix("email:")


async def forget(
    request: Request,
    person: Person,
    reason: str,
    *,
    mentions: bool = False,
    at: Mapping[str, str] = MappingProxyType({}),
) -> ForgetReceipt:
    """Erase what is kept of a person. Raises UserError, before anything is gone, if a receipt cannot be kept.

    `at`: destination -> the address by which the person is to be deleted there, too.
    """
    rules = _rules(request)
    if rules.receipts is not None:
        await asyncio.to_thread(ReceiptFile(rules.receipts).keep, ())
    receipt_id = new_id()  # the audit outlives the hashes
    await write_audit(request, "forget", f"receipt {receipt_id}", reason)
    decision = Decision(read_who(request), keep_printable(reason))
    return await _forget(request, person, decision, receipt_id, mentions=mentions, at=at)


async def tell(request: Request, person: Person, *, mentions: bool = False) -> Json:
    """Return what would be erased of a person."""
    mailroom, rules = get_mailroom(request), _rules(request)
    forgetting = Forgetting(mailroom)
    found = await forgetting.find(person, mentions=mentions)
    counts = await forgetting.erase(person, found, really=False)
    if rules.spool:
        here = PersonSearch(mailroom.hash, person)
        counts["spooled"] = await asyncio.to_thread(spool.count_of, Path(rules.spool), here)
    receivers = [name for name, (pool, _, _) in (await mailroom.processes()).items() if pool == NO_POOL]
    related = await ask(request, lambda notebook: search.related(notebook, sorted(person.hashes)))
    return {
        "counts": {kind: counts[kind] for kind in KINDS},
        "under_way": counts["under_way"],
        "mentions": len(found.mentions),
        "mentioned": sorted(found.mentions)[:MOST_TOLD],
        "related": related,
        "receivers": len(receivers),
    }


async def _forget(
    request: Request, person: Person, decision: Decision, receipt_id: str, *, mentions: bool, at: Mapping[str, str]
) -> ForgetReceipt:
    mailroom, rules = get_mailroom(request), _rules(request)
    forgetting = Forgetting(mailroom, decision)
    receipt = await forgetting.forget(
        person, rules.backup_days, within=SETTLE_WITHIN, mentions=mentions, receipt_id=receipt_id
    )
    await asyncio.to_thread(request.app.state.notebook.forget, sorted(person.hashes), to_epoch(receipt.at))
    # After what waited here is gone: it would have made them anew.
    if at and (book := await request.app.state.book_in_force.get()) is not None:
        ends = {name: (await elsewhere.delete(book, [name], email))[name] for name, email in at.items()}
        receipt = replace(receipt, elsewhere=ends)
    receipt = replace(receipt, rewrite=await aof_rewrite.rewrite(mailroom, REWRITE_WITHIN))
    await forgetting.keep(receipt)
    if rules.receipts is not None:
        known = await forgetting.receipts()
        await asyncio.to_thread(ReceiptFile(rules.receipts).keep, known)
    return receipt


async def list_receipts(request: Request) -> Response:
    """Answer the receipts, the newest first."""
    receipts = await Forgetting(get_mailroom(request)).receipts()
    return JSONResponse({"receipts": [asdict(receipt) for receipt in receipts]})


def _rules(request: Request) -> ForgetRules:
    rules: ForgetRules = request.app.state.forgetting
    return rules


ROUTES = (
    Route("/people/forget", forget_person, methods=["POST"]),
    Route("/forgotten", list_receipts),
)
