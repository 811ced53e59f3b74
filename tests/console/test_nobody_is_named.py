"""A viewer sees nobody: with one person's name, TRN and e-mail wherever text can stand, none is answered."""

from typing import Any

import pytest
from sqlalchemy import Connection, insert, update
from starlette.routing import Route

from console.app import PAGES
from inbox import checkpoints, differences, places
from inbox.cursor import Cursor
from inbox.drift import Different
from inbox.mirror import Reading
from outbox import bulk, discarding, letters
from outbox.letters import Said
from outbox.replay import How
from outbox.selection import Selection
from records.signature import signature_of
from runtime.database import Database
from schema.all_tables import metadata
from schema.events import RecordSnapshot
from schema.outcomes import Blame, Refusal, Refused
from schema.record import Record
from tests.console.test_door import people, sign_in
from tests.desk.test_deeds import do, person, refused
from tests.integration.test_delivery import declared, known
from tests.support.builders import PERSON
from tests.support.desk import Desk, a_site
from tests.support.inbox import Inbox, Lists, a_person
from tests.support.outbox import Outbox

__all__ = ["known"]  # the fixture

NAME, TRN, EMAIL = "Zelda Quillfeather", "7654321", "zelda.q@school.example"
SAID = f"{NAME} is not right: '{NAME}', TRN {TRN} ({TRN}), {EMAIL}, QUILLFEATHER; zelda"
WHO = {"full_name": NAME, "teacher_reference_number": TRN, "email": EMAIL}
CANARIES = ("zelda", "quillfeather", TRN)
NAMING = (
    "",
    "people",
    "problems",
    "entries",
    "audit",
    "bulk",
    "differences",
    "feed",
    "polls",
    "quota",
)
"""The pages that name somebody to who may see it."""

SPRAYED: dict[str, dict[str, Any]] = {
    "attempt": {"detail": SAID, "answer": f'{{"errors": [{{"detail": "{SAID}"}}]}}'},
    "audit": {"reason": SAID, "before": {"diff": {"full_name": [NAME, "B"]}}, "after": WHO},
    "bulk": {"reason": SAID},
    "bulk_item": {"detail": SAID},
    "discarded": {"reason": SAID},
    "feed": {"before": WHO, "after": {"full_name": NAME}},
    "poll_run": {"reason": SAID},
    "subscriber": {"error": SAID},
}
"""What is put into every row of these tables, whoever wrote them."""


@pytest.fixture
def desk(known: Outbox, database: Database) -> Desk:
    """The console on that database, by that clock."""
    return Desk(a_site(database, known.clock))


@pytest.fixture
def told(known: Outbox, database: Database, desk: Desk) -> dict[str, list[int]]:
    """The world; gives the ids that its addresses take."""
    read(known, database)
    dead = a_refusal_that_names(known)
    dropped = drop_a_claim(known)
    snapshot = {"full_name": NAME, "schedule_identifier": "ecf-extended-september"}
    known.emit(RecordSnapshot(source_id="E-1", kind="enrolment", state=snapshot))
    with database.transaction() as connection:
        said = Said(owner="ines", note=SAID)
        now = known.clock.now()
        letters.say_of_letter(connection, dead, said, actor="ada", now=now)
        group = signature_of(dead) or ""
        letters.say_of_group(connection, "default", group, said, actor="ada", now=now)
        many = bulk.start(
            connection, "default", Selection(), person(known), expect=1, how=How(try_one=True)
        )
        drift_id = let_differ(connection, known, dead)
        stop_a_handler(connection)
        shut_and_hold(connection, known)
        for name, values in SPRAYED.items():
            done = connection.execute(update(metadata.tables[name]).values(values))
            assert done.rowcount, name
    return {
        "/problems": [dead.id, dropped],
        "/people": [dead.id, dropped],
        "/entries": [*known.entries()],
        "/bulk": [many.id],
        "/differences": [drift_id],
    }


def read(known: Outbox, database: Database) -> None:
    lists = Lists()
    row = a_person(known.clock.now(), name=NAME, email=EMAIL)
    row["attributes"]["teacher_reference_number"] = TRN
    lists.put("/participants", row)
    known.wait(minutes=5)
    Inbox(database, known.contract, lists, clock=known.clock).poll("participants")


def a_refusal_that_names(known: Outbox) -> Record:
    says = Refusal(title="reason", detail=SAID)
    known.api.then(Refused(status=422, refusals=(says,), blame=Blame.DATA))
    record = refused(known)
    assert record.problem is not None
    assert NAME in record.problem.detail
    return record


def drop_a_claim(known: Outbox) -> int:
    says = Refusal(title="declaration_date", detail=SAID)
    known.api.then(Refused(status=422, refusals=(says,), blame=Blame.DATA))
    known.emit(declared())
    known.run()
    claim = known.record(part="started")
    do(known, discarding.discard, claim)
    return claim.id


def let_differ(connection: Connection, known: Outbox, record: Record) -> int:
    now = known.clock.now()
    [run] = checkpoints.latest(connection, "default", limit=1)
    reading = Reading(
        destination="default", source="participants", run_id=run.id, began_at=now, now=now
    )
    found = Different(field="full_name", ours=NAME, theirs=f"{NAME} ({EMAIL})")
    differences.note(connection, reading, PERSON, str(record.key), [found])
    [one] = differences.listed(connection, "default", field="full_name")
    return int(one["id"])


def stop_a_handler(connection: Connection) -> None:
    places.ensure(connection, "default", "roster", Cursor(position=0))


def shut_and_hold(connection: Connection, known: Outbox) -> None:
    now = known.clock.now()
    connection.execute(
        insert(metadata.tables["gate"]).values(
            scope="destination", name="default", reason="paused", since=now, detail=SAID
        )
    )
    connection.execute(
        insert(metadata.tables["held_row"]).values(
            destination="default",
            source="participants",
            ref=PERSON,
            reason=SAID,
            first_seen=now,
            last_seen=now,
            seen_run=1,
        )
    )


def addresses(told: dict[str, list[int]]) -> list[str]:
    """Every address that is looked at; of a list also as a file, of news every way to begin."""
    paths: list[str] = []
    for one in PAGES:
        assert isinstance(one, Route)
        if "GET" not in (one.methods or ()):
            continue
        first = f"/{one.path.split('/')[1]}"
        ids = told.get(first, []) if "{id}" in one.path else [0]
        paths += [
            one.path.replace("{id}", str(number)).replace("{source}", "participants")
            for number in ids
        ]
    more = ("/people?state=", "/problems/list?", "/people?q=E-1&")
    lists = [f"{path}format=csv" for path in more]
    shown = ["/differences?state=open&field=full_name", "/feed?after=everything", "/feed?after=0"]
    return [*paths, *lists, *shown, "/people?q=E-1", "/people?state=dead", "/?numbers=yes"]


def test_a_viewer_is_answered_nobodys_name_by_any_page_file_or_json(
    desk: Desk, told: dict[str, list[int]]
) -> None:
    paths = addresses(told)
    named = {path.split("/")[1].split("?")[0] for path in paths if names(desk.get(path).text)}
    assert named >= {*NAMING}, "the test looks where somebody is named"
    people(desk)
    viewer = Desk(desk.site)
    sign_in(viewer, "vic")

    leaks: list[str] = []
    for path in paths:
        for accept in ("text/html", "application/json"):
            answer = viewer.get(path, accept=accept)
            assert answer.status_code < 500 or path == "/readyz", path
            leaks += [f"{path} as {accept}: {one}" for one in names(answer.text)]
    assert leaks == []


def names(text: str) -> list[str]:
    """Give where somebody is named, with what stands around it."""
    small = text.casefold()
    return [small[max(0, at - 60) : at + 40] for one in CANARIES if (at := small.find(one)) >= 0]
