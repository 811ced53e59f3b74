"""The commands of the page, in its order, come to the end that it tells."""

import re
import shlex
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta

import pytest

from schema.outcomes import Blame, Refusal, Refused
from schema.states import RecordState
from tests.docs.reference import ROOT
from tests.support.builders import an_enrolment
from tests.support.command import Ran, run
from tests.support.outbox import Outbox

PAGE = (ROOT / "docs/tutorial/a-refused-deferral.md").read_text(encoding="utf-8")
RIGHT = "192f7f67-1276-5e86-931f-208256e1330a"
SHOWN = "10"
"""The id that the page's own desk gave the record."""


def lines() -> Iterator[list[str]]:
    for line in re.findall(r"^\$ pillarbox (.+)$", PAGE, re.M):
        words = shlex.split(line)
        if words != ["up"]:
            yield words


def test_the_page_leads_from_the_alarm_to_the_acceptance(
    outbox: Outbox, environment: pytest.MonkeyPatch
) -> None:
    environment.setenv("DATABASE_URL", outbox.database.url.render_as_string(hide_password=False))
    outbox.clock.advance(datetime.now(UTC) + timedelta(minutes=5) - outbox.clock.now())
    outbox.api.people = {RIGHT: an_enrolment()}
    nobody = Refusal(title="Resource not found", detail="Nothing could be found")
    outbox.api.then(Refused(status=404, refusals=(nobody,), blame=Blame.STATE))
    done: dict[str, Ran] = {}

    for words in lines():
        record = str(outbox.record("E-2001").id) if SHOWN in words else SHOWN
        ran = run(*(record if word == SHOWN else word for word in words))
        assert ran.code == 0, (words, ran.err)
        done[" ".join(words[:2])] = ran
        outbox.wait(minutes=5)
        outbox.run()

    assert outbox.record("E-2001").state is RecordState.IN_STEP
    assert outbox.api.people[RIGHT]["training_status"] == "deferred"
    assert "Resource not found" in done["dead-letters groups"].out
    assert f"GET /participants/{RIGHT}" in done["dead-letters correct"].out
    explained = done["records explain"].out
    for told in ("In step", "a slip of the keyboard", "a newer change took its place"):
        assert told in explained
