"""`python -m tests.browser.pictures`: a picture of every page of the desk, for the documentation.

One idea: the pictures are of the world that `pillarbox up` plays, so whoever reads the page sees what he
would see himself. Made by hand with `make pictures`, then looked at.
"""

import re
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Generator
from contextlib import contextmanager
from pathlib import Path

from playwright.sync_api import Browser, Page, ViewportSize, sync_playwright

from console.menu import MENU
from tests.support.servers import surroundings

ROOT = Path(__file__).resolve().parents[2]
FOLDER = ROOT / "docs" / "images" / "pages"

DESK: ViewportSize = {"width": 1280, "height": 800}
PHONE: ViewportSize = {"width": 390, "height": 844}

PLAYED = re.compile(r"Daniel Adeyemi.*sent and accepted")
"""The last line of the story."""

PATIENCE_S = 180.0


def name_of(path: str) -> str:
    """Name the picture of a page by its address."""
    return path.strip("/").replace("/", "-") or "overview"


def main() -> int:
    """Make them all."""
    FOLDER.mkdir(parents=True, exist_ok=True)
    chromium = shutil.which("chromium") or shutil.which("chromium-browser")
    with (
        tempfile.TemporaryDirectory() as folder,
        _up(Path(folder)) as address,
        sync_playwright() as playwright,
    ):
        browser = playwright.chromium.launch(executable_path=chromium, args=["--no-sandbox"])
        _take_all(browser, address)
        browser.close()
    return 0


def _take_all(browser: Browser, address: str) -> None:
    desk = browser.new_page(base_url=address, viewport=DESK)
    for one in MENU:
        _take(desk, one.path, name_of(one.path))
    desk.goto("/problems/list")
    letter = desk.locator("tbody a[href^='/problems/']").first.get_attribute("href") or ""
    _take(desk, letter, "problem")
    _take(desk, f"{letter}/correct", "problem-correct")
    desk.goto("/people?q=Amara")
    person = desk.locator("tbody a[href^='/people/']").first.get_attribute("href") or ""
    _take(desk, person, "person")
    _take(desk, "/bulk/new?reason=refused", "bulk-plan")
    phone = browser.new_page(base_url=address, viewport=PHONE)
    _take(phone, "/", "overview-phone")
    _take(phone, letter, "problem-phone")


def _take(page: Page, path: str, name: str) -> None:
    page.goto(path)
    page.screenshot(path=FOLDER / f"{name}.png")


@contextmanager
def _up(folder: Path) -> Generator[str]:
    """Let the story be played; gives the desk's address once it has been."""
    said = folder / "up.log"
    command = [sys.executable, "-m", "pillarbox", "up"]
    environment = {**surroundings(), "PYTHONPATH": str(ROOT), "PILLARBOX_SETTLE": "2s"}
    with said.open("wb") as log:
        child = subprocess.Popen(command, cwd=folder, env=environment, stdout=log, stderr=log)
    try:
        yield _address(said)
    finally:
        child.terminate()
        child.wait(timeout=30)


def _address(said: Path) -> str:
    end = time.monotonic() + PATIENCE_S
    while time.monotonic() < end:
        text = said.read_text(encoding="utf-8")
        found = re.search(r"Desk\s+(http://\S+?)/?\s", text)
        if found is not None and PLAYED.search(text):
            return found.group(1)
        time.sleep(0.5)
    raise SystemExit(f"the story was not played to its end:\n{said.read_text(encoding='utf-8')}")


if __name__ == "__main__":
    sys.exit(main())
