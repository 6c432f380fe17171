"""Rules as a person reads them.

Comes in: the console's JSON. Goes out: rich tables and text. Never asks anybody anything.
"""

from collections.abc import Mapping
from typing import Any

from rich.table import Table
from rich.text import Text

Json = Mapping[str, Any]


def coverage(found: Json) -> Table:
    """Return what each rule did, in the book's order."""
    table = Table(box=None, pad_edge=False)
    table.add_column("rule", ratio=1)
    table.add_column("fired", justify="right", no_wrap=True)
    table.add_column("last", no_wrap=True)
    table.add_column("says")
    for rule in found["rules"]:
        count = rule["observed" if rule["state"] == "observed" else "fired"]
        table.add_row(
            Text(rule["rule"]),
            str(count),
            rule["last"][:16].replace("T", " ") if rule["last"] else "–",
            Text(_say(rule), style="" if rule["state"] in ("fires", "off") else "yellow"),
        )
    return table


def _say(rule: Json) -> str:
    match rule["state"]:
        case "off":
            return "enabled: false"
        case "observed":
            return "observed only, nothing is sent"
        case "quiet":
            return "not since then"
        case "never":
            return "never fired"
        case "never_reached":
            return "never reached: a stop above takes its events"
    return "a stop above takes events of it, too" if rule["unreached"] else ""


def summary(found: Json) -> str:
    """Return since when was counted, in words."""
    if found["counted_since"] is None:
        return "Nothing has been counted yet."
    never = sum(rule["state"] in ("never", "never_reached") for rule in found["rules"])
    of = f"{never} of {len(found['rules'])} rules"
    return f"book {found['book']}, since {found['since']} (UTC); {of} never fired since {found['counted_since']}"


#: What a book that is only observed would do, by the change that was counted.
SHADOW_SAYS = {
    "added": "would send in addition",
    "gone": "would no longer send",
    "changed": "would send otherwise",
    "failing": "would fail",
    "undecided": "cannot be told",
}


def shadow_head(found: Json) -> str:
    """Return which book is observed, since when, and of how many events it says the same."""
    events = found["events"]
    seen = f"{sum(events.values())} events: {events['same']} the same, {events['differs']} otherwise"
    failed = f", {events['failed']} failed" if events["failed"] else ""
    by = f" by {found['by']}" if found["by"] else ""
    since = found["since"][:16].replace("T", " ")
    return f"{found['version']} is observed beside {found['in_force']}, since {since}{by}; {seen}{failed}"


def shadow_differences(found: Json) -> Table:
    """Return what it would do otherwise, by rule."""
    table = Table(box=None, pad_edge=False)
    table.add_column("rule", ratio=1)
    table.add_column("what")
    table.add_column("action")
    table.add_column("count", justify="right", no_wrap=True)
    for each in found["differences"]:
        says = SHADOW_SAYS.get(each["change"], each["change"])
        table.add_row(Text(each["rule"]), says, Text(each["action"] or "–"), str(each["count"]))
    return table


def shadow_events(found: Json) -> Table:
    """Return the latest events that differ."""
    table = Table(box=None, pad_edge=False)
    table.add_column("event", no_wrap=True)
    table.add_column("type")
    table.add_column("differs", ratio=1)
    for each in found["latest"]:
        told = (f"{SHADOW_SAYS.get(one['change'], one['change'])} {one['action']}".strip() for one in each["differs"])
        table.add_row(each["event"], Text(each["type"]), Text("; ".join(dict.fromkeys(told))))
    return table
