"""Jinja for the pages: our templates, GOV.UK's macros, and the words that both need.

One idea: everything is escaped, and what a template writes about a row it writes by `views`.
"""

from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from typing import Any

from jinja2 import ChoiceLoader, Environment, PackageLoader, PrefixLoader
from starlette.responses import HTMLResponse

from console.masking import masked
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
            trim_blocks=True,
            lstrip_blocks=True,
        )
        filters: dict[str, Any] = self._environment.filters
        filters |= {
            "london": london,
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
