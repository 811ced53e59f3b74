"""What can go wrong with what both halves build on.

RecordsError
└── NameTaken    an event's source and event_id stand for another content: correct who emits it
"""


class RecordsError(Exception):
    """Base of everything raised here."""


class NameTaken(RecordsError):
    """The same source and event_id stand for two different events."""
