"""The drills that the guidance asks for before going live, on a sandbox inside this process.

One idea: each drill hides or breaks something, says what, and then looks whether it was recovered and by
what; it believes nothing but what the database and the sandbox say afterwards.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from threading import Event as Stop
from typing import Any, Final

from inbox import mirror
from inbox.poll import Ended, Reader
from inbox.window import Everything
from pillarbox import demo
from pillarbox.world import Control, World, wait_until
from producers import emit
from records import store
from schema.events import Event, MentorChanged, ParticipantLinked, ScheduleChanged
from schema.inbox import RunKind
from schema.keys import RecordKey
from schema.record import Record

PEOPLE = "participants"

CALLUM, ZOFIA = "callum-fraser", "zofia-kowalska"
"""Two people of the bundled world who are in training, each with a mentor of their own."""

MENTORS = {CALLUM: "leila-hosseini", ZOFIA: "margaret-doyle"}

STANDARD: Final = "ecf-standard-september"
EXTENDED: Final = "ecf-extended-september"

PATIENCE_S = 30.0
"""How long a drill waits for what it broke to come right."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Proof:
    """What was hidden or broken, what was to recover it, and whether it did."""

    broken: str
    recovered_by: str
    recovered: bool


Drill = Callable[["Ground"], Sequence[Proof]]


class Ground:
    """A world of its own in which a drill is held: everything was read once."""

    def __init__(self, world: World, ids: Mapping[str, str]) -> None:
        """*ids* gives the remote id of each name in the sandbox's world."""
        assert world.sandbox is not None
        self._world = world
        self._control = Control(world.sandbox)
        self._ids = ids
        self._reader: Reader = world.wiring.reader(world.settings.destinations[0], Stop())
        self._read(RunKind.FULL)

    # what happens there

    def happen(self, **event: Any) -> None:
        """Let a school or DfE do something."""
        self._control.post("/events", [event])

    def hide(self, name: str) -> None:
        """Leave somebody out of each list, as a page that shifted does."""
        rule = {"match": {"path_regex": r"/participants\?"}, "do": {"hide": [name]}}
        self._control.put("/faults", [rule])

    def show(self) -> None:
        """Hide nobody any more."""
        self._control.put("/faults", [])

    # what we do

    def poll(self) -> None:
        """Ask for what changed."""
        self._read(RunKind.POLL)

    def full_sync(self) -> None:
        """Read everything."""
        self._read(RunKind.FULL)

    def _read(self, kind: RunKind) -> None:
        start = Everything() if kind is RunKind.FULL else None
        ended = self._reader.read(PEOPLE, kind, start=start)
        if ended is not Ended.COMPLETE:
            raise RuntimeError(f"{PEOPLE} could not be read: {ended}")

    def say(self, *events: Event) -> bool:
        """Let our side say something, in one transaction; whether it all came to rest."""
        with self._world.wiring.database.transaction() as connection:
            emit(connection, list(events))
        return wait_until(self._is_still, timeout=PATIENCE_S)

    def _is_still(self) -> bool:
        wiring = self._world.wiring
        with wiring.database.reading() as connection:
            return demo.is_still(connection, "default", wiring.clock.now())

    # what is known

    def id_of(self, name: str) -> str:
        """Give somebody's remote id."""
        return self._ids[name]

    def writes(self) -> int:
        """Count the writes that arrived there."""
        requests = self._control.get("/requests?limit=10000")["requests"]
        return sum(one["method"] != "GET" for one in requests)

    def mirrored(self, name: str) -> Mapping[str, Any] | None:
        """Give what our mirror has of somebody; None when they are not there."""
        with self._world.wiring.database.reading() as connection:
            found = mirror.known(connection, "default", PEOPLE, [self.id_of(name)])
        one = found.get(self.id_of(name))
        return None if one is None or one.gone_since is not None else one.content

    def record(self, name: str) -> Record:
        """Read somebody's record."""
        with self._world.wiring.database.reading() as connection:
            found = store.by_key(connection, "default", RecordKey("enrolment", name))
        assert found is not None
        return found

    def link(self, *names: str) -> None:
        """Link records here to people there."""
        course = "ecf-induction"
        self.say(
            *(
                ParticipantLinked(
                    source_id=name, participant_id=self.id_of(name), course_identifier=course
                )
                for name in names
            )
        )


def missed_updates(ground: Ground) -> Sequence[Proof]:
    """Updates that a poll does not see: hidden from it, without a stamp, and gone."""
    ground.hide(CALLUM)
    ground.happen(event="participant_renamed", participant=CALLUM, full_name="Callum Reid")
    ground.poll()
    hidden = _shows(ground, CALLUM, "full_name", "Callum Fraser")
    ground.show()
    ground.poll()
    found = hidden and _shows(ground, CALLUM, "full_name", "Callum Reid")

    ground.happen(event="working_pattern_changed", participant=ZOFIA, working_pattern="part_time")
    before = ground.mirrored(ZOFIA)
    ground.poll()
    unseen = ground.mirrored(ZOFIA) == before
    ground.happen(event="participant_removed", participant="amara-okafor")
    ground.poll()
    there = ground.mirrored("amara-okafor") is not None
    ground.full_sync()
    silent = unseen and ground.mirrored(ZOFIA) != before
    gone = there and ground.mirrored("amara-okafor") is None
    return (
        Proof(
            broken="a new name was left out of the list that one poll read",
            recovered_by="the next poll, which asks from two windows before the last",
            recovered=found,
        ),
        Proof(
            broken="a working pattern changed without its stamp, so that no poll is told of it",
            recovered_by="the full sync, which compares content",
            recovered=silent,
        ),
        Proof(
            broken="a participant left, without a trace in any list",
            recovered_by="the full sync, after a look at the one it did not see",
            recovered=gone,
        ),
    )


def _shows(ground: Ground, name: str, field: str, value: str) -> bool:
    there = ground.mirrored(name)
    return there is not None and there.get(field) == value


def mentor_swaps(ground: Ground) -> Sequence[Proof]:
    """Two people swap mentors in one transaction, and two swap and swap back."""
    ground.link(CALLUM, ZOFIA)
    writes = ground.writes()
    one, other = ground.id_of(MENTORS[CALLUM]), ground.id_of(MENTORS[ZOFIA])
    swapped = [
        MentorChanged(source_id=CALLUM, mentor_id=other),
        MentorChanged(source_id=ZOFIA, mentor_id=one),
    ]
    ground.say(*swapped)
    expected = all(ground.record(name).expected for name in MENTORS)
    ground.happen(event="school_assigns_mentor", ect=CALLUM, mentor=MENTORS[ZOFIA])
    ground.happen(event="school_assigns_mentor", ect=ZOFIA, mentor=MENTORS[CALLUM])
    ground.poll()
    confirmed = expected and not any(ground.record(name).expected for name in MENTORS)
    ground.say(
        MentorChanged(source_id=CALLUM, mentor_id=one),
        MentorChanged(source_id=ZOFIA, mentor_id=other),
        *swapped,
    )
    ground.poll()
    back = not any(ground.record(name).expected for name in MENTORS)
    return (
        Proof(
            broken="two people swapped their mentors here, and the API hears it from the school only",
            recovered_by="the poll that shows both, which confirms what was expected",
            recovered=confirmed,
        ),
        Proof(
            broken="the two swapped once more and back again before anybody looked",
            recovered_by="the fold: nothing is expected, and nothing was ever sent",
            recovered=back and ground.writes() == writes,
        ),
    )


def schedule_changes(ground: Ground) -> Sequence[Proof]:
    """A schedule is changed, changed back before it was sent, and changed on the other side."""
    ground.link(CALLUM)
    writes = ground.writes()
    still = ground.say(_schedule(EXTENDED))
    sent = still and ground.writes() == writes + 1 and _schedule_of(ground) == EXTENDED
    ground.say(_schedule(STANDARD), _schedule(EXTENDED))
    undone = ground.writes() == writes + 1 and _schedule_of(ground) == EXTENDED
    ground.happen(event="schedule_corrected", participant=CALLUM, schedule=STANDARD)
    ground.poll()
    told = ground.writes() == writes + 1 and _schedule_of(ground) == STANDARD
    return (
        Proof(
            broken="a schedule was changed here",
            recovered_by="one call, and no more",
            recovered=sent,
        ),
        Proof(
            broken="it was changed and changed back before anything was sent",
            recovered_by="the fold: no call",
            recovered=undone,
        ),
        Proof(
            broken="DfE corrected the schedule there",
            recovered_by="the next poll; theirs is accepted and not fought",
            recovered=told,
        ),
    )


def _schedule(identifier: str) -> ScheduleChanged:
    told = {"source_id": CALLUM, "schedule_identifier": identifier, "cohort": "2025"}
    return ScheduleChanged.model_validate(told)


def _schedule_of(ground: Ground) -> object:
    return (ground.record(CALLUM).accepted or {}).get("schedule_identifier")


def change_detection(ground: Ground) -> Sequence[Proof]:
    """Everything is said again unchanged, then one thing changes."""
    ground.link(CALLUM, ZOFIA)
    ground.say(_schedule(STANDARD))
    writes = ground.writes()
    again = [_schedule(STANDARD) for _ in range(20)]
    ground.say(*again)
    unchanged = ground.writes() == writes
    ground.say(*again, _schedule(EXTENDED))
    changed = ground.writes() == writes + 1
    ground.happen(event="touched", refs=[CALLUM, ZOFIA])
    before = ground.mirrored(ZOFIA)
    ground.poll()
    touched = ground.mirrored(ZOFIA) == before and ground.writes() == writes + 1
    return (
        Proof(
            broken="the same schedule was said twenty times over",
            recovered_by="the comparison with what was accepted: no call",
            recovered=unchanged,
        ),
        Proof(
            broken="among twenty repeats one change was hidden",
            recovered_by="the same comparison: one call, for that change",
            recovered=changed,
        ),
        Proof(
            broken="stamps moved there, and nothing else",
            recovered_by="the comparison by content: no news, and no call",
            recovered=touched,
        ),
    )


DRILLS: Mapping[str, Drill] = {
    "missed-updates": missed_updates,
    "mentor-swaps": mentor_swaps,
    "schedule-changes": schedule_changes,
    "change-detection": change_detection,
}
