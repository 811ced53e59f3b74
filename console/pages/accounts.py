"""Accounts: who may use the console, and which programs; for admins."""

from typing import TypedDict

from starlette.responses import Response

from console import accounts, passwords
from console.errors import NotFilled
from console.page import Problem, act, action, json_answer, page, render
from console.visit import Visit
from schema.console import Role

CHOICES = (
    ("viewer", "viewer: looks, names hidden"),
    ("viewer+names", "viewer who may show names"),
    ("operator", "operator: corrects and sends again"),
    ("admin", "admin: also accounts"),
)
TOKEN_CHOICES = (
    ("feed", "feed: reads the feed, values left out"),
    ("feed+names", "feed with what changed, names among it"),
    ("viewer", "viewer: reads everything"),
    ("operator", "operator: corrects and sends again"),
    ("admin", "admin: everything"),
)


class Given(TypedDict):
    """A role as the form gives it."""

    role: Role
    may_reveal: bool


def show(visit: Visit, problem: Problem | None = None, token: str | None = None) -> Response:
    """List people and programs; *token* is shown this once."""
    with visit.site.database.reading() as connection:
        people = accounts.listed(connection)
        programs = accounts.tokens(connection)
    return render(
        visit,
        "accounts.html",
        {
            "accounts": [one.told() for one in people],
            "tokens": [one.told() for one in programs],
        },
        status=200 if problem is None else 422,
        people=people,
        programs=programs,
        choices=CHOICES,
        token_choices=TOKEN_CHOICES,
        problem=problem,
        token=token,
        typed=visit.form.as_typed(),
    )


def add(visit: Visit) -> Response:
    """Add a person."""
    return act(
        visit,
        lambda connection: accounts.add(
            connection,
            visit.form.needed("name", "a name"),
            password=passwords.hashed(visit.form.needed("password", "a first password")),
            **_role(visit),
            actor=visit.who.name,
            now=visit.now,
        ),
        to="/accounts",
        said=lambda account: f"{account.name} may sign in, as {account.role}.",
        again=lambda problem: show(visit, problem),
        told=lambda account: account.told(),
    )


def give_role(visit: Visit) -> Response:
    """Give a person another role."""
    name = visit.path("name")
    return act(
        visit,
        lambda connection: accounts.give_role(
            connection, name, **_role(visit), actor=visit.who.name, now=visit.now
        ),
        to="/accounts",
        said=lambda account: f"{account.name} is {account.role} now, and has to sign in again.",
        told=lambda account: account.told(),
    )


def set_password(visit: Visit) -> Response:
    """Set a person's password."""
    name = visit.path("name")
    return act(
        visit,
        lambda connection: accounts.set_password(
            connection,
            name,
            passwords.hashed(visit.form.needed("password", "a password")),
            actor=visit.who.name,
            now=visit.now,
        ),
        to="/accounts",
        said=f"{name} has a new password, and has to sign in again.",
    )


def remove(visit: Visit) -> Response:
    """Remove a person."""
    name = visit.path("name")
    if name == visit.who.name:
        raise NotFilled("You cannot remove yourself; another admin can.")
    return act(
        visit,
        lambda connection: accounts.remove(connection, name, actor=visit.who.name, now=visit.now),
        to="/accounts",
        said=f"{name} may no longer sign in.",
    )


def add_token(visit: Visit) -> Response:
    """Add a program, and show its token this once: on this answer, and on no page after it."""
    try:
        name, given = visit.form.needed("program", "the program's name"), _token_role(visit)
        with visit.site.database.transaction() as connection:
            token = accounts.add_token(
                connection, name, **given, actor=visit.who.name, now=visit.now
            )
    except NotFilled as error:
        field = "program" if error.field == "name" else error.field
        return show(visit, Problem(sentence=str(error), field=field))
    if visit.wants_json:
        told = {"name": name, "role": given["role"].value, "token": token}
        return json_answer(told, over=visit.over)
    return show(visit, token=token)


def remove_token(visit: Visit) -> Response:
    """Remove a program."""
    name = visit.path("name")
    return act(
        visit,
        lambda connection: accounts.remove_token(
            connection, name, actor=visit.who.name, now=visit.now
        ),
        to="/accounts",
        said=f"The token {name} opens nothing any more.",
    )


def _role(visit: Visit) -> Given:
    text = visit.form.needed("role", "a role")
    if text not in dict(CHOICES):
        raise NotFilled("Choose one of the roles.", field="role")
    return {"role": Role(text.partition("+")[0]), "may_reveal": text == "viewer+names"}


def _token_role(visit: Visit) -> Given:
    text = visit.form.needed("program_role", "a role")
    if text not in dict(TOKEN_CHOICES):
        raise NotFilled("Choose one of the roles.", field="program_role")
    return {"role": Role(text.partition("+")[0]), "may_reveal": text == "feed+names"}


routes = [
    page("/accounts", show, needs=Role.ADMIN),
    action("/accounts", add, needs=Role.ADMIN),
    action("/accounts/{name}/role", give_role, needs=Role.ADMIN),
    action("/accounts/{name}/password", set_password, needs=Role.ADMIN),
    action("/accounts/{name}/remove", remove, needs=Role.ADMIN),
    action("/tokens", add_token, needs=Role.ADMIN),
    action("/tokens/{name}/remove", remove_token, needs=Role.ADMIN),
]
