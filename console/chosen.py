"""Which dead letters are meant, from the words of an address or of a command.

One idea: the same words everywhere, so that what a person filtered on a page can be typed as options,
and a bulk deed begins from the address of the list.
"""

from collections.abc import Mapping
from datetime import datetime

from sqlalchemy import Connection

from console.errors import NotFilled
from console.stories import find
from outbox.errors import NotASelection
from outbox.letters import Filter
from outbox.selection import OF_ENTRIES, Selection, entries_in, ids_in
from runtime.errors import InvalidSettings
from runtime.settings import duration
from schema.contract import Contract
from schema.states import DEAD_LETTERS, DOUBTS, HOLDS, Reason

WORDS = ("group", "reason", "operation", "kind", "owner", "record", "person", "age")
"""The words of a filter, as parameters of an address and as options of a command."""

BULK_WORDS = (*WORDS, "ids", *OF_ENTRIES)
"""The words by which many records are chosen at once."""

REASONS = tuple(one for one in Reason if one in DEAD_LETTERS | HOLDS | DOUBTS)
"""Why something may wait for a person."""


def chosen(
    connection: Connection,
    words: Mapping[str, str],
    *,
    destination: str,
    contracts: Mapping[str, Contract],
    now: datetime,
) -> Filter:
    """Say which letters are meant; raises `NotFilled`, which names the word that cannot be read.

    `record` is a record key or a local id, `person` a remote id, TRN, name or e-mail address; each
    means everything kept in step for that person. `age` means those that have stood at least so long.
    """
    families: list[str] | None = None
    for name in ("record", "person"):
        if words.get(name):
            found = find(connection, words[name], contracts=contracts, now=now)
            here = [one.record.family for one in found if one.record is not None]
            families = [*here] if families is None else [one for one in families if one in here]
    return Filter(
        destination=destination,
        signature=words.get("group") or None,
        reason=_reason(words.get("reason")),
        operation=words.get("operation") or None,
        kind=words.get("kind") or None,
        owner=words.get("owner") or None,
        families=None if families is None else sorted(set(families)),
        before=_before(words.get("age"), now),
    )


def selected(
    connection: Connection,
    words: Mapping[str, str],
    *,
    destination: str,
    contracts: Mapping[str, Contract],
    now: datetime,
) -> Selection:
    """Say which records a bulk is to be about: by the desk's words, by ids, by the entries they carry.

    Raises `NotFilled` as `chosen` does.
    """
    letters = chosen(connection, words, destination=destination, contracts=contracts, now=now)
    try:
        return Selection.of(letters, ids=ids_in(words), entries=entries_in(words))
    except NotASelection as error:
        raise NotFilled(f"{error}.", field=error.field) from None


def _reason(text: str | None) -> Reason | None:
    if not text:
        return None
    try:
        return Reason(text)
    except ValueError:
        known = ", ".join(one.value for one in REASONS)
        raise NotFilled(f"{text!r} is no reason; it may be {known}.", field="reason") from None


def _before(text: str | None, now: datetime) -> datetime | None:
    if not text:
        return None
    try:
        return now - duration(text, "age")
    except InvalidSettings as error:
        raise NotFilled(f"{error}.", field="age") from None
