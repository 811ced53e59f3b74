"""300 histories in each run of the tests, and proof that what should have struck did strike."""

import os
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context

import pytest

from runtime.points import Point
from tests.simulation.damages import DAMAGES, Damage, damaged
from tests.simulation.plan import Fate, Fault, died_at
from tests.simulation.play import Sum, first_to_notice, histories, trace

pytestmark = pytest.mark.long

HISTORIES = 300

ONCE_WRONG = (686, 698, 1776, 2164)
"""Seeds that once showed a mistake, in the product or in the judge's own idea of what is right."""

QUICKLY_NOTICED = 60
"""Damages that so few histories show are tried in each run; `make simulate-damage` tries all."""


@pytest.fixture(scope="module")
def total() -> Sum:
    """What came of all histories; on as many processors as there are."""
    found = Sum()
    parts = [range(first, first + 50) for first in range(0, HISTORIES, 50)]
    with ProcessPoolExecutor(os.cpu_count() or 1, mp_context=get_context("spawn")) as pool:
        for part in pool.map(histories, [*parts, ONCE_WRONG]):
            found.add(part)
    return found


def test_whatever_strikes_nothing_is_lost_doubled_stale_or_over_the_limit(total: Sum) -> None:
    assert total.found == {}


def test_most_histories_recover_by_themselves_from_what_struck(total: Sum) -> None:
    assert total.recovered > total.histories / 2


def test_every_kind_of_fault_has_struck(total: Sum) -> None:
    kinds = {one.value for one in Fault} - {Fault.DIES}
    fates = {one.value for one in Fate} - {Fate.COMMITS}

    assert {one for one in kinds | fates if not total.fired[one]} == set()


def test_a_process_has_died_at_every_point(total: Sum) -> None:
    assert {point for point in Point if not total.fired[died_at(point)]} == set()


def test_the_same_seed_makes_the_same_history() -> None:
    assert [trace(seed) for seed in (3, 4, 5)] == [trace(seed) for seed in (3, 4, 5)]
    assert trace(3) != trace(4)


@pytest.mark.parametrize("damage", DAMAGES, ids=lambda one: one.name)
def test_a_damage_still_finds_the_words_it_replaces(damage: Damage) -> None:
    with damaged(damage):
        pass


@pytest.mark.parametrize(
    "name",
    ["resend without look-up", "a lost answer taken for a yes", "done before it is answered"],
)
def test_a_damage_is_noticed_at_once(name: str) -> None:
    [damage] = [one for one in DAMAGES if one.name == name]

    assert first_to_notice(damage, range(QUICKLY_NOTICED)) is not None
