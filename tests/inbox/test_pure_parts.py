"""News, drift and the brake, as values."""

from collections.abc import Mapping

import pytest

from gateway.contracts.lead_provider.sources import DECLARATIONS, PARTICIPANTS
from gateway.contracts.lead_provider_v3 import CONTRACT
from inbox.drift import Different, compare, too_many
from inbox.news import Difference, Item, differences, news_of, our_own
from schema.contract import ABSENT
from schema.fingerprint import Json
from schema.inbox import News
from tests.support.builders import ECT, a_claim, a_mark, a_record, a_wish, an_enrolment

KIND = CONTRACT.kinds["enrolment"]


def agrees(name: str, wanted: Json, there: Mapping[str, Json]) -> bool:
    return wanted == there.get(name)


def test_contents_are_compared_by_meaning_and_inside_their_parts() -> None:
    before: dict[str, Json] = {
        "name": "A",
        "count": 1.0,
        "gone": None,
        ECT: {"cohort": "2025", "x": 1},
    }
    after: dict[str, Json] = {"name": "B", "count": 1, ECT: {"x": 1, "cohort": "2024"}}

    assert differences(before, after) == [
        Difference(path=f"{ECT}.cohort", before="2025", after="2024"),
        Difference(path="name", before="A", after="B"),
    ]


def test_equal_contents_are_no_news() -> None:
    assert news_of(PARTICIPANTS, {"a": 1}, {"a": 1}) is None


def test_a_new_row_is_news_unless_we_made_it() -> None:
    assert news_of(DECLARATIONS, None, {"a": 1}) == Item(kind=News.NEW, after={"a": 1})
    assert news_of(DECLARATIONS, None, {"a": 1}, our_own(DECLARATIONS, "", ["declare"])) is None


def test_of_a_row_we_wrote_to_only_the_rest_is_news() -> None:
    ours = our_own(PARTICIPANTS, ECT, ["withdraw"])
    before: dict[str, Json] = {"full_name": "A", ECT: {"training_status": "active"}}
    after: dict[str, Json] = {"full_name": "B", ECT: {"training_status": "withdrawn"}}

    assert news_of(PARTICIPANTS, before, after, ours) == Item(
        kind=News.UPDATED,  # the withdrawal was ours
        changed=("full_name",),
        before={"full_name": "A"},
        after={"full_name": "B"},
    )
    theirs = news_of(PARTICIPANTS, before, after)
    assert theirs is not None
    assert theirs.kind is News.WITHDRAWN


@pytest.mark.parametrize(
    ("gone", "known", "stops"),
    [(10, 10, False), (11, 550, False), (11, 549, True), (20, 1000, False), (21, 1000, True)],
)
def test_the_brake_stops_above_two_percent_and_above_ten(
    gone: int, known: int, stops: bool
) -> None:
    assert too_many(gone, known) is stops


def test_only_what_is_ours_can_drift() -> None:
    record = a_record(accepted=an_enrolment(participant_status="active"))
    there = an_enrolment(participant_status="left", cohort="2024", training_status="withdrawn")

    assert list(compare(record, there, KIND, agrees)) == [
        Different(field="cohort", ours="2025", theirs="2024"),
        Different(field="training_status", ours="active", theirs="withdrawn"),
    ]


def test_what_a_wish_or_a_doubt_will_settle_is_no_drift() -> None:
    wished = a_record(accepted=an_enrolment(), pending={"cohort": a_wish("2024", 1)})
    doubted = a_record(accepted=an_enrolment(), mark=a_mark(1))
    there = an_enrolment(cohort="2023")

    assert list(compare(wished, there, KIND, agrees)) == []
    assert list(compare(doubted, there, KIND, agrees)) == []
    assert list(compare(a_record(accepted=ABSENT), there, KIND, agrees)) == []


def test_a_claim_that_was_paid_has_not_drifted() -> None:
    claim = a_claim(accepted={"state": "submitted", "declaration_date": "2025-10-01T09:00:00Z"})
    there: dict[str, Json] = {"state": "paid", "declaration_date": "2025-10-01T09:00:00Z"}

    found = compare(
        claim,
        there,
        CONTRACT.kinds["declaration"],
        lambda name, wanted, accepted: CONTRACT.agrees(claim.key, name, wanted, accepted),
    )
    assert list(found) == []
