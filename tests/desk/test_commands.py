"""The desk on the command line: every word of it, as a person types it and as a program reads it."""

from collections.abc import Callable
from datetime import UTC, datetime, timedelta

import pytest

from schema.outcomes import Blame, Refused
from schema.states import RecordState
from tests.desk.test_deeds import REFUSED, in_conflict, refused
from tests.integration.test_dead_letters import unknown_there
from tests.integration.test_delivery import declared, deferred, known, to_schedule
from tests.support.api import a_refusal
from tests.support.builders import OTHER_PERSON, PERSON
from tests.support.command import Ran, run
from tests.support.outbox import Outbox

__all__ = ["known"]  # the fixture


@pytest.fixture
def desk(known: Outbox, environment: pytest.MonkeyPatch) -> Callable[..., Ran]:
    """`pillarbox dead-letters` on that database."""
    environment.setenv("DATABASE_URL", known.database.url.render_as_string(hide_password=False))
    return lambda *words: run("dead-letters", *words)


def test_from_the_group_to_the_letter_to_the_correction_that_is_sent(
    known: Outbox, desk: Callable[..., Ran]
) -> None:
    record = refused(known)
    [group] = desk("groups", "--json").json
    [letter] = desk("list", "--group", group["group"], "--json").json
    told = desk("show", str(letter["id"]), "--json").json

    assert (group["operation"], group["count"], group["people"]) == ("defer", 1, 1)
    assert letter["id"] == record.id
    assert told["corrects"][0]["payload"] == {"reason": "parental-leave"}
    [field] = [one for one in told["corrects"][0]["fields"] if one["name"] == "reason"]
    assert "career-break" in field["choices"]
    assert told["calls"][-1]["request"]["path"] == f"/participants/{PERSON}/defer"
    assert group["group"] in desk("groups").out
    assert "correct" in desk("show", str(record.id)).out

    id_ = str(record.id)
    why = ("--reason", "the school rang", "--as", "Ada")
    unsaid = desk("correct", id_, "reason=career-break")
    assert unsaid.code == 2
    assert unsaid.err.startswith("error: --reason is missing; say why in a few words, such as")
    assert desk("correct", id_, "reason=holiday", *why).code == 2
    tried = desk("correct", id_, "reason=career-break", *why, "--dry-run", "--json")
    assert (tried.code, tried.json["diff"]) == (0, {"reason": ["parental-leave", "career-break"]})
    assert known.record().state is RecordState.DEAD
    assert desk("correct", id_, "reason=career-break", *why).code == 0
    real = datetime.now(UTC) + timedelta(minutes=1)  # the command has a real clock
    known.clock.advance(real - known.clock.now())
    known.run()
    assert known.api.people[PERSON]["training_status"] == "deferred"
    assert desk("list").code == 4
    assert "Ada, dead letter corrected: the school rang" in run("records", "explain", "E-1").out


def test_what_is_discarded_is_listed_and_restored(known: Outbox, desk: Callable[..., Ran]) -> None:
    id_ = str(refused(known).id)

    assert desk("discard", id_).code == 2, "without a reason why"
    assert desk("discard", id_, "--reason", "registered by mistake", "--dry-run").code == 0
    assert known.record().state is RecordState.DEAD
    assert desk("discard", id_, "--reason", "registered by mistake").code == 0
    assert desk("discard", id_, "--reason", "registered by mistake").code == 4
    [dropped] = desk("discarded", "--json").json
    assert (dropped["reason"], dropped["record_id"]) == ("registered by mistake", int(id_))
    assert desk("restore", id_).code == 6, "it is refused as before"
    assert desk("restore", id_).code == 4
    assert known.record().state is RecordState.DEAD


def test_a_conflict_is_settled_one_way_or_the_other(
    known: Outbox, desk: Callable[..., Ran]
) -> None:
    id_ = str(in_conflict(known).id)

    assert desk("send-ours", id_, "--dry-run").code == 0
    assert desk("accept-theirs", id_).code == 0
    assert desk("send-ours", id_).code == 4


def test_a_look_is_asked_for_and_turned_away_where_there_is_nothing_to_look_up(
    known: Outbox, desk: Callable[..., Ran]
) -> None:
    record = refused(known)
    assert desk("look", str(record.id), "--dry-run").code == 0
    assert (
        desk("look", str(record.id), "--json").json["comes_next"] == f"GET /participants/{PERSON}"
    )
    known.emit(deferred("E-unlinked"))
    known.run()
    assert desk("look", str(known.record("E-unlinked").id)).code == 2


def test_what_a_group_is_told_by_is_true_of_each_of_it(
    known: Outbox, desk: Callable[..., Ran]
) -> None:
    known.api.people[OTHER_PERSON] = dict(known.api.people[PERSON])
    known.link("E-2", OTHER_PERSON)
    known.emit(to_schedule("ecf-standard-september").model_copy(update={"source_id": "E-2"}))
    known.run()
    said = [
        a_refusal("participant_id", f"{person} is not known") for person in (PERSON, OTHER_PERSON)
    ]
    known.api.then(*(Refused(status=422, refusals=one, blame=Blame.DATA) for one in said))
    known.emit(deferred("E-1"), deferred("E-2"))
    known.run()

    [group] = desk("groups", "--json").json

    assert group["count"] == 2
    assert "… is not known" in group["message"]
    assert PERSON not in group["message"]


def test_notes_and_owners_are_kept_of_letters_and_of_groups(
    known: Outbox, desk: Callable[..., Ran]
) -> None:
    id_ = str(refused(known).id)
    [group] = desk("groups", "--json").json

    assert desk("note", group["group"], "the DfE knows").code == 0
    assert desk("assign", group["group"], "ines").code == 0
    assert desk("assign", id_, "omar", "--dry-run").code == 0
    assert [one["owner"] for one in desk("list", "--owner", "ines", "--json").json] == ["ines"]
    assert desk("assign", id_, "omar").code == 0
    assert desk("note", id_, "rang twice").code == 0
    [letter] = desk("list", "--owner", "omar", "--json").json
    assert (letter["owner"], letter["note"]) == ("omar", "rang twice")
    [group] = desk("groups", "--json").json
    assert (group["owner"], group["note"]) == ("ines", "the DfE knows")
    assert desk("list", "--owner", "ines").code == 4


def test_lists_are_narrowed_by_age_record_and_person_and_say_what_they_cannot_read(
    known: Outbox, desk: Callable[..., Ran]
) -> None:
    known.api.then(REFUSED)
    known.emit(declared())
    known.run()

    for words in (("--record", "E-1"), ("--person", PERSON), ("--kind", "declaration")):
        assert len(desk("list", *words, "--json").json) == 1
    assert desk("list", "--record", "E-2").code == 4
    assert desk("list", "--age", "long").code == 2
    assert desk("list", "--age", "1h").code in (0, 4)
    assert desk("show", "999").code == 4


def test_an_id_that_is_not_known_there_is_not_said_to_be_there(
    outbox: Outbox, desk: Callable[..., Ran]
) -> None:
    record = unknown_there(outbox)

    told = run("records", "explain", "E-1").out

    assert f"Linked to {PERSON}, ecf-induction; the API answered 404" in told
    assert "There it is" not in told
    assert "not looked at yet" not in told
    assert run("records", "show", "E-1", "--json").json[0]["unknown_there"]
    shown = desk("show", str(record.id)).out
    assert "it does not know this id" in shown
    assert f"dead-letters look {record.id}" in shown
    assert "1 record, no calls, from" in run("bulk", "replay", "--all", "--dry-run").out


def test_a_letter_is_meant_by_its_key_too_and_what_means_none_or_several_is_said(
    known: Outbox, desk: Callable[..., Ran]
) -> None:
    record = refused(known)

    assert desk("show", "enrolment:E-1", "--json").json["id"] == record.id
    assert desk("note", "enrolment:E-1", "rang them").code == 0
    assert desk("show", str(record.id), "--json").json["note"] == "rang them"
    assert desk("discard", "E-1", "--reason", "a mistake").code == 0
    assert known.record().state is RecordState.IN_STEP
    nobody = desk("show", "abc")
    assert nobody.code == 4
    assert (
        "there is no record 'abc'; give its id, or its key such as enrolment:E-1042" in nobody.err
    )
    known.emit(declared())
    known.run()
    several = desk("look", "E-1")
    assert several.code == 2
    assert f"enrolment:E-1 ({record.id})" in several.err
    assert "declaration:E-1:started:1" in several.err


@pytest.mark.parametrize("zeros", ["0{}", "000{}"])
def test_a_number_with_noughts_before_it_is_no_id_of_ours(
    known: Outbox, desk: Callable[..., Ran], zeros: str
) -> None:
    record = refused(known)

    ran = desk("discard", zeros.format(record.id), "--reason", "a mistake")

    assert ran.code == 4
    assert known.record() == record
