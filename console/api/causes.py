"""Groups dead letters and held boxes by their cause: destination, code and rule.

Comes in: dead letters or held boxes. Goes out: one JSON object per cause, the most frequent first. Never asks the
store.
"""

from collections import defaultdict
from collections.abc import Mapping, Sequence

from console.api.request import Json
from mailroom.operator import DeadLetterView, HeldBox
from rules.event_types.base import from_epoch


def group(stuck: Sequence[DeadLetterView | HeldBox], descriptions: Mapping[str, str]) -> list[Json]:
    """Return the causes, the most frequent first; `descriptions`: what the rules are for, where the book says it."""
    by_cause: dict[tuple[str, str, str], list[DeadLetterView | HeldBox]] = defaultdict(list)
    for one in stuck:
        by_cause[one.destination, one.code, one.rule].append(one)
    causes = sorted(by_cause.items(), key=lambda cause: (-len(cause[1]), cause[0]))
    return [_describe(members, descriptions.get(rule, "")) for (_, _, rule), members in causes]


def _describe(members: Sequence[DeadLetterView | HeldBox], description: str) -> Json:
    newest = max(members, key=lambda one: one.at)
    cause = {
        "destination": newest.destination,
        "code": newest.code,
        "rule": newest.rule,
        "count": len(members),
        "oldest": from_epoch(min(one.at for one in members)),
        "newest": from_epoch(newest.at),
        "sample": newest.id,
        "why": newest.why,
    }
    return {**cause, "description": description} if description else cause
