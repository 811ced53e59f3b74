"""All SQL on `audit`: what people did, in the transaction that did it."""

from collections.abc import Mapping
from datetime import datetime
from typing import Any

from sqlalchemy import Connection, insert, select

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


def of_subject(connection: Connection, subject: str) -> list[dict[str, Any]]:
    """Read what people did to a subject, oldest first, a mapping each."""
    query = select(audit).where(audit.c.subject == subject).order_by(audit.c.id)
    return [dict(row) for row in connection.execute(query).mappings()]
