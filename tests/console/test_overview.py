"""What the person on duty sees: the same numbers on the page, as JSON and for machines."""

from collections.abc import Mapping
from datetime import timedelta
from pathlib import Path

import pytest
from prometheus_client.parser import text_string_to_metric_families

from console import gauges, runbook
from console.attention import Anchor
from console.plain import as_json
from console.standing import gather
from gateway.quota import LaneFill, Limit, QuotaFill
from outbox import gates
from outbox.standing import Gate
from runtime import audit
from runtime.database import Database
from runtime.processes import Beat, beat
from schema.states import GateReason, Lane
from tests.support.clock import HandClock
from tests.support.desk import Desk, a_site

HALF_FULL = QuotaFill(
    limit=Limit(calls=1_000, window=timedelta(seconds=300)),
    is_open=True,
    used=500,
    in_flight=2,
    foreign=0,
    lanes={
        Lane.LIVE: LaneFill(used=400, share=550, waiting=1),
        Lane.POLL: LaneFill(used=100, share=250, waiting=0),
        Lane.BULK: LaneFill(used=0, share=200, waiting=0),
    },
    next_free=(timedelta(seconds=4),),
    address_used=None,
)


class HalfFull:
    """A quota of which half is used."""

    def fill(self) -> QuotaFill:
        """Say so."""
        return HALF_FULL


@pytest.fixture
def busy(database: Database, clock: HandClock) -> Desk:
    """The console of a site whose relay and worker are at work."""
    desk = Desk(a_site(database, clock, quotas={"default": HalfFull()}))
    for role in ("relay", "worker"):
        alive(desk, role)
    return desk


def alive(desk: Desk, role: str) -> None:
    now = desk.site.clock.now()
    sign = Beat(
        id=role, role=role, host="h", pid=1, started_at=now, beat_at=now, progress={"rounds": 7}
    )
    with desk.site.database.transaction() as connection:
        beat(connection, sign)


def break_it(desk: Desk) -> None:
    now = desk.site.clock.now()
    gate = Gate(
        reason=GateReason.BREAKER,
        until=now + timedelta(seconds=30),
        since=now,
        detail="10 calls in a row failed",
    )
    with desk.site.database.transaction() as connection:
        gates.shut(connection, "default", gate)


def test_a_site_at_rest_is_calm(busy: Desk) -> None:
    page = busy.get("/").text

    assert "Nothing needs anybody" in page
    assert "500 of 1,000" in page
    assert busy.read("/")["attention"] == []


def test_an_open_breaker_is_shown_with_its_reason_and_end_and_what_to_do(busy: Desk) -> None:
    break_it(busy)
    page = busy.get("/").text

    assert "Breaker: 10 calls in a row failed" in page
    assert "then one call tries" in page
    assert 'href="/runbook#breaker"' in page
    assert 'id="breaker"' in busy.get("/runbook").text


def test_page_and_status_json_and_command_give_the_same_object(busy: Desk) -> None:
    break_it(busy)

    assert busy.read("/") == busy.read("/status.json")
    assert busy.get("/status.json").text == as_json(gather(busy.site)) + "\n"


def test_the_charts_have_a_table_beneath_for_whoever_asks(busy: Desk) -> None:
    assert "The last hour in numbers" not in busy.get("/").text
    assert "The last hour in numbers" in busy.get("/?numbers=shown").text


def test_readyz_names_what_is_degraded_also_when_every_worker_is_down(
    busy: Desk, clock: HandClock
) -> None:
    assert busy.get("/readyz").status_code == 200

    clock.advance(timedelta(minutes=1))
    answer = busy.get("/readyz")

    assert answer.status_code == 503
    assert answer.json()["degraded"] == ["relay", "worker"]


def test_readyz_names_a_key_that_is_refused_and_a_quota_that_cannot_be_asked(
    desk: Desk,
) -> None:
    now = desk.site.clock.now()
    refused = Gate(reason=GateReason.KEY_REFUSED, until=None, since=now, detail="401")
    with desk.site.database.transaction() as connection:
        gates.shut(connection, "default", refused)

    told = desk.get("/readyz").json()

    assert told["degraded"] == ["quota", "key", "relay", "worker"]
    assert "401" in told["parts"]["key"]["detail"]


def test_metrics_are_read_by_a_parser_and_each_is_declared(busy: Desk) -> None:
    break_it(busy)
    families = {one.name: one for one in text_string_to_metric_families(busy.get("/metrics").text)}

    assert set(families) == {one.name for one in gauges.GAUGES}
    assert samples(families, "pillarbox_quota_used")["default", "live"] == 400
    assert samples(families, "pillarbox_gate_shut") == {("default", "breaker"): 1}
    assert samples(families, "pillarbox_alerts") == {("breaker",): 1}
    assert samples(families, "pillarbox_processes")["relay", "alive"] == 1
    assert samples(families, "pillarbox_process_progress")["h", "rounds", "1", "worker"] == 7
    assert set(samples(families, "pillarbox_part_ok").values()) == {1}


def samples(families: Mapping[str, object], name: str) -> dict[tuple[str, ...], float]:
    found = getattr(families[name], "samples", [])
    return {tuple(one.labels[label] for label in sorted(one.labels)): one.value for one in found}


def test_a_person_pauses_and_resumes_with_a_reason_that_stays(busy: Desk) -> None:
    without = busy.post("/quota/default/pause", {"reason": ""})
    assert (without.status_code, "why calls are to stop" in without.text) == (422, True)
    assert busy.read("/quota")[0]["gate"] is None

    busy.post("/quota/default/pause", {"reason": "the DfE asked us to", "length": "10m"})
    assert busy.read("/quota")[0]["gate"]["detail"] == "the DfE asked us to"
    busy.post("/quota/default/resume", {"reason": "they are done"})

    assert busy.read("/quota")[0]["gate"] is None
    with busy.site.database.reading() as connection:
        done = audit.of_subject(connection, "default")
    assert [(one["action"], one["reason"], one["actor"]) for one in done] == [
        ("quota_paused", "the DfE asked us to", "robin"),
        ("quota_resumed", "they are done", "robin"),
    ]


@pytest.mark.parametrize("wrong", ["soon", "-5m", "10"])
def test_a_length_that_is_none_is_said_in_a_sentence(busy: Desk, wrong: str) -> None:
    answer = busy.post("/quota/default/pause", {"reason": "why", "length": wrong})

    assert (answer.status_code, "the length" in answer.text) == (422, True)
    assert busy.read("/quota")[0]["gate"] is None


def test_every_line_that_can_light_up_has_its_page_of_the_runbook() -> None:
    page = Path(__file__).parents[2] / "docs/how-to/runbook.md"

    assert set(runbook.PAGES) == set(Anchor)
    assert all(f'<a id="{anchor}"></a>' in page.read_text("utf-8") for anchor in Anchor)
