"""The database, and the way to it, fail while events come in and calls are made."""

import subprocess
import sys
from collections.abc import Generator
from contextlib import closing, contextmanager

import pytest
from sqlalchemy import make_url, text
from sqlalchemy.exc import OperationalError

from producers import emit
from runtime.database import Database
from schema.events import Event, ParticipantDeferred, ScheduleChanged
from schema.keys import EntryId
from schema.outcomes import Transient
from schema.states import RecordState
from schema.tables import outbox_entry
from tests.support.builders import PERSON
from tests.support.children import ROOT
from tests.support.outbox import Outbox, count_entries
from tests.support.producer import MOMENTS
from tests.support.proxy import Proxy, Swallow
from tests.support.servers import surroundings
from tests.support.threads import at_once

POSTGRES = pytest.mark.parametrize("backend", ["postgresql"])


# producing


def test_of_a_producer_that_is_killed_either_both_or_neither_is_there(database_url: str) -> None:
    with closing(Database(database_url)) as database:
        with database.transaction() as connection:
            connection.execute(text("CREATE TABLE teacher (name text)"))
        ran = subprocess.run(
            [sys.executable, "-m", "tests.support.producer", database_url],
            cwd=ROOT,
            env=surroundings(),
            capture_output=True,
            text=True,
            check=True,
        )

        assert ran.stdout.split("\n")[:3] == [f"{moment} -9" for moment in MOMENTS]
        with database.reading() as connection:
            teachers = connection.execute(text("SELECT name FROM teacher")).scalars().all()
            told = connection.execute(outbox_entry.select()).all()
        assert teachers == ["committed"]
        assert [row.source_id for row in told] == ["E-committed"]


@contextmanager
def proxied(url: str) -> Generator[tuple[Proxy, str]]:
    """Put a proxy before PostgreSQL; gives the URL through it."""
    there = make_url(url)
    named = there.query.get("host")
    host = there.host or (named if isinstance(named, str) else "127.0.0.1")
    with Proxy(host, there.port or 5432) as proxy:
        through = there.set(host="127.0.0.1", port=proxy.port, query={})
        yield proxy, through.render_as_string(hide_password=False)


@POSTGRES
def test_a_commit_whose_reply_is_lost_and_that_is_tried_again_is_one_entry(
    database_url: str,
) -> None:
    change = ParticipantDeferred(source_id="E-1", reason="other", event_id="hr-1")

    def tell(database: Database) -> EntryId:
        with database.transaction() as connection:
            return emit(connection, change)

    with proxied(database_url) as (proxy, url), closing(Database(url)) as database:
        database.check()
        proxy.mode = Swallow(rb"COMMIT\x00")
        with pytest.raises(OperationalError):
            tell(database)

        assert proxy.count == 1
        with database.reading() as connection:
            [there] = connection.execute(outbox_entry.select()).all()
        assert tell(database) == there.id
        with database.reading() as connection:
            assert count_entries(connection) == 1


def test_of_many_who_change_one_record_at_once_the_last_entry_is_its_end(outbox: Outbox) -> None:
    outbox.link()
    names = [f"ecf-{word}-september" for word in ("standard", "extended", "reduced")] * 3

    def tell(name: str) -> tuple[EntryId, str]:
        told = ScheduleChanged(source_id="E-1", schedule_identifier=name, cohort="2025")
        return outbox.emit(told)[0], name

    told = at_once(*[lambda name=name: tell(name) for name in names])
    outbox.run()

    last = max(told)
    assert outbox.api.people[PERSON]["schedule_identifier"] == last[1]
    assert outbox.record().changed is False
    assert len(outbox.api.writes) <= 1


# delivering


def deferred(**more: str) -> Event:
    return ParticipantDeferred(source_id="E-1", reason="other", **more)  # pyright: ignore[reportArgumentType]


@pytest.mark.parametrize(
    ("reply", "step"),
    [(rb"UPDATE 1\x00", "take"), (rb"INSERT 0 1\x00", "mark"), (rb"COMMIT\x00", "settle")],
)
@POSTGRES
def test_a_worker_to_whom_the_reply_of_a_commit_is_lost_sends_once(
    database_url: str, reply: bytes, step: str
) -> None:
    with proxied(database_url) as (proxy, url), closing(Database(url)) as database:
        outbox = Outbox(database)
        outbox.link()
        outbox.emit(deferred())
        outbox.round()
        outbox.deliver()
        outbox.round()
        proxy.mode = Swallow(reply)
        try:
            outbox.deliver()
        except OperationalError:
            assert step != "settle", "what was answered is settled once more"
        assert proxy.count == 1

        for _ in range(3):
            outbox.wait(minutes=3)
            outbox.run()

        assert outbox.api.writes == ["defer"]
        assert outbox.api.people[PERSON]["training_status"] == "deferred"
        assert list(outbox.entries().values()) == ["noted", "delivered"]
        assert (outbox.record().state, outbox.record().tries) == (RecordState.IN_STEP, 0)


@POSTGRES
def test_an_outcome_whose_commit_lost_its_reply_counts_once(database_url: str) -> None:
    with proxied(database_url) as (proxy, url), closing(Database(url)) as database:
        outbox = Outbox(database)
        outbox.link()
        outbox.emit(deferred())
        outbox.round()
        outbox.deliver()
        outbox.round()
        outbox.api.then(Transient(detail="busy"))
        proxy.mode = Swallow(rb"COMMIT\x00")

        ended = outbox.deliver()

        assert proxy.count == 1
        assert outbox.record().tries == 1
        assert ended == ["settled"]
