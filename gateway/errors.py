"""What can go wrong at the remote API's door.

GatewayError
├── QuotaUnavailable    wait: nobody may call until Redis answers again
├── UnknownContract     ask a person: the configuration names a contract that is not here
├── UnusableAddress     ask a person: the API's address is not one that may be called
└── UnusableKey         ask a person: the API key cannot be sent as it is
"""


class GatewayError(Exception):
    """Base of everything the gateway raises."""


class QuotaUnavailable(GatewayError):
    """Redis cannot be asked, so no call may be made; ask again in a few seconds."""


class UnknownContract(GatewayError):
    """No contract of that name; the message lists the known ones."""


class UnusableAddress(GatewayError):
    """The base URL is not https, or carries what it must not; the message gives the cure."""


class UnusableKey(GatewayError):
    """The API key is missing, or has characters no header can carry. Never quotes the key."""
