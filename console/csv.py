"""Lists as CSV, for a spreadsheet that must not run what a record says.

One idea: a cell that a spreadsheet would take for a formula begins with an apostrophe, whoever wrote
it; everything else is as it is.
"""

import csv
import io
from collections.abc import Iterable, Sequence
from datetime import datetime
from typing import Final

from starlette.responses import Response

from console.plain import utc
from console.veil import CLOSED, Over

STARTS: Final = ("=", "+", "-", "@", "\t", "\r", "\n", "＝", "＋", "－", "＠")
"""What makes a formula of a cell in one spreadsheet or another."""

UNSEEN: Final = " \v\f\x00\x85\u00a0\u2007\u200b\u2028\u2029\u202f\u3000\ufeff"
"""What may be lost on the way to a spreadsheet, so that the next character begins the cell."""


def answer(
    name: str, head: Sequence[str], rows: Iterable[Sequence[object]], *, over: Over = CLOSED.over
) -> Response:
    """Answer a list as a file of that name; times in UTC, as in JSON; *over* is the visit's."""
    seen = (over(dict(zip(head, row, strict=True))).values() for row in rows)
    return Response(
        written(head, map(list, seen)),
        media_type="text/csv; charset=utf-8",
        headers={"content-disposition": f'attachment; filename="{name}.csv"'},
    )


def written(head: Sequence[str], rows: Iterable[Sequence[object]]) -> str:
    """Write a list as CSV, each cell inert."""
    return written_rows([head]) + written_rows(rows)


def written_rows(rows: Iterable[Sequence[object]]) -> str:
    """Write rows without their head: the next part of a long list."""
    file = io.StringIO()
    writer = csv.writer(file)
    for row in rows:
        writer.writerow([cell(value) for value in row])
    return file.getvalue()


def cell(value: object) -> str:
    """Write a value so that no spreadsheet computes it. A plain number stays a number."""
    if value is None:
        return ""
    if isinstance(value, datetime):
        return utc(value) or ""
    text = str(value)
    if isinstance(value, int | float) and not isinstance(value, bool):
        return text
    begins = text.startswith(STARTS) or text.lstrip(UNSEEN).startswith(STARTS)
    return f"'{text}" if begins else text
