"""Whether the console may listen where it is told to: pure.

One idea: at this machine anybody may try it out; the moment others could reach it, it is closed by
default, and each thing that opens it was said by somebody.
"""

from console.errors import NotOpen
from runtime.settings import Listening

HERE = frozenset({"localhost", "127.0.0.1", "::1"})
"""The names of this machine itself; always answered to."""


def check(listening: Listening, *, anybody: bool) -> None:
    """Raise `NotOpen`, with the cure, where it may not. *anybody*: does anybody have an account?"""
    if not listening.is_public:
        return
    if not anybody:
        raise NotOpen(
            f"PILLARBOX_CONSOLE_HOST is {listening.host}, which other machines can reach, and nobody "
            "has an account; add one with `pillarbox console user add NAME --role admin`"
        )
    if not listening.is_secure and listening.tls != "none":
        raise NotOpen(
            f"PILLARBOX_CONSOLE_HOST is {listening.host}, and passwords would travel in plain text; "
            "name PILLARBOX_CONSOLE_TLS_CERTIFICATE and PILLARBOX_CONSOLE_TLS_KEY, or set "
            "PILLARBOX_CONSOLE_TLS to proxy where a proxy in front ends TLS, or to none"
        )
    if not listening.names:
        raise NotOpen(
            f"PILLARBOX_CONSOLE_HOST is {listening.host}, and PILLARBOX_CONSOLE_NAMES is empty; name "
            "the hosts that people will type, such as desk.example.org"
        )


def names(listening: Listening) -> frozenset[str]:
    """Give the names that are answered to."""
    return HERE | frozenset(listening.names)
