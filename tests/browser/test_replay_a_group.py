"""A journey: a group was given up while the API was away; a person replays it, one first."""

import shutil
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest
from playwright.sync_api import Browser, Page, expect

from console.server import Serving, take
from runtime.database import Database
from schema.states import RecordState
from tests.support.bulk import Desk
from tests.support.desk import a_site
from tests.support.outbox import Outbox


@pytest.fixture
def crowd(tmp_path: Path, sqlite_template: Path) -> Iterator[Desk]:
    """Sixty enrolments that were given up: too many to go by day without a word."""
    file = tmp_path / "pillarbox.db"
    shutil.copy(sqlite_template, file)
    database = Database(f"sqlite:///{file}")
    yield Desk(Outbox(database), crowd=60)
    database.close()


@pytest.fixture
def at(crowd: Desk, browser: Browser) -> Iterator[Page]:
    """A browser in front of them."""
    outbox = crowd.outbox
    serving = Serving(a_site(outbox.database, outbox.clock), take("127.0.0.1", 0))
    serving.start()
    context = browser.new_context(base_url=serving.url, viewport={"width": 390, "height": 844})
    yield context.new_page()
    context.close()
    serving.stop()


def refresh(page: Page) -> None:
    page.evaluate(
        "document.querySelectorAll('[data-live]').forEach(e => htmx.trigger(e, 'refresh'))"
    )


def test_a_group_is_planned_tried_on_one_and_replayed(at: Page, crowd: Desk) -> None:
    at.goto("/bulk/new?reason=exhausted")
    expect(at.get_by_text("would be sent")).to_be_visible()
    at.get_by_label("Why", exact=True).fill("the API is well again")
    at.get_by_label("Type 60 to replay them").fill("59")
    at.get_by_role("button", name="Replay 60 records").click()
    expect(at.get_by_role("alert")).to_contain_text("60 records are meant by now, not 59")

    at.get_by_label("Now, not in the off-peak hours").check()
    at.get_by_label("Why", exact=True).fill("the API is well again")
    at.get_by_label("Type 60 to replay them").fill("60")
    at.get_by_role("button", name="Replay 60 records").click()
    expect(at.get_by_text("trying one first")).to_be_visible()

    crowd.run()
    at.reload()
    expect(at.get_by_role("heading", name="One was tried")).to_be_visible()
    assert crowd.outbox.api.writes == ["defer"]
    at.get_by_role("button", name="Let the others follow").click()
    expect(at.get_by_text("running")).to_be_visible()

    # A relay and workers, while the person watches.
    working = threading.Thread(target=crowd.run)
    working.start()
    working.join()
    refresh(at)
    expect(at.locator("#progress")).to_contain_text("60 of 60")
    at.get_by_role("link", name="60", exact=True).click()

    expect(at.get_by_role("link", name="enrolment:E-0", exact=True)).to_be_visible()
    assert {one.state for one in crowd.outbox.records()} == {RecordState.IN_STEP}
    with at.expect_download() as download:
        at.get_by_role("link", name="Report as a spreadsheet (CSV)").click()
    assert len(Path(download.value.path()).read_text().splitlines()) == 61
