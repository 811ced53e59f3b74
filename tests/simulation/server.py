"""The remote side: people in one role, their claims, a limiter, and a log of all that reached it.

One idea: written from the API's documents alone, and small: what it answers is what the API's rules
say, in the API's words. The log is the only thing the judge believes.
"""

import json
from collections import deque
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from datetime import UTC, date, datetime
from email.utils import format_datetime
from typing import Any
from zoneinfo import ZoneInfo

from schema.plans import Request

LONDON = ZoneInfo("Europe/London")
ECT = "ecf-induction"
OURS = "Us"
LIVE = ("submitted", "eligible", "payable", "paid")
PLACES = ("started", "retained-1", "completed")
NO_SUCH = ("Resource not found", "Nothing could be found for the provided details")
NOT_TODAY = (
    "You cannot defer or withdraw this participant today. You need to try again tomorrow as the "
    "training was recently changed for this participant."
)
NOT_SAME_DAY = (
    "You cannot resume a participant on the same day they were withdrawn or deferred. "
    "Resume them tomorrow or later."
)
LEFT = (
    "You cannot change this participant's schedule. This is because the participant has a 'left' "
    "participant_status, so they are not training with you currently."
)
TWICE = "A declaration has already been submitted that will be, or has been, paid for this event."


class Refusal(Exception):
    """The API says no: a status, and its complaint."""

    def __init__(self, status: int, title: str, detail: str) -> None:
        super().__init__(title, detail)
        self.status, self.title, self.detail = status, title, detail


@dataclass
class Person:
    """One person, trained with us in one role."""

    id: str
    status: str = "active"
    schedule: str = "ecf-standard-september"
    cohort: str = "2025"
    began: date = date(2025, 9, 1)
    ended: date | None = None
    reason: str | None = None
    changed_at: datetime | None = None


@dataclass
class Claim:
    """One declaration."""

    id: str
    person: str
    part: str
    date: str
    evidence: str
    state: str = "submitted"
    by: str = OURS


@dataclass(frozen=True)
class Change:
    """Something that became so there, and who made it so."""

    thing: str
    """`status:<person>`, `schedule:<person>` or `claim:<person>:<type>`."""
    value: str | None
    before: str | None
    ours: bool


@dataclass(frozen=True)
class Arrival:
    """One line of the server's log."""

    number: int
    at: float
    """True time, in seconds since the history began."""
    call: int
    """Which sending of ours brought it; 0 for what is not ours."""
    method: str
    path: str
    body: str
    status: int
    refusal: str | None = None
    changes: tuple[Change, ...] = ()


@dataclass(frozen=True)
class Told:
    """What goes back."""

    status: int
    body: bytes
    date: datetime
    content_type: str = "application/json; charset=utf-8"


@dataclass
class Limiter:
    """So many requests of a key in a window. Refused ones count too."""

    calls: int
    window: float
    fixed: bool
    """By windows of the clock, as the API does it; else in any window."""
    seen: deque[float] = field(default_factory=deque[float])

    def lets_in(self, at: float) -> bool:
        """Count one, and say whether it may pass."""
        first = at // self.window * self.window if self.fixed else at - self.window
        while self.seen and (self.seen[0] < first or (not self.fixed and self.seen[0] <= first)):
            self.seen.popleft()
        self.seen.append(at)
        return len(self.seen) <= self.calls


class Server:
    """The API. `clock` gives its own idea of the time, `true_time` that of the history."""

    def __init__(
        self, *, clock: Callable[[], datetime], true_time: Callable[[], float], limiter: Limiter
    ) -> None:
        self.clock = clock
        self._true_time = true_time
        self.limiter = limiter
        self.people: dict[str, Person] = {}
        self.claims: dict[str, Claim] = {}
        self.log: list[Arrival] = []
        self.key_works = True
        self._changes: list[Change] = []

    # requests

    def handle(self, request: Request, *, call: int) -> Told:
        """Carry a request out, or refuse it, and write it down."""
        body, refusal = b"", None
        try:
            self._let_in()
            status, body = 200, _json({"data": self._answer(request)})
        except Refusal as no:
            status, refusal = no.status, f"{no.title}: {no.detail}"
            body = _refused(no)
        self._write_down(request, call, status, refusal)
        plain = status == 429
        kind = "text/plain" if plain else "application/json; charset=utf-8"
        return Told(status=status, body=body, date=self.clock(), content_type=kind)

    def add_person(self, person: str) -> None:
        """Let a school register somebody with us."""
        self.people[person] = Person(person)

    def foreign(self) -> None:
        """Somebody else calls with our key."""
        self.limiter.lets_in(self.clock().timestamp())

    def _let_in(self) -> None:
        if not self.limiter.lets_in(self.clock().timestamp()):
            raise Refusal(429, "", "")
        if not self.key_works:
            raise Refusal(401, "", "HTTP Token: Access denied")

    def _write_down(self, request: Request, call: int, status: int, refusal: str | None) -> None:
        self.log.append(
            Arrival(
                number=len(self.log) + 1,
                at=self._true_time(),
                call=call,
                method=request.method,
                path=request.path,
                body=_compact(request.body),
                status=status,
                refusal=refusal,
                changes=tuple(self._changes),
            )
        )
        self._changes.clear()

    def _answer(self, request: Request) -> Any:
        parts = request.path.strip("/").split("/")
        asked: dict[str, Any] = {}
        if request.body is not None:
            asked = dict(json.loads(_compact(request.body))["data"]["attributes"])
        match [request.method, *parts]:
            case ["GET", "participants", person]:
                return self._shown(self._person(person))
            case ["PUT", "participants", person, act]:
                return self._shown(self._act(self._person(person), act, asked))
            case ["POST", "participant-declarations"]:
                return _claim_shown(self._declare(asked))
            case ["GET", "participant-declarations"]:
                person = dict(request.query)["filter[participant_id]"]
                return [_claim_shown(one) for one in self.claims.values() if one.person == person]
            case ["GET", "participant-declarations", claim]:
                return _claim_shown(self._claim(claim))
            case ["PUT", "participant-declarations", claim, "void"]:
                return _claim_shown(self._void(self._claim(claim)))
            case _:
                raise Refusal(404, *NO_SUCH)

    def _person(self, person: str) -> Person:
        if person not in self.people:
            raise Refusal(404, *NO_SUCH)
        return self.people[person]

    def _claim(self, claim: str) -> Claim:
        if claim not in self.claims or self.claims[claim].by != OURS:
            raise Refusal(404, *NO_SUCH)
        return self.claims[claim]

    # participants (§7.1 to §7.4)

    def _act(self, person: Person, act: str, asked: Mapping[str, Any]) -> Person:
        if asked.get("course_identifier") != ECT:
            raise Refusal(422, "course_identifier", "Enter a '#/course_identifier'.")
        match act:
            case "defer":
                self._defer(person, asked["reason"])
            case "withdraw":
                self._withdraw(person, asked["reason"])
            case "resume":
                self._resume(person)
            case "change-schedule":
                self._change_schedule(person, asked)
            case _:
                raise Refusal(404, *NO_SUCH)
        return person

    def _defer(self, person: Person, reason: str) -> None:
        if person.status != "active":
            detail = f"The '#/participant_id' is already {person.status}."
            raise Refusal(422, "participant_id", detail)
        if person.began >= self.today:
            raise Refusal(422, "participant_id", NOT_TODAY)
        self.set_status(person, "deferred", reason, ours=True)

    def _withdraw(self, person: Person, reason: str) -> None:
        if person.status == "withdrawn":
            raise Refusal(422, "participant_id", "The '#/participant_id' is already withdrawn.")
        if person.began >= self.today and person.status == "active":
            raise Refusal(422, "participant_id", NOT_TODAY)
        self.set_status(person, "withdrawn", reason, ours=True)

    def _resume(self, person: Person) -> None:
        if person.status == "active":
            raise Refusal(422, "participant_id", "The '#/participant_id' is already active.")
        if person.ended is not None and person.ended >= self.today:
            raise Refusal(422, "participant_id", NOT_SAME_DAY)
        self.set_status(person, "active", None, ours=True)

    def _change_schedule(self, person: Person, asked: Mapping[str, Any]) -> None:
        wanted = str(asked["schedule_identifier"])
        if (wanted, asked.get("cohort")) == (person.schedule, person.cohort):
            detail = "Selected schedule is already on the profile"
            raise Refusal(422, "schedule_identifier", detail)
        if person.status != "active":
            raise Refusal(422, "participant_id", LEFT)
        self.set_schedule(person, wanted, ours=True)

    # declarations (§7.5, §7.6)

    def _declare(self, asked: Mapping[str, Any]) -> Claim:
        person = self.people.get(asked["participant_id"])
        if person is None:
            detail = "Your update cannot be made as the '#/participant_id' is not recognised."
            raise Refusal(422, "participant_id", detail)
        part, day = str(asked["declaration_type"]), str(asked["declaration_date"])
        if self.live(person.id, part) is not None:
            raise Refusal(422, "declaration_type", TWICE)
        if datetime.fromisoformat(day) > self.clock():
            detail = "The '#/declaration_date' value cannot be a future date. Check the date."
            raise Refusal(422, "declaration_date", detail)
        if person.status == "withdrawn" and datetime.fromisoformat(day) >= (
            person.changed_at or self.clock()
        ):
            detail = f"This participant withdrew from this course on {person.changed_at}."
            raise Refusal(422, "participant_id", detail)
        self._in_sequence(person.id, part, day)
        return self.add_claim(person.id, part, day, str(asked["evidence_held"]), by=OURS)

    def _in_sequence(self, person: str, part: str, day: str) -> None:
        for other in self.claims.values():
            if other.person != person or other.state not in LIVE or other.part == part:
                continue
            earlier = PLACES.index(other.part) < PLACES.index(part)
            if (other.date > day) if earlier else (other.date < day):
                detail = "This '#/declaration_date' is invalid. Check that it is in sequence with"
                raise Refusal(422, "declaration_date", detail)

    def _void(self, claim: Claim) -> Claim:
        title = "participant_declaration_id"
        if claim.state == "voided":
            raise Refusal(422, title, "The declaration has already been voided.")
        if claim.state not in LIVE:
            raise Refusal(422, title, "The declaration will or has been refunded")
        self.set_claim(claim, "awaiting-clawback" if claim.state == "paid" else "voided", ours=True)
        return claim

    # what becomes so, by whomever

    @property
    def today(self) -> date:
        """The day there."""
        return self.clock().astimezone(LONDON).date()

    def live(self, person: str, part: str) -> Claim | None:
        """The claim of this type that stands."""
        for one in self.claims.values():
            if (one.person, one.part) == (person, part) and one.state in LIVE:
                return one
        return None

    def set_status(self, person: Person, status: str, reason: str | None, *, ours: bool) -> None:
        """Pause, end or go on with training."""
        said, before = f"{status}/{reason}", f"{person.status}/{person.reason}"
        self._changes.append(Change(f"status:{person.id}", said, before, ours))
        if status == "active":
            person.began, person.ended = self.today, None
        elif person.status == "active":
            person.ended = self.today
        person.status, person.reason = status, reason
        person.changed_at = self.clock().replace(microsecond=0)

    def set_schedule(self, person: Person, schedule: str, *, ours: bool) -> None:
        """Move a person to another schedule, from today."""
        self._changes.append(Change(f"schedule:{person.id}", schedule, person.schedule, ours))
        person.schedule, person.began = schedule, self.today

    def add_claim(self, person: str, part: str, day: str, evidence: str, *, by: str) -> Claim:
        """Make a claim."""
        claim = Claim(f"{len(self.claims) + 1:08d}-0000-4000-8000-000000000000", person, part, day,
                      evidence, by=by)  # fmt: skip
        self.claims[claim.id] = claim
        value = f"{claim.date}/{claim.evidence}"
        self._changes.append(Change(f"claim:{person}:{part}", value, None, by == OURS))
        return claim

    def set_claim(self, claim: Claim, state: str, *, ours: bool) -> None:
        """Move a claim on. How far its payment has got changes nothing about its standing."""
        before = claim.state
        claim.state = state
        if (before in LIVE) != (state in LIVE):
            value = f"{claim.date}/{claim.evidence}"
            thing = f"claim:{claim.person}:{claim.part}"
            self._changes.append(Change(thing, None, value, ours))

    def they_did(self, what: str) -> None:
        """Write down what somebody did there without us."""
        self._write_down(Request(method="THEY", path=what), 0, 200, None)

    def ask(self, person: Person, act: str, what: str | None) -> None:
        """Carry one act out, without anybody having sent it; raises `Refusal`."""
        asked = {"course_identifier": ECT, "reason": what, "schedule_identifier": what}
        self._act(person, act, {**asked, "cohort": person.cohort})

    def claim(self, person: Person, part: str, day: str, evidence: str) -> None:
        """Make a claim, without anybody having sent it; raises `Refusal`."""
        asked = {"declaration_type": part, "declaration_date": day, "evidence_held": evidence}
        self._declare({**asked, "participant_id": person.id})

    def copy(self) -> "Server":
        """Another server in the same state, with an empty log and no limit, for "what if"."""
        other = Server(
            clock=self.clock,
            true_time=self._true_time,
            limiter=Limiter(calls=10**9, window=1.0, fixed=True),
        )
        other.people = {name: replace(one) for name, one in self.people.items()}
        other.claims = {name: replace(one) for name, one in self.claims.items()}
        return other

    # how it shows

    def _shown(self, person: Person) -> Any:
        change = {"reason": person.reason, "date": _stamp(person.changed_at)}
        return {
            "id": person.id,
            "type": "participant",
            "attributes": {
                "full_name": "Somebody",
                "updated_at": _stamp(self.clock()),
                "ecf_enrolments": [
                    {
                        "participant_type": "ect",
                        "training_status": person.status,
                        "schedule_identifier": person.schedule,
                        "cohort": person.cohort,
                        "participant_status": "active" if person.status == "active" else "left",
                        "deferral": change if person.status == "deferred" else None,
                        "withdrawal": change if person.status == "withdrawn" else None,
                    }
                ],
            },
        }


def _claim_shown(claim: Claim) -> Any:
    return {
        "id": claim.id,
        "type": "participant-declaration",
        "attributes": {
            "participant_id": claim.person,
            "declaration_type": claim.part,
            "course_identifier": ECT,
            "declaration_date": claim.date,
            "state": claim.state,
            "updated_at": claim.date,
            "evidence_held": claim.evidence,
            "lead_provider_name": claim.by,
        },
    }


def _refused(no: Refusal) -> bytes:
    if no.status == 429:
        return b"Retry later\n"
    if no.status == 401:
        return _json({"error": no.detail})
    return _json({"errors": [{"title": no.title, "detail": no.detail}]})


def _json(value: Any) -> bytes:
    return json.dumps(value).encode()


def _compact(body: Any) -> str:
    return "" if body is None else json.dumps(body, sort_keys=True, separators=(",", ":"))


def _stamp(moment: datetime | None) -> str | None:
    return None if moment is None else moment.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def http_date(moment: datetime) -> str:
    """Write the `Date` header."""
    return format_datetime(moment.astimezone(UTC).replace(microsecond=0), usegmt=True)
