"""`python -m tests.support.producer URL`: local systems that die between two statements.

For each moment a child is forked that writes its own change, emits the event and commits, and is
killed at that moment; its name and how it ended are printed, a line each.
"""

import os
import signal
import sys

from sqlalchemy import text

from producers import emit
from runtime.database import Database
from schema.events import ParticipantDeferred

MOMENTS = ("written", "emitted", "committed")


def _produce(url: str, dies: str) -> None:
    def reach(moment: str) -> None:
        if moment == dies:
            os.kill(os.getpid(), signal.SIGKILL)

    with Database(url).transaction() as connection:
        connection.execute(text("INSERT INTO teacher (name) VALUES (:name)"), {"name": dies})
        reach("written")
        emit(connection, [ParticipantDeferred(source_id=f"E-{dies}", reason="other")])
        reach("emitted")
    reach("committed")


def main() -> None:
    """Let one die at each moment."""
    for moment in MOMENTS:
        pid = os.fork()
        if not pid:
            _produce(sys.argv[1], moment)
            os._exit(0)
        _, status = os.waitpid(pid, 0)
        sys.stdout.write(f"{moment} {os.waitstatus_to_exitcode(status)}\n")


if __name__ == "__main__":
    main()
