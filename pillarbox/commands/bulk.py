"""`pillarbox bulk`: many records at once, on one person's word."""

import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from datetime import datetime
from pathlib import Path
from typing import Annotated, Any, TypeVar

import typer
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, TextColumn
from rich.progress import Progress as Bar
from sqlalchemy import Connection

from console import bulks
from console.chosen import selected
from console.csv import written, written_rows
from console.errors import NotFilled
from console.views import london
from gateway.registry import contract_named
from outbox import bulk, replay
from outbox.bulk import Bulk, Item, Progress
from outbox.errors import BulkUnderWay, CountMoved, NotThatBulk
from outbox.replay import How, Plan
from outbox.saying import Person
from outbox.selection import Selection
from pillarbox.commands.common import (
    ATTENTION,
    NOTHING,
    PARTLY,
    AsJson,
    DryRun,
    Expect,
    Of,
    Stop,
    Yes,
    actor,
    changing,
    chosen,
    confirmed,
    nothing,
    noun,
    opened,
    print_json,
    print_list,
    print_table,
    say_done,
    settings,
    stdout,
)
from runtime.clock import clock_of
from runtime.database import Database
from runtime.memory import collect_seldom
from runtime.settings import Destination, Settings
from schema.bulk import BulkState, Deed, ItemState, Result
from schema.hours import nightly
from schema.words import length, several

app = noun(
    "Many records at once: replayed or discarded on one person's word.",
    "pillarbox bulk replay --group defer-1a2b3c4d5e --dry-run",
)

LOOK_EVERY_S = 1.0
"""How often a command that waits looks how far a bulk is."""

SAY_EVERY_S = 10.0
"""How often it says so where there is no terminal to draw a bar on."""

PAGE = 1_000
"""Records of a report read at a time."""

Group = Annotated[
    str | None, typer.Option("--group", help="Only this group, by its signature on the desk.")
]
Only = Annotated[str | None, typer.Option("--only", help="Only those set aside with this reason.")]
Operation = Annotated[str | None, typer.Option(help="Only those of this operation.")]
Kind = Annotated[str | None, typer.Option(help="Only records of this kind.")]
Owner = Annotated[str | None, typer.Option(help="Only those that are this person's.")]
OfRecord = Annotated[
    str | None, typer.Option("--record", help="Only this record, by its key or its local id.")
]
OfPerson = Annotated[
    str | None, typer.Option("--person", help="Only of this person: id, TRN, name or e-mail.")
]
Age = Annotated[
    str | None, typer.Option("--age", help="Only what has stood at least so long, such as 7d.")
]
FromFile = Annotated[
    Path | None,
    typer.Option("--file", help="Only these, an id a line; `-` is standard input."),
]
All = Annotated[bool, typer.Option("--all", help="Everything that waits for a person.")]
Why = Annotated[str, typer.Option("--reason", help="Why, for the audit trail.")]
By = Annotated[
    str | None, typer.Option("--actor", help="Who says so; without it whoever is logged in.")
]
TryOne = Annotated[
    bool, typer.Option("--try-one", help="Let one go first; `bulk go` lets the others follow.")
]
Now = Annotated[
    bool, typer.Option("--now", help="At once, however many; needs --reason. Else off-peak.")
]
Wait = Annotated[
    bool, typer.Option("--wait", help="Stay until it is over, and show how far it is.")
]
Id = Annotated[int, typer.Argument(help="The bulk's number.", metavar="NUMBER")]


def add_to(root: typer.Typer) -> None:
    """Add the commands."""
    root.add_typer(app, name="bulk")


# begin


@app.command("replay")
def replay_(
    group: Group = None,
    only: Only = None,
    operation: Operation = None,
    kind: Kind = None,
    owner: Owner = None,
    record: OfRecord = None,
    person: OfPerson = None,
    age: Age = None,
    file: FromFile = None,
    everything: All = False,
    reason: Why = "",
    by: By = None,
    try_one: TryOne = False,
    now: Now = False,
    wait: Wait = False,
    destination: Of = "default",
    yes: Yes = False,
    expect: Expect = None,
    dry_run: DryRun = False,
    as_json: AsJson = False,
) -> None:
    """Bring many records up to date that wait for a person. Says first what would become of each.

    More than 50 go in the off-peak hours, in the lane that leaves today's changes first, unless
    --now. Exits 4 when none is meant, 6 when they are not as many as confirmed, or another bulk is
    under way; with --wait 5 when not all were accepted.

    Example: pillarbox bulk replay --group defer-1a2b3c4d5e --dry-run
    """
    words = {
        "group": group,
        "reason": only,
        "operation": operation,
        "kind": kind,
        "owner": owner,
        "record": record,
        "person": person,
        "age": age,
    }
    how = How(deed=Deed.REPLAY, try_one=try_one, at_once=now)
    which = meant(words, file, everything=everything)
    begin(
        which, how, destination, reason, by,
        yes=yes, expect=expect, wait=wait, dry_run=dry_run, as_json=as_json,
    )  # fmt: skip


@app.command("discard")
def discard_(
    reason: Annotated[str, typer.Option("--reason", help="Why; everybody reads it later.")],
    group: Group = None,
    only: Only = None,
    operation: Operation = None,
    kind: Kind = None,
    owner: Owner = None,
    record: OfRecord = None,
    person: OfPerson = None,
    age: Age = None,
    file: FromFile = None,
    everything: All = False,
    by: By = None,
    try_one: TryOne = False,
    wait: Wait = False,
    destination: Of = "default",
    yes: Yes = False,
    expect: Expect = None,
    dry_run: DryRun = False,
    as_json: AsJson = False,
) -> None:
    """Take back what is asked for of many records. Each can be restored for itself.

    Exits as `bulk replay` does.

    Example: pillarbox bulk discard --only conflict --reason "theirs is right" --dry-run
    """
    words = {
        "group": group,
        "reason": only,
        "operation": operation,
        "kind": kind,
        "owner": owner,
        "record": record,
        "person": person,
        "age": age,
    }
    how = How(deed=Deed.DISCARD, try_one=try_one)
    which = meant(words, file, everything=everything)
    begin(
        which, how, destination, reason, by,
        yes=yes, expect=expect, wait=wait, dry_run=dry_run, as_json=as_json,
    )  # fmt: skip


def meant(
    words: Mapping[str, str | None], file: Path | None = None, *, everything: bool = False
) -> dict[str, str]:
    """Give the words by which records are chosen. None at all is no choice."""
    said = {name: text for name, text in words.items() if text}
    if not said and file is None and not everything:
        raise Stop("say which: --group, --only, --file or others; see --help; or --all")
    return said if file is None else {**said, "ids": _ids_in(file)}


def _ids_in(file: Path) -> str:
    try:
        text = sys.stdin.read() if str(file) == "-" else file.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise Stop(f"--file: {file} cannot be read ({type(error).__name__})") from None
    if not text.strip():
        raise Stop(f"--file: {file} holds no id", NOTHING)
    return text


def begin(
    words: Mapping[str, str],
    how: How,
    name: str,
    reason: str,
    by: str | None,
    *,
    yes: bool,
    expect: int | None,
    wait: bool,
    dry_run: bool,
    as_json: bool,
) -> None:
    """Plan, show, ask for the number, begin."""
    if how.at_once and not reason.strip():
        raise Stop("--now needs --reason: why it cannot wait for the off-peak hours")
    found = settings()
    one = chosen(found, name)
    database = opened(found)
    which = _selection(found, database, one, words)
    plan = _planned(found, database, one, which, how)
    told = bulks.plan_json(plan, one)
    if as_json and (dry_run or plan.number == 0):
        print_json({**told, "dry_run": dry_run})
    elif not as_json:
        _show_plan(plan, told)
    if plan.number == 0:
        raise Stop("nothing of that waits for a person", NOTHING)
    if dry_run and not as_json:
        stdout().print("dry run: nothing is changed")
    if dry_run:
        return
    number = confirmed(
        plan.number, yes=yes, expect=expect, asked=f"How many records to {plan.deed.value}"
    )
    person = Person(actor=by or actor(), reason=reason, now=clock_of(database).now())
    began = _done(
        database,
        lambda connection: bulk.start(connection, name, which, person, expect=number, how=how),
    )
    if not as_json:
        stdout().print(
            f"bulk {began.id} has begun; `pillarbox bulk show {began.id}` says how far it is"
        )
    _after(found, database, began, wait=wait, as_json=as_json)


def _selection(
    found: Settings, database: Database, one: Destination, words: Mapping[str, str]
) -> Selection:
    contracts = {each.name: contract_named(each.contract) for each in found.destinations}
    now = clock_of(database).now()
    try:
        with database.reading() as connection:
            return selected(connection, words, destination=one.name, contracts=contracts, now=now)
    except NotFilled as error:
        raise Stop(str(error)) from None


def _planned(
    found: Settings, database: Database, one: Destination, which: Selection, how: How
) -> Plan:
    collect_seldom()
    now = clock_of(database).now()
    with database.reading() as connection:
        return replay.planned(
            connection,
            one.name,
            which,
            contract_named(one.contract),
            offpeak=nightly(found.offpeak),
            now=now,
            how=how,
        )


def _show_plan(plan: Plan, told: dict[str, Any]) -> None:
    console = stdout()
    if plan.groups:
        print_table(
            ("what would become of it", "why", "records", "for example"),
            [
                (
                    bulks.FORESEEN[group.result],
                    group.why,
                    f"{group.number:,}",
                    "; ".join(f"{record.key}: {detail}" for record, detail in group.examples[:1]),
                )
                for group in plan.groups
            ],
        )
    for how, number in plan.untouched.items():
        console.print(
            f"unchanged: {several(number, 'entry is', 'entries are')} {how.replace('_', ' ')}, nothing to do",
            markup=False,
        )
    cost = "no calls"
    if plan.calls:
        cost = f"at most {several(plan.calls, 'call')}, {length(told['minutes'])} of the {plan.lane} lane"
    console.print(
        f"{several(plan.number, 'record')}, {cost}, from {london(plan.starts_at)}", markup=False
    )


# look


@app.command("list")
def list_(
    destination: Of = "default",
    before: Annotated[int | None, typer.Option(help="Only older ones.", min=1)] = None,
    limit: Annotated[int, typer.Option(help="At most so many.", min=1, max=1_000)] = 20,
    as_json: AsJson = False,
) -> None:
    """List bulks, the newest first. Exits 4 when there is none.

    Example: pillarbox bulk list
    """
    found = settings()
    database = opened(found)
    with database.reading() as connection:
        listed = bulk.listed(connection, destination, before=before, limit=limit)
        far = [bulk.progress(connection, one) for one in listed]
    if not listed:
        nothing(
            "no bulk was begun yet; `pillarbox bulk replay` begins one",
            as_json=as_json,
        )
    if as_json:
        print_json([_json(found, database, *pair) for pair in zip(listed, far, strict=True)])
        return
    print_list(
        ("bulk", "what", "records", "done", "by", "begun (London)", "where it stands"),
        [
            (
                one.id,
                one.deed,
                f"{one.total:,}",
                f"{bulks.share_done(progress)} %",
                one.actor,
                london(one.created_at),
                _stands(found, database, one),
            )
            for one, progress in zip(listed, far, strict=True)
        ],
    )
    if len(listed) == limit:
        stdout().print(f"more: --before {listed[-1].id}")


@app.command()
def show(bulk_id: Id, wait: Wait = False, as_json: AsJson = False) -> None:
    """Show how far a bulk is, and what became of its records. Exits 5 when not all were accepted.

    Example: pillarbox bulk show 12 --wait
    """
    found = settings()
    database = opened(found)
    _after(found, database, _one(database, bulk_id), wait=wait, as_json=as_json)


@app.command()
def report(
    bulk_id: Id,
    result: Annotated[
        Result | None, typer.Option(help="Only records of which this became.")
    ] = None,
    state: Annotated[ItemState | None, typer.Option(help="Only records in this state.")] = None,
    as_csv: Annotated[bool, typer.Option("--csv", help="Print a table for a spreadsheet.")] = False,
    as_json: AsJson = False,
) -> None:
    """Say of each record what became of it, and how it stands today. Exits 4 when none matches.

    Example: pillarbox bulk report 12 --result aside
    """
    database = opened(settings())
    one = _one(database, bulk_id)
    if as_csv:
        sys.stdout.write(written(bulks.CSV_HEAD, ()))
    told: list[Item] = []
    for page in _pages(database, one, result, () if state is None else (state,)):
        if as_csv:
            sys.stdout.write(written_rows(map(bulks.csv_row, page)))
        else:
            told.extend(page)
    if as_csv:
        return
    if not told:
        nothing("no record of this bulk matches", as_json=as_json)
    if as_json:
        print_json([bulks.item_json(item) for item in told])
        return
    print_list(
        ("id", "record", "what became of it", "what it says", "today"),
        [
            (
                item.record.id,
                item.record.key,
                bulks.item_words(item),
                item.detail,
                bulks.TODAY[item.record.state],
            )
            for item in told
        ],
    )


def _pages(
    database: Database, one: Bulk, result: Result | None, states: Sequence[ItemState]
) -> Iterator[Sequence[Item]]:
    after = 0
    while True:
        with database.reading() as connection:
            page = bulk.items(
                connection, one.id, result=result, states=states, after=after, limit=PAGE
            )
        if page:
            yield page
        if len(page) < PAGE:
            return
        after = page[-1].record.id


# say


@app.command()
def go(
    bulk_id: Id,
    now: Now = False,
    reason: Why = "",
    by: By = None,
    wait: Wait = False,
    dry_run: DryRun = False,
    as_json: AsJson = False,
) -> None:
    """Let the others follow the one that was tried; with --now also outside the off-peak hours.

    Example: pillarbox bulk go 12
    """
    if now and not reason.strip():
        raise Stop("--now needs --reason: why it cannot wait for the off-peak hours")
    _word(
        lambda connection, person: bulk.go(connection, bulk_id, person, at_once=now),
        reason, by, wait=wait, dry_run=dry_run, as_json=as_json,
    )  # fmt: skip


@app.command()
def cancel(
    bulk_id: Id,
    reason: Why = "",
    by: By = None,
    dry_run: DryRun = False,
    as_json: AsJson = False,
) -> None:
    """Put no more records on their way; what is on it goes on, the others stay as they are.

    Example: pillarbox bulk cancel 12 --reason "the wrong group"
    """
    _word(
        lambda connection, person: bulk.cancel(connection, bulk_id, person),
        reason, by, wait=False, dry_run=dry_run, as_json=as_json,
    )  # fmt: skip


@app.command()
def resume(
    bulk_id: Id,
    reason: Why = "",
    by: By = None,
    wait: Wait = False,
    dry_run: DryRun = False,
    as_json: AsJson = False,
) -> None:
    """Go on with what a cancelled bulk had left.

    Example: pillarbox bulk resume 12
    """
    _word(
        lambda connection, person: bulk.resume(connection, bulk_id, person),
        reason, by, wait=wait, dry_run=dry_run, as_json=as_json,
    )  # fmt: skip


def _word(
    deed: Callable[[Connection, Person], Bulk],
    reason: str,
    by: str | None,
    *,
    wait: bool,
    dry_run: bool,
    as_json: bool,
) -> None:
    found = settings()
    database = opened(found)
    person = Person(actor=by or actor(), reason=reason, now=clock_of(database).now())
    done = _done(database, lambda connection: deed(connection, person), dry_run=dry_run)
    if not dry_run:
        _after(found, database, done, wait=wait, as_json=as_json)
        return
    words = f"bulk {done.id} would be {bulks.STATES[done.state]}"
    say_done(words, {"id": done.id, "state": done.state}, as_json=as_json, dry_run=True)


Done = TypeVar("Done")


def _done(database: Database, deed: Callable[[Connection], Done], *, dry_run: bool = False) -> Done:
    try:
        with changing(database, dry_run=dry_run) as connection:
            return deed(connection)
    except (CountMoved, BulkUnderWay) as error:
        raise Stop(str(error), ATTENTION) from None
    except NotThatBulk as error:
        raise Stop(f"{error}; see `pillarbox bulk list`", NOTHING) from None


# what all of them need


def _one(database: Database, bulk_id: int) -> Bulk:
    with database.reading() as connection:
        one = bulk.get(connection, bulk_id)
    if one is None:
        raise Stop(f"there is no bulk {bulk_id}; see `pillarbox bulk list`", NOTHING)
    return one


def _after(found: Settings, database: Database, one: Bulk, *, wait: bool, as_json: bool) -> None:
    """Say where a bulk stands; with *wait* once it needs nobody to wait for any more."""
    now, far = _follow(database, one) if wait else _look(database, one.id)
    if as_json:
        print_json(_json(found, database, now, far))
    else:
        _print(found, database, now, far)
    if not now.active and far.results.keys() - {Result.SENT, Result.DISCARDED}:
        raise typer.Exit(PARTLY)


def _follow(database: Database, one: Bulk) -> tuple[Bulk, Progress]:
    """Show how far a bulk is until it is over, or a person's word is needed."""
    console = Console(stderr=True)
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn())
    said_at = float("-inf")
    with Bar(*columns, console=console, disable=not console.is_terminal) as bar:
        line = bar.add_task(f"bulk {one.id}", total=one.total)
        while True:
            now, far = _look(database, one.id)
            bar.update(line, completed=far.ended)
            if not now.active or now.state is BulkState.TRIED:
                return now, far
            if not console.is_terminal and time.monotonic() - said_at >= SAY_EVERY_S:
                said_at = time.monotonic()
                console.print(
                    f"bulk {one.id}: {far.ended:,} of {far.total:,}, {far.moving:,} on their way"
                )
            time.sleep(LOOK_EVERY_S)


def _look(database: Database, bulk_id: int) -> tuple[Bulk, Progress]:
    one = _one(database, bulk_id)
    with database.reading() as connection:
        return one, bulk.progress(connection, one)


def _print(found: Settings, database: Database, one: Bulk, far: Progress) -> None:
    console = stdout()
    why = f", because: {one.reason}" if one.reason else ""
    console.print(
        f"bulk {one.id}: {bulks.DEEDS[one.deed]} {several(one.total, 'record')}, said {one.actor}{why}",
        style="bold",
        markup=False,
    )
    console.print(f"chosen: {bulks.chosen_words(one.selection)}", markup=False)
    console.print(
        f"{_stands(found, database, one)}; {far.ended:,} of {far.total:,} over", markup=False
    )
    rows: list[tuple[str, str]] = [
        (bulks.CAME[result], f"{number:,}") for result, number in far.results.items()
    ]
    rows += [("on their way", f"{far.moving:,}")] if far.moving else []
    rows += [("left", f"{far.left + far.spared:,}")] if far.left + far.spared else []
    print_table(("what became of them", "records"), rows)


def _json(found: Settings, database: Database, one: Bulk, far: Progress) -> dict[str, Any]:
    return bulks.bulk_json(one, far, waits_until=_waits_until(found, database, one))


def _stands(found: Settings, database: Database, one: Bulk) -> str:
    return bulks.state_words(one, waits_until=_waits_until(found, database, one))


def _waits_until(found: Settings, database: Database, one: Bulk) -> datetime | None:
    return bulk.waits_until(one, nightly(found.offpeak), clock_of(database).now())
