"""What can go wrong on the way out.

OutboxError
├── QuotaAway         wait: nobody may call until the quota can be asked again
├── NotAside          a person's word about a record that waits for no person
├── Overtaken         a person's word that something newer, or somebody else, came before
├── DoesNotFit        a person's word that is not what helps a record as it stands
│   └── NotForOverride    sending all the same is not what helps
├── NotRestorable     what was discarded cannot be asked for again
├── NotASelection     words by which nothing can be chosen; names the one at fault
├── CountMoved        a person confirmed a number, and by now it is another one
├── BulkUnderWay      another bulk of the destination is active: wait, or cancel it
└── NotThatBulk       a person's word about a bulk that is not there, or not in that state
"""

from schema.words import several


class OutboxError(Exception):
    """Base of everything the outgoing half raises."""


class QuotaAway(OutboxError):
    """The quota cannot be asked, so no call may be made."""


class NotAside(OutboxError):
    """The record is not there, or goes on by itself."""


class Overtaken(OutboxError):
    """Something newer was asked for or accepted, or another person was first; says what."""


class DoesNotFit(OutboxError):
    """Not what helps this record as it stands; says what does."""


class NotForOverride(DoesNotFit):
    """Sending it all the same would be refused, or wrong; says what helps instead."""


class NotRestorable(OutboxError):
    """What was discarded cannot be asked for again; says why."""


class NotASelection(OutboxError):
    """Something that many records were to be chosen by is wrong."""

    def __init__(self, sentence: str, *, field: str) -> None:
        super().__init__(sentence)
        self.field = field


class CountMoved(OutboxError):
    """The number that a person confirmed is not the number that would be done."""

    def __init__(self, *, expected: int, found: int) -> None:
        super().__init__(
            f"{several(found, 'record is', 'records are')} meant by now, not {expected:,}; nothing was done. "
            "Plan again"
        )
        self.expected = expected
        self.found = found


class BulkUnderWay(OutboxError):
    """Another bulk of this destination is active."""

    def __init__(self, sentence: str, *, bulk_id: int) -> None:
        super().__init__(sentence)
        self.bulk_id = bulk_id


class NotThatBulk(OutboxError):
    """There is no such bulk, or this cannot be said of it now."""
