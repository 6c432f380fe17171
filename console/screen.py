"""Where commands print tables: the terminal, or a pipe, which is as wide as it needs to be.

Comes in: nothing. Goes out: a rich Console. Never wraps what somebody may want to copy out of a pipe.
"""

import sys

from rich.console import Console

#: Columns of a table that goes into a pipe or a file.
PIPE = 200


def out(*, stderr: bool = False) -> Console:
    """Return where to print."""
    terminal = (sys.stderr if stderr else sys.stdout).isatty()
    return Console(stderr=stderr, width=None if terminal else PIPE)
