"""Handlers of the feed: functions of local systems that are told what changed.

One idea: a handler is a plain function with a name of its own. How far it has read is kept under that
name, so it may be moved, mended and restarted, and is told everything once more at most.

    @subscribe("participant", begin="everything")
    def keep_in_step(news: Notice, connection: Connection) -> None: ...
"""

import inspect
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from importlib import import_module
from types import ModuleType
from typing import Any, Literal

from inbox.cursor import is_about, subject_of
from inbox.feed import EVENT, Wants
from runtime.errors import InvalidSettings
from schema.inbox import Begin, News

VARIABLE = "PILLARBOX_SUBSCRIBERS"

Handler = Callable[..., None]
"""Takes a `Notice`, and if it has a second parameter the open connection of the transaction in which
its place is moved on."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Subscriber:
    """A handler, what it wants to hear of, and where it begins. Called, it calls the handler."""

    name: str
    handler: Handler
    wants: Wants
    begin: Begin | None
    takes_connection: bool

    def __call__(self, *told: Any) -> None:
        """Call the handler, as a test of it does."""
        self.handler(*told)


def subscribe(
    subject: str,
    *,
    kinds: Iterable[str] = (),
    begin: Literal["everything", "now"] | None = None,
    name: str | None = None,
) -> Callable[[Handler], Subscriber]:
    """Have a function told what changes of a subject: `participant`, `declaration`, …, or `event`.

    `event` is what became of local events (`settled`). *kinds* leaves out all other news, but for
    `rebound`. *begin* says where it begins the first time: with `everything` that is there, or `now`;
    without it the handler waits until `pillarbox feed resume` says so. Its *name* is the function's
    unless given; under it its place is kept.

    The function is called for one piece of news at a time, in order, and again after it raised, or
    its process died: what it does must be the same twice. With a second parameter it gets a
    connection; what it writes there and its place are committed together, so it is done once.
    """
    wants = Wants(subject=subject, kinds=_kinds(kinds))
    start = None if begin is None else Begin(begin)

    def made(handler: Handler) -> Subscriber:
        return Subscriber(
            name=name or handler.__name__,
            handler=handler,
            wants=wants,
            begin=start,
            takes_connection=_takes_connection(handler),
        )

    return made


def _kinds(kinds: Iterable[str]) -> frozenset[News]:
    given = [kinds] if isinstance(kinds, str) else list(kinds)
    known = {one.value for one in News}
    for kind in given:
        if kind not in known:
            raise InvalidSettings(
                f"subscribe: there is no kind {kind!r}; there are {', '.join(sorted(known))}"
            )
    return frozenset(News(kind) for kind in given)


def _takes_connection(handler: Handler) -> bool:
    parameters = list(inspect.signature(handler).parameters.values())
    given = [one for one in parameters if one.kind is one.POSITIONAL_OR_KEYWORD]
    if len(given) not in (1, 2) or len(given) != len(parameters):
        raise InvalidSettings(
            f"subscribe: {handler.__name__} must take the news, or the news and a connection"
        )
    return len(given) == 2


def load(modules: Sequence[str]) -> tuple[Subscriber, ...]:
    """Import modules and give the handlers in them; raises `InvalidSettings`, with the cure."""
    found: dict[str, Subscriber] = {}
    for module in modules:
        here = [one for one in vars(_imported(module)).values() if isinstance(one, Subscriber)]
        if not here:
            raise InvalidSettings(
                f"{VARIABLE}: {module} has no handler; put @subscribe(…) above a function in it"
            )
        for one in here:
            if found.setdefault(one.name, one) is not one:
                raise InvalidSettings(
                    f"{VARIABLE}: there are two handlers {one.name!r}; give one another name, with "
                    "@subscribe(…, name=…)"
                )
    return tuple(found.values())


def _imported(module: str) -> ModuleType:
    try:
        return import_module(module)
    except InvalidSettings:
        raise
    except Exception as error:  # whatever is in it
        raise InvalidSettings(
            f"{VARIABLE}: {module} cannot be imported ({type(error).__name__}: {error}); name a "
            "module that `python -c 'import …'` finds, such as our_app.handlers, with its folder in "
            "PYTHONPATH"
        ) from error


def check_subjects(subscribers: Sequence[Subscriber], sources: Iterable[str]) -> None:
    """Raise `InvalidSettings` for a handler of something that nobody reads."""
    names = list(sources)
    known = sorted({EVENT, *(subject_of(one) for one in names)})
    for one in subscribers:
        subject = one.wants.subject or ""
        if subject != EVENT and not any(is_about(name, subject) for name in names):
            raise InvalidSettings(
                f"{VARIABLE}: {one.name} is for {subject!r}; there are {', '.join(known)}"
            )
