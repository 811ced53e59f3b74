"""Passwords as hashes that are slow to try, with what they were made by inside.

One idea: a hash says itself how costly it was, so a later, dearer one stands beside it.
"""

import base64
import hashlib
import hmac
import secrets
import threading
from dataclasses import dataclass
from typing import Final

from console.errors import NotFilled

SHORTEST: Final = 12
"""Characters of a password at least; length is what makes guessing hopeless."""

LONGEST: Final = 200


@dataclass(frozen=True, slots=True, kw_only=True)
class Cost:
    """What one hash costs: 128 * 2^log_n * r bytes, and p times the work."""

    log_n: int = 15
    r: int = 8
    p: int = 3


USUAL: Final = Cost()
"""32 MB and about a quarter of a second; OWASP's advice for scrypt of that size."""

_AT_A_TIME: Final = threading.Semaphore(2)
"""Hashes made at once. More, and a crowd at the sign-in page takes all memory and every processor."""


def hashed(password: str, *, cost: Cost = USUAL) -> str:
    """Hash a password; raises `NotFilled` where it is too short or too long."""
    if not SHORTEST <= len(password) <= LONGEST:
        raise NotFilled(
            f"A password has {SHORTEST} to {LONGEST} characters; three or four words do.",
            field="password",
        )
    salt = secrets.token_bytes(16)
    digest = _derived(password, salt, cost)
    return f"scrypt${cost.log_n}${cost.r}${cost.p}${_packed(salt)}${_packed(digest)}"


def matches(password: str, stored: str | None) -> bool:
    """Say whether that is the password. Without a stored one it takes as long, and says no."""
    if len(password) > LONGEST:
        return False
    _, log_n, r, p, salt, digest = (stored or _NOBODYS).split("$")
    cost = Cost(log_n=int(log_n), r=int(r), p=int(p))
    derived = _derived(password, base64.b64decode(salt), cost)
    return hmac.compare_digest(derived, base64.b64decode(digest)) and stored is not None


def _derived(password: str, salt: bytes, cost: Cost) -> bytes:
    n = 2**cost.log_n
    with _AT_A_TIME:
        return hashlib.scrypt(
            password.encode(),
            salt=salt,
            n=n,
            r=cost.r,
            p=cost.p,
            maxmem=256 * n * cost.r,
            dklen=32,
        )


def _packed(content: bytes) -> str:
    return base64.b64encode(content).decode()


_NOBODYS: Final = (
    f"scrypt${USUAL.log_n}${USUAL.r}${USUAL.p}${_packed(bytes(16))}${_packed(bytes(32))}"
)
"""What a name that nobody has is compared with, so that the time tells nothing."""
