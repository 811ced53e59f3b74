"""Jinja for the pages: our templates, GOV.UK's macros, and the words that both need.

One idea: everything is escaped, what a template writes about a row it writes by `views`, and no value
is written but over the visitor's veil. What is escaped already (`| e`) is not looked at again: that is
for what the visitor typed.
"""

import re
from collections.abc import Iterator, Mapping, Sequence
from datetime import UTC, datetime, timedelta
from typing import Any, Final

from jinja2 import ChoiceLoader, Environment, PackageLoader, PrefixLoader, pass_context
from jinja2.runtime import Context
from markupsafe import Markup, escape
from starlette.responses import HTMLResponse

from console.masking import masked
from console.veil import CLOSED, Over
from console.views import ago, deadline, london


class Templates:
    """The templates of the console."""

    def __init__(self) -> None:
        self.environment = Environment(
            loader=ChoiceLoader(
                [
                    PackageLoader("console"),
                    PrefixLoader({"govuk_frontend_jinja": PackageLoader("govuk_frontend_jinja")}),
                ]
            ),
            autoescape=True,
            finalize=_written,
            trim_blocks=True,
            lstrip_blocks=True,
        )
        filters: dict[str, Any] = self.environment.filters
        filters |= {
            "london": _london,
            "deadline": deadline,
            "ago": ago,
            "utc": _utc,
            "since": _since,
            "plain": _plain,
            "instant": datetime.fromisoformat,
            "masked": masked,
            "labelled": _labelled,
            "parted": _parted,
        }

    def page(self, name: str, words: Mapping[str, Any], *, status: int = 200) -> HTMLResponse:
        """Write a page."""
        return HTMLResponse(self.environment.get_template(name).render(words), status)


@pass_context
def _written(context: Context, value: Any) -> Any:
    """Give a value as who looks may read it; a template that does not know who looks shows nobody."""
    if isinstance(value, bool):
        return "yes" if value else "no"
    return _veiled(context, value) if isinstance(value, str) else value


def _veiled(context: Context, text: str) -> Any:
    over: Over = context.get("over") or CLOSED.over
    return over(text)


def _london(moment: datetime | None) -> Markup:
    """Write an instant. It is nobody's name: not even that of a person called May."""
    return Markup(london(moment))


def _utc(moment: datetime) -> str:
    return moment.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def _since(moment: datetime, now: datetime) -> str:
    """Say how far away an instant is, before or after now."""
    return (
        f"in {ago(moment - now)}"
        if moment - now > timedelta(seconds=1)
        else f"{ago(now - moment)} ago"
    )


def _plain(name: object) -> str:
    """Write a name of ours as words: `schedule_changed` is "schedule changed"."""
    return str(name).replace("_", " ")


LONGEST_PART: Final = 20
"""Characters that are kept on one line: what still fits on a telephone, in a heading too."""


@pass_context
def _parted(context: Context, value: object) -> Markup:
    """Write a record key or an address so that it breaks where it has parts, and not in one."""
    text = value.unescape() if isinstance(value, Markup) else str(_veiled(context, str(value)))
    parts = [text] if len(text) <= LONGEST_PART else re.findall(r"@?[^:@]+:?|[:@]", text)
    return Markup("<wbr>").join(map(_part, parts))


def _part(text: str) -> Markup:
    if len(text) > LONGEST_PART:
        return escape(text)
    return Markup('<span class="desk-nowrap">{}</span>').format(text)


_CELL: Final = re.compile(
    r'<td class="govuk-table__cell(?P<also>[^"]*)"(?P<more>[^>]*)>(?P<inside>.*?)</td>', re.DOTALL
)


def _labelled(row: Markup, head: Sequence[str]) -> Markup:
    """Give a table's row whose cells know the heads of their columns.

    A narrow screen shows each cell on a line of its own behind that word, and no table any more; so
    the parts also say what they are to who cannot see them.
    """
    words = iter(head)
    cells = _CELL.sub(lambda found: _cell(found, words), str(row))
    return Markup(
        cells.replace('<tr class="govuk-table__row', '<tr role="row" class="govuk-table__row')
    )


def _cell(found: re.Match[str], words: Iterator[str]) -> str:
    word, inside = next(words, ""), found["inside"].strip()
    also = (
        found["also"]
        + ("" if inside else " desk-cell-empty")
        + ("" if word else " desk-cell-deeds")
    )
    return (
        f'<td role="cell" class="govuk-table__cell{also}" data-label="{escape(word)}"{found["more"]}>'
        f'<div class="desk-cell">{inside}</div></td>'
    )


TEMPLATES = Templates()
