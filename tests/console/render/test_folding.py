from rich.table import Table

from console.render.folding import FoldingConsole


def test_nothing_is_cut() -> None:
    """What is too long for its column goes on in the next line."""
    table = Table("action", "state", box=None)
    table.add_row("seminardesk_north.add_external_reference", "delivered")
    out = FoldingConsole(width=30, color_system=None)
    with out.capture() as found:
        out.print(table)
    said = found.get()
    assert "…" not in said
    assert "".join(line.split()[0] for line in said.splitlines()[1:]) == "seminardesk_north.add_external_reference"
