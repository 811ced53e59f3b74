"""Differences: what a full sync found not to agree, and who says which side is right."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from typing import Any, TypeVar

from sqlalchemy import Connection
from starlette.responses import Response

from console import whose
from console.errors import NotFilled, NotThere
from console.masking import masked
from console.page import act, action, page, render
from console.paging import SIZE, cursor, paged, stretch
from console.place import destination_of, destinations, kept
from console.visit import Visit
from inbox import differences, resolving
from inbox.differences import Place, Unlinked
from outbox import entries
from schema.inbox import DriftKind, DriftState

PERSONAL = frozenset({"full_name", "email", "teacher_reference_number"})
"""Fields whose values not everybody may see."""

KINDS = {
    DriftKind.DIFFERENT.value: "not the same",
    DriftKind.MISSING_THERE.value: "missing there",
    DriftKind.MISSING_HERE.value: "missing here",
}

STATES = {
    DriftState.OPEN.value: ("open", "orange"),
    DriftState.IGNORED.value: ("ignored", "grey"),
    DriftState.SENT_OURS.value: ("ours was sent", "blue"),
    DriftState.ACCEPTED_THEIRS.value: ("theirs was accepted", "blue"),
    DriftState.HEALED.value: ("there again", "green"),
}

WAYS = {
    "send-ours": (DriftState.SENT_OURS, "Ours is sent, by the same rules as any change."),
    "accept-theirs": (DriftState.ACCEPTED_THEIRS, "Theirs is accepted; nothing is sent."),
    "ignore": (DriftState.IGNORED, "Ignored: it is not reported again."),
}


Closed = TypeVar("Closed", bound=StrEnum)


@dataclass(frozen=True, slots=True, kw_only=True)
class Line:
    """A difference as the pages show it; `id` is None for what is only there."""

    id: int | None
    kind: str
    what: str
    source: str
    record_key: str | None
    remote_id: str
    field: str
    ours: str
    theirs: str
    found_at: datetime
    state: str
    colour: str
    resolved: str


# looking


def show(visit: Visit) -> Response:
    """List differences by kind, field and person; the oldest first."""
    wanted = {name: visit.asked(name) for name in ("kind", "field", "person")}
    wanted["state"] = visit.asked("state", DriftState.OPEN.value)
    destination = destination_of(visit)
    partly = False
    with visit.site.database.reading() as connection:
        counts = differences.counts(connection, destination)
        if wanted["kind"] == DriftKind.MISSING_HERE:
            found = _missing_here(visit, connection)
            more = None if found.go_on is None else ":".join(found.go_on)
            listed = stretch(visit, found.rows, more)
            partly = more is not None and len(found.rows) < SIZE
        else:
            rows = differences.listed(
                connection,
                destination,
                kind=_one_of(DriftKind, wanted["kind"]),
                field=wanted["field"] or None,
                state=_one_of(DriftState, wanted["state"]),
                remote_id=wanted["person"] or None,
                after=cursor(visit) or 0,
                limit=SIZE + 1,
            )
            listed = paged(visit, rows, key=lambda row: row["id"])
        keys = [str(row.get("record_key") or "") for row in listed.rows]
        whose.about_keys(visit, connection, keys)
    whose.of_documents(visit, listed.rows)
    seen = [_seen_by(visit, row) for row in listed.rows]
    return render(
        visit,
        "differences.html",
        {"differences": seen, "next": listed.last_key, "open": counts},
        page=listed,
        lines=[line_of(row) for row in seen],
        wanted=wanted,
        kinds=list(KINDS.items()),
        states=[(value, text) for value, (text, _) in STATES.items()],
        destinations=destinations(visit),
        destination=destination,
        of=kept(visit),
        partly=partly,
    )


def show_one(visit: Visit) -> Response:
    """Show one difference whole, with what can be done about it."""
    with visit.site.database.reading() as connection:
        found = _found(visit, connection)
        whose.about_keys(visit, connection, [str(found["record_key"] or "")])
    whose.of_documents(visit, [found], str(found["record_key"] or ""))
    told = _seen_by(visit, found)
    line = line_of(told)
    return render(
        visit,
        "difference.html",
        told,
        line=line,
        verdict=verdict(line),
        may_resolve=found["state"] in (DriftState.OPEN, DriftState.IGNORED),
        may_send=found["kind"] == DriftKind.DIFFERENT,
        at=f"/differences/{found['id']}",
        of=kept(visit),
    )


def line_of(row: Mapping[str, Any]) -> Line:
    """Put a difference into words."""
    state, colour = STATES[str(row.get("state") or DriftState.OPEN.value)]
    by = f" by {row['resolved_by']}" if row.get("resolved_by") else ""
    return Line(
        id=row.get("id"),
        kind=str(row["kind"]),
        what=KINDS[str(row["kind"])],
        source=row["source"],
        record_key=row.get("record_key"),
        remote_id=row["remote_id"],
        field=row.get("field") or "",
        ours=_text(row.get("ours")),
        theirs=_text(row.get("theirs")),
        found_at=row["found_at"],
        state=state,
        colour=colour,
        resolved=f"{state}{by}",
    )


def verdict(line: Line) -> str:
    """Say in one sentence what does not agree."""
    if line.kind == DriftKind.DIFFERENT:
        field = line.field.replace("_", " ")
        return f"The {field} is {line.theirs} there, and {line.ours} was last accepted from here."
    whose = f"{line.record_key} is linked to it" if line.record_key else "nothing here is linked"
    return f"It is not in the list there any more, nor found by its id; {whose}."


def _text(value: Any) -> str:
    return "nothing" if value is None else str(value)


# acting


def resolve(visit: Visit) -> Response:
    """Say which side is right."""
    way, said = _way(visit)
    reason = visit.form.needed("reason", "why")
    contract = visit.site.contracts[destination_of(visit)]

    drift_id = visit.path_number("id")

    def deed(connection: Connection) -> None:
        _found(visit, connection)
        resolving.resolve(
            connection,
            contract,
            drift_id,
            way,
            actor=visit.who.name,
            reason=reason,
            now=visit.now,
            close=lambda open_, closed, at: entries.close(open_, closed, now=at),
        )

    return act(
        visit,
        deed,
        to=f"/differences/{drift_id}{kept(visit)}",
        said=said,
        told=lambda _: {"id": drift_id, "state": way.value},
    )


def _way(visit: Visit) -> tuple[DriftState, str]:
    found = WAYS.get(visit.form.text("way"))
    if found is None:
        raise NotFilled("Say which side is right: send ours, accept theirs or ignore.", field="way")
    return found


# what they share


def _found(visit: Visit, connection: Connection) -> Mapping[str, Any]:
    number = visit.path_number("id")
    found = differences.by_id(connection, number)
    if found is None or found["destination"] != destination_of(visit):
        raise NotThere(f"There is no difference {number} here.")
    return found


def _missing_here(visit: Visit, connection: Connection) -> Unlinked:
    contract = visit.site.contracts[destination_of(visit)]
    source, colon, remote_id = visit.asked("after").partition(":")
    return differences.missing_here(
        connection,
        destination_of(visit),
        contract.sources(visit.now),
        limit=SIZE,
        after=Place(source, remote_id) if colon else None,
    )


def _seen_by(visit: Visit, row: Mapping[str, Any]) -> dict[str, Any]:
    """Hide the values that this visitor may not see."""
    key = str(row.get("record_key") or "")
    if row.get("field") not in PERSONAL or visit.who.sees(key, visit.now):
        return dict(row)
    hidden = {name: masked(row.get(name), shown=False) for name in ("ours", "theirs")}
    return {**row, **hidden}


def _one_of(kind: type[Closed], text: str) -> Closed | None:
    if not text:
        return None
    try:
        return kind(text)
    except ValueError:
        known = ", ".join(one.value for one in kind)
        raise NotThere(f"There is no {text[:40]!r} here; there are {known}.") from None


routes = [
    page("/differences", show),
    page("/differences/{id}", show_one),
    action("/differences/{id}/resolve", resolve),
]
