"""Every number of the whole site for a monitoring system, in Prometheus' text.

One idea: one look answers it all, from SQL, Redis and the heartbeats, also when every worker is down;
the list here is the reference page, and the labels come from closed lists.
"""

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from prometheus_client import CollectorRegistry, generate_latest
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric
from prometheus_client.registry import Collector

from console.health import Part

Sample = tuple[tuple[str, ...], float]
"""The values of the labels, and the number."""

Told = Mapping[str, Any]


@dataclass(frozen=True, slots=True, kw_only=True)
class Gauge:
    """One metric: its name, its labels, a sentence, and where its samples are found."""

    name: str
    help: str
    labels: tuple[str, ...]
    read: Callable[[Told, Sequence[Part]], Iterable[Sample]]
    counter: bool = False

    def family(self, told: Told, parts: Sequence[Part]) -> Metric:
        """Fill it."""
        kind = CounterMetricFamily if self.counter else GaugeMetricFamily
        family = kind(self.name, self.help, labels=self.labels)
        for labels, number in self.read(told, parts):
            family.add_metric(labels, number)
        return family


def _of_each(
    read: Callable[[Told], Iterable[Sample]],
) -> Callable[[Told, object], Iterable[Sample]]:
    """Read samples of each destination; its name comes first among the labels."""

    def samples(told: Told, parts: object) -> Iterator[Sample]:
        for one in told["destinations"]:
            for labels, number in read(one):
                yield (one["destination"], *labels), number

    return samples


def _under(name: str) -> Callable[[Told, object], Iterable[Sample]]:
    return _of_each(lambda one: (((key,), number) for key, number in one[name].items()))


def _in_quota(name: str) -> Callable[[Told, object], Iterable[Sample]]:
    return _of_each(lambda one: [] if one["quota"] is None else [((), one["quota"][name])])


def _in_lanes(name: str) -> Callable[[Told, object], Iterable[Sample]]:
    return _of_each(lambda one: (((lane,), of[name]) for lane, of in one["lanes"].items()))


def _used(one: Told) -> Iterable[Sample]:
    if one["quota"] is None:
        return ()
    return (((lane,), of["used"]) for lane, of in one["quota"]["lanes"].items())


def _gates(one: Told) -> Iterable[Sample]:
    return (((gate["reason"],), 1) for gate in one["gates"] if gate["state"] == "shut")


def _sources(read: Callable[[Told], float | None]) -> Callable[[Told, object], Iterable[Sample]]:
    return _of_each(
        lambda one: (
            ((source["source"],), number)
            for source in one["reading"]["sources"]
            if (number := read(source)) is not None
        )
    )


def _processes(told: Told, parts: object) -> Iterable[Sample]:
    found: dict[tuple[str, ...], int] = {}
    for one in told["processes"]:
        key = (one["role"], "missing" if one["missing"] else "alive")
        found[key] = found.get(key, 0) + 1
    return found.items()


def _progress(told: Told, parts: object) -> Iterable[Sample]:
    for one in told["processes"]:
        who = (one["role"], one["host"], str(one["pid"]))
        for name, number in one["progress"].items():
            if isinstance(number, int | float):
                yield (*who, name), number


def _alerts(told: Told, parts: object) -> Iterable[Sample]:
    found: dict[tuple[str, ...], int] = {}
    for one in told["alerts"]:
        key = (one["runbook"].rpartition("#")[2],)
        found[key] = found.get(key, 0) + 1
    return found.items()


def _parts(told: Told, parts: Sequence[Part]) -> Iterable[Sample]:
    return (((one.name,), int(one.ok)) for one in parts)


GAUGES = (
    Gauge(
        name="pillarbox_part_ok",
        help="Whether a part works: database, doorbell, quota, migrations, key, relay, worker.",
        labels=("part",),
        read=_parts,
    ),
    Gauge(
        name="pillarbox_alerts",
        help="Lines that need somebody, by the anchor of their page in the runbook.",
        labels=("runbook",),
        read=_alerts,
    ),
    Gauge(
        name="pillarbox_oldest_waiting_seconds",
        help="How long the oldest change has waited that is on its way; absent when nothing waits.",
        labels=("destination",),
        read=_of_each(
            lambda one: (
                [] if one["oldest_waiting_s"] is None else [((), float(one["oldest_waiting_s"]))]
            )
        ),
    ),
    Gauge(
        name="pillarbox_records",
        help="Records that are not in step, by state; counted up to 1,000 of each state and reason.",
        labels=("destination", "state"),
        read=_under("records"),
    ),
    Gauge(
        name="pillarbox_reasons",
        help="Records that wait or are set aside, by reason; counted up to 1,000 of each.",
        labels=("destination", "reason"),
        read=_under("reasons"),
    ),
    Gauge(
        name="pillarbox_claims_near_cut_off",
        help="Claims not accepted within seven days of their statement's cut-off; counted up to 20.",
        labels=("destination",),
        read=_of_each(lambda one: [((), sum(claim["leads"] for claim in one["claims"]))]),
    ),
    Gauge(
        name="pillarbox_lane_waiting",
        help="Records of a lane that wait, later or now; counted up to 1,000.",
        labels=("destination", "lane"),
        read=_in_lanes("waiting"),
    ),
    Gauge(
        name="pillarbox_lane_due",
        help="Records of a lane that wait for nothing but their turn; counted up to 1,000.",
        labels=("destination", "lane"),
        read=_in_lanes("due"),
    ),
    Gauge(
        name="pillarbox_entries",
        help="Entries by how they closed, since the beginning; `new` are those not folded yet.",
        labels=("destination", "outcome"),
        read=_under("entries"),
    ),
    Gauge(
        name="pillarbox_calls_ended",
        help="Calls for records by what was answered, since the beginning.",
        labels=("destination", "outcome"),
        read=_under("calls"),
        counter=True,
    ),
    Gauge(
        name="pillarbox_reads_ended",
        help="Reads of collections by what was answered, since the beginning.",
        labels=("destination", "outcome"),
        read=_under("reads"),
        counter=True,
    ),
    Gauge(
        name="pillarbox_quota_limit",
        help="How many calls the window of the key allows.",
        labels=("destination",),
        read=_in_quota("limit"),
    ),
    Gauge(
        name="pillarbox_quota_window_seconds",
        help="How long that window is.",
        labels=("destination",),
        read=_in_quota("window_s"),
    ),
    Gauge(
        name="pillarbox_quota_used",
        help="Slots of the window that a lane takes; absent while Redis does not answer.",
        labels=("destination", "lane"),
        read=_of_each(_used),
    ),
    Gauge(
        name="pillarbox_quota_in_flight",
        help="Slots of calls that have not been answered.",
        labels=("destination",),
        read=_in_quota("in_flight"),
    ),
    Gauge(
        name="pillarbox_quota_foreign",
        help="Calls that somebody else must have made with this key, known from a refusal.",
        labels=("destination",),
        read=_in_quota("foreign"),
    ),
    Gauge(
        name="pillarbox_gate_shut",
        help="1 for each gate that lets nothing through, by reason.",
        labels=("destination", "reason"),
        read=_of_each(_gates),
    ),
    Gauge(
        name="pillarbox_poll_lag_seconds",
        help="How long ago the last complete reading of a source began.",
        labels=("destination", "source"),
        read=_sources(lambda source: source["lag_s"]),
    ),
    Gauge(
        name="pillarbox_poll_failures",
        help="Readings of a source that failed in a row.",
        labels=("destination", "source"),
        read=_sources(lambda source: source["failures"]),
    ),
    Gauge(
        name="pillarbox_drift",
        help="Differences that a full sync found and nobody has resolved, by kind.",
        labels=("destination", "kind"),
        read=_of_each(
            lambda one: (((kind,), number) for kind, number in one["reading"]["drift"].items())
        ),
    ),
    Gauge(
        name="pillarbox_held_rows",
        help="Rows that could not be read or applied; counted up to 100.",
        labels=("destination",),
        read=_of_each(lambda one: [((), one["reading"]["held_rows"])]),
    ),
    Gauge(
        name="pillarbox_processes",
        help="Processes by role, alive or missing by their heartbeat.",
        labels=("role", "state"),
        read=_processes,
    ),
    Gauge(
        name="pillarbox_process_progress",
        help="What a process counted since its start, from its heartbeat; the names are those above.",
        labels=("role", "host", "pid", "name"),
        read=_progress,
    ),
)


class _Gathered(Collector):
    """Numbers that were gathered a moment ago."""

    def __init__(self, told: Told, parts: Sequence[Part]) -> None:
        self._told = told
        self._parts = parts

    def collect(self) -> Iterator[Metric]:
        """Give every metric."""
        return iter([one.family(self._told, self._parts) for one in GAUGES])


def text(told: Told, parts: Sequence[Part]) -> bytes:
    """Write everything in Prometheus' text."""
    registry = CollectorRegistry(auto_describe=False)
    registry.register(_Gathered(told, parts))
    return generate_latest(registry)
