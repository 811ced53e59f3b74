"""What people are told of `record` as numbers: how many, why, and who waits longest.

One idea: no number is counted further than it is shown. Each state and reason is a stretch of one
index, in the order of the oldest open entry; of each at most so many rows are looked at, however
many there are.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from itertools import product

from sqlalchemy import Connection, bindparam, select, text

from records.store import ON_THE_WAY
from runtime.bulk import among
from schema.keys import RecordKey
from schema.states import OPEN_STATES, Lane, Reason, RecordState
from schema.tables import Instant, outbox_entry, record


@dataclass(frozen=True, slots=True, kw_only=True)
class Number:
    """So many records of a state and reason; `more` says that there are more than were counted."""

    state: RecordState
    reason: Reason | None
    number: int
    more: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class InLane:
    """How many records of a lane wait, and how many of those for nothing but their turn."""

    waiting: int
    due: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Waiting:
    """A record that waits, since its oldest open entry was emitted."""

    key: RecordKey
    state: RecordState
    reason: str | None
    waits_for: str | None
    since: datetime


def _pairs(states: Iterable[RecordState]) -> str:
    """Name every state with every reason, as rows; a state without a reason is another stretch."""
    rows = (f"('{state}', '{reason}')" for state, reason in product(sorted(states), Reason))
    return ", ".join(rows)


def _states(states: Iterable[RecordState]) -> str:
    return ", ".join(f"('{state}')" for state in sorted(states))


# "not in step" is said to both databases in the index's own words, so that they see that it serves.
_STRETCH = (
    "record.destination = :destination AND record.state <> 'in_step' AND record.state = {of}.state"
)
_WITH = (
    "WITH pair(state, reason) AS (VALUES {pairs}), alone(state) AS (VALUES {states}) "
    "SELECT state, reason, ({named}) FROM pair UNION ALL SELECT state, NULL, ({unnamed}) FROM alone"
)


def _of_each(states: Iterable[RecordState], what: str) -> str:
    """Ask something of each stretch of the index; *what* has `{stretch}` where its condition goes."""
    named = what.format(stretch=f"{_STRETCH.format(of='pair')} AND record.reason = pair.reason")
    unnamed = what.format(stretch=f"{_STRETCH.format(of='alone')} AND record.reason IS NULL")
    states = list(states)
    return _WITH.format(pairs=_pairs(states), states=_states(states), named=named, unnamed=unnamed)


_COUNT = text(
    _of_each(
        OPEN_STATES,
        "SELECT count(*) FROM (SELECT 1 FROM record WHERE {stretch} LIMIT :at_most) AS few",
    )
)
_FIRST = {
    named: text(
        "SELECT oldest_entry, id FROM record WHERE destination = :destination "
        "AND state <> 'in_step' AND state = :state "
        f"AND reason {'= :reason' if named else 'IS NULL'} AND oldest_entry IS NOT NULL "
        "AND (state <> 'in_doubt' OR due_at IS NOT NULL) "
        "ORDER BY oldest_entry LIMIT :at_most"
    )
    for named in (True, False)
}
_STUCK = text(
    "SELECT count(*) FROM (SELECT 1 FROM record WHERE destination = :destination "
    "AND state <> 'in_step' AND state = 'in_doubt' AND due_at IS NULL LIMIT :at_most) AS few"
)
_LANES = ", ".join(f"('{lane}')" for lane in Lane)
_IN_LANE = (
    "SELECT count(*) FROM (SELECT 1 FROM record WHERE record.destination = :destination "
    "AND record.lane = lane.name AND record.state IN ('waiting', 'in_doubt') "
    "AND record.due_at {due} LIMIT :at_most) AS few"
)
_IN_LANES = text(
    f"WITH lane(name) AS (VALUES {_LANES}) "
    f"SELECT name, ({_IN_LANE.format(due='IS NOT NULL')}), ({_IN_LANE.format(due='<= :now')}) "
    "FROM lane"
).bindparams(bindparam("now", type_=Instant))


def open_ones(connection: Connection, destination: str, *, most: int) -> list[Number]:
    """Count the records that are not in step by state and reason, of each no more than *most*."""
    given = {"destination": destination, "at_most": most + 1}
    found = [
        Number(
            state=RecordState(state),
            reason=None if reason is None else Reason(reason),
            number=min(number, most),
            more=number > most,
        )
        for state, reason, number in connection.execute(_COUNT, given)
        if number
    ]
    return sorted(found, key=lambda one: (one.state, one.reason or ""))


def stuck(connection: Connection, destination: str, *, most: int) -> int:
    """Count the doubts that no look-up settles and a person must, of them no more than *most*."""
    given = {"destination": destination, "at_most": most}
    return connection.execute(_STUCK, given).scalar_one()


def longest_waiting(
    connection: Connection, destination: str, numbers: Iterable[Number], *, limit: int
) -> list[Waiting]:
    """List the records on their way by their oldest open entry, the longest waiting first.

    A doubt that waits for a person is not on its way.
    *numbers* says which states and reasons there are; of each only as many are read as are listed.
    """
    first: list[tuple[int, int]] = []
    for one in numbers:
        if one.state in ON_THE_WAY:
            first += _first_of(connection, destination, one, limit)
    chosen = [record_id for _, record_id in sorted(first)[:limit]]
    return _waiting(connection, chosen)


def _first_of(
    connection: Connection, destination: str, one: Number, limit: int
) -> list[tuple[int, int]]:
    given = {"destination": destination, "state": one.state.value, "at_most": limit}
    if one.reason is not None:
        given["reason"] = one.reason.value
    rows = connection.execute(_FIRST[one.reason is not None], given)
    return [(entry, record_id) for entry, record_id in rows]


def _waiting(connection: Connection, ids: Sequence[int]) -> list[Waiting]:
    query = (
        select(
            *(record.c.kind, record.c.source_id, record.c.part, record.c.round),
            *(record.c.state, record.c.reason, record.c.waits_for, outbox_entry.c.emitted_at),
        )
        .join(outbox_entry, outbox_entry.c.id == record.c.oldest_entry)
        .where(among(connection, record.c.id, ids))
        .order_by(record.c.oldest_entry)
    )
    return [
        Waiting(
            key=RecordKey(row.kind, row.source_id, row.part, row.round),
            state=RecordState(row.state),
            reason=row.reason,
            waits_for=row.waits_for,
            since=row.emitted_at,
        )
        for row in connection.execute(query)
    ]


def in_lanes(
    connection: Connection, destination: str, now: datetime, *, most: int
) -> Mapping[Lane, InLane]:
    """Count, by lane, what waits and what is due, of each no more than *most* and one."""
    given = {"destination": destination, "now": now, "at_most": most + 1}
    return {
        Lane(lane): InLane(waiting=waiting, due=due)
        for lane, waiting, due in connection.execute(_IN_LANES, given)
    }
