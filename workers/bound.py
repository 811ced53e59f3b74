"""Whether a destination is still bound as it was when this process was started."""

import structlog
from sqlalchemy import Connection

from outbox import bindings

logger = structlog.get_logger(__name__)


class Bound:
    """The binding under which a process was started; safe to share between threads."""

    def __init__(self, destination: str, generation: int) -> None:
        self._destination = destination
        self._generation = generation
        self.anew = False
        """The database speaks for another destination by now: this process is to end."""

    def __call__(self, connection: Connection) -> bool:
        """Say whether it still holds; a yes holds until the transaction ends."""
        if bindings.holds(connection, self._destination, self._generation):
            return True
        if not self.anew:
            self.anew = True
            logger.error("bound_anew", destination=self._destination)
        return False
