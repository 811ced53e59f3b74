"""Three journeys at the desk, as somebody makes them: with the mouse, the keyboard, and on a phone."""

from collections.abc import Iterator
from typing import Any

import pytest
from playwright.sync_api import Browser, Page

from console.server import Serving, take
from runtime.database import Database
from schema.states import RecordState
from tests.console.test_problem_pages import read_people
from tests.desk.test_deeds import refused
from tests.integration.test_delivery import known
from tests.support.builders import PERSON
from tests.support.desk import a_site
from tests.support.outbox import Outbox

__all__ = ["known"]  # the fixture


@pytest.fixture
def backend() -> str:
    """One database is enough to see what a browser makes of the pages."""
    return "sqlite"


@pytest.fixture
def page(browser: Browser, database: Database, outbox: Outbox) -> Iterator[Page]:
    """A window on a console whose records are the test's own."""
    serving = Serving(a_site(database, outbox.clock), take("127.0.0.1", 0))
    serving.start()
    context = browser.new_context(
        base_url=serving.url.rstrip("/"), viewport={"width": 1440, "height": 900}
    )
    yield context.new_page()
    context.close()
    serving.stop()


def test_find_a_person(page: Page, known: Outbox, database: Database) -> None:
    read_people(known, database)

    page.goto("/people")
    page.get_by_label("Name, TRN, e-mail").fill("smith")
    page.keyboard.press("Enter")
    page.get_by_role("link", name="enrolment:E-1", exact=True).click()

    assert page.locator(".desk-verdict").inner_text().startswith("In step")
    assert page.get_by_text("Jane Smith").is_visible()
    assert page.get_by_role("cell", name="ecf-standard-september").first.is_visible()
    page.get_by_role("button", name="Look there now").click()
    assert page.get_by_text("It goes on.").is_visible()
    known.run()
    assert known.record().state is RecordState.IN_STEP


def test_correct_and_send_one(page: Page, known: Outbox) -> None:
    refused(known)

    page.goto("/problems")
    page.keyboard.press("j")
    page.keyboard.press("Enter")
    page.get_by_role("link", name="enrolment:E-1", exact=True).click()
    page.wait_for_url("**/problems/*")
    page.keyboard.press("e")
    page.get_by_label("Reason").select_option("career-break")
    page.get_by_role("button", name="Correct and send").click()
    assert page.get_by_text("Enter why it is corrected.").first.is_visible()
    assert page.get_by_label("Reason").input_value() == "career-break"
    page.get_by_label("Why it is corrected").fill("the school rang")
    page.get_by_role("button", name="Correct and send").click()

    assert page.get_by_text(f"Corrected. What comes next: PUT /participants/{PERSON}").is_visible()
    known.run()
    page.reload()
    assert page.locator(".desk-verdict").inner_text().startswith("In step")
    assert known.api.people[PERSON]["training_status"] == "deferred"


def test_discard_and_restore_on_a_phone(page: Page, known: Outbox) -> None:
    record = refused(known)
    page.set_viewport_size({"width": 390, "height": 844})

    page.goto(f"/problems/{record.id}")
    page.get_by_label("Why").first.fill("registered by mistake")
    page.get_by_role("button", name="Discard").click()
    assert page.get_by_text("Discarded. It can be restored").is_visible()
    assert known.record().state is RecordState.IN_STEP
    page.get_by_role("button", name="Restore").click()

    assert page.locator(".desk-verdict").inner_text().startswith("Refused")
    assert known.record().state is RecordState.DEAD
    for path in ("/problems", "/problems/list", "/people", f"/people/{record.id}"):
        page.goto(path)
        wide: Any = page.evaluate("document.documentElement.scrollWidth - window.innerWidth")
        assert wide <= 0, f"{path} is wider than a phone"
