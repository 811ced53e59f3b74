"""All SQL on `booking`: the hours agreed for full syncs, and who agreed them.

One idea: hours booked for a source are its own; without any it has its destination's, and without
those what `PILLARBOX_FULL_SYNC` says. So whoever takes the last ones away leaves nothing unread.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import datetime

from sqlalchemy import Connection, delete, select

from runtime.bulk import insert_many
from schema.hours import Booking, bookings
from schema.incoming_tables import booking

EVERY = ""
"""The source of hours that hold for every source."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Booked:
    """Hours that somebody agreed to."""

    source: str
    hours: str
    agreed_by: str
    booked_by: str
    booked_at: datetime

    @property
    def windows(self) -> list[Booking]:
        """Give the hours. Those that were over when they were booked are nobody's to make up for."""
        return [replace(one, since=self.booked_at) for one in bookings(self.hours)]


def of(connection: Connection, destination: str) -> list[Booked]:
    """Read all hours booked for a destination."""
    rows = connection.execute(
        select(
            booking.c.source,
            booking.c.hours,
            booking.c.agreed_by,
            booking.c.booked_by,
            booking.c.booked_at,
        )
        .where(booking.c.destination == destination)
        .order_by(booking.c.source, booking.c.id)
    )
    return [Booked(**{str(name): value for name, value in row.items()}) for row in rows.mappings()]


def add(connection: Connection, destination: str, one: Booked) -> bool:
    """Book hours; False if the same ones are booked already, and are left as they are."""
    row = {
        "destination": destination,
        "source": one.source,
        "hours": one.hours,
        "agreed_by": one.agreed_by,
        "booked_by": one.booked_by,
        "booked_at": one.booked_at,
    }
    return bool(insert_many(connection, booking, [row], returning="id"))


def remove(connection: Connection, destination: str, source: str, hours: str) -> bool:
    """Give hours up; False if they were not booked."""
    done = connection.execute(
        delete(booking).where(
            booking.c.destination == destination,
            booking.c.source == source,
            booking.c.hours == hours,
        )
    )
    return done.rowcount == 1


def holding(booked: Sequence[Booked], source: str) -> list[Booked]:
    """Choose the hours that hold for a source: its own, else everybody's. Pure."""
    own = [one for one in booked if one.source == source]
    return own or [one for one in booked if one.source == EVERY]


def windows(booked: Sequence[Booked], source: str, default: Sequence[Booking]) -> list[Booking]:
    """Give the hours in which a source is read in full; *default* where nothing is booked. Pure."""
    held = holding(booked, source)
    return [one for hours in held for one in hours.windows] or list(default)
