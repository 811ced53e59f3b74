"""What can go wrong on the way in. Nothing has been written when one of these is raised.

ProducerError
├── OutsideTransaction    the call is in the wrong place: put it inside the change's transaction
└── EventIdTaken          this event_id was used for another content: correct the local system
"""


class ProducerError(Exception):
    """Base of everything a producer raises."""


class OutsideTransaction(ProducerError):
    """There is no open transaction that the entry could share its fate with."""


class EventIdTaken(ProducerError):
    """The same source and event_id stand for two different events."""
