"""Audit: what people did, when and why, and how it was before and after."""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from starlette.responses import Response

from console import whose
from console.masking import hidden
from console.page import page, render
from console.paging import SIZE, cursor, paged
from console.visit import Visit
from runtime import audit


@dataclass(frozen=True, slots=True, kw_only=True)
class Line:
    """One deed as the page shows it: `changes` are field, before and after, as text."""

    id: int
    at: datetime
    actor: str
    action: str
    subject: str
    reason: str
    changes: tuple[tuple[str, str, str], ...]


def show(visit: Visit) -> Response:
    """List what people did, the latest first."""
    wanted = {name: visit.asked(name) for name in ("actor", "action", "subject")}
    with visit.site.database.reading() as connection:
        rows = audit.listed(connection, **wanted, before=cursor(visit), limit=SIZE + 1)
        whose.about_keys(visit, connection, [row["subject"] for row in rows])
        destination = visit.site.settings.destinations[0].name
        whose.anybody_in(visit, connection, destination, [row["reason"] for row in rows])
    whose.of_documents(visit, [(row["before"], row["after"]) for row in rows])
    listed = paged(visit, [_seen_by(visit, row) for row in rows], key=lambda row: row["id"])
    return render(
        visit,
        "audit.html",
        {"audit": listed.rows, "next": listed.last_key},
        page=listed,
        lines=[line_of(row) for row in listed.rows],
        wanted=wanted,
    )


def _seen_by(visit: Visit, row: Mapping[str, Any]) -> Mapping[str, Any]:
    """Hide what a line says about a person from who may not see it."""
    if visit.who.sees(row["subject"], visit.now):
        return row
    return {**row, "before": hidden(row["before"]), "after": hidden(row["after"])}


def line_of(row: Mapping[str, Any]) -> Line:
    """Put a row of the trail into words."""
    return Line(
        id=row["id"],
        at=row["at"],
        actor=row["actor"],
        action=str(row["action"]).replace("_", " "),
        subject=row["subject"],
        reason=row["reason"] or "",
        changes=_changes(row["before"] or {}, row["after"] or {}),
    )


def _changes(
    before: Mapping[str, Any], after: Mapping[str, Any]
) -> tuple[tuple[str, str, str], ...]:
    return tuple(
        (name, _text(before.get(name)), _text(after.get(name)))
        for name in dict.fromkeys((*before, *after))
        if before.get(name) != after.get(name)
    )


def _text(value: Any) -> str:
    if value is None:
        return "nothing"
    if isinstance(value, bool):
        return "yes" if value else "no"
    return value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)


routes = [page("/audit", show)]
