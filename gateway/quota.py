"""The quota: every call of every process passes one exact log of calls, kept in Redis.

One idea: a slot is taken before a call and counts until one window after its *answer* arrived. The
server counted the call no later than that, so whatever happens on the way, at the moment a slot is
given to a new call every earlier call that the server may still count holds a slot. There are as
many slots as the server allows, hence no window ever sees more.

**In flight.** A call without an answer holds its slot as if the answer came at the last possible
moment (MARK_BY + hold after the grant). The script writes that moment down with the grant, so a
killed worker needs nobody to clean up behind it. A later answer still moves the date forward.

**Lost.** The log is a cache of what the database knows, since every call has a row committed
before it. Each of these means that the log is lost: it is absent; Redis restarted or another server
took over (its replication id changed); it is behind a number that a caller has already been told;
a set is not as long as its count; Redis's clock went back, or advanced more or less than a caller's
own clock allows for. A lost log is closed, and nothing is granted from it, until somebody has added
the calls of the database to it; those are known by their grant, so adding twice is adding once.

**The race.** A caller may hold a grant that is not in the database yet when the log is lost. So a
grant is honoured only if its row was committed within MARK_BY of *asking* (`still_good`, measured
on the caller's own clock), and the database is read no sooner than MARK_BY after it was learnt that
the log is closed. Asking came before the loss, the loss before learning of it: the row is there.

**Newcomers.** A process that has not watched the log from before it opened cannot tell whether
Redis's clock jumped ahead and made slots run out early. It gets nothing before it has added what
the database knows, MARK_BY after its first contact. From then on it checks with each answer that
Redis's clock advanced no more than its own did between sending the one request and receiving the
other; a grant that fails this is dropped and the log is lost.

**Lanes.** Each lane owns a share of the slots and may borrow what nobody else asks for, but never
the last RESERVE_PERCENT. A refused caller leaves a ticket, which says that its lane wants a slot
until a little after it was told to come back; slots go first to lanes that want one and hold fewer
than their share. Shares add up to all slots, so no lane can be starved. Where there are fewer than
three slots, lanes that want one take turns.

**Alone.** On the stand-in no other process can hold a grant, and this one adds its own to what the
database knows; so there is nothing to wait for, neither at the start nor after a loss.

Known limits: a step of Redis's clock smaller than the round trip that would show it; two steps that
cancel out between two requests of a process, while only processes that came in between were
calling; a server that is promoted while its predecessor goes on serving; a step of the database's
clock forward at the same time as a loss; a process frozen between its last check and the system
call that sends; and, where keys of several databases share a source address, the calls of the
others after a loss.
"""

import os
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import timedelta
from enum import StrEnum
from hashlib import sha1
from pathlib import Path
from typing import Final, Protocol, cast

import redis
import structlog
from redis.exceptions import NoScriptError, RedisError

from gateway.errors import QuotaUnavailable
from runtime.redis import is_built_in
from schema.states import Lane

logger = structlog.get_logger(__name__)

SHARE_PERCENT: Final[Mapping[Lane, int]] = {Lane.LIVE: 55, Lane.POLL: 25, Lane.BULK: 20}
"""What each lane owns of the quota; must add up to 100, or slots belong to nobody."""

RESERVE_PERCENT = 5
"""What is never lent, so that a lane that wakes up can start at once.

Higher answers a sudden change sooner and leaves more of the quota unused while only one lane works.
"""

MARK_BY = timedelta(seconds=2)
"""How long after asking the row of the call may be committed for the grant to be honoured.

Lower gives grants back on a slow database; higher makes everybody wait longer after a loss, and a
new process at its start.
"""

MARK_MARGIN = timedelta(milliseconds=200)
"""Waited on top of MARK_BY before the database is read.

Two machines' clocks run apart by far less in two seconds; higher only makes a start slower.
"""

TICKET = timedelta(seconds=2)
"""How long after the moment it was told a refused caller still counts as wanting a slot.

Long enough for a record to come round through the relay. Higher keeps slots for callers that will
never come; lower lends a lane's slots out just before it comes back for them.
"""

PUNCTUAL = timedelta(milliseconds=50)
"""How late a refused caller may come back and still find that nobody new has taken its slot.

Longer than it takes to wake up on a busy machine. Higher leaves a slot idle where the caller has
gone; lower lets new callers push in, and those who waited ask once more.
"""

RECHECK = timedelta(seconds=15)
"""The longest wait told to a lane that waits for what others may leave, while anything can free.

Nobody knows what the others will do. Higher leaves slots unused for a while after others stopped
asking; lower costs more asking.
"""

DRIFT = 1 / 1000
"""How far apart two clocks may run: each is slewed by at most 500 in a million.

A slot counts for this much longer than the window, and a clock may differ by this much before the
log counts as lost. Lower and a slewing clock looks like a step; higher wastes quota.
"""

JITTER = timedelta(milliseconds=2)
"""Added to each of these for the grain of clocks; matters only for windows of a second or so."""

IDLE_TTL = timedelta(days=1)
"""When Redis forgets the log of a deployment that asks for nothing.

Far beyond window and hold, so that a step of Redis's clock by minutes does not empty the log.
"""

_MICROSECOND = timedelta(microseconds=1)
_SCRIPT = (Path(__file__).parent / "quota.lua").read_text(encoding="utf-8")
_SCRIPT_SHA = sha1(_SCRIPT.encode(), usedforsecurity=False).hexdigest()


class WaitReason(StrEnum):
    """Why there is no slot now."""

    WINDOW = "window"
    """Every slot is taken."""
    SHARE = "share"
    """There are free slots, but they belong to other lanes."""
    ADDRESS = "address"
    """The limit of the source address, shared with other keys, is reached."""
    SEEDING = "seeding"
    """The log was lost, or this process is new: the calls of the database are being added first."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Limit:
    """So many calls in any stretch of time as long as the window."""

    calls: int
    window: timedelta

    def __post_init__(self) -> None:
        """Refuse what allows nothing."""
        if self.calls < 1:
            raise ValueError(f"a limit allows at least one call, not {self.calls}")
        if self.window <= timedelta(0):
            raise ValueError(f"the window of a limit must be longer than {self.window}")


@dataclass(frozen=True, slots=True, kw_only=True)
class Granted:
    """A slot. Write `id` into the row that marks the call; then ask `Quota.still_good`."""

    id: str
    lane: Lane
    asked_at: float
    """On the clock of the process that asked: seconds, from no particular moment."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Wait:
    """No slot now; worth asking again after `wait`. Different callers are told different times."""

    wait: timedelta
    reason: WaitReason


@dataclass(frozen=True, slots=True, kw_only=True)
class PastCall:
    """A call as the database knows it."""

    grant_id: str
    lane: Lane
    age: timedelta
    """By the database's clock: since the answer was written down, or, in flight, since the mark."""
    in_flight: bool
    """Marked, and no outcome written down."""
    key_name: str | None = None
    """The key it was made with, where that is another one of the same source address."""


@dataclass(frozen=True, slots=True, kw_only=True)
class LaneFill:
    """One lane, for people."""

    used: int
    share: int
    waiting: int


@dataclass(frozen=True, slots=True, kw_only=True)
class QuotaFill:
    """How full the log is, for people."""

    limit: Limit
    is_open: bool
    """False while the log is absent, or lost and not yet filled from the database."""
    used: int
    """Slots taken by our calls, those in flight included."""
    in_flight: int
    foreign: int
    """Calls that somebody else must have made with this key, known from a refusal."""
    lanes: Mapping[Lane, LaneFill]
    next_free: tuple[timedelta, ...]
    """When the next slots free, at most five."""
    address_used: int | None
    """Slots taken at the source address by all its keys; None where it has no limit."""


class Redis(Protocol):
    """What the quota needs of Redis: run one script. `runtime.redis.connect` hands it out."""

    def evalsha(self, sha: str, numkeys: int, *keys_and_args: str) -> object: ...
    def eval(self, script: str, numkeys: int, *keys_and_args: str) -> object: ...


def steady_clock() -> float:
    """Return seconds on a clock that never steps, and goes on while the machine sleeps."""
    boottime = getattr(time, "CLOCK_BOOTTIME", None)
    return time.monotonic() if boottime is None else time.clock_gettime(boottime)


@dataclass(frozen=True, slots=True, kw_only=True)
class _KnownCall:
    """A call to be added to the log, and how long it still counts."""

    grant_id: str
    lane: Lane
    left: timedelta
    in_flight: bool
    key_name: str

    def line(self) -> str:
        state = "flight" if self.in_flight else "answered"
        return f"{self.grant_id} {self.lane.value} {_micros(self.left)} {state} {self.key_name}\n"


@dataclass(frozen=True, slots=True, kw_only=True)
class _Anchor:
    """One exchange with Redis: its clock, and ours before and after."""

    incarnation: str
    redis_time: int
    sent: float
    received: float

    def least(self, *, sent: float) -> int:
        """Redis's clock cannot show less than this to a request sent then."""
        elapsed = max(0.0, sent - self.received)
        return self.redis_time + int(elapsed * (1 - DRIFT) * 1e6) - _micros(JITTER)

    def most(self, *, received: float) -> int:
        """Redis's clock cannot have shown more than this in an answer received then."""
        elapsed = received - self.sent
        return self.redis_time + int(elapsed * (1 + DRIFT) * 1e6) + _micros(JITTER)


@dataclass(frozen=True, slots=True, kw_only=True)
class _Memory:
    """What this process has been told: proof against a log that is older than that."""

    generation: int = 0
    incarnation: str = ""
    sequence: int = 0
    anchor: _Anchor | None = None
    token: str = ""
    """Names the log, key's and address's, that was seen last."""
    token_since: float = 0.0
    joined: str = ""
    """The token of the log that may grant to us."""


@dataclass(frozen=True, slots=True, kw_only=True)
class _Answer:
    status: str
    redis_time: int
    generation: int
    incarnation: str
    sequence: int
    token: str
    rest: tuple[str, ...]
    sent: float
    received: float


class Quota:
    """The quota of one key, for all threads of this process.

    `hold` is the longest a call may take from its mark to its last byte or its giving up (SEND_BY
    plus the total deadline). `recent` returns every call that the database knows of and that is
    younger than `lookback`, those in flight included, and, where there is an address limit, those
    of the other keys of this address as well. It is called from `ask`, in a transaction of its
    own, and must see whatever was committed before it was called.

    The way of a call: `ask`; commit the row with the grant's id; `still_good`, and if not,
    `unused`; send; `answered` (or `refused`) as soon as the answer is there or was given up.
    """

    def __init__(
        self,
        redis: Redis,
        *,
        key_name: str,
        limit: Limit,
        hold: timedelta,
        recent: Callable[[], Sequence[PastCall]],
        address: str | None = None,
        address_limit: Limit | None = None,
        namespace: str = "pillarbox",
        monotonic: Callable[[], float] = steady_clock,
        _redis_time: Callable[[], int] | None = None,
    ) -> None:
        if (address is None) != (address_limit is None):
            raise ValueError("a source address and its limit come together or not at all")
        if address_limit and address_limit.window != limit.window:
            raise ValueError("the limits of a key and of its source address have the same window")
        if "{" in namespace or "}" in namespace:
            raise ValueError(f"a namespace has no braces: {namespace!r}")
        if not key_name or not key_name.isprintable():
            raise ValueError(f"a key's name is printable and not empty: {key_name!r}")
        self._redis = redis
        self._key_name = key_name
        self._limit = limit
        self._address_limit = address_limit
        self._keep = limit.window * (1 + DRIFT) + JITTER
        self._hold = MARK_BY + hold
        self._call_hold = hold
        self._recent = recent
        self._monotonic = monotonic
        self._redis_time = _redis_time
        self._settle = timedelta(0) if _is_ours_alone(redis) else MARK_BY + MARK_MARGIN
        self._keys = _keys(namespace, key_name, address)
        self._constants = self._constant_arguments()
        self._process = os.urandom(4).hex()
        self._memory = _Memory()
        self._outstanding: dict[str, Granted] = {}
        self._lock = threading.Lock()
        self._merging = threading.Lock()

    @property
    def lookback(self) -> timedelta:
        """How far back `recent` must reach."""
        return self._keep + self._hold

    def ask(self, lane: Lane, *, caller: str | None = None) -> Granted | Wait:
        """Ask for a slot for one call.

        Whoever was told to wait keeps its place by asking again for the same lane from the same
        thread, or under the same name (`caller`) where many take turns on one thread.

        Never blocks for one, and never raises because there is none. After a loss, or at the start
        of a process, it reads the database (`recent`) and passes on what that raises. Raises
        `QuotaUnavailable` when Redis cannot be asked: then nobody may call. If only the reply was
        lost, the slot it may have granted frees by itself.
        """
        asking = caller or str(threading.get_ident())
        answer = self._ask_once(lane, asking)
        if answer.status == "closed":
            waiting = self._join()
            if waiting is not None:
                return waiting
            answer = self._ask_once(lane, asking)
        return self._verdict(answer, lane)

    def prepare(self) -> Wait | None:
        """Make contact before the first call is due; None once slots can be granted.

        A process that does this at its start, until it gets None, spares its first call the wait
        that every newcomer is told. Reads the database and raises as `ask` does.
        """
        return self._join() if self._exchange("prepare").status == "closed" else None

    def still_good(self, grant: Granted) -> bool:
        """Tell whether the call may be made; to be asked after its row is committed.

        Costs nothing. After a no, `unused` gives the slot back and the row must be taken for a
        call that was never made.
        """
        return self._monotonic() - grant.asked_at <= MARK_BY.total_seconds()

    def answered(self, grant: Granted) -> None:
        """Date the slot now: the answer is there, or was given up waiting for.

        Never raises: where Redis cannot be asked, the slot counts a little longer by itself.
        """
        self._report("answered", grant)

    def unused(self, grant: Granted) -> None:
        """Give the slot back; only when no byte of the call can have left. Never raises."""
        self._report("unused", grant)

    def refused(self, grant: Granted, *, again_after: timedelta | None = None) -> None:
        """Date the slot of a call answered 429, and take what the log did not know of as foreign.

        The rest of the limit counts as taken for `again_after` (what the server said, or when the
        gate opens), else for a whole window. Never raises.
        """
        again = self._keep if again_after is None else again_after
        self._report("refused", grant, again=str(_micros(again)))

    def room(self, lane: Lane, *, within: timedelta) -> int:
        """Tell how many calls this lane could start within that time, if nobody else did.

        At most what one window holds. A log that is not open yet has room for one, so that
        somebody asks and opens it. Changes nothing. Raises `QuotaUnavailable`.
        """
        span = min(within, self._limit.window)
        return int(self._look("room", lane=lane.value, within=str(_micros(span))).rest[0])

    def fill(self) -> QuotaFill:
        """Tell how full the log is. Changes nothing. Raises `QuotaUnavailable`."""
        answer = self._look("fill")
        if answer.status == "closed":
            return self._fill(("0",) * 12 + ("",), is_open=False)
        return self._fill(answer.rest, is_open=True)

    # -- asking

    def _ask_once(self, lane: Lane, caller: str) -> _Answer:
        return self._exchange("ask", lane=lane.value, caller=f"{self._process}-{caller}")

    def _verdict(self, answer: _Answer, lane: Lane) -> Granted | Wait:
        match answer.status, answer.rest:
            case "granted", (grant_id,):
                return self._remember(Granted(id=grant_id, lane=lane, asked_at=answer.sent))
            case "wait", (wait, reason):
                # Rounded up: coming back a moment early costs a round trip for nothing.
                return Wait(wait=_MICROSECOND * (int(wait) + 1000), reason=WaitReason(reason))
            case _:
                return Wait(wait=self._settle or MARK_MARGIN, reason=WaitReason.SEEDING)

    def _join(self) -> Wait | None:
        """Add what the database knows, if it is time and nobody of this process is at it."""
        left = self._settle_left()
        if left > timedelta(0):
            return Wait(wait=left, reason=WaitReason.SEEDING)
        if not self._merging.acquire(blocking=False):
            return Wait(wait=MARK_MARGIN, reason=WaitReason.SEEDING)
        try:
            return self._merge()
        finally:
            self._merging.release()

    def _settle_left(self) -> timedelta:
        since = self._monotonic() - self._memory.token_since
        return self._settle - timedelta(seconds=since)

    def _merge(self) -> Wait | None:
        token = self._memory.token
        calls = [*map(self._known, self._recent()), *self._own_calls()]
        lines = [call.line() for call in calls if call.left > timedelta(0)]
        answer = self._exchange("merge", token=token, calls="".join(lines))
        if answer.status != "done" or answer.token != token:
            return Wait(wait=self._settle or MARK_MARGIN, reason=WaitReason.SEEDING)
        with self._lock:
            if self._memory.token == token:
                self._memory = replace(self._memory, joined=token)
        return None

    def _known(self, call: PastCall) -> "_KnownCall":
        age = max(timedelta(0), call.age)  # a clock that went back: count it longer, not shorter
        return _KnownCall(
            grant_id=call.grant_id,
            lane=call.lane,
            left=self._keep + (self._call_hold if call.in_flight else timedelta(0)) - age,
            in_flight=call.in_flight,
            key_name=self._key_name if call.key_name is None else call.key_name,
        )

    def _own_calls(self) -> list["_KnownCall"]:
        """Return what this process may be about to call, marked or not."""
        now = self._monotonic()
        with self._lock:
            grants = list(self._outstanding.values())
        return [
            _KnownCall(
                grant_id=grant.id,
                lane=grant.lane,
                left=self.lookback - timedelta(seconds=now - grant.asked_at),
                in_flight=True,
                key_name=self._key_name,
            )
            for grant in grants
        ]

    # -- reporting

    def _report(self, operation: str, grant: Granted, **arguments: str) -> None:
        with self._lock:
            self._outstanding.pop(grant.id, None)
        try:
            self._exchange(operation, grant=grant.id, lane=grant.lane.value, **arguments)
        except QuotaUnavailable:
            logger.warning("slot_not_reported", grant=grant.id, report=operation)

    def _remember(self, grant: Granted) -> Granted:
        with self._lock:
            oldest = grant.asked_at - self.lookback.total_seconds()
            while self._outstanding:  # in order of asking: only the first can be too old
                first = next(iter(self._outstanding.values()))
                if first.asked_at >= oldest:
                    break
                del self._outstanding[first.id]
            self._outstanding[grant.id] = grant
        return grant

    # -- exchanging

    def _exchange(self, operation: str, **arguments: str) -> _Answer:
        """Run one operation and check Redis's clock against ours.

        An answer whose clock ran ahead is worth nothing: it becomes "closed", and the log is lost.
        """
        memory = self._memory
        sent = self._monotonic()
        answer = self._run(operation, self._told(memory, sent) | arguments, sent=sent)
        if _ran_ahead(memory.anchor, answer):
            answer = self._lose(answer)
        with self._lock:
            self._memory = _learn(self._memory, answer, renew_after=self._limit.window)
        return answer

    def _lose(self, answer: _Answer) -> _Answer:
        logger.warning("quota_log_lost", key_name=self._key_name, reason="clock")
        with self._lock:
            self._memory = replace(self._memory, anchor=None, joined="")
        return self._run("lose", {"lost": answer.incarnation}, sent=self._monotonic())

    def _look(self, operation: str, **arguments: str) -> _Answer:
        return self._run(operation, arguments, sent=self._monotonic())

    def _run(self, operation: str, arguments: Mapping[str, str], *, sent: float) -> _Answer:
        named = {**self._constants, "fresh": os.urandom(6).hex(), **arguments}
        if self._redis_time is not None:
            named["now"] = str(self._redis_time())
        flat = [operation, *(text for pair in named.items() for text in pair)]
        try:
            raw = self._evaluate(flat)
        except RedisError as problem:
            raise QuotaUnavailable("Redis cannot be asked for a slot") from problem
        return _parse(raw, sent=sent, received=self._monotonic())

    def _evaluate(self, arguments: Sequence[str]) -> object:
        count = len(self._keys)
        try:
            return self._redis.evalsha(_SCRIPT_SHA, count, *self._keys, *arguments)
        except NoScriptError:  # it did not run, so running it now is no repetition
            return self._redis.eval(_SCRIPT, count, *self._keys, *arguments)

    def _told(self, memory: _Memory, sent: float) -> dict[str, str]:
        if not memory.incarnation:
            return {}
        told = {
            "gen": str(memory.generation),
            "id": memory.incarnation,
            "seq": str(memory.sequence),
            "joined": memory.joined,
        }
        if memory.anchor is not None and memory.anchor.incarnation == memory.incarnation:
            told["anchor"] = str(memory.anchor.redis_time)
            told["least"] = str(memory.anchor.least(sent=sent))
        return told

    def _constant_arguments(self) -> dict[str, str]:
        constants = {
            "key": self._key_name,
            "limit": str(self._limit.calls),
            "keep": str(_micros(self._keep)),
            "hold": str(_micros(self._hold)),
            "grace": str(_micros(TICKET)),
            "punctual": str(_micros(PUNCTUAL)),
            "recheck": str(_micros(RECHECK)),
            "jitter": str(_micros(JITTER)),
            "reserve": str(RESERVE_PERCENT),
            "poll": str(SHARE_PERCENT[Lane.POLL]),
            "bulk": str(SHARE_PERCENT[Lane.BULK]),
            "ttl": str(_micros(max(IDLE_TTL, 2 * self.lookback)) // 1000),
        }
        if self._address_limit is not None:
            constants["address_limit"] = str(self._address_limit.calls)
        return constants

    def _fill(self, rest: Sequence[str], *, is_open: bool) -> QuotaFill:
        *numbers, next_free = rest
        used, share, waiting, (in_flight, foreign, address_used) = (
            [int(text) for text in numbers[start : start + 3]] for start in (0, 3, 6, 9)
        )
        return QuotaFill(
            limit=self._limit,
            is_open=is_open,
            used=sum(used),
            in_flight=in_flight,
            foreign=foreign,
            lanes={
                lane: LaneFill(used=used[place], share=share[place], waiting=waiting[place])
                for place, lane in enumerate(Lane)
            },
            next_free=tuple(_MICROSECOND * int(text) for text in next_free.split()),
            address_used=None if self._address_limit is None else address_used,
        )


def _learn(memory: _Memory, answer: _Answer, *, renew_after: timedelta) -> _Memory:
    """Bring what we remember up to date with an answer; answers may come in any order."""
    ours = (memory.generation, memory.sequence)
    if (answer.generation, answer.sequence) < ours:
        return memory
    is_new = answer.token != memory.token
    granting = answer.status in ("granted", "wait", "ready")
    return _Memory(
        generation=answer.generation,
        incarnation=answer.incarnation,
        sequence=answer.sequence,
        anchor=_newer_anchor(memory.anchor, answer, renew_after=renew_after),
        token=answer.token,
        token_since=answer.received if is_new else memory.token_since,
        joined=answer.token if granting else memory.joined,
    )


def _newer_anchor(anchor: _Anchor | None, answer: _Answer, *, renew_after: timedelta) -> _Anchor:
    """Keep an anchor for a window: as long as the slots that it vouches for."""
    new = _Anchor(
        incarnation=answer.incarnation,
        redis_time=answer.redis_time,
        sent=answer.sent,
        received=answer.received,
    )
    if anchor is None or anchor.incarnation != new.incarnation:
        return new
    is_old = new.received - anchor.received >= renew_after.total_seconds()
    is_sharper = 2 * (new.received - new.sent) < anchor.received - anchor.sent
    return new if is_old or is_sharper else anchor


def _ran_ahead(anchor: _Anchor | None, answer: _Answer) -> bool:
    if anchor is None or anchor.incarnation != answer.incarnation:
        return False
    return answer.redis_time > anchor.most(received=answer.received)


def _parse(raw: object, *, sent: float, received: float) -> _Answer:
    parts = [_text(part) for part in cast("Sequence[object]", raw)]
    return _Answer(
        status=parts[0],
        redis_time=int(parts[1]),
        generation=int(parts[2]),
        incarnation=parts[3],
        sequence=int(parts[4]),
        token=parts[5],
        rest=tuple(parts[6:]),
        sent=sent,
        received=received,
    )


def _text(part: object) -> str:
    return part.decode() if isinstance(part, bytes) else str(part)


def _micros(span: timedelta) -> int:
    return span // _MICROSECOND


def _is_ours_alone(client: object) -> bool:
    """Tell whether no other process can hold a grant of this Redis.

    Then nothing need be waited for: this process knows its own grants, marked or not.
    """
    return isinstance(client, redis.Redis) and is_built_in(client)


def _keys(namespace: str, key_name: str, address: str | None) -> tuple[str, ...]:
    root = f"{{{namespace}}}:quota"
    key, at = f"{root}:key:{key_name}", f"{root}:address:{address}"
    lanes = [lane.value for lane in Lane]
    keys = [root, key, *(f"{key}:{lane}" for lane in lanes), f"{key}:flight", f"{key}:foreign"]
    keys += [f"{key}:tickets:{lane}" for lane in lanes]
    if address is not None:
        keys += [at, f"{at}:slots", f"{at}:used", f"{at}:tickets"]
    return tuple(keys)
