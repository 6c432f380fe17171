"""What arrived at the sandbox, as rows that a person enjoys reading and a machine can compare.

Comes in: the sandbox's own account of what it holds. Goes out: per destination rows of who, what and how, as a table
and as differences from what was expected. Never changes anything there.
"""

import asyncio
import re
import time
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from typing import Any
from urllib.parse import urlsplit

from rich.console import Group
from rich.table import Table
from rich.text import Text

from console.errors import UserError
from console.processes import probe
from console.render.tables import say_count
from console.replay import ReplayReport

Json = Mapping[str, Any]
Row = tuple[str, str, str]

#: Seconds within which Maileon carries out an unsubscription.
LATER = 5.0

#: Maileon's permission codes.
PERMISSIONS = {1: "none", 2: "single opt-in", 3: "confirmed opt-in", 4: "DOI", 5: "DOI+", 6: "other"}


async def fetch(sandbox: str) -> Json:
    """Return what the sandbox holds, once it has done what vendors do later. Raises UserError."""
    deadline = time.monotonic() + LATER
    while True:
        held = await _ask(sandbox, "/_sandbox/state")
        if all(one["done"] for one in held["maileon"]["unsubscriptions"]) or time.monotonic() > deadline:
            asked = await _ask(sandbox, "/_sandbox/requests?vendor=seminardesk")
            return {**held, "seminardesk": {**held["seminardesk"], "requests": asked["requests"]}}
        await asyncio.sleep(0.05)


async def _ask(sandbox: str, path: str) -> Any:
    address = urlsplit(sandbox)
    answer = await probe.get(address.hostname or "", address.port or 80, path)
    if answer is None or answer[0] != 200:
        raise UserError(f"the sandbox at {sandbox} does not answer", mend="run the demo once more")
    return answer[1]


def rows(vendor: str, held: Json) -> list[Row]:
    """Return what one vendor holds, as (who, what, how), sorted."""
    return sorted(READERS[vendor](held))


def _maileon(held: Json) -> Iterator[Row]:
    for contact in held["contacts"]:
        fields = ", ".join(
            [str(value) for _, value in sorted(contact["standard_fields"].items())]
            + [f"{name} {_short(value)}" for name, value in sorted(contact["custom_fields"].items())]
        )
        state = "waits for the click in its opt-in mail" if contact["pending"] else PERMISSIONS[contact["permission"]]
        yield contact["email"], "contact", f"{state}; {fields}" if fields else state
    for mail in held["mailbox"]:
        yield (
            mail["to"],
            "opt-in mail",
            "asks for DOI+ (newsletter and tracking)" if mail["doiplus"] else "asks for DOI",
        )
    for one in held["unsubscriptions"]:
        yield one["email"], "unsubscription", ", ".join(one["reasons"]) or "no reason given"


def _crm(held: Json) -> Iterator[Row]:
    people = {contact["id"]: contact.get("email") or contact.get("phone") or "" for contact in held["contacts"]}
    for contact in held["contacts"]:
        # A contact without labels shows an empty list of them.
        told = {
            k: v
            for k, v in contact.items()
            if k not in ("id", "email", "created_at", "updated_at") and v is not None and v != []
        }
        yield people[contact["id"]], "contact", ", ".join(f"{name} {_short(told[name])}" for name in sorted(told))
    for what, text in (("note", "text"), ("task", "subject"), ("lead", "title")):
        for one in held[f"{what}s"]:
            yield people.get(one["contact_id"], ""), what, str(one[text])


def _invoicing(held: Json) -> Iterator[Row]:
    people = {customer["id"]: customer.get("email", "") for customer in held["customers"]}
    for customer in held["customers"]:
        yield people[customer["id"]], "customer", str(customer.get("name", ""))
    for invoice in held["invoices"]:
        total = sum(float(line["quantity"]) * float(line["unit_price"]) for line in invoice["lines"])
        what = f"{invoice['status']} invoice {invoice['reference']}"
        yield people.get(invoice["customer_id"], ""), what, f"{say_count(len(invoice['lines']), 'line')}, {total:.2f}"


def _etracker(held: Json) -> Iterator[Row]:
    for order in held["orders"]:
        yield order["order"], order["state"], "" if order["amount"] is None else str(order["amount"])


def _seminardesk(held: Json) -> Iterator[Row]:
    looked_up = {(request["path"], request["status"]) for request in held["requests"] if request["method"] == "GET"}
    for path, status in looked_up:
        yield path.strip("/").replace("persons/", "person "), "looked up", f"answered {status}"
    for reference in held["external_references"]:
        yield f"invoice {reference['invoice']}", "external reference", str(reference["externalId"])


READERS = {
    "maileon": _maileon,
    "crm": _crm,
    "invoicing": _invoicing,
    "etracker": _etracker,
    "seminardesk": _seminardesk,
}


def _short(value: Any) -> str:
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, Mapping):
        return " ".join(str(part) for part in value.values() if part)
    if isinstance(value, list):
        return " ".join(map(str, value))
    return str(value)


def tables(held: Json, stand_ins: Mapping[str, str]) -> Group:
    """Return a table per destination."""
    found = []
    for destination, vendor in stand_ins.items():
        table = Table("who", "what", "how", title=f"[bold]{destination}[/bold]", title_justify="left", expand=False)
        for row in rows(vendor, _held_by(destination, vendor, held)):
            table.add_row(*row)
        if not table.row_count:
            table.add_row("", "nothing", "", style="dim")
        found.append(table)
    return Group(*found)


def summary(report: ReplayReport) -> Text:
    """Return one sentence on the webhooks and their events."""
    states = ", ".join(f"{count} {state}" for state, count in report.states.items())
    return Text(
        f"{len(report.sent)} webhooks in {report.seconds:.1f} s, {report.accepted} accepted "
        f"(half of them within {report.latency(0.5):.0f} ms); their events: {states}, "
        f"{report.duplicates} sent twice and taken once."
    )


def compare(expected: Json, held: Json, report: ReplayReport, stand_ins: Mapping[str, str]) -> list[str]:
    """Return every difference between what was expected and what is; nothing may be missing, nothing too much."""
    wrong = []
    for code, count in report.refused.items():
        wrong.append(f"{say_count(count, 'webhook')} refused: {code}")
    ended = {**report.states, "duplicate": report.duplicates}
    if ended != expected["events"]:
        wrong.append(f"events ended as {ended}, expected {expected['events']}")
    invoices = _held_by("invoicing", "invoicing", held)["invoices"]
    ids = {str(invoice["id"]): str(invoice["reference"]) for invoice in invoices}
    for destination, vendor in stand_ins.items():
        found = rows(vendor, _held_by(destination, vendor, held))
        there = [(who, what, _without_ids(how, ids)) for who, what, how in found]
        wrong += _differences(destination, expected["arrived"].get(destination, []), there)
    return wrong


def _held_by(destination: str, vendor: str, held: Json) -> Json:
    """Return what a vendor holds for a destination, which may have an account of its own."""
    account: Json = held.get("of", {}).get(destination, held)[vendor]
    return account


def _without_ids(text: str, ids: Mapping[str, str]) -> str:
    """Return a text with the invoices' references in place of their ids: those depend on who came first.

    A draft that was deleted is `#gone`.
    """
    return re.sub(r"\bi\d+\b", lambda found: f"#{ids.get(found[0], 'gone')}", text)


def _differences(destination: str, expected: Sequence[Sequence[str]], found: Sequence[Row]) -> Iterator[str]:
    wanted, there = Counter(tuple(row) for row in expected), Counter(tuple(row) for row in found)
    for row in (wanted - there).elements():
        yield f"{destination} lacks {' | '.join(row)}"
    for row in (there - wanted).elements():
        yield f"{destination} has, too much: {' | '.join(row)}"
