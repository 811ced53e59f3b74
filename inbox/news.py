"""What of a difference is news. Pure.

One idea: by content, never by stamp; and what we did ourselves is no news when it comes back.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from schema.fingerprint import Json, canonical
from schema.inbox import News
from schema.sources import EVERYTHING, Source


@dataclass(frozen=True, slots=True, kw_only=True)
class Difference:
    """One field of a row's content before and after. `path` has a dot where it lies in a part."""

    path: str
    before: Json
    after: Json


@dataclass(frozen=True, slots=True, kw_only=True)
class Item:
    """What the feed is to tell."""

    kind: News
    changed: tuple[str, ...] = ()
    before: Mapping[str, Json] | None = None
    after: Mapping[str, Json] | None = None


def differences(before: Mapping[str, Json], after: Mapping[str, Json]) -> list[Difference]:
    """Compare two contents by meaning, field by field; a part that is an object in each, inside."""
    found: list[Difference] = []
    for name in sorted({*before, *after}):
        old, new = before.get(name), after.get(name)
        if isinstance(old, Mapping) and isinstance(new, Mapping):
            found += [
                Difference(path=f"{name}.{part}", before=old.get(part), after=new.get(part))
                for part in sorted({*old, *new})
                if not _same(old.get(part), new.get(part))
            ]
        elif not _same(old, new):
            found.append(Difference(path=name, before=old, after=new))
    return found


def _same(old: Json, new: Json) -> bool:
    if old is new or (type(old) is type(new) is str):
        return old == new  # most fields of most rows; texts mean the same only if they are the same
    return canonical([old]) == canonical([new])


def our_own(source: Source, place: str, operations: Iterable[str]) -> frozenset[str]:
    """Name the fields of a row that our own writes changed there; `*` for all of it."""
    names = frozenset[str]().union(
        *(source.effects.get(operation, frozenset()) for operation in operations)
    )
    if names & EVERYTHING:
        return EVERYTHING
    return frozenset(f"{place}.{name}" if place else name for name in names)


def news_of(
    source: Source,
    before: Mapping[str, Json] | None,
    after: Mapping[str, Json],
    ours: frozenset[str] = frozenset(),
) -> Item | None:
    """Say what the feed tells of a row; None when it is nothing new but our own doing."""
    if before is None:
        return None if ours & EVERYTHING else Item(kind=News.NEW, after=after)
    silent = ours & EVERYTHING
    found = () if silent else differences(before, after)
    told = [one for one in found if one.path not in ours]
    if not told:
        return None
    foreign = _with(before, [one for one in found if one.path in ours])
    return Item(
        kind=News.WITHDRAWN if source.withdrawn(foreign, after) else News.UPDATED,
        changed=tuple(one.path for one in told),
        before={one.path: one.before for one in told},
        after={one.path: one.after for one in told},
    )


def _with(before: Mapping[str, Json], done: Sequence[Difference]) -> Mapping[str, Json]:
    """Give the content as our own writes left it."""
    content = dict(before)
    for one in done:
        part, dot, name = one.path.partition(".")
        inner = content.get(part)
        if dot and isinstance(inner, Mapping):
            content[part] = {**inner, name: one.after}
        else:
            content[one.path] = one.after
    return content
