"""A list as CSV, sent as it is read, in which no cell is a formula.

Comes in: a name, columns, pages of rows. Goes out: an answer that a browser saves. Never holds more than a page.
"""

import csv
import io
from collections.abc import AsyncIterator, Iterable, Sequence
from typing import Any

from starlette.responses import StreamingResponse

#: Rows, as many as were read at once.
RowPages = AsyncIterator[Iterable[Sequence[Any]]]


def answer(name: str, columns: Sequence[str], pages: RowPages) -> StreamingResponse:
    """Return a list to be saved under a name."""
    headers = {"Content-Disposition": f'attachment; filename="{name}.csv"'}
    return StreamingResponse(write(columns, pages), media_type="text/csv", headers=headers)


async def write(columns: Sequence[str], pages: RowPages) -> AsyncIterator[str]:
    """Yield the head, then page by page the rows."""
    yield ",".join(columns) + "\r\n"
    async for rows in pages:
        text = io.StringIO()
        csv.writer(text).writerows([disarm(cell) for cell in row] for row in rows)
        yield text.getvalue()


def disarm(cell: Any) -> str:
    """Return a cell that no spreadsheet takes for a formula."""
    text = "" if cell is None else str(cell)
    return f"'{text}" if text.startswith(("=", "+", "-", "@", "\t", "\r")) else text
