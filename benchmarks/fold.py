"""From new entries to rings on the queue: fold, admit and dispatch, on PostgreSQL and Redis.

The peer is the queue alone: `actor.send`, one message at a time, through Dramatiq's own broker on
the same Redis and in the same run, which is what a system without an outbox does in place of this.
"""

import time
from collections.abc import Sequence
from dataclasses import replace
from datetime import timedelta
from typing import Any

import dramatiq
from dramatiq.brokers.redis import RedisBroker
from sqlalchemy import Connection, text

from benchmarks.floor import PRIMED, sql_alone
from benchmarks.ground import Statements, postgresql, redis_server, settings_for, wired
from benchmarks.result import Line, Peer, Result, median
from outbox.relay import Relay
from producers import emit
from runtime.memory import collect_seldom
from schema.events import MentorChanged
from workers.wiring import Wiring

AN_HOUR = timedelta(hours=1)

SENDS = 2_000
"""Messages the peer sends before and after."""

KEPT = 0.25
"""How much of the rate of the SQL alone is reached, with room for a busy machine: the gate keeps it.
Both do the same to the same database, so this is the steadiest of the ratios here."""

AIM = 4
"""The ratio that was asked for. The SQL alone does not reach it, see decision 11."""


def run(*, quick: bool) -> Result:
    """Bring two entries for each record through the relay."""
    records = 5_000 if quick else 50_000
    with (
        postgresql() as url,
        redis_server() as redis_url,
        wired(settings_for(url, redis_url, contract="guidance")) as wiring,
    ):
        with wiring.database.transaction() as connection:
            connection.exec_driver_sql(PRIMED, (records,))
        emit_all(wiring, records)
        with wiring.database.transaction() as connection:
            connection.exec_driver_sql("ANALYZE")
        lines = measure(wiring, records, sql_alone(records))
    return Result(
        scenario="fold",
        conditions=f"{2 * records:,} entries on {records:,} records, one relay, no settle time",
        lines=lines,
    )


def emit_all(wiring: Wiring, records: int) -> None:
    """Emit two changes for each record, the second long after the first."""
    for mentor in ("m-2", "m-3"):
        for first in range(1, records + 1, 5_000):
            some = range(first, min(first + 5_000, records + 1))
            with wiring.database.transaction() as connection:
                emit(
                    connection,
                    [MentorChanged(source_id=f"E-{place}", mentor_id=mentor) for place in some],
                )


def measure(wiring: Wiring, records: int, floor: float) -> Sequence[Line]:
    """Run rounds until nothing is left, between two measurements of the peer."""
    relay = relay_of(wiring)
    statements = Statements(wiring.database.engine)
    collect_seldom()  # as the relay's process does
    sent = [sends(wiring)]
    begun = time.perf_counter()
    dispatched = 0
    while (done := relay.run_once()).done:
        dispatched += done.dispatched
    took = time.perf_counter() - begun
    executed, commits = statements.take()
    sent.append(sends(wiring))
    with wiring.database.reading() as connection:
        rung = _dispatched(connection)
    entries = 2 * records
    send = Peer(name="actor.send one at a time", value=median(sent))
    return (
        Line(
            name="entries folded, admitted and dispatched",
            value=entries / took,
            unit="entries/s",
            peer=send,
            aim=AIM,
        ),
        Line(
            name="the same, of what its SQL alone allows",
            value=entries / took,
            unit="entries/s",
            peer=Peer(name="the SQL alone", value=floor),
            at_least=KEPT,
        ),
        Line(
            name="SQL round trips per entry",
            value=(executed + 2 * commits) / entries,
            unit="",
            at_most=0.1,
        ),
        Line(
            name="records dispatched, of all",
            value=rung / records,
            unit="",
            at_least=1,
            counter=True,
        ),
        Line(
            name="rings, of records", value=dispatched / records, unit="", at_most=1, counter=True
        ),
    )


def relay_of(wiring: Wiring) -> Relay:
    """Make a relay whose quota has room for everything."""
    destination = wiring.settings.destinations[0]
    return Relay(
        database=wiring.database,
        contract=wiring.contract(destination),
        destination=destination.name,
        clock=wiring.clock,
        # Nobody answers here: rings must not run out, or they would be rung again and again.
        timing=replace(wiring.timing(destination), ring=AN_HOUR, lease=AN_HOUR),
        settle=wiring.settings.settle,
        dispatch=wiring.ring(destination),
        room=lambda _lane, _on_the_queue: 1_000_000,
    )


def sends(wiring: Wiring) -> float:
    """Give how many messages a second `actor.send` puts on a queue of its own."""
    broker: Any = RedisBroker(client=wiring.redis, namespace="bench_peer", middleware=[])
    actor = dramatiq.Actor(
        _nothing,
        broker=broker,
        actor_name="bench_peer",
        queue_name="bench_peer",
        priority=0,
        options={},
    )
    actor.send("default", 0, 1, "live")  # its script is loaded at the first one
    begun = time.perf_counter()
    for place in range(SENDS):
        actor.send("default", place, 1, "live")
    return SENDS / (time.perf_counter() - begun)


def _nothing(destination: str, record_id: int, token: int, lane: str) -> None:
    """What a message would ask for."""


def _dispatched(connection: Connection) -> int:
    query = text("SELECT count(*) FROM record WHERE state = 'dispatched'")
    return int(connection.execute(query).scalar_one())
