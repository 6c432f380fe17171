"""The README's tables of what exists, made from the code: `python -m tests.reference` writes them.

Comes in: a Catalogue. Goes out: the lines of two tables. Never touches another part of the README.
"""

from collections.abc import Sequence
from pathlib import Path

from console import catalogue
from rules.catalogue import Catalogue

README = Path(__file__).parents[1] / "README.md"


def sources_table(everything: Catalogue) -> list[str]:
    """Return the table of the kinds of sources."""
    rows = [f"| `{kind.name}` | {kind.about} |" for kind in everything.sources.values()]
    return ["| kind | |", "|---|---|", *rows]


def destinations_table(everything: Catalogue) -> list[str]:
    """Return the table of the kinds of destinations, with their actions."""
    rows = [
        f"| `{kind.name}` | {kind.about} | {', '.join(f'`{action}`' for action in kind.actions)} |"
        for kind in everything.destinations.values()
    ]
    return ["| kind | | actions and look-ups |", "|---|---|---|", *rows]


def find(lines: Sequence[str], head: str) -> tuple[int, int]:
    """Return where the table with this head begins and where it ends."""
    start = lines.index(head)
    end = start
    while end < len(lines) and lines[end].startswith("|"):
        end += 1
    return start, end


def main() -> None:
    """Write both tables into the README."""
    lines = README.read_text().splitlines()
    for table in (sources_table(catalogue.build()), destinations_table(catalogue.build())):
        start, end = find(lines, table[0])
        lines[start:end] = table
    README.write_text("\n".join(lines) + "\n")


if __name__ == "__main__":
    main()
