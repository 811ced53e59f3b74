"""What a dead letter has in common with others of its group. Pure.

One idea: the same thing went wrong with the same operation; whom it happened to, and with which
values, is taken out.
"""

import re
from datetime import datetime
from hashlib import blake2b

from schema.record import Problem, Record
from schema.states import Reason, RecordState

VALUES = re.compile(
    r"""
    [0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}  # ids
    | \S+@\S+                                     # addresses
    | \b\w+(?:-\w+){2,}\b                         # ecf-extended-september, 2025-09-20
    | \b[\w:.+-]*\d[\w:.+-]*                       # numbers, dates, times, references
    """,
    re.VERBOSE | re.IGNORECASE,
)
"""What in a message is about one record alone. What is left of it names a field, a rule, a reason."""

HASH_BYTES = 5
"""40 bits: some hundred groups are never mistaken for one another, and ten characters can be read out."""

NOT_FOUND = 404


def is_aside(record: Record) -> bool:
    """Whether nothing goes on with a record without a person or a newer event."""
    doubt = record.state is RecordState.IN_DOUBT and record.due_at is None
    return doubt or record.state in (RecordState.HELD, RecordState.DEAD)


def unknown_there(record: Record) -> bool:
    """Whether a record stands aside because its remote id was answered with 404."""
    problem = record.problem
    if problem is None or record.remote_id is None or record.mark is not None:
        return False
    return is_aside(record) and problem.status == NOT_FOUND


def signature_of(record: Record) -> str | None:
    """Give the signature of what stands aside; None of what goes on by itself."""
    if not is_aside(record) or record.reason is None:
        return None
    return sign(record.reason, record.key.kind, record.problem)


def sign(reason: Reason, kind: str, problem: Problem | None) -> str:
    """Give the signature of a problem.

    It begins with the operation, or with the kind of record where no call was made, so that all
    groups of one operation are next to each other.
    """
    problem = problem or Problem(reason=reason, detail="")
    what = problem.operation or kind
    parts = (
        reason.value,
        what,
        str(problem.status or ""),
        problem.field or "",
        "" if reason is Reason.CONFLICT else pattern(problem.detail),
    )
    digest = blake2b("\n".join(parts).encode(), digest_size=HASH_BYTES).hexdigest()
    return f"{what}-{digest}"


def pattern(message: str) -> str:
    """Take the values out of a message."""
    return VALUES.sub("…", message)


def aside_since(record: Record) -> datetime | None:
    """Say since when a record stands aside; None while it does not."""
    if not is_aside(record) or record.problem is None:
        return None
    return record.problem.at
