"""The audit trail on a page."""

from datetime import timedelta

from runtime import audit
from tests.support.clock import HandClock
from tests.support.desk import Desk


def test_the_audit_page_tells_who_did_what_to_whom_and_why(desk: Desk) -> None:
    wrote(desk, actor="ines", subject="enrolment:E-1", reason="asked by <b>phone</b>")

    text = desk.get("/audit").text

    assert "ines" in text
    assert "enrolment:E-1" in text
    assert "asked by &lt;b&gt;phone&lt;/b&gt;" in text
    assert "schedule" in text


def test_the_audit_page_writes_true_and_false_as_yes_and_no(desk: Desk) -> None:
    with desk.site.database.transaction() as connection:
        audit.write_down(
            connection,
            actor="ines",
            action="poll_asked_for",
            subject="default/participants",
            now=desk.site.clock.now(),
            after={"everything": False},
        )

    assert "<del>nothing</del> <ins>no</ins>" in desk.get("/audit").text


def test_filters_of_the_audit_page_live_in_its_address(desk: Desk) -> None:
    wrote(desk, actor="ines", subject="enrolment:E-1")
    wrote(desk, actor="omar", subject="enrolment:E-2")

    told = desk.read("/audit?actor=omar")

    assert [line["subject"] for line in told["audit"]] == ["enrolment:E-2"]


def test_pages_of_the_trail_neither_repeat_nor_hide_a_line(desk: Desk, clock: HandClock) -> None:
    for number in range(120):
        clock.advance(timedelta(seconds=1))
        wrote(desk, actor="ines", subject=f"enrolment:E-{number}")

    seen: list[str] = []
    told = desk.read("/audit")
    seen += [line["subject"] for line in told["audit"]]
    wrote(desk, actor="omar", subject="enrolment:new")
    while told["next"]:
        told = desk.read(f"/audit?after={told['next']}")
        seen += [line["subject"] for line in told["audit"]]

    assert seen == [f"enrolment:E-{number}" for number in reversed(range(120))]


def wrote(desk: Desk, *, actor: str, subject: str, reason: str | None = None) -> None:
    with desk.site.database.transaction() as connection:
        audit.write_down(
            connection,
            actor=actor,
            action="correct",
            subject=subject,
            reason=reason,
            before={"schedule": "a"},
            after={"schedule": "b"},
            now=desk.site.clock.now(),
        )
