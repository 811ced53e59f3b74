"""Problems: groups of dead letters, the list of one, a letter, and everything a person does about it."""

from collections.abc import Callable, Mapping
from typing import Any
from urllib.parse import urlencode

from sqlalchemy import Connection
from starlette.responses import Response

from console import csv, flash, forms, letters, whose
from console.chosen import REASONS, WORDS, chosen
from console.counting import counted
from console.errors import NotThere
from console.masking import hidden
from console.page import Problem, act, action, page, render
from console.paging import SIZE, cursor, paged
from console.visit import Visit
from outbox import correcting, dead_letters, discarding
from outbox import letters as stored
from outbox.dead_letters import Replay, in_words
from outbox.entries import Entry
from outbox.letters import Filter, Said
from outbox.saying import Person
from records import store
from schema.contract import Contract
from schema.record import Record
from schema.states import Reason

MOST_IN_A_FILE = 10_000
"""Rows of one CSV file: what a spreadsheet opens at once, and a page answers in a second or two."""

PLAIN_REASONS: Mapping[str, str] = {
    "refused": "refused",
    "exhausted": "given up",
    "invalid_here": "not valid",
    "conflict": "both sides changed it",
    "unconfirmed": "expected, and did not come",
}


# looking


def show_groups(visit: Visit) -> Response:
    """List the groups."""
    words = _words(visit)
    with visit.site.database.reading() as connection:
        wanted = _chosen(visit, connection, words)
        found = letters.groups(connection, wanted, _contract(visit, wanted.destination), visit.now)
        owners = stored.owners(connection, wanted.destination)
        whose.about(visit, connection, store.by_ids(connection, [one["example"] for one in found]))
        said = [text for one in found for text in (one["message"], one["note"])]
        whose.anybody_in(visit, connection, wanted.destination, said)
    return render(
        visit,
        "problems.html",
        found,
        groups=found,
        filters=_filters(words, owners, ("reason", "operation", "owner", "age")),
        query=urlencode(words),
    )


def show_list(visit: Visit) -> Response:
    """List the letters that fit the filter, the one that stands longest first."""
    words = _words(visit)
    after = cursor(visit)
    as_file = visit.asked("format") == "csv"
    with visit.site.database.reading() as connection:
        wanted = _chosen(visit, connection, words)
        place = None if after is None else stored.place_of(connection, after)
        limit = MOST_IN_A_FILE if as_file else SIZE + 1
        records = stored.listed(connection, wanted, after=place, limit=limit)
        listed = paged(visit, records, key=lambda one: one.id, size=limit if as_file else SIZE)
        told = letters.listed(connection, listed.rows, visit.site.contracts, visit.now)
        number = counted(stored.count(connection, wanted))
        owners = stored.owners(connection, wanted.destination)
        said = _said_of(connection, wanted)
        whose.about(visit, connection, listed.rows)
        notes = [None if said is None else said.note]
        whose.anybody_in(visit, connection, wanted.destination, notes)
    told = [one if visit.who.sees(one["key"], visit.now) else hidden(one) for one in told]
    if as_file:
        return _file(visit, told)
    return render(
        visit,
        "problem_list.html",
        told,
        letters=told,
        page=listed,
        number=number,
        words=words,
        filters=_filters(words, owners, WORDS[1:]),
        query=urlencode(words),
        of_group=said,
    )


def show_letter(visit: Visit, problem: Problem | None = None) -> Response:
    """Show one letter whole; also one that was settled since."""
    one, told = _letter(visit)
    return render(
        visit,
        "problem.letter.html",
        told,
        status=200 if problem is None else 422,
        letter=told,
        problem=problem,
        reasons=PLAIN_REASONS,
        conflict=one.reason is Reason.CONFLICT,
        typed=visit.form.as_typed(),
    )


def show_correction(visit: Visit, problem: Problem | None = None) -> Response:
    """Show the form of the event that is to be corrected."""
    one, told = _letter(visit)
    with visit.site.database.reading() as connection:
        found = correcting.corrigible(connection, one, _contract(visit, one.destination))
    entry = _chosen_entry(visit, found)
    if entry is None:
        raise NotThere("No open event of this record can be corrected: emit a newer one.")
    fields = forms.at_fault_first(forms.fields_of(entry), one.problem)
    if not visit.who.sees(str(one.key), visit.now):
        fields = [f for f in fields if f.name.rpartition(".")[2] not in ("full_name",)]
    return render(
        visit,
        "problem.correct.html",
        told,
        status=200 if problem is None else 422,
        letter=told,
        entry=entry,
        others=[other for other in found if other.id != entry.id],
        fields=fields,
        problem=problem,
        typed=visit.form.as_typed(),
    )


def show_discarded(visit: Visit) -> Response:
    """List what was discarded and can be restored."""
    with visit.site.database.reading() as connection:
        rows = discarding.listed(
            connection, _destination(visit), before=cursor(visit), limit=SIZE + 1
        )
        listed = paged(visit, rows, key=lambda one: one.id)
        found = store.by_ids(connection, [one.record_id for one in listed.rows])
        records = {one.id: str(one.key) for one in found}
        whose.about(visit, connection, found)
        whose.of_documents(visit, [one.wishes for one in listed.rows])
    told = [
        one if visit.who.sees(records.get(one["record_id"], ""), visit.now) else hidden(one)
        for one in map(letters.dropped_json, listed.rows)
    ]
    return render(visit, "problem.discarded.html", told, rows=told, page=listed, records=records)


# deeds


def replay(visit: Visit) -> Response:
    """Send it again, by the rules."""
    return _by_words(visit, dead_letters.replay, reason=visit.form.text("reason"))


def override(visit: Visit) -> Response:
    """Send it all the same."""
    reason = visit.form.needed("reason", "why it is sent all the same")
    return _by_words(visit, dead_letters.override, reason=reason)


def look(visit: Visit) -> Response:
    """Have it looked up there."""
    return _by_words(visit, dead_letters.look, reason="", back=visit.form.text("back"))


def correct(visit: Visit) -> Response:
    """Ask for other values."""
    record_id = visit.path_number("id")
    one, _ = _letter(visit)
    contract = _contract(visit, one.destination)

    def deed(connection: Connection) -> correcting.Corrected:
        reason = visit.form.needed("why", "why it is corrected")
        entry = _chosen_entry(visit, correcting.corrigible(connection, one, contract))
        changes = {} if entry is None else forms.changes_in(entry, visit.form.as_typed())
        return correcting.correct(
            connection,
            record_id,
            contract,
            changes or {"event": None},
            person=_person(visit, reason),
            seen=_seen(visit),
            entry_id=None if entry is None else entry.id,
        )

    return act(
        visit,
        deed,
        to=f"/problems/{record_id}",
        said=lambda done: f"Corrected. What comes next: {in_words(done.decision)}.",
        again=lambda problem: show_correction(visit, problem),
        told=lambda done: {"entry": done.entry, "diff": done.diff},
    )


def send_ours(visit: Visit) -> Response:
    """Ask for ours over theirs."""
    return _done(
        visit,
        lambda connection, record_id, contract: correcting.send_ours(
            connection, record_id, contract, person=_person(visit), seen=_seen(visit)
        ),
        "Ours is asked for over theirs; it is sent in a moment.",
    )


def accept_theirs(visit: Visit) -> Response:
    """Leave theirs."""
    return _done(
        visit,
        lambda connection, record_id, contract: discarding.accept_theirs(
            connection, record_id, contract, person=_person(visit), seen=_seen(visit)
        ),
        "Theirs stands. What we had asked for can be restored from this page.",
    )


def discard(visit: Visit) -> Response:
    """Take back what is asked for."""

    def deed(connection: Connection, record_id: int, contract: Contract) -> discarding.Discarded:
        reason = visit.form.needed("discard_reason", "why it is discarded")
        return discarding.discard(
            connection, record_id, contract, person=_person(visit, reason), seen=_seen(visit)
        )

    return _done(visit, deed, "Discarded. It can be restored from this page.")


def restore(visit: Visit) -> Response:
    """Ask for it again."""
    record_id = visit.path_number("id")
    contract = _contract(visit, _record(visit).destination)
    return act(
        visit,
        lambda connection: discarding.restore(
            connection, record_id, contract, person=_person(visit)
        ),
        to=lambda done: f"/problems/{done.record.id}",
        said=lambda done: f"Restored. What comes next: {in_words(done.decision)}.",
        told=lambda done: {"record": str(done.record.key), "entries": list(done.entries)},
    )


def say_of_letter(visit: Visit) -> Response:
    """Note something of a letter, or say whose it is."""
    record_id = visit.path_number("id")
    one = _record(visit)

    def deed(connection: Connection) -> None:
        stored.say_of_letter(connection, one, _said(visit), actor=visit.who.name, now=visit.now)

    return act(visit, deed, to=f"/problems/{record_id}", said="Kept.")


def say_of_group(visit: Visit) -> Response:
    """Note something of a group, or say whose it is."""
    signature = visit.path("group")
    destination = _destination(visit)

    def deed(connection: Connection) -> None:
        stored.say_of_group(
            connection,
            destination,
            signature,
            _said(visit),
            actor=visit.who.name,
            now=visit.now,
        )

    to = f"/problems/list?{urlencode({'group': signature})}"
    return act(visit, deed, to=to, said="Kept.")


Way = Callable[..., Replay]


def _by_words(visit: Visit, way: Way, *, reason: str, back: str = "") -> Response:
    record_id = visit.path_number("id")
    contract = _contract(visit, _record(visit).destination)

    def deed(connection: Connection) -> Replay:
        told: dict[str, Any] = {"actor": visit.who.name, "reason": reason, "now": visit.now}
        return way(connection, record_id, contract, seen=_seen(visit), **told)

    return act(
        visit,
        deed,
        to=back if back.startswith("/people/") else f"/problems/{record_id}",
        said=lambda done: _comes_next(done),
        told=lambda done: {"goes_on": done.goes_on, "comes_next": in_words(done.decision)},
    )


def _comes_next(done: Replay) -> flash.Said:
    if done.goes_on:
        return flash.Said(text=f"It goes on. What comes next: {in_words(done.decision)}.")
    return flash.Said(text=f"Nothing was changed: it {in_words(done.decision)}.", problem=True)


def _done(visit: Visit, deed: Callable[[Connection, int, Contract], Any], said: str) -> Response:
    record_id = visit.path_number("id")
    contract = _contract(visit, _record(visit).destination)
    return act(
        visit,
        lambda connection: deed(connection, record_id, contract),
        to=f"/problems/{record_id}",
        said=said,
        again=lambda problem: show_letter(visit, problem),
    )


# parts


def _letter(visit: Visit) -> tuple[Record, dict[str, Any]]:
    record_id = visit.path_number("id")
    with visit.site.database.reading() as connection:
        one = store.by_id(connection, record_id)
        if one is None:
            raise NotThere(f"There is no record {record_id} here.")
        told = letters.show(connection, one, visit.site.contracts, visit.now)
        whose.whole_story(visit, connection, one)
    return one, told if visit.who.sees(str(one.key), visit.now) else hidden(told)


def _record(visit: Visit) -> Record:
    record_id = visit.path_number("id")
    with visit.site.database.reading() as connection:
        one = store.by_id(connection, record_id)
    if one is None:
        raise NotThere(f"There is no record {record_id} here.")
    return one


def _chosen_entry(visit: Visit, found: list[Entry]) -> Entry | None:
    wanted = visit.form.text("entry") or visit.asked("entry")
    return next((one for one in found if not wanted or str(one.id) == wanted), None)


def _person(visit: Visit, reason: str = "") -> Person:
    why = reason or visit.form.text("reason")
    return Person(actor=visit.who.name, reason=why, now=visit.now)


def _seen(visit: Visit) -> int | None:
    text = visit.form.text("seen")
    return int(text) if text.isdecimal() and len(text) < 12 else None


def _said(visit: Visit) -> Said:
    return Said(owner=visit.form.text("owner") or None, note=visit.form.text("note") or None)


def _said_of(connection: Connection, wanted: Filter) -> Said | None:
    if wanted.signature is None:
        return None
    told = stored.said_of_groups(connection, wanted.destination, [wanted.signature])
    return told.get(wanted.signature, Said())


def _words(visit: Visit) -> dict[str, str]:
    return {name: value for name in WORDS if (value := visit.asked(name))}


def _chosen(visit: Visit, connection: Connection, words: Mapping[str, str]) -> Filter:
    return chosen(
        connection,
        words,
        destination=_destination(visit),
        contracts=visit.site.contracts,
        now=visit.now,
    )


def _destination(visit: Visit) -> str:
    named = visit.asked("destination") or visit.form.text("destination")
    if named and named not in visit.site.contracts:
        raise NotThere(f"There is no destination {named[:40]!r}.")
    return named or next(iter(visit.site.contracts))


def _contract(visit: Visit, destination: str) -> Contract:
    found = visit.site.contracts.get(destination)
    if found is None:
        raise NotThere(f"The destination {destination!r} is not configured here.")
    return found


def _filters(
    words: Mapping[str, str], owners: list[str], names: tuple[str, ...]
) -> list[dict[str, Any]]:
    every: dict[str, dict[str, Any]] = {
        "record": {"label": "Record", "hint": "E-1042"},
        "person": {"label": "Person", "hint": "name, TRN, e-mail"},
        "reason": {
            "label": "Why",
            "options": [(one.value, one.value.replace("_", " ")) for one in REASONS],
        },
        "operation": {"label": "Operation", "hint": "defer"},
        "kind": {"label": "Kind", "hint": "declaration"},
        "owner": {"label": "Owner", "options": [(one, one) for one in owners]},
        "age": {"label": "Standing for", "hint": "24h"},
    }
    if not owners:
        every["owner"] = {"label": "Owner"}
    found = [
        {"name": name, "value": words.get(name, ""), **told}
        for name, told in every.items()
        if name in names
    ]
    if "group" in words:
        found.append({"name": "group", "label": "Group", "value": words["group"]})
    return found


def _file(visit: Visit, told: list[dict[str, Any]]) -> Response:
    head = ("id", "record", "since", "reason", "owner", "name", "operation", "says", "next", "note")
    return csv.answer("problems", head, [_cells(one) for one in told], over=visit.over)


def _cells(one: Mapping[str, Any]) -> tuple[object, ...]:
    problem: Mapping[str, Any] = one["problem"] or {}
    return (
        one["id"],
        one["key"],
        one["since"],
        one["reason"],
        one["owner"],
        one["name"],
        problem.get("operation"),
        problem.get("detail"),
        one["next"],
        one["note"],
    )


routes = [
    page("/problems", show_groups),
    page("/problems/list", show_list),
    page("/problems/discarded", show_discarded),
    page("/problems/{id}", show_letter),
    page("/problems/{id}/correct", show_correction),
    action("/problems/{id}/correct", correct),
    action("/problems/{id}/replay", replay),
    action("/problems/{id}/override", override),
    action("/problems/{id}/look", look),
    action("/problems/{id}/send-ours", send_ours),
    action("/problems/{id}/accept-theirs", accept_theirs),
    action("/problems/{id}/discard", discard),
    action("/problems/{id}/restore", restore),
    action("/problems/{id}/say", say_of_letter),
    action("/problems/groups/{group}/say", say_of_group),
]
