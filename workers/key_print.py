"""Names a key without telling it: by this a refused key is known again, and another one is noticed."""

import hmac
from hashlib import sha256

from runtime.errors import InvalidSettings
from runtime.settings import Token

LENGTH = 16
"""Hexadecimal digits kept: enough to tell keys apart. A key is long and random, so a print of it gives
nothing to guess by; the salt makes the prints of one key differ between databases."""

UNREADABLE = "unreadable"
"""In the place of a key that is not there: a key that can be read again is then another one."""


def key_print(token: Token, salt: str) -> str:
    """Give the print of the key as it is at this moment; *salt* is the database's own name."""
    try:
        key = token.read()
    except InvalidSettings:
        return UNREADABLE
    return hmac.new(salt.encode(), key.encode(errors="surrogateescape"), sha256).hexdigest()[
        :LENGTH
    ]
