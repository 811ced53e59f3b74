"""What can go wrong on the way out.

OutboxError
├── QuotaAway         wait: nobody may call until the quota can be asked again
├── NotAside          a person's word about a record that waits for no person
├── Overtaken         a person's word that something newer, or somebody else, came before
├── DoesNotFit        a person's word that is not what helps a record as it stands
│   └── NotForOverride    sending all the same is not what helps
└── NotRestorable     what was discarded cannot be asked for again
"""


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
