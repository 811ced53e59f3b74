"""What a seed makes happen: the people, what local systems say of them, and which faults there are.

One idea: each history has a few kinds of fault only, and much of each, so that rare meetings of two
kinds become common over many histories.
"""

from collections.abc import Mapping, Sequence
from copy import deepcopy
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from enum import StrEnum
from random import Random

from runtime.points import Point
from schema.events import Event, decode

BEGINNING = datetime(2026, 2, 10, 9, 0, tzinfo=UTC)
"""When every history begins. London keeps UTC then."""

SCHEDULES = ("ecf-standard-september", "ecf-extended-september", "ecf-reduced-september")
PARTS = ("started", "retained-1")
CLAIMED = {
    "started": ("2025-10-01", "2025-10-08", "2025-10-15"),
    "retained-1": ("2025-12-01", "2025-12-08", "2025-12-15"),
}


class Fault(StrEnum):
    """Every kind of thing that may go wrong. Deaths at a named point come on top, one per point."""

    NOT_SENT = "not_sent"
    REQUEST_LOST = "request_lost"
    REPLY_LOST = "reply_lost"
    LANDS_LATE = "lands_late"
    FAILS_BEFORE = "fails_before"
    FAILS_AFTER = "fails_after"
    PROXY_GIVES_UP = "proxy_gives_up"
    GARBAGE = "garbage"
    CUT_SHORT = "cut_short"
    SLOW = "slow"
    KEY_REFUSED = "key_refused"
    FOREIGN_CALLS = "foreign_calls"
    THEY_CHANGE = "they_change"
    RING_LOST = "ring_lost"
    RING_DOUBLED = "ring_doubled"
    RING_LATE = "ring_late"
    RINGS_REFUSED = "rings_refused"
    REDIS_AWAY = "redis_away"
    REDIS_REPLY_LOST = "redis_reply_lost"
    REDIS_FLUSHED = "redis_flushed"
    REDIS_CLOCK_STEPS = "redis_clock_steps"
    DATABASE_CLOCK_STEPS = "database_clock_steps"
    TRANSACTION_FAILS = "transaction_fails"
    COMMIT_UNSURE = "commit_unsure"
    FROZEN = "frozen"
    DIES = "dies"
    KILLED = "killed"


class Fate(StrEnum):
    """How a local system's transaction ends."""

    COMMITS = "commits"
    COMMITS_LATE = "commits_late"
    ROLLS_BACK = "rolls_back"
    UNSURE = "unsure"
    """It commits, its system does not hear of it, and emits the same event again."""


@dataclass(frozen=True)
class Saying:
    """One event of a local system, and what it asks, for the judge."""

    at: float
    fate: Fate
    open_for: float
    event: Event
    person: str
    thing: str | None
    """What it is about: `status:<person>` and so on; None for a mere link."""
    value: str | None
    """What that is to be; None: the claim is not to stand."""
    order: float
    """Where it stands among what is said of this thing, whenever it arrives."""


@dataclass(frozen=True)
class Theirs:
    """Something the other side does by itself."""

    at: float
    person: str
    what: str


@dataclass(frozen=True)
class Spell:
    """Something that goes wrong at a time, for a time."""

    at: float
    fault: Fault
    lasts: float


@dataclass(frozen=True)
class Plan:
    """One history before it happens."""

    seed: int
    people: Mapping[str, str]
    """Local id to the person's."""
    sayings: tuple[Saying, ...]
    theirs: tuple[Theirs, ...]
    spells: tuple[Spell, ...]
    rates: Mapping[str, float]
    """How often a fault strikes where it can, by its name or `dies:<point>`."""
    freezes_at: Point | None
    """Where a process that freezes does so; None: anywhere."""
    budget: int
    calls: int
    window: timedelta
    fixed_windows: bool
    settle: timedelta
    relays: int
    workers: int
    quiet_from: float
    """From here on nothing goes wrong any more."""

    def has(self, name: str) -> bool:
        """Whether something belongs to this history: a fault, a fate, `theirs`, `tight` (a limit
        that is soon reached), or `freezes:<point>`."""
        if name.startswith("freezes:"):
            there = self.freezes_at in (None, name.removeprefix("freezes:"))
            return there and Fault.FROZEN in self.rates
        return (
            name in self.rates
            or any(spell.fault == name for spell in self.spells)
            or any(saying.fate == name for saying in self.sayings)
            or (name == "theirs" and bool(self.theirs))
            or (name == "tight" and self.calls <= 5)
        )


SPELLS = (
    Fault.KEY_REFUSED,
    Fault.FOREIGN_CALLS,
    Fault.REDIS_AWAY,
    Fault.REDIS_FLUSHED,
    Fault.REDIS_CLOCK_STEPS,
    Fault.DATABASE_CLOCK_STEPS,
    Fault.KILLED,
)
STRIKES = tuple(one for one in Fault if one not in (*SPELLS, Fault.DIES, Fault.THEY_CHANGE))
FREEZES = (
    Point.TAKE_COMMITTED,
    Point.SLOT_GIVEN,
    Point.MARK_COMMITTED,
    Point.ANSWERED,
    Point.ANSWERED,
    Point.ADMIT_COMMITTED,
)
GAPS = (0.3, 2.0, 2.0, 8.0, 40.0, 40.0, 170.0, 700.0, 50_000.0)
SHORT = (0.3, 0.3, 2.0, 2.0, 8.0)
"""The gaps of a busy history: more is asked for than the limit lets through for a while."""

TIGHT = ((3, 30), (5, 60), (4, 20))
LIMITS = ((1000, 300), (1000, 300), (40, 60), (12, 60), (5, 30))


def plan(seed: int) -> Plan:
    """Make a history of a seed."""
    dice = Random(seed)
    busy = dice.random() < 0.15
    number = dice.choice((3, 4, 5) if busy else (1, 1, 2, 3))
    people = {f"E-{n}": f"{n:08d}-1111-4111-8111-111111111111" for n in range(1, number + 1)}
    sayings = [
        saying
        for source, person in people.items()
        for saying in _said_of(source, person, dice, SHORT if busy else GAPS)
    ]
    sayings.sort(key=lambda one: one.at)
    last = max(one.at for one in sayings)
    calls, window = dice.choice(TIGHT if busy else LIMITS)
    theirs, they = (), dice.random() < 0.3
    if they:
        theirs = tuple(_theirs(list(people.values()), last, dice))
    return Plan(
        seed=seed,
        people=people,
        sayings=tuple(sayings),
        theirs=theirs,
        spells=tuple(_spells(last, dice)),
        rates=_rates(dice),
        freezes_at=dice.choice((None, *FREEZES)),
        budget=dice.choice((2, 5, 9)),
        calls=calls,
        window=timedelta(seconds=window),
        fixed_windows=dice.random() < 0.5,
        settle=timedelta(seconds=dice.choice((0, 3, 30))),
        relays=dice.choice((1, 1, 2)),
        workers=dice.choice((1, 2, 3)),
        quiet_from=last + 600,
    )


# What is said


class _Talk:
    """What local systems say of one person: calmly, only what the API allows at that moment."""

    def __init__(self, dice: Random, *, calm: bool) -> None:
        self._dice = dice
        self._calm = calm
        self._status = "active"
        self._schedule = SCHEDULES[0]
        self._live: dict[str, bool] = {}

    def next(self) -> tuple[dict[str, object], str, str | None]:
        """Give an event's fields, what it is about and what that is to be."""
        while True:
            deed = self._dice.choice(
                ("status", "status", "schedule", "schedule", "claim", "claim", "withdraw")
            )
            said = self._try(deed)
            if said is not None:
                return said

    def _try(self, deed: str) -> tuple[dict[str, object], str, str | None] | None:
        match deed:
            case "status":
                return self._move("active" if self._status != "active" else "deferred")
            case "withdraw" if self._dice.random() < 0.3 and self._status != "withdrawn":
                return self._move("withdrawn")
            case "schedule" if not self._calm or self._status == "active":
                return self._reschedule()
            case "claim" if not self._calm or self._status == "active":
                return self._claim()
            case _:
                return None

    def _move(self, to: str) -> tuple[dict[str, object], str, str | None]:
        if not self._calm:
            to = self._dice.choice((to, to, "deferred", "active"))
        self._status = to
        if to == "active":
            return {"event": "participant_resumed"}, "status", "active/None"
        name = {"deferred": "participant_deferred", "withdrawn": "participant_withdrawn"}[to]
        reason = "other" if to == "withdrawn" else self._dice.choice(("other", "bereavement"))
        return {"event": name, "reason": reason}, "status", f"{to}/{reason}"

    def _reschedule(self) -> tuple[dict[str, object], str, str | None]:
        others = [one for one in SCHEDULES if one != self._schedule or not self._calm]
        self._schedule = self._dice.choice(others)
        fields = {"schedule_identifier": self._schedule, "cohort": "2025"}
        return {"event": "schedule_changed", **fields}, "schedule", self._schedule

    def _claim(self) -> tuple[dict[str, object], str, str | None]:
        part = self._dice.choice((PARTS[0], *PARTS))
        takes_back = self._live.get(part, False) if self._calm else self._dice.random() < 0.4
        self._live[part] = not takes_back
        about = f"claim:{part}"
        if takes_back:
            return {"event": "declaration_voided", "declaration_type": part}, about, None
        day = f"{self._dice.choice(CLAIMED[part])}T09:00:00Z"
        fields = {"declaration_type": part, "declaration_date": day, "evidence_held": "other"}
        return {"event": "declaration_made", **fields}, about, f"{day}/other"


def _said_of(source: str, person: str, dice: Random, within: Sequence[float]) -> list[Saying]:
    talk = _Talk(dice, calm=dice.random() < 0.7)
    ordered = dice.choice(("", "", "", "version", "happened_at"))
    when = dice.uniform(0, 30)
    link = dice.choices(("first", "within", "late", "never"), (60, 20, 15, 5))[0]
    gaps = within[:-2] if dice.random() < 0.5 else within
    linked: dict[str, object] = {"participant_id": person, "course_identifier": "ecf-induction"}
    said: list[Saying] = []
    if link == "first":
        said.append(_link(source, person, when))
    for number in range(1, dice.randint(3, 7)):
        when += dice.choice(gaps) * dice.uniform(0.5, 1.5)
        fate, open_for = _fate(dice)
        # What is rolled back has not happened: the next thing is said as if it had never been.
        fields, thing, value = (deepcopy(talk) if fate is Fate.ROLLS_BACK else talk).next()
        if ordered == "version":
            fields |= {"source": "hr", "version": number}
        if ordered == "happened_at":
            fields["happened_at"] = BEGINNING + timedelta(seconds=number)
        if link == "within" and number == 1:
            fields |= linked
        about = thing.replace(":", f":{person}:") if ":" in thing else f"{thing}:{person}"
        if fate is Fate.UNSURE:
            fields["event_id"] = f"{source}/{number}"
        event = decode({**fields, "source_id": source})
        said.append(Saying(when, fate, open_for, event, person, about, value, number))
        when += open_for
    if link == "late":
        said.append(_link(source, person, when + dice.choice(gaps)))
    return _out_of_order(said, dice) if ordered else said


def _link(source: str, person: str, at: float) -> Saying:
    event = decode(
        {
            "event": "participant_linked",
            "source_id": source,
            "participant_id": person,
            "course_identifier": "ecf-induction",
        }
    )
    return Saying(at, Fate.COMMITS, 0.0, event, person, None, None, 0)


def _fate(dice: Random) -> tuple[Fate, float]:
    fate = dice.choices(tuple(Fate), (80, 8, 6, 6))[0]
    return fate, dice.choice((1.0, 8.0, 30.0)) if fate is Fate.COMMITS_LATE else 0.0


def _out_of_order(said: list[Saying], dice: Random) -> list[Saying]:
    """Let two neighbours about the same status or schedule arrive the wrong way round."""
    places = [
        place
        for place in range(len(said) - 1)
        if said[place].thing == said[place + 1].thing
        and str(said[place].thing).startswith(("status", "schedule"))
        and {said[place].fate, said[place + 1].fate} <= {Fate.COMMITS, Fate.UNSURE}
    ]
    if places:
        place = dice.choice(places)
        first, second = said[place], said[place + 1]
        said[place] = replace(second, at=first.at)
        said[place + 1] = replace(first, at=second.at)
    return said


# What goes wrong


def _theirs(people: list[str], last: float, dice: Random) -> list[Theirs]:
    what = ("schedule", "schedule", "withdraw", "resume", "claim", "void", "pay", "pay")
    return [
        Theirs(dice.uniform(5, last + 300), dice.choice(people), dice.choice(what))
        for _ in range(dice.randint(1, 3))
    ]


def _spells(last: float, dice: Random) -> list[Spell]:
    kinds = [one for one in SPELLS if dice.random() < 0.15]
    spells: list[Spell] = []
    for kind in kinds:
        begins = dice.uniform(2, min(last, 300) + 120)
        spells.append(Spell(begins, kind, dice.choice((3.0, 60.0, 300.0))))
    return spells


def _rates(dice: Random) -> dict[str, float]:
    rates = {one.value: dice.choice((0.1, 0.3, 0.6)) for one in STRIKES if dice.random() < 0.2}
    if dice.random() < 0.2:
        rates[Fault.FROZEN] = dice.choice((0.3, 0.9))
    for point in Point:
        if dice.random() < 0.12:
            rates[died_at(point)] = dice.choice((0.1, 0.5))
    return rates


def died_at(point: Point) -> str:
    """Name the death at a point."""
    return f"{Fault.DIES}:{point}"
