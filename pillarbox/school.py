"""The story's last act: a school changes somebody at the API, a poll brings it, the feed tells it.

One idea: nothing is sent and nothing is asked for here; what comes back was read there.
"""

import time
from datetime import timedelta
from threading import Event as StopEvent

from inbox import by_hand, checkpoints
from inbox.by_hand import Hand
from inbox.pacing import pacing_of
from inbox.poll import Ended
from inbox.window import From
from pillarbox.world import Control, World

PEOPLE = "participants"
ACT = (
    "Somebody else changes something: Amara's school corrects her name at the API. A poll "
    "reads it, and the feed tells your systems."
)
RENAMED = {
    "event": "participant_renamed",
    "participant": "amara-okafor",
    "full_name": "Amara Okafor-Reid",
}

LATELY = timedelta(minutes=5)
"""From when the first reading asks: it holds whom the story has changed."""

READ_S = 20.0
"""How long one reading may take, at the story's own small limit."""

AGAIN_S = 0.2


def rename(world: World) -> None:
    """Let the school do it, in the sandbox."""
    assert world.sandbox is not None
    Control(world.sandbox).post("/events", [RENAMED])


def read(world: World) -> bool:
    """Read who changed of late here and now, without a poller; says whether it was in time."""
    reader = world.wiring.reader(world.settings.destinations[0], StopEvent())
    start = None if was_read(world) else From(since=world.wiring.clock.now() - LATELY)
    end = time.monotonic() + READ_S
    while time.monotonic() < end:
        if reader.read(PEOPLE, start=start) is Ended.COMPLETE:
            return True
        time.sleep(AGAIN_S)
    return False


def ask_for(world: World) -> None:
    """Have everybody read at once by the poller of this world."""
    destination, clock = world.settings.destinations[0], world.wiring.clock
    now = clock.now()
    hand = Hand(
        destination=destination.name, actor="story", now=now, pacing=pacing_of(world.settings)
    )
    (people,) = (
        one for one in world.wiring.contract(destination).sources(now) if one.name == PEOPLE
    )
    with world.wiring.database.transaction() as connection:
        by_hand.poll(connection, hand, people, reason="the story wants to show it")


def was_read(world: World) -> bool:
    """Whether everybody was read once."""
    name = world.settings.destinations[0].name
    with world.wiring.database.reading() as connection:
        return checkpoints.get(connection, name, PEOPLE).watermark is not None
