"""Every link leads somewhere, every command and every test that a page names is there."""

import re
from pathlib import Path

import pytest

from console.menu import MENU
from tests.browser.pictures import name_of
from tests.docs import reference
from tests.docs.reference import ROOT

PAGES = sorted([*ROOT.glob("*.md"), *(ROOT / "docs").rglob("*.md")])
COMMANDS = {words.removeprefix("pillarbox "): command for words, command in reference.leaves()}


def _named(page: Path) -> str:
    return str(page.relative_to(ROOT))


@pytest.mark.parametrize("page", PAGES, ids=_named)
def test_every_link_leads_to_a_file(page: Path) -> None:
    links = re.findall(r"\]\(([^)#]+?)(?:#[^)]*)?\)", page.read_text(encoding="utf-8"))

    lost = [link for link in links if "://" not in link and not (page.parent / link).exists()]

    assert lost == []


@pytest.mark.parametrize("page", PAGES, ids=_named)
def test_every_command_is_one_with_options_it_has(page: Path) -> None:
    text = page.read_text(encoding="utf-8")
    shown = re.findall(
        r"^(?:\$ )?(?:[A-Z_]+=\S+ )*(?:\.venv/bin/)?pillarbox ([a-z].*)$", text, re.M
    )
    shown += re.findall(r"`pillarbox ([a-z][^`]*)`", text)

    for line in shown:
        words = line.split()
        longest = (" ".join(words[:length]) for length in (3, 2, 1))
        name = next((known for known in longest if known in COMMANDS), words[0])
        group = any(known.startswith(f"{name} ") for known in COMMANDS)
        assert name in COMMANDS or group, line
        if name in COMMANDS:
            _, options = reference.parameters(COMMANDS[name])
            known = {flag for option in options for flag in option.opts}
            assert set(re.findall(r"(?<=\s)--[a-z-]+", line)) <= known, line


def test_every_test_that_is_named_is_there() -> None:
    named = [
        match
        for page in PAGES
        for match in re.findall(r"`(tests/[\w/]+\.py)::(\w+)`", page.read_text(encoding="utf-8"))
    ]

    assert len(named) > 20
    for file, test in named:
        assert f"def {test}(" in (ROOT / file).read_text(encoding="utf-8"), f"{file}::{test}"


def test_every_page_can_be_reached_from_the_index() -> None:
    seen: set[Path] = set()
    ahead = [ROOT / "README.md", ROOT / "docs" / "README.md"]
    while ahead:
        page = ahead.pop().resolve()
        if page in seen or page.suffix != ".md":
            continue
        seen.add(page)
        links = re.findall(r"\]\(([^)#:]+?)\)", page.read_text(encoding="utf-8"))
        ahead += [page.parent / link for link in links]

    assert {page.resolve() for page in PAGES} <= seen


def test_every_page_of_the_desk_is_described_and_shown() -> None:
    told = (ROOT / "docs" / "reference" / "pages.md").read_text(encoding="utf-8")

    assert [one.path for one in MENU if f"`{one.path}`." not in told] == []
    assert [one.path for one in MENU if f"pages/{name_of(one.path)}.png" not in told] == []
