"""`python -m pillarbox`, and the console script."""

import io
import sys
from importlib import import_module
from importlib.metadata import version
from typing import Annotated

import typer
from sqlalchemy.exc import DBAPIError

from console.errors import ConsoleProblem
from gateway.errors import GatewayError
from inbox.errors import InboxError
from pillarbox.commands.common import INTERRUPTED, UNEXPECTED, UNREACHABLE, USAGE, Stop, say_error
from producers.errors import ProducerError
from runtime.errors import DatabaseAway, DatabaseBehind, RedisAway, RuntimeProblem
from runtime.redis import RedisProblem
from schema.events import InvalidEvent

COMMANDS = {
    "up": "worlds",
    "demo": "worlds",
    "relay": "processes",
    "worker": "processes",
    "poller": "processes",
    "console": "console",
    "sandbox": "worlds",
    "drill": "drill",
    "emit": "intake",
    "import": "intake",
    "entries": "entries",
    "records": "records",
    "dead-letters": "dead_letters",
    "bulk": "bulk",
    "polls": "polls",
    "drift": "drift",
    "feed": "feed",
    "quota": "quota",
    "status": "status",
    "check": "check",
    "rules": "rules",
    "destination": "destination",
    "config": "config",
    "db": "db",
}
"""Which module knows which command, in the order of the help page."""


def application(word: str | None = None) -> typer.Typer:
    """Build the command.

    With the first word that was typed only that word's module is loaded: a worker has no use for
    the sandbox, and everything together takes a second of processor time.
    """
    app = typer.Typer(
        name="pillarbox",
        help="Keeps a training provider's own systems and the Lead Provider API in step.",
        no_args_is_help=True,
        pretty_exceptions_enable=False,
        add_completion=True,
    )
    # A lone command would make Typer drop its name; this keeps the group a group.
    app.callback()(_group)
    modules = [COMMANDS[word]] if word in COMMANDS else list(dict.fromkeys(COMMANDS.values()))
    for name in modules:
        import_module(f"pillarbox.commands.{name}").add_to(app)
    return app


def _say_version(wanted: bool) -> None:
    if wanted:
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
    for stream in (sys.stdout, sys.stderr):
        # What a local system wrote may hold what no terminal prints; it must not end the command.
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="backslashreplace")
    try:
        application(sys.argv[1] if len(sys.argv) > 1 else None)()
    except SystemExit as end:
        if _caused_by(end, BrokenPipeError):
            sys.exit(0)  # whoever read our output has seen enough
        sys.exit(INTERRUPTED if _caused_by(end, KeyboardInterrupt) else end.code)
    except Exception as error:
        sys.exit(_explained(error))


def _explained(error: Exception) -> int:
    match error:
        case Stop():
            say_error(str(error))
            return error.code
        case DatabaseAway() | DatabaseBehind() | RedisAway() | RedisProblem():
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


def _caused_by(end: SystemExit, kind: type[BaseException]) -> bool:
    chained: BaseException | None = end
    while chained is not None:
        if isinstance(chained, kind):
            return True
        chained = chained.__cause__ or chained.__context__
    return False


if __name__ == "__main__":
    main()
