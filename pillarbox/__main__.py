"""`python -m pillarbox`, and the console script."""

import sys

import typer
from sqlalchemy.exc import DBAPIError

from gateway.errors import GatewayError
from pillarbox.commands import (
    check,
    config,
    db,
    destination,
    entries,
    intake,
    processes,
    quota,
    records,
    status,
    worlds,
)
from pillarbox.commands.common import INTERRUPTED, UNEXPECTED, UNREACHABLE, USAGE, Stop, say_error
from producers.errors import ProducerError
from runtime.errors import DatabaseAway, DatabaseBehind, RedisAway, RuntimeProblem
from runtime.redis import RedisProblem
from schema.events import InvalidEvent

app = typer.Typer(
    name="pillarbox",
    help="Keeps a training provider's own systems and the Lead Provider API in step.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    add_completion=True,
)
worlds.add_to(app)
processes.add_to(app)
intake.add_to(app)
status.add_to(app)
check.add_to(app)
app.add_typer(entries.app, name="entries")
app.add_typer(records.app, name="records")
app.add_typer(quota.app, name="quota")
app.add_typer(destination.app, name="destination")
app.add_typer(db.app, name="db")
app.add_typer(config.app, name="config")


def main() -> None:
    """Run the command; every failure ends in one sentence and an exit code."""
    try:
        app()
    except SystemExit as end:
        sys.exit(INTERRUPTED if _interrupted(end) else end.code)
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
        case RuntimeProblem() | GatewayError() | ProducerError() | InvalidEvent():
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
        case _:
            # The traceback goes to stderr; values of rows and keys are not part of it.
            import traceback

            traceback.print_exception(error)
            return UNEXPECTED


def _interrupted(end: SystemExit) -> bool:
    chained: BaseException | None = end
    while chained is not None:
        if isinstance(chained, KeyboardInterrupt):
            return True
        chained = chained.__cause__ or chained.__context__
    return False


if __name__ == "__main__":
    main()
