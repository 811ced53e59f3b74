"""What came of a call, as an outcome: one table, and nothing else decides it.

One idea: where it is not certain that a write was not executed, it is in doubt. A status says more
than a body, and a body that cannot be read says nothing, so it never makes anything delivered.

| What came back | On a read | On a write |
|---|---|---|
| 2xx, readable | `Delivered` | `Delivered` |
| 2xx, unreadable, cut, encoded or too large | `Transient` | `InDoubt`, answered |
| 3xx (never followed) | `Transient` | `InDoubt`, answered |
| 401, 403, a key that cannot be sent | `KeyRefused` | `KeyRefused` |
| 429 | `Throttled` | `Throttled` |
| 501 | `Refused` (data) | `Refused` (data) |
| 408, 502, 503, 504 | `Transient` | `InDoubt`, not answered: it may still land |
| other 5xx | `Transient` | `InDoubt`, answered |
| other 4xx, all of it known as "already" | `Refused` (state) | `AlreadyThere` |
| other 4xx, known as "not today" | `Later` | `Later` |
| other 4xx, known as a passing clash | `Transient` | `Transient` |
| other 4xx, cut, encoded or too large | `Transient` | `Transient` |
| 404 on an id that was known | `Refused` (state), first asked for a merge | the same |
| 404, 409, 410 not known | `Refused` (state) | `Refused` (state) |
| other 4xx not known | `Refused` (data) | `Refused` (data) |
| not sent for sure | `Transient` | `Transient` |
| no answer | `Transient` | `InDoubt`, not answered |
"""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from email.utils import parsedate_to_datetime
from enum import StrEnum
from typing import NoReturn, TypeAlias, cast

from schema.contract import Contract, Meaning, Operation, Rule, Unreadable
from schema.fingerprint import Json
from schema.outcomes import (
    AlreadyThere,
    Blame,
    InDoubt,
    KeyRefused,
    Later,
    Outcome,
    Refusal,
    Refused,
    Throttled,
    Transient,
)
from schema.record import Record

LONGEST_RETRY_AFTER = timedelta(hours=1)
"""The longest wait the API can impose with `Retry-After`. A proxy's mistake of "a day" would
otherwise stop every record of the key for a day; longer real waits are asked for again after it."""

MOST_REFUSALS = 20
"""How many complaints of one answer are kept. The API gives a handful."""

LONGEST_TITLE = 100
LONGEST_DETAIL = 500
"""How much of one complaint is kept, in characters. The API's longest known sentence has 250."""

KEPT_HEADERS = ("content-type", "date", "retry-after", "x-request-id")
"""The headers an answer is kept with. Cookies and the rest are nobody's business."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Answer:
    """A whole answer. Header names are in lower case; only those of `KEPT_HEADERS` are there."""

    status: int
    headers: Mapping[str, str] = field(default_factory=dict[str, str])
    body: bytes = field(default=b"", repr=False)
    duration: timedelta = timedelta(0)

    @property
    def request_id(self) -> str | None:
        """What the API calls this request; its support asks for it."""
        return self.headers.get("x-request-id")

    @property
    def date(self) -> datetime | None:
        """The server's own clock when it answered; None where it does not say."""
        return _http_date(self.headers.get("date"))


STILL_AT_IT = frozenset({408, 502, 503, 504})
"""A proxy's answers: the service behind it may still be carrying the request out."""


class FailureKind(StrEnum):
    """Why there is no whole answer."""

    KEY_UNUSABLE = "key_unusable"
    NOT_SENT = "not_sent"
    NO_ANSWER = "no_answer"
    CUT_SHORT = "cut_short"
    TOO_LARGE = "too_large"
    ENCODED = "encoded"


UNSENT = frozenset({FailureKind.KEY_UNUSABLE, FailureKind.NOT_SENT})
"""With these not one byte of the request left, so it was not executed for sure."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Failure:
    """No whole answer. `status` and `headers` are there when the answer had begun."""

    kind: FailureKind
    detail: str
    status: int | None = None
    headers: Mapping[str, str] = field(default_factory=dict[str, str])
    duration: timedelta = timedelta(0)


Reply: TypeAlias = Answer | Failure


def outcome(
    contract: Contract, operation: Operation, record: Record, kin: Sequence[Record], reply: Reply
) -> Outcome:
    """Say what came of a call. Never raises; what it keeps of the API's words is capped."""
    if isinstance(reply, Answer):
        return _answered(contract, operation, record, kin, reply)
    if reply.status is None:
        return _without_answer(operation, reply)
    if 200 <= reply.status < 300:
        return _unclear(operation, reply.detail)
    begun = Answer(status=reply.status, headers=reply.headers)
    result = _answered(contract, operation, record, kin, begun)
    # Of a refusal whose reason got lost on the way only that nothing was done is known.
    lost = isinstance(result, Refused) and reply.status != 501
    return Transient(detail=reply.detail) if lost else result


def _without_answer(operation: Operation, failure: Failure) -> Outcome:
    if failure.kind is FailureKind.KEY_UNUSABLE:
        return KeyRefused(status=0)
    if failure.kind in UNSENT or not operation.writes:
        return Transient(detail=failure.detail)
    return InDoubt(detail=failure.detail, answered=False)


def _answered(
    contract: Contract,
    operation: Operation,
    record: Record,
    kin: Sequence[Record],
    answer: Answer,
) -> Outcome:
    match answer.status:
        case status if 200 <= status < 300:
            return _success(contract, operation, record, kin, answer)
        case 401 | 403:
            return KeyRefused(status=answer.status)
        case 429:
            return Throttled(retry_after=_retry_after(answer))
        case 501:
            return Refused(status=501, refusals=_refusals(answer), blame=Blame.DATA)
        case status if 400 <= status < 500 and status != 408:
            return _refused(contract, operation, answer)
        case status if 300 <= status < 400:
            detail = f"redirected ({status}); redirects are not followed, check PILLARBOX_API_URL"
            return _unclear(operation, detail)
        case status:
            over = status not in STILL_AT_IT
            return _unclear(operation, f"answered {status}", over=over)


def _unclear(operation: Operation, detail: str, *, over: bool = True) -> Outcome:
    if operation.writes:
        return InDoubt(detail=detail, answered=over)
    return Transient(detail=detail)


def _success(
    contract: Contract,
    operation: Operation,
    record: Record,
    kin: Sequence[Record],
    answer: Answer,
) -> Outcome:
    try:
        return contract.read(operation, record, kin, _parsed(answer))
    except Unreadable as error:
        return _unclear(operation, f"answered {answer.status}, but {error}"[:LONGEST_DETAIL])


def _parsed(answer: Answer) -> Json:
    """Parse a body that says it is JSON; one that says nothing is tried."""
    kind = answer.headers.get("content-type", "application/json").partition(";")[0].strip().lower()
    if kind != "application/json" and not kind.endswith("+json"):
        raise Unreadable("the answer is not JSON")
    try:
        return cast(Json, json.loads(answer.body, parse_constant=_no_number))
    except (ValueError, RecursionError):
        raise Unreadable("the answer is not whole JSON") from None


def _no_number(name: str) -> NoReturn:
    raise ValueError(name)


# Reads of collections: no record is behind them, so there is no contract to ask


@dataclass(frozen=True, slots=True, kw_only=True)
class Read:
    """A read was answered, and the body is JSON."""

    body: Json


@dataclass(frozen=True, slots=True, kw_only=True)
class NotThere:
    """404."""


ReadOutcome: TypeAlias = Read | NotThere | Throttled | KeyRefused | Transient | Refused


def read_outcome(reply: Reply) -> ReadOutcome:
    """Say what came of a read. Never raises; a body that cannot be read is worth asking again."""
    if isinstance(reply, Failure):
        if reply.kind is FailureKind.KEY_UNUSABLE:
            return KeyRefused(status=0)
        return _read_status(Answer(status=reply.status or 0, headers=reply.headers), reply.detail)
    if not 200 <= reply.status < 300:
        return _read_status(reply, f"answered {reply.status}")
    try:
        return Read(body=_parsed(reply))
    except Unreadable as error:
        return Transient(detail=f"answered {reply.status}, but {error}")


def _read_status(answer: Answer, detail: str) -> ReadOutcome:
    match answer.status:
        case 401 | 403:
            return KeyRefused(status=answer.status)
        case 429:
            return Throttled(retry_after=_retry_after(answer))
        case 404 | 410:
            return NotThere()
        case 408:
            return Transient(detail=detail)
        case status if 400 <= status < 500 or status == 501:
            return Refused(status=status, refusals=_refusals(answer), blame=Blame.DATA)
        case _:
            return Transient(detail=detail)


# Refusals


def _refused(contract: Contract, operation: Operation, answer: Answer) -> Outcome:
    """Decide over the whole set: an "already" beside another complaint is not an "already"."""
    refusals = _refusals(answer)
    meanings = {_meaning(contract, operation, refusal, answer.status) for refusal in refusals}
    if meanings == {Meaning.ALREADY} and operation.writes:
        return AlreadyThere(refusals=refusals)
    if Meaning.LATER in meanings and meanings <= {Meaning.LATER, Meaning.ALREADY}:
        return Later(refusals=refusals)
    if meanings == {Meaning.PASSING}:
        return Transient(detail=f"answered {answer.status}: {refusals[0].detail}")
    blame = Blame.DATA if Meaning.DATA in meanings else Blame.STATE
    merged_by = operation.on_missing if meanings == {Meaning.MISSING} else None
    return Refused(status=answer.status, refusals=refusals, blame=blame, merged_by=merged_by)


def _meaning(contract: Contract, operation: Operation, refusal: Refusal, status: int) -> Meaning:
    rule = rule_for(contract, operation, refusal)
    if rule is not None:
        return rule.meaning
    # Of an unknown refusal only the careful thing is assumed: the same is not sent again.
    return Meaning.STATE if status in (404, 409, 410) else Meaning.DATA


def rule_for(contract: Contract, operation: Operation, refusal: Refusal) -> Rule | None:
    """Find the rule that knows a refusal, by its title and the beginning of its detail."""
    for rule in contract.rules:
        if (
            operation.name in rule.operations
            and refusal.title == rule.title
            and refusal.detail.startswith(rule.detail)
        ):
            return rule
    return None


def _refusals(answer: Answer) -> tuple[Refusal, ...]:
    """Read the API's complaints in any of the shapes it has for them; at least one, always."""
    try:
        body = _parsed(answer)
    except Unreadable:
        body = None
    found = _listed(body) or _single(body)
    return found[:MOST_REFUSALS] or (_refusal("", f"answered {answer.status} without a reason"),)


def _listed(body: Json) -> tuple[Refusal, ...]:
    errors = body.get("errors") if isinstance(body, Mapping) else None
    if not isinstance(errors, Sequence) or isinstance(errors, str):
        return ()
    return tuple(
        _refusal(error.get("title"), error.get("detail"))
        for error in errors
        if isinstance(error, Mapping)
    )


def _single(body: Json) -> tuple[Refusal, ...]:
    if not isinstance(body, Mapping) or not isinstance(body.get("error"), str):
        return ()
    return (_refusal("error", body["error"]),)


def _refusal(title: Json, detail: Json) -> Refusal:
    return Refusal(title=_kept(title, LONGEST_TITLE), detail=_kept(detail, LONGEST_DETAIL))


def _kept(text: Json, longest: int) -> str:
    if not isinstance(text, str):
        return ""
    printable = "".join(one if one.isprintable() else " " for one in text[: longest + 1])
    return printable if len(printable) <= longest else f"{printable[: longest - 1]}…"


# Waiting


def _retry_after(answer: Answer) -> timedelta | None:
    """Read `Retry-After`, in seconds or as a date by the server's own clock; None where unclear."""
    text = answer.headers.get("retry-after", "").strip()
    if text.isascii() and text.isdecimal():
        wait = timedelta(seconds=min(int(text[:9]), LONGEST_RETRY_AFTER.total_seconds()))
    else:
        until = _http_date(text)
        wait = timedelta(0) if until is None or answer.date is None else until - answer.date
    return min(wait, LONGEST_RETRY_AFTER) if wait > timedelta(0) else None


def _http_date(text: str | None) -> datetime | None:
    try:
        moment = parsedate_to_datetime(text or "")
    except ValueError:
        return None
    return moment.replace(tzinfo=UTC) if moment.tzinfo is None else moment.astimezone(UTC)
