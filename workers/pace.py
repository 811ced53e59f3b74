"""The quota as delivery and the relay know it."""

from collections.abc import Callable, Sequence
from datetime import timedelta

from gateway.errors import QuotaUnavailable
from gateway.quota import Granted, Limit, PastCall, Quota, QuotaFill, WaitReason
from outbox import attempts
from outbox.errors import QuotaAway
from runtime.clock import Clock
from runtime.database import Database
from runtime.redis import Redis
from runtime.settings import Destination, Settings
from schema.states import Lane

AHEAD = timedelta(seconds=5)
"""How far ahead the relay dispatches: what the quota can carry in this time. More, and a pause or a
newer version comes too late for what is on the queue; less, and workers wait for the relay."""

ON_THE_QUEUE = 1_000
"""How many rings may be out at most, however large the quota: workers must get through them
before they are rung again."""


class QuotaPace:
    """Says yes, or how long to wait; the quota's other words are for people."""

    def __init__(self, quota: Quota) -> None:
        self.quota = quota

    def ask(self, lane: Lane) -> Granted | timedelta:
        """Give a slot, or how long to wait; raises `QuotaAway`."""
        try:
            answer = self.quota.ask(lane)
        except QuotaUnavailable as error:
            raise QuotaAway("the quota cannot be asked") from error
        return answer if isinstance(answer, Granted) else answer.wait

    def still_good(self, grant: Granted) -> bool:
        """Say whether the call may be made, now that its row is committed."""
        return self.quota.still_good(grant)

    def answered(self, grant: Granted) -> None:
        """Date the slot now."""
        self.quota.answered(grant)

    def unused(self, grant: Granted) -> None:
        """Give it back."""
        self.quota.unused(grant)

    def refused(self, grant: Granted, again_after: timedelta | None) -> None:
        """Date the slot of a call answered 429."""
        self.quota.refused(grant, again_after=again_after)

    def room(self, lane: Lane, on_the_queue: int) -> int:
        """Say how many more rings the quota can carry soon."""
        most = ON_THE_QUEUE - on_the_queue
        if most <= 0:
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
    quota = Quota(
        redis,
        key_name=destination.key_name,
        limit=limit,
        hold=settings.send_by + settings.deadline,
        recent=lambda: recent(),
        address=destination.address,
        address_limit=(
            Limit(calls=destination.address_calls, window=destination.window) if shared else None
        ),
        namespace=settings.namespace,
    )
    recent = _recent(settings, destination, database, clock, lambda: quota.lookback)
    return QuotaPace(quota)


def _recent(
    settings: Settings,
    destination: Destination,
    database: Database,
    clock: Clock,
    lookback: Callable[[], timedelta],
) -> Callable[[], Sequence[PastCall]]:
    """Give a function that reads what the window holds, for a log that was lost."""
    names = {
        one.name: one.key_name
        for one in settings.destinations
        if one.key_name == destination.key_name
        or (destination.address is not None and one.address == destination.address)
    }

    def read() -> list[PastCall]:
        now = clock.now()
        with database.reading() as connection:
            return [
                PastCall(
                    grant_id=past.grant_id,
                    lane=past.lane,
                    age=now - (past.answered_at or past.marked_at),
                    in_flight=past.answered_at is None,
                    key_name=key_name,
                )
                for name, key_name in names.items()
                for past in attempts.since(connection, name, now - lookback())
            ]

    return read


__all__ = ["QuotaPace", "WaitReason", "pace_for"]
