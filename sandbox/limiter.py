"""The limit on requests: fixed windows from the Unix epoch, or an exact rolling one.

Two counts are kept, one per whole `Authorization` header and one per address. Every request
counts, the refused ones too. The time is whatever the caller says it is, so that a request that
travels in time counts where it says it is.
"""

from collections import Counter, OrderedDict, deque
from collections.abc import Mapping
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from typing import Literal

Mode = Literal["fixed", "rolling"]

WINDOWS_KEPT = 64
"""Fixed windows remembered. Time travel visits many; the oldest visited is forgotten."""

EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


@dataclass(frozen=True, slots=True, kw_only=True)
class LimiterSettings:
    limit: int = 1000
    window_s: int = 300
    mode: Mode = "fixed"
    per_ip_limit: int | None = 1500
    enabled: bool = True

    def with_limit(self, limit: int | None) -> "LimiterSettings":
        """Both limits raised or lowered to one number; None leaves them."""
        return self if limit is None else replace(self, limit=limit, per_ip_limit=limit)


@dataclass(frozen=True, slots=True)
class Counted:
    """How full a window is, and when the next one begins."""

    count: int
    remaining: int
    resets_at: datetime


Key = tuple[Literal["header", "address"], str]


class Limiter:
    """Counts requests and says which are over the limit."""

    def __init__(self, settings: LimiterSettings) -> None:
        self.settings = settings
        self._windows: OrderedDict[int, Counter[Key]] = OrderedDict()
        self._times: dict[Key, deque[float]] = {}

    def empty(self) -> None:
        self._windows.clear()
        self._times.clear()

    def change(self, settings: LimiterSettings) -> None:
        """Take new settings. Counts survive unless windows themselves become others."""
        old, self.settings = self.settings, settings
        if (old.window_s, old.mode) != (settings.window_s, settings.mode):
            self.empty()

    def admit(self, header: str | None, address: str, now: datetime) -> bool:
        """Count a request; false if it is over a limit and must be refused."""
        at = _seconds(now)
        by_header = 0 if header is None else self._count(("header", header), at)
        by_address = self._count(("address", address), at)
        settings = self.settings
        if not settings.enabled:
            return True
        most = settings.per_ip_limit
        return by_header <= settings.limit and (most is None or by_address <= most)

    def _count(self, key: Key, at: float) -> int:
        if self.settings.mode == "fixed":
            window = self._window(at)
            window[key] += 1
            return window[key]
        times = self._recent(key, at)
        times.append(at)
        return len(times)

    def _window(self, at: float) -> Counter[Key]:
        number = int(at // self.settings.window_s)
        found = self._windows.get(number)
        if found is None:
            found = self._windows[number] = Counter()
            if len(self._windows) > WINDOWS_KEPT:
                self._windows.popitem(last=False)
        return found

    def _recent(self, key: Key, at: float) -> deque[float]:
        """The times of the last window; what is older is forgotten, what is later is kept."""
        times = self._times.setdefault(key, deque())
        while times and times[0] <= at - self.settings.window_s:
            times.popleft()
        return times

    def counted(self, header: str, now: datetime) -> Counted:
        """How full the window at hand is for a header."""
        at = _seconds(now)
        settings = self.settings
        if settings.mode == "fixed":
            count = self._window(at)["header", header]
            ends = (int(at // settings.window_s) + 1) * settings.window_s
        else:
            times = self._recent(("header", header), at)
            count = len(times)
            ends = (times[0] + settings.window_s) if times else at
        resets_at = EPOCH + timedelta(seconds=ends)
        return Counted(count, max(0, settings.limit - count), resets_at)

    def by_address(self, now: datetime) -> Mapping[str, int]:
        """How many requests each address made in the window at hand."""
        at = _seconds(now)
        if self.settings.mode == "fixed":
            window = self._window(at)
            return {name: n for (kind, name), n in window.items() if kind == "address"}
        keys = [key for key in self._times if key[0] == "address"]
        return {key[1]: len(self._recent(key, at)) for key in keys}

    def pretend(self, header: str, count: int, first: datetime, last: datetime) -> None:
        """Set a header's count to requests spread evenly over a time; addresses are not charged."""
        key: Key = ("header", header)
        for window in self._windows.values():
            window.pop(key, None)
        self._times.pop(key, None)
        for at in spread(count, _seconds(first), _seconds(last)):
            if self.settings.mode == "fixed":
                self._window(at)[key] += 1
            else:
                self._times.setdefault(key, deque()).append(at)


def spread(count: int, first: float, last: float) -> list[float]:
    """`count` times spread evenly from the first to the last."""
    if count < 2:
        return [first] * count
    step = (last - first) / (count - 1)
    return [first + step * number for number in range(count)]


def _seconds(at: datetime) -> float:
    return (at - EPOCH).total_seconds()
