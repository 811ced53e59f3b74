"""A signal to stop is heard whatever the process is doing just then."""

import subprocess
import sys

HOLDING = """
import signal
from pillarbox.commands.processes import stopping

stop = stopping()
with stop._cond:  # as the main thread does for a moment in every wait
    signal.raise_signal(signal.SIGTERM)
assert stop.wait(5)
"""


def test_a_signal_that_comes_just_as_the_wait_begins_ends_it() -> None:
    ended = subprocess.run([sys.executable, "-c", HOLDING], timeout=20, check=False)

    assert ended.returncode == 0
