"""The desk under a person's hands: keys, updates that leave them alone, and no script at all."""

from playwright.sync_api import Browser, Page, expect

from runtime import audit
from tests.support.outbox import Outbox


def test_j_and_k_move_through_a_list_and_slash_searches(page: Page) -> None:
    page.goto("/audit?actor=ines")
    rows = page.locator("[data-rows] > tr")

    page.keyboard.press("j")
    page.keyboard.press("j")
    expect(rows.nth(1).locator("a").first).to_be_focused()
    page.keyboard.press("k")
    expect(rows.nth(0).locator("a").first).to_be_focused()
    page.keyboard.press("/")
    expect(page.locator("[data-search]")).to_be_focused()
    page.keyboard.type("j")
    expect(page.locator("[data-search]")).to_have_value("j")


def test_question_mark_tells_the_keys(page: Page) -> None:
    page.goto("/audit")

    page.keyboard.press("?")

    expect(page.get_by_role("dialog", name="Keyboard shortcuts")).to_be_visible()


def test_a_list_is_fetched_anew_and_leaves_the_focus_alone(page: Page, world: Outbox) -> None:
    page.goto("/audit?actor=late")
    page.locator("[data-search]").focus()
    with world.database.transaction() as connection:
        audit.write_down(
            connection, actor="late", action="note", subject="x", now=world.clock.now()
        )

    page.evaluate(
        "document.querySelectorAll('[data-live]').forEach(e => htmx.trigger(e, 'refresh'))"
    )

    expect(page.locator("[data-rows] > tr")).to_have_count(1)
    expect(page.locator("[data-search]")).to_be_focused()
    expect(page.get_by_role("button", name="Pause updates")).to_be_visible()


def test_updates_can_be_paused_and_stay_so(page: Page) -> None:
    page.goto("/audit")
    page.get_by_role("button", name="Pause updates").click()

    page.reload()

    expect(page.get_by_role("button", name="Resume updates")).to_be_visible()


def test_without_script_it_can_be_read_and_acted_on(browser: Browser, desk: str) -> None:
    context = browser.new_context(base_url=desk, java_script_enabled=False)
    page = context.new_page()
    page.goto("/audit?actor=ines")
    page.get_by_role("link", name="Next page").click()
    expect(page.locator("[data-rows] > tr")).to_have_count(10)

    page.goto("/accounts")
    page.get_by_text("Add a program").click()
    page.locator("#program").fill("reports")
    page.get_by_role("button", name="Make a token").click()
    expect(page.get_by_text("This token is shown once")).to_be_visible()
    page.get_by_role("button", name="Remove").click()
    expect(page.get_by_text("The token reports opens nothing any more.")).to_be_visible()
    context.close()
