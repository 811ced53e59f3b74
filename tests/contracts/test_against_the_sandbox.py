"""The contract and the sandbox are two readings of the same API, and here they check each other."""

import json
import urllib.request
from collections.abc import Callable, Generator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any, get_args

import pytest

from gateway.answers import Answer, outcome, rule_for
from gateway.client import Client
from gateway.contracts.lead_provider import planning, terms
from gateway.contracts.lead_provider_v3 import CONTRACT
from schema.events import Evidence
from schema.fingerprint import Json
from schema.keys import RemoteId
from schema.outcomes import AlreadyThere, Delivered, Later, Outcome, Refused
from schema.plans import Call, Hold, InStep, Plan, Request
from schema.record import Record
from schema.states import Reason
from tests.contracts.builders import (
    OTHER_PERSON,
    a_claim,
    a_declaration,
    a_move,
    a_partnership,
    an_enrolment,
    pending,
)

sandbox = pytest.importorskip("sandbox.server")

EXTENDED = "ecf-extended-september"


@contextmanager
def a_served_world() -> Generator[Client]:
    with sandbox.Sandbox(limit=1_000_000) as served:
        client = Client(served.url, lambda: "sandbox-harbour")
        try:
            yield client
        finally:
            client.close()


@pytest.fixture(scope="module")
def client() -> Generator[Client]:
    with a_served_world() as client:
        yield client


def listed(client: Client, path: str) -> list[Any]:
    reply = client.send(Request(method="GET", path=path, query=(("page[per_page]", "3000"),)))
    assert isinstance(reply, Answer)
    return json.loads(reply.body)["data"]


def send(client: Client, plan: Plan, record: Record, *kin: Record) -> Outcome:
    assert isinstance(plan, Call), plan
    operation = CONTRACT.operations[plan.operation]
    return outcome(CONTRACT, operation, record, kin, client.send(plan.request))


def now() -> datetime:
    return datetime.now(UTC)


def enrolments(client: Client) -> list[Record]:
    """Give one enrolment of each sort that the world has, as looked up."""
    sorts: dict[object, Record] = {}
    for participant in listed(client, "/participants"):
        for enrolment in participant["attributes"]["ecf_enrolments"]:
            role = {"ect": terms.ECT_COURSE, "mentor": terms.MENTOR_COURSE}[
                enrolment["participant_type"]
            ]
            record = an_enrolment(role=role, remote_id=participant["id"], look_first=True)
            looked = send(client, CONTRACT.plan(record, (), now()), record)
            assert isinstance(looked, Delivered)
            known = replace(record, accepted=looked.accepted, look_first=False)
            sort = (role, enrolment["cohort"], enrolment["training_status"])
            sorts.setdefault(sort, known)
    return list(sorts.values())


def wishes(enrolment: Record) -> list[tuple[Record, tuple[Record, ...]]]:
    """Everything that can be asked of an enrolment, sensible or not, each with its kin."""
    moves = [("deferred", "other"), ("withdrawn", "other"), ("active", None)]
    moves += [("withdrawn", terms.MENTOR_ONLY_REASON), ("deferred", None), ("deferred", "tired")]
    changed = [
        *(replace(enrolment, path=(a_move(to, reason),)) for to, reason in moves),
        *(
            replace(enrolment, pending=pending(schedule_identifier=schedule))
            for schedule in (*terms.SCHEDULES, "standard-april")
        ),
    ]
    claims = [
        a_declaration(part, pending=a_claim(declaration_date=date, evidence_held=evidence))
        for part in terms.DECLARATION_TYPES
        for evidence in (None, *get_args(Evidence))
        for date in ("2025-09-20T09:00:00Z", "2027-01-01T00:00:00+00:00")
    ]
    return [*((one, ()) for one in changed), *((claim, (enrolment,)) for claim in claims)]


def planned_without_checks(
    monkeypatch: pytest.MonkeyPatch, record: Record, kin: Sequence[Record]
) -> Plan:
    """Plan as if nothing were checked here."""
    unchecked: Callable[..., None] = lambda *_: None  # noqa: E731
    with monkeypatch.context() as patch:
        for name in ("check_move", "check_schedule", "check_declaration"):
            patch.setattr(planning, name, unchecked)
        return CONTRACT.plan(record, kin, now())


def test_what_is_held_here_would_have_been_refused_there(
    client: Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    fields: set[tuple[str | None, str]] = set()

    for enrolment in enrolments(client):
        for record, kin in wishes(enrolment):
            held = CONTRACT.plan(record, kin, now())
            if not isinstance(held, Hold) or held.reason is not Reason.INVALID_HERE:
                continue
            unchecked = planned_without_checks(monkeypatch, record, kin)
            if not isinstance(unchecked, Call):
                continue
            result = send(client, unchecked, record, *kin)
            assert isinstance(result, Refused | AlreadyThere | Later), (held, unchecked, result)
            fields |= {(held.field, refusal.title) for refusal in result.refusals}

    expected = {"reason", "schedule_identifier", "declaration_date", "declaration_type"}
    assert {field for field, title in fields if field == title} == expected | {"evidence_held"}


def test_every_refusal_of_the_sandbox_is_known_and_could_not_have_been_foreseen() -> None:
    unknown: set[object] = set()
    titles: set[str] = set()

    with a_served_world() as client:
        for enrolment in enrolments(client):
            for record, kin in wishes(enrolment):
                plan = CONTRACT.plan(record, kin, now())
                if not isinstance(plan, Call):
                    continue
                result = send(client, plan, record, *kin)
                if isinstance(result, Refused | AlreadyThere | Later):
                    operation = CONTRACT.operations[plan.operation]
                    titles |= {refusal.title for refusal in result.refusals}
                    unknown |= {
                        (plan.operation, refusal)
                        for refusal in result.refusals
                        if rule_for(CONTRACT, operation, refusal) is None
                    }
                else:
                    assert isinstance(result, Delivered), (plan, result)

    assert unknown == set()
    assert titles.isdisjoint({"reason", "evidence_held", "course_identifier"})


def an_active(client: Client, course: str = terms.ECT_COURSE, cohort: str = "2025") -> Record:
    return next(
        one
        for one in enrolments(client)
        if one.role == course
        and one.accepted is not None
        and one.accepted["cohort"] == cohort
        and one.accepted["training_status"] == "active"
    )


def settled(record: Record, result: Outcome) -> Record:
    assert isinstance(result, Delivered), result
    return replace(
        record,
        accepted=result.accepted,
        remote_id=result.remote_id or record.remote_id,
        look_first=False,
    )


def test_a_schedule_change_then_a_deferral_lands_and_waits_for_tomorrow() -> None:
    with a_served_world() as client:
        after = on_the_extended_schedule(client, an_active(client))
        deferred = replace(after, path=(a_move("deferred", "other"),))
        result = send(client, CONTRACT.plan(deferred, (), now()), deferred)

    assert after.wanted("schedule_identifier") == EXTENDED
    assert isinstance(result, Later)


def on_the_extended_schedule(client: Client, record: Record) -> Record:
    changed = replace(record, pending=pending(schedule_identifier=EXTENDED))
    result = send(client, CONTRACT.plan(changed, (), now()), changed)
    return replace(settled(changed, result), pending={})


def test_a_claim_is_made_found_voided_and_found_gone() -> None:
    with a_served_world() as client:
        parent = on_the_extended_schedule(client, an_active(client, cohort="2024"))
        claim = a_declaration(
            "extended-3",
            pending=a_claim(declaration_date="2025-11-20T09:00:00Z", evidence_held="other"),
        )

        made = settled(claim, send(client, CONTRACT.plan(claim, (parent,), now()), claim, parent))
        again = send(client, CONTRACT.plan(claim, (parent,), now()), claim, parent)
        lost = replace(claim, look_first=True)
        found = settled(lost, send(client, CONTRACT.plan(lost, (parent,), now()), lost, parent))
        voiding = replace(made, pending=pending(6, state="voided"))
        voided = settled(voiding, send(client, CONTRACT.plan(voiding, (parent,), now()), voiding))
        gone = send(client, CONTRACT.plan(lost, (parent,), now()), lost, parent)

    assert CONTRACT.plan(made, (parent,), now()) == InStep()
    assert isinstance(again, AlreadyThere)
    assert (found.remote_id, found.accepted) == (made.remote_id, made.accepted)
    assert CONTRACT.plan(voided, (parent,), now()) == InStep()
    assert gone == Delivered(accepted={"state": "absent"})


def test_a_partnership_formed_before_is_found_and_in_step() -> None:
    with a_served_world() as client:
        there: dict[str, Any] = listed(client, "/partnerships")[0]["attributes"]
        wanted: dict[str, Json] = {
            name: there[name] for name in ("cohort", "school_id", "delivery_partner_id")
        }
        record = a_partnership(pending=pending(**wanted))  # type: ignore[arg-type]

        again = send(client, CONTRACT.plan(record, (), now()), record)
        lost = replace(record, look_first=True)
        found = settled(lost, send(client, CONTRACT.plan(lost, (), now()), lost))

    assert isinstance(again, AlreadyThere)
    assert CONTRACT.plan(found, (), now()) == InStep()


def test_a_participant_unknown_there_is_refused_until_something_changes(client: Client) -> None:
    record = an_enrolment(remote_id=RemoteId(OTHER_PERSON), look_first=True)

    result = send(client, CONTRACT.plan(record, (), now()), record)

    assert isinstance(result, Refused)
    assert result.status == 404


def test_an_id_that_was_merged_there_is_refused_and_its_survivor_found() -> None:
    with sandbox.Sandbox(limit=1_000_000) as served:
        client = Client(served.url, lambda: "sandbox-harbour")
        old, new = (one["id"] for one in _two_active_ects(client))
        record = an_enrolment(remote_id=old, look_first=True)
        urllib.request.urlopen(
            urllib.request.Request(
                f"{served.root_url}/_sandbox/events",
                data=json.dumps([{"event": "participant_merged", "from": old, "to": new}]).encode(),
                headers={"Content-Type": "application/json"},
            )
        ).close()

        refused = send(client, CONTRACT.plan(record, (), now()), record)
        missing = replace(record, missing=True)
        found = send(client, CONTRACT.plan(missing, (), now()), missing)
        stranger = replace(missing, remote_id=RemoteId(OTHER_PERSON))
        nobody = send(client, CONTRACT.plan(stranger, (), now()), stranger)
        client.close()

    assert isinstance(refused, Refused)
    assert (refused.status, refused.merged_by) == (404, "find_merged")
    assert isinstance(found, Delivered)
    assert (found.remote_id, found.accepted is not None) == (new, True)
    assert nobody == Delivered(accepted=None)


def _two_active_ects(client: Client) -> list[Any]:
    people = [
        one
        for one in listed(client, "/participants")
        if [role["participant_type"] for role in one["attributes"]["ecf_enrolments"]] == ["ect"]
    ]
    return people[:2]
