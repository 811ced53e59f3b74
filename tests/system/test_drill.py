"""`pillarbox drill`: what is hidden or broken is recovered, and what is not is said."""

from collections.abc import Sequence

import pytest

from pillarbox import drills
from pillarbox.commands.drill import hold
from pillarbox.drills import DRILLS, Ground, Proof
from tests.support.command import run

LOST = Proof(broken="a name was hidden", recovered_by="nothing", recovered=False)


@pytest.mark.parametrize("name", DRILLS)
def test_what_a_drill_hides_or_breaks_is_recovered(
    name: str, environment: pytest.MonkeyPatch
) -> None:
    assert [proof.broken for proof in hold(name) if not proof.recovered] == []


def test_a_drill_that_recovers_nothing_ends_with_6_and_says_what_was_lost(
    environment: pytest.MonkeyPatch,
) -> None:
    def nothing(ground: Ground) -> Sequence[Proof]:
        return [LOST]

    environment.setattr(drills, "DRILLS", {**DRILLS, "missed-updates": nothing})

    told = run("drill", "missed-updates", "--json")

    assert told.code == 6
    assert told.json == {
        "recovered": False,
        "drills": [
            {
                "drill": "missed-updates",
                "proofs": [
                    {
                        "broken": "a name was hidden",
                        "recovered_by": "nothing",
                        "recovered": False,
                    }
                ],
            }
        ],
    }


def test_an_unknown_drill_is_refused_with_the_known_ones() -> None:
    refused = run("drill", "fire")

    assert refused.code == 2
    assert "missed-updates, mentor-swaps" in refused.err
