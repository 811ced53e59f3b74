"""What gates let through, what shuts them again, and what a probe says of them."""

from datetime import timedelta

import pytest

from outbox.standing import (
    Ajar,
    Barred,
    Breaker,
    Gate,
    Open,
    Tried,
    Verdict,
    break_length,
    breaks,
    put,
    stand,
    verdict,
)
from schema.outcomes import (
    Blame,
    Came,
    Delivered,
    InDoubt,
    KeyRefused,
    Outcome,
    OutcomeName,
    Refused,
    Throttled,
    Transient,
)
from schema.states import GateReason
from tests.support.clock import NOON


def gate(
    reason: GateReason,
    seconds: float | None = 60,
    *,
    turn: int = 1,
    key: str | None = None,
    since: float = 0,
    probe: float | None = None,
) -> Gate:
    return Gate(
        reason=reason,
        until=None if seconds is None else NOON + timedelta(seconds=seconds),
        since=NOON + timedelta(seconds=since),
        turn=turn,
        key_print=key,
        probe=None if probe is None else "1/1",
        probe_until=None if probe is None else NOON + timedelta(seconds=probe),
    )


PAUSED, THROTTLED = gate(GateReason.PAUSED, 60), gate(GateReason.THROTTLED, 60)
OVER, TRIED = gate(GateReason.THROTTLED, 0), gate(GateReason.THROTTLED, 0, probe=1)
BROKEN = gate(GateReason.BREAKER, -1)
REFUSED = gate(GateReason.KEY_REFUSED, None, key="old")


@pytest.mark.parametrize(
    ("gates", "stands"),
    [
        pytest.param([], Open(), id="nothing shut is open"),
        pytest.param([gate(GateReason.PAUSED, 0)], Open(), id="a pause that is over is none"),
        pytest.param([PAUSED, OVER], Barred(gates=(PAUSED,)), id="a pause bars the probe too"),
        pytest.param(
            [gate(GateReason.PAUSED, 0), THROTTLED],
            Barred(gates=(THROTTLED,)),
            id="the end of a pause lifts no throttle",
        ),
        pytest.param(
            [THROTTLED, PAUSED], Barred(gates=(PAUSED, THROTTLED)), id="the weightiest is first"
        ),
        pytest.param([OVER], Ajar(gates=(OVER,), free=True), id="a throttle over is ajar"),
        pytest.param([TRIED], Ajar(gates=(TRIED,), free=False), id="for one at a time"),
        pytest.param(
            [gate(GateReason.THROTTLED, 0, probe=0)],
            Ajar(gates=(gate(GateReason.THROTTLED, 0, probe=0),), free=True),
            id="but not for ever, if that one dies",
        ),
        pytest.param(
            [BROKEN, TRIED], Ajar(gates=(TRIED, BROKEN), free=False), id="one probe tries both"
        ),
        pytest.param(
            [gate(GateReason.THROTTLED, 0.001)],
            Barred(gates=(gate(GateReason.THROTTLED, 0.001),)),
            id="not a moment early",
        ),
    ],
)
def test_what_gates_let_through(gates: list[Gate], stands: object) -> None:
    assert stand(gates, NOON, "old") == stands


def test_a_refused_key_bars_only_itself() -> None:
    assert stand([REFUSED], NOON, "old") == Barred(gates=(REFUSED,))
    assert stand([REFUSED], NOON, "new") == Ajar(gates=(REFUSED,), free=True)


@pytest.mark.parametrize(
    ("current", "wanted", "stays"),
    [
        pytest.param(None, THROTTLED, THROTTLED, id="the first one"),
        pytest.param(
            THROTTLED,
            gate(GateReason.THROTTLED, 90, since=30),
            gate(GateReason.THROTTLED, 90),
            id="a later end moves it, since then",
        ),
        pytest.param(THROTTLED, gate(GateReason.THROTTLED, 30), None, id="an earlier end does not"),
        pytest.param(
            TRIED,
            gate(GateReason.THROTTLED, 300),
            gate(GateReason.THROTTLED, 300, turn=2),
            id="one that is over begins another turn, and its probe has no say",
        ),
        pytest.param(
            REFUSED, gate(GateReason.KEY_REFUSED, None, key="old"), None, id="the same key again"
        ),
        pytest.param(
            REFUSED,
            gate(GateReason.KEY_REFUSED, None, key="new", since=9),
            gate(GateReason.KEY_REFUSED, None, key="new"),
            id="another key, refused too",
        ),
        pytest.param(
            gate(GateReason.PAUSED, None), gate(GateReason.PAUSED, 60), None, id="no end is latest"
        ),
        pytest.param(PAUSED, gate(GateReason.PAUSED, 90), gate(GateReason.PAUSED, 90), id="longer"),
    ],
)
def test_shutting_a_gate_again(current: Gate | None, wanted: Gate, stays: Gate | None) -> None:
    assert put(current, wanted) == stays


SILENT = InDoubt(detail="", answered=False)
WRONG = Refused(status=422, refusals=(), blame=Blame.DATA)
WELL = Delivered(accepted={})


@pytest.mark.parametrize(
    ("reason", "outcome", "status", "says"),
    [
        (GateReason.THROTTLED, WELL, 200, Verdict.PASSED),
        (GateReason.THROTTLED, WRONG, 422, Verdict.PASSED),
        (GateReason.THROTTLED, KeyRefused(status=401), 401, Verdict.PASSED),
        (GateReason.THROTTLED, Transient(detail=""), 503, Verdict.PASSED),
        (GateReason.THROTTLED, SILENT, None, Verdict.UNCLEAR),
        (GateReason.THROTTLED, KeyRefused(status=0), None, Verdict.UNCLEAR),
        (GateReason.THROTTLED, Throttled(retry_after=None), 429, Verdict.SHUT_AGAIN),
        (GateReason.BREAKER, WELL, 200, Verdict.PASSED),
        (GateReason.BREAKER, WRONG, 422, Verdict.PASSED),
        (GateReason.BREAKER, KeyRefused(status=401), 401, Verdict.PASSED),
        (GateReason.BREAKER, Throttled(retry_after=None), 429, Verdict.UNCLEAR),
        (GateReason.BREAKER, Transient(detail=""), 422, Verdict.PASSED),
        (GateReason.BREAKER, Transient(detail=""), None, Verdict.SHUT_AGAIN),
        (GateReason.BREAKER, SILENT, None, Verdict.SHUT_AGAIN),
        (GateReason.KEY_REFUSED, WELL, 200, Verdict.PASSED),
        (GateReason.KEY_REFUSED, WRONG, 422, Verdict.PASSED),
        (GateReason.KEY_REFUSED, Transient(detail=""), 502, Verdict.UNCLEAR),
        (GateReason.KEY_REFUSED, Throttled(retry_after=None), 429, Verdict.UNCLEAR),
        (GateReason.KEY_REFUSED, KeyRefused(status=0), None, Verdict.SHUT_AGAIN),
        (GateReason.KEY_REFUSED, KeyRefused(status=403), 403, Verdict.SHUT_AGAIN),
    ],
)
def test_what_a_probe_says_of_a_gate(
    reason: GateReason, outcome: Outcome, status: int | None, says: Verdict
) -> None:
    assert verdict(reason, Came(outcome=outcome, status=status)) is says


def tried(record: int, outcome: OutcomeName, status: int | None = None) -> Tried:
    return Tried(record_id=record, outcome=outcome, status=status)


def failures(number: int, *, records: int = 99) -> list[Tried]:
    return [tried(turn % records, OutcomeName.TRANSIENT) for turn in range(number)]


GOOD = tried(1, OutcomeName.DELIVERED, 200)


@pytest.mark.parametrize(
    ("latest", "opens"),
    [
        pytest.param(failures(9), False, id="one too few"),
        pytest.param(failures(10), True, id="as many as it takes"),
        pytest.param([*failures(9), GOOD, *failures(9)], False, id="an answer in between"),
        pytest.param([*failures(10), GOOD], True, id="an answer before them"),
        pytest.param(failures(30, records=2), False, id="of two records it may be their fault"),
        pytest.param(failures(10, records=3), True, id="of three it is not"),
        pytest.param(
            [tried(n, OutcomeName.TRANSIENT, 422) for n in range(10)],
            False,
            id="refusals that pass are answers",
        ),
        pytest.param(
            [tried(n, OutcomeName.IN_DOUBT, 500) for n in range(10)], True, id="server faults"
        ),
        pytest.param([tried(n, OutcomeName.REFUSED, 422) for n in range(10)], False, id="refusals"),
    ],
)
def test_when_the_breaker_opens(latest: list[Tried], opens: bool) -> None:
    assert breaks(latest, Breaker()) is opens


def test_a_breaker_stays_open_longer_each_time_up_to_five_minutes() -> None:
    lengths = [break_length(turn).total_seconds() for turn in range(1, 8)]

    assert lengths == [30, 60, 120, 240, 300, 300, 300]
