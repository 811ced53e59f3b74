"""Jinja for the pages: our templates, GOV.UK's macros, and the words that both need.

One idea: everything is escaped, what a template writes about a row it writes by `views`, and no value
is written but over the visitor's veil. What is escaped already (`| e`) is not looked at again: that is
for what the visitor typed.
"""

from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from typing import Any

from jinja2 import ChoiceLoader, Environment, PackageLoader, PrefixLoader, pass_context
from jinja2.runtime import Context
from markupsafe import Markup
from starlette.responses import HTMLResponse

from console.masking import masked
from console.veil import CLOSED, Over
from console.views import ago, london


class Templates:
    """The templates of the console."""

    def __init__(self) -> None:
        self._environment = Environment(
            loader=ChoiceLoader(
                [
                    PackageLoader("console"),
                    PrefixLoader({"govuk_frontend_jinja": PackageLoader("govuk_frontend_jinja")}),
                ]
            ),
            autoescape=True,
            finalize=_veiled,
            trim_blocks=True,
            lstrip_blocks=True,
        )
        filters: dict[str, Any] = self._environment.filters
        filters |= {
            "london": _london,
            "ago": ago,
            "utc": _utc,
            "since": _since,
            "plain": _plain,
            "instant": datetime.fromisoformat,
            "masked": masked,
        }

    def page(self, name: str, words: Mapping[str, Any], *, status: int = 200) -> HTMLResponse:
        """Write a page."""
        return HTMLResponse(self._environment.get_template(name).render(words), status)


@pass_context
def _veiled(context: Context, value: Any) -> Any:
    """Give a value as who looks may read it; a template that does not know who looks shows nobody."""
    if not isinstance(value, str):
        return value
    over: Over = context.get("over") or CLOSED.over
    return over(value)


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


TEMPLATES = Templates()
