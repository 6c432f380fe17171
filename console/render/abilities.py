"""Who can what: a table of actions and destinations, and what becomes of a delivery whose answer was lost.

Comes in: kinds of destinations, by the names to show. Goes out: lines of at most 80 columns. Never reads a book.
"""

from collections.abc import Iterator, Mapping, Sequence

from rules.catalogue import DestinationKind

WIDTH = 80  # columns
#: What stands in the table for an action that is done, is only looked up, cannot be done, or is of another trade.
WORDS: Mapping[str, str] = {"found again": "found", "held": "held", "sent again": "again"}
LOOK_UP, CANNOT, NOT_ITS_TRADE = "look-up", "no", ""
LEGEND = (
    "An answer was lost: found = what it made is searched for; held = a person says;\n"
    "again = it is sent again, which changes nothing. no = it cannot, see below.\n"
)


def list_rows(kinds: Sequence[DestinationKind]) -> Iterator[tuple[str, list[str]]]:
    """Yield each action with a word for each kind; those that several kinds share come first."""
    names = dict.fromkeys(name for kind in kinds for name in (*kind.actions, *kind.cannot))
    sharing = {name: sum(name in kind.actions or name in kind.cannot for kind in kinds) for name in names}
    for name in sorted(names, key=lambda name: sharing[name] < 2):
        yield name, [_cell(kind, name) for kind in kinds]


def _cell(kind: DestinationKind, name: str) -> str:
    if name in kind.cannot:
        return CANNOT
    action = kind.actions.get(name)
    if action is None:
        return NOT_ITS_TRADE
    return LOOK_UP if action.look_up else WORDS.get(action.on_doubt or "", "yes")


def draw(kinds: Mapping[str, DestinationKind]) -> str:
    """Return the table; where there are too many destinations for its width, one after the other."""
    rows = list(list_rows(list(kinds.values())))
    first = max((len(name) for name, _ in rows), default=0)
    drawn, at, owners = [], 0, list(kinds)
    while at < len(owners):
        widths = [max(len(owner), len(LOOK_UP)) + 2 for owner in owners[at:]]
        fitting = 1
        while fitting < len(widths) and first + 2 + sum(widths[: fitting + 1]) <= WIDTH:
            fitting += 1
        told = [("", owners[at : at + fitting]), *((name, cells[at : at + fitting]) for name, cells in rows)]
        drawn += [_line(name, cells, first, widths) for name, cells in told if any(cells)]
        drawn.append("")
        at += fitting
    return "\n".join([*drawn, LEGEND]) if drawn else ""


def _line(name: str, cells: Sequence[str], first: int, widths: Sequence[int]) -> str:
    return (
        f"{name:{first}}  " + "".join(f"{cell:{width}}" for cell, width in zip(cells, widths, strict=False))
    ).rstrip()
