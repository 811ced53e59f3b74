"""An entry as a program reads it: the command and the page give the same."""

from typing import Any

from outbox.entries import Entry


def entry_json(entry: Entry) -> dict[str, Any]:
    """Give an entry as JSON, as `entries show --json` does."""
    return {
        "id": entry.id,
        "state": entry.state,
        "reason": entry.closed_as,
        "event": entry.event,
        "source_id": entry.source_id,
        "payload": entry.payload,
        "destination": entry.destination,
        "source": entry.source,
        "event_id": entry.event_id,
        "version": entry.version,
        "happened_at": entry.happened_at,
        "actor": entry.actor,
        "emitted_at": entry.emitted_at,
        "closed_at": entry.closed_at,
        "record_id": entry.record_id,
    }
