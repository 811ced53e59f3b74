"""A read passes the gate and the quota, and its row is committed before it is made."""

from collections import deque
from datetime import timedelta
from random import Random
from typing import Any

import pytest
from sqlalchemy import select
from sqlalchemy.exc import OperationalError

from gateway.answers import Answer, Failure, FailureKind, Reply
from inbox import requests
from inbox.fetching import Got, Missing, NotGot, Refused, Shut
from outbox import gates
from outbox.errors import QuotaAway
from outbox.gates import Gate, Gates
from runtime.database import Database
from schema.incoming_tables import request_log
from schema.plans import Request
from schema.states import GateReason, Lane
from tests.support.clock import NOON, HandClock
from tests.support.outbox import TIMING
from tests.support.pace import FakePace
from workers.fetch import Fetcher

READ = Request(method="GET", path="/participants")


class FakeClient:
    """Answers what is in line, and looks at the row that was committed before."""

    def __init__(self, database: Database) -> None:
        self.answers: deque[Reply] = deque()
        self.rows: list[str | None] = []
        self._database = database

    def send(self, request: Request, *, send_by: float | None = None) -> Reply:
        """Answer."""
        with self._database.reading() as connection:
            self.rows += connection.execute(select(request_log.c.outcome)).scalars().all()
        return self.answers.popleft()


class Hands:
    """A fetcher, and all it works with."""

    def __init__(self, database: Database) -> None:
        self.database = database
        self.clock = HandClock()
        self.stopping = False
        self.pace = FakePace()
        self.client = FakeClient(database)
        self.fetch = Fetcher(
            database=database,
            destination="default",
            clock=self.clock,
            timing=TIMING,
            pace=self.pace,
            client=self.client,
            gates=Gates(destination="default", key_name="default"),
            dice=Random(1),
            sleep=lambda seconds: None,
            stopping=lambda: self.stopping,
        )

    def read(self, *answers: Reply) -> Any:
        """Make one read for run 7."""
        self.client.answers.extend(answers)
        return self.fetch(READ, Lane.POLL, 7)

    def log(self) -> list[tuple[str | None, int | None, int | None]]:
        """Give the log: outcome, status, run."""
        with self.database.reading() as connection:
            rows = connection.execute(
                select(request_log.c.outcome, request_log.c.status, request_log.c.run_id)
            )
            return [(row[0], row[1], row[2]) for row in rows.all()]

    def gate(self) -> Gate | None:
        """Give the gate."""
        with self.database.reading() as connection:
            return gates.shut_now(connection, "default", self.clock.now())


@pytest.fixture
def hands(database: Database) -> Hands:
    return Hands(database)


def ok(body: bytes) -> Answer:
    return Answer(
        status=200,
        headers={"content-type": "application/json", "date": "Tue, 10 Feb 2026 12:00:01 GMT"},
        body=body,
    )


def test_a_read_has_its_row_before_it_is_sent_and_its_answer_after(hands: Hands) -> None:
    got = hands.read(ok(b'{"data": []}'))

    assert got == Got(body={"data": []}, began_at=NOON, date=NOON + timedelta(seconds=1))
    assert hands.client.rows == [None]  # open, while it was under way
    assert hands.log() == [("read", 200, 7)]
    assert [how for _, how in hands.pace.ended] == ["answered"]


def test_its_row_is_what_a_lost_log_of_the_quota_is_made_from(hands: Hands) -> None:
    hands.read(ok(b"{}"))

    with hands.database.reading() as connection:
        [(grant, lane, marked, answered)] = requests.since(
            connection, "default", NOON - timedelta(minutes=5)
        )
    assert (grant, lane) == (hands.pace.ended[0][0], "poll")
    assert marked <= answered


@pytest.mark.parametrize(
    ("reply", "kind", "outcome"),
    [
        (Answer(status=404), Missing, "not_there"),
        (Answer(status=500), NotGot, "transient"),
        (Answer(status=400, body=b"{}"), Refused, "refused"),
        (ok(b"<html>"), NotGot, "transient"),
        (Failure(kind=FailureKind.NO_ANSWER, detail="sent, but no answer"), NotGot, "transient"),
        (Failure(kind=FailureKind.TOO_LARGE, detail="too large", status=200), NotGot, "transient"),
    ],
)
def test_each_answer_has_its_meaning(
    hands: Hands, reply: Reply, kind: type[object], outcome: str
) -> None:
    assert isinstance(hands.read(reply), kind)
    assert hands.log()[0][0] == outcome
    assert hands.gate() is None


def test_a_429_shuts_the_gate_for_everybody_until_the_next_window(hands: Hands) -> None:
    shut = hands.read(Answer(status=429, body=b"Retry later\n"))

    assert isinstance(shut, Shut)
    gate = hands.gate()
    assert gate is not None
    assert gate.reason is GateReason.THROTTLED
    assert shut.until == gate.until
    assert gate.until is not None
    assert timedelta(0) < gate.until - NOON <= timedelta(seconds=305)
    assert [how for _, how in hands.pace.ended] == ["refused"]
    assert hands.pace.booked == gate.until - NOON  # once it opens there is a slot to try it


def test_a_refused_key_shuts_the_gate_until_a_person_opens_it(hands: Hands) -> None:
    assert hands.read(Answer(status=401)) == Shut(
        detail="the API answered 401: it does not accept the key"
    )
    gate = hands.gate()
    assert gate is not None
    assert (gate.reason, gate.until) == (GateReason.KEY_REFUSED, None)


def test_behind_a_shut_gate_nothing_is_asked_and_no_slot_taken(hands: Hands) -> None:
    until = NOON + timedelta(hours=1)
    paused = Gate(reason=GateReason.PAUSED, until=until, since=NOON, detail="by hand")
    with hands.database.transaction() as connection:
        gates.shut(connection, "default", paused)

    assert hands.read() == Shut(detail="the gate is shut: by hand", until=until)
    assert hands.pace.asked == 0
    assert hands.log() == []


def test_without_a_slot_the_run_is_left_for_later(hands: Hands) -> None:
    hands.pace.answers.extend([timedelta(seconds=30), timedelta(seconds=31)])

    assert hands.read() == Shut(detail="no slot is free", until=NOON + timedelta(seconds=31))
    assert hands.log() == []


def test_a_process_that_is_to_end_waits_for_no_slot(hands: Hands) -> None:
    hands.pace.answers.append(timedelta(seconds=1))
    hands.stopping = True

    assert isinstance(hands.read(), Shut)
    assert hands.pace.asked == 1
    assert hands.log() == []


def test_without_redis_nobody_asks(hands: Hands) -> None:
    hands.pace.answers.append(QuotaAway())

    assert isinstance(hands.read(), Shut)
    assert hands.log() == []


def test_a_slot_that_grew_too_old_is_given_back_and_nothing_is_sent(hands: Hands) -> None:
    hands.pace.good = False

    assert hands.read() == Shut(detail="its slot was too old", until=NOON)
    assert hands.client.rows == []
    assert [how for _, how in hands.pace.ended] == ["unused"]


def test_a_slot_is_given_back_when_its_row_cannot_be_written(
    hands: Hands, monkeypatch: pytest.MonkeyPatch
) -> None:
    def away(*_: object, **__: object) -> int:
        raise OperationalError("INSERT", {}, Exception("the server closed the connection"))

    monkeypatch.setattr(requests, "open_request", away)
    with pytest.raises(OperationalError):
        hands.read()
    assert hands.client.rows == []
    assert [how for _, how in hands.pace.ended] == ["unused"]


def test_once_the_time_of_a_gate_is_over_one_read_tries_it_and_opens_it(hands: Hands) -> None:
    shut = hands.read(Answer(status=429, body=b"Retry later\n"))
    hands.clock.advance(shut.until - NOON + timedelta(seconds=1))

    assert isinstance(hands.read(Answer(status=404)), Missing)
    with hands.database.reading() as connection:
        assert gates.shown(connection, "default", hands.clock.now()) == []


def test_a_read_that_finds_the_gate_still_shut_shuts_it_again(hands: Hands) -> None:
    shut = hands.read(Answer(status=429))
    hands.clock.advance(shut.until - NOON + timedelta(seconds=1))
    again = hands.read(Answer(status=429))

    assert isinstance(again, Shut)
    assert again.until is not None
    assert again.until > hands.clock.now()
    assert hands.gate() is not None
