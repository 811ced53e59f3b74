"""Events that wait for their time."""

from datetime import datetime

from sandbox.state import State


class Queue:
    def __init__(self) -> None:
        self.pending: list[object] = []
        self.dropped: list[object] = []

    def post(self, state: State, raw: object, now: datetime) -> dict[str, object]:
        return {}

    def load(self, state: State, raw: list[object], now: datetime) -> None:
        return None

    def catch_up(self, state: State, now: datetime, *, nightly: bool) -> None:
        return None
