"""Bulk: many records at once. The plan of one, its confirmation by number, how far it is, its report."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from datetime import datetime
from typing import Any
from urllib.parse import urlencode

from sqlalchemy import Connection
from starlette.responses import Response

from console import bulks, csv, whose
from console.chosen import BULK_WORDS, REASONS, selected
from console.errors import NotFilled, NotThere
from console.page import act, action, page, render
from console.paging import SIZE, cursor, paged
from console.visit import Visit
from outbox import bulk, replay
from outbox.bulk import Bulk
from outbox.replay import How, Plan
from outbox.saying import Person
from outbox.selection import OUTCOMES
from runtime.settings import Destination
from schema.bulk import BulkState, Deed, ItemState, Result
from schema.events import EVENTS
from schema.hours import nightly
from schema.words import length, several

HAD_ITS_TURN = (ItemState.MOVING, ItemState.ENDED)
NOT_YET = (ItemState.LEFT, ItemState.SPARED)

ROWS = 1_000
"""Records of a report read at a time."""


def show_list(visit: Visit) -> Response:
    """List bulks, the newest first."""
    one = _destination(visit)
    with visit.site.database.reading() as connection:
        rows = bulk.listed(connection, one.name, before=cursor(visit), limit=SIZE + 1)
        listed = paged(visit, rows, key=lambda row: row.id)
        told = [_json(connection, visit, row) for row in listed.rows]
        lines = [_line(connection, visit, row) for row in listed.rows]
        said = [row.reason for row in listed.rows]
        whose.anybody_in(visit, connection, one.name, said)
    return render(visit, "bulk_list.html", told, page=listed, lines=lines)


def show_plan(visit: Visit) -> Response:
    """Say what would become of the records that the address chooses, and ask for their number."""
    one = _destination(visit)
    how = _how(visit.asked("deed"))
    words = {name: visit.asked(name) for name in BULK_WORDS}
    with visit.site.database.reading() as connection:
        plan = _planned(connection, visit, one, words, how)
        other = bulk.active(connection, one.name)
        examples = [record for group in plan.groups for record, _ in group.examples]
        whose.about(visit, connection, examples)
    groups = [
        {
            "words": bulks.FORESEEN[group.result],
            "result": group.result,
            "why": group.why,
            "number": group.number,
            "examples": group.examples,
        }
        for group in plan.groups
    ]
    return render(
        visit,
        "bulk_new.html",
        bulks.plan_json(plan, one),
        plan=plan,
        groups=groups,
        takes=length(bulks.plan_minutes(plan, one)),
        chosen=bulks.chosen_words(plan.selection.document()),
        words=words,
        given={name: text for name, text in words.items() if text},
        start=f"/bulk?{urlencode(_address(words, how, one))}",
        deed=how.deed.value,
        comes_back=how.deed is Deed.REPLAY and plan.number_of(Result.ASIDE) == plan.number,
        other=other,
        destination=one.name,
        night=plan.starts_at > visit.now,
        reasons=[(reason.value, reason.value.replace("_", " ")) for reason in REASONS],
        events=[(name, name.replace("_", " ")) for name in EVENTS],
        outcomes=[(one.value, one.value.replace("_", " ")) for one in OUTCOMES],
    )


def start(visit: Visit) -> Response:
    """Begin what was planned, if the number that was typed still is the number.

    The address chooses, as on the page of the plan; the form says how, and why.
    """
    one = _destination(visit)
    form = visit.form
    number = form.number("number", "the number of records")
    how = How(
        deed=_how(visit.asked("deed")).deed,
        try_one=form.text("first") != "all",
        at_once=form.text("when") == "now",
    )
    needed = how.at_once or how.deed is Deed.DISCARD
    reason = form.needed("reason", "why") if needed else form.text("reason")
    words = {name: visit.asked(name) for name in BULK_WORDS}
    person = Person(actor=visit.who.name, reason=reason, now=visit.now)

    def begin(connection: Connection) -> Bulk:
        return bulk.start(
            connection,
            one.name,
            _selection(connection, visit, one, words),
            person,
            expect=number,
            how=how,
        )

    return act(
        visit,
        begin,
        to=lambda began: f"/bulk/{began.id}",
        said=lambda began: f"Bulk {began.id} has begun, with {several(began.total, 'record')}.",
        told=lambda began: {"id": began.id, "state": began.state, "records": began.total},
    )


def show_one(visit: Visit) -> Response:
    """Show how far a bulk is, what became of its records, and what can be said now."""
    result = _result(visit)
    not_yet = visit.asked("show") == "left"
    with visit.site.database.reading() as connection:
        one = _one(connection, visit)
        told = _json(connection, visit, one)
        rows = bulk.items(
            connection,
            one.id,
            result=result,
            states=NOT_YET if not_yet else HAD_ITS_TURN,
            after=cursor(visit) or 0,
            limit=SIZE + 1,
        )
        line = _line(connection, visit, one)
        whose.about(visit, connection, [item.record for item in rows])
        whose.anybody_in(visit, connection, one.destination, [one.reason])
    listed = paged(visit, rows, key=lambda item: item.record.id)
    return render(
        visit,
        "bulk_one.html",
        told,
        page=listed,
        line=line,
        results=[
            (kind.value, bulks.CAME[kind], told["results"].get(kind.value, 0))
            for kind in Result
            if told["results"].get(kind.value)
        ],
        result=result,
        not_yet=not_yet,
        items=[
            (item, bulks.item_words(item), bulks.TODAY[item.record.state]) for item in listed.rows
        ],
        can_go=one.state is BulkState.TRIED,
        can_hurry=one.state is BulkState.RUNNING and told["waits_until"] is not None,
        can_cancel=one.active,
        can_resume=one.state is BulkState.CANCELLED and told["spared"] > 0,
    )


def show_records(visit: Visit) -> Response:
    """Give what became of each record, for a program: as `bulk report --json` does, page by page."""
    with visit.site.database.reading() as connection:
        one = _one(connection, visit)
        after = cursor(visit) or 0
        rows = bulk.items(connection, one.id, result=_result(visit), after=after, limit=ROWS)
        whose.about(visit, connection, [item.record for item in rows])
    told = [bulks.item_json(item) for item in rows]
    if visit.wants_json:
        return render(visit, "", told)
    return show_one(visit)


def report(visit: Visit) -> Response:
    """Give the whole report as a table for a spreadsheet."""
    with visit.site.database.reading() as connection:
        one = _one(connection, visit)
        rows = _rows(visit, connection, one)
        return csv.answer(f"bulk-{one.id}", bulks.CSV_HEAD, rows, over=visit.over)


def _rows(visit: Visit, connection: Connection, one: Bulk) -> Iterator[Sequence[object]]:
    after = 0
    while items := bulk.items(connection, one.id, after=after, limit=ROWS):
        whose.about(visit, connection, [item.record for item in items])
        yield from map(bulks.csv_row, items)
        after = items[-1].record.id


def go(visit: Visit) -> Response:
    """Let the others follow; or, from one that waits for the night, at once."""
    at_once = visit.form.text("when") == "now"
    reason = (
        visit.form.needed("reason", "why it cannot wait") if at_once else visit.form.text("reason")
    )
    return _say(
        visit,
        lambda connection, bulk_id, person: bulk.go(connection, bulk_id, person, at_once=at_once),
        reason,
        "The others follow.",
    )


def cancel(visit: Visit) -> Response:
    """Put no more records on their way."""
    said = "Cancelled. What was on its way goes on; the others stay as they are."
    return _say(visit, bulk.cancel, visit.form.text("reason"), said)


def resume(visit: Visit) -> Response:
    """Go on with what was left."""
    return _say(visit, bulk.resume, visit.form.text("reason"), "It goes on with what was left.")


Word = Callable[[Connection, int, Person], Bulk]


def _say(visit: Visit, deed: Word, reason: str, said: str) -> Response:
    bulk_id = visit.path_number("id")
    person = Person(actor=visit.who.name, reason=reason, now=visit.now)
    return act(
        visit,
        lambda connection: deed(connection, bulk_id, person),
        to=f"/bulk/{bulk_id}",
        said=said,
        told=lambda done: {"id": bulk_id, "state": done.state},
    )


# what several of them need


def _destination(visit: Visit) -> Destination:
    """Give the destination that is asked for, or the first."""
    name = visit.asked("destination")
    for one in visit.site.settings.destinations:
        if name in ("", one.name):
            return one
    raise NotThere(f"There is no destination {name[:40]!r}.")


def _address(words: Mapping[str, str], how: How, one: Destination) -> dict[str, str]:
    said = {name: text for name, text in words.items() if text}
    return {**said, "deed": how.deed.value, "destination": one.name}


def _how(deed: str) -> How:
    try:
        return How(deed=Deed(deed or Deed.REPLAY.value))
    except ValueError:
        raise NotFilled(
            f"{deed[:40]!r} is nothing that can be done to many.", field="deed"
        ) from None


def _selection(
    connection: Connection, visit: Visit, one: Destination, words: Mapping[str, str]
) -> replay.Selection:
    contracts = visit.site.contracts
    return selected(connection, words, destination=one.name, contracts=contracts, now=visit.now)


def _planned(
    connection: Connection, visit: Visit, one: Destination, words: Mapping[str, str], how: How
) -> Plan:
    return replay.planned(
        connection,
        one.name,
        _selection(connection, visit, one, words),
        visit.site.contracts[one.name],
        offpeak=nightly(visit.site.settings.offpeak),
        now=visit.now,
        how=how,
    )


def _one(connection: Connection, visit: Visit) -> Bulk:
    bulk_id = visit.path_number("id")
    found = bulk.get(connection, bulk_id)
    if found is None:
        raise NotThere(f"There is no bulk {bulk_id}.")
    return found


def _result(visit: Visit) -> Result | None:
    text = visit.asked("result")
    return next((one for one in Result if one.value == text), None)


def _json(connection: Connection, visit: Visit, one: Bulk) -> dict[str, Any]:
    until = _waits_until(visit, one)
    return bulks.bulk_json(one, bulk.progress(connection, one), waits_until=until)


def _waits_until(visit: Visit, one: Bulk) -> datetime | None:
    return bulk.waits_until(one, nightly(visit.site.settings.offpeak), visit.now)


def _line(connection: Connection, visit: Visit, one: Bulk) -> dict[str, Any]:
    far = bulk.progress(connection, one)
    return {
        "bulk": one,
        "far": far,
        "percent": bulks.share_done(far),
        "stands": bulks.state_words(one, waits_until=_waits_until(visit, one)),
        "deed": bulks.DEEDS[one.deed],
        "chosen": bulks.chosen_words(one.selection),
        "colour": COLOURS[one.state],
    }


COLOURS: Mapping[BulkState, str] = {
    BulkState.TRYING: "blue",
    BulkState.TRIED: "yellow",
    BulkState.RUNNING: "blue",
    BulkState.CANCELLED: "grey",
    BulkState.DONE: "green",
}

routes = [
    page("/bulk", show_list),
    page("/bulk/new", show_plan),
    action("/bulk", start),
    page("/bulk/{id}", show_one),
    page("/bulk/{id}/records", show_records),
    page("/bulk/{id}/report.csv", report),
    action("/bulk/{id}/go", go),
    action("/bulk/{id}/cancel", cancel),
    action("/bulk/{id}/resume", resume),
]
