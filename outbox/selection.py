"""Which records are meant: by id, by what is wrong with them, by the entries they carry.

One idea: whatever a person chooses by, what is meant are records that wait for a person. The choice is
one value that a web address, a command and a row of `bulk` carry alike.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields
from datetime import datetime
from typing import Any, cast

from sqlalchemy import ColumnElement, Connection, Select, exists, func, literal, select

from outbox.errors import NotASelection
from outbox.letters import Filter, matching
from runtime.bulk import among
from schema.bulk import ItemState
from schema.days import read_moment
from schema.keys import RecordId
from schema.states import Closed, EntryState, Reason
from schema.tables import bulk_item, outbox_entry, record

LISTED = 100
"""How many ids a selection names one by one where it is kept; of more only the number is."""

LONGEST_ID = 18
"""Digits: what a database's ids have at most."""

COUNTED = 100_000
"""Up to how many entries are counted that need nothing; beyond that people read "100,000+"."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Entries:
    """Which entries; without any word, all of them."""

    ids: tuple[int, ...] = ()
    since: datetime | None = None
    until: datetime | None = None
    event: str | None = None
    source: str | None = None
    outcome: Closed | EntryState | None = None

    def conditions(self, connection: Connection) -> list[ColumnElement[bool]]:
        """Say it in SQL."""
        entry = outbox_entry.c
        told: list[ColumnElement[bool]] = []
        if self.ids:
            told.append(among(connection, entry.id, self.ids))
        if self.since is not None:
            told.append(entry.emitted_at >= self.since)
        if self.until is not None:
            told.append(entry.emitted_at < self.until)
        if self.event is not None:
            told.append(entry.event == self.event)
        if self.source is not None:
            told.append(entry.source == self.source)
        match self.outcome:
            case Closed():
                told.append(entry.closed_as == self.outcome.value)
            case EntryState():
                told.append(entry.state == self.outcome.value)
            case None:
                pass
        return told


@dataclass(frozen=True, slots=True, kw_only=True)
class Selection:
    """Which records that wait for a person; without any word, all of them.

    The words of the desk's lists mean what they mean there: *group* is a signature, *families* are
    those of one local thing or person. With *entries* only records are meant that carry one of these.
    """

    ids: tuple[int, ...] = ()
    group: str | None = None
    reason: Reason | None = None
    operation: str | None = None
    kind: str | None = None
    owner: str | None = None
    families: tuple[str, ...] | None = None
    before: datetime | None = None
    entries: Entries | None = None

    @classmethod
    def of(
        cls, chosen: Filter, *, ids: tuple[int, ...] = (), entries: Entries | None = None
    ) -> "Selection":
        """Give what is meant by a filter of the desk, and besides by ids or entries."""
        return cls(
            ids=ids,
            group=chosen.signature,
            reason=chosen.reason,
            operation=chosen.operation,
            kind=chosen.kind,
            owner=chosen.owner,
            families=None if chosen.families is None else tuple(chosen.families),
            before=chosen.before,
            entries=entries,
        )

    def document(self) -> dict[str, Any]:
        """Write it as a row of `bulk` keeps it, and as JSON shows it."""
        return _document(self)

    def conditions(self, connection: Connection, destination: str) -> list[ColumnElement[bool]]:
        """Say it in SQL on `record`."""
        chosen = Filter(
            destination=destination,
            signature=self.group,
            reason=self.reason,
            operation=self.operation,
            kind=self.kind,
            owner=self.owner,
            families=self.families,
            before=self.before,
        )
        told = matching(connection, chosen)
        if self.ids:
            told.append(among(connection, record.c.id, self.ids))
        if self.entries is not None:
            carried = self.entries.conditions(connection)
            told.append(exists().where(outbox_entry.c.record_id == record.c.id, *carried))
        return told


def ids_of(
    connection: Connection, destination: str, selection: Selection, *, after: int, limit: int
) -> list[RecordId]:
    """Give the next ids of a selection, from after *after*."""
    chosen = select(record.c.id).where(
        *selection.conditions(connection, destination), record.c.id > after
    )
    return list(connection.execute(chosen.order_by(record.c.id).limit(limit)).scalars())


def put_into(connection: Connection, destination: str, selection: Selection, bulk_id: int) -> int:
    """Make every record of a selection an item of a bulk, none read here; gives how many."""
    chosen = select(literal(bulk_id), record.c.id, literal(ItemState.LEFT.value)).where(
        *selection.conditions(connection, destination)
    )
    into = bulk_item.insert().from_select(["bulk_id", "record_id", "state"], chosen)
    return connection.execute(into, execution_options={"preserve_rowcount": True}).rowcount


def untouched(connection: Connection, destination: str, selection: Selection) -> Mapping[str, int]:
    """Count, by how they stand, the entries of a selection whose records wait for no person.

    At most `COUNTED` are looked at, the newest.
    """
    if selection.entries is None:
        return {}
    newest = (
        entries_of(connection, destination, selection)
        .with_only_columns(outbox_entry.c.state, outbox_entry.c.closed_as)
        .where(record.c.signature.is_(None))
        .order_by(outbox_entry.c.id.desc())
        .limit(COUNTED)
        .subquery()
    )
    how = func.coalesce(newest.c.closed_as, newest.c.state)
    rows = connection.execute(select(how, func.count()).group_by(how).order_by(how))
    return {str(name): int(number) for name, number in rows}


def entries_of(connection: Connection, destination: str, selection: Selection) -> Select[Any]:
    """Say in SQL which entries a selection means; gives their ids."""
    chosen = selection.entries or Entries()
    of_record: list[ColumnElement[bool]] = []
    if selection.kind is not None:
        of_record.append(record.c.kind == selection.kind)
    if selection.families is not None:
        # Not off the join: SQLite would go through every entry to find a person's few.
        theirs = select(record.c.id).where(
            record.c.destination == destination,
            among(connection, record.c.family, selection.families),
        )
        of_record.append(outbox_entry.c.record_id.in_(theirs))
    return (
        select(outbox_entry.c.id)
        .outerjoin(record, record.c.id == outbox_entry.c.record_id)
        .where(outbox_entry.c.destination == destination, *chosen.conditions(connection))
        .where(*of_record)
    )


OF_ENTRIES = ("entries", "since", "until", "event", "source", "outcome")
"""Words about entries, as a web address and a command give them. `entries` are ids, or `any`."""

ANY = "any"


def ids_in(words: Mapping[str, str]) -> tuple[int, ...]:
    """Read the ids of records from the word `ids`; raises `NotASelection`."""
    return _numbers(words, "ids")


def entries_in(words: Mapping[str, str]) -> Entries | None:
    """Read which entries are meant; None where no word is about them. Raises `NotASelection`."""
    said = {name: words[name].strip() for name in OF_ENTRIES if words.get(name, "").strip()}
    if not said:
        return None
    return Entries(
        ids=() if said.get("entries") == ANY else _numbers(said, "entries"),
        since=_moment(said, "since"),
        until=_moment(said, "until"),
        event=said.get("event"),
        source=said.get("source"),
        outcome=_outcome(said),
    )


def _numbers(said: Mapping[str, str], name: str) -> tuple[int, ...]:
    parts = said.get(name, "").replace(",", " ").split()
    wrong = next((one for one in parts if not one.isdecimal() or len(one) > LONGEST_ID), None)
    if wrong is not None:
        raise NotASelection(f"{name}: {wrong[:40]!r} is no id; give numbers", field=name)
    return tuple(sorted({int(one) for one in parts}))


def _moment(said: Mapping[str, str], name: str) -> datetime | None:
    if name not in said:
        return None
    try:
        return read_moment(said[name])
    except ValueError as error:
        raise NotASelection(f"{name}: {error}", field=name) from None


OUTCOMES = (*EntryState, *(one for one in Closed))
"""How an entry may stand: still open, or closed so."""


def _outcome(said: Mapping[str, str]) -> Closed | EntryState | None:
    text = said.get("outcome")
    if text is None:
        return None
    found = next((one for one in OUTCOMES if one.value == text), None)
    if found is None:
        there = ", ".join(one.value for one in OUTCOMES)
        raise NotASelection(
            f"outcome: there is no {text[:40]!r}; there are {there}", field="outcome"
        )
    return found


def _document(value: Any) -> dict[str, Any]:
    """Write what is said, and nothing of what is not. No family at all is said: nothing is meant."""
    told = ((one.name, getattr(value, one.name)) for one in fields(value))
    return {
        name: _plain(said)
        for name, said in told
        if said is not None and (said != () or name == "families")
    }


def _plain(said: Any) -> Any:
    match said:
        case Entries():
            return _document(said)
        case tuple():
            return _ids(cast(tuple[int, ...], said))
        case datetime():
            return said.isoformat()
        case _:
            return str(said)


def _ids(ids: Sequence[int]) -> list[int] | str:
    return list(ids) if len(ids) <= LISTED else f"{len(ids)} ids"
