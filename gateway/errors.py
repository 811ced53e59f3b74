"""What can go wrong at the remote API's door.

GatewayError
└── QuotaUnavailable    wait: nobody may call until Redis answers again
"""


class GatewayError(Exception):
    """Base of everything the gateway raises."""


class QuotaUnavailable(GatewayError):
    """Redis cannot be asked, so no call may be made; ask again in a few seconds."""
