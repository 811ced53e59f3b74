"""Structured logging: an event's name and fields, never a sentence with values melted in.

One idea: what may be logged is said here once. Payloads, names of people and keys never are;
libraries that would print them are turned down.
"""

import logging
import sys
import traceback
from contextlib import suppress
from pathlib import Path
from typing import Any, TextIO, cast

import structlog

QUIET = ("httpx", "httpcore", "dramatiq", "alembic", "sqlalchemy", "asyncio")
"""Libraries that log addresses, arguments or headers at levels people use."""


def set_up(
    *, form: str = "auto", level: str = "INFO", role: str | None = None, file: Path | None = None
) -> None:
    """Set up logging for this process, on stderr. Call once, at the start of a process.

    With a *file*, begun anew, everything goes there, and on stderr are only errors.
    """
    lines = sys.stderr if file is None else file.open("w", encoding="utf-8")
    as_json = form == "json" or (form == "auto" and not lines.isatty())
    renderer: Any = (
        structlog.processors.JSONRenderer()
        if as_json
        else structlog.dev.ConsoleRenderer(colors=lines.isatty())
    )
    shared: list[Any] = [
        structlog.contextvars.merge_contextvars,
        structlog.processors.add_log_level,
        structlog.processors.TimeStamper(fmt="iso", utc=True, key="at"),
        structlog.processors.dict_tracebacks
        if as_json
        else structlog.processors.ExceptionRenderer(),
    ]
    structlog.configure(
        processors=[*shared, renderer],
        wrapper_class=structlog.make_filtering_bound_logger(getattr(logging, level)),
        logger_factory=lambda *_: _Lines(lines),
        cache_logger_on_first_use=False,
    )
    logging.basicConfig(level=logging.WARNING, format="%(name)s %(message)s", stream=lines)
    for name in QUIET:
        logging.getLogger(name).setLevel(logging.WARNING)
    if role is not None:
        structlog.contextvars.bind_contextvars(role=role)


class _Lines:
    """Writes lines to a stream, and those of errors to stderr, wherever that is."""

    def __init__(self, stream: TextIO) -> None:
        streams = [stream] if stream is sys.stderr else [stream, sys.stderr]
        self._all = [structlog.PrintLogger(cast(TextIO, _Unfailing(one))) for one in streams]

    def msg(self, line: str) -> None:
        """Write a line."""
        self._all[0].msg(line)

    def error(self, line: str) -> None:
        """Write a line that somebody must see."""
        for one in self._all:
            one.msg(line)

    log = debug = info = warn = warning = msg
    fatal = failure = err = critical = exception = error


class _Unfailing:
    """A stream whose errors end nothing: a loop must outlive a log on a disk that is full."""

    def __init__(self, stream: TextIO) -> None:
        self._stream = stream

    def write(self, text: str) -> int:
        """Write what can be written."""
        with suppress(OSError):
            return self._stream.write(text)
        return 0

    def flush(self) -> None:
        """Send it on, if that is possible."""
        with suppress(OSError):
            self._stream.flush()


def named(error: Exception) -> dict[str, str]:
    """Name an error and the place it came from; its text may hold the values of a row."""
    frames = traceback.extract_tb(error.__traceback__)
    if not frames:
        return {"error": type(error).__name__}
    last = frames[-1]
    return {"error": type(error).__name__, "place": f"{Path(last.filename).name}:{last.lineno}"}
