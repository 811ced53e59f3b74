"""Who else may be here at the same time: links, voids and relays that meet."""

import threading
import time

import pytest
from sqlalchemy import text

from records import store
from schema.events import DeclarationMade, Event, decode
from schema.keys import RecordId, RecordKey
from schema.outcomes import Transient
from schema.plans import Call, Request
from schema.record import Record
from schema.states import Reason, RecordState
from tests.support.api import Scripted
from tests.support.builders import OTHER_PERSON, PERSON, an_enrolment
from tests.support.clock import NOON
from tests.support.outbox import Outbox

LONGEST = 20.0
"""Seconds until a test gives up on another thread."""


def deferred() -> Event:
    return decode({"event": "participant_deferred", "source_id": "E-1", "reason": "other"})


def declared() -> Event:
    return DeclarationMade(
        source_id="E-1",
        declaration_type="started",
        declaration_date=NOON.replace(month=1, day=1),
        evidence_held="other",
    )


# a family that grows while another waits for it


def test_who_waited_for_a_family_sees_what_was_put_into_it_meanwhile(outbox: Outbox) -> None:
    if outbox.database.is_sqlite:
        pytest.skip("SQLite has one writer at a time")
    outbox.link()
    outbox.run()
    seen: list[list[RecordKey]] = []

    def wait_for_it() -> None:
        with outbox.database.transaction() as connection:
            family = store.of_families(connection, "default", ["enrolment:E-1"], lock=True)
            seen.append([one.key for one in family])

    with outbox.database.transaction() as other:
        store.of_families(other, "default", ["enrolment:E-1"], lock=True)
        waiting = threading.Thread(target=wait_for_it)
        waiting.start()
        _until_somebody_waits(outbox)
        claim = Record(
            id=RecordId(0),
            destination="default",
            key=RecordKey("declaration", "E-1", "started", 1),
            family="enrolment:E-1",
            state=RecordState.IN_STEP,
        )
        assert store.insert_all(other, [claim]) == 1
    waiting.join(timeout=LONGEST)

    assert seen == [[RecordKey("enrolment", "E-1"), claim.key]]


def _until_somebody_waits(outbox: Outbox) -> None:
    locked = text(
        "SELECT count(*) FROM pg_stat_activity WHERE wait_event_type = 'Lock' "
        "AND datname = current_database()"
    )
    give_up = time.monotonic() + LONGEST
    with outbox.database.engine.connect().execution_options(isolation_level="AUTOCOMMIT") as look:
        while not look.execute(locked).scalar_one():
            assert time.monotonic() < give_up, "nobody came to wait for the lock"


# links that change under a call


def test_a_look_up_of_somebody_else_says_nothing_of_who_is_linked_by_then(outbox: Outbox) -> None:
    outbox.api.people[OTHER_PERSON] = an_enrolment(training_status="withdrawn")

    def relinked() -> None:
        outbox.link("E-1", OTHER_PERSON)
        outbox.round()

    outbox.link()
    outbox.emit(deferred())
    outbox.api.then(Scripted(outcome=outbox.api.carry_out(_a_look_at(PERSON)), meanwhile=relinked))
    outbox.round()
    outbox.deliver()

    record = outbox.record()
    assert record.remote_id == OTHER_PERSON
    assert record.accepted is None, "what was read is another participant's"
    outbox.run()
    assert outbox.api.operations[:2] == ["look_up_participant"] * 2
    assert outbox.api.calls[1].request.path == f"/participants/{OTHER_PERSON}"


def _a_look_at(person: str) -> Call:
    request = Request(method="GET", path=f"/participants/{person}")
    return Call(operation="look_up_participant", request=request)


def test_an_enrolment_whose_claim_was_called_for_is_not_linked_anew_unseen(outbox: Outbox) -> None:
    outbox.link()
    outbox.emit(declared())
    outbox.run()
    assert outbox.record().accepted is None, "nothing was asked of the enrolment itself"

    outbox.link("E-1", OTHER_PERSON)
    outbox.run()

    record = outbox.record()
    assert (record.state, record.reason) == (RecordState.HELD, Reason.RELINKED)
    assert record.remote_id == PERSON


def test_a_claim_that_was_only_tried_leaves_its_enrolment_free(outbox: Outbox) -> None:
    outbox.api.people[OTHER_PERSON] = an_enrolment()
    outbox.link()
    outbox.api.then(Transient(detail="not sent"))
    outbox.emit(declared())
    outbox.run()

    outbox.link("E-1", OTHER_PERSON)
    outbox.wait(minutes=1)
    outbox.run()

    (there,) = outbox.api.declarations.values()
    assert there["participant_id"] == OTHER_PERSON
