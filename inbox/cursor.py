"""Where a reader of the feed is. Pure.

One idea: a reader keeps one short text and hands it back. Who begins with everything first walks
through the mirror, then reads what was told since; both are the same text, and the same loop.
"""

from dataclasses import dataclass
from urllib.parse import quote, unquote

from inbox.errors import NoCursor

MOST = 2**63 - 1
"""The largest position a table can hold."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Cursor:
    """A position, and while the mirror is walked through, the last thing that was read of it.

    The position is then the feed's end when the walk began: nothing told since is missed.
    """

    position: int
    walk: tuple[str, str] | None = None

    def __str__(self) -> str:
        if self.walk is None:
            return str(self.position)
        return ":".join((str(self.position), *map(_written, self.walk)))

    @classmethod
    def parse(cls, text: str) -> "Cursor":
        """Read a cursor back; raises `NoCursor`, which names it."""
        position, *walk = text.split(":")
        whole = position.isascii() and position.isdecimal() and len(walk) in (0, 2)
        if not whole or len(position) > len(str(MOST)) or int(position) > MOST:
            raise NoCursor(
                f"{text[:80]!r} is no position of the feed; give the `next` of an answer, a number, "
                "everything or now"
            )
        if not walk:
            return cls(position=int(position))
        source, remote_id = map(_read, walk)
        return cls(position=int(position), walk=(source, remote_id))


def _written(part: str) -> str:
    """Write any text so that it may stand in an address as it is: no `%`, which would be read there."""
    return quote(part, safe="").replace("~", "%7E").replace("%", "~")


def _read(part: str) -> str:
    return unquote(part.replace("~", "%"))


def from_start(position: int) -> Cursor:
    """Begin with everything, where the feed ends at *position*."""
    return Cursor(position=position, walk=("", ""))


def is_about(source: str, subject: str) -> bool:
    """Whether a collection is about a subject: `participants` about a participant.

    A collection that is read year by year (`schools-2026`) is about the same all years.
    """
    base, _, year = source.rpartition("-")
    name = base if base and year.isdecimal() else source
    return subject in (source, name, name.removesuffix("s"))


def subject_of(source: str) -> str:
    """Name the subject of a collection, for people."""
    base, _, year = source.rpartition("-")
    return (base if base and year.isdecimal() else source).removesuffix("s")
