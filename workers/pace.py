"""The quota as delivery and the relay know it."""

import time
from datetime import timedelta
from typing import cast

import structlog
from sqlalchemy.exc import DBAPIError

from gateway.errors import QuotaUnavailable
from gateway.quota import Granted, Limit, PastCall, Quota, QuotaFill
from inbox import requests
from outbox import attempts
from outbox.delivery import Grant
from outbox.errors import QuotaAway
from runtime.clock import Clock
from runtime.database import Database
from runtime.redis import Redis
from runtime.settings import Destination, Settings
from schema.states import Lane

logger = structlog.get_logger(__name__)

AHEAD = timedelta(seconds=5)
"""How far ahead the relay dispatches: what the quota can carry in this time. More, and a pause or a
newer version comes too late for what is on the queue; less, and workers wait for the relay."""

ON_THE_QUEUE = 1_000
"""How many rings may be out at most, however large the quota: workers must get through them
before they are rung again."""


REFILL = 250
"""How many rings must be wanted before the relay tops up a full queue: a batch of this size costs
about as many statements as a single ring. Far below what is on the queue, so no worker waits."""


class QuotaPace:
    """Says yes, or how long to wait; the quota's other words are for people."""

    def __init__(self, quota: Quota) -> None:
        self.quota = quota

    def prepare(self) -> None:
        """Make contact until calls can be granted, or until Redis is away: the first call waits
        less. A new process may not be granted any before it has read the database."""
        try:
            while (wait := self.quota.prepare()) is not None:
                time.sleep(wait.wait.total_seconds())
        except (QuotaUnavailable, DBAPIError) as error:
            logger.warning("quota_not_prepared", error=type(error).__name__)

    def ask(self, lane: Lane) -> Granted | timedelta:
        """Give a slot, or how long to wait; raises `QuotaAway`."""
        try:
            answer = self.quota.ask(lane)
        except QuotaUnavailable as error:
            raise QuotaAway("the quota cannot be asked") from error
        return answer if isinstance(answer, Granted) else answer.wait

    def still_good(self, grant: Grant) -> bool:
        """Say whether the call may be made, now that its row is committed."""
        return self.quota.still_good(cast(Granted, grant))

    def answered(self, grant: Grant) -> None:
        """Date the slot now."""
        self.quota.answered(cast(Granted, grant))

    def unused(self, grant: Grant) -> None:
        """Give it back."""
        self.quota.unused(cast(Granted, grant))

    def refused(self, grant: Grant, again_after: timedelta | None) -> None:
        """Date the slot of a call answered 429."""
        self.quota.refused(cast(Granted, grant), again_after=again_after)

    def room(self, lane: Lane, on_the_queue: int) -> int:
        """Say how many more rings the quota can carry soon."""
        most = ON_THE_QUEUE - on_the_queue
        if most < REFILL:
            return 0
        try:
            return min(most, self.quota.room(lane, within=AHEAD) - on_the_queue)
        except QuotaUnavailable:
            return 0

    def fill(self) -> QuotaFill:
        """Tell people how full it is."""
        return self.quota.fill()


def pace_for(
    settings: Settings, destination: Destination, redis: Redis, database: Database, clock: Clock
) -> QuotaPace:
    """Build the quota of a destination's key."""
    limit = Limit(calls=destination.calls, window=destination.window)
    shared = destination.address is not None
    past = _Past(_peers(settings, destination), database, clock)
    quota = Quota(
        redis,
        key_name=destination.key_name,
        limit=limit,
        hold=settings.send_by + settings.deadline,
        recent=past.read,
        address=destination.address,
        address_limit=(
            Limit(calls=destination.address_calls, window=destination.window) if shared else None
        ),
        namespace=settings.namespace,
    )
    past.lookback = quota.lookback
    return QuotaPace(quota)


def _peers(settings: Settings, destination: Destination) -> dict[str, str]:
    """Name the destinations whose calls count here, each with its key: same key, same address."""
    return {
        one.name: one.key_name
        for one in settings.destinations
        if one.key_name == destination.key_name
        or (destination.address is not None and one.address == destination.address)
    }


class _Past:
    """Reads what the window holds from the database, for a log that was lost."""

    def __init__(self, names: dict[str, str], database: Database, clock: Clock) -> None:
        self._names = names
        self._database = database
        self._clock = clock
        self.lookback = timedelta(0)

    def read(self) -> list[PastCall]:
        """Give every call the window may still hold."""
        now = self._clock.now()
        with self._database.reading() as connection:
            reads = [
                PastCall(
                    grant_id=grant_id,
                    lane=Lane(lane),
                    age=now - (answered_at or marked_at),
                    in_flight=answered_at is None,
                    key_name=key_name,
                )
                for name, key_name in self._names.items()
                for grant_id, lane, marked_at, answered_at in requests.since(
                    connection, name, now - self.lookback
                )
            ]
            return reads + [
                PastCall(
                    grant_id=past.grant_id,
                    lane=past.lane,
                    age=now - (past.answered_at or past.marked_at),
                    in_flight=past.answered_at is None,
                    key_name=key_name,
                )
                for name, key_name in self._names.items()
                for past in attempts.since(connection, name, now - self.lookback)
            ]
