"""`pillarbox destination`: to whom this database belongs, and whether it may be written to."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from datetime import datetime
from typing import Annotated, Any

import typer
from sqlalchemy import Connection

from console.views import london
from gateway.registry import contract_named
from inbox.forgetting import forget
from outbox import bindings, rebind
from outbox.bindings import Binding, Standing
from pillarbox.commands.common import (
    ATTENTION,
    NOTHING,
    AsJson,
    DryRun,
    Expect,
    Of,
    Stop,
    Yes,
    actor,
    chosen,
    confirmed,
    noun,
    print_json,
    print_table,
    settings,
    stdout,
    wired,
)
from pillarbox.world import SANDBOX_BINDING
from records import store
from records import unknown as unknown_records
from runtime.audit import write_down
from runtime.errors import NotOurs
from runtime.settings import Destination
from schema.contract import Contract
from schema.plans import Call
from schema.record import Record
from schema.words import length, several
from workers.wiring import Wiring

SAMPLE = 5
"""How many of the calls that would be made are shown in full."""

app = noun(
    "What this database is bound to, and whether it may be written to.",
    "pillarbox destination show",
)


def add_to(root: typer.Typer) -> None:
    """Add the commands."""
    root.add_typer(app, name="destination")


@app.command()
def show(as_json: AsJson = False) -> None:
    """Show each destination: what this database was bound to, and whether writes may leave.

    Example: pillarbox destination show --json
    """
    wiring = wired(settings())
    rows = _shown(wiring)
    if as_json:
        print_json(rows)
        return
    for row in rows:
        print_table(("setting", "value"), [(k, _plain(v)) for k, v in row.items()])
    for row in rows:
        if row["held"]:
            stdout().print(f"{row['destination']} is {row['held']}", markup=False)


def _plain(value: object) -> object:
    return london(value) if isinstance(value, datetime) else "-" if value is None else value


def _shown(wiring: Wiring) -> list[dict[str, Any]]:
    now = wiring.clock.now()
    with wiring.database.reading() as connection:
        return [_row(connection, one, now) for one in wiring.settings.destinations]


def _row(connection: Connection, one: Destination, now: datetime) -> dict[str, Any]:
    was = bindings.bound(connection, one.name)
    stands = bindings.standing(connection, one.name)
    return {
        "destination": one.name,
        "contract": one.contract,
        "url": one.url,
        "key_name": one.key_name,
        "bound_url": None if was is None else was.url,
        "bound_contract": None if was is None else was.contract,
        "bound_key_name": None if was is None else was.key_name,
        "writes": None if stands is None else stands.writes.value,
        "live_since": None if stands is None else stands.live_since,
        "live_by": None if stands is None else stands.live_by,
        "unknown_since": None if stands is None else stands.unknown_since,
        "held": rebind.held_words(connection, one.name, now),
    }


@app.command()
def bind(dry_run: DryRun = False, as_json: AsJson = False) -> None:
    """Bind this database to what is configured. Every process does so at its first start.

    What is not on this computer is in shadow then, until `go-live`.

    Example: pillarbox destination bind --dry-run
    """
    wiring = wired(settings())
    if dry_run:
        _refuse_others(wiring)
    else:
        wiring.bind()
    if as_json:
        print_json({"dry_run": dry_run, "destinations": _shown(wiring)})
        return
    console = stdout()
    for row in _shown(wiring):
        already = "bound" if row["bound_url"] else "not bound yet"
        console.print(f"{row['destination']}: {already}; {row['url']}", markup=False)
        if row["held"]:
            console.print(f"  {row['held']}", markup=False)
    if not dry_run:
        console.print("from now on this database speaks for that destination only")


def _refuse_others(wiring: Wiring) -> None:
    with wiring.database.reading() as connection:
        identity = bindings.identity(connection)
        for one in wiring.settings.destinations:
            was = bindings.bound(connection, one.name)
            if was is not None:
                _same_or_refused(wiring.wanted(one, identity), was)


def _same_or_refused(wanted: Binding, was: Binding) -> None:
    different = bindings.difference(wanted, was)
    if different is not None:
        raise NotOurs(f"{different}; {bindings.cure(wanted, was)}")


# go-live


@dataclass(frozen=True, slots=True, kw_only=True)
class _Writes:
    """What would leave."""

    operations: Mapping[str, int]
    sample: Sequence[Mapping[str, Any]]
    undecided: int
    minutes: float

    @property
    def number(self) -> int:
        """How many records have a write waiting."""
        return sum(self.operations.values())


@app.command("go-live")
def go_live(
    destination: Of = "default",
    reason: Annotated[str, typer.Option(help="Why, for the audit trail.")] = "go-live",
    yes: Yes = False,
    expect: Expect = None,
    dry_run: DryRun = False,
    as_json: AsJson = False,
) -> None:
    """Let a destination be written to. Lists what it would send, asks, and writes down who said so.

    Exits 6, with nothing done, when another number would be sent than was confirmed.

    Example: pillarbox destination go-live --dry-run
    """
    wiring, one = _wired_to(destination)
    now = wiring.clock.now()
    with wiring.database.reading() as connection:
        was, stands = _bound(connection, destination)
        _same_or_refused(wiring.wanted(one, bindings.identity(connection)), was)
        writes = _writes(connection, one, contract_named(was.contract), now)
    told: dict[str, Any] = {
        "destination": destination,
        "url": was.url,
        "writes": writes.number,
        **{name: value for name, value in asdict(writes).items() if name != "number"},
        "dry_run": dry_run,
        "live": stands.live_since is not None,
        "live_since": stands.live_since,
        "live_by": stands.live_by,
    }
    if stands.live_since is not None:
        _tell(told, f"live since {london(stands.live_since)}, by {stands.live_by}", as_json=as_json)
        return
    if not as_json:
        _print_writes(was.url, writes)
    if not dry_run:
        expected = confirmed(
            writes.number, yes=yes, expect=expect, asked="How many writes are to leave"
        )
        _make_live(wiring, was, expected, reason=reason, now=now)
        told |= {"live": True, "live_since": now, "live_by": actor()}
    _tell(told, "dry run: nothing is changed" if dry_run else _LIVE_NOW, as_json=as_json)


_LIVE_NOW = "live; a relay takes up what waited within a few seconds"


def _make_live(wiring: Wiring, was: Binding, expected: int, *, reason: str, now: datetime) -> None:
    name = was.destination
    with wiring.database.transaction() as connection:
        # Nobody parks a write or marks one while this lock is held, so the count is exact.
        bindings.hold_still(connection, name)
        operations = unknown_records.asleep_by_operation(connection, name)
        _as_expected(sum(operations.values()), expected, "writes wait")
        bindings.let_live(connection, name, by=actor(), now=now)
        write_down(
            connection,
            actor=actor(),
            action="destination_live",
            subject=name,
            now=now,
            reason=reason,
            before={"live": False},
            after={"live": True, "url": was.url, "writes": operations},
        )


def _writes(connection: Connection, one: Destination, contract: Contract, now: datetime) -> _Writes:
    operations = unknown_records.asleep_by_operation(connection, one.name)
    some = unknown_records.some_asleep(connection, one.name, limit=SAMPLE)
    seconds = sum(operations.values()) * one.window.total_seconds() / one.calls
    return _Writes(
        operations=operations,
        sample=[_would_send(connection, record, contract, now) for record in some],
        undecided=unknown_records.undecided(connection, one.name),
        minutes=round(seconds / 60, 1),
    )


def _would_send(
    connection: Connection, record: Record, contract: Contract, now: datetime
) -> dict[str, Any]:
    family = store.of_family(connection, record.destination, record.family)
    plan = contract.plan(record, [kin for kin in family if kin.id != record.id], now)
    call = plan.request.as_json() if isinstance(plan, Call) else None
    return {"record": str(record.key), "operation": record.waits_for, "request": call}


def _print_writes(url: str, writes: _Writes) -> None:
    console = stdout()
    console.print(f"{url} is in shadow. Live, it would be sent now:", style="bold", markup=False)
    if writes.operations:
        print_table(("operation", "records"), list(writes.operations.items()))
        console.print(
            f"{several(writes.number, 'write')}, {length(writes.minutes)} of quota or more"
        )
    else:
        console.print("nothing")
    if writes.undecided:
        console.print(
            f"{writes.undecided:,} more records still wait for a look-up, a link or their time; what "
            "they will send is not known yet"
        )
    for one in writes.sample:
        request: dict[str, Any] = one["request"] or {}
        console.print(
            f"  for example {one['record']}: {request.get('method', '?')} {request.get('path', '')} "
            + json.dumps(request.get("body"), ensure_ascii=False),
            markup=False,
        )


# rebind


@app.command("rebind")
def rebind_(
    reason: Annotated[str, typer.Option(help="Why, for the audit trail, such as: restored.")],
    destination: Of = "default",
    yes: Yes = False,
    expect: Expect = None,
    dry_run: DryRun = False,
    as_json: AsJson = False,
) -> None:
    """Bind anew: after a restore, a move of the database, or a change of URL or key name.

    Nothing that was accepted is believed any more: every record is looked up, and no write leaves
    until that is done. What is not on this computer is in shadow again. Exits 4 when it was never
    bound, 6, with nothing done, when another number of records is there than was confirmed.

    Example: pillarbox destination rebind --reason "restored from a backup" --dry-run
    """
    wiring, one = _wired_to(destination)
    with wiring.database.reading() as connection:
        was, _ = _bound(connection, destination)
        wanted = wiring.wanted(one, bindings.identity(connection))
        number = unknown_records.count(connection, destination)
    different = bindings.difference(wanted, was)
    if wanted.contract != was.contract:
        raise NotOurs(f"{different}; {bindings.cure(wanted, was)}")
    minutes = round(number * one.window.total_seconds() / one.calls / 60, 1)
    told: dict[str, Any] = {
        "destination": destination,
        "before": asdict(was),
        "after": asdict(wanted),
        "records": number,
        "minutes": minutes,
        "shadow": not wiring.is_here(one),
        "dry_run": dry_run,
    }
    if not as_json:
        _print_rebind(told, different)
    if not dry_run:
        expected = confirmed(
            number, yes=yes, expect=expect, asked="How many records are to be looked up"
        )
        _rebind(wiring, one, wanted, expected, reason=reason)
    _tell(told, "dry run: nothing is changed" if dry_run else _BOUND_ANEW, as_json=as_json)


_BOUND_ANEW = (
    "bound anew; no write leaves until everything has been looked up, see `pillarbox status`. "
    "Restart every relay, worker and poller"
)


def _rebind(
    wiring: Wiring, one: Destination, wanted: Binding, expected: int, *, reason: str
) -> None:
    now = wiring.clock.now()
    with wiring.database.transaction() as connection:
        stands = bindings.hold_still(connection, one.name)
        was = bindings.bound(connection, one.name)
        assert stands is not None
        assert was is not None
        _as_expected(unknown_records.count(connection, one.name), expected, "records are there")
        bindings.rebind(
            connection,
            wanted,
            now=now,
            live=wiring.is_here(one),
            last_record=unknown_records.last_id(connection, one.name),
        )
        forgotten = forget(
            connection,
            one.name,
            contract_named(wanted.contract).sources(now),
            page_size=wiring.settings.full_sync_page_size,
            now=now,
        )
        write_down(
            connection,
            actor=actor(),
            action="destination_rebound",
            subject=one.name,
            now=now,
            reason=reason,
            before={**asdict(was), "live": stands.live_since is not None},
            after={
                **asdict(wanted),
                "live": wiring.is_here(one),
                "records": expected,
                "forgotten": asdict(forgotten),
            },
        )


def _print_rebind(told: Mapping[str, Any], different: str | None) -> None:
    console = stdout()
    console.print(different or "nothing differs from what this database is bound to", markup=False)
    console.print(
        f"{several(told['records'], 'record is', 'records are')} looked up before anything is written, "
        f"{length(told['minutes'])} of quota or more"
    )
    if told["shadow"]:
        console.print(
            "It is in shadow afterwards: look at `pillarbox destination go-live --dry-run` then"
        )


# what both need


def _wired_to(name: str) -> tuple[Wiring, Destination]:
    found = settings()
    one = chosen(found, name)
    wiring = wired(found)
    if one.url is None:
        with wiring.database.reading() as connection:
            was = bindings.bound(connection, name)
        if was is not None and was.url == SANDBOX_BINDING:
            return Wiring.build(found, bound_url=SANDBOX_BINDING), one
    return wiring, one


def _bound(connection: Connection, name: str) -> tuple[Binding, Standing]:
    was, stands = bindings.bound(connection, name), bindings.standing(connection, name)
    if was is None or stands is None:
        raise Stop(
            f"{name} is not bound yet; start a relay and a worker, or run `pillarbox destination "
            "bind`, and see what it would send",
            NOTHING,
        )
    return was, stands


def _as_expected(number: int, expected: int, what: str) -> None:
    if number != expected:
        raise Stop(f"{number} {what}, not {expected}; nothing is changed, look again", ATTENTION)


def _tell(told: Mapping[str, Any], sentence: str, *, as_json: bool) -> None:
    if as_json:
        print_json(dict(told))
    else:
        stdout().print(sentence, markup=False)
