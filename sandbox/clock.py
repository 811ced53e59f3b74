"""The sandbox's one clock: real, frozen at an instant, or running on from one.

Everything reads it: the rules, the stamps, the limiter, the `Date` header.
"""

from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta


def real_now() -> datetime:
    return datetime.now(UTC)


@dataclass(frozen=True, slots=True, kw_only=True)
class Setting:
    """How the clock is set. `shift` is how far a running clock is from the real one."""

    real: bool = True
    frozen_at: datetime | None = None
    shift: timedelta = timedelta(0)

    def now(self, real: datetime) -> datetime:
        return self.frozen_at or real + self.shift

    @property
    def running(self) -> bool:
        return self.frozen_at is None


@dataclass(frozen=True, slots=True, kw_only=True)
class ClockChange:
    """What a caller asked of the clock; None is what they left out."""

    now: datetime | None = None
    running: bool | None = None
    real: bool | None = None
    time_travel: bool | None = None
    nightly_runs: bool | None = None


def changed(setting: Setting, change: ClockChange, *, real: datetime) -> Setting:
    """Decide how the clock is set after a change. `now` alone freezes it."""
    if change.real:
        return Setting()
    if change.now is None and change.running is None and change.real is None:
        return setting
    at = change.now or setting.now(real)
    if change.running or (change.running is None and change.now is None and setting.running):
        still_real = setting.real and change.real is None and change.now is None
        return setting if still_real else Setting(real=False, shift=at - real)
    return Setting(real=False, frozen_at=at)


class Clock:
    """A setting and where the real time comes from."""

    def __init__(self, source: Callable[[], datetime] = real_now, *, time_travel: bool = False):
        self._source = source
        self.setting = Setting()
        self.time_travel = time_travel
        self.nightly_runs = False

    def now(self) -> datetime:
        return self.setting.now(self._source())

    def change(self, change: ClockChange) -> None:
        self.setting = changed(self.setting, change, real=self._source())
        if change.time_travel is not None:
            self.time_travel = change.time_travel
        if change.nightly_runs is not None:
            self.nightly_runs = change.nightly_runs
