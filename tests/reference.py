"""The tables of what exists, made from the code: `python -m tests.reference` writes them into README and docs.

Comes in: a Catalogue, the presets. Goes out: the lines of the tables. Never touches another part of a page.
"""

from collections.abc import Sequence
from pathlib import Path

from console import catalogue
from receiver import presets
from rules.catalogue import Catalogue

README = Path(__file__).parents[1] / "README.md"
GENERIC = Path(__file__).parents[1] / "docs" / "sources" / "generic.md"


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


def presets_table(everything: Catalogue) -> list[str]:
    """Return the table of the presets: what is known of each platform, and by which pages."""
    rows = [
        f"| `{name}` | {preset.about} {' '.join(f'<{page}>' for page in preset.pages)} | {preset.documented} | "
        f"{preset.inferred} | {preset.unknown} |"
        for name, preset in presets.read_presets().items()
    ]
    return ["| preset | | documented | inferred | unknown |", "|---|---|---|---|---|", *rows]


def find(lines: Sequence[str], head: str) -> tuple[int, int]:
    """Return where the table with this head begins and where it ends."""
    start = lines.index(head)
    end = start
    while end < len(lines) and lines[end].startswith("|"):
        end += 1
    return start, end


#: Each table with the page on which it stands.
TABLES = ((sources_table, README), (destinations_table, README), (presets_table, GENERIC))


def main() -> None:
    """Write each table into its page."""
    for make, page in TABLES:
        lines, table = page.read_text().splitlines(), make(catalogue.build())
        start, end = find(lines, table[0])
        lines[start:end] = table
        page.write_text("\n".join(lines) + "\n")


if __name__ == "__main__":
    main()
