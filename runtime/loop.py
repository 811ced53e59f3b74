"""The one loop: rounds until asked to stop."""

from collections.abc import Callable
from datetime import timedelta
from threading import Event

import structlog

from runtime.log import named

logger = structlog.get_logger(__name__)


def run_every(interval: timedelta, stop: Event, run_once: Callable[[], int]) -> None:
    """Run rounds until asked to stop.

    A round that did something is followed at once by the next, so a backlog drains at
    full speed; a round that found nothing waits. A round that fails is logged and does
    not end the process: the rows it left behind are still due.
    """
    while not stop.is_set():
        try:
            done = run_once()
        except Exception as error:
            # The class alone: a driver's message may carry the values of a row.
            logger.error("round_failed", **named(error))
            done = 0
        if not done:
            stop.wait(interval.total_seconds())
