"""Entries: the outbox, entry by entry; what became of each, and a replay of what they still lack."""

from typing import Any
from urllib.parse import urlencode

from starlette.responses import Response

from console import whose
from console.bulks import TODAY
from console.chosen import selected
from console.errors import NotThere
from console.masking import hidden
from console.page import page, render
from console.paging import SIZE, cursor, stretch
from console.told_entries import entry_json
from console.views import CLOSED, entry_line
from console.visit import Visit
from outbox import entries, looking_back
from outbox.entries import Entry
from outbox.selection import ANY, OUTCOMES
from records import store
from schema.events import EVENTS
from schema.states import EntryState

WORDS = ("record", "event", "source", "outcome", "since", "until", "kind", "entries")
"""By what the list is filtered; a replay begins with the same ones."""


def show_list(visit: Visit) -> Response:
    """List entries, the newest first."""
    words = {name: visit.asked(name) for name in WORDS}
    given = {name: text for name, text in words.items() if text}
    destination = visit.asked("destination") or visit.site.settings.destinations[0].name
    with visit.site.database.reading() as connection:
        chosen = selected(
            connection,
            words,
            destination=destination,
            contracts=visit.site.contracts,
            now=visit.now,
        )
        found = looking_back.newest(
            connection, destination, chosen, before=cursor(visit), limit=SIZE
        )
        ids = [one.record_id for one in found.entries if one.record_id is not None]
        whose.about(visit, connection, store.by_ids(connection, ids))
    whose.of_documents(visit, [one.payload for one in found.entries])
    listed = stretch(visit, found.entries, found.go_on)
    return render(
        visit,
        "entries.html",
        [_seen_by(visit, one) for one in listed.rows],
        page=listed,
        back_to=found.back_to,
        lines=[
            {"entry": one, "what": entry_line(one.event, one.payload), "stands": stands(one)}
            for one in listed.rows
        ],
        words=words,
        replay=f"/bulk/new?{urlencode({'entries': ANY, **given})}",
        events=[(name, name.replace("_", " ")) for name in EVENTS],
        outcomes=[(one.value, one.value.replace("_", " ")) for one in OUTCOMES],
    )


def show_one(visit: Visit) -> Response:
    """Show one entry, what became of it, and its record."""
    entry_id = visit.path_number("id")
    with visit.site.database.reading() as connection:
        found = entries.by_ids(connection, [entry_id])
        if not found:
            raise NotThere(f"There is no entry {entry_id}; closed ones are pruned after a time.")
        (one,) = found
        record = None if one.record_id is None else store.by_id(connection, one.record_id)
        if record is not None:
            whose.whole_story(visit, connection, record)
    subject = "" if record is None else str(record.key)
    whose.of_documents(visit, [one.payload], subject)
    return render(
        visit,
        "entry.html",
        _seen_by(visit, one, subject),
        entry=one,
        record=record,
        subject=subject,
        today="" if record is None else TODAY[record.state],
        what=entry_line(one.event, one.payload),
        stands=stands(one),
        fields=sorted(one.payload.items()),
    )


def _seen_by(visit: Visit, entry: Entry, subject: str = "") -> dict[str, Any]:
    """Give an entry as JSON, without what this visitor may not see of the person."""
    told = entry_json(entry)
    if not visit.who.sees(subject, visit.now):
        told["payload"] = hidden(told["payload"])
    return told


def stands(entry: Entry) -> str:
    """Say how an entry stands."""
    if entry.closed_as is not None:
        return CLOSED[entry.closed_as]
    return "new" if entry.state is EntryState.NEW else "waits with its record"


routes = [page("/entries", show_list), page("/entries/{id}", show_one)]
