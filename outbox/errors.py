"""What can go wrong on the way out.

OutboxError
├── QuotaAway         wait: nobody may call until the quota can be asked again
├── NotAside          a person's word about a record that waits for no person
└── NotForOverride    a person's word where sending all the same is not what helps
"""


class OutboxError(Exception):
    """Base of everything the outgoing half raises."""


class QuotaAway(OutboxError):
    """The quota cannot be asked, so no call may be made."""


class NotAside(OutboxError):
    """The record is not there, or goes on by itself."""


class NotForOverride(OutboxError):
    """Sending it all the same would be refused, or wrong; says what helps instead."""
