"""The end of a full sync: what it has not seen is looked up, and only then gone.

One idea: absence from a list proves nothing by itself. A list may have been cut short, or pages may
have shifted; so everything that was not seen is asked for by its id, and where too much of it would
go at once a person decides.
"""

from sqlalchemy import Connection

from inbox import differences, feed, mirror
from inbox.checkpoints import Run
from inbox.drift import too_many
from inbox.mirror import Reading
from inbox.news import Item
from inbox.telling import Listener
from records import readings
from schema.inbox import News
from schema.sources import Source

PAST_THE_BRAKE = "past_the_brake"
"""Key of a run's progress: a person has seen how much would be gone, and said to go on."""


class Sweep:
    """What is left of a full sync once all its pages were read."""

    def __init__(self, source: Source, listener: Listener, run: Run) -> None:
        self._source = source
        self._listener = listener
        self._run = run

    def brake(self, connection: Connection) -> str | None:
        """Say why the sync must stop for a person; None when it may go on."""
        if self._run.progress.get(PAST_THE_BRAKE):
            return None
        missing = len(self._unseen(connection))
        known = mirror.count(connection, self._run.destination, self._run.source)
        # What is looked up already counts too: else the brake would be let off candidate by one.
        missing += self._run.gone
        if not too_many(missing, known + self._run.gone):
            return None
        return f"{missing} of {known + self._run.gone} were not seen; that is too many at once"

    def next(self, connection: Connection) -> str | None:
        """Name something that was not seen; None when nothing is left."""
        found = self._unseen(connection, limit=1)
        return found[0] if found else None

    def _unseen(self, connection: Connection, limit: int | None = None) -> list[str]:
        return mirror.unseen(
            connection,
            self._run.destination,
            self._run.source,
            run_id=self._run.id,
            opened_at=self._run.opened_at,
            limit=limit,
        )

    def gone(self, connection: Connection, reading: Reading, remote_id: str) -> None:
        """Take something for gone: it was in no list, and is not there when asked for."""
        if not mirror.mark_gone(connection, reading, remote_id):
            return
        linked = []
        if self._listener.source.kind is not None:
            linked = readings.linked_to(
                connection, reading.destination, self._listener.source.kind, [remote_id]
            )
        keys = tuple(str(one.key) for one in linked)
        for key in keys:
            differences.note_missing(connection, reading, remote_id, key)
        entry = feed.Entry(
            source=reading.source,
            remote_id=remote_id,
            item=Item(kind=News.GONE),
            record_keys=keys,
        )
        feed.append(
            connection, reading.destination, [entry], run_id=reading.run_id, now=reading.now
        )

    def there(self, connection: Connection, reading: Reading, remote_id: str) -> None:
        """Note that something is there after all, also where what is there cannot be read."""
        mirror.seen_again(connection, reading, [remote_id])
