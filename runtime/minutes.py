"""Counting by the minute, in the words of each database."""

from collections.abc import Mapping
from datetime import datetime
from typing import Any, TypeAlias

from sqlalchemy import Column, ColumnElement, Connection, func, select, type_coerce

from schema.tables import Instant

Moment: TypeAlias = tuple[datetime, str]
"""The start of a minute, and an outcome."""


def count_by_minute(
    connection: Connection,
    at: Column[datetime],
    outcome: Column[Any],
    *conditions: ColumnElement[bool],
    since: datetime,
    until: datetime,
) -> Mapping[Moment, int]:
    """Count rows that have an outcome by the minute they were made in, along an index of that time."""
    minute = _minute(connection, at).label("minute")
    rows = connection.execute(
        select(minute, outcome, func.count())
        .where(*conditions, at >= since, at < until, outcome.is_not(None))
        .group_by(minute, outcome)
    )
    return {(start, what): number for start, what, number in rows}


def _minute(connection: Connection, at: Column[datetime]) -> ColumnElement[datetime]:
    if connection.dialect.name == "sqlite":
        return type_coerce(func.substr(at, 1, 16).concat(":00.000000Z"), Instant())
    return func.date_trunc("minute", at, type_=Instant())
