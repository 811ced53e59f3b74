"""Workers are killed at named moments; the sandbox's own log tells whether a claim was doubled."""

import os
import signal
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest
from sqlalchemy import text

from sandbox.server import Sandbox
from tests.support.servers import NotHere, PostgresServer, RedisServer
from tests.support.site import PATIENCE_S, Site


@pytest.fixture(scope="module", params=["sqlite", "postgresql"])
def site(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Site]:
    """One site for all of these, a person each; the workers are new each time."""
    folder = tmp_path_factory.mktemp("site")
    if request.param == "sqlite":
        file = folder / "pillarbox.db"
        template: Path = request.getfixturevalue("sqlite_template")
        file.write_bytes(template.read_bytes())
        url = f"sqlite:///{file}"
    else:
        server: PostgresServer = request.getfixturevalue("postgres")
        url = server.new()
    try:
        redis = RedisServer(folder)
    except NotHere as error:
        pytest.skip(str(error))
    with (
        closing(redis),
        Sandbox() as sandbox,
        closing(Site(url, redis.url, sandbox, folder)) as made,
    ):
        yield made
        made.let_go()


POSTGRES = pytest.mark.parametrize("site", ["postgresql"], indirect=True)


def executed(site: Site, name: str) -> list[bool]:
    return [one["executed"] for one in site.posts(name)]


@POSTGRES
def test_killed_before_the_mark_the_claim_is_sent_once(site: Site) -> None:
    worker = site.start_worker()
    with site.no_attempt_can_be_written():
        entry = site.declare("tomos-evans")
        site.relay_until(site.someone_waits_for_a_lock)
        site.kill(worker)
        site.end_who_waits()
        assert site.state_of(entry) == "taken"

    site.recover(entry)

    assert executed(site, "tomos-evans") == [True]
    assert site.calls_of(entry) == [("declare", "delivered")]


@POSTGRES
def test_killed_in_mid_call_before_it_took_effect_the_claim_is_looked_up_and_sent_again(
    site: Site,
) -> None:
    site.hold_claims(delay_ms=[60_000, 60_000], drop="before")
    worker = site.start_worker()
    entry = site.declare("kwame-boateng")
    site.relay_until(lambda: site.posts("kwame-boateng") != [])
    site.kill(worker)
    site.let_go()

    site.recover(entry)

    assert executed(site, "kwame-boateng") == [False, True]
    assert site.how(entry) == "delivered"
    assert site.calls_of(entry) == [
        ("declare", "in_doubt"),
        ("find_declaration", "delivered"),
        ("declare", "delivered"),
    ]


def test_killed_in_mid_call_after_it_took_effect_the_claim_is_found_and_not_doubled(
    site: Site,
) -> None:
    site.hold_claims(delay_after_ms=[60_000, 60_000])
    worker = site.start_worker()
    entry = site.declare("sana-malik")
    site.relay_until(lambda: site.posts("sana-malik") != [])
    site.kill(worker)
    site.let_go()

    site.recover(entry)

    assert executed(site, "sana-malik") == [True]
    assert site.how(entry) == "delivered"
    assert site.calls_of(entry) == [("declare", "in_doubt"), ("find_declaration", "delivered")]


@POSTGRES
def test_killed_between_answer_and_settling_the_claim_is_found_and_not_doubled(
    site: Site,
) -> None:
    site.hold_claims(delay_after_ms=[60_000, 60_000])
    worker = site.start_worker()
    entry = site.declare("harpreet-sandhu")
    site.relay_until(lambda: site.posts("harpreet-sandhu") != [])
    with site.no_attempt_can_be_written():
        site.let_go()
        site.relay_until(site.someone_waits_for_a_lock)
        assert [one["status"] for one in site.posts("harpreet-sandhu")] == [200]
        site.kill(worker)
        site.end_who_waits()  # settling is one statement: left alone the server would complete it

    site.recover(entry)

    assert executed(site, "harpreet-sandhu") == [True]
    assert site.calls_of(entry) == [("declare", "in_doubt"), ("find_declaration", "delivered")]


def test_asked_twice_to_stop_a_worker_finishes_the_call_in_hand_and_ends_in_order(
    site: Site,
) -> None:
    site.hold_claims(delay_after_ms=[60_000, 60_000])
    worker = site.start_worker()
    entry = site.declare("hannah-whitfield")
    site.relay_until(lambda: site.posts("hannah-whitfield") != [])

    os.killpg(worker.pid, signal.SIGTERM)
    os.killpg(worker.pid, signal.SIGTERM)
    site.let_go()

    assert worker.wait(timeout=PATIENCE_S) == 0
    assert site.how(entry) == "delivered"
    assert executed(site, "hannah-whitfield") == [True]
    gone = text("SELECT count(*) FROM process WHERE pid = :pid")
    with site.database.reading() as connection:
        assert connection.execute(gone, {"pid": worker.pid}).scalar_one() == 0
