"""What can go wrong at the desk.

ConsoleProblem
├── NotFilled     a field of a form is missing or wrong: the person corrects it
├── NotThere      the page or the thing does not exist: nothing was done
├── NotAllowed    who asks may not do that: nothing was done
└── NotOpen       the console may not listen there: correct a setting and start again

Each message is one sentence for the person at the screen.
"""


class ConsoleProblem(Exception):
    """Base of all of them; *field* is the id of the form's field at fault, if one is."""

    def __init__(self, sentence: str, *, field: str | None = None) -> None:
        super().__init__(sentence)
        self.field = field


class NotFilled(ConsoleProblem):
    """A field of a form is missing or wrong."""


class NotThere(ConsoleProblem):
    """What was asked for does not exist."""


class NotAllowed(ConsoleProblem):
    """Who asks may not do that."""


class NotOpen(ConsoleProblem):
    """The console may not listen there."""
