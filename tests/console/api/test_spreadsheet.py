import pytest

from console.api import spreadsheet
from console.api.spreadsheet import RowPages


@pytest.mark.parametrize("text", ["=1+1", "+1", "-1", "@x", "\tx", "\rx"])
def test_formulas_are_disarmed(text: str) -> None:
    """What a spreadsheet would take for a formula is text; what is missing is empty."""
    assert spreadsheet.disarm(text) == f"'{text}"
    assert [spreadsheet.disarm(cell) for cell in (None, 5, "a=1")] == ["", "5", "a=1"]


@pytest.mark.anyio
async def test_rows_are_sent_as_they_are_read() -> None:
    """The head comes at once, then a piece for each page."""
    read = []

    async def pages() -> RowPages:
        for n in (1, 2):
            read.append(n)
            yield [(n, "a,b")]

    pieces = spreadsheet.write(("n", "text"), pages())
    assert (await anext(pieces), read) == ("n,text\r\n", [])
    assert (await anext(pieces), read) == ('1,"a,b"\r\n', [1])
    assert [piece async for piece in pieces] == ['2,"a,b"\r\n']
