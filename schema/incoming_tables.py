"""The tables of the incoming half: runs and checkpoints, the mirror, the feed, what was held.

One idea: everything a read may decide by (when it began, under which lease, in which run) is a
column, so that a run killed anywhere goes on where its last page was committed.
"""

from enum import StrEnum
from typing import Final

from sqlalchemy import (
    BigInteger,
    CheckConstraint,
    Column,
    ForeignKey,
    Index,
    Integer,
    Table,
    Text,
    text,
)

from schema.inbox import OF_NO_THING, DriftKind, DriftState, News, RunKind, RunState, Trigger
from schema.states import Lane
from schema.tables import Document, Id, Instant, metadata

__all__ = [
    "alias",
    "booking",
    "checkpoint",
    "drift",
    "feed",
    "feed_end",
    "held_row",
    "metadata",
    "poll_run",
    "remote_record",
    "remote_word",
    "request_log",
    "subscriber",
]


def _one_of(column: str, values: type[StrEnum], *, or_null: bool = False) -> str:
    listed = ", ".join(f"'{one.value}'" for one in values)
    check = f"{column} IN ({listed})"
    return f"{column} IS NULL OR {check}" if or_null else check


checkpoint: Final = Table(
    "checkpoint",
    metadata,
    Column("destination", Text, primary_key=True),
    Column("source", Text, primary_key=True),
    Column("watermark", Instant),
    Column("watermark_here", Instant),
    Column("high_water", Instant),
    Column("completed_run", BigInteger),
    Column("full_opened_at", Instant),
    Column("next_poll_at", Instant),
    Column("paused_at", Instant),
    Column("failures", Integer, nullable=False, server_default="0"),
    Column("token", BigInteger, nullable=False, server_default="0"),
    Column("lease_until", Instant),
    # Stops a watermark of which nobody knows how old it is by our own clock.
    CheckConstraint(
        "(watermark IS NULL) = (watermark_here IS NULL) "
        "AND (watermark IS NULL) = (completed_run IS NULL)",
        name="watermark_whole",
    ),
)
"""Per collection: the start of the last complete run (the watermark), by the server's clock and by
ours, and who is reading it now. `full_opened_at` is when the last complete full sync began."""


booking: Final = Table(
    "booking",
    metadata,
    Column("id", Id, primary_key=True, autoincrement=True),
    Column("destination", Text, nullable=False),
    Column("source", Text, nullable=False, server_default=""),
    Column("hours", Text, nullable=False),
    Column("agreed_by", Text, nullable=False),
    Column("booked_by", Text, nullable=False),
    Column("booked_at", Instant, nullable=False),
    # Stops hours of which nobody can say with whom they were agreed.
    CheckConstraint("agreed_by <> ''", name="agreed"),
)
"""Hours of London agreed for full syncs, such as `tue 22:00-06:00`, and with whom. `source` empty:
every source that has none of its own."""
Index(
    "booking_hours", booking.c.destination, booking.c.source, booking.c.hours, unique=True
)  # the same hours are booked once


poll_run: Final = Table(
    "poll_run",
    metadata,
    Column("id", Id, primary_key=True, autoincrement=True),
    Column("state", Text, nullable=False),
    Column("kind", Text, nullable=False),
    Column("destination", Text, nullable=False),
    Column("source", Text, nullable=False),
    Column("trigger", Text, nullable=False),
    Column("since", Instant),
    Column("opened_at", Instant, nullable=False),
    Column("started_at", Instant),
    Column("ended_at", Instant),
    Column("pages", Integer, nullable=False, server_default="0"),
    Column("requests", Integer, nullable=False, server_default="0"),
    Column("seen", Integer, nullable=False, server_default="0"),
    Column("applied", Integer, nullable=False, server_default="0"),
    Column("unchanged", Integer, nullable=False, server_default="0"),
    Column("held", Integer, nullable=False, server_default="0"),
    Column("failed", Integer, nullable=False, server_default="0"),
    Column("gone", Integer, nullable=False, server_default="0"),
    Column("drifted", Integer, nullable=False, server_default="0"),
    Column("reason", Text),
    Column("progress", Document, nullable=False),
    CheckConstraint(_one_of("state", RunState), name="state_known"),
    CheckConstraint(_one_of("kind", RunKind), name="kind_known"),
    CheckConstraint(_one_of("trigger", Trigger), name="trigger_known"),
    # Stops a row that came and is in no count: nobody would ever look for it.
    CheckConstraint("seen = applied + unchanged + held + failed", name="counts_add_up"),
    CheckConstraint("(state = 'open') = (ended_at IS NULL)", name="ended_has_time"),
    # Stops a complete run whose watermark would be nothing.
    CheckConstraint("state <> 'complete' OR started_at IS NOT NULL", name="complete_has_start"),
)
"""One reading of a collection. `since` empty: everything. `started_at` is by the server's clock."""
Index(
    "poll_run_open",
    poll_run.c.destination,
    poll_run.c.source,
    poll_run.c.kind,
    unique=True,
    postgresql_where=text("state = 'open'"),
    sqlite_where=text("state = 'open'"),
)  # stops a second run of a collection beside one that is not over
Index("poll_run_latest", poll_run.c.destination, poll_run.c.source, poll_run.c.id)  # polls list


remote_record: Final = Table(
    "remote_record",
    metadata,
    Column("destination", Text, primary_key=True),
    Column("source", Text, primary_key=True),
    Column("remote_id", Text, primary_key=True),
    Column("fingerprint", Text, nullable=False),
    Column("first_seen", Instant, nullable=False),
    Column("last_seen", Instant, nullable=False),
    Column("read_began_at", Instant, nullable=False),
    Column("remote_updated_at", Instant),
    Column("gone_since", Instant),
    Column("merged_into", Text),
    Column("seen_run", BigInteger, nullable=False),
    Column("content", Document, nullable=False),
    # Stops a merged row that still counts as being there.
    CheckConstraint("merged_into IS NULL OR gone_since IS NOT NULL", name="merged_is_gone"),
)
"""The mirror: each remote thing as it was last read. `seen_run` is the last run that saw it."""
Index(
    "remote_record_unseen",
    remote_record.c.destination,
    remote_record.c.source,
    remote_record.c.seen_run,
    postgresql_where=text("gone_since IS NULL"),
    sqlite_where=text("gone_since IS NULL"),
)  # full sync: what this run has not seen
Index(
    "remote_record_gone",
    remote_record.c.gone_since,
    postgresql_where=text("gone_since IS NOT NULL"),
    sqlite_where=text("gone_since IS NOT NULL"),
)  # prune: what has been gone for long


# By code points everywhere: what begins with the same letters then stands together in the index.
_Word = Text().with_variant(Text(collation="C"), "postgresql")

remote_word: Final = Table(
    "remote_word",
    metadata,
    Column("destination", Text, primary_key=True),
    Column("word", _Word, primary_key=True),
    Column("remote_id", Text, primary_key=True),
)
"""What a remote thing can be found by: the words of its name in small letters, its reference numbers,
its addresses. Kept with the mirror."""
Index(
    "remote_word_of", remote_word.c.destination, remote_word.c.remote_id, remote_word.c.word
)  # search: the other words of a name; what is to be taken out


alias: Final = Table(
    "alias",
    metadata,
    Column("destination", Text, primary_key=True),
    Column("source", Text, primary_key=True),
    Column("old_id", Text, primary_key=True),
    Column("new_id", Text, nullable=False),
    Column("since", Instant, nullable=False),
    # Stops a way round in a circle.
    CheckConstraint("old_id <> new_id", name="leads_on"),
)
"""Ids that were merged into others there."""


held_row: Final = Table(
    "held_row",
    metadata,
    Column("id", Id, primary_key=True, autoincrement=True),
    Column("destination", Text, nullable=False),
    Column("source", Text, nullable=False),
    Column("ref", Text, nullable=False),
    Column("reason", Text, nullable=False),
    Column("times", Integer, nullable=False, server_default="1"),
    Column("first_seen", Instant, nullable=False),
    Column("last_seen", Instant, nullable=False),
    Column("seen_run", BigInteger, nullable=False),
    Column("cleared_at", Instant),
)
"""A row of a page that could not be read or applied: its id (else its hash) and why, no content."""
Index(
    "held_row_open",
    held_row.c.destination,
    held_row.c.source,
    held_row.c.ref,
    unique=True,
    postgresql_where=text("cleared_at IS NULL"),
    sqlite_where=text("cleared_at IS NULL"),
)  # one row that is held is one row here, however often it comes


feed_end: Final = Table(
    "feed_end",
    metadata,
    Column("destination", Text, primary_key=True),
    Column("position", BigInteger, nullable=False),
    Column("pruned", BigInteger, nullable=False, server_default="0"),
)
"""The last position of a destination's feed. Who appends holds this row until its commit, so that
positions become visible in order and a reader that remembers the last one misses nothing. Up to
`pruned` nothing is kept any more."""


_NO_THING = ", ".join(sorted(f"'{one.value}'" for one in OF_NO_THING))

feed: Final = Table(
    "feed",
    metadata,
    Column("destination", Text, primary_key=True),
    Column("position", BigInteger, primary_key=True, autoincrement=False),
    Column("kind", Text, nullable=False),
    Column("source", Text, nullable=False),
    Column("remote_id", Text),
    Column("record_keys", Document, nullable=False),
    Column("changed", Document, nullable=False),
    Column("before", Document),
    Column("after", Document),
    Column("remote_updated_at", Instant),
    Column("at", Instant, nullable=False),
    Column("run_id", Id, ForeignKey("poll_run.id")),
    Column("entry_id", BigInteger),
    Column("event_id", Text),
    Column("outcome", Text),
    Column("reason", Text),
    CheckConstraint(_one_of("kind", News), name="kind_known"),
    # Stops news that say nothing.
    CheckConstraint("kind <> 'updated' OR (before IS NOT NULL AND after IS NOT NULL)", name="real"),
    # Stops news of nobody knows whom.
    CheckConstraint(f"kind IN ({_NO_THING}) OR remote_id IS NOT NULL", name="of_something"),
    # Stops the fate of nobody knows which event, and one that says nothing.
    CheckConstraint(
        "(kind = 'settled') = (entry_id IS NOT NULL) AND (kind = 'settled') = (outcome IS NOT NULL)",
        name="fate_whole",
    ),
)
"""What changed there, in order, for local systems to read. Rows are only ever appended, and pruned.

`source` is the collection, and for `settled` the local system that emitted the event."""
Index(
    "feed_of_thing", feed.c.destination, feed.c.source, feed.c.remote_id, feed.c.position
)  # a record's story


subscriber: Final = Table(
    "subscriber",
    metadata,
    Column("destination", Text, primary_key=True),
    Column("name", Text, primary_key=True),
    Column("position", BigInteger),
    Column("walk_source", Text),
    Column("walk_id", Text),
    Column("handled", BigInteger, nullable=False, server_default="0"),
    Column("moved_at", Instant),
    Column("failures", Integer, nullable=False, server_default="0"),
    Column("retry_at", Instant),
    Column("held_at", Instant),
    Column("stuck_at", Text),
    Column("error", Text),
    Column("token", BigInteger, nullable=False, server_default="0"),
    Column("lease_until", Instant),
    # Stops a walk through the mirror after which nobody knows where in the feed to go on.
    CheckConstraint(
        "(walk_source IS NULL) = (walk_id IS NULL) "
        "AND (walk_source IS NULL OR position IS NOT NULL)",
        name="walk_whole",
    ),
    # Stops a handler that stands still and nobody knows why.
    CheckConstraint("held_at IS NULL OR error IS NOT NULL", name="held_has_reason"),
)
"""How far each handler of the feed is. No position: nobody has said where it begins. While it walks
through the mirror, what is there comes first: `walk_source` and `walk_id` say how far that is. Where it
failed is `stuck_at`."""


request_log: Final = Table(
    "request_log",
    metadata,
    Column("id", Id, primary_key=True, autoincrement=True),
    Column("destination", Text, nullable=False),
    Column("lane", Text, nullable=False),
    Column("grant_id", Text, nullable=False),
    Column("run_id", BigInteger),
    Column("path", Text, nullable=False),
    Column("marked_at", Instant, nullable=False),
    Column("answered_at", Instant),
    Column("outcome", Text),
    Column("status", Integer),
    Column("request_id", Text),
    Column("duration_ms", Integer),
    Column("detail", Text),
    CheckConstraint(_one_of("lane", Lane), name="lane_known"),
)
"""Every read, committed before it is made: the quota's log can be made again from these rows."""
Index(
    "request_log_recent", request_log.c.destination, request_log.c.marked_at
)  # quota: what the window holds; prune


drift: Final = Table(
    "drift",
    metadata,
    Column("id", Id, primary_key=True, autoincrement=True),
    Column("state", Text, nullable=False),
    Column("kind", Text, nullable=False),
    Column("destination", Text, nullable=False),
    Column("source", Text, nullable=False),
    Column("remote_id", Text, nullable=False),
    Column("record_key", Text),
    Column("field", Text, nullable=False, server_default=""),
    Column("ours", Document),
    Column("theirs", Document),
    Column("found_at", Instant, nullable=False),
    Column("run_id", Id, ForeignKey("poll_run.id")),
    Column("resolved_at", Instant),
    Column("resolved_by", Text),
    CheckConstraint(_one_of("kind", DriftKind), name="kind_known"),
    CheckConstraint(_one_of("state", DriftState), name="state_known"),
    # Stops a difference that is over and nobody said so, and one that is open and resolved.
    CheckConstraint("(state = 'open') = (resolved_at IS NULL)", name="resolved_has_time"),
)
"""What a full sync found different, until somebody says what is right."""
Index(
    "drift_open",
    drift.c.destination,
    drift.c.source,
    drift.c.remote_id,
    drift.c.kind,
    drift.c.field,
    unique=True,
    postgresql_where=text("state IN ('open', 'ignored')"),
    sqlite_where=text("state IN ('open', 'ignored')"),
)  # found again it is the same difference; ignored it stays ignored
