"""Every metric of a process: its name, its labels, and one sentence that says what it counts.

One idea: a metric is declared here before it is used, and its labels come from closed lists, never
from keys. What a process counts ends with it; its heartbeat carries what `status` shows.
"""

from collections.abc import Mapping

from prometheus_client import CollectorRegistry, Counter, Gauge

REGISTRY = CollectorRegistry()
"""Ours alone: nothing that a library counts unasked."""

CALLS = Counter(
    "pillarbox_calls",
    "Calls that were answered or given up, by outcome.",
    ("outcome",),
    registry=REGISTRY,
)
LATE_SETTLES = Counter(
    "pillarbox_late_settles",
    "Answers that came when another already held the record; only the attempt was written.",
    registry=REGISTRY,
)
GATES_SHUT = Counter(
    "pillarbox_gates_shut",
    "Gates that an answer shut, moved later or shut again, by reason: throttles, breaker openings.",
    ("reason",),
    registry=REGISTRY,
)
GATES_HOLDING = Gauge(
    "pillarbox_gates_holding",
    "Gates that let no call through at the last heartbeat, by reason.",
    ("reason",),
    registry=REGISTRY,
)


def read() -> Mapping[str, float]:
    """Give every sample of this process: its name, with its label where it has one, and its value."""
    return {
        ":".join((sample.name.removeprefix("pillarbox_"), *sample.labels.values())): sample.value
        for metric in REGISTRY.collect()
        for sample in metric.samples
        if not sample.name.endswith("_created")
    }
