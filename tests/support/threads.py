"""Threads that start together, and whose exceptions are not lost."""

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from threading import Barrier
from typing import TypeVar

Result = TypeVar("Result")


def at_once(*deeds: Callable[[], Result]) -> list[Result]:
    """Do all of them at the same time; gives what each gave, raises what one raised."""
    barrier = Barrier(len(deeds))

    def together(deed: Callable[[], Result]) -> Result:
        barrier.wait(timeout=30)
        return deed()

    with ThreadPoolExecutor(len(deeds)) as pool:
        return [future.result() for future in [pool.submit(together, deed) for deed in deeds]]
