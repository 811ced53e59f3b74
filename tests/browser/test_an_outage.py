"""Watching an outage from its first failures to its end, on one page that is never reloaded."""

import shutil
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path
from uuid import UUID

import pytest
from playwright.sync_api import Browser, Page, expect

from console.server import Serving, take
from runtime.database import Database
from schema.events import DeclarationMade
from schema.outcomes import Transient
from tests.support.builders import ECT
from tests.support.clock import NOON
from tests.support.desk import a_site
from tests.support.outbox import Outbox

FAILURES = 10
"""So many in a row open the breaker."""


@pytest.fixture
def outbox(tmp_path: Path, sqlite_template: Path) -> Iterator[Outbox]:
    """An outbox of its own: what happens here is nobody else's."""
    file = tmp_path / "pillarbox.db"
    shutil.copy(sqlite_template, file)
    database = Database(f"sqlite:///{file}")
    yield Outbox(database)
    database.close()


@pytest.fixture
def overview(browser: Browser, outbox: Outbox) -> Iterator[Page]:
    """The overview of that outbox, open and watched."""
    serving = Serving(a_site(outbox.database, outbox.clock), take("127.0.0.1", 0))
    serving.start()
    context = browser.new_context(viewport={"width": 1440, "height": 900})
    page = context.new_page()
    page.goto(serving.url)
    page.evaluate("window.neverReloaded = true")
    yield page
    context.close()
    serving.stop()


def look(page: Page) -> None:
    """What the page does by itself every five seconds, now."""
    page.evaluate(
        "document.querySelectorAll('[data-live]').forEach(e => htmx.trigger(e, 'refresh'))"
    )


def claims(number: int) -> list[DeclarationMade]:
    return [
        DeclarationMade(
            source_id=f"E-{one}",
            participant_id=str(UUID(int=one + 1)),
            course_identifier=ECT,
            declaration_type="started",
            declaration_date=NOON - timedelta(days=1),
            evidence_held="other",
        )
        for one in range(number)
    ]


def test_an_outage_is_watched_to_its_end_without_reloading(overview: Page, outbox: Outbox) -> None:
    expect(overview.get_by_text("Calls are made.")).to_be_visible()

    outbox.emit(*claims(FAILURES))
    outbox.api.then(*[Transient(detail="no connection")] * FAILURES)
    outbox.round()
    outbox.deliver()
    look(overview)
    gate = overview.locator(".desk-gate")
    expect(gate).to_contain_text(f"Breaker: {FAILURES} calls in a row failed")
    expect(gate).to_contain_text("then one call tries")
    expect(overview.locator(".desk-alerts")).to_contain_text("breaker")

    outbox.wait(seconds=31)
    look(overview)
    expect(gate).to_contain_text("ajar")

    outbox.wait(minutes=2)
    outbox.run()
    look(overview)
    expect(gate).to_contain_text("Calls are made.")
    expect(overview.locator(".desk-tile").first).to_contain_text("none")
    assert overview.evaluate("window.neverReloaded") is True
