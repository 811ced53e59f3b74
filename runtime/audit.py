"""All SQL on `audit`: what people did, in the transaction that did it."""

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any

from sqlalchemy import Connection, insert, select

from runtime.bulk import insert_many
from schema.tables import audit


def write_down(
    connection: Connection,
    *,
    actor: str,
    action: str,
    subject: str,
    now: datetime,
    reason: str | None = None,
    before: Mapping[str, Any] | None = None,
    after: Mapping[str, Any] | None = None,
) -> None:
    """Write down who did what to whom, why, and how it was before and after."""
    connection.execute(
        insert(audit).values(
            at=now,
            actor=actor,
            action=action,
            subject=subject,
            reason=reason,
            before=before,
            after=after,
        )
    )


def write_down_all(connection: Connection, deeds: Sequence[Mapping[str, Any]]) -> None:
    """Write down many deeds at once, each with a value for every column but its id."""
    insert_many(connection, audit, deeds)


def of_subject(connection: Connection, subject: str) -> list[dict[str, Any]]:
    """Read what people did to a subject, oldest first, a mapping each."""
    query = select(audit).where(audit.c.subject == subject).order_by(audit.c.id)
    return [dict(row) for row in connection.execute(query).mappings()]


def listed(
    connection: Connection,
    *,
    actor: str | None = None,
    action: str | None = None,
    subject: str | None = None,
    before: int | None = None,
    limit: int,
) -> list[dict[str, Any]]:
    """Read the latest lines of the trail first, a mapping each; *before* is the id of the last seen."""
    query = select(audit).order_by(audit.c.id.desc()).limit(limit)
    for column, value in (
        (audit.c.actor, actor),
        (audit.c.action, action),
        (audit.c.subject, subject),
    ):
        query = query if not value else query.where(column == value)
    query = query if before is None else query.where(audit.c.id < before)
    return [dict(row) for row in connection.execute(query).mappings()]
