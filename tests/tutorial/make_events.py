"""Makes `docs/tutorial/events.jsonl`: a term in a training provider's office, as 1,000 lines.

One idea: each person has a story with a known end, and around it the noise of everyday work (forms
saved twice, bursts, mistakes undone, nightly exports), which must not change that end.

    python -m tests.tutorial.make_events > docs/tutorial/events.jsonl
"""

import json
import sys
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from random import Random
from typing import TypeAlias
from uuid import NAMESPACE_URL, uuid5

FILE = Path(__file__).parents[2] / "docs" / "tutorial" / "events.jsonl"

LINES = 1_000
SEED = 20261121

BEGIN = datetime(2026, 9, 1, 8, 0, tzinfo=UTC)
END = datetime(2026, 11, 20, 17, 30, tzinfo=UTC)

APP, OFFICE, FINANCE, EXPORT = "coaching-app", "office", "finance", "nightly-export"
"""The local systems: one that coaches use, the people's own register, the one that claims money,
and an old one that cannot say what changed and hands over everything each night."""

Fields: TypeAlias = dict[str, object]


def remote(kind: str, ref: str) -> str:
    """Give the id of a thing in the bundled world."""
    return str(uuid5(NAMESPACE_URL, f"sandbox:{kind}:{ref}"))


@dataclass(frozen=True, slots=True, kw_only=True)
class Person:
    """One enrolment: who, on which course, and what the world holds of it at the beginning."""

    id: str
    ref: str
    course: str = "ecf-induction"
    schedule: str = "ecf-standard-september"
    cohort: str = "2025"
    status: str = "active"


def _ect(
    number: int, ref: str, schedule: str = "standard-september", cohort: str = "2025"
) -> Person:
    return Person(id=f"E-{1000 + number}", ref=ref, schedule=f"ecf-{schedule}", cohort=cohort)


def _mentor(
    number: int, ref: str, schedule: str = "standard-september", cohort: str = "2025"
) -> Person:
    return Person(
        id=f"M-{2000 + number}",
        ref=ref,
        course="ecf-mentor",
        schedule=f"ecf-{schedule}",
        cohort=cohort,
    )


PEOPLE: Sequence[Person] = (
    _ect(1, "amara-okafor"),
    _ect(2, "callum-fraser"),
    Person(id="E-1003", ref="priya-nair", status="deferred"),
    _ect(4, "zofia-kowalska"),
    _ect(5, "tomos-evans", "reduced-september"),
    _ect(6, "mei-lin-cheung"),
    _ect(7, "isla-mackenzie"),
    _ect(8, "nadia-rahman", cohort="2024"),
    _ect(9, "peter-hargreaves", "extended-september", "2024"),
    _ect(10, "yusuf-ahmed"),
    _ect(11, "grace-mensah"),
    Person(id="E-1012", ref="liam-oconnor", status="withdrawn"),
    _ect(13, "harpreet-sandhu"),
    _ect(14, "ffion-price", "standard-january"),
    _ect(15, "ines-carvalho"),
    _ect(16, "chinwe-eze", cohort="2024"),
    _ect(17, "tariq-hussain", cohort="2024"),
    _ect(18, "eleri-vaughan", cohort="2024"),
    _ect(19, "daniel-adeyemi"),
    _ect(20, "sana-malik", "extended-september"),
    _ect(21, "rhys-morgan", "standard-january"),
    _ect(22, "oluwaseun-balogun"),
    _ect(23, "hannah-whitfield"),
    _ect(24, "kwame-boateng"),
    _ect(25, "aoife-brennan"),
    _ect(26, "joshua-levy"),
    _mentor(1, "gareth-lloyd"),
    _mentor(2, "leila-hosseini"),
    _mentor(3, "abdul-karim-siddiqui"),
    _mentor(4, "helen-tran", cohort="2024"),
    _mentor(5, "nkechi-umeh"),
    _mentor(6, "david-rosen", "replacement-september"),
)
BY_REF = {person.ref: person for person in PEOPLE}

MERGED_ID = "7d0f6a52-3c1e-4f0b-9a57-5b1c2e8d4a10"
"""Eleri Vaughan's id before two entries of her were merged there: it is not found any more."""

LOUD = ("amara-okafor", "yusuf-ahmed", "ines-carvalho", "hannah-whitfield", "kwame-boateng")
"""People whose coaches save forms all the time."""

EXPORTED = ("ffion-price", "grace-mensah", "kwame-boateng", "ines-carvalho", "harpreet-sandhu",
            "hannah-whitfield", "tariq-hussain", "peter-hargreaves", "gareth-lloyd",
            "leila-hosseini", "helen-tran", "zofia-kowalska")  # fmt: skip
"""People whom the nightly export covers. Nothing of theirs changes there but what is said below."""

NIGHTS = 19


# what a line is


def _event(name: str, source_id: str, source: str, **fields: object) -> Fields:
    return {"event": name, "source_id": source_id, "source": source, **fields}


def _link(person: Person, participant_id: str | None = None) -> Fields:
    return _event(
        "participant_linked",
        person.id,
        OFFICE,
        participant_id=participant_id or remote("participants", person.ref),
        course_identifier=person.course,
    )


def _defer(person: Person, reason: str) -> Fields:
    return _event("participant_deferred", person.id, APP, reason=reason)


def _resume(person: Person) -> Fields:
    return _event("participant_resumed", person.id, APP)


def _withdraw(person: Person, reason: str) -> Fields:
    return _event("participant_withdrawn", person.id, APP, reason=reason)


def _schedule(person: Person, schedule: str) -> Fields:
    return _event(
        "schedule_changed",
        person.id,
        APP,
        schedule_identifier=schedule,
        cohort=person.cohort,
    )


def _mentor_changed(person: Person, mentor: str) -> Fields:
    return _event("mentor_changed", person.id, OFFICE, mentor_id=remote("participants", mentor))


def _declare(person: Person, kind: str, date: str, evidence: str | None) -> Fields:
    fields: Fields = {"declaration_type": kind, "declaration_date": date}
    if evidence is not None:
        fields["evidence_held"] = evidence
    return _event("declaration_made", person.id, FINANCE, **fields)


def _void(person: Person, kind: str) -> Fields:
    return _event("declaration_voided", person.id, FINANCE, declaration_type=kind)


def _snapshot(person: Person) -> Fields:
    state = {
        "training_status": person.status,
        "schedule_identifier": person.schedule,
        "cohort": person.cohort,
    }
    return _event("record_snapshot", person.id, EXPORT, kind="enrolment", state=state)


# the stories: what becomes of each is told in the tutorial

ATTENDED = "training-event-attended"
ENGAGED = "75-percent-engagement-met"
_ = BY_REF


STORIES: Sequence[Sequence[Fields]] = (
    # A schedule change, then a deferral on the same day: the second is for tomorrow.
    (_schedule(_["amara-okafor"], "ecf-extended-september"), _defer(_["amara-okafor"], "parental-leave")),
    # Leaves the profession; the claim was made before.
    (
        _declare(_["callum-fraser"], "retained-1", "2026-01-21T09:00:00Z", ATTENDED),
        _withdraw(_["callum-fraser"], "left-teaching-profession"),
    ),
    # On leave since January: comes back, and on a reduced schedule. Two calls, in that order.
    (_schedule(_["priya-nair"], "ecf-reduced-september"), _resume(_["priya-nair"])),
    # Claimed long ago by somebody's hand in the API's own pages: already there, as it turns out.
    (_declare(_["zofia-kowalska"], "started", "2025-09-29T09:00:00Z", ATTENDED),),
    (_defer(_["tomos-evans"], "long-term-sickness"),),
    # Trained by another provider now, who has claimed this already.
    (_declare(_["mei-lin-cheung"], "retained-1", "2026-01-28T09:00:00Z", ATTENDED),),
    # Never was ours: the API does not show her to us.
    (_defer(_["isla-mackenzie"], "other"),),
    # A claim that stands there is taken back, and one that is not there: the second costs a look.
    (_void(_["nadia-rahman"], "retained-3"), _void(_["nadia-rahman"], "retained-2")),
    (_declare(_["peter-hargreaves"], "retained-1", "2025-02-12T09:00:00Z", ATTENDED),),
    # A claim was dated wrongly: void it, and claim anew. The second waits for the first.
    (
        _void(_["yusuf-ahmed"], "retained-1"),
        _declare(_["yusuf-ahmed"], "retained-1", "2026-01-27T09:00:00Z", ATTENDED),
    ),
    # Voided last year there, and claimed again now.
    (
        _declare(_["grace-mensah"], "started", "2025-10-02T09:00:00Z", ATTENDED),
        _declare(_["grace-mensah"], "retained-1", "2026-01-22T09:00:00Z", ATTENDED),
    ),
    # Withdrawn: a schedule can be changed only after a resumption, which nobody has asked for.
    (_schedule(_["liam-oconnor"], "ecf-extended-september"),),
    # A date before the milestone.
    (_declare(_["harpreet-sandhu"], "started", "2025-05-20T09:00:00Z", ATTENDED),),
    (
        _declare(_["ffion-price"], "started", "2026-01-19T09:00:00Z", ATTENDED),
        _declare(_["ffion-price"], "retained-1", "2026-04-20T09:00:00Z", "materials-engaged-with-offline"),
        _declare(_["ffion-price"], "retained-2", "2026-07-06T09:00:00Z", ENGAGED),
    ),
    (_schedule(_["ines-carvalho"], "ecf-reduced-september"),
     _declare(_["ines-carvalho"], "started", "2025-11-10T09:00:00Z", "other")),
    # Has passed induction: too late for another schedule.
    (_schedule(_["chinwe-eze"], "ecf-extended-september"),),
    # The first claim was clawed back; it is made again.
    (_declare(_["tariq-hussain"], "started", "2024-10-03T09:00:00Z", None),),
    # Linked by an id that is gone.
    (_withdraw(_["eleri-vaughan"], "moved-school"),),
    # Another date than the one that stands there: void first, nothing is voided unasked.
    (_declare(_["daniel-adeyemi"], "started", "2025-09-30T09:00:00Z", ATTENDED),),
    # A deferral there, then the end: both are told, in order.
    (_defer(_["sana-malik"], "career-break"), _withdraw(_["sana-malik"], "moved-school")),
    # No evidence, which this cohort must have: stopped here, before any call.
    (_declare(_["rhys-morgan"], "started", "2026-03-02T09:00:00Z", None),),
    # Left in March: the API does not move somebody who is gone.
    (_schedule(_["oluwaseun-balogun"], "ecf-standard-january"),),
    # Evidence that does not go with this type.
    (
        _declare(_["hannah-whitfield"], "started", "2025-10-01T09:00:00Z", ATTENDED),
        _declare(_["hannah-whitfield"], "retained-2", "2026-05-06T09:00:00Z", ATTENDED),
    ),
    # Claimed out of order: the later type has the earlier date.
    (
        _declare(_["kwame-boateng"], "started", "2026-01-20T09:00:00Z", ATTENDED),
        _declare(_["kwame-boateng"], "retained-1", "2025-12-01T09:00:00Z", ATTENDED),
    ),
    (_withdraw(_["aoife-brennan"], "switched-to-school-led"),),
    # Comes back to a school that does not have him any more.
    (_defer(_["joshua-levy"], "other"),),
    (_declare(_["gareth-lloyd"], "completed", "2026-06-30T09:00:00Z", ENGAGED),),
    # Mentors who began after June 2025 have no such claim.
    (_declare(_["leila-hosseini"], "retained-1", "2026-02-03T09:00:00Z", ATTENDED),),
    (_withdraw(_["abdul-karim-siddiqui"], "mentor-no-longer-being-mentor"),),
    (_declare(_["helen-tran"], "started", "2024-10-15T09:00:00Z", None),),
    # A reduced schedule is for early career teachers.
    (_schedule(_["nkechi-umeh"], "ecf-reduced-september"),),
    # Replaced somebody, and now mentors a new teacher from the start.
    (_schedule(_["david-rosen"], "ecf-standard-september"),),
    # The same person under two local ids.
    (
        _event("participant_linked", "E-1901", OFFICE,
               participant_id=remote("participants", "sana-malik"), course_identifier="ecf-induction"),
        _event("participant_resumed", "E-1901", APP),
    ),
    # Nobody has said who this is: it waits for its link.
    (
        _event("participant_deferred", "E-1902", APP, reason="bereavement"),
        _event("declaration_made", "E-1902", FINANCE, declaration_type="started",
               declaration_date="2026-09-28T09:00:00Z", evidence_held=ATTENDED),
    ),
    # Formed with the wrong partner, and corrected before it was sent: one call.
    (
        _event("partnership_formed", "P-3001", OFFICE, cohort="2025",
               school_id=remote("schools", "dunmere"),
               delivery_partner_id=remote("delivery_partners", "kestrel")),
        _event("partnership_changed", "P-3001", OFFICE,
               delivery_partner_id=remote("delivery_partners", "wharfside")),
    ),
    # A partner whom the DfE does not know as ours.
    (
        _event("partnership_formed", "P-3002", OFFICE, cohort="2026",
               school_id=remote("schools", "ashcombe"),
               delivery_partner_id=remote("delivery_partners", "larkfield")),
    ),
    # There already, with this partner: the school formed it with us in June.
    (
        _event("partnership_formed", "P-3003", OFFICE, cohort="2025",
               school_id=remote("schools", "brindle"),
               delivery_partner_id=remote("delivery_partners", "kestrel")),
    ),
)  # fmt: skip
del _


# the noise


def _saved_again(dice: Random) -> Iterator[Sequence[Fields]]:
    """Schedules: forms saved again as they were, and bursts that end where they began."""
    others = ("ecf-extended-september", "ecf-standard-january", "ecf-standard-september")
    while True:
        person = _somebody(dice)
        trail = [
            _schedule(person, dice.choice(others)) for _ in range(dice.choice((0, 0, 1, 2, 4)))
        ]
        yield (*trail, _schedule(person, person.schedule))


def _undone(dice: Random) -> Iterator[Sequence[Fields]]:
    """Moves on the status that are taken back."""
    reasons = ("parental-leave", "long-term-sickness", "bereavement", "other")
    while True:
        person = _somebody(dice)
        if person.status == "active":
            first = _defer(person, dice.choice(reasons))
            corrected = (_defer(person, dice.choice(reasons)),) if dice.random() < 0.3 else ()
            yield (first, *corrected, _resume(person))
        elif person.status == "deferred":
            yield (_resume(person), _defer(person, "parental-leave"))
        else:
            yield (_resume(person), _withdraw(person, "left-teaching-profession"))


def _mentors(dice: Random) -> Iterator[Sequence[Fields]]:
    """Mentors are assigned by schools; the office hears of it."""
    names = [person.ref for person in PEOPLE if person.course == "ecf-mentor"]
    while True:
        person = _somebody(dice)
        if person.course == "ecf-induction":
            yield (_mentor_changed(person, dice.choice(names)),)


def _links_again(dice: Random) -> Iterator[Sequence[Fields]]:
    """The register says again who is who."""
    while True:
        person = _somebody(dice)
        if person.ref != "eleri-vaughan":
            yield (_link(person),)


def _claims_taken_back(dice: Random) -> Iterator[Sequence[Fields]]:
    """Claims made by mistake and taken back before they were sent; some are made twice first."""
    types = ("retained-3", "retained-4", "completed")
    people = [person for person in PEOPLE if person.cohort == "2025" and person.id < "E-1900"]
    free = [(person, kind) for person in people for kind in types if person.course[4] == "i"]
    dice.shuffle(free)
    for person, kind in free:
        claim = _declare(person, kind, f"2026-{dice.randint(8, 10):02}-15T09:00:00Z", ENGAGED)
        yield (*([claim] * dice.choice((1, 1, 2))), _void(person, kind))


def _somebody(dice: Random) -> Person:
    return BY_REF[dice.choice(LOUD)] if dice.random() < 0.3 else dice.choice(PEOPLE)


def _said_twice(dice: Random) -> Sequence[Sequence[Fields]]:
    """Claims whose sender was not sure and said them again; the last one counts."""
    claims = [
        event
        for story in STORIES
        for event in story
        if event["event"] == "declaration_made" and len(story) == 1
    ]
    return [[claim] * dice.choice((1, 2, 3)) for claim in claims]


NOISE: Sequence[tuple[Callable[[Random], Iterator[Sequence[Fields]]], int]] = (
    (_saved_again, 200),
    (_undone, 190),
    (_mentors, 96),
    (_links_again, 22),
    (_claims_taken_back, 80),
)
"""Each sort, and how many lines it gives at least; undone moves fill up what is left."""


# faults

FAULTS: Sequence[tuple[int, str]] = (
    (87, '{"event":"participant_paused","source_id":"E-1005","source":"coaching-app","reason":"other"}'),
    (243, '{"event":"participant_deferred","source_id":"E-1014","source":"coaching-app"}'),
    (412, '{"event":"schedule_changed","source_id":"E-1023","source":"coaching-app",'
          '"schedule":"standard","schedule_identifier":"ecf-standard-september","cohort":"2025"}'),
    (588, '{"event":"participant_deferred","source_id":"E-1011","source":"coaching-app",'
          '"reason":"parental_leave"}'),
    (731, '{"event":"declaration_made","source_id":"E-1024","source":"finance",'
          '"declaration_type":"retained-3","declaration_date":"2026-09-14T09:00:00",'
          '"evidence_held":"training-event-attended"}'),
    (946, '{"event":"participant_resumed","source_id":"E-1017\\u0009","source":"coaching-app"}'),
)  # fmt: skip
"""Line number and text: unknown event, missing field, field too many, wrong choice, date without
a zone, control character."""


# the file


def lines() -> list[str]:
    """Give the file's lines."""
    dice = Random(SEED)
    good = _timed(_in_order(dice), dice)
    assert len(good) == LINES - len(FAULTS), len(good)
    written = [json.dumps(event, ensure_ascii=False, separators=(",", ":")) for event in good]
    for number, text in FAULTS:
        written.insert(number - 1, text)
    return written


def _in_order(dice: Random) -> list[Fields]:
    """Links first, the noise and the nights between, and each story's end after its noise."""
    first = [_link(p, MERGED_ID if p.ref == "eleri-vaughan" else None) for p in PEOPLE]
    twice = _said_twice(dice)
    ends = [list(story) for story in STORIES]
    nights = [[_snapshot(BY_REF[ref]) for ref in EXPORTED] for _ in range(NIGHTS)]
    room = LINES - len(FAULTS) - len(first) - _count(twice) - _count(ends) - _count(nights)
    middle = _noise(dice, room)
    dice.shuffle(middle)
    for place, night in enumerate(nights):
        middle.insert(place * len(middle) // NIGHTS + place, night)
    dice.shuffle(ends)
    return [*first, *_flat(middle), *_flat(twice), *_flat(ends)]


def _noise(dice: Random, room: int) -> list[Sequence[Fields]]:
    found: list[Sequence[Fields]] = []
    for sort, least in NOISE:
        found += _some(sort(dice), least)
    left = room - _count(found)
    assert left > 4, left
    undone = _undone(dice)
    while left > 3:
        one = next(undone)
        found.append(one)
        left -= len(one)
    found += [next(_mentors(dice)) for _ in range(left)]
    return found


def _some(source: Iterator[Sequence[Fields]], least: int) -> list[Sequence[Fields]]:
    found: list[Sequence[Fields]] = []
    for one in source:
        if _count(found) >= least:
            break
        found.append(one)
    return found


def _flat(groups: Sequence[Sequence[Fields]]) -> list[Fields]:
    return [event for group in groups for event in group]


def _count(groups: Sequence[Sequence[Fields]]) -> int:
    return sum(len(group) for group in groups)


def _timed(events: Sequence[Fields], dice: Random) -> list[Fields]:
    """Say when each happened; the register does not, and some entries are made a day late."""
    step = (END - BEGIN) / len(events)
    timed: list[Fields] = []
    for place, event in enumerate(events):
        moment = BEGIN + step * place
        if event["source"] == APP and event["event"] == "mentor_changed" and dice.random() < 0.1:
            moment -= timedelta(days=1)
        stamp = {"happened_at": moment.strftime("%Y-%m-%dT%H:%M:%SZ")}
        timed.append({**event, **({} if event["source"] == OFFICE else stamp)})
    return timed


def main() -> None:
    """Print the file."""
    sys.stdout.write("\n".join(lines()) + "\n")


if __name__ == "__main__":
    main()
