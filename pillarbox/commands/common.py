"""What every command shares: settings, the open database, how things are printed, exit codes.

One idea: the help needs this too, so whatever takes long to load is loaded where it is used.
"""

import getpass
import os
import sys
from collections.abc import Generator, Mapping, Sequence
from contextlib import contextmanager
from shutil import get_terminal_size
from typing import TYPE_CHECKING, Annotated, Any, NoReturn

import typer

if TYPE_CHECKING:
    from rich.console import Console
    from rich.table import Table
    from sqlalchemy import Connection

    from runtime.database import Database
    from runtime.settings import Destination, Settings
    from workers.wiring import Wiring

DONE = 0
UNEXPECTED = 1
USAGE = 2
UNREACHABLE = 3
NOTHING = 4
PARTLY = 5
ATTENTION = 6
INTERRUPTED = 130

GAP = 2
"""Spaces between two columns."""

NARROW = (20, 12, 8)
"""To how many characters columns are cut, one after the other: a time stays whole as long as it can, and
below the last a column says nothing any more."""

UNWRAPPED = 1_000
"""Columns of a line that nobody looks at on a terminal."""

AsJson = Annotated[bool, typer.Option("--json", help="Print JSON on stdout and nothing else.")]
DryRun = Annotated[bool, typer.Option("--dry-run", help="Say what would be done, and do nothing.")]
Of = Annotated[str, typer.Option("--destination", help="Which destination.")]
Yes = Annotated[bool, typer.Option("--yes", help="Do not ask; needs --expect.")]
Expect = Annotated[
    int | None,
    typer.Option(
        "--expect", help="The number that --dry-run said; with another one nothing is done.", min=0
    ),
]


def noun(says: str, example: str) -> typer.Typer:
    """Make the group of commands about one noun; its help shows one of them."""
    return typer.Typer(help=f"{says}\n\nExample: {example}", no_args_is_help=True)


class Stop(Exception):
    """An end with a sentence and an exit code."""

    def __init__(self, sentence: str, code: int = USAGE) -> None:
        super().__init__(sentence)
        self.code = code


def settings() -> "Settings":
    """Read the environment, and set up logging by it."""
    from runtime import log
    from runtime.settings import Settings

    found = Settings.from_environment()
    log.set_up(form=found.log_format, level=found.log_level)
    return found


def opened(found: "Settings") -> "Database":
    """Open the database, reachable and migrated, or end with the cure."""
    from runtime import migrations
    from runtime.database import Database

    database = Database(found.database_url)
    database.check()
    migrations.require(database)
    return database


def wired(found: "Settings") -> "Wiring":
    """Build the collaborators on a database that is reachable and migrated."""
    from runtime import migrations
    from workers.wiring import Wiring

    wiring = Wiring.build(found)
    wiring.database.check()
    migrations.require(wiring.database)
    return wiring


def chosen(found: "Settings", name: str) -> "Destination":
    """Give the destination of that name."""
    return found.destination(name)


def actor() -> str:
    """Name the person at the keyboard, for the audit trail."""
    try:
        return getpass.getuser()
    except (KeyError, OSError):
        return f"uid-{os.getuid()}"


def print_json(value: Any) -> None:
    """Print one JSON value: UTC ISO times, stable keys."""
    from console.plain import as_json

    sys.stdout.write(as_json(value) + "\n")


def stdout() -> "Console":
    """The console people read; plain where it is no terminal."""
    from rich.console import Console

    # Off a terminal nothing is wrapped: an id cut in two can be neither found nor copied.
    width = None if sys.stdout.isatty() else UNWRAPPED
    return Console(highlight=False, soft_wrap=True, width=width)


def stderr() -> "Console":
    """The console of what is no result: the output may be read by a program."""
    from rich.console import Console

    return Console(stderr=True, highlight=False, soft_wrap=True)


def say_error(sentence: str) -> None:
    """Print one sentence on stderr."""
    stderr().print(f"error: {sentence}", markup=False)


def print_table(columns: Sequence[str], rows: Sequence[Sequence[object]]) -> None:
    """Print rows under headings, aligned, without lines; what is long goes on below."""
    stdout().print(_laid(columns, rows, [{"overflow": "fold"}] * len(columns)))


def print_list(columns: Sequence[str], rows: Sequence[Sequence[object]]) -> None:
    """Print a list, a row a line: on a terminal what is long is cut, elsewhere everything is whole."""
    stdout().print(a_list(columns, rows))


def a_list(columns: Sequence[str], rows: Sequence[Sequence[object]]) -> "Table":
    """Lay a list out as `print_list` prints it."""
    if not sys.stdout.isatty():
        return _laid(columns, rows, [{"overflow": "fold"}] * len(columns))
    texts = [columns, *([_text(cell) for cell in row] for row in rows)]
    natural = [max(len(row[place]) for row in texts) for place in range(len(columns))]
    room = get_terminal_size().columns - GAP * (len(columns) - 1)
    how = [
        {"overflow": "ellipsis", "no_wrap": True, "width": width}
        for width in _fitting(natural, room)
    ]
    return _laid(columns, rows, how)


def _fitting(natural: Sequence[int], room: int) -> list[int]:
    """Make columns narrower until they fit, from the right: what a row is about stands on the left."""
    widths = list(natural)
    for floor in NARROW:
        for place in reversed(range(len(widths))):
            over = sum(widths) - room
            if over > 0 and widths[place] > floor:
                widths[place] = max(floor, widths[place] - over)
    return widths


def _laid(
    columns: Sequence[str], rows: Sequence[Sequence[object]], how: Sequence[Mapping[str, Any]]
) -> "Table":
    from rich.table import Table

    laid = Table(box=None, pad_edge=False, header_style="bold")
    for column, said in zip(columns, how, strict=True):
        laid.add_column(column, **said)
    for row in rows:
        laid.add_row(*(_escaped(cell) for cell in row))
    return laid


def _text(cell: object) -> str:
    if isinstance(cell, bool):
        return "yes" if cell else "no"
    return "" if cell is None else str(cell)


def _escaped(cell: object) -> str:
    return _text(cell).replace("[", r"\[")


class _NothingKept(Exception):
    """Ends the transaction of a dry run."""


@contextmanager
def changing(database: "Database", *, dry_run: bool) -> Generator["Connection"]:
    """Open the transaction of a person's word; of a dry run all is tried, and nothing is kept."""
    try:
        with database.transaction() as connection:
            yield connection
            if dry_run:
                raise _NothingKept
    except _NothingKept:
        pass


def say_done(words: str, told: Mapping[str, Any], *, as_json: bool, dry_run: bool) -> None:
    """Say what was done, or would be: in words for people, as one object for programs."""
    if as_json:
        print_json({**told, "dry_run": dry_run})
    else:
        stdout().print(("dry run: " if dry_run else "") + words, markup=False)


def nothing(sentence: str, *, as_json: bool) -> NoReturn:
    """End a list that is empty: calmly, and with a code of its own."""
    if as_json:
        print_json([])
    (stderr() if as_json else stdout()).print(sentence, markup=False)
    raise typer.Exit(NOTHING)


def confirmed(number: int, *, yes: bool, expect: int | None, asked: str) -> int:
    """Give the number that was confirmed: typed in, or said with --expect."""
    if yes:
        if expect is None:
            raise Stop(f"--yes needs --expect; --dry-run says {number}")
        return expect
    if not sys.stdin.isatty():
        raise Stop(f"nobody can be asked here; add --yes --expect {number}")
    return typer.prompt(f"{asked}? Type the number to go on", type=int)
