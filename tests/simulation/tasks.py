"""Tasks on virtual time: each runs until it waits, and one seed decides everything.

One idea: a task is a greenlet, so the code under test is called as it is; whatever waits gives its
turn back here. A process that dies is its tasks, thrown away where they stand.
"""

import heapq
import itertools
from collections.abc import Callable
from dataclasses import dataclass, field

from greenlet import getcurrent, greenlet


class Died(BaseException):
    """The process was killed. No `except Exception` may stop it."""


@dataclass(eq=False)
class Process:
    """What dies together: some tasks, and a memory that is gone afterwards."""

    name: str
    origin: float
    """What its monotonic clock showed at the beginning of the history."""
    tasks: dict["Task", None] = field(default_factory=dict["Task", None])
    alive: bool = True
    started: int = 0


class Task:
    """One thread of a process."""

    def __init__(self, loop: "Loop", process: Process, body: Callable[[], None]) -> None:
        self._body = body
        self.process = process
        self.about = ""
        """What it has in hand, for the outside's notes."""
        self.thread = greenlet(self._run, parent=loop.hub)
        self.doomed = False
        self.turn = 0
        """Which of its waits this is: what wakes it from an earlier one comes too late."""
        process.tasks[self] = None

    def _run(self) -> None:
        try:
            self._body()
        except Died:
            pass
        finally:
            self.process.tasks.pop(self, None)

    def go_on(self) -> None:
        """Give it its turn, the first or the next."""
        if self.thread.dead:
            return
        if self.doomed and self.thread:
            self.thread.throw(Died)
        elif not self.doomed:
            self.thread.switch()

    def end(self) -> None:
        """Throw it away where it waits."""
        self.doomed = True
        self.go_on()


class Loop:
    """One true time, and what happens on it in order."""

    def __init__(self) -> None:
        self.now = 0.0
        self.hub = getcurrent()
        self.current: Task | None = None
        self._coming: list[tuple[float, int, Callable[[], None]]] = []
        self._count = itertools.count()

    def at(self, when: float, deed: Callable[[], None]) -> None:
        """Do something then."""
        heapq.heappush(self._coming, (max(when, self.now), next(self._count), deed))

    def after(self, seconds: float, deed: Callable[[], None]) -> None:
        """Do something in so many seconds."""
        self.at(self.now + seconds, deed)

    def start(self, process: Process, body: Callable[[], None], *, about: str = "") -> Task:
        """Begin a task of a process, soon."""
        task = Task(self, process, body)
        task.about = about
        self.at(self.now, lambda: self._turn(task, 0))
        return task

    def sleep(self, seconds: float) -> None:
        """Let the task that calls wait."""
        task = self.current
        if task is None:
            raise RuntimeError("only a task can wait")
        task.turn += 1
        turn = task.turn
        self.after(seconds, lambda: self._turn(task, turn))
        self.hub.switch()

    def wake(self, task: Task, seconds: float) -> None:
        """End a task's wait in so many seconds, if it still waits for the same then."""
        turn = task.turn
        self.after(seconds, lambda: self._turn(task, turn))

    def kill(self, process: Process) -> None:
        """Let a process die: what it has in hand ends where it stands."""
        process.alive = False
        for task in list(process.tasks):
            task.doomed = True
            if task is not self.current:
                self.wake(task, 0.0)

    def run(self, *, until: float, most: int) -> None:
        """Let everything happen that comes before then; ends early when nothing comes, and after
        *most* turns, which only what runs in a circle needs."""
        while self._coming and self._coming[0][0] <= until and most > 0:
            most -= 1
            self.now, _, deed = heapq.heappop(self._coming)
            deed()

    def end(self, processes: list[Process]) -> None:
        """Throw every task away."""
        for process in processes:
            for task in list(process.tasks):
                self.current = task
                task.end()
        self.current = None

    def _turn(self, task: Task, turn: int) -> None:
        if task.turn != turn:
            return
        self.current = task
        try:
            task.go_on()
        finally:
            self.current = None
