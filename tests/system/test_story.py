"""The story that the demo plays and that `up` begins with: what is staged is said, what comes back is told."""

import threading
from collections.abc import Iterator
from dataclasses import replace
from datetime import timedelta
from pathlib import Path

import pytest

from pillarbox import demo as story
from pillarbox.watcher import Watcher
from pillarbox.world import World, wait_until, with_sandbox
from runtime.settings import Settings
from sandbox.server import Sandbox
from tests.support.command import run
from tests.support.site import PATIENCE_S

NEWS = "Amara Okafor (E-1001): changed there: full name"


def test_the_demo_tells_what_somebody_else_changed_and_counts_what_reading_it_cost(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)

    ran = run("demo", "--limit", "1000/300s")

    assert ran.code == 0, ran.out + ran.err
    assert NEWS in ran.out
    assert "reads of what changed there)" in ran.out
    assert "(6 writes, 3 look-ups" in ran.out
    assert ran.err == ""


@pytest.fixture
def world(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, environment: pytest.MonkeyPatch
) -> Iterator[World]:
    """A world as `up` makes it, in which acts follow at once and a throttle ends soon."""
    monkeypatch.setattr(story, "BETWEEN_S", 0.05)
    soon = {"status": 429, "headers": {"Retry-After": "1"}}
    monkeypatch.setattr(story, "THROTTLED", {**story.THROTTLED, "do": soon})
    settings = replace(
        Settings.from_environment({}),
        database_url=f"sqlite:///{tmp_path / 'pillarbox.db'}",
        settle=timedelta(milliseconds=100),
        poll_start="everything",
    )
    with Sandbox() as sandbox:
        world = World(with_sandbox(settings, sandbox), sandbox, polls=True)
        world.prepare()
        world.start()
        yield world
        world.stop()


def test_a_world_left_running_hears_the_story_once_and_what_is_staged_is_said(world: World) -> None:
    titles: list[str] = []
    said: list[tuple[str, str]] = []
    watcher = Watcher(world.wiring.database, lambda who, what: said.append((who, what)), story.CAST)
    watcher.skip()

    story.begin(world, titles.append, threading.Event())

    def told() -> bool:
        watcher.look()
        return ("feed", NEWS) in said

    assert wait_until(told, timeout=PATIENCE_S)
    assert len(titles) == 1 + len(story.acts()) + 1
    assert "told to answer one of them with 429" in titles[-2]
    assert any("→ 429 throttled" in what for _, what in said)

    story.begin(world, titles.append, threading.Event())
    assert "has heard" in titles[-1]
    assert len(titles) == 1 + len(story.acts()) + 2
