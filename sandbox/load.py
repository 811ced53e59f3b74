"""A world as JSON in, a state out; or `BadInput` with everything that is wrong."""

import gc
from dataclasses import dataclass
from datetime import datetime

from sandbox import world
from sandbox.clock import ClockChange
from sandbox.reading import Fields, Problems
from sandbox.state import State
from sandbox.world import Names, Reader
from sandbox.world_declarations import read_declarations
from sandbox.world_people import read_participants
from sandbox.world_rows import Bulk, RawRow, entries, expand, names, written_out

FORMAT = 1
SECTIONS = (
    "providers",
    "delivery_partners",
    "schools",
    "partnerships",
    "statements",
    "participants",
    "declarations",
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Loaded:
    """A world that was read: its state, its clock, and the events it has pending, still raw."""

    state: State
    pending: list[object]


def read_clock(raw: object, where: str = "") -> ClockChange:
    """Read what is asked of the clock; raises `BadInput`."""
    problems = Problems()
    fields = Fields({} if raw is None else raw, where, problems)
    change = ClockChange(
        now=fields.maybe_instant("now"),
        running=_maybe_flag(fields, "running"),
        real=_maybe_flag(fields, "real"),
        time_travel=_maybe_flag(fields, "time_travel"),
        nightly_runs=_maybe_flag(fields, "nightly_runs"),
    )
    fields.done()
    problems.raise_any()
    return change


def _maybe_flag(fields: Fields, key: str) -> bool | None:
    return fields.flag_or(key, False) if fields.has(key) else None


def load(raw: object, *, now: datetime) -> Loaded:
    """Read a world as of a time. The clock in it is the caller's to apply before."""
    collecting = gc.isenabled()
    gc.disable()
    try:
        return _load(raw, now)
    finally:
        if collecting:
            gc.enable()


def _load(raw: object, now: datetime) -> Loaded:
    problems = Problems()
    fields = Fields(raw, "", problems)
    if fields.whole_or("format", FORMAT) != FORMAT:
        fields.complain("format", "must be 1")
    fields.take("clock")
    cohorts, schedules = fields.take("cohorts"), fields.take("schedules")
    sections = {name: expand(name, fields.take(name), problems) for name in SECTIONS}
    pending = fields.items("pending_events")
    fields.done()
    state = _state(cohorts, schedules, sections, problems, now)
    return Loaded(state=state, pending=pending)


def _state(
    cohorts: object,
    schedules: object,
    sections: dict[str, list[RawRow | Bulk]],
    problems: Problems,
    now: datetime,
) -> State:
    state, known = State(), Names()
    for key, _ in entries("cohorts", cohorts, problems):
        known.claim_ref("cohorts", key, f"cohorts.{key}", problems)
    for section, rows in sections.items():
        for where, ref, given in names(section, rows):
            known.claim(section, ref, given, where, problems)
    reader = Reader(state, known, problems, now)
    state.index.loading = True
    world.read_cohorts(reader, cohorts)
    world.read_schedules(reader, schedules)
    readers = (
        world.read_providers,
        world.read_delivery_partners,
        world.read_schools,
        world.read_partnerships,
        world.read_statements,
        read_participants,
        read_declarations,
    )
    for section, read in zip(SECTIONS, readers, strict=True):
        read(reader, written_out(section, sections[section]))
    problems.raise_any()
    state.index.loaded()
    return state
