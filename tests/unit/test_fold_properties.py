"""What holds for any entries, in any order."""

from collections.abc import Mapping

from hypothesis import given
from hypothesis import strategies as st

from records.fold import Change, fold, normalise
from schema.asks import Ask
from schema.fingerprint import Json
from schema.keys import EntryId
from schema.record import Record
from schema.states import Closed
from tests.support.builders import a_change, a_move, a_record, an_enrolment, to_schedule, to_status
from tests.support.clock import NOON

STATUSES = ("active", "deferred", "withdrawn")
SCHEDULES = ("ecf-standard-september", "ecf-extended-september", "ecf-reduced-september")

asks: st.SearchStrategy[Ask] = st.one_of(
    st.sampled_from(SCHEDULES).map(to_schedule), st.sampled_from(STATUSES).map(to_status)
)
histories = st.lists(asks, min_size=1, max_size=7).map(
    lambda asked: [a_change(entry, ask) for entry, ask in enumerate(asked, 1)]
)
known = st.sampled_from([None, an_enrolment(), an_enrolment(training_status="deferred")])


def agrees(name: str, wanted: Json, accepted: Mapping[str, Json]) -> bool:
    return accepted.get(name) == wanted


def all_folded(
    accepted: Mapping[str, Json] | None, changes: list[Change]
) -> tuple[Record, list[tuple[EntryId, Closed]]]:
    record, ended = a_record(accepted=accepted), list[tuple[EntryId, Closed]]()
    for change in changes:
        one = fold(record, change, agrees=agrees, status_field="training_status", now=NOON)
        record = one.record
        ended.extend(one.closed.items())
    return record, ended


def last_status(record: Record) -> Json:
    return record.path[-1].to if record.path else (record.accepted or {}).get("training_status")


@given(accepted=known, history=histories, data=st.data())
def test_entries_in_any_order_end_in_the_same_wanted_state(
    accepted: Mapping[str, Json] | None, history: list[Change], data: st.DataObject
) -> None:
    shuffled = data.draw(st.permutations(history))

    in_order, _ = all_folded(accepted, history)
    otherwise, _ = all_folded(accepted, shuffled)

    assert otherwise.pending == in_order.pending
    assert otherwise.stamps == in_order.stamps
    assert last_status(otherwise) == last_status(in_order)


@given(accepted=known, history=histories, data=st.data())
def test_every_entry_ends_exactly_once_or_is_carried(
    accepted: Mapping[str, Json] | None, history: list[Change], data: st.DataObject
) -> None:
    shuffled = data.draw(st.permutations(history))

    record, ended = all_folded(accepted, shuffled)

    accounted = sorted([entry for entry, _ in ended] + list(record.entries()))
    assert accounted == [change.stamp.entry for change in history]


@given(
    base=st.sampled_from([None, *STATUSES]),
    asked=st.lists(st.sampled_from(STATUSES), max_size=8),
    data=st.data(),
)
def test_a_normal_path_has_no_loop_keeps_what_is_pinned_and_ends_where_it_was_to(
    base: str | None, asked: list[str], data: st.DataObject
) -> None:
    pinned = data.draw(st.integers(0, min(1, len(asked))))
    moves = [a_move(to, entry) for entry, to in enumerate(asked, 1)]

    path, reasons = normalise(base, moves, pinned)

    visited = [base if pinned == 0 else None, *(move.to for move in path)]
    assert len(set(visited)) >= len(visited) - pinned
    assert path[:pinned] == tuple(moves[:pinned])
    assert (path[-1].to if path else base) == (asked[-1] if asked else base)
    assert {move.stamp.entry for move in path} | reasons.keys() == {
        move.stamp.entry for move in moves
    }


@given(base=st.sampled_from([None, *STATUSES]), asked=st.lists(st.sampled_from(STATUSES)))
def test_a_normal_path_is_left_as_it_is(base: str | None, asked: list[str]) -> None:
    once, _ = normalise(base, [a_move(to, entry) for entry, to in enumerate(asked, 1)])

    assert normalise(base, once) == (once, {})
