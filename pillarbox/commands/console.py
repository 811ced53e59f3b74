"""`pillarbox console`: the review desk's pages, and who may use them."""

import sys
from collections.abc import Callable
from dataclasses import replace
from datetime import datetime
from typing import Annotated, TypeVar

import structlog
import typer
from sqlalchemy import Connection

from console import accounts, passwords
from console.errors import NotThere
from console.views import london
from pillarbox.commands.common import (
    NOTHING,
    AsJson,
    Stop,
    actor,
    nothing,
    noun,
    opened,
    print_json,
    print_list,
    settings,
    stdout,
    wired,
)
from pillarbox.commands.processes import stopping
from pillarbox.desk import serving
from runtime.clock import clock_of
from runtime.memory import collect_seldom
from runtime.settings import Settings
from schema.console import Role
from workers.heartbeat import Heart

logger = structlog.get_logger(__name__)

app = noun("The review desk's pages, and who may use them.", "pillarbox console --port 4020")
user = noun("People who may use the console.", "pillarbox console user list")
token = noun("Programs that may use the console.", "pillarbox console token list")
app.add_typer(user, name="user")
app.add_typer(token, name="token")

Name = Annotated[str, typer.Argument(help="As they sign in, such as ines.garcia.", metavar="NAME")]
Program = Annotated[str, typer.Argument(help="What the program is called.", metavar="NAME")]
TheRole = Annotated[Role, typer.Option("--role", help="viewer, operator or admin.")]
ProgramRole = Annotated[Role, typer.Option("--role", help="feed, viewer, operator or admin.")]
MayReveal = Annotated[
    bool, typer.Option("--may-reveal", help="A viewer who may show names; each time is audited.")
]
FromStdin = Annotated[
    bool, typer.Option("--password-stdin", help="Read the password from standard input.")
]
Done = TypeVar("Done")


def add_to(root: typer.Typer) -> None:
    """Add the command."""
    root.add_typer(app, name="console")


@app.callback(invoke_without_command=True, no_args_is_help=False)
def console(
    context: typer.Context,
    host: Annotated[
        str | None,
        typer.Option(
            help="Address; without it PILLARBOX_CONSOLE_HOST. See `how-to/run-the-console`."
        ),
    ] = None,
    port: Annotated[
        int | None,
        typer.Option(help="Port, 0 for any free one; without it PORT.", min=0, max=65_535),
    ] = None,
) -> None:
    """Serve the review desk's pages until stopped. On this machine alone unless told otherwise."""
    if context.invoked_subcommand is not None:
        return
    _serve(_listening(settings(), host, port))


def _listening(found: Settings, host: str | None, port: int | None) -> Settings:
    where = found.console
    where = where if host is None else replace(where, host=host)
    where = where if port is None else replace(where, port=port)
    return replace(found, console=where)


def _serve(found: Settings) -> None:
    wiring = wired(found)
    served = serving(wiring)
    heart = Heart("console", wiring.database, wiring.clock, dict, alive=lambda: served.is_up)
    stop = stopping()
    served.start()
    heart.start()
    collect_seldom()
    stdout().print(served.url, markup=False)
    logger.info("console_ready", url=served.url)
    stop.wait()
    served.stop()
    heart.stop()
    wiring.close()
    logger.info("console_stopped")


# people


@user.command("add")
def user_add(
    name: Name,
    role: TheRole,
    may_reveal: MayReveal = False,
    no_password: Annotated[
        bool, typer.Option("--no-password", help="Only the proxy in front can name them.")
    ] = False,
    password_stdin: FromStdin = False,
) -> None:
    """Let somebody use the console. With the first account everybody has to sign in.

    Example: pillarbox console user add ines --role operator
    """
    hashed = None if no_password else passwords.hashed(_password(stdin=password_stdin))
    made = _changed(
        lambda connection, now: accounts.add(
            connection,
            name,
            role=role,
            password=hashed,
            may_reveal=may_reveal,
            actor=actor(),
            now=now,
        )
    )
    stdout().print(f"{made.name} may sign in, as {made.role}", markup=False)


@user.command("list")
def user_list(as_json: AsJson = False) -> None:
    """List who may use the console.

    Example: pillarbox console user list
    """
    database = opened(settings())
    with database.reading() as connection:
        listed = accounts.listed(connection)
    if not listed:
        nothing("nobody has an account; `pillarbox console user add` makes one", as_json=as_json)
    if as_json:
        print_json([one.told() for one in listed])
        return
    print_list(
        ("name", "role", "shows names", "since (London)", "by", "password since"),
        [
            (
                one.name,
                one.role,
                "yes" if one.may_reveal or one.role is not Role.VIEWER else "no",
                london(one.made_at),
                one.made_by,
                london(one.password_at),
            )
            for one in listed
        ],
    )


@user.command("role")
def user_role(name: Name, role: TheRole, may_reveal: MayReveal = False) -> None:
    """Give somebody another role; they have to sign in again.

    Example: pillarbox console user role ines --role viewer
    """
    _changed(
        lambda connection, now: accounts.give_role(
            connection, name, role, may_reveal=may_reveal, actor=actor(), now=now
        )
    )
    stdout().print(f"{name} is {role} now", markup=False)


@user.command("password")
def user_password(name: Name, password_stdin: FromStdin = False) -> None:
    """Set somebody's password; they have to sign in again.

    Example: pillarbox console user password ines
    """
    hashed = passwords.hashed(_password(stdin=password_stdin))
    _changed(
        lambda connection, now: accounts.set_password(
            connection, name, hashed, actor=actor(), now=now
        )
    )
    stdout().print(f"{name} has a new password", markup=False)


@user.command("remove")
def user_remove(name: Name) -> None:
    """Take somebody's account away; whoever is signed in with it is out at once.

    Example: pillarbox console user remove ines
    """
    _changed(lambda connection, now: accounts.remove(connection, name, actor=actor(), now=now))
    stdout().print(f"{name} may no longer sign in", markup=False)


def _password(*, stdin: bool) -> str:
    if stdin:
        return sys.stdin.readline().rstrip("\r\n")
    if not sys.stdin.isatty():
        raise Stop("there is nobody to ask for a password; add --password-stdin and write it there")
    return str(typer.prompt("Password", hide_input=True, confirmation_prompt=True))


# programs


@token.command("add")
def token_add(
    name: Program,
    role: ProgramRole,
    names: Annotated[
        bool, typer.Option("--names", help="What it reads of the feed may hold names of people.")
    ] = False,
    as_json: AsJson = False,
) -> None:
    """Make a token for a program. It is printed once and kept nowhere.

    Example: pillarbox console token add crm-feed --role feed
    """
    made = _changed(
        lambda connection, now: accounts.add_token(
            connection, name, role=role, may_reveal=names, actor=actor(), now=now
        )
    )
    if as_json:
        print_json({"name": name, "role": role.value, "token": made})
        return
    sys.stdout.write(made + "\n")


@token.command("list")
def token_list(as_json: AsJson = False) -> None:
    """List the programs that may use the console.

    Example: pillarbox console token list
    """
    database = opened(settings())
    with database.reading() as connection:
        listed = accounts.tokens(connection)
    if not listed:
        nothing("no program has a token; `pillarbox console token add` makes one", as_json=as_json)
    if as_json:
        print_json([one.told() for one in listed])
        return
    print_list(
        ("name", "role", "since (London)", "by", "last used"),
        [
            (one.name, one.role, london(one.made_at), one.made_by, london(one.used_at))
            for one in listed
        ],
    )


@token.command("remove")
def token_remove(name: Program) -> None:
    """Take a program's token away; it opens nothing from now on.

    Example: pillarbox console token remove crm-feed
    """
    _changed(
        lambda connection, now: accounts.remove_token(connection, name, actor=actor(), now=now)
    )
    stdout().print(f"the token {name} opens nothing any more", markup=False)


def _changed(deed: Callable[[Connection, datetime], Done]) -> Done:
    database = opened(settings())
    now = clock_of(database).now()
    try:
        with database.transaction() as connection:
            return deed(connection, now)
    except NotThere as error:
        raise Stop(str(error), NOTHING) from None
