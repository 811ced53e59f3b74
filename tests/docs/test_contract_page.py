"""The contract that the page writes works with the rest of the system."""

import re
from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest

from outbox.admission import Close, Go, agreeing, decide
from records.fold import Change, Folded, accept, fold
from schema.events import InvalidEvent, RecordSnapshot
from schema.keys import EntryId, RecordId, RecordKey
from schema.record import Record, Stamp
from schema.states import Closed
from tests.docs.customers import CONTRACT
from tests.docs.reference import ROOT

NOW = datetime(2026, 11, 21, 12, tzinfo=UTC)
KEY = RecordKey("customer", "C-1")
AGREES = agreeing(CONTRACT, KEY)
ADA = {"name": "Ada", "email": "ada@crm.example"}


def _folded(record: Record, entry: int, state: dict[str, str]) -> Folded:
    event = RecordSnapshot(source_id="C-1", kind="customer", state=state)
    stamp = Stamp(entry=EntryId(entry), source="shop")
    change = Change(stamp=stamp, asks=CONTRACT.asks(event), settle=timedelta(0))
    return fold(record, change, agrees=AGREES, status_field=None, now=NOW)


def _answered(record: Record, operation: str, body: dict[str, str]) -> Record:
    read = CONTRACT.read(CONTRACT.operations[operation], record, [], {**body, "id": "77"})
    assert read.accepted is not None
    tried = replace(record, calls=1)
    return accept(
        tried,
        read.accepted,
        agrees=AGREES,
        status_field=None,
        now=NOW,
        remote_id=read.remote_id,
    ).record


def _new() -> Record:
    return Record(id=RecordId(1), destination="default", key=KEY, family=str(KEY))


def test_a_customer_is_created_once_and_then_only_what_differs_is_sent() -> None:
    asked = _folded(_new(), 1, ADA).record
    first = decide(asked, [], CONTRACT, NOW)
    assert isinstance(first, Go)
    assert (first.call.request.method, first.call.request.path) == ("POST", "/customers")

    there = _answered(asked, "create", ADA)
    assert decide(there, [], CONTRACT, NOW) == Close()

    moved = _folded(there, 2, {**ADA, "phone": "020 7946 0000"}).record
    second = decide(moved, [], CONTRACT, NOW)
    assert isinstance(second, Go)
    assert second.call.request.body == {"phone": "020 7946 0000"}


def test_the_same_snapshot_again_is_unchanged() -> None:
    there = _answered(_folded(_new(), 1, ADA).record, "create", ADA)

    assert _folded(there, 2, ADA).closed == {EntryId(2): Closed.UNCHANGED}


def test_what_the_crm_does_not_know_is_refused_with_the_field_named() -> None:
    with pytest.raises(InvalidEvent, match=r"state\.shoe_size"):
        _folded(_new(), 1, {"shoe_size": "43"})


def test_the_page_shows_the_code_that_is_tested_and_it_is_short() -> None:
    page = (ROOT / "docs" / "how-to" / "write-a-contract.md").read_text(encoding="utf-8")
    code = (ROOT / "tests" / "docs" / "customers.py").read_text(encoding="utf-8")
    shown = re.search(r"```python\n(.*?)```", page, re.S)

    assert shown is not None
    assert shown[1] == code
    assert len(code.splitlines()) < 100
