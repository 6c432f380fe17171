"""Where commands print tables: the terminal, or a pipe, which is as wide as it needs to be.

Comes in: nothing. Goes out: a rich Console. Never wraps a line in a pipe: ids must stay in one piece. Never cuts a
word.
"""

import sys
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from rich.console import Console

#: Columns of a table that goes into a pipe or a file.
PIPE = 200


def duration(ms: float) -> str:
    """Return a time span in its largest unit: `3 h`."""
    for unit, size in (("d", 86_400_000), ("h", 3_600_000), ("min", 60_000)):
        if ms >= size:
            return f"{int(ms // size)} {unit}"
    return f"{int(ms // 1000)} s"


def say_count(number: int, noun: str, plural: str = "") -> str:
    """Return how many there are of something: `1 rule`, `2 rules`, `3 boxes`."""
    return f"{number} {noun if number == 1 else plural or f'{noun}s'}"


def out(*, stderr: bool = False) -> "Console":
    """Return where to print."""
    # Here alone, since servers use this module for its words: rich is a fortieth of what they import.
    from console.render.folding import FoldingConsole

    terminal = (sys.stderr if stderr else sys.stdout).isatty()
    return FoldingConsole(stderr=stderr, width=None if terminal else PIPE)
