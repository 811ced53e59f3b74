"""Where both sides changed the same thing. Pure.

One idea: a wish keeps its base, what was accepted when it was asked for. If what is there is neither
that nor what we ask for, the other side has spoken meanwhile, and only a person or a newer event may
speak over it. A wish that repeats our last word has that word for its base: who says again what he
said before knows nothing of what they have made of it since.
"""

from collections.abc import Callable, Mapping
from typing import TypeAlias

from schema.fingerprint import Json
from schema.record import Pending, Problem, Record
from schema.states import Reason

Agrees: TypeAlias = Callable[[str, Json, Mapping[str, Json]], bool]
"""Whether an accepted state already is what a wanted field asks for: `(name, wanted, accepted)`."""


def conflicts(record: Record, agrees: Agrees, status_field: str | None) -> dict[str, Problem]:
    """Find the fields, the status among them, that both sides changed.

    While a call is in doubt, or a look is due, nobody knows what is there: nothing is judged.
    """
    accepted = record.accepted
    if accepted is None or record.mark is not None or record.look_first:
        return {}
    found: dict[str, Problem] = {}
    for name, wish in record.pending.items():
        problem = None if name.startswith("@") else of_field(name, wish, accepted, agrees)
        if problem is not None:
            found[name] = problem
    if status_field is not None and (problem := of_path(record, status_field)) is not None:
        found[status_field] = problem
    return found


def without(record: Record, names: Mapping[str, Problem], status_field: str | None) -> Record:
    """Give the record as it would be without these wishes: what may go on meanwhile."""
    if not names:
        return record
    pending = {name: wish for name, wish in record.pending.items() if name not in names}
    return record.but(pending=pending, path=() if status_field in names else record.path)


def of_field(
    name: str, wish: Pending, accepted: Mapping[str, Json], agrees: Agrees
) -> Problem | None:
    """Say what is wrong with a wish, if the other side has changed its field as well."""
    theirs = accepted.get(name)
    if not wish.base_known or theirs == wish.base:
        return None
    if agrees(name, wish.value, accepted) or agrees(name, wish.base, accepted):
        return None
    return both_changed(name, wish.base, wish.value, theirs)


def of_path(record: Record, status_field: str) -> Problem | None:
    """Say what is wrong with a path, if the status is no longer any that it knows of."""
    if not record.path or record.path_base is None:
        return None
    status = (record.accepted or {}).get(status_field)
    steps = [move.to for move in record.path]
    if status == record.path_base or status in steps:
        return None
    return both_changed(status_field, record.path_base, steps[-1], status)


def both_changed(name: str, base: Json, ours: Json, theirs: Json) -> Problem:
    """Put a conflict into words, with all three sides."""
    was = (
        f"{name} was {shown(base)} when we asked for {shown(ours)}, and the other side has made it"
    )
    if base == ours:
        was = f"{name} is to be {shown(ours)} again, but since we last said so the other side has made it"
    return Problem(
        reason=Reason.CONFLICT,
        field=name,
        detail=f"{was} {shown(theirs)}" + ("" if base == ours else " meanwhile"),
        sides=(base, ours, theirs),
    )


def shown(value: Json) -> str:
    """Write a value for people."""
    return "empty" if value is None else str(value)
