"""Says what went wrong in a history, from the outside alone.

One idea: it knows what local systems were told is committed, and what reached the server and the
network's own notes; of our tables it reads, at the end, only which records stand in front of a
person. What ought to have become of it all it works out by itself, on a second server on which
everything is said in order, a day apart, and nothing goes wrong.
"""

from bisect import bisect_right
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from datetime import timedelta
from enum import StrEnum

from schema.events import (
    DeclarationMade,
    DeclarationVoided,
    ParticipantDeferred,
    ParticipantResumed,
    ParticipantWithdrawn,
    ScheduleChanged,
)
from schema.plans import Request
from schema.record import Record
from schema.states import Reason, RecordState
from tests.simulation.network import Sent
from tests.simulation.plan import BEGINNING, Fault
from tests.simulation.server import Arrival, Change, Person, Refusal, Server
from tests.simulation.world import DEADLINE, Committed, Outside

FOLDED_BY = 90.0
LONGEST_FROZEN = 310.0
"""How long after its commit an event is folded at the latest, in seconds: so long, whatever fails,
and so much longer for each time that a process was frozen."""

IN_HAND = 45.0
"""How long after a key was refused what was in hand before may still be sent, in seconds."""

MOST_CREATES = 2
"""How often a create may be sent whose end is unclear, for each time it is asked for."""

ENDINGS = (Fault.KILLED, Fault.TRANSACTION_FAILS, Fault.COMMIT_UNSURE, Fault.FROZEN)
"""What may end a taking before its time, besides death at a point."""

NOT_FINAL = ("today", "same day", "already")
"""Words of refusals that do not mean "never": some mean tomorrow, some that it is so."""


class Wrong(StrEnum):
    """What must never be."""

    LOST = "lost"
    UNEXPECTED = "unexpected"
    DUPLICATED = "duplicated"
    STALE = "stale"
    OVER = "over the limit"


@dataclass(frozen=True)
class Found:
    """One thing that went wrong, in words."""

    wrong: Wrong
    what: str

    def __str__(self) -> str:
        return f"{self.wrong}: {self.what}"


@dataclass
class Verdict:
    """What the judge says of a history."""

    found: list[Found] = field(default_factory=list[Found])
    struck: bool = False
    """A fault struck."""
    in_step: bool = False
    """At the end nothing waited, and nothing stood in front of a person."""

    @property
    def recovered(self) -> bool:
        """Whether faults struck and left no trace."""
        return self.struck and self.in_step and not self.found


@dataclass(frozen=True)
class Wish:
    """One thing asked for, of one thing there."""

    value: str | None
    at: float
    order: tuple[float, int]


def judge(outside: Outside) -> Verdict:
    """Give the verdict on a history."""
    return Judge(outside).verdict()


class Judge:
    """Goes through one history."""

    def __init__(self, outside: Outside) -> None:
        self._outside = outside
        self._wishes = _wishes(outside.committed)
        self._sent = {one.call: one for one in outside.sent}
        self._contested = _contested(outside)
        self._touched = {
            change.thing.split(":")[1]
            for line in outside.server.log
            for change in line.changes
            if not change.ours
        }
        """The people about whom the other side, or a school, did something by itself."""
        self._folded_by = FOLDED_BY + LONGEST_FROZEN * outside.fired.get(Fault.FROZEN, 0)
        self._verdict = Verdict()

    def verdict(self) -> Verdict:
        """Look at everything."""
        self._only_what_was_asked()
        self._nothing_unclear_is_built_upon()
        self._no_create_twice()
        self._nothing_known_to_be_done_is_sent_again()
        self._no_window_over_the_limit()
        self._a_refused_key_is_left_alone()
        self._a_refused_request_is_not_repeated()
        self._at_the_end()
        for surprise in self._outside.surprises:
            self._say(Wrong.UNEXPECTED, surprise)
        faults = {str(one) for one in Fault}
        self._verdict.struck = any(
            number and name.split(":")[0] in faults for name, number in self._outside.fired.items()
        )
        self._verdict.in_step = all(one.state is RecordState.IN_STEP for one in self._outside.ends)
        return self._verdict

    def _say(self, wrong: Wrong, what: str) -> None:
        self._verdict.found.append(Found(wrong, what))

    # stale

    def _only_what_was_asked(self) -> None:
        """Each change of ours carries out a wish that was committed, and wishes are never undone
        by older ones; what the other side changed, and we have seen, stays."""
        reached: dict[str, int] = {}
        theirs: dict[str, tuple[Change, float]] = {}
        for line in self._outside.server.log:
            for change in line.changes:
                if not change.ours:
                    theirs[change.thing] = (change, line.at)
                    continue
                again = change.thing.startswith("claim") and change.thing in theirs
                wish = self._carried_out(change, self._sent[line.call], reached, again=again)
                self._not_long_overtaken(change, self._sent[line.call])
                if wish is not None and change.thing in theirs:
                    self._not_over_theirs(change, wish, self._sent[line.call], theirs)
                theirs.pop(change.thing, None)

    def _carried_out(
        self, change: Change, sent: Sent, reached: dict[str, int], *, again: bool
    ) -> Wish | None:
        """Find the wish behind a change, and go on from it. A claim that they voided before we
        heard that it was made (*again*) looks as if it had never been there."""
        wishes = self._wishes.get(change.thing, [])
        value = change.value
        last = reached.get(change.thing, -1)
        fits = [
            place for place, wish in enumerate(wishes) if wish.value == value and wish.at <= sent.at
        ]
        later = [place for place in fits if place > last]
        if later:
            reached[change.thing] = later[0]
            return wishes[later[0]]
        if not fits:
            self._say(Wrong.STALE, f"{change.thing} became {value}, which nobody had asked for")
        elif last in fits and again:
            return wishes[last]
        elif last in fits:
            self._say(Wrong.DUPLICATED, f"{change.thing} became {value} twice for one wish")
        else:
            self._say(Wrong.STALE, f"{change.thing} became {value} after something newer")
        return None

    def _not_long_overtaken(self, change: Change, sent: Sent) -> None:
        """What was overtaken before it was sent is not sent. Moves of a status and voids are acts,
        and each may be sent though the next one is known."""
        wishes = [one for one in self._wishes.get(change.thing, []) if one.at <= sent.at]
        asked = [one for one in wishes if one.value == change.value]
        if change.thing.startswith("status") or change.value is None or not asked:
            return
        for other in wishes:
            if other.order > asked[-1].order and other.at + self._folded_by < sent.at:
                what = (
                    f"{change.thing} became {change.value} long after {other.value} was asked for"
                )
                self._say(Wrong.STALE, what)
                return

    def _not_over_theirs(
        self, change: Change, wish: Wish, sent: Sent, theirs: dict[str, tuple[Change, float]]
    ) -> None:
        """An older wish does not overwrite what we have seen them change since."""
        their, at = theirs[change.thing]
        if change.thing.startswith("claim") or wish.at + self._folded_by > at:
            return
        known = any(one.settled and one.settled < wish.at for one in self._answers(sent.person))
        seen = any(at < one.at and one.settled < sent.at for one in self._answers(sent.person))
        if known and seen:
            what = (
                f"{change.thing} was {their.value} by their hand, seen, and became {change.value}"
            )
            self._say(Wrong.STALE, what)

    def _answers(self, person: str) -> Iterator["Settled"]:
        for one in self._outside.sent:
            about = one.request.path.startswith("/participants/")
            if one.person == person and about and one.heard == 200 and one.settled is not None:
                yield Settled(at=one.landed or one.at, settled=one.settled)

    # duplicated

    def _nothing_unclear_is_built_upon(self) -> None:
        """After a write whose end is unclear comes a look, once it can land no more; only then
        another write at the same person. And never two writes at one person at a time."""
        for person in set(self._outside.plan.people.values()):
            unclear: Sent | None = None
            for one in self._outside.sent:
                if one.person != person or not one.left:
                    continue
                if unclear is not None and one.writes:
                    self._not_at_once(unclear, one)
                    unclear = None
                if unclear is not None and _settles(one, unclear):
                    unclear = None
                if one.writes and not one.clear:
                    unclear = one

    def _not_at_once(self, unclear: Sent, one: Sent) -> None:
        first, second = _named(unclear.request), _named(one.request)
        self._say(Wrong.DUPLICATED, f"{first} was unclear, and {second} followed without a look")

    def _no_create_twice(self) -> None:
        made, voided = Counter[str](), Counter[str]()
        for line in self._outside.server.log:
            for change in line.changes:
                if change.thing.startswith("claim"):
                    made[change.thing] += change.ours and change.value is not None
                    voided[change.thing] += not change.ours and change.value is None
        for thing, number in made.items():
            rounds = _rounds(self._wishes.get(thing, [])) + voided[thing]
            if number > rounds:
                self._say(Wrong.DUPLICATED, f"{thing} was made {number} times, asked {rounds}")
        for body, number in self._unclear_creates().items():
            if number > MOST_CREATES * self._asked(body):
                self._say(Wrong.DUPLICATED, f"a create was sent {number} times, unclear each time")

    def _unclear_creates(self) -> dict[tuple[str, str], int]:
        unclear: dict[tuple[str, str], int] = {}
        for one in self._outside.sent:
            if one.request.method == "POST" and one.left and not one.clear:
                key = (one.person, one.request.fingerprint())
                unclear[key] = unclear.get(key, 0) + 1
        return unclear

    def _asked(self, key: tuple[str, str]) -> int:
        wishes = [
            wish
            for thing, wishes in self._wishes.items()
            if thing.startswith(f"claim:{key[0]}")
            for wish in wishes
        ]
        return max(1, sum(1 for wish in wishes if wish.value is not None))

    def _nothing_known_to_be_done_is_sent_again(self) -> None:
        """While what a call of ours brought about still stands, and we know it, it is not repeated."""
        stands: dict[tuple[str, str], Sent] = {}
        for line in self._outside.server.log:
            for change in line.changes:
                person = change.thing.split(":")[1]
                stands = {key: sent for key, sent in stands.items() if key[0] != person}
            if not line.call:
                continue
            sent = self._sent[line.call]
            key = (sent.person, sent.request.fingerprint())
            if line.changes and sent.clear:
                stands[key] = sent
            known = stands.get(key)
            if known is not None and known is not sent and (known.settled or sent.at) < sent.at:
                what = f"{_named(sent.request)} was sent again though known to be done"
                self._say(Wrong.DUPLICATED, what)

    # over the limit

    def _no_window_over_the_limit(self) -> None:
        window, most = self._outside.plan.window.total_seconds(), self._outside.plan.calls
        times = sorted(self._counted_at(line) for line in self._outside.server.log if line.call)
        for place, at in enumerate(times):
            number = place + 1 - bisect_right(times, at - window)
            if number > most:
                self._say(Wrong.OVER, f"{number} of {most} in the {window:.0f} s to {at:.1f}")
                return

    def _counted_at(self, line: Arrival) -> float:
        """When a call counts. The network may hold one back longer than its sender waits: then it
        counts when its sender gave up. That is a known limit; each such call is one too many."""
        sent = self._sent[line.call]
        gave_up = sent.at + DEADLINE.total_seconds() if sent.over is None else sent.over
        return min(line.at, max(gave_up, sent.at))

    # unexpected

    def _a_refused_key_is_left_alone(self) -> None:
        """Once a 401 is written down nobody calls, until a person opens the gate again."""
        slack = 3 + self._outside.fired.get(Fault.FROZEN, 0)
        refused = [one.settled for one in self._outside.sent if one.heard == 401 and one.settled]
        if not refused:
            return
        opened = min((at for at in self._outside.opened if at > refused[0]), default=float("inf"))
        late = [
            one for one in self._outside.sent if one.left and refused[0] + IN_HAND < one.at < opened
        ]
        if len(late) > slack:
            self._say(Wrong.UNEXPECTED, f"{len(late)} calls with a key known to be refused")

    def _a_refused_request_is_not_repeated(self) -> None:
        """What was refused is not sent again as it was, while nothing else was learnt meanwhile."""
        refusals = {line.call: line.refusal or "" for line in self._outside.server.log}
        refused: dict[tuple[str, str], Sent] = {}
        for one in self._outside.sent:
            key = (one.person, one.request.fingerprint())
            if one.left and key in refused:
                what = f"{_named(one.request)} was refused and sent again unchanged"
                self._say(Wrong.UNEXPECTED, what)
            if one.settled is not None and one.heard == 200:
                refused = {other: sent for other, sent in refused.items() if other[0] != one.person}
            final = not any(word in refusals.get(one.call, "") for word in NOT_FINAL)
            if one.clear and one.heard == 422 and final and not one.cut:
                refused[key] = one

    # the end

    def _at_the_end(self) -> None:
        for thing, wishes in self._wishes.items():
            records = [one for one in self._outside.ends if _is_about(one, thing, self._outside)]
            if not wishes:
                continue
            self._ends_well(thing, wishes, records)
        for one in self._outside.ends:
            if not _at_rest(one):
                state = f"{one.key} never comes to rest: {one.state}, {one.reason}"
                self._say(Wrong.LOST, state)

    def _ends_well(self, thing: str, wishes: Sequence[Wish], records: Sequence[Record]) -> None:
        aside = [one for one in records if _waits_for_somebody(one)]
        names = {str(one.key) for one in self._outside.ends if _waits_for_somebody(one)}
        # What waits for another record stands or falls with that one.
        before_a_person = [one for one in aside if one.waits_for not in names]
        expected = thing in self._contested or self._is_touched(thing)
        linked = self._is_linked(thing)
        if before_a_person and linked and not expected and not self._unlucky(before_a_person):
            one = before_a_person[0]
            self._say(Wrong.UNEXPECTED, f"{one.key} stands in front of a person: {one.reason}")
        if aside or (not linked and records):
            return
        there = _state_of(thing, self._outside.server)
        if not _same(thing, there, wishes[-1].value) and not self._is_touched(thing):
            self._say(Wrong.LOST, f"{thing} is {there}, and was to be {wishes[-1].value}")

    def _is_touched(self, thing: str) -> bool:
        return thing.split(":")[1] in self._touched

    def _is_linked(self, thing: str) -> bool:
        person = thing.split(":")[1]
        return any(
            getattr(one.saying.event, "participant_id", None) is not None
            for one in self._outside.committed
            if one.saying.person == person
        )

    def _unlucky(self, records: Sequence[Record]) -> bool:
        """Creates of which nobody heard, or deaths in a row: a person has to look."""
        tired = any(one.reason is Reason.EXHAUSTED for one in records)
        deaths = sum(
            number
            for name, number in self._outside.fired.items()
            if name.split(":")[0] in (Fault.DIES, *ENDINGS)
        )
        # Who died between its mark and the call may have sent it, for all that we can know.
        unclear = max(self._unclear_creates().values(), default=0)
        return tired and unclear + deaths >= MOST_CREATES


@dataclass(frozen=True)
class Settled:
    """An answer that our side took over: when it was true there, and when it was written down."""

    at: float
    settled: float


# Reading what was said


def _wishes(committed: Sequence[Committed]) -> dict[str, list[Wish]]:
    """Everything asked for, thing by thing, in the order in which it was meant."""
    found: dict[str, list[Wish]] = {}
    for one in committed:
        saying, event = one.saying, one.saying.event
        if saying.thing is None:
            continue
        ordered = event.version is not None or event.happened_at is not None
        order = (saying.order if ordered else 0.0, one.entry)
        found.setdefault(saying.thing, []).append(Wish(saying.value, one.at, order))
    for wishes in found.values():
        wishes.sort(key=lambda wish: wish.order)
    return found


def _rounds(wishes: Sequence[Wish]) -> int:
    """How often a claim may be made: once for each stretch between voids."""
    values = [wish.value for wish in wishes]
    return sum(
        1
        for place, value in enumerate(values)
        if value is not None and (place == 0 or values[place - 1] is None)
    )


def _contested(outside: Outside) -> set[str]:
    """The things about which the API itself says no, whatever goes well.

    Said in the order that is meant, and as it arrived, with what came too late left out: of three
    moves the one between may have been overtaken by the last.
    """
    meant = sorted(outside.committed, key=lambda one: (one.saying.order, one.entry))
    newest: dict[str | None, float] = {}
    arrived: list[Committed] = []
    for one in sorted(outside.committed, key=lambda one: one.entry):
        if one.saying.order >= newest.get(one.saying.thing, 0.0):
            newest[one.saying.thing] = one.saying.order
            arrived.append(one)
    found = {*_refused(meant, outside.pristine.copy()), *_refused(arrived, outside.pristine.copy())}
    wishes = _wishes(outside.committed)
    for person in outside.plan.people.values():
        both = {f"status:{person}", f"schedule:{person}"}
        if both & found or (both <= wishes.keys() and not _ends_active(wishes[f"status:{person}"])):
            found |= both
    return found


def _ends_active(moves: Sequence[Wish]) -> bool:
    """Whether a schedule can be changed in the end. Where not, the time in which it could have been
    may never have come: a pause and its end that were not sent yet cancel out."""
    return str(moves[-1].value).startswith("active")


def _refused(said: Sequence[Committed], ideal: Server) -> Iterator[str]:
    """Say it all, two days apart, and give what is refused. After a withdrawal it depends on the
    hour whether a claim is."""
    withdrawn: set[str] = set()
    for days, one in enumerate(said, start=1):
        thing, person = one.saying.thing, one.saying.person
        if thing is None:
            continue
        ideal.clock = lambda days=days: BEGINNING + timedelta(days=2 * days)
        if isinstance(one.saying.event, ParticipantWithdrawn):
            withdrawn.add(person)
        try:
            _carry_out(one, ideal)
        except Refusal:
            yield thing
    for one in said:
        if one.saying.person in withdrawn and (one.saying.thing or "").startswith("claim"):
            yield str(one.saying.thing)


def _carry_out(one: Committed, ideal: Server) -> None:
    """Do what an event asks on a server where nothing goes wrong; what is so already is well."""
    saying = one.saying
    person = ideal.people[saying.person]
    match saying.event:
        case ParticipantDeferred() | ParticipantResumed() | ParticipantWithdrawn() as event:
            if f"{person.status}/{person.reason}" == saying.value:
                return
            act = {"participant_deferred": "defer", "participant_resumed": "resume"}
            ideal.ask(person, act.get(event.event, "withdraw"), getattr(event, "reason", None))
        case ScheduleChanged():
            if person.schedule != saying.value:
                ideal.ask(person, "change-schedule", saying.value)
        case DeclarationMade() as event:
            _claim(ideal, person, event.declaration_type, saying.value or "")
        case DeclarationVoided() as event:
            live = ideal.live(person.id, event.declaration_type)
            if live is not None:
                ideal.set_claim(live, "voided", ours=True)
        case _:
            pass


def _claim(ideal: Server, person: Person, part: str, value: str) -> None:
    live = ideal.live(person.id, part)
    if live is None or f"{live.date}/{live.evidence}" != value:
        ideal.claim(person, part, *value.split("/"))


def _state_of(thing: str, server: Server) -> str | None:
    kind, person, *part = thing.split(":")
    there = server.people[person]
    if kind == "status":
        return f"{there.status}/{there.reason}"
    if kind == "schedule":
        return there.schedule
    live = server.live(person, part[0])
    return None if live is None else f"{live.date}/{live.evidence}"


def _same(thing: str, there: str | None, wanted: str | None) -> bool:
    """A status is compared without its reason: a reason belongs to its move, and no call amends it."""
    if thing.startswith("status") and there is not None and wanted is not None:
        return there.split("/")[0] == wanted.split("/")[0]
    return there == wanted


# Reading what was sent


def _settles(look: Sent, unclear: Sent) -> bool:
    """Whether a look could see what became of an unclear write, which had landed or never will."""
    if look.writes or look.heard != 200 or look.settled is None or look.landed is None:
        return False
    return unclear.landed is None or unclear.landed < look.landed


def _named(request: Request) -> str:
    return f"{request.method} {request.path}"


# Reading the ends


def _is_about(one: Record, thing: str, outside: Outside) -> bool:
    kind, person, *part = thing.split(":")
    if outside.plan.people[one.key.source_id] != person:
        return False
    if kind == "claim":
        return one.key.kind == "declaration" and one.key.part == part[0]
    return one.key.kind == "enrolment"


def _waits_for_somebody(one: Record) -> bool:
    """In front of a person, or waiting for what only a local system can say."""
    if one.state in (RecordState.HELD, RecordState.DEAD):
        return True
    if one.state is RecordState.WAITING:
        return one.reason is Reason.WAITING_FOR
    return one.state is RecordState.IN_DOUBT and one.due_at is None


def _at_rest(one: Record) -> bool:
    return one.state is RecordState.IN_STEP or _waits_for_somebody(one)
