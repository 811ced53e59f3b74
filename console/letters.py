"""A dead letter as people read it: what happened, the request, the answer, and what can be done.

One idea: one object says it all, for the page, for `--json` and for the lines of the command.
"""

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from datetime import datetime
from typing import Any

from sqlalchemy import Connection

from console import forms, views
from console.stories import email_of, names_of, summary, tell
from outbox import attempts, correcting, dead_letters, discarding, letters
from outbox.discarding import Dropped
from outbox.letters import Filter, Group, Said
from records import store
from records.signature import is_aside, pattern, signature_of
from schema.contract import Contract
from schema.record import Record


def groups(
    connection: Connection, chosen: Filter, contract: Contract, now: datetime
) -> list[dict[str, Any]]:
    """List the groups as JSON, the one that stands longest first."""
    return [_group(one, contract, now) for one in letters.groups(connection, chosen)]


def listed(
    connection: Connection,
    records: Sequence[Record],
    contracts: Mapping[str, Contract],
    now: datetime,
) -> list[dict[str, Any]]:
    """Give letters as JSON, each with whom it is about, whose it is and what helps."""
    said = letters.said_of_letters(connection, [one.id for one in records])
    people = names_of(connection, records, contracts, now)
    owners: dict[str, Mapping[str, Said]] = {}
    for name in {one.destination for one in records}:
        signatures = sorted({signature_of(one) or "" for one in records if one.destination == name})
        owners[name] = letters.said_of_groups(connection, name, signatures)
    told: list[dict[str, Any]] = []
    for one in records:
        group = signature_of(one) or ""
        own, of_group = said.get(one.id), owners[one.destination].get(group)
        person = people.get(one.id)
        told.append(
            {
                **summary(one),
                "next": views.next_step(one, contracts.get(one.destination)),
                "group": group,
                "since": one.problem.at if one.problem else None,
                "owner": (own and own.owner) or (of_group and of_group.owner),
                "note": own and own.note,
                "name": None if person is None else person.content.get("full_name"),
            }
        )
    return told


def show(
    connection: Connection, one: Record, contracts: Mapping[str, Contract], now: datetime
) -> dict[str, Any]:
    """Give all there is to say of a letter: also of one that was corrected or discarded since."""
    contract = contracts[one.destination]
    family = store.of_family(connection, one.destination, one.family)
    kin = [other for other in family if other.id != one.id]
    told = tell(connection, one, contract, now, story=True)
    [letter] = listed(connection, [one], contracts, now)
    person = names_of(connection, [one], contracts, now).get(one.id)
    told |= {name: letter[name] for name in ("group", "since", "owner", "note", "name")}
    told["trn"] = None if person is None else person.content.get("teacher_reference_number")
    told["email"] = email_of(person)
    told["aside"] = is_aside(one)
    told["locked"] = [
        {
            "request": lock.fingerprint,
            "blame": "data" if lock.data else "state",
            "said": lock.problem.detail if lock.problem else None,
        }
        for lock in one.locks.values()
    ]
    told["calls"] = [_call(row) for row in attempts.of_record(connection, one.id)]
    if is_aside(one):
        told |= asdict(dead_letters.foretell(one, kin, contract, now))
        open_ones = correcting.corrigible(connection, one, contract)
        told["corrects"] = [forms.as_json(entry) for entry in open_ones]
    dropped = discarding.last_dropped(connection, one.id)
    told["dropped"] = None if dropped is None else dropped_json(dropped)
    return told


def dropped_json(one: Dropped) -> dict[str, Any]:
    """Give as JSON what was taken off a record."""
    return {
        "id": one.id,
        "record_id": one.record_id,
        "action": one.action,
        "at": one.at,
        "actor": one.actor,
        "reason": one.reason,
        "wishes": one.wishes,
        "entries": [entry["id"] for entry in one.entries],
        "problem": one.problem,
    }


def _said_to_all(one: Group) -> str:
    """Say what is wrong with all of a group: without what was said of one record alone."""
    words = views.problem_words(one.example)
    return pattern(words) if one.count > 1 else words


def _group(one: Group, contract: Contract, now: datetime) -> dict[str, Any]:
    problem = one.example.problem
    return {
        "group": one.signature,
        "reason": one.example.reason,
        "operation": None if problem is None else problem.operation,
        "kind": one.example.key.kind,
        "status": None if problem is None else problem.status,
        "field": None if problem is None else problem.field,
        "message": _said_to_all(one),
        "count": one.count,
        "people": one.people,
        "first": one.first,
        "last": one.last,
        "oldest_s": None if one.first is None else round((now - one.first).total_seconds()),
        "owner": one.owner,
        "note": one.note,
        "next": views.next_step(one.example, contract),
        "example": one.example.id,
    }


def _call(row: Mapping[str, Any]) -> dict[str, Any]:
    names = ("id", "operation", "request", "marked_at", "answered_at", "outcome", "status")
    told = {name: row[name] for name in (*names, "request_id", "duration_ms", "detail")}
    return {**told, "answer": _answer(row["answer"]), "line": views.attempt_line(row)}


def _answer(text: str | None) -> str | None:
    """Give an answer as it came; JSON on lines of its own, for people to read."""
    try:
        return None if text is None else json.dumps(json.loads(text), ensure_ascii=False, indent=2)
    except ValueError:
        return text
