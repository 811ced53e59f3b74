"""Compare what we believed with what is there. Pure.

One idea: only what we send can drift. What is theirs may differ from yesterday's at any time, and
is simply the new state.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from records.fold import Agrees
from schema.contract import ABSENT, Kind
from schema.fingerprint import Json
from schema.record import Record

TOO_MANY_PERCENT = 2
TOO_MANY = 10
"""A full sync in which more than this part *and* more than this number would be gone at once stops
for a person: it is likelier that a list was cut short than that so many left."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Different:
    """A field on which the two sides do not agree."""

    field: str
    ours: Json
    theirs: Json


def compare(
    record: Record, there: Mapping[str, Json], kind: Kind, agrees: Agrees
) -> Sequence[Different]:
    """Name the fields we own in which *there* does not agree with what was last accepted.

    What a doubt or a pending wish will settle anyway is left to it.
    """
    if record.accepted is None or record.mark is not None or record.accepted == ABSENT:
        return ()
    status = [kind.status_field] if kind.status_field else []
    owned = sorted([*kind.ours, *status])
    asked = {*record.pending, *(status if record.path else [])}
    return tuple(
        Different(field=name, ours=record.accepted.get(name), theirs=there.get(name))
        for name in owned
        if name not in asked and not agrees(name, record.accepted.get(name), there)
    )


def too_many(gone: int, known: int) -> bool:
    """Whether so many of so many must not be taken for gone without a person's word."""
    return gone > TOO_MANY and gone * 100 > known * TOO_MANY_PERCENT
