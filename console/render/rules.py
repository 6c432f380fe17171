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
    late = found["counted_since"] > found["since"]
    since = f"since {found['since']}" + (f" (counted since {found['counted_since']})" if late else "")
    never = sum(rule["state"] in ("never", "never_reached") for rule in found["rules"])
    return f"book {found['book']}, {since}, in UTC; {never} of {len(found['rules'])} rules never fired in 31 days"
