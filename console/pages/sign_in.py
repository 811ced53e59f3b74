"""Signing in and out, and opening a person's names for a few minutes.

One idea: a sign-in is counted as failed before its password is looked at, so that many at once get no
more tries than one after the other.
"""

from sqlalchemy import Connection
from starlette.responses import RedirectResponse, Response

from console import accounts, door, passwords, sessions
from console.door import Why
from console.errors import NotAllowed, NotFilled
from console.page import Problem, act, action, lead_on, page, render
from console.views import ago
from console.visit import Visit
from runtime import audit
from schema.console import Role

WRONG = "That name and password do not belong together."


def show(visit: Visit, problem: Problem | None = None) -> Response:
    """Ask for name and password; who is in already goes on."""
    back = here_only(visit.asked("next") or visit.form.text("next"))
    if visit.who.role is not None and problem is None:
        return RedirectResponse(back, status_code=303)
    return render(
        visit,
        "sign_in.html",
        {},
        status=200 if problem is None else 422,
        back=back,
        problem=problem,
        name=visit.form.text("name"),
    )


def sign_in(visit: Visit) -> Response:
    """Let somebody in, under a new session; whatever id the browser had opens nothing any more."""
    try:
        name = visit.form.needed("name", "your name").lower()
        password = visit.form.needed("password", "your password")
    except NotFilled as error:
        return show(visit, Problem(sentence=str(error), field=error.field))
    address = "" if visit.request.client is None else visit.request.client.host
    with visit.site.database.transaction() as connection:
        shut = sessions.shut_until(connection, name, address, visit.now)
        if shut is None:
            sessions.tried(connection, name, address, visit.now)
        stored = accounts.password_of(connection, name)
    if shut is not None:
        door.turned_away(visit.site, _known(name, stored), "sign-in", Why.THROTTLE, visit.now)
        wait = ago(shut - visit.now)
        return show(visit, Problem(sentence=f"Too many tries. Try again in {wait}.", field="name"))
    let_in = _let_in(visit, name, address, stored) if passwords.matches(password, stored) else None
    if let_in is None:
        door.turned_away(visit.site, _known(name, stored), "sign-in", Why.PASSWORD, visit.now)
        return show(visit, Problem(sentence=WRONG, field="password"))
    return let_in


def _let_in(visit: Visit, name: str, address: str, stored: str | None) -> Response | None:
    with visit.site.database.transaction() as connection:
        if not accounts.still_has(connection, name, stored):
            return None
        sessions.succeeded(connection, name, address)
        if visit.who.session is not None:
            sessions.end(connection, visit.who.session)
        session_id = sessions.begin(connection, name, ends=door.ends(visit.site), now=visit.now)
        audit.write_down(
            connection, actor=name, action="signed_in", subject=f"account:{name}", now=visit.now
        )
    response = RedirectResponse(here_only(visit.form.text("next")), status_code=303)
    door.keep_session(visit.site, response, session_id)
    return response


def sign_out(visit: Visit) -> Response:
    """End the session, here and in the database."""
    with visit.site.database.transaction() as connection:
        if visit.who.session is not None:
            sessions.end(connection, visit.who.session)
        audit.write_down(
            connection,
            actor=visit.who.name,
            action="signed_out",
            subject=f"account:{visit.who.name}",
            now=visit.now,
        )
    response = RedirectResponse("/sign-in", status_code=303)
    response.delete_cookie(
        door.cookie_name(visit.site), path="/", secure=visit.site.listening.is_secure
    )
    return response


def reveal(visit: Visit) -> Response:
    """Show one record's names, TRN and e-mail to this session for a few minutes, and write it down."""
    subject = visit.form.needed("subject", "whose names")
    back = here_only(visit.form.text("back"))
    session = visit.who.session
    if visit.who.may(Role.OPERATOR):
        return lead_on(visit, back)
    if not visit.who.may_reveal or session is None:
        door.turned_away(visit.site, visit.who.name, visit.request.url.path, Why.ROLE, visit.now)
        raise NotAllowed("Your account may not show names. An admin can give it that right.")

    def deed(connection: Connection) -> None:
        sessions.reveal(connection, session, subject, now=visit.now)
        audit.write_down(
            connection, actor=visit.who.name, action="revealed", subject=subject, now=visit.now
        )

    return act(
        visit, deed, to=back, said="Names are shown for 5 minutes. That is in the audit trail."
    )


def here_only(path: str) -> str:
    """Give a path of this console; anything that could lead elsewhere leads to the first page."""
    return path if door.stays_here(path) else "/"


def _known(name: str, stored: str | None) -> str:
    """Name who tried, unless nobody is called so: what was typed may be a password."""
    return "nobody" if stored is None else name


routes = [
    page("/sign-in", show, needs=None),
    action("/sign-in", sign_in, needs=None),
    action("/sign-out", sign_out, needs=Role.VIEWER),
    action("/reveal", reveal, needs=Role.VIEWER),
]
