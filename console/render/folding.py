"""The console of rich on which tables are printed.

Comes in: what is to be printed. Goes out: text. Never cuts a word.
"""

from typing import Any

from rich.console import Console
from rich.table import Table


class FoldingConsole(Console):
    """A console on which what is too long for its column goes on in the next line, and is never cut."""

    def print(self, *objects: Any, **options: Any) -> None:
        """Print, tables with columns that fold."""
        for each in objects:
            for column in each.columns if isinstance(each, Table) else ():
                column.overflow = "fold"
        super().print(*objects, **options)
