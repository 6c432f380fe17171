"""The tables of what exists, made from the code: `python -m tests.reference` writes them into README and docs.

Comes in: a Catalogue, the presets. Goes out: the lines of the tables. Never touches another part of a page.
"""

from collections.abc import Sequence
from pathlib import Path

from console import catalogue
from console.render import abilities
from receiver import presets
from rules.catalogue import Catalogue
from workers.destinations.contacts import CRM_ACTIONS
from workers.destinations.invoices import INVOICING_ACTIONS

README = Path(__file__).parents[1] / "README.md"
GENERIC = Path(__file__).parents[1] / "docs" / "sources" / "generic.md"
REFERENCE = Path(__file__).parents[1] / "docs" / "destinations" / "reference.md"


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


def abilities_table(everything: Catalogue) -> list[str]:
    """Return the table of who can what, and what becomes of a delivery whose answer was lost."""
    kinds = everything.destinations.values()
    rows = [f"| `{name}` | {' | '.join(cells)} |" for name, cells in abilities.list_rows(list(kinds))]
    return [f"| action | {' | '.join(f'`{kind.name}`' for kind in kinds)} |", "|---" * (len(kinds) + 1) + "|", *rows]


def shared_table(_: Catalogue) -> list[str]:
    """Return the table of the shared actions: what each takes, and by which names it finds what it writes."""
    rows = []
    for action in (*CRM_ACTIONS, *INVOICING_ACTIONS):
        fields = action.arguments.model_fields
        told = ", ".join(f"**{name}**" if field.is_required() else name for name, field in fields.items())
        rows.append(f"| `{action.name}` | {action.about} | {told} | {action.touches_about} | {action.once_by_about} |")
    return ["| shared action | | arguments | touches | once by |", "|---|---|---|---|---|", *rows]


def needs_table(everything: Catalogue) -> list[str]:
    """Return the table of what an action needs at the vendor, of its limits, and of what it does not write."""
    rows = []
    for kind in everything.destinations.values():
        for action in kind.actions.values():
            refused = "; ".join(f"`{name}`: {why}" for name, why in action.refuses.items())
            if action.rights or action.limits or refused:
                rows.append(f"| `{kind.name}.{action.name}` | {action.rights} | {action.limits} | {refused} |")
    return ["| action | rights | limits | does not write |", "|---|---|---|---|", *rows]


def cannot_table(everything: Catalogue) -> list[str]:
    """Return the table of what kinds cannot do, and why."""
    rows = [
        f"| `{kind.name}` | {', '.join(f'`{name}`' for name, each in kind.cannot.items() if each == why)} | {why}. |"
        for kind in everything.destinations.values()
        for why in dict.fromkeys(kind.cannot.values())
    ]
    return ["| kind | cannot | why |", "|---|---|---|", *rows]


def presets_table(everything: Catalogue) -> list[str]:
    """Return the table of the presets: what is known of each platform, and by which pages."""
    rows = [
        f"| `{name}` | {preset.about} {' '.join(f'<{page}>' for page in preset.pages)} | {preset.documented} | "
        f"{preset.inferred} | {preset.unknown} |"
        for name, preset in presets.read_presets().items()
    ]
    return ["| preset | | documented | inferred | unknown |", "|---|---|---|---|---|", *rows]


def find(lines: Sequence[str], head: str) -> tuple[int, int]:
    """Return where the table with this head begins and where it ends; a head may have got another column."""
    first = head[: head.index("|", 1) + 1]
    start = next((at for at, line in enumerate(lines) if line == head), None)
    if start is None:
        start = next(at for at, line in enumerate(lines) if line.startswith(first))
    end = start
    while end < len(lines) and lines[end].startswith("|"):
        end += 1
    return start, end


#: Each table with the page on which it stands.
TABLES = (
    (sources_table, README),
    (destinations_table, README),
    (presets_table, GENERIC),
    (abilities_table, REFERENCE),
    (shared_table, REFERENCE),
    (needs_table, REFERENCE),
    (cannot_table, REFERENCE),
)


def main() -> None:
    """Write each table into its page."""
    for make, page in TABLES:
        lines, table = page.read_text().splitlines(), make(catalogue.build())
        start, end = find(lines, table[0])
        lines[start:end] = table
        page.write_text("\n".join(lines) + "\n")


if __name__ == "__main__":
    main()
