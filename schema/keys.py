"""Identifiers, each with the one class or name that makes and parses it.

One idea: a text made of parts is never put together by hand elsewhere.
"""

from dataclasses import dataclass
from typing import NewType

EntryId = NewType("EntryId", int)
"""Identity of one outbox entry; later entries have larger ones."""

RecordId = NewType("RecordId", int)
AttemptId = NewType("AttemptId", int)

RemoteId = NewType("RemoteId", str)
"""What the remote side calls a record."""

LeaseToken = NewType("LeaseToken", int)
"""Grows with every dispatch and every take; a write under an older one changes nothing."""


@dataclass(frozen=True, slots=True, order=True)
class RecordKey:
    """Our text for one thing kept in step: `enrolment:E-1042`, `declaration:E-1042:started:1`.

    `part` and `round` are empty for kinds that have none. A source id may contain colons: the kind
    is read from the left, part and round from the right.
    """

    kind: str
    source_id: str
    part: str = ""
    round: int = 0

    def __str__(self) -> str:
        if not self.part:
            return f"{self.kind}:{self.source_id}"
        return f"{self.kind}:{self.source_id}:{self.part}:{self.round}"

    @classmethod
    def parse(cls, text: str) -> "RecordKey":
        """Read a key back; raises ValueError with a sentence when it is not one."""
        kind, separator, rest = text.partition(":")
        if not separator or not kind or not rest:
            raise ValueError(f"{text!r} is no record key; one looks like enrolment:E-1042")
        head, _, number = rest.rpartition(":")
        source_id, _, part = head.rpartition(":")
        if source_id and part and number.isdecimal() and kind == "declaration":
            return cls(kind, source_id, part, int(number))
        return cls(kind, rest)
