"""`pillarbox dead-letters`: what waits for a person, and what a person can do about it."""

from collections.abc import Callable, Mapping, Sequence
from typing import Annotated, Any, TypeVar

import typer
from sqlalchemy import Connection

from console import letters as reading
from console import stories, views
from console.chosen import chosen as chosen_of
from console.errors import NotFilled
from gateway.registry import contract_named
from outbox import correcting, dead_letters, discarding, letters
from outbox.dead_letters import Replay, in_words
from outbox.errors import DoesNotFit, NotAside, NotRestorable, Overtaken
from outbox.letters import Filter, Said
from outbox.replay import How
from outbox.saying import Person
from outbox.selection import LONGEST_ID
from pillarbox.commands import bulk
from pillarbox.commands.common import (
    ATTENTION,
    NOTHING,
    USAGE,
    AsJson,
    DryRun,
    Expect,
    Of,
    Stop,
    Yes,
    actor,
    changing,
    chosen,
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
from pillarbox.commands.records import show_told
from records import store
from records.signature import is_aside
from runtime.clock import clock_of
from runtime.settings import Settings
from schema.contract import Contract
from schema.events import InvalidEvent
from schema.record import Record
from schema.states import Reason

app = noun("What waits for a person, and what to do about it.", "pillarbox dead-letters groups")

WHICH = "The record's id, as `dead-letters list` shows it, or its key, such as enrolment:E-1042."
Id = Annotated[str, typer.Argument(help=WHICH, metavar="RECORD")]
Why = Annotated[str | None, typer.Option("--reason", help="Why, for the audit trail.")]
By = Annotated[
    str | None,
    typer.Option("--actor", "--as", help="Who says so; without it whoever is logged in."),
]
InGroup = Annotated[str | None, typer.Option("--group", help="Only of this group (its signature).")]
ForReason = Annotated[Reason | None, typer.Option("--reason", help="Only with this reason.")]
ForOperation = Annotated[
    str | None, typer.Option("--operation", help="Only of this operation, such as defer.")
]
ForKind = Annotated[str | None, typer.Option("--kind", help="Only this kind of record.")]
ForOwner = Annotated[str | None, typer.Option("--owner", help="Only whose owner this is.")]
ForRecord = Annotated[str | None, typer.Option("--record", help="Only of this key or local id.")]
ForPerson = Annotated[
    str | None, typer.Option("--person", help="Only of this remote id, TRN, name or e-mail.")
]
ForAge = Annotated[str | None, typer.Option("--age", help="Only what stands so long: 12h, 90m.")]
Done = TypeVar("Done")

NOBODY_WAITS = (
    "no record waits for a person; what the API refuses, or nobody can decide, would be here"
)


def add_to(root: typer.Typer) -> None:
    """Add the commands."""
    root.add_typer(app, name="dead-letters")


# looking


@app.command()
def groups(
    reason: ForReason = None,
    operation: ForOperation = None,
    kind: ForKind = None,
    owner: ForOwner = None,
    age: ForAge = None,
    destination: Of = "default",
    as_json: AsJson = False,
) -> None:
    """Group what waits for a person by what went wrong, the group that stands longest first.

    Exits 4 when none matches.

    Example: pillarbox dead-letters groups --operation defer
    """
    words = _words(reason=reason, operation=operation, kind=kind, owner=owner, age=age)
    with _Reading(destination) as desk:
        found = reading.groups(desk.connection, desk.chosen(words), desk.contract, desk.now)
    if not found:
        nothing(NOBODY_WAITS, as_json=as_json)
    if as_json:
        print_json(found)
        return
    print_list(
        ("group", "how many", "people", "oldest (London)", "owner", "what it says"),
        [
            (
                one["group"],
                one["count"],
                one["people"],
                views.london(one["first"]),
                one["owner"],
                one["message"],
            )
            for one in found
        ],
    )


@app.command("list")
def list_(
    group: InGroup = None,
    reason: ForReason = None,
    operation: ForOperation = None,
    kind: ForKind = None,
    owner: ForOwner = None,
    record: ForRecord = None,
    person: ForPerson = None,
    age: ForAge = None,
    destination: Of = "default",
    after: Annotated[int, typer.Option(help="Only what comes after this id.", min=0)] = 0,
    limit: Annotated[int, typer.Option(help="At most so many.", min=1, max=10_000)] = 100,
    as_json: AsJson = False,
) -> None:
    """List the records that wait for a person, the one that stands longest first.

    Dead, held, and doubts that nobody can look up. Exits 4 when none matches.

    Example: pillarbox dead-letters list --reason refused --age 24h
    """
    words = _words(
        group=group,
        reason=reason,
        operation=operation,
        kind=kind,
        owner=owner,
        record=record,
        person=person,
        age=age,
    )
    with _Reading(destination) as desk:
        place = letters.place_of(desk.connection, after) if after else None
        aside = letters.listed(desk.connection, desk.chosen(words), after=place, limit=limit)
        told = reading.listed(desk.connection, aside, desk.contracts, desk.now)
    if not aside:
        nothing(NOBODY_WAITS, as_json=as_json)
    if as_json:
        print_json(told)
        return
    print_list(
        ("id", "record", "since (London)", "owner", "why", "what it says"),
        [
            (
                one["id"],
                one["key"],
                views.london(one["since"]),
                one["owner"],
                one["reason"],
                _detail(one["problem"]),
            )
            for one in told
        ],
    )
    if len(aside) == limit:
        stdout().print(f"more: --after {aside[-1].id}")


def _detail(problem: Mapping[str, Any] | None) -> str:
    return "" if problem is None else str(problem["detail"])


@app.command()
def show(which: Id, as_json: AsJson = False) -> None:
    """Show one: what failed, both sides, every call, and what would come of each word about it.

    Exits 4 when there is no such record.

    Example: pillarbox dead-letters show enrolment:E-1042
    """
    with _Reading(None) as desk:
        one = _one(desk.connection, which)
        told = reading.show(desk.connection, one, desk.contracts, desk.now)
    if as_json:
        print_json(told)
        return
    show_told(one, told)
    for call in told["calls"][-1:]:
        stdout().print(f"  The last call: {call['line']}", markup=False)
        if call["answer"]:
            stdout().print(call["answer"], markup=False)
    if is_aside(one):
        print_table(("what a person can do", "what would come of it"), _ways(one, told))


def _ways(one: Record, told: Mapping[str, Any]) -> list[tuple[str, str]]:
    command = "dead-letters"
    ways = [
        (f"{command} replay {one.id}", told["replay"]),
        (f"{command} replay {one.id} --override --reason … --actor …", told["override"]),
    ]
    if told["unknown_there"]:
        ways.append(
            (f"{command} look {one.id}", "it is asked for there; what is then known decides")
        )
    for event in told["corrects"][:1]:
        names = " ".join(f"{field['name']}=…" for field in event["fields"] if field["value"])
        ways.append(
            (
                f"{command} correct {one.id} {names} --reason …",
                f"a new {event['event']} takes the place of entry {event['entry']}",
            )
        )
    if one.reason is Reason.CONFLICT:
        ways += [
            (f"{command} send-ours {one.id}", "ours is asked for over theirs"),
            (f"{command} accept-theirs {one.id}", "ours is taken back"),
        ]
    ways.append((f"{command} discard {one.id} --reason …", "it is taken back; can be restored"))
    return ways


# deeds


@app.command()
def replay(
    which: Annotated[str | None, typer.Argument(help=WHICH, metavar="RECORD")] = None,
    group: bulk.Group = None,
    only: bulk.Only = None,
    file: bulk.FromFile = None,
    override: Annotated[
        bool,
        typer.Option(
            "--override",
            help="Send it though it was refused, is in conflict, or is in doubt. Needs --reason and "
            "--actor.",
        ),
    ] = False,
    reason: Why = None,
    by: By = None,
    try_one: bulk.TryOne = False,
    now: bulk.Now = False,
    wait: bulk.Wait = False,
    destination: Of = "default",
    yes: Yes = False,
    expect: Expect = None,
    as_json: AsJson = False,
    dry_run: DryRun = False,
) -> None:
    """Bring a record up to date from what it wants, with fresh tries; or many at once.

    A request that was refused for its data is not sent again unless a named person overrides, with
    a reason. Exits 6 when it would only be set aside again. Many: pillarbox dead-letters replay
    --group defer-1a2b3c4d5e --dry-run, as `bulk replay` does it.

    Example: pillarbox dead-letters replay enrolment:E-1042 --dry-run
    """
    many = group or only or file
    if bool(many) == (which is not None):
        raise Stop("say which: one record by its id or key, or many by --group, --only or --file")
    if which is None:
        if override:
            raise Stop("--override is said of one record at a time")
        words = bulk.meant({"group": group, "reason": only}, file)
        bulk.begin(
            words, How(try_one=try_one, at_once=now), destination, reason or "", by,
            yes=yes, expect=expect, wait=wait, dry_run=dry_run, as_json=as_json,
        )  # fmt: skip
        return
    if override and not (reason and reason.strip() and by and by.strip()):
        raise Stop("--override needs --reason (why) and --actor (who says so), both not empty")
    way = dead_letters.override if override else dead_letters.replay
    done = _do(which, by, reason, dry_run, _by_words(way))
    _say(done.after, in_words(done.decision), as_json, dry_run, goes_on=done.goes_on)


@app.command()
def look(
    which: Id,
    reason: Why = None,
    by: By = None,
    as_json: AsJson = False,
    dry_run: DryRun = False,
) -> None:
    """Have a record looked up there now; nothing is sent for it before. The relay makes the call.

    Example: pillarbox dead-letters look 12
    """
    done = _do(which, by, reason, dry_run, _by_words(dead_letters.look))
    _say(done.after, in_words(done.decision), as_json, dry_run)


@app.command()
def correct(
    which: Id,
    changes: Annotated[
        list[str],
        typer.Argument(
            help="What is to be otherwise: field=value; field= takes one out.", metavar="CHANGE"
        ),
    ],
    entry: Annotated[
        int | None, typer.Option("--entry", help="Which open event; else the one at fault.")
    ] = None,
    reason: Why = None,
    by: By = None,
    as_json: AsJson = False,
    dry_run: DryRun = False,
) -> None:
    """Correct the event that a record is set aside for: checked, kept beside the old one, then sent.

    Example: pillarbox dead-letters correct 12 reason=career-break --reason "the school rang"
    """
    why = _needed(reason)
    wanted = _changes(changes)

    def deed(
        connection: Connection, record_id: int, contract: Contract, person: Person
    ) -> correcting.Corrected:
        return correcting.correct(
            connection, record_id, contract, wanted, person=person, entry_id=entry
        )

    done = _do(which, by, why, dry_run, deed)
    more: dict[str, Any] = {"entry": done.entry, "corrects": done.corrects.id, "diff": done.diff}
    if not as_json:
        rows = [(name, was, is_now) for name, (was, is_now) in done.diff.items()]
        print_table(("field", "was", "is"), rows)
    _say(done.after, in_words(done.decision), as_json, dry_run, **more)


@app.command("send-ours")
def send_ours(
    which: Id,
    reason: Why = None,
    by: By = None,
    as_json: AsJson = False,
    dry_run: DryRun = False,
) -> None:
    """Where both sides changed the same, ask for ours over theirs.

    Example: pillarbox dead-letters send-ours 12
    """

    def deed(
        connection: Connection, record_id: int, contract: Contract, person: Person
    ) -> correcting.SentOurs:
        return correcting.send_ours(connection, record_id, contract, person=person)

    done = _do(which, by, reason, dry_run, deed)
    _say(done.after, in_words(done.decision), as_json, dry_run, entries=list(done.entries))


@app.command("accept-theirs")
def accept_theirs(
    which: Id,
    reason: Why = None,
    by: By = None,
    as_json: AsJson = False,
    dry_run: DryRun = False,
) -> None:
    """Where both sides changed the same, leave theirs; `restore` asks for ours again.

    Example: pillarbox dead-letters accept-theirs 12
    """

    def deed(
        connection: Connection, record_id: int, contract: Contract, person: Person
    ) -> discarding.Discarded:
        return discarding.accept_theirs(connection, record_id, contract, person=person)

    done = _do(which, by, reason, dry_run, deed)
    _say(done.after, "theirs stands", as_json, dry_run, discarded=list(done.closed))


@app.command()
def discard(
    which: Id,
    reason: Why = None,
    by: By = None,
    as_json: AsJson = False,
    dry_run: DryRun = False,
) -> None:
    """Take back all that is asked for of a record; `restore` asks for it again.

    Example: pillarbox dead-letters discard 12 --reason "registered by mistake"
    """
    why = _needed(reason)

    def deed(
        connection: Connection, record_id: int, contract: Contract, person: Person
    ) -> discarding.Discarded:
        return discarding.discard(connection, record_id, contract, person=person)

    done = _do(which, by, why, dry_run, deed)
    _say(done.after, "taken back", as_json, dry_run, discarded=list(done.closed))


@app.command()
def restore(
    which: Id,
    reason: Why = None,
    by: By = None,
    as_json: AsJson = False,
    dry_run: DryRun = False,
) -> None:
    """Ask again for what was last discarded of a record, as long as nothing newer was asked for.

    Example: pillarbox dead-letters restore 12
    """

    def deed(
        connection: Connection, record_id: int, contract: Contract, person: Person
    ) -> discarding.Restored:
        return discarding.restore(connection, record_id, contract, person=person)

    done = _do(which, by, reason, dry_run, deed)
    _say(done.record, in_words(done.decision), as_json, dry_run, entries=list(done.entries))


Subject = Annotated[
    str,
    typer.Argument(help="A record's id or key, or a group's signature.", metavar="RECORD|GROUP"),
]


@app.command()
def note(
    subject: Subject,
    text: Annotated[
        str, typer.Argument(help="What was found out; empty takes the note away.", metavar="TEXT")
    ],
    by: By = None,
    destination: Of = "default",
    as_json: AsJson = False,
    dry_run: DryRun = False,
) -> None:
    """Note something of a letter or a group.

    Example: pillarbox dead-letters note 12 "rang the school, they call back"
    """
    _speak(subject, destination, by, {"note": text.strip() or None}, as_json, dry_run)


@app.command()
def assign(
    subject: Subject,
    owner: Annotated[
        str, typer.Argument(help="Whose it is from now on; empty: nobody's.", metavar="OWNER")
    ],
    by: By = None,
    destination: Of = "default",
    as_json: AsJson = False,
    dry_run: DryRun = False,
) -> None:
    """Say whose a letter or a group is. A letter's own owner stands before its group's.

    Example: pillarbox dead-letters assign defer-3f2a9c01d2 ines
    """
    _speak(subject, destination, by, {"owner": owner.strip() or None}, as_json, dry_run)


@app.command()
def discarded(
    destination: Of = "default",
    before: Annotated[int | None, typer.Option(help="Only with a smaller number.", min=1)] = None,
    limit: Annotated[int, typer.Option(help="At most so many.", min=1, max=10_000)] = 100,
    as_json: AsJson = False,
) -> None:
    """List what was discarded and can be restored, the latest first. Exits 4 when there is nothing.

    Example: pillarbox dead-letters discarded --limit 20
    """
    with _Reading(destination) as desk:
        found = discarding.listed(desk.connection, destination, before=before, limit=limit)
    told = [reading.dropped_json(one) for one in found]
    if not told:
        nothing(
            "nothing was discarded; what is taken back would be here, to be restored",
            as_json=as_json,
        )
    if as_json:
        print_json(told)
        return
    print_list(
        ("number", "record id", "when (London)", "who", "why", "what"),
        [
            (
                one["id"],
                one["record_id"],
                views.london(one["at"]),
                one["actor"],
                one["reason"],
                ", ".join(one["wishes"]),
            )
            for one in told
        ],
    )


class _Reading:
    """One reading of the desk: the open database, the contracts, and now."""

    def __init__(self, destination: str | None) -> None:
        configured = settings()
        self._destination = destination
        self.contracts = _contracts(configured)
        if destination is not None:
            self.contract = contract_named(chosen(configured, destination).contract)
        database = opened(configured)
        self.now = clock_of(database).now()
        self._reading = database.reading()

    def __enter__(self) -> "_Reading":
        self.connection = self._reading.__enter__()
        return self

    def __exit__(self, *error: Any) -> None:
        self._reading.__exit__(*error)

    def chosen(self, words: Mapping[str, str]) -> Filter:
        try:
            return chosen_of(
                self.connection,
                words,
                destination=self._destination or "default",
                contracts=self.contracts,
                now=self.now,
            )
        except NotFilled as error:
            raise Stop(str(error), USAGE) from None


def _words(**given: str | None) -> dict[str, str]:
    return {name: str(value) for name, value in given.items() if value is not None}


def _changes(given: list[str]) -> dict[str, Any]:
    found: dict[str, Any] = {}
    for one in given:
        name, equals, value = one.partition("=")
        if not equals or not name:
            raise Stop(f"{one!r} is no change; write field=value, such as reason=career-break")
        found[name] = value or None
    return found


def _needed(reason: str | None) -> str:
    if not (reason and reason.strip()):
        raise Stop("--reason is missing; say why in a few words, such as --reason 'wrong date'")
    return reason.strip()


def _by_words(
    way: Callable[..., Replay],
) -> Callable[[Connection, int, Contract, Person], Replay]:
    def deed(connection: Connection, record_id: int, contract: Contract, person: Person) -> Replay:
        told: dict[str, Any] = {
            "actor": person.actor,
            "reason": person.reason,
            "now": person.now,
        }
        return way(connection, record_id, contract, **told)

    return deed


def _do(
    which: str,
    by: str | None,
    reason: str | None,
    dry_run: bool,
    deed: Callable[[Connection, int, Contract, Person], Done],
) -> Done:
    """Do something about a record in one transaction, and undo it for a dry run."""
    configured = settings()
    database = opened(configured)
    with database.reading() as connection:
        one = _one(connection, which)
    contract = _contracts(configured)[one.destination]
    person = Person(actor=by or actor(), reason=reason or "", now=clock_of(database).now())
    try:
        with changing(database, dry_run=dry_run) as connection:
            done = deed(connection, one.id, contract, person)
    except (NotAside, NotRestorable) as error:
        raise Stop(str(error), NOTHING) from None
    except Overtaken as error:
        raise Stop(str(error), ATTENTION) from None
    except DoesNotFit as error:
        raise Stop(f"that does not help here: {error}") from None
    except InvalidEvent as error:
        raise Stop(str(error)) from None
    return done


def _say(
    after: Record,
    words: str,
    as_json: bool,
    dry_run: bool,
    *,
    goes_on: bool | None = None,
    **more: Any,
) -> None:
    goes_on = not is_aside(after) if goes_on is None else goes_on
    told = {"id": after.id, "key": str(after.key), "goes_on": goes_on, "comes_next": words, **more}
    say_done(f"{after.key}: {words}", told, as_json=as_json, dry_run=dry_run)
    if not goes_on:
        raise typer.Exit(ATTENTION)


def _speak(
    subject: str,
    destination: str,
    by: str | None,
    change: Mapping[str, str | None],
    as_json: bool,
    dry_run: bool,
) -> None:
    """Write down what is said of a letter or of a group."""
    configured = settings()
    database = opened(configured)
    told: dict[str, Any] = {"actor": by or actor(), "now": clock_of(database).now()}
    with changing(database, dry_run=dry_run) as connection:
        if subject.isdecimal() or ":" in subject:
            one = _one(connection, subject)
            before = letters.said_of_letters(connection, [one.id]).get(one.id, Said())
            letters.say_of_letter(connection, one, _with(before, change), **told)
        else:
            before = letters.said_of_groups(connection, destination, [subject]).get(subject, Said())
            letters.say_of_group(connection, destination, subject, _with(before, change), **told)
    [(name, value)] = change.items()
    words = f"{subject}: {name} {value or 'taken away'}"
    say_done(words, {"subject": subject, **change}, as_json=as_json, dry_run=dry_run)


def _with(before: Said, change: Mapping[str, str | None]) -> Said:
    return Said(owner=change.get("owner", before.owner), note=change.get("note", before.note))


def _one(connection: Connection, which: str) -> Record:
    """Find the one record that is meant: by its id here, or as `records show` finds it."""
    found = _found(connection, which)
    if len(found) == 1:
        return found[0]
    if not found:
        raise Stop(
            f"there is no record {which!r}; give its id, or its key such as enrolment:E-1042; see "
            "`pillarbox dead-letters list`",
            NOTHING,
        )
    several = ", ".join(f"{one.key} ({one.id})" for one in found)
    raise Stop(f"{which} is {len(found)} records; say which by its id: {several}")


def _found(connection: Connection, which: str) -> Sequence[Record]:
    # An id of ours begins with no nought: 007 is somebody's own number, and must not mean our seventh.
    is_id = which.isascii() and which.isdecimal() and not which.startswith("0")
    if not is_id or len(which) > LONGEST_ID:
        return stories.named(connection, which)
    one = store.by_id(connection, int(which))
    return [] if one is None else [one]


def _contracts(configured: Settings) -> dict[str, Contract]:
    return {one.name: contract_named(one.contract) for one in configured.destinations}
