"""Questions to the notebook: pages of events, counts, dead letters by cause, series.

Comes in: filters. Goes out: plain JSON values. Never writes, and never asks the store.
"""

import base64
import json
from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from console.notebook.file import Notebook, name_code
from console.notebook.tables import SCALES, TOTAL
from mailroom import Fate
from mailroom.keys import DEAD_KEEPS
from mailroom.operator import NONE
from mailroom.sentences import give_reason, spell_out
from rules.event_types.base import from_epoch

Json = dict[str, Any]

#: What a filter asks of an event itself, and of one delivery of it.
OF_EVENT = ("source", "type", "state", "book")
OF_DELIVERY = ("destination", "action", "rule", "code")
#: More dead letters than these are looked at in their order.
MANY = 1_000
#: What can be asked of a dead letter.
OF_DEAD = (*OF_DELIVERY, "source", "type", "event", "id")
_SAME = "state = 'dead' AND d.destination = cause.destination AND d.code = cause.code AND d.rule = cause.rule"
#: All dead letters by cause. Read are those only that are too old to be there still: the notebook counts as they come
#: and go.
ALL_CAUSES = f"""
WITH each AS (
    SELECT *, "count" - (SELECT count(*) FROM delivery AS d WHERE {_SAME} AND ended > 0 AND ended < ?1) AS found,
        coalesce(
            (SELECT 0 FROM delivery AS d WHERE {_SAME} AND ended = 0),
            (SELECT min(ended) FROM delivery AS d WHERE {_SAME} AND ended >= ?1)
        ) AS oldest,
        (SELECT max(ended) FROM delivery AS d WHERE {_SAME}) AS newest
    FROM cause
)
SELECT * FROM each WHERE found > 0 ORDER BY found DESC, destination, code, rule
"""  # noqa: S608 - a text of ours


@dataclass(frozen=True)
class EventFilter:
    """Which events are meant; what is empty leaves nothing out. `*` at the end of a type stands for anything."""

    source: str = ""
    type: str = ""
    state: str = ""
    book: str = ""
    destination: str = ""
    action: str = ""
    rule: str = ""
    code: str = ""
    #: Received at this time or later, and before that one, ms since 1970; 0: whenever.
    since: int = 0
    until: int = 0
    #: A keyed hash by which it is found.
    who: str = ""

    def fits(self, fate: Fate) -> bool:
        """Say whether an event is meant that is not in the notebook yet. `since`, `until` and `who` are not asked."""
        for name in OF_EVENT:
            text, has = getattr(self, name), getattr(fate, name)
            if text and not (has.startswith(text[:-1]) if text.endswith("*") else has == text):
                return False
        asked = [(name, text) for name in OF_DELIVERY if (text := getattr(self, name))]
        return not asked or any(
            all((name_code(one) if name == "code" else getattr(one, name)) == text for name, text in asked)
            for one in fate.deliveries
        )

    def where(self) -> tuple[str, list[Any]]:
        """Return the condition on `event`, and its values."""
        parts: list[str] = []
        values: list[Any] = []
        for name in OF_EVENT:
            if text := getattr(self, name):
                starts = text.endswith("*")
                parts.append(f"event.{name} >= ? AND event.{name} < ?" if starts else f"event.{name} = ?")
                values += [text[:-1], f"{text[:-1]}\U0010ffff"] if starts else [text]
        if self.since:
            parts.append("event.at >= ?")
            values.append(self.since)
        if self.until:
            parts.append("event.at < ?")
            values.append(self.until)
        if self.who:
            parts.append("event.n IN (SELECT event FROM who WHERE hash = ?)")
            values.append(self.who)
        asked = [name for name in OF_DELIVERY if getattr(self, name)]
        if asked:
            # `+`: never by an index on these, under which most of all deliveries may stand. A code is rare.
            same = " AND ".join(f"+delivery.{name} = ?" for name in asked)
            if self.code:
                same = f"delivery.code != '' AND {same.replace('+delivery.code', 'delivery.code')}"
                parts.append(f"event.n IN (SELECT event FROM delivery WHERE {same})")  # noqa: S608
            else:
                parts.append(f"EXISTS (SELECT 1 FROM delivery WHERE delivery.event = event.n AND {same})")  # noqa: S608
            values += [getattr(self, name) for name in asked]
        return " AND ".join(parts) or "1", values


def page(notebook: Notebook, chosen: EventFilter, limit: int, cursor: str = "") -> tuple[list[Json], str]:
    """Return the newest events that are meant, newest first, and the cursor of the page before ('' at the end).

    `cursor`: as the page after this one returned it. Events that come meanwhile change no page.
    """
    where, values = chosen.where()
    if cursor:
        at, n = read_cursor(cursor)
        where += " AND (event.at, event.n) < (?, ?)"
        values += [at, n]
    query = f"SELECT * FROM event WHERE {where} ORDER BY event.at DESC, event.n DESC LIMIT ?"  # noqa: S608
    rows = notebook.read(query, [*values, limit + 1])
    more = len(rows) > limit
    rows = rows[:limit]
    return describe(notebook, rows), write_cursor(rows[-1]["at"], rows[-1]["n"]) if more else ""


def list_ended(notebook: Notebook, chosen: EventFilter, ids: Sequence[str], most: int) -> list[str]:
    """Return the ids of events that are meant and that nothing more happens to, as they were received."""
    where, values = chosen.where()
    where += " AND event.state NOT IN ('waiting', 'delivering', 'quarantined', 'unmatched', 'echo')"
    if ids:
        where += f" AND event.id IN ({','.join('?' * len(ids))})"
    query = f"SELECT id FROM event WHERE {where} ORDER BY event.at, event.n LIMIT ?"  # noqa: S608
    return [row["id"] for row in notebook.read(query, [*values, *ids, most])]


def list_waiting(notebook: Notebook, chosen: EventFilter, ids: Sequence[str], most: int) -> list[str]:
    """Return destination and id, as JSON, of deliveries that wait and are meant, as their events were received.

    `ids`: of deliveries, or of events.
    """
    where, values = replace(chosen, destination="", action="", rule="", code="").where()
    for name in OF_DELIVERY:
        if text := getattr(chosen, name):
            where += f" AND delivery.{name} = ?"
            values.append(text)
    if ids:
        marks = ",".join("?" * len(ids))
        where += f" AND (delivery.id IN ({marks}) OR event.id IN ({marks}))"
        values += [*ids, *ids]
    query = (
        "SELECT delivery.destination, delivery.id FROM delivery JOIN event ON delivery.event = event.n "  # noqa: S608
        f"WHERE delivery.state = 'waiting' AND {where} ORDER BY event.at, event.n, delivery.place LIMIT ?"
    )
    return [json.dumps([row["destination"], row["id"]]) for row in notebook.read(query, [*values, most])]


def describe(notebook: Notebook, rows: Sequence[Any]) -> list[Json]:
    """Return events as JSON: each with its deliveries, without their attempts."""
    marks = ",".join("?" * len(rows))
    query = f"SELECT * FROM delivery WHERE event IN ({marks}) AND place >= 0 ORDER BY event, place"  # noqa: S608
    deliveries: dict[int, list[Json]] = defaultdict(list)
    for row in notebook.read(query, [row["n"] for row in rows]):
        told = {name: row[name] for name in ("id", "destination", "action", "rule", "state", "code")}
        told = spell_out({**told, "why": _read_why(row["code"], row["why"])})
        deliveries[row["event"]].append({**{k: v for k, v in told.items() if v}, "tries": row["tries"]})
    found = []
    for row in rows:
        answer: Json = {"id": row["id"], "source": row["source"], "type": row["type"]}
        answer |= {"received_at": from_epoch(row["at"]), "state": row["state"], "book": row["book"]}
        answer |= {name: row[name] for name in ("why", "same_id_as") if row[name]}
        found.append({**answer, "deliveries": deliveries[row["n"]]})
    return found


def count(notebook: Notebook, chosen: EventFilter, most: int = -1) -> int:
    """Return how many events are meant; `most`: it is enough to know whether there are so many."""
    where, values = chosen.where()
    query = f"SELECT count(*) AS found FROM (SELECT 1 FROM event WHERE {where} LIMIT ?)"  # noqa: S608
    [row] = notebook.read(query, [*values, most])
    return int(row["found"])


def group_dead(notebook: Notebook, chosen: Mapping[str, str], now: int, since: int = 0) -> list[Json]:
    """Return dead letters as of `now` (ms) by their cause (destination, code, rule), the most frequent first.

    `chosen`: what is asked of each, by names of OF_DEAD. Each cause has the newest of its letters, `sample`.
    """
    where, values = _choose_dead(chosen, now, since)
    dead = f"FROM delivery WHERE state = 'dead' AND {where}"
    if since or any(chosen.get(name) for name in OF_DEAD):
        rows = notebook.read(
            f"SELECT destination, code, rule, count(*) AS found, min(ended) AS oldest, max(ended) AS newest {dead} "
            "GROUP BY destination, code, rule ORDER BY found DESC, destination, code, rule",
            values,
        )
    else:
        rows = notebook.read(ALL_CAUSES, values)
    newest = f"SELECT id, why {dead} AND destination = ? AND code = ? AND rule = ? AND ended = ? LIMIT 1"
    found = []
    for row in rows:
        cause = {name: row[name] for name in ("destination", "code", "rule")}
        [sample] = notebook.read(newest, [*values, *cause.values(), row["newest"]])
        times = {name: from_epoch(row[name]) if row[name] else None for name in ("oldest", "newest")}
        why = _read_why(row["code"], sample["why"])
        found.append({**cause, "count": row["found"], **times, "sample": sample["id"], "why": why})
    return found


def first_dead(notebook: Notebook, chosen: Mapping[str, str], now: int, most: int) -> tuple[list[Json], int]:
    """Return the first of what `list_dead` returns, and how many that are."""
    where, values = _choose_dead(chosen, now)
    [row] = notebook.read(f"SELECT count(*) AS found FROM delivery WHERE state = 'dead' AND {where}", values)  # noqa: S608
    return list_dead(notebook, chosen, now, most, in_order=row["found"] > MANY), int(row["found"])


def list_dead(
    notebook: Notebook, chosen: Mapping[str, str], now: int, most: int = -1, *, in_order: bool = False
) -> list[Json]:
    """Return dead letters as of `now` (ms), chosen as by `group_dead`, in the order of a retry: as it was received.

    Of an event that is dead itself the destination is the inbox. `in_order`: so many are meant that it is better to
    look at all in this order until there are enough, than to sort those.
    """
    where, values = _choose_dead(chosen, now)
    walk = " INDEXED BY delivery_dead" if in_order else ""
    query = (
        "SELECT delivery.id, event.id AS event, event.source, event.type, destination, action, rule, code, "  # noqa: S608
        f"delivery.why, ended, event.at FROM delivery{walk} JOIN event ON event.n = delivery.event "
        f"WHERE delivery.state = 'dead' AND {where} ORDER BY delivery.at, delivery.event, place LIMIT ?"
    )
    return [{**row, "why": _read_why(row["code"], row["why"])} for row in notebook.read(query, [*values, most])]


def _read_why(code: str, why: str) -> str:
    """Return why something is as it is; where that is a code, and what is known beyond it, as what knows both."""
    said = give_reason(code, why[len(code) + 2 :])
    return said if said == why else why


def _choose_dead(chosen: Mapping[str, str], now: int, since: int = 0) -> tuple[str, list[Any]]:
    # With the sign no index is searched for it: others are better. 0: nobody knows when.
    parts, values = ["(+ended >= ? OR +ended = 0)"], list[Any]([max(since, now - DEAD_KEEPS)])
    for name in OF_DEAD:
        if not (text := chosen.get(name, "")):
            continue
        values.append("" if text == NONE else text)
        if name in OF_DELIVERY:
            parts.append(f"{name} = ?")
        elif name == "id":
            parts.append("delivery.id = ?")
        else:
            column = {"event": "id"}.get(name, name)
            parts.append(f"delivery.event IN (SELECT n FROM event WHERE {column} = ?)")  # noqa: S608
    return " AND ".join(parts), values


def states(notebook: Notebook, who: str) -> dict[str, int]:
    """Return in which states the events are that are found by a keyed hash."""
    query = "SELECT state, count(*) AS found FROM event WHERE n IN (SELECT event FROM who WHERE hash = ?) GROUP BY 1"
    return {row["state"]: row["found"] for row in notebook.read(query, (who,))}


def related(notebook: Notebook, hashes: Sequence[str], most: int = 10) -> list[Json]:
    """Return by which further hashes events of a person are found that have other events, too: how many of each."""
    marks = ",".join("?" * len(hashes))
    events = f"SELECT event FROM who WHERE hash IN ({marks})"  # noqa: S608 - question marks only
    query = (
        f"SELECT hash, sum(event NOT IN ({events})) AS others FROM who WHERE hash IN "  # noqa: S608
        f"(SELECT hash FROM who WHERE event IN ({events})) AND hash NOT IN ({marks}) "
        "GROUP BY hash HAVING others > 0 ORDER BY others DESC, hash LIMIT ?"
    )
    rows = notebook.read(query, [*hashes, *hashes, *hashes, most])
    return [{"who": row["hash"], "events": row["others"]} for row in rows]


def stats(notebook: Notebook, since: int, until: int, scale: int) -> Json:
    """Return what came and what was attempted in steps of `scale` seconds, of a span of time (seconds since 1970).

    Durations are told as the bounds within which half, 95 and 99 of 100 of them lie, ms.
    """
    query = "SELECT * FROM series WHERE scale = ? AND at >= ? AND at < ? ORDER BY at"
    sources: dict[str, dict[int, int]] = defaultdict(dict)
    attempts: dict[str, dict[str, dict[int, int]]] = defaultdict(lambda: defaultdict(dict))
    durations: dict[str, dict[str, dict[int, int]]] = defaultdict(lambda: defaultdict(lambda: defaultdict(int)))
    for row in notebook.read(query, (scale, since, until)):
        if row["what"] == "received":
            sources[row["name"]][row["at"]] = row["count"]
        elif row["what"] == "attempt":
            attempts[row["name"]][row["word"]][row["at"]] = row["count"]
        else:
            durations[row["name"]][row["what"]][int(row["word"])] += row["count"]
    steps = range(since // scale * scale, until, scale)
    return {
        "scale": scale,
        "steps": [from_epoch(at * 1000) for at in steps],
        "sources": {name: [found.get(at, 0) for at in steps] for name, found in sorted(sources.items())},
        "destinations": {
            name: {
                "attempts": {word: [found.get(at, 0) for at in steps] for word, found in sorted(words.items())},
                "ms": spread(durations[name]["ms"]),
                "from_receipt_ms": spread(durations[name]["lasted"]),
            }
            for name, words in sorted(attempts.items())
        },
    }


def histograms(notebook: Notebook) -> dict[str, dict[str, dict[str, int]]]:
    """Return what was measured since the file was made: of kept, delivered and took, by name, the counts by bound."""
    found: dict[str, dict[str, dict[str, int]]] = defaultdict(lambda: defaultdict(dict))
    for row in notebook.read("SELECT what, name, word, count FROM series WHERE scale = ?", (TOTAL,)):
        found[row["what"]][row["name"]][row["word"]] = row["count"]
    return found


def spread(histogram: dict[int, int]) -> dict[str, int]:
    """Return the bounds within which half, 95 and 99 of 100 durations lie; nothing where there is none."""
    total, found = sum(histogram.values()), {}
    for name, share in (("p50", 0.5), ("p95", 0.95), ("p99", 0.99)):
        seen = 0
        for bound in sorted(histogram):
            seen += histogram[bound]
            if seen >= share * total:
                found[name] = bound
                break
    return found


def choose_scale(span: int) -> int:
    """Return the finest step, in seconds, in which a span of so many seconds is kept."""
    return next((scale for scale, keep in SCALES.items() if span <= keep), max(SCALES))


def write_cursor(at: int, n: int) -> str:
    """Return a place among the events, as text."""
    return base64.urlsafe_b64encode(json.dumps([at, n]).encode()).decode().rstrip("=")


def read_cursor(text: str) -> tuple[int, int]:
    """Return the place that a cursor says. Raises ValueError."""
    found = json.loads(base64.urlsafe_b64decode(text + "=" * (-len(text) % 4)))
    if not isinstance(found, list) or len(found) != 2 or any(type(n) is not int or abs(n) >= 1 << 62 for n in found):
        raise ValueError("no cursor of ours")
    return found[0], found[1]
