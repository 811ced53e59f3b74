"""Process: the relay of every destination, for ever."""

import threading
import time
from datetime import timedelta

import structlog

from outbox import gates
from outbox.bulk_round import BulkRound
from outbox.folding import FoldedMeanwhile
from outbox.relay import Relay, Round
from runtime import metrics
from runtime.log import named
from runtime.loop import run_every
from runtime.memory import collect_seldom
from schema.states import GateReason
from workers.heartbeat import Heart
from workers.wiring import Wiring

logger = structlog.get_logger(__name__)

REST = timedelta(milliseconds=200)
"""How long a relay rests when a round found nothing. It adds half of this to the way of a change;
an idle round costs a handful of index look-ups."""

STANDS_STILL_S = 180.0
"""A relay whose round has hung for this long is ended, for the supervisor to restart."""


class RelayLoop:
    """Rounds over all destinations, the tables' upkeep, and a heartbeat."""

    def __init__(self, wiring: Wiring, stop: threading.Event) -> None:
        self._wiring = wiring
        self._stop = stop
        self.work: list[tuple[Relay, BulkRound]] = [
            (wiring.relay(one), wiring.bulk_round(one)) for one in wiring.settings.destinations
        ]
        self._upkeep = wiring.upkeep()
        self._tallying = wiring.tallying()
        self._dating = [wiring.dating(one) for one in wiring.settings.destinations]
        self._round_at = time.monotonic()
        self._rounds = 0
        self._dispatched = 0
        self._heart = Heart(
            "relay", wiring.database, wiring.clock, self._progress, alive=self.gets_on
        )

    def run(self) -> None:
        """Make rounds until asked to stop."""
        collect_seldom()
        self._heart.start()
        logger.info("relay_ready", destinations=len(self.work))
        try:
            run_every(REST, self._stop, self.run_once)
        finally:
            self._heart.stop()
            logger.info("relay_stopped")

    def run_once(self) -> int:
        """Make one round for each destination; gives how much was done."""
        done = 0
        for relay, bulk in self.work:
            result = _round(relay)
            done += result.done + _bulk_round(bulk)
            self._dispatched += result.dispatched
            # After each: with Redis hung, a round of one destination takes seconds.
            self._round_at = time.monotonic()
        self._rounds += 1
        self._upkeep.step()
        self._tallying.step()
        for dating in self._dating:
            dating.step()
        return done

    def _progress(self) -> dict[str, float | int | str]:
        self._look_at_gates()
        return {"rounds": self._rounds, "dispatched": self._dispatched, **metrics.read()}

    def _look_at_gates(self) -> None:
        clock, database = self._wiring.clock, self._wiring.database
        with database.reading() as connection:
            holding = gates.holding(connection, clock.now())
        for reason in GateReason:
            metrics.GATES_HOLDING.labels(reason=reason.value).set(holding.get(reason, 0))

    def gets_on(self) -> bool:
        """Say whether it makes progress; when not, it is to be ended."""
        return time.monotonic() - self._round_at < STANDS_STILL_S


def _round(relay: Relay) -> Round:
    try:
        return relay.run_once()
    except FoldedMeanwhile:
        return Round(folded=1)  # the other relay is on it: look again at once
    except Exception as error:
        # One destination's trouble is not the others': they have nothing in common.
        logger.error("round_failed", destination=relay.destination, **named(error))
        return Round()


def _bulk_round(bulk: BulkRound) -> int:
    try:
        return bulk.run_once()
    except Exception as error:
        # What many wait for is nothing against what changes now: the relay goes on.
        logger.error("bulk_round_failed", destination=bulk.destination, **named(error))
        return 0
