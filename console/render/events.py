"""An event's fate as text a person reads.

Comes in: the JSON of `/events`. Goes out: rows and lines for the terminal. Never asks anybody.
"""

from collections.abc import Mapping, Sequence
from typing import Any

from rich.table import Table
from rich.text import Text
from rich.tree import Tree

from console.render.rules import SHADOW_SAYS

#: The colour of each state of an event or delivery (docs/architecture.md, "The ledger").
COLOURS = {
    "delivered": "green",
    "waiting": "yellow",
    "delivering": "yellow",
    "held": "red",
    "dead": "red",
    "quarantined": "red",
    "unmatched": "dim",
    "observed": "cyan",
    "echo": "dim",
    "duplicate": "dim",
    "coalesced": "dim",
    "stale": "dim",
    "skipped": "dim",
}

Json = Mapping[str, Any]

#: Columns from which on a list has one for each thing.
WIDE = 120


def state(word: str) -> Text:
    """Return a state in its colour."""
    return Text(word, style=COLOURS.get(word, ""))


def joined(parts: Sequence[Text]) -> Text:
    """Return texts separated by commas."""
    return Text(", ").join(parts)


def table(events: Sequence[Json], width: int = WIDE) -> Table:
    """Return events as a table, in the order given; in few columns one delivery stands below the other."""
    found = Table(box=None, pad_edge=False)
    if width < WIDE:
        found.add_column("received", no_wrap=True)
        found.add_column("event", no_wrap=True)
        found.add_column("what", ratio=1)
        for event in events:
            again = " (id seen before)" if event.get("same_id_as") else ""
            head = Text.assemble(f"{event['type']} from {event['source']} ", state(event["state"]), again)
            told = [head, *(_short(delivery) for delivery in event["deliveries"])]
            found.add_row(event["received_at"][5:19].replace("T", " "), event["id"], Text("\n").join(told))
        return found
    for column in ("received", "event", "source", "type", "state"):
        found.add_column(column, no_wrap=column == "event")
    found.add_column("deliveries", ratio=1)
    for event in events:
        found.add_row(
            event["received_at"][:19].replace("T", " "),
            event["id"],
            event["source"],
            event["type"],
            Text.assemble(state(event["state"]), " (id seen before)" if event.get("same_id_as") else ""),
            joined([_short(delivery) for delivery in event["deliveries"]]),
        )
    return found


def line(event: Json) -> Text:
    """Return an event on one line."""
    text = Text.assemble(
        (event["received_at"][11:23], "dim"),
        f" {event['id']} {event['source']} {event['type']} ",
        state(event["state"]),
    )
    for delivery in event["deliveries"]:
        text.append_text(Text.assemble("  ", _short(delivery)))
    return text


def tree(event: Json) -> Tree:
    """Return the whole story of an event."""
    head = Text.assemble((event["id"], "bold"), f"  {event['type']} from {event['source']}  ", state(event["state"]))
    told = Tree(head)
    told.add(f"received {event['received_at']}")
    if event.get("same_id_as"):
        told.add(Text(f"its sender's id came before with other content: {event['same_id_as']}", style="yellow"))
    if event.get("echo_of"):
        told.add(Text(f"an echo: Relais wrote this there itself, as {event['echo_of']}", style="yellow"))
    if event.get("unread"):
        told.add(Text(f"not read, and left out: {', '.join(event['unread'])}", style="yellow"))
    if event.get("why"):
        told.add(Text(f"because {event['why']}", style="red"))
    rules = told.add(f"rules (book {event['book'] or 'not asked yet'})")
    for rule in event["rules"]:
        if rule["matched"]:
            described = f"  {rule['description']}" if "description" in rule else ""
            mark = ("○ ", "cyan") if rule.get("observed") else ("✓ ", "green")
            described += "  observed only: nothing is sent" if rule.get("observed") else ""
            rules.add(Text.assemble(mark, rule["name"], (described, "dim")))
        else:
            at = f"{rule['at']}: " if rule.get("at") else ""
            rules.add(Text.assemble(("· ", "dim"), rule["name"], (f"  {at}{rule.get('why', '')}", "dim")))
    deliveries = told.add("deliveries")
    for delivery in event["deliveries"]:
        branch = deliveries.add(Text.assemble(_short(delivery), (f"  {delivery.get('why', '')}", "dim")))
        for attempt in delivery["attempts"]:
            branch.add(
                f"{attempt['at'][11:23]}  attempt {attempt['n']}: {attempt['outcome']}"
                f"{' ' + attempt['code'] if attempt['code'] else ''}"
                f"{', HTTP ' + str(attempt['status']) if attempt['status'] else ''}, {attempt['ms']} ms"
                f"{': ' + attempt['why'] if attempt.get('why') else ''}"
            )
        if waits := delivery.get("waits"):
            branch.add(Text(waiting(waits), style="yellow"))
    if shadow := event.get("shadow"):
        other = told.add(f"by the book {shadow['book']}, which is only observed")
        for one in shadow["differs"]:
            why = f": {one['why']}" if one["why"] else ""
            what = f"{SHADOW_SAYS.get(one['change'], one['change'])} {one['action']}".strip()
            other.add(Text(f"{what}  {one['rule']}{why}", style="cyan"))
    if event.get("decisions"):
        people = told.add("people")
        for one in event["decisions"]:
            why = f": {one['why']}" if one["why"] else ""
            people.add(
                Text(f"{one['at'][:19].replace('T', ' ')}  {one['by'] or 'somebody'} {one['what']} {one['item']}{why}")
            )
    return told


def waiting(waits: Json) -> str:
    """Return what a delivery waits for, in a sentence."""
    if waits["ahead"]:
        return f"waits behind {', '.join(waits['ahead'])}"
    tried = f" after {waits['attempts']} attempts" if waits["attempts"] else ""
    until = f", next at {waits['next_attempt']}" if waits["next_attempt"] else ""
    return f"{waits['state']}{tried}{until}"


def _short(delivery: Json) -> Text:
    # A list says the code itself, a story with each attempt.
    code = delivery.get("code") or next((one["code"] for one in reversed(delivery.get("attempts", ()))), "")
    code = code if delivery["state"] == "delivered" else ""
    note = f" ({code})" if code else ""
    return Text.assemble(f"{delivery['destination']}.{delivery['action']} ", state(delivery["state"]), (note, "dim"))
