"""Claims have dates: near its statement's cut-off a claim leads its lane."""

from collections.abc import Mapping, Sequence
from datetime import UTC, datetime, timedelta

import pytest
from sqlalchemy import Connection

from gateway.contracts.lead_provider.cut_offs import cut_off
from outbox import dating
from outbox.dating import Dating
from outbox.leading import BEFORE_ALL, front, leads
from schema.events import DeclarationMade, DeclarationVoided, ParticipantDeferred
from schema.fingerprint import Json
from tests.support.builders import a_claim, a_record, a_wish, an_enrolment
from tests.support.clock import NOON
from tests.support.outbox import Outbox

Statement = Mapping[str, Json]


def a_statement(day: str, cohort: str = "2025", *, paid: bool = False) -> Statement:
    return {"cohort": cohort, "cut_off_date": day, "paid": paid, "month": "May", "year": "2026"}


TODAY = NOON.date()
MIDNIGHT = datetime(NOON.year, NOON.month, NOON.day, tzinfo=UTC)


def day(ahead: int) -> str:
    return (TODAY + timedelta(days=ahead)).isoformat()


CLAIM = a_claim(pending={"state": a_wish("submitted", 2)})
PARENT = a_record(accepted=an_enrolment(cohort="2025"))


@pytest.mark.parametrize(
    ("statements", "ends_in"),
    [
        ([], None),
        ([a_statement(day(30)), a_statement(day(3))], 4),
        ([a_statement(day(0))], 1),
        ([a_statement(day(-1)), a_statement(day(9))], 10),
        ([a_statement(day(2), paid=True), a_statement(day(9))], 10),
        ([a_statement(day(2), "2024"), a_statement(day(9))], 10),
        ([{"cohort": "2025", "cut_off_date": "soon"}], None),
    ],
)
def test_a_claim_falls_under_the_next_open_statement_of_its_cohort(
    statements: Sequence[Statement], ends_in: int | None
) -> None:
    expected = None if ends_in is None else MIDNIGHT + timedelta(days=ends_in)

    assert cut_off(CLAIM, [PARENT], statements, NOON) == expected


def test_without_a_cohort_the_next_cut_off_of_all_counts_and_a_void_has_none() -> None:
    statements = [a_statement(day(9)), a_statement(day(2), "2024")]
    void = a_claim(pending={"state": a_wish("voided", 2)})

    assert cut_off(CLAIM, [], statements, NOON) == MIDNIGHT + timedelta(days=3)
    assert cut_off(void, [PARENT], statements, NOON) is None
    assert cut_off(PARENT, [], statements, NOON) is None


def test_a_claim_leads_inside_seven_days_and_the_nearest_goes_first() -> None:
    week = NOON + timedelta(days=7)

    assert leads(week, NOON)
    assert not leads(week + timedelta(seconds=1), NOON)
    assert not leads(NOON, NOON)
    assert front(NOON) < front(week) < NOON - BEFORE_ALL / 2


class Statements:
    """What a poll has read."""

    def __init__(self, *statements: Statement) -> None:
        self.now = list(statements)

    def __call__(self, connection: Connection) -> Sequence[Statement]:
        return self.now


def dating_of(outbox: Outbox, statements: Statements) -> Dating:
    return Dating(
        database=outbox.database,
        clock=outbox.clock,
        contract=outbox.contract,
        destination="default",
        dates=statements,
    )


def a_claim_of(source_id: str) -> DeclarationMade:
    return DeclarationMade(
        source_id=source_id,
        declaration_type="started",
        declaration_date=NOON - timedelta(days=9),
        evidence_held="other",
    )


def keys_of(outbox: Outbox) -> list[tuple[str, datetime]]:
    with outbox.database.reading() as connection:
        found = dating.claims(connection, "default", limit=10)
    return [(one.key.source_id, one.cut_off) for one in found]


def test_a_claim_near_its_cut_off_goes_before_what_waited_longer(outbox: Outbox) -> None:
    outbox.room = 0
    for number in range(3):
        outbox.link(f"E-{number}", f"{number}0000000-1111-4111-8111-111111111111")
        outbox.emit(ParticipantDeferred(source_id=f"E-{number}", reason="other"))
    outbox.round()
    outbox.wait(minutes=1)
    outbox.link("E-9", "90000000-1111-4111-8111-111111111111")
    outbox.emit(a_claim_of("E-9"))
    outbox.round()
    dating_of(outbox, Statements(a_statement(day(3)))).look()
    outbox.wait(minutes=1)
    outbox.room = 1

    outbox.round()
    (ring,) = outbox.rings
    claimed = {one.id: one.key.kind for one in outbox.records()}

    assert claimed[ring.record_id] == "declaration"


def test_open_claims_are_listed_by_their_cut_off_and_dated_anew_when_statements_move(
    outbox: Outbox,
) -> None:
    statements = Statements(a_statement(day(20)))
    one = dating_of(outbox, statements)
    outbox.emit(a_claim_of("E-1"), a_claim_of("E-2"))
    outbox.round()
    one.look()
    later = MIDNIGHT + timedelta(days=21)
    assert keys_of(outbox) == [("E-1", later), ("E-2", later)]

    statements.now = [a_statement(day(5))]
    one.look()
    sooner = MIDNIGHT + timedelta(days=6)
    assert keys_of(outbox) == [("E-1", sooner), ("E-2", sooner)]

    statements.now.append(a_statement(day(40)))
    outbox.wait(days=7)
    one.look()
    assert keys_of(outbox)[0] == ("E-1", MIDNIGHT + timedelta(days=41))
    assert one.look() == 0


def test_a_void_of_a_claim_that_never_went_out_has_no_date(outbox: Outbox) -> None:
    outbox.emit(a_claim_of("E-1"), DeclarationVoided(source_id="E-1", declaration_type="started"))
    outbox.round()
    dating_of(outbox, Statements(a_statement(day(2)))).look()

    assert keys_of(outbox) == []
