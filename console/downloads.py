"""Lists as CSV files, for a spreadsheet.

One idea: a spreadsheet runs what begins like a formula; what a cell says is put so that it is only
text, whoever wrote it.
"""

import csv
from collections.abc import Iterable, Sequence
from io import StringIO

from starlette.responses import Response

FORMULA = ("=", "+", "-", "@", "\t", "\r")
"""How a cell begins that a spreadsheet would work out."""


def as_csv(name: str, head: Sequence[str], rows: Iterable[Sequence[object]]) -> Response:
    """Answer a file of that name: its heading, then a line for each row."""
    text = StringIO()
    writer = csv.writer(text)
    writer.writerow(head)
    writer.writerows([_cell(one) for one in row] for row in rows)
    return Response(
        text.getvalue(),
        media_type="text/csv; charset=utf-8",
        headers={"content-disposition": f'attachment; filename="{name}.csv"'},
    )


def _cell(value: object) -> str:
    text = "" if value is None else str(value)
    return f"'{text}" if text.startswith(FORMULA) else text
