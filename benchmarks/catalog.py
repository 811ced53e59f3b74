"""The scenarios by name, in the order in which they run."""

from collections.abc import Callable, Mapping
from typing import Any, cast

from benchmarks import (
    delivery,
    due,
    emit,
    faults,
    fold,
    inbox,
    latency,
    memory,
    pages,
    quota,
    replay,
)
from benchmarks.result import Line, Result


def run_quota(*, quick: bool) -> Result:
    """Saturate a strict server; the same size always, for the windows have their length."""
    found = cast(Mapping[str, Any], quota.run())
    if "skipped" in found:
        return Result(scenario="quota", conditions="", skipped=str(found["skipped"]))
    single = cast(Mapping[str, float], found["ask_and_answered_ms"])
    return Result(
        scenario="quota",
        conditions=f"{found['processes']} processes of {found['threads']} threads against a strict "
        f"rolling server, {found['allowance']}",
        lines=[
            Line(name="allowance used", value=found["used_percent"], unit="%", at_least=98),
            Line(name="calls refused", value=found["refused"], unit="", at_most=0, counter=True),
            Line(
                name="Redis round trips per call",
                value=found["round_trips_per_call"],
                unit="",
                at_most=3,
            ),
            Line(name="one ask and its report, p50", value=single["p50"], unit="ms"),
        ],
    )


SCENARIOS: Mapping[str, Callable[..., Result]] = {
    "emit": emit.run,
    "fold": fold.run,
    "due": due.run,
    "quota": run_quota,
    "delivery": delivery.run,
    "latency": latency.run,
    "memory": memory.run,
    "replay": replay.run,
    "inbox": inbox.run,
    "pages": pages.run,
    "faults": faults.run,
}

APART = frozenset({"faults"})
"""What runs only when it is named: minutes of waiting, which say nothing about speed."""
