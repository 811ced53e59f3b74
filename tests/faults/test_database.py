"""The database, and the way to it, fail while events come in and calls are made."""

import os
import signal
import socket
import subprocess
import sys
import threading
from collections import Counter
from collections.abc import Callable, Generator, Iterator, Sequence
from contextlib import closing, contextmanager, suppress
from datetime import timedelta
from functools import partial
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import make_url, text
from sqlalchemy.exc import DBAPIError, OperationalError

from outbox.delivery import Ended
from outbox.relay import Ring
from pillarbox.world import wait_until
from producers import emit
from records import holding
from runtime import migrations
from runtime.clock import SystemClock
from runtime.database import Database
from schema.events import Event, ParticipantDeferred
from schema.keys import EntryId
from schema.outcomes import Delivered, Transient
from schema.states import RecordState
from schema.tables import outbox_entry
from tests.support.api import Scripted
from tests.support.builders import ECT, PERSON, an_enrolment
from tests.support.children import ROOT
from tests.support.cluster import Cluster
from tests.support.outbox import Outbox, count_entries
from tests.support.producer import MOMENTS
from tests.support.proxy import Blackhole, Pass, Proxy, Swallow
from tests.support.servers import NotHere, PostgresServer, surroundings
from tests.support.threads import at_once
from tests.support.yard import SCHEDULES, Lot, Yard, overlaps, said
from workers import heartbeat
from workers.deliver import Hands
from workers.heartbeat import Heart

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
        told = said("schedule_changed", "E-1", schedule_identifier=name, cohort="2025")
        return outbox.emit(told)[0], name

    told = at_once(*[lambda name=name: tell(name) for name in names])
    outbox.run()

    last = max(told)
    assert outbox.api.people[PERSON]["schedule_identifier"] == last[1]
    assert outbox.record().changed is False
    assert len(outbox.api.writes) <= 1


# delivering


DEFERRED = an_enrolment(training_status="deferred")


def deferred(source_id: str = "E-1", **more: str) -> Event:
    return said("participant_deferred", source_id, reason="other", **more)


def a_claim() -> Event:
    return said(
        "declaration_made",
        "E-1",
        declaration_type="started",
        declaration_date="2025-10-01T09:00:00Z",
        evidence_held="other",
    )


def a_crowd(outbox: Outbox, number: int) -> None:
    """Link and defer so many enrolments, each its own person."""
    people = [f"{place:08d}{PERSON[8:]}" for place in range(number)]
    outbox.api.people = {person: an_enrolment() for person in people}
    for place, person in enumerate(people):
        outbox.emit(deferred(f"E-{place}", participant_id=person, course_identifier=ECT))


@POSTGRES
def test_whichever_reply_of_the_database_a_worker_loses_it_sends_once(database_url: str) -> None:
    places: list[int] = []
    with proxied(database_url) as (proxy, url), closing(Database(url)) as database:
        for place in range(30):
            outbox = Outbox(database)
            who, name = f"{place:08d}{PERSON[8:]}", f"E-{place}"
            outbox.api.people = {who: an_enrolment()}
            entry = outbox.emit(deferred(name, participant_id=who, course_identifier=ECT))
            outbox.round()
            outbox.deliver()
            outbox.round()
            proxy.mode = Swallow(before=place)
            with suppress(OperationalError):
                outbox.deliver()
            lost, proxy.mode = proxy.count, Pass()

            for _ in range(3):
                outbox.wait(minutes=3)
                outbox.run()

            assert outbox.api.writes == ["defer"], place
            assert outbox.api.people[who]["training_status"] == "deferred"
            assert outbox.how(*entry) == ["delivered"]
            record = outbox.record(name)
            assert (record.state, record.tries) == (RecordState.IN_STEP, 0)
            places += [place] * lost
            if not lost:
                break

    assert places == list(range(len(places)))
    assert len(places) >= 3, "the take, the mark and the settling each have a reply"


@POSTGRES
def test_a_record_that_the_database_failed_before_the_call_is_not_kept_for_a_lease(
    database_url: str,
) -> None:
    with proxied(database_url) as (proxy, url), closing(Database(url)) as database:
        outbox = Outbox(database)
        outbox.link()
        outbox.emit(deferred())
        outbox.round()
        outbox.deliver()
        outbox.round()
        proxy.mode = Swallow(rb"INSERT 0 1\x00")  # the mark: it is there, and nobody knows

        with pytest.raises(OperationalError):
            outbox.deliver()

        assert proxy.count == 1
        assert (outbox.record().state, outbox.record().mark) == (RecordState.WAITING, None)
        assert outbox.pace.ended[-1][1] == "unused"
        outbox.wait(seconds=5)
        outbox.run()
        assert outbox.api.operations == ["look_up_participant", "defer"]
        assert list(outbox.entries().values()) == ["noted", "delivered"]


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


# a connection that is only half there


def test_a_connection_whose_other_end_is_gone_is_given_up_by_the_kernel(
    postgres: PostgresServer,
) -> None:
    with (
        proxied(postgres.url_of("postgres")) as (_, url),
        closing(Database(url)) as database,
        database.reading() as connection,
    ):
        driver: Any = connection.connection.driver_connection
        with socket.socket(fileno=os.dup(driver.fileno())) as end:
            options = {
                name: end.getsockopt(socket.IPPROTO_TCP, getattr(socket, name))
                for name in ("TCP_KEEPIDLE", "TCP_KEEPINTVL", "TCP_KEEPCNT", "TCP_USER_TIMEOUT")
            }
            assert end.getsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE)

    assert options == {
        "TCP_KEEPIDLE": 10,
        "TCP_KEEPINTVL": 5,
        "TCP_KEEPCNT": 3,
        "TCP_USER_TIMEOUT": 30_000,
    }


@POSTGRES
def test_the_watchdog_ends_a_process_also_while_the_database_says_nothing(
    database_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(heartbeat, "EVERY", timedelta(milliseconds=20))
    ended = threading.Event()
    with proxied(database_url) as (proxy, url), closing(Database(url)) as database:
        heart = Heart(
            "worker",
            database,
            SystemClock(),
            dict,
            alive=lambda: proxy.count == 0,
            die=ended.set,
        )
        heart.start()

        proxy.mode = Blackhole()  # the next beat hangs, and counts

        assert ended.wait(30)
        proxy.mode = Pass()
        proxy.cut()
        heart.stop()


def test_a_worker_whose_threads_all_hang_is_known_by_their_hands() -> None:
    hands, done = Hands(), threading.Event()
    at_work = threading.Barrier(3)

    def hang() -> None:
        with hands.holding():
            at_work.wait(timeout=30)
            done.wait(30)

    threads = [threading.Thread(target=hang) for _ in range(2)]
    for thread in threads:
        thread.start()
    at_work.wait(timeout=30)

    assert hands.held(timedelta(0)) == 2
    assert hands.held(timedelta(hours=1)) == 0
    done.set()
    for thread in threads:
        thread.join()
    assert hands.held(timedelta(0)) == 0


@POSTGRES
def test_a_worker_cut_off_in_mid_settling_costs_its_lease_and_nothing_more(
    database_url: str,
) -> None:
    """Its connection hangs; others find the lease run out, look, and do nothing twice."""
    with proxied(database_url) as (proxy, url), closing(Database(url)) as hanging:
        outbox = Outbox(hanging)
        outbox.link()
        outbox.emit(deferred())
        outbox.round()
        outbox.deliver()
        outbox.round()
        ring = outbox.rings.popleft()

        def cut_off() -> None:
            proxy.mode = Blackhole()

        outbox.api.then(
            Scripted(outcome=Delivered(accepted=DEFERRED), executed=True, meanwhile=cut_off)
        )
        worker = threading.Thread(target=_deliver_quietly, args=(outbox, ring), daemon=True)
        worker.start()
        assert wait_until(lambda: proxy.count > 0, timeout=30)
        with closing(Database(database_url)) as well:
            others = Outbox(well)
            others.api, others.clock = outbox.api, outbox.clock
            others.relay, others.deliverer = others.another_relay(), others.another_deliverer()
            for _ in range(3):
                others.wait(minutes=3)
                others.run()

            assert outbox.api.writes == ["defer"]
            assert others.api.operations[-1] == "look_up_participant"
            assert list(others.entries().values()) == ["noted", "delivered"]
        proxy.mode = Pass()
        proxy.cut()
        worker.join(timeout=30)


def _deliver_quietly(outbox: Outbox, ring: Ring) -> None:
    with suppress(DBAPIError):
        outbox.deliverer.deliver(ring)


# no connection, a deadlock, a clock


def test_eight_threads_on_two_connections_each_get_their_turn(
    database_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("runtime.database.POOL_OVERFLOW", 0)
    monkeypatch.setattr("runtime.database.POOL_SIZE", 2)
    with closing(Database(database_url, pool_size=2)) as database:
        outbox = Outbox(database)
        a_crowd(outbox, 24)
        outbox.round()
        outbox.deliver()
        outbox.round()
        rings = list(outbox.rings)
        outbox.rings.clear()
        full = threading.Event()

        def hold_a_connection() -> list[Ended]:
            with database.reading() as connection:
                connection.exec_driver_sql("SELECT 1")
                full.wait(0.5)
            return []

        def deliver(part: Sequence[Ring]) -> Callable[[], list[Ended]]:
            return lambda: [outbox.deliverer.deliver(ring) for ring in part]

        ends = at_once(hold_a_connection, *(deliver(rings[place::8]) for place in range(8)))

        pool: Any = database.engine.pool
        assert pool.size() == 2
        assert [end for part in ends for end in part] == ["settled"] * 24
        assert Counter(outbox.api.writes) == {"defer": 24}
        assert {one.tries for one in outbox.records()} == {0}


@POSTGRES
def test_a_settling_that_runs_into_a_deadlock_is_done_again_whole(outbox: Outbox) -> None:
    outbox.link()
    outbox.emit(deferred())
    outbox.emit(a_claim())
    outbox.round()
    outbox.deliver()
    outbox.round()
    mine, kin = outbox.record(), outbox.record(part="started")
    assert mine.id < kin.id
    ended: list[threading.Thread] = []
    before = deadlocks(outbox.database)

    def other_way_round() -> None:
        """Lock the kin first, and the record when whoever settles waits for the kin."""
        locked = threading.Event()

        def run() -> None:
            with outbox.database.transaction() as connection:
                connection.execute(text("SET LOCAL deadlock_timeout = '30s'"))
                connection.execute(_lock(kin.id))
                locked.set()
                assert wait_until(lambda: _waiting(outbox.database), timeout=30)
                connection.execute(_lock(mine.id))

        thread = threading.Thread(target=run)
        thread.start()
        ended.append(thread)
        assert locked.wait(30)

    outbox.api.then(Scripted(outcome=Transient(detail="busy"), meanwhile=other_way_round))
    mine_alone = [ring for ring in outbox.rings if ring.record_id == mine.id]
    outbox.rings.clear()
    outbox.rings.extend(mine_alone)

    assert outbox.deliver() == ["settled"]

    ended[0].join(timeout=30)
    assert wait_until(lambda: deadlocks(outbox.database) > before, timeout=30)
    assert outbox.slept, "it was the settling that was ended, and it came again"
    assert (outbox.record().state, outbox.record().tries) == (RecordState.WAITING, 1)


def deadlocks(database: Database) -> int:
    """Count the deadlocks that the server has ended in this database."""
    query = "SELECT deadlocks FROM pg_stat_database WHERE datname = current_database()"
    with database.reading() as connection:
        return connection.execute(text(query)).scalar_one()


def _lock(record_id: int) -> Any:
    return text(f"SELECT id FROM record WHERE id = {record_id} FOR UPDATE")


def _waiting(database: Database) -> bool:
    """Say whether somebody waits for a lock of this database."""
    with database.reading() as connection:
        query = text(
            "SELECT count(*) FROM pg_stat_activity "
            "WHERE datname = current_database() AND wait_event_type = 'Lock'"
        )
        return connection.execute(query).scalar_one() > 0


def test_a_clock_that_goes_back_ten_minutes_makes_no_second_holder_and_stops_nobody(
    outbox: Outbox,
) -> None:
    a_crowd(outbox, 3)
    outbox.round()
    outbox.deliver()
    outbox.round()
    held, lost, waits = outbox.rings
    outbox.rings.clear()
    with outbox.database.transaction() as connection:
        until = outbox.clock.now() + timedelta(minutes=2)
        assert holding.take(connection, lost.record_id, lost.token, until=until)

    def step_back() -> None:
        outbox.clock.advance(timedelta(minutes=-10))
        outbox.run()

    outbox.api.then(
        Scripted(outcome=Delivered(accepted=DEFERRED), executed=True, meanwhile=step_back)
    )
    assert outbox.deliverer.deliver(held) == "settled"
    assert outbox.deliverer.deliver(waits) == "settled"
    for _ in range(3):
        outbox.wait(minutes=2, seconds=30)
        outbox.run()

    assert Counter(outbox.api.writes) == {"defer": 3}
    assert Counter(outbox.entries().values()) == {"delivered": 3}


# servers that are restarted, tables that change


@pytest.fixture(scope="module")
def cluster() -> Iterator[Cluster]:
    """A PostgreSQL server that may be ended in any way."""
    try:
        made = Cluster()
    except NotHere as error:
        pytest.skip(str(error))
    with closing(made):
        yield made


@pytest.fixture
def served(cluster: Cluster, yard: Yard, sqlite_template: Path) -> Iterator[Lot]:
    """A lot on that server, with a relay and two workers at work."""
    with closing(Database(cluster.url())) as database:
        migrations.upgrade(database)
    with yard.lot("postgresql", sqlite_template, url=cluster.url()) as lot:
        lot.spoilt = True
        lot.start("relay")
        yield lot


@pytest.mark.sweep
def test_a_database_that_is_restarted_under_load_loses_and_doubles_nothing(
    cluster: Cluster, served: Lot
) -> None:
    workers = [served.start("worker", "--threads", "2") for _ in range(2)]
    moments = [started_at(cluster)]
    for how in (signal.SIGINT, signal.SIGQUIT):
        claims = [served.declare() for _ in range(10)]
        served.until(partial(served.writes, claims[0]), "calls are made")
        cluster.restart(how)
        moments.append(started_at(cluster))
        served.database.engine.dispose()
    last = served.declare()
    served.until(partial(served.writes, last), "all go on by themselves")
    ends = [worker.end() for worker in workers]
    served.let_leases_run_out()  # of what was just being taken; nobody has anything in hand now
    served.start("worker")
    served.rest()

    assert ends == [0, 0]
    assert len(set(moments)) == 3
    assert "round_failed" in served.whole_log() or "delivery_failed" in served.whole_log()
    arrived = served.arrived()
    done = {
        name: [one.deed for one in calls if one.executed and one.writes]
        for name, calls in arrived.items()
    }
    assert done == {name: ["participant-declarations"] for name in served.people}
    assert overlaps(arrived) == []


def started_at(cluster: Cluster) -> str:
    """Say when a server started."""
    with closing(Database(cluster.url())) as database, database.reading() as connection:
        return str(connection.execute(text("SELECT pg_postmaster_start_time()")).scalar_one())


@pytest.mark.parametrize("backend", ["sqlite", "postgresql"])
def test_processes_that_live_through_a_migration_go_on(
    yard: Yard, backend: str, sqlite_template: Path
) -> None:
    """What a migration of the next version may do beside them: columns with a default, a table."""
    roles = [["up"]] if backend == "sqlite" else [["relay"], ["worker", "--threads", "1"]]
    with yard.lot(backend, sqlite_template) as lot:
        lot.spoilt = True
        for role in roles:
            lot.start(*role)
        first = [lot.declare(), lot.move(SCHEDULES[1])]
        lot.rest()
        with lot.database.transaction() as connection:
            for table in ("record", "outbox_entry", "attempt", "gate", "process"):
                connection.execute(text(f"ALTER TABLE {table} ADD COLUMN later text DEFAULT 'x'"))
            connection.execute(text("CREATE TABLE later (id integer)"))
        second = [lot.declare(), lot.move(SCHEDULES[2], first[1]), lot.defer()]
        lot.rest()

        with lot.database.reading() as connection:
            assert connection.execute(text("SELECT later FROM record")).scalars().first() == "x"
        assert [deed for name in second for deed, done in lot.writes(name) if done] == [
            "participant-declarations",
            f"change-schedule {SCHEDULES[1]}",
            f"change-schedule {SCHEDULES[2]}",
            "defer",
        ]


@pytest.mark.parametrize("backend", ["sqlite", "postgresql"])
def test_a_process_does_not_start_on_a_database_that_is_newer_than_itself(
    yard: Yard, backend: str, sqlite_template: Path
) -> None:
    with yard.lot(backend, sqlite_template, REDIS_URL=yard.redis.url) as lot:
        lot.spoilt = True
        with lot.database.transaction() as connection:
            connection.execute(text("UPDATE alembic_version SET version_num = 'newer'"))

        assert lot.start("relay").wait() == 3
        assert "at migration newer, which this version does not know" in lot.log()
