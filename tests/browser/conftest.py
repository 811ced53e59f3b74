"""A real browser in front of a real console, whose world one record of each fate is in."""

import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest
from playwright.sync_api import Browser, BrowserContext, Error, Page, sync_playwright

from console.server import Serving, take
from runtime import audit
from runtime.database import Database
from schema.events import DeclarationMade, ParticipantDeferred
from schema.outcomes import Blame, Refused
from tests.support.api import a_refusal
from tests.support.builders import OTHER_PERSON
from tests.support.bulk import Desk
from tests.support.clock import NOON
from tests.support.desk import a_site
from tests.support.outbox import Outbox

MARKUP = "<script>document.title = 'owned'</script><img src=x onerror=\"document.title='owned'\">"
"""What an API's answer may hold; on a page it is text."""


@pytest.fixture(scope="package")
def browser() -> Iterator[Browser]:
    """Chromium; skips where there is none, and says what would help.

    It ends with this folder's tests: while it is there an event loop runs in this thread, and no other
    test could run one.
    """
    chromium = shutil.which("chromium") or shutil.which("chromium-browser")
    if chromium is None:
        pytest.skip("there is no chromium here; install the package chromium")
    with sync_playwright() as playwright:
        try:
            launched = playwright.chromium.launch(executable_path=chromium, args=["--no-sandbox"])
        except Error as error:
            pytest.skip(f"chromium does not start here: {error.message.splitlines()[0]}")
        yield launched
        launched.close()


@pytest.fixture(scope="package")
def world(tmp_path_factory: pytest.TempPathFactory, sqlite_template: Path) -> Iterator[Outbox]:
    """A database with a record that is in step, one that was refused, and one that waits."""
    file = tmp_path_factory.mktemp("browser") / "pillarbox.db"
    shutil.copy(sqlite_template, file)
    database = Database(f"sqlite:///{file}")
    yield filled(database)
    database.close()


@pytest.fixture(scope="package")
def desk(world: Outbox) -> Iterator[str]:
    """The address of a console on that world."""
    serving = Serving(a_site(world.database, world.clock), take("127.0.0.1", 0))
    serving.start()
    yield serving.url.rstrip("/")
    serving.stop()


@pytest.fixture
def page(browser: Browser, desk: str) -> Iterator[Page]:
    """A page of its own; what the browser complains about fails the test."""
    context: BrowserContext = browser.new_context(
        base_url=desk, viewport={"width": 1440, "height": 900}
    )
    opened = context.new_page()
    complaints: list[str] = []
    opened.on("pageerror", lambda error: complaints.append(str(error)))
    opened.on("console", lambda line: _heard(complaints, line.type, line.text))
    yield opened
    context.close()
    assert complaints == []


def filled(database: Database) -> Outbox:
    """Play a small morning: one accepted, one refused with markup in the answer, one waiting."""
    outbox = Outbox(database)
    outbox.link("E-1")
    outbox.emit(ParticipantDeferred(source_id="E-1", reason="parental-leave"))
    outbox.run()
    outbox.link("E-2", OTHER_PERSON)
    outbox.api.then(
        Refused(status=422, refusals=a_refusal("declaration_date", MARKUP), blame=Blame.DATA)
    )
    outbox.emit(
        DeclarationMade(
            source_id="E-2",
            declaration_type="started",
            declaration_date=NOON,
            evidence_held="training-event-attended",
        )
    )
    outbox.run()
    outbox.emit(ParticipantDeferred(source_id="E-3", reason="other"))
    outbox.round()
    desk = Desk(outbox)
    desk.start(1)  # refused for its data: noted, and never sent
    desk.run()
    with database.transaction() as connection:
        for number in range(60):
            audit.write_down(
                connection,
                actor="ines",
                action="correct",
                subject=f"enrolment:E-{number}",
                reason=MARKUP,
                before={"schedule_identifier": "ecf-standard-january"},
                after={"schedule_identifier": "ecf-reduced-september"},
                now=outbox.clock.now(),
            )
    return outbox


def _heard(complaints: list[str], kind: str, text: str) -> None:
    if kind in ("error", "warning"):
        complaints.append(text)
