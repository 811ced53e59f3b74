"""Which pages there are."""

from sandbox.engine import Engine
from sandbox.messages import Answer, Request, html_answer


class Pages:
    """Answers `/`, `/docs` and what they are made of."""

    def __init__(self, engine: Engine, *, control: bool) -> None:
        self._engine = engine
        self._control = control

    def knows(self, path: str) -> bool:
        return path == "/"

    def answer(self, request: Request) -> Answer:
        return html_answer("<!DOCTYPE html><title>Sandbox</title><h1>Sandbox</h1>")
