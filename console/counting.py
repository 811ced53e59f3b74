"""Counts that end somewhere: "1,000+" is all a person needs, and costs a thousand rows at most."""

from dataclasses import dataclass
from typing import Any

from sqlalchemy import Connection, Select, func, select

CAP = 1_000


@dataclass(frozen=True, slots=True)
class Count:
    """A number, and whether there may be more than that."""

    number: int
    capped: bool = False

    def __str__(self) -> str:
        return f"{self.number:,}{'+' if self.capped else ''}"

    def __add__(self, other: "Count") -> "Count":
        return Count(
            min(self.number + other.number, CAP),
            self.capped or other.capped or self.number + other.number > CAP,
        )

    def __bool__(self) -> bool:
        return self.number > 0


def capped(query: Select[Any], *, cap: int = CAP) -> Any:
    """Give the subquery that counts a query's rows up to one beyond the cap, for `counted`."""
    return select(func.count()).select_from(query.limit(cap + 1).subquery()).scalar_subquery()


def counted(number: int, *, cap: int = CAP) -> Count:
    """Read what `capped` counted."""
    return Count(min(number, cap), number > cap)


def count(connection: Connection, query: Select[Any], *, cap: int = CAP) -> Count:
    """Count a query's rows, up to the cap."""
    return counted(connection.execute(select(capped(query, cap=cap))).scalar_one(), cap=cap)
