"""Rows kept in the default order of a collection: by `created_at`, then by order of arrival."""

from bisect import bisect_left
from collections.abc import Sequence
from datetime import datetime
from typing import Generic, Protocol, TypeVar


class Row(Protocol):
    """What a listed thing has."""

    @property
    def order(self) -> int: ...
    @property
    def created_at(self) -> datetime: ...


Key = tuple[datetime, int]


def key_of(row: Row) -> Key:
    return row.created_at, row.order


R = TypeVar("R", bound=Row)


class Listing(Generic[R]):
    """An ordered collection that is cheap to slice, to search and to change in one place.

    Rows and their keys are two lists in step. Rows added out of order are sorted in when
    somebody looks, so that a world loads in one sort.
    """

    __slots__ = ("_keys", "_rows", "_unsorted")

    def __init__(self) -> None:
        self._keys: list[Key] = []
        self._rows: list[R] = []
        self._unsorted = False

    def rows(self) -> Sequence[R]:
        """The rows in order. The list is the listing's own: look, do not keep or change it."""
        self._settle()
        return self._rows

    def add(self, row: R) -> None:
        key = key_of(row)
        if self._keys and key < self._keys[-1]:
            self._unsorted = True
        self._keys.append(key)
        self._rows.append(row)

    def replace(self, row: R) -> None:
        """Put a row in the place of its older value, which had the same key."""
        self._settle()
        self._rows[bisect_left(self._keys, key_of(row))] = row

    def remove(self, row: R) -> None:
        self._settle()
        at = bisect_left(self._keys, key_of(row))
        del self._keys[at]
        del self._rows[at]

    def _settle(self) -> None:
        if not self._unsorted:
            return
        self._unsorted = False
        self._rows.sort(key=key_of)
        self._keys = [key_of(row) for row in self._rows]
