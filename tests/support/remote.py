"""A remote collection that behaves as badly as real ones do, and a contract to read it by.

Stamps are set before they are visible, whole seconds are shown, equal stamps come in any order and
in another one each time, rows change and leave during a walk, some change without their stamp.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from random import Random

from schema.contract import Contract, Kind, Unreadable
from schema.events import Event, InvalidEvent
from schema.fingerprint import Json, utc_seconds
from schema.keys import RemoteId
from schema.outcomes import Delivered
from schema.plans import InStep
from schema.record import Record
from schema.sources import About, Ask, Order, Page, Row, Source

LONG_AGO = datetime(2020, 1, 1, tzinfo=UTC)


@dataclass(frozen=True, slots=True, kw_only=True)
class Stored:
    """One row as the other side keeps it. Who reads before `visible_at` sees `was`."""

    id: str
    created_at: datetime
    stamp: datetime
    visible_at: datetime
    value: int
    was: "Stored | None" = None


@dataclass(slots=True, kw_only=True)
class Remote:
    """The other side. Its clock is ours and `ahead`."""

    dice: Random
    rows: dict[str, Stored] = field(default_factory=dict[str, Stored])
    cap: int = 3000
    ahead: timedelta = timedelta(0)
    shuffles: bool = True
    sorts_ids: bool = False
    """Whether equal stamps come in the order of their ids: a pair can be followed, a stamp cannot."""
    false_empty: float = 0.0
    _lied: bool = False
    asked: int = 0

    def put(
        self,
        row_id: str,
        value: int,
        now: datetime,
        *,
        lag: timedelta = timedelta(0),
        created_at: datetime | None = None,
    ) -> None:
        """Add or change a row; it is visible after *lag*, with the stamp of now."""
        old = self.rows.get(row_id)
        seen = now + lag
        created = (old.created_at if old else None) or created_at or now + self.ahead
        self.rows[row_id] = Stored(
            id=row_id,
            created_at=created,
            stamp=now + self.ahead,
            visible_at=seen,
            value=value,
            was=None if old is None else replace(old, was=None),
        )

    def change_silently(self, row_id: str, value: int) -> None:
        """Change a row and not its stamp."""
        self.rows[row_id] = replace(self.rows[row_id], value=value)

    def remove(self, row_id: str) -> None:
        """Let a row leave, without a trace."""
        self.rows.pop(row_id, None)

    def visible(self, now: datetime) -> list[Stored]:
        """Give the rows as a reader sees them now."""
        shown = (one if one.visible_at <= now else one.was for one in self.rows.values())
        return [one for one in shown if one is not None]

    def date(self, now: datetime) -> datetime:
        """Give its `Date` header."""
        return (now + self.ahead).replace(microsecond=0)

    def page(self, ask: Ask, now: datetime) -> dict[str, Json]:
        """Answer a page."""
        self.asked += 1
        if self.false_empty and not self._lied and self.dice.random() < self.false_empty:
            self._lied = True
            return {"data": []}
        self._lied = False
        since = ask.since.replace(microsecond=0) if ask.since else None
        rows = [one for one in self.visible(now) if since is None or one.stamp >= since]
        if self.shuffles:
            self.dice.shuffle(rows)
        if ask.by_change and ask.after_id is not None and since is not None:
            rows = [one for one in rows if (_second(one.stamp), one.id) > (since, ask.after_id)]
        if ask.by_change and self.sorts_ids:
            rows.sort(key=lambda one: (_second(one.stamp), one.id))
        elif ask.by_change:
            rows.sort(key=lambda one: _second(one.stamp))
        else:
            rows.sort(key=lambda one: one.created_at)
        size = min(ask.size, self.cap)
        start = (ask.page - 1) * size
        return {"data": [_shown(one) for one in rows[start : start + size]]}

    def by_cursor(self, ask: Ask, now: datetime) -> dict[str, Json]:
        """Answer a page of an API that keeps our place for us."""
        rows = sorted(
            (one for one in self.visible(now) if ask.since is None or one.stamp >= ask.since),
            key=lambda one: one.id,
        )
        rows = [one for one in rows if ask.cursor is None or one.id > ask.cursor]
        more = rows[ask.size - 1].id if len(rows) > ask.size else None
        return {"data": [_shown(one) for one in rows[: ask.size]], "next": more}


def _second(moment: datetime) -> datetime:
    return moment.replace(microsecond=0)


def _shown(one: Stored) -> dict[str, Json]:
    return {"id": one.id, "updated_at": utc_seconds(one.stamp), "value": one.value}


# A contract for it: customers of a CRM, owned by the other side but for their value


def read(raw: Json) -> Row:
    """Read a customer; the value must be a number."""
    if not isinstance(raw, Mapping) or not isinstance(raw.get("id"), str):
        raise Unreadable("the row is not as described at id")
    if not isinstance(raw.get("value"), int):
        raise Unreadable("the row is not as described at value")
    content = {name: value for name, value in raw.items() if name not in ("id", "updated_at")}
    stamp = datetime.fromisoformat(str(raw["updated_at"]))
    return Row(id=str(raw["id"]), content=content, updated_at=stamp)


def page(body: Json) -> Page:
    """Find the rows and the token of what comes next."""
    if not isinstance(body, Mapping) or not isinstance(body.get("data"), Sequence):
        raise Unreadable("the answer is not as described at data")
    rows, cursor = body["data"], body.get("next")
    assert isinstance(rows, Sequence)
    return Page(rows=list(rows), cursor=None if cursor is None else str(cursor))


def query(ask: Ask) -> tuple[tuple[str, str], ...]:
    """Ask for a page."""
    pairs = [("size", str(ask.size)), ("page", str(ask.page))]
    if ask.since is not None:
        pairs.append(("updated_since", utc_seconds(ask.since)))
    if ask.by_change:
        pairs.append(("sort", "updated_at"))
    if ask.cursor is not None:
        pairs.append(("cursor", ask.cursor))
    if ask.after_id is not None:
        pairs.append(("after_id", ask.after_id))
    return tuple(pairs)


def told(row: Row, record: Record, kin: Sequence[Record]) -> Delivered:
    """Say all a customer is."""
    return Delivered(
        accepted=row.content, remote_id=RemoteId(row.id), remote_updated_at=row.updated_at
    )


def customers(order: Order, *, size: int = 10, largest: int = 30) -> Source:
    """Customers, walked in this order."""
    return Source(
        name="customers",
        path="/customers",
        order=order,
        query=query,
        page=page,
        read=read,
        one=lambda body: body,
        page_size=size,
        largest_page=largest,
        look_up="/customers/{id}",
        kind="customer",
        about=lambda row: (About(kind="customer", remote_id=row.id),),
        told=told,
        effects={"update": frozenset({"value"})},
    )


def _asks(event: Event) -> object:
    raise InvalidEvent("event", "means nothing to this destination")


def crm(order: Order = Order.RESTART, **sizes: int) -> Contract:
    """A contract that only reads."""
    source = customers(order, **sizes)
    return Contract(
        name="crm",
        calls=600,
        window_seconds=60,
        kinds={"customer": Kind(name="customer", ours=frozenset({"value"}))},
        operations={},
        asks=_asks,  # pyright: ignore[reportArgumentType]  (it never answers)
        plan=lambda record, kin, now: InStep(),
        agrees=lambda key, name, wanted, accepted: wanted == accepted.get(name),
        read=lambda operation, record, kin, body: Delivered(accepted={}),
        serial_key=lambda record: record.remote_id,
        steps=lambda record: int(record.changed),
        sources=lambda now: (source,),
    )
