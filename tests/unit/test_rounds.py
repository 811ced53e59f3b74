"""Declarations are claims for money: made, voided, made again, each in its round."""

from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta

import pytest

from records.conflict import conflicts
from records.fold import Change, fold, has_ended, round_for
from schema.asks import SetField
from schema.fingerprint import Json
from schema.keys import EntryId
from schema.record import Record
from schema.states import Closed, RecordState
from tests.support.builders import a_change, a_claim, a_mark, a_wish
from tests.support.clock import NOON

LIVE = {"submitted", "paid"}


def agrees(name: str, wanted: Json, accepted: Mapping[str, Json]) -> bool:
    there = accepted.get(name)
    if name == "state":
        return there in (LIVE if wanted == "submitted" else {"voided", "absent"})
    return there == wanted


def made(entry: int, date: str = "2025-10-01T09:00:00Z", at: datetime | None = None) -> Change:
    asks = (
        SetField(name="state", value="submitted"),
        SetField(name="declaration_date", value=date),
    )
    return a_change(entry, *asks, opens_round=True, at_once=True, happened_at=at)


def void(entry: int, at: datetime | None = None) -> Change:
    state = SetField(name="state", value="voided")
    return a_change(entry, state, ends_round=True, at_once=True, happened_at=at)


def play(
    changes: Sequence[Change], claims: Sequence[Record] = ()
) -> tuple[dict[int, Record], dict[EntryId, Closed]]:
    """Fold changes each into its round, as the relay does; gives the rounds and what closed."""
    rounds = {claim.key.round: claim for claim in claims}
    closed: dict[EntryId, Closed] = {}
    for change in changes:
        ordered = [rounds[number] for number in sorted(rounds)]
        number = round_for(change.asks, change.stamp, ordered, agrees)
        claim = rounds.get(number) or a_claim(number=number)
        one = fold(claim, change, agrees=agrees, status_field=None, now=NOON)
        rounds[number] = one.record
        closed.update(one.closed)
    return rounds, closed


def wanted(rounds: Mapping[int, Record]) -> dict[int, Json]:
    return {number: claim.wanted("state") for number, claim in rounds.items()}


def test_a_claim_opens_round_one() -> None:
    rounds, closed = play([made(1)])

    assert (wanted(rounds), closed) == ({1: "submitted"}, {})
    assert rounds[1].due_at == NOON


def test_made_and_voided_before_it_was_sent_cancels_both() -> None:
    rounds, closed = play([made(1), void(2)])

    assert closed == {1: Closed.NET_ZERO, 2: Closed.NET_ZERO}
    assert rounds[1].state is RecordState.IN_STEP
    assert has_ended(rounds[1], agrees)


def test_a_claim_made_after_a_void_opens_the_next_round() -> None:
    rounds, closed = play([made(1), void(2), made(3)])

    assert wanted(rounds) == {1: None, 2: "submitted"}
    assert closed == {1: Closed.NET_ZERO, 2: Closed.NET_ZERO}


def test_a_void_of_a_claim_that_stands_is_sent_and_its_content_no_longer_asked_for() -> None:
    standing = a_claim(
        accepted={"state": "submitted", "declaration_date": "2025-10-01T09:00:00Z"},
        pending={"declaration_date": a_wish("2025-10-02T09:00:00Z", 1)},
        state=RecordState.HELD,
    )

    rounds, closed = play([void(2)], [standing])

    assert closed == {1: Closed.SUPERSEDED}
    assert {name: wish.value for name, wish in rounds[1].pending.items()} == {"state": "voided"}
    assert rounds[1].state is RecordState.WAITING


@pytest.mark.parametrize(
    "uncertain",
    [
        a_claim(state=RecordState.TAKEN, pending={"state": a_wish("submitted", 1)}, mark=a_mark(1)),
        a_claim(
            state=RecordState.IN_DOUBT, pending={"state": a_wish("submitted", 1)}, look_first=True
        ),
    ],
)
def test_a_void_of_a_claim_that_may_be_there_does_not_cancel_it(uncertain: Record) -> None:
    rounds, closed = play([void(2)], [uncertain])

    assert Closed.NET_ZERO not in closed.values()
    assert wanted(rounds) == {1: "voided"}


def test_a_void_of_a_claim_never_seen_here_is_kept_to_be_looked_up() -> None:
    rounds, closed = play([void(1)])

    assert (wanted(rounds), closed) == ({1: "voided"}, {})


def test_another_claim_in_a_live_round_stays_in_that_round() -> None:
    standing = a_claim(
        accepted={"state": "submitted", "declaration_date": "2025-10-01T09:00:00Z"},
    )

    rounds, closed = play([made(2, "2025-10-05T09:00:00Z")], [standing])

    assert (rounds.keys(), closed) == ({1}, {})
    assert rounds[1].pending.keys() == {"declaration_date"}


def test_a_claim_said_again_in_a_live_round_is_unchanged() -> None:
    standing = a_claim(
        accepted={"state": "paid", "declaration_date": "2025-10-01T09:00:00Z"},
    )

    assert play([made(2)], [standing])[1] == {2: Closed.UNCHANGED}


def test_a_claim_that_comes_late_from_before_the_void_belongs_to_the_round_it_was_made_in() -> None:
    rounds, closed = play(
        [made(1, at=NOON), void(2, at=NOON + timedelta(hours=2)), made(3, at=NOON)]
    )

    assert rounds.keys() == {1}
    assert closed[EntryId(3)] is Closed.SUPERSEDED


def test_a_void_that_comes_late_does_not_end_the_round_that_followed() -> None:
    later = NOON + timedelta(hours=2)
    rounds, closed = play([made(1, at=NOON), void(2, at=NOON), made(3, at=later), void(4, at=NOON)])

    assert wanted(rounds) == {1: None, 2: "submitted"}
    assert closed[EntryId(4)] is Closed.SUPERSEDED


def test_a_round_that_the_other_side_ended_is_over() -> None:
    assert has_ended(a_claim(accepted={"state": "voided"}), agrees)
    assert not has_ended(a_claim(accepted={"state": "paid"}), agrees)
    assert not has_ended(a_claim(), agrees)


SAID = {"state": "submitted", "declaration_date": "2025-10-01T09:00:00Z"}


@pytest.mark.parametrize(
    ("date", "round_"),
    [("2025-10-01T09:00:00Z", 1), ("2025-10-02T09:00:00Z", 2)],
    ids=["word for word", "another claim"],
)
def test_a_claim_said_again_over_their_void_is_a_conflict_and_no_claim_anew(
    date: str, round_: int
) -> None:
    theirs = a_claim(accepted={**SAID, "state": "voided"}, words=SAID)

    rounds, _ = play([made(2, date)], [theirs])

    assert max(rounds) == round_
    found = conflicts(rounds[round_], agrees, None)
    assert found.keys() == ({"state"} if round_ == 1 else set())


def test_a_claim_said_again_over_our_own_void_is_a_claim_anew() -> None:
    ours = a_claim(accepted={**SAID, "state": "voided"}, words={**SAID, "state": "voided"})

    rounds, _ = play([made(2)], [ours])

    assert wanted(rounds) == {1: "voided", 2: "submitted"}


def test_a_void_by_us_after_theirs_makes_room_for_the_claim_anew() -> None:
    theirs = a_claim(accepted={**SAID, "state": "voided"}, words=SAID)

    rounds, closed = play([made(2), void(3), made(4)], [theirs])

    assert wanted(rounds) == {1: "voided", 2: "submitted"}
    assert closed == {2: Closed.NET_ZERO, 3: Closed.NET_ZERO}
