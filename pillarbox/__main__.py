"""`python -m pillarbox`, and the console script."""

import io
import os
import sys
from importlib import import_module
from typing import Annotated, Any

import typer
from typer.core import TyperGroup

from pillarbox import usage
from pillarbox.commands.common import INTERRUPTED, UNEXPECTED, UNREACHABLE, USAGE, Stop, say_error
from runtime.memory import look_seldom

COMMANDS = {
    "up": ("worlds", "Run everything in one process until Ctrl-C: relay, worker threads, poller, the review desk's pages and, unless PILLARBOX_API_URL is set, a sandbox of the API."),
    "demo": ("worlds", "Show the main job on this computer: events in, calls out, within the limit."),
    "sandbox": ("worlds", "Serve a stand-in for the Lead Provider API until Ctrl-C."),
    "relay": ("processes", "Fold, admit and dispatch, until stopped. Run as many as you like."),
    "worker": ("processes", "Call the API for what the relay dispatched, until stopped. Run as many as you like."),
    "poller": ("processes", "Read what changed on the other side, by a timetable, until stopped."),
    "drill": ("drill", "Hold the drills to be held before going live: what was hidden or broken, and what recovered it."),
    "emit": ("intake", "Append one event to the outbox."),
    "import": ("intake", "Append a file of events to the outbox. The same file twice is one import."),
    "status": ("status", "Say what needs somebody, then what waits, since when and why; what was sent; the quota; who is at work."),
    "check": ("check", "Look at everything the work needs."),
    "rules": ("rules", "Say of each rule of the guidance its setting, its state and the last evidence."),
    "console": ("console", "The review desk's pages, and who may use them."),
    "entries": ("entries", "The outbox, entry by entry."),
    "records": ("records", "Records on both sides: where each stands, and why."),
    "dead-letters": ("dead_letters", "What waits for a person, and what to do about it."),
    "bulk": ("bulk", "Many records at once: replayed or discarded on one person's word."),
    "polls": ("polls", "What is read of the other side: when, from where, how far."),
    "drift": ("drift", "What a full sync found different, and who is right."),
    "feed": ("feed", "What changed on the other side, in order, and who is told."),
    "quota": ("quota", "The calls that are left, and the gate of the key."),
    "destination": ("destination", "What this database is bound to, and whether it may be written to."),
    "config": ("config", "Show what is configured."),
    "db": ("db", "Bring the database to this version."),
}  # fmt: skip
"""Which module knows which command, and how its help begins, in the order of the help page.

So the help loads none of them and a command only its own: a worker has no use for the sandbox, and
everything together takes a second of processor time.
"""


class Commands(TyperGroup):
    """The commands by their names, each loaded when it is called or its words are completed."""

    def resolve_command(self, ctx: Any, args: list[str]) -> Any:
        """Find the command that the arguments call."""
        if args and args[0] in COMMANDS:
            self.commands[args[0]] = loaded(args[0])
        return super().resolve_command(ctx, args)


def application() -> Any:
    """Build the command, with no more than the names and first words of all that is below it."""
    app = _typer(
        cls=Commands,
        help="Keeps a training provider's own systems and the Lead Provider API in step.",
        no_args_is_help=True,
        add_completion=True,
    )
    for name, (_, says) in COMMANDS.items():
        app.command(name, help=says)(_not_loaded)
    return typer.main.get_command(app)


def loaded(name: str) -> Any:
    """Load one command, with all that is below it."""
    module, _ = COMMANDS[name]
    app = _typer()
    import_module(f"pillarbox.commands.{module}").add_to(app)
    group: Any = typer.main.get_command(app)
    return group.commands[name]


def _typer(**said: Any) -> typer.Typer:
    app = typer.Typer(name="pillarbox", pretty_exceptions_enable=False, **said)
    # A lone command would make Typer drop its name; this keeps the group a group.
    app.callback()(_group)
    return app


def _not_loaded() -> None:
    raise AssertionError("a command is loaded before it is called")


def _say_version(wanted: bool) -> None:
    if wanted:
        from importlib.metadata import version

        sys.stdout.write(f"pillarbox {version('pillarbox')}\n")
        raise typer.Exit


Version = Annotated[
    bool,
    typer.Option("--version", help="Print the version.", callback=_say_version, is_eager=True),
]


def _group(_version: Version = False) -> None:
    """Keeps a training provider's own systems and the Lead Provider API in step."""


def main() -> None:
    """Run the command; every failure ends in one sentence and an exit code."""
    look_seldom()
    _open_what_is_closed()
    for stream in (sys.stdout, sys.stderr):
        # What a local system wrote may hold what no terminal prints; it must not end the command.
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="backslashreplace")
    try:
        ended: object = application()(prog_name="pillarbox", standalone_mode=False)
    except SystemExit as end:
        if _caused_by(end, BrokenPipeError):
            sys.exit(0)  # whoever read our output has seen enough
        sys.exit(INTERRUPTED if _caused_by(end, KeyboardInterrupt) else end.code)
    except typer.TyperException as error:
        if (told := usage.sentence(error)) is not None:
            say_error(told)
        sys.exit(USAGE)
    except typer.Abort as end:
        say_error("stopped; nothing was done")
        sys.exit(INTERRUPTED if _caused_by(end, KeyboardInterrupt) else UNEXPECTED)
    except Exception as error:
        sys.exit(_explained(error))
    if isinstance(ended, int):
        sys.exit(ended)


def _open_what_is_closed() -> None:
    """Give what is printed somewhere to go where whoever started the command closed its output."""
    for name in ("stdout", "stderr"):
        if getattr(sys, name) is None:
            setattr(sys, name, open(os.devnull, "w", encoding="utf-8"))  # noqa: SIM115


def _explained(error: Exception) -> int:
    from sqlalchemy.exc import DataError, DBAPIError

    from console.errors import ConsoleProblem
    from gateway.errors import GatewayError
    from inbox.errors import InboxError
    from producers.errors import ProducerError
    from runtime.errors import (
        DatabaseAhead,
        DatabaseAway,
        DatabaseBehind,
        RedisAway,
        RuntimeProblem,
    )
    from runtime.redis import RedisProblem
    from schema.events import InvalidEvent

    match error:
        case Stop():
            say_error(str(error))
            return error.code
        case DatabaseAway() | DatabaseBehind() | DatabaseAhead() | RedisAway() | RedisProblem():
            say_error(str(error))
            return UNREACHABLE
        case (
            RuntimeProblem()
            | GatewayError()
            | InboxError()
            | ProducerError()
            | ConsoleProblem()
            | InvalidEvent()
        ):
            say_error(str(error))
            return USAGE
        case OverflowError() | DataError() | UnicodeEncodeError():
            say_error(
                "what was typed holds a number that is too large, or what is no character; nothing "
                "was done"
            )
            return USAGE
        case DBAPIError():
            say_error(
                f"DATABASE_URL: the database refused ({type(error.orig).__name__}); see "
                "`pillarbox check`"
            )
            return UNREACHABLE
        case BrokenPipeError():
            return 0
        case OSError():
            say_error(f"standard output cannot be written ({error.strerror})")
            return UNEXPECTED
        case _:
            # The traceback goes to stderr; values of rows and keys are not part of it.
            import traceback

            traceback.print_exception(error)
            return UNEXPECTED


def _caused_by(end: BaseException, kind: type[BaseException]) -> bool:
    chained: BaseException | None = end
    while chained is not None:
        if isinstance(chained, kind):
            return True
        chained = chained.__cause__ or chained.__context__
    return False


if __name__ == "__main__":
    main()
