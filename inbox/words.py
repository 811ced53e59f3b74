"""The words a remote thing can be found by: as they are kept, and as somebody types them. Pure.

One idea: both are put into the same plain form, small letters without accents, so that what is typed
is found by the beginning of a word, from an index.
"""

import re
import unicodedata
from collections.abc import Mapping, Sequence

from schema.fingerprint import Json

APART = re.compile(r"[^\w@.+'-]+")
"""What stands between words. An address is one word; so is a double-barrelled name, and its halves."""

LONGEST_WORD = 100
"""Characters of a word that are kept."""


def words_of(content: Mapping[str, Json], named_by: Sequence[str]) -> frozenset[str]:
    """Give the words in these fields of a content; a dot leads into a part."""
    texts = (_at(content, path) for path in named_by)
    return frozenset(word for text in texts if isinstance(text, str) for word in split(text))


def split(text: str) -> list[str]:
    """Cut a text into words in their plain form, each once, in order."""
    found: list[str] = []
    for word in APART.split(_plain(text)):
        whole = word.strip(".'-_+")[:LONGEST_WORD]
        parts = [] if "@" in whole else re.split(r"[.'_+-]", whole)
        found += [one for one in (whole, *parts) if one]
    return list(dict.fromkeys(found))


def _plain(text: str) -> str:
    apart = unicodedata.normalize("NFKD", text.casefold())
    return "".join(one for one in apart if not unicodedata.combining(one))


def _at(content: Mapping[str, Json], path: str) -> Json:
    value: Json = content
    for name in path.split("."):
        value = value.get(name) if isinstance(value, Mapping) else None
    return value
