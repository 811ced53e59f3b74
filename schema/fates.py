"""What became of a local event, as the feed tells it: a shape that both halves know.

One idea: the system that emitted an event is told by its own reference, so it need not ask.
"""

from dataclasses import dataclass

from schema.keys import EntryId


@dataclass(frozen=True, slots=True, kw_only=True)
class Fate:
    """The end of an entry, or why its record waits for a person.

    `outcome` is how it closed (`delivered`, `unchanged`, …), else the reason its record was set aside
    with (`refused`, `conflict`, …); `reason` says that in words, where there are any.
    """

    entry: EntryId
    source: str
    event_id: str | None
    record_key: str
    remote_id: str | None
    outcome: str
    reason: str | None = None
