"""People: find one by what you know of him, and read what became of his record on both sides."""

from typing import Any
from urllib.parse import urlencode

from sqlalchemy import Connection
from starlette.responses import Response

from console import csv, stories, views, whose
from console.counting import Count
from console.errors import NotThere
from console.masking import hidden
from console.page import page, render
from console.paging import SIZE, cursor, paged
from console.stories import Hit
from console.visit import Visit
from outbox import gates
from records import store
from records.signature import is_aside
from schema.record import Record
from schema.states import OPEN_STATES, RecordState

MOST_IN_A_FILE = 10_000
"""Rows of one CSV file."""


def show_search(visit: Visit) -> Response:
    """Find people, or list the records in one state."""
    what, state = visit.asked("q"), visit.asked("state")
    as_file = visit.asked("format") == "csv"
    with visit.site.database.reading() as connection:
        if what:
            hits = stories.find(connection, what, contracts=visit.site.contracts, now=visit.now)
            listed = paged(visit, hits, key=_id_of, size=stories.MOST_FOUND)
        else:
            limit = MOST_IN_A_FILE if as_file else SIZE + 1
            records = _in_state(visit, connection, state, limit)
            shown = paged(visit, records, key=lambda one: one.id, size=limit if as_file else SIZE)
            hits = stories.with_names(connection, shown.rows, visit.site.contracts, visit.now)
            listed = shown
        whose.about(visit, connection, [one.record for one in hits if one.record is not None])
    told = [_told(visit, one) for one in hits]
    if as_file:
        return _file(visit, told)
    return render(
        visit,
        "people.html",
        told,
        hits=told,
        page=listed,
        q=what,
        state=state,
        states=[(one.value, one.value.replace("_", " ")) for one in RecordState],
        many=Count(len(told), len(told) >= stories.MOST_FOUND) if what else None,
        query=urlencode({name: value for name, value in (("q", what), ("state", state)) if value}),
    )


def show_record(visit: Visit) -> Response:
    """Show a record whole: the verdict, both sides, and all that happened to it, in order."""
    record_id = visit.path_number("id")
    with visit.site.database.reading() as connection:
        one = store.by_id(connection, record_id)
        if one is None:
            raise NotThere(f"There is no record {record_id} here.")
        contract = visit.site.contracts.get(one.destination)
        told = stories.tell(connection, one, contract, visit.now, story=True)
        [hit] = stories.with_names(connection, [one], visit.site.contracts, visit.now)
        configured = {each.name: each.key_name for each in visit.site.settings.destinations}
        gate = gates.shut_now(
            connection,
            one.destination,
            visit.now,
            key_name=configured.get(one.destination, one.destination),
        )
        kin = store.of_family(connection, one.destination, one.family)
        whose.whole_story(visit, connection, one)
        whose.about(visit, connection, kin)
    told |= {
        "name": hit.name,
        "trn": hit.trn,
        "email": stories.email_of(hit.mirrored),
        "calls_stopped": None if gate is None else gate.detail or gate.reason.value,
    }
    if not visit.who.sees(str(one.key), visit.now):
        told = hidden(told)
    return render(
        visit,
        "person.html",
        told,
        record=told,
        problem=None,
        aside=is_aside(one),
        family=[
            {"id": each.id, "key": str(each.key), "verdict": views.verdict(each, visit.now)}
            for each in kin
            if each.id != one.id
        ],
        both=any(side["how"] == "both changed it" for side in told["fields"]),
    )


def _in_state(visit: Visit, connection: Connection, state: str, limit: int) -> list[Record]:
    states = OPEN_STATES
    if state:
        try:
            states = frozenset({RecordState(state)})
        except ValueError:
            raise NotThere(f"There is no state {state[:40]!r}.") from None
    return store.list_open(
        connection,
        visit.asked("destination") or next(iter(visit.site.contracts)),
        states=states,
        after=cursor(visit) or 0,
        limit=limit,
    )


def _told(visit: Visit, hit: Hit) -> dict[str, Any]:
    one = hit.record
    told: dict[str, Any] = {
        "id": None if one is None else one.id,
        "key": None if one is None else str(one.key),
        "destination": hit.destination,
        "remote_id": hit.remote_id,
        "name": hit.name,
        "trn": hit.trn,
        "email": stories.email_of(hit.mirrored),
        "verdict": "There, and no local record is linked to it."
        if one is None
        else views.verdict(one, visit.now),
        "aside": one is not None and is_aside(one),
    }
    subject = told["key"] or f"remote:{hit.remote_id}"
    return told if visit.who.sees(subject, visit.now) else hidden(told)


def _id_of(hit: Hit) -> object:
    return 0 if hit.record is None else hit.record.id


def _file(visit: Visit, told: list[dict[str, Any]]) -> Response:
    names = ("id", "key", "destination", "remote_id", "name", "trn", "email", "verdict")
    rows = [[one[name] for name in names] for one in told]
    return csv.answer("people", names, rows, over=visit.over)


routes = [
    page("/people", show_search),
    page("/people/{id}", show_record),
]
