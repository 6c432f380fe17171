"""What is lost when one book takes the place of another.

Comes in: the book in force and the one that shall follow it. Goes out: the rules, sources and destinations that only
the first one has. Never decides whether the change counts: `rules.compiler.reload` does.
"""

from dataclasses import dataclass

from rules.rulebook import Rulebook

#: Names that a sentence shows of each kind.
SHOWN = 5


@dataclass(frozen=True, slots=True)
class BookLosses:
    """Names that are in the book in force and not in the one that shall follow."""

    rules: tuple[str, ...] = ()
    sources: tuple[str, ...] = ()
    destinations: tuple[str, ...] = ()
    #: More than half of the rules go, so that a file was emptied or cut off rather than edited.
    most_rules: bool = False

    def __bool__(self) -> bool:
        return bool(self.rules or self.sources or self.destinations)

    @property
    def need_approval(self) -> bool:
        """Whether a person has to approve them: a source, a destination, or most of the rules go."""
        return bool(self.sources or self.destinations or self.most_rules)

    def __str__(self) -> str:
        kinds = (("rule", self.rules), ("source", self.sources), ("destination", self.destinations))
        return "; ".join(_say(kind, names) for kind, names in kinds if names)


def compare(before: Rulebook, after: Rulebook) -> BookLosses:
    """Return what `after` lacks of `before`, in the order of the book in force."""
    kept = {rule.name for rule in after.rules}
    rules = tuple(rule.name for rule in before.rules if rule.name not in kept)
    return BookLosses(
        rules,
        tuple(name for name in before.sources if name not in after.sources),
        tuple(name for name in before.destinations if name not in after.destinations),
        2 * len(rules) > len(before.rules),
    )


def _say(kind: str, names: tuple[str, ...]) -> str:
    more = f" and {len(names) - SHOWN} more" if len(names) > SHOWN else ""
    return f"{kind}{'s' * (len(names) > 1)} {', '.join(names[:SHOWN])}{more}"
