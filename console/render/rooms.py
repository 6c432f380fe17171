"""Dead letters, held boxes and rooms as text a person reads.

Comes in: the JSON of `/dead`, `/boxes` and `/rooms`. Goes out: tables for the terminal. Never asks anybody.
"""

from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from typing import Any

from rich.console import Group
from rich.table import Table
from rich.text import Text
from rich.tree import Tree

from console.render import events
from console.render.tables import duration

Json = Mapping[str, Any]

#: What came of an item, by the word of the console.
SAYS = {
    "done": "done",
    "gone": "left alone: somebody else was quicker",
    "never_made": "left alone: there is nothing to send as it was, mend the rule and retry with --today",
    "overtaken": "left alone: something newer was sent to the same object, or waits for it; --even-if-older insists",
    "erased": "left alone: the payload is erased",
    "follows_another": "left alone: it came of `next:`, so it can only be retried as it was sent",
    "known": "left alone: they came in meanwhile",
    "unfit": "left alone: the book in force cannot read them, either",
    "unwanted": "left alone: no rule of the book in force wants them",
    "unverified": "left alone: their senders were never verified; --unverified takes them in all the same",
    "cut": "left alone: only the beginning of their bodies was kept",
    "unsettled": "left alone: something of them still waits or is dead",
    "aside": "left alone: they lie in quarantine, or where no rule wanted them, and are taken in from there",
    "under_way": "left alone: they are being sent, may have been sent, or a person is asked about them",
    "busy": "left alone: their events are being routed, try again",
}


def age(at: str) -> str:
    """Return how long ago a time is."""
    since = datetime.now(UTC) - datetime.fromisoformat(at)
    return duration(max(0.0, since.total_seconds() * 1000))


def ahead(at: str) -> str:
    """Return how far ahead a time is."""
    left = datetime.fromisoformat(at) - datetime.now(UTC)
    return duration(max(0.0, left.total_seconds() * 1000))


def groups(found: Sequence[Json]) -> Table:
    """Return causes as a table."""
    where, what = ("source", "type") if found and "source" in found[0] else ("destination", "rule")
    table = Table(where, "reason", what, "count", "oldest", "newest", "one of them", box=None, pad_edge=False)
    for one in found:
        table.add_row(
            one[where],
            Text(one["code"], style="red"),
            one[what],
            str(one["count"]),
            age(one["oldest"]),
            age(one["newest"]),
            one["sample"],
        )
    return table


def boxes(found: Sequence[Json]) -> Table:
    """Return held boxes as a table."""
    table = Table("box", "reason", "held for", "waiting", "event", "rule", box=None, pad_edge=False)
    table.columns[0].no_wrap = True
    for one in found:
        table.add_row(
            one["id"], Text(one["code"], style="red"), age(one["at"]), str(one["waiting"]), one["event"], one["rule"]
        )
    return table


def letter(one: Json) -> Tree:
    """Return a dead letter with the story of its event."""
    told = Tree(Text.assemble((one["id"], "bold"), "  dead for ", age(one["at"])))
    where = "the inbox" if one["destination"] == "in" else f"{one['destination']}.{one['action']}"
    told.add(f"at {where}, by the rule {one['rule']}" if one["rule"] else f"at {where}")
    status = f", HTTP {one['status']}" if one["status"] else ""
    told.add(Text(f"because {one['code']}{status}{': ' + one['why'] if one['why'] else ''}", style="red"))
    return _with_story(told, one)


def aside(one: Json) -> Tree:
    """Return something that lies aside, with its story."""
    told = Tree(Text.assemble((one["id"], "bold"), f"  in {one['shelf']}, received {one['received'][:19]}Z"))
    told.add(f"{one['type'] or 'a request'} from {one['source']}")
    told.add(Text(f"because {one['why']}", style="red"))
    return _with_story(told, one)


def box(one: Json) -> Tree:
    """Return a held box with the story of the event at its head."""
    told = Tree(Text.assemble((one["id"], "bold"), f"  held for {age(one['at'])}, {one['waiting']} wait in it"))
    told.add(Text(f"because {one['code']}{': ' + one['why'] if one['why'] else ''}", style="red"))
    if one["ahead"]:
        told.add(f"behind {', '.join(one['ahead'])}, which have a name of it, too")
    waiting = told.add("in their order")
    for item in one["items"]:
        waiting.add(item)
    if one["waiting"] > len(one["items"]):
        waiting.add(f"and {one['waiting'] - len(one['items'])} more")
    return _with_story(told, one)


def _with_story(told: Tree, one: Json) -> Tree:
    if one["story"] is not None:
        told.add(events.tree(one["story"]))
    return told


def rooms(found: Sequence[Json]) -> Group:
    """Return rooms as a table, and below it why some of them are paused or cannot be served."""
    table = Table("room", "ready", "under way", "waiting", "blocked", "held", box=None, pad_edge=False)
    below = []
    for one in found:
        paused = one["paused"]
        why = ""
        if paused is not None:
            who = f" by {paused['who']}" if paused.get("who") else ""
            said = f" ({paused['why']})" if paused["why"] else ""
            words = {"breaker": f"down: {paused['why'] or paused['code']}", "person": f"paused{who}{said}"}
            why = f"{words.get(paused['by'], paused['why'] or paused['code'])}, for {age(paused['since'])}"
            if paused.get("until"):
                why += f", for {ahead(paused['until'])} more"
            if paused["next_probe"]:
                why += f", next probe in {ahead(paused['next_probe'])}"
        if one["rests_until"]:
            why += f"{', ' if why else ''}asked to be left alone, for {ahead(one['rests_until'])} more"
        if (one.get("quota") or {}).get("why"):
            why += f"{', ' if why else ''}{one['quota']['why']}"
        held = f"{one['held']}, for {duration(one['held_seconds'] * 1000)}" if one["held"] else "0"
        table.add_row(
            one["name"],
            str(one["ready"] + one["suspect"]),
            str(one["leased"]),
            str(one["waiting"]),
            str(one["blocked"]),
            Text(held, style="red" if one["held"] else ""),
        )
        if one["unusable"]:
            why += f"{', ' if why else ''}cannot be served: {one['unusable']}"
        if why:
            below.append(Text(f"{one['name']}: {why}", style="red"))
    return Group(table, *below)
