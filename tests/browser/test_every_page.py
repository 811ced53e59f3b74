"""Every page there is, in a browser: for everybody, on a telephone and on a desk.

One idea: pages are found, not listed. Those whose address has a part to fill in are reached by the links
of the others, so a new page is looked at as soon as something leads to it.
"""

import html
import re
from collections.abc import Iterable
from typing import Any

import httpx
from axe_playwright_python.sync_playwright import Axe
from playwright.sync_api import Page

from console.app import PAGES
from console.menu import MENU
from tests.browser.conftest import MARKUP

WIDTHS = (1440, 390)
AXE: Any = Axe()  # its types say too little
OPTIONS = {"resultTypes": ["violations"], "preload": False, "iframes": False, "elementRef": False}
"""Nothing here is in a frame, and styles are all from here: there is no need to fetch them anew."""

NARROW = {**OPTIONS, "rules": {"color-contrast": {"enabled": False}}}
"""Colours are the same at every width, and looking at them takes longest."""

CUT = """[...document.querySelectorAll(".desk-table")]
  .filter((one) => one.scrollWidth > one.clientWidth + 1).map((one) => one.ariaLabel)"""
"""The tables that do not fit: on a telephone nobody sees that there is more to the right."""

MOST_LOOKED_AT = 80
"""Pages that are fetched to find links; more would be a list that goes on for ever."""


def test_no_page_shuts_anybody_out_or_runs_what_it_was_told(page: Page, desk: str) -> None:
    faults: list[str] = []
    for path in found(desk):
        page.goto(path)
        assert "owned" not in page.title(), path
        page.evaluate(AXE.axe_script)
        for width in WIDTHS:
            page.set_viewport_size({"width": width, "height": 900})
            faults += [f"{path} at {width}: {one}" for one in _faults(page, width)]

    assert faults == []


def test_what_an_api_answered_is_shown_and_never_run(page: Page) -> None:
    page.goto("/audit")

    assert page.get_by_text(MARKUP).count() > 0
    assert page.title() == "Audit - Pillarbox"


def test_every_link_leads_to_a_page(desk: str) -> None:
    links: dict[str, str] = {}
    with httpx.Client(base_url=desk, headers={"accept": "text/html"}) as client:
        for address in found(desk):
            for link in re.findall(r'href="(/[^"#]*)"', client.get(address).text):
                links.setdefault(html.unescape(link), address)
        lost = {
            link: page
            for link, page in links.items()
            # Nobody is at work in this world, and that is what it says.
            if link != "/readyz" and client.get(link, follow_redirects=True).status_code >= 400
        }

    assert len(links) > len(MENU)
    assert lost == {}


def _faults(page: Page, width: int) -> Iterable[str]:
    wide: int = page.evaluate("document.documentElement.scrollWidth")
    if wide > width:
        yield f"it is {wide} wide"
    if width == min(WIDTHS):
        yield from (f"{one} is cut" for one in page.evaluate(CUT))
    if page.locator("[data-live]").count() and not page.locator("[data-pause]:visible").count():
        yield "it is fetched anew, and nobody can pause that"
    options = OPTIONS if width == max(WIDTHS) else NARROW
    for one in page.evaluate("options => axe.run(options)", options)["violations"]:
        yield f"{one['id']}: {one['nodes'][0]['html'][:200]}"


def found(desk: str) -> list[str]:
    """Give one address for each page there is."""
    patterns = {one.path: one.path_regex for one in PAGES if one.methods and "GET" in one.methods}
    addresses = {path: path for path in patterns if "{" not in path}
    waiting, seen = list(addresses.values()), set[str]()
    with httpx.Client(base_url=desk, headers={"accept": "text/html"}) as client:
        while waiting and len(seen) < MOST_LOOKED_AT:
            address = waiting.pop(0)
            if address in seen:
                continue
            seen.add(address)
            answer = client.get(address)
            if "text/html" not in answer.headers.get("content-type", ""):
                addresses = {k: v for k, v in addresses.items() if v != address}
                continue
            for link in re.findall(r'href="(/[^"#]*)"', answer.text):
                path = link.partition("?")[0]
                for pattern, regex in patterns.items():
                    if pattern not in addresses and regex.match(path):
                        addresses[pattern] = path
                        waiting.append(path)
    return sorted(addresses.values())
