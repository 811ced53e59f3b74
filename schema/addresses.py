"""Which addresses are on this computer. Pure.

One idea: what is on loopback is a sandbox and may be written to from the start; everything else is in
shadow until a person says otherwise. So this is decided in one place, by the address alone.
"""

from ipaddress import ip_address
from urllib.parse import urlsplit


def is_loopback(host: str) -> bool:
    """Whether a host's name or address is this computer. No name is looked up: only `localhost`."""
    if host == "localhost":
        return True
    try:
        return ip_address(host.partition("%")[0]).is_loopback
    except ValueError:
        return False


def leads_here(url: str) -> bool:
    """Whether a URL's host is this computer."""
    try:
        return is_loopback(urlsplit(url).hostname or "")
    except ValueError:
        return False
