"""What can go wrong on the way out.

OutboxError
└── QuotaAway    wait: nobody may call until the quota can be asked again
"""


class OutboxError(Exception):
    """Base of everything the outgoing half raises."""


class QuotaAway(OutboxError):
    """The quota cannot be asked, so no call may be made."""
