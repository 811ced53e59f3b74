"""Whom a page is about, told to the veil before the page is written.

One idea: a page names its records, and what is known of the people behind them (here, there, in events
and in answers) is looked up in one place; who may see names costs nothing.
"""

import re
from collections.abc import Iterable, Mapping, Sequence
from itertools import islice
from typing import Any, Final

from sqlalchemy import Connection

from console.masking import personal_in
from console.stories import names_of, people_of, summary
from console.visit import Visit
from inbox import mirror, words
from outbox import attempts, entries
from records import store
from schema.console import Role
from schema.keys import RecordKey
from schema.record import Record

_FULL_NAME: Final = re.compile(r"(?<!\w)(?=([A-ZÀ-Þ][\w'’-]{1,60}) ([A-ZÀ-Þ][\w'’-]{1,60}))")
"""Two words side by side that are written as a name is. Longer ones are none, and to look through them
from each of their letters would take for ever."""

MOST_ASKED: Final = 40
"""Pairs of words of one page that are looked up: each takes a millisecond."""


def about(visit: Visit, connection: Connection, records: Iterable[Record]) -> None:
    """Tell the visit's veil who the people behind some records are."""
    if visit.who.may(Role.OPERATOR):
        return
    some = list({one.id: one for one in records}.values())
    people = names_of(connection, some, visit.site.contracts, visit.now)
    for one in some:
        known = list(personal_in(_said_of(one)))
        if one.id in people:
            known += personal_in(people[one.id].content)
        _tell(visit, str(one.key), known)


def whole_story(visit: Visit, connection: Connection, one: Record) -> None:
    """Tell it also what events, requests and answers of a record have ever said of the person."""
    about(visit, connection, [one])
    if visit.who.may(Role.OPERATOR):
        return
    payloads = [entry.payload for entry in entries.of_record(connection, one.id)]
    calls = [dict(row) for row in attempts.of_record(connection, one.id)]
    _tell(visit, str(one.key), [*personal_in(payloads), *personal_in(calls)])


def about_keys(visit: Visit, connection: Connection, keys: Iterable[str]) -> None:
    """Tell it who the people behind some record keys are, as the audit trail and the feed name them."""
    if visit.who.may(Role.OPERATOR):
        return
    wanted = {found for key in set(keys) if (found := _parsed(key)) is not None}
    ids = sorted({one.source_id for one in wanted})
    found = store.by_sources(connection, ids) if ids else []
    about(visit, connection, [one for one in found if one.key in wanted])


def anybody_in(
    visit: Visit, connection: Connection, destination: str, texts: Iterable[str | None]
) -> None:
    """Tell it of whoever is named in sentences that belong to no record: found as a search would."""
    if visit.who.may(Role.OPERATOR):
        return
    pairs = (found.groups() for text in texts for found in _FULL_NAME.finditer(text or ""))
    for pair in islice(dict.fromkeys(pairs), MOST_ASKED):
        ids = mirror.search(connection, destination, words.split(" ".join(pair)), limit=1)
        sources = people_of(visit.site.contracts[destination], visit.now)
        for one in mirror.read(connection, destination, sources, ids).values():
            visit.veil.hide(personal_in(one.content))


def lines_name(visit: Visit, told: Mapping[str, Any]) -> None:
    """Tell it of whoever is named in what stands everywhere: the lines of the overview."""
    if visit.who.may(Role.OPERATOR):
        return
    with visit.site.database.reading() as connection:
        for one in told["destinations"]:
            lines = [*one["attention"], *(gate["detail"] for gate in one["gates"])]
            lines += last_reasons(one["reading"]["sources"])
            anybody_in(visit, connection, one["destination"], lines)


def last_reasons(sources: Sequence[Mapping[str, Any]]) -> list[str | None]:
    """Give why the last run of each source ended as it did."""
    return [one["last_run"]["reason"] for one in sources if one["last_run"]]


def of_documents(visit: Visit, documents: Sequence[Any], subject: str = "") -> None:
    """Tell it what some documents themselves say of people, such as events or lines of the trail."""
    if not visit.who.may(Role.OPERATOR):
        _tell(visit, subject, list(personal_in(documents)))


def _parsed(key: str) -> RecordKey | None:
    try:
        return RecordKey.parse(key)
    except ValueError:
        return None


def _tell(visit: Visit, key: str, known: list[str]) -> None:
    if visit.who.sees(key, visit.now):
        visit.veil.show(known)
    else:
        visit.veil.hide(known)


def _said_of(one: Record) -> Mapping[str, Any]:
    problems = [one.problem, *(lock.problem for lock in one.locks.values())]
    return {
        "summary": summary(one),
        "words": one.words,
        "snapshots": one.snapshots,
        "sides": [
            {"field": each.field, "sides": each.sides} for each in problems if each is not None
        ],
    }
