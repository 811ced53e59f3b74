"""What holds for every record there can be, not only for those somebody thought of."""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any, get_args

from hypothesis import given, settings
from hypothesis import strategies as st

from gateway.contracts.lead_provider import terms
from gateway.contracts.lead_provider_v3 import CONTRACT
from schema.contract import ABSENT
from schema.events import Evidence
from schema.fingerprint import Json
from schema.keys import EntryId, RecordId, RecordKey, RemoteId
from schema.plans import Call, Hold, InStep, Plan, Snooze, WaitFor
from schema.record import Lock, Move, Pending, Record, Stamp
from schema.states import RecordState
from tests.contracts.builders import CLAIM_ID, NOW, OTHER_PARTNER, PARTNER, PERSON, SCHOOL
from tests.contracts.openapi import FILE, complaints

STAMPS = st.builds(
    Stamp,
    entry=st.integers(1, 6).map(EntryId),
    source=st.sampled_from(["local", "crm"]),
    version=st.none() | st.integers(0, 3),
)
STATUSES = st.sampled_from(terms.STATUSES)
REASONS = st.sampled_from([None, *terms.DEFERRAL_REASONS, *terms.WITHDRAWAL_REASONS, "tired"])
SCHEDULES = st.sampled_from([*terms.SCHEDULES, "standard-april"])
COHORTS = st.sampled_from(["2021", "2024", "2025", "2026"])
DATES = st.sampled_from(
    ["2025-09-20T09:00:00Z", "2025-10-01T00:00:00Z", "2026-02-10T12:04:00Z", "2031-01-01T00:00:00Z"]
)
EVIDENCE = st.none() | st.sampled_from(get_args(Evidence))
IDS = st.sampled_from([PARTNER, OTHER_PARTNER, SCHOOL, PARTNER.upper(), "123456"])


def pending(**fields: st.SearchStrategy[Any]) -> st.SearchStrategy[Mapping[str, Pending]]:
    return st.fixed_dictionaries(
        {},
        optional={
            name: st.builds(Pending, value=value, stamp=STAMPS) for name, value in fields.items()
        },
    )


def accepted(**fields: st.SearchStrategy[Any]) -> st.SearchStrategy[Mapping[str, Json] | None]:
    return st.none() | st.just(ABSENT) | st.fixed_dictionaries(fields)


def records(
    kind: str, key: st.SearchStrategy[RecordKey], **parts: Any
) -> st.SearchStrategy[Record]:
    return st.builds(
        Record,
        id=st.just(RecordId(1)),
        destination=st.just("default"),
        key=key,
        family=st.just(f"{kind}:E-1"),
        look_first=st.booleans(),
        state=st.sampled_from([RecordState.WAITING, RecordState.IN_DOUBT, RecordState.TAKEN]),
        **parts,
    )


MOVES = st.builds(Move, to=STATUSES, reason=REASONS, stamp=STAMPS, explicit=st.booleans())
ENROLMENTS = records(
    "enrolment",
    st.just(RecordKey("enrolment", "E-1")),
    role=st.sampled_from([None, *terms.COURSES]),
    remote_id=st.sampled_from([None, PERSON, "PART123"]),
    path=st.lists(MOVES, max_size=3).map(tuple),
    pending=pending(schedule_identifier=SCHEDULES, cohort=COHORTS),
    accepted=accepted(
        training_status=STATUSES,
        schedule_identifier=SCHEDULES,
        cohort=COHORTS,
        status_date=st.none() | DATES,
    ),
)
DECLARATIONS = records(
    "declaration",
    st.builds(
        RecordKey,
        st.just("declaration"),
        st.just("E-1"),
        st.sampled_from(terms.DECLARATION_TYPES),
        st.integers(1, 3),
    ),
    remote_id=st.sampled_from([None, CLAIM_ID]),
    pending=pending(
        state=st.sampled_from(["submitted", "voided"]),
        declaration_date=DATES,
        evidence_held=EVIDENCE,
    ),
    accepted=accepted(
        state=st.sampled_from(sorted(terms.LIVE | terms.ENDED)),
        declaration_date=DATES,
        evidence_held=EVIDENCE,
    ),
)
PARTNERSHIPS = records(
    "partnership",
    st.just(RecordKey("partnership", "P-1")),
    remote_id=st.sampled_from([None, CLAIM_ID]),
    pending=pending(cohort=COHORTS, school_id=IDS, delivery_partner_id=IDS),
    accepted=accepted(cohort=COHORTS, school_id=IDS, delivery_partner_id=IDS),
)
KIN = st.lists(ENROLMENTS | DECLARATIONS, max_size=3, unique_by=lambda one: one.key)
RECORDS = ENROLMENTS | DECLARATIONS | PARTNERSHIPS


@settings(max_examples=300, deadline=None)
@given(RECORDS, KIN)
def test_a_plan_sends_only_what_was_asked_for(record: Record, kin: list[Record]) -> None:
    plan = CONTRACT.plan(record, kin, NOW)

    assert isinstance(plan, InStep | Call | WaitFor | Snooze | Hold)
    if not isinstance(plan, Call):
        return
    operation = CONTRACT.operations[plan.operation]
    assert (operation.method, operation.kind) == (plan.request.method, record.key.kind)
    assert all(record.pending[name].value == value for name, value in plan.fields.items())
    if plan.request.writes:
        assert record.changed
        assert not record.look_first
        assert plan.move == (plan.operation in {"defer", "resume", "withdraw"})
        _asked_for(plan, record)
        _nothing_is_put_back(plan, record)
    else:
        assert not plan.fields
        assert not plan.move
    if FILE.exists():
        assert complaints(plan.request) == []


def _asked_for(plan: Call, record: Record) -> None:
    match plan.operation:
        case "defer":
            assert record.path[0].to == terms.DEFERRED
        case "resume":
            assert record.path[0].to == terms.ACTIVE
            withdrawn = (record.accepted or {}).get("training_status") == terms.WITHDRAWN
            assert record.path[0].explicit or not withdrawn
        case "withdraw":
            assert record.path[0].to == terms.WITHDRAWN
        case "declare":
            assert record.wanted("state") == terms.SUBMITTED
        case "void":
            assert record.pending["state"].value == terms.VOIDED
        case _:
            assert plan.fields


def _nothing_is_put_back(plan: Call, record: Record) -> None:
    """A field of ours that nobody asked to change goes along only as it stands there."""
    body: Any = plan.request.body or {"data": {"attributes": {}}}
    ours = terms.KINDS[record.key.kind].ours - record.pending.keys()
    for name, value in body["data"]["attributes"].items():
        if name in ours:
            assert record.accepted is not None
            assert CONTRACT.agrees(record.key, name, value, record.accepted), name


@settings(deadline=None)
@given(RECORDS, KIN)
def test_a_plan_is_the_same_for_the_same_record(record: Record, kin: list[Record]) -> None:
    assert CONTRACT.plan(record, kin, NOW) == CONTRACT.plan(record, list(reversed(kin)), NOW)


@settings(deadline=None)
@given(RECORDS, KIN)
def test_what_is_pending_and_agrees_is_never_sent(record: Record, kin: list[Record]) -> None:
    agreed = replace(record, path=(), look_first=False)
    there = agreed.accepted
    if there is not None and all(
        CONTRACT.agrees(record.key, name, one.value, there) for name, one in agreed.pending.items()
    ):
        assert CONTRACT.plan(agreed, kin, NOW) == InStep()


@dataclass
class Server:
    """The API's view of one enrolment: it does what it is told, within its rules."""

    status: str
    schedule: str
    cohort: str
    writes: int = 0

    def call(self, plan: Call) -> None:
        body = plan.request.body
        if body is None:
            return
        self.writes += 1
        data: Any = body["data"]
        moves = {"defer": "deferred", "resume": "active", "withdraw": "withdrawn"}
        if plan.operation in moves:
            self.status = moves[plan.operation]
            return
        assert self.status == "active", "the API refuses a schedule change while not active"
        assert (self.schedule, self.cohort) != (
            data["attributes"]["schedule_identifier"],
            data["attributes"]["cohort"],
        ), "the API refuses a schedule change that changes nothing"
        self.schedule = data["attributes"]["schedule_identifier"]
        self.cohort = data["attributes"]["cohort"]

    def told(self) -> dict[str, Json]:
        return {
            "training_status": self.status,
            "schedule_identifier": self.schedule,
            "cohort": self.cohort,
        }


@settings(max_examples=200, deadline=None)
@given(ENROLMENTS, STATUSES, COHORTS)
def test_an_enrolment_comes_to_rest_within_its_steps(
    record: Record, status: str, cohort: str
) -> None:
    record = replace(record, remote_id=RemoteId(PERSON), role=terms.ECT_COURSE, accepted=None)
    server = Server(status, "ecf-standard-april", cohort)
    most = CONTRACT.steps(record)

    for _ in range(2 * most + 2):
        plan = CONTRACT.plan(record, (), NOW)
        if not isinstance(plan, Call):
            break
        server.call(plan)
        record = _settled(record, plan, server)

    assert not isinstance(CONTRACT.plan(record, (), NOW), Call)
    assert server.writes <= most


def _settled(record: Record, plan: Call, server: Server) -> Record:
    return replace(
        record,
        accepted=server.told(),
        look_first=False,
        path=record.path[1:] if plan.move else record.path,
        pending={name: one for name, one in record.pending.items() if name not in plan.fields},
    )


@settings(deadline=None)
@given(ENROLMENTS, DATES)
def test_a_locked_request_gives_way_but_is_not_forgotten(record: Record, cause: str) -> None:
    plan = CONTRACT.plan(record, (), NOW)
    if not isinstance(plan, Call) or not plan.request.writes:
        return
    lock = Lock(fingerprint=plan.request.fingerprint(), data=True, cause=cause)

    after: Plan = CONTRACT.plan(replace(record, locks={lock.fingerprint: lock}), (), NOW)

    assert isinstance(after, Call | Hold)
