"""Groups what is stuck or lies aside by its cause: destination, code and rule, or source, code and type.

Comes in: dead letters, held boxes or what lies aside. Goes out: one JSON object per cause, the most frequent first.
Never asks the store.
"""

from collections import defaultdict
from collections.abc import Mapping, Sequence

from console.api.request import Json
from mailroom.holds import HeldEvent
from mailroom.operator import AsideView, DeadLetterView, HeldBox
from rules.event_types.base import from_epoch

Stuck = DeadLetterView | HeldBox | AsideView


def group(stuck: Sequence[Stuck], descriptions: Mapping[str, str] | None = None) -> list[Json]:
    """Return the causes, the most frequent first; `descriptions`: what the rules are for, where the book says it."""
    by_cause: dict[tuple[str, ...], list[Stuck]] = defaultdict(list)
    for one in stuck:
        by_cause[tuple(_cause(one).values())].append(one)
    causes = sorted(by_cause.items(), key=lambda cause: (-len(cause[1]), cause[0]))
    return [_describe(members, descriptions or {}) for _, members in causes]


def group_held(source: str, held: Sequence[HeldEvent]) -> list[Json]:
    """Return events of a held source by type, as causes."""
    by_type: dict[str, list[HeldEvent]] = defaultdict(list)
    for one in held:
        by_type[one.type].append(one)
    return [
        {
            "source": source,
            "code": "held",
            "type": kind,
            "count": len(its),
            "oldest": its[0].received,
            "newest": its[-1].received,
            "sample": its[0].id,
        }
        for kind, its in by_type.items()
    ]


def _cause(one: Stuck) -> dict[str, str]:
    if isinstance(one, AsideView):
        return {"source": one.source, "code": one.code, "type": one.type}
    return {"destination": one.destination, "code": one.code, "rule": one.rule}


def _describe(members: Sequence[Stuck], descriptions: Mapping[str, str]) -> Json:
    newest = max(members, key=lambda one: one.at)
    cause: Json = {
        **_cause(newest),
        "count": len(members),
        "oldest": from_epoch(min(one.at for one in members)),
        "newest": from_epoch(newest.at),
        "sample": newest.id,
        "why": newest.why,
    }
    description = descriptions.get(cause.get("rule", ""), "")
    return {**cause, "description": description} if description else cause
