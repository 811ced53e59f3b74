"""The veil: what lies over every text of an answer to somebody who may not see names.

One idea: names come in sentences that nobody here wrote (what the API answered, why a run ended, what
a person noted), so every page, file and JSON answer passes through here, and no page has to think
of it. What a page knows of its people is told to the veil first; what looks like an e-mail address, a
TRN or a quoted name is hidden wherever it stands.
"""

import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from enum import Enum
from typing import Any, Final, cast
from unicodedata import normalize

from markupsafe import Markup

from console.masking import PERSONAL, masked

Over = Callable[[Any], Any]
"""Gives a document as somebody may read it."""

_OF_ADDRESS = r"[^\s@<>\"'(),;:\[\]{}|=]"
_LIKE_SOMEBODY: Final = re.compile(
    # As long as a part of an address can be, and no longer: without an end, a long word is looked
    # through anew from each of its letters, and a word that a stranger sends stops the process.
    rf"{_OF_ADDRESS}{{1,64}}@{_OF_ADDRESS}{{1,255}}\.\w+|(?<![\w/:-])\d{{7}}(?![\w-])"
)
"""An e-mail address, or a TRN: seven digits. After a colon, a dash or a slash such digits are a part of
a record's key, or of an address of ours."""

_TOLD_TRN: Final = re.compile(r"(?i:\btrn\W{0,3}|\breference.number\W{1,3})(\d{7})(?!\w)")

_QUOTED: Final = re.compile(
    r"(?<!\w)(?P<quote>[\"“‘'`])(?P<name>[A-ZÀ-Þ][\w.’'-]+(?: [A-ZÀ-Þ][\w.’'-]*)*)(?=[\"”’'`])"
)
"""Words in quotation marks that all begin with a capital, as people's names do."""

KEYS: Final = frozenset(
    {
        *("id", "key", "record", "record_key", "record_keys", "source_id", "remote_id"),
        *("event_id", "subject", "group", "cursor", "next", "actor"),
    }
)
"""The fields of JSON and of files that name a record or a place: a program needs them as they are."""

FIELDS: Final = PERSONAL - {"name"}
"""The fields that are always about a person. A `name` may be a handler's, or a token's."""

SHORTEST: Final = 2
"""Letters of a part of a name; a single one would be found in every sentence."""


class Veil:
    """What one visitor may not read on one page, and what may be read of whom was revealed."""

    def __init__(self) -> None:
        self._hidden: set[str] = set()
        self._shown: set[str] = set()
        self._names: re.Pattern[str] | None = None
        self._names_in_sentences: re.Pattern[str] | None = None

    def hide(self, values: Iterable[str]) -> None:
        """Hide these names, numbers and addresses wherever they stand, also part by part."""
        fresh = {_composed(one) for one in values if len(one) >= SHORTEST} - self._hidden
        if fresh:
            self._hidden |= fresh
            parts = _parts(self._hidden)
            self._names = _any_of([form for one in parts for form in _written(one)])
            whole = [r"\s+".join(map(_pattern, one.split())) for one in self._hidden]
            self._names_in_sentences = _any_of([*whole, *map(_pattern, parts)], re.IGNORECASE)

    def show(self, values: Iterable[str]) -> None:
        """Leave these addresses and numbers, whose owner was revealed."""
        self._shown |= set(values)

    def over(self, value: Any) -> Any:
        """Give a document without what may not be read; what is neither text nor list stays."""
        match value:
            case Markup() | Enum():
                return value
            case str():
                return self.text(value)
            case Mapping():
                told = cast(Mapping[str, Any], value)
                return {name: self._field(name, one) for name, one in told.items()}
            case list() | tuple():
                return [self.over(one) for one in cast(Sequence[Any], value)]
            case _:
                return value

    def text(self, text: str) -> str:
        """Give a sentence without anybody in it. An address of this console is none."""
        if text.startswith("/") and not any(one.isspace() for one in text):
            return text
        text = _composed(text)
        names = self._names_in_sentences if " " in text else self._names
        if names is not None:
            text = names.sub(_dotted, text)
        text = _TOLD_TRN.sub(self._number, text)
        text = _LIKE_SOMEBODY.sub(self._unless_shown, text)
        return _QUOTED.sub(self._quoted, text)

    def _field(self, name: str, value: Any) -> Any:
        if name in KEYS:
            return value
        if name in FIELDS and isinstance(value, str) and value not in self._shown:
            return masked(value, shown=False)
        return self.over(value)

    def _unless_shown(self, found: re.Match[str]) -> str:
        return found[0] if found[0] in self._shown else _dotted(found)

    def _quoted(self, found: re.Match[str]) -> str:
        name = found["name"]
        is_a_word = " " not in name and name.isupper()
        if is_a_word or any(name in one for one in self._shown):
            return found[0]
        return found["quote"] + masked(name, shown=False)

    def _number(self, found: re.Match[str]) -> str:
        if found[1] in self._shown:
            return found[0]
        return found[0].removesuffix(found[1]) + masked(found[1], shown=False)


def _parts(values: Iterable[str]) -> list[str]:
    """Give what a sentence may hold of these values: each word that is written as a name is."""
    words = {word.strip(".,") for one in values for word in one.split()}
    return sorted(one for one in words if len(one) >= SHORTEST and not one.islower())


def _written(word: str) -> list[str]:
    return [_pattern(one) for one in {word, word.upper(), word.capitalize()}]


def _pattern(word: str) -> str:
    """Find a word with either apostrophe: people type one, and the API has the other."""
    return re.sub("['’]", "['’]", re.escape(word))


def _composed(text: str) -> str:
    """Write each letter with its accent as one character; some computers send two."""
    return text if text.isascii() else normalize("NFC", text)


def _any_of(patterns: Sequence[str], flags: re.RegexFlag = re.NOFLAG) -> re.Pattern[str] | None:
    longest_first = sorted(set(patterns), key=lambda one: (-len(one), one))
    if not longest_first:
        return None
    return re.compile(rf"(?<!\w)(?:{'|'.join(longest_first)})(?!\w)", flags)


def _dotted(found: re.Match[str]) -> str:
    return masked(found[0], shown=False)


CLOSED: Final = Veil()
"""Over what is answered to nobody in particular."""
