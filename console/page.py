"""What every page is made with. Read this, then copy `console/pages/audit.py`.

A page module gives its `routes`, and `console/app.py` adds them; its entry in the navigation is in
`console/menu.py`, and shows as soon as its address is routed.

    routes = [
        page("/things", show),                                   # a viewer may look
        page("/things/{id}", show_one),
        action("/things/{id}/replay", replay),                   # a POST; an operator may
        action("/things/{id}/remove", remove, needs=Role.ADMIN),
    ]

**Looking.** A handler takes the `Visit` (who, when, the query, the path) and gives a response. It is
plain synchronous code on a thread of its own:

    def show(visit: Visit) -> Response:
        with visit.site.database.reading() as connection:
            rows = things.listed(connection, before=cursor(visit), limit=SIZE + 1)
        page = paged(visit, rows, key=lambda row: row["id"])
        return render(visit, "things.html", {"things": page.rows, "next": page.last_key}, page=page)

`render` gives *told* as JSON where the client asks for it (`Accept: application/json`), so *told* is
exactly the object that the command prints with `--json`; anything that only the template needs comes
after it, by keyword. `told` itself is there in the template, and each of its keys too.

Who may see no names gets every text over a veil (`console.veil`), in pages, JSON and files alike. Tell it
whom a page is about: `whose.about(visit, connection, records)`.

**Acting.** `action` has checked the role, the host, the origin and the form's seal before the handler
runs, and written down who was turned away. The handler says what to do in one transaction:

    def replay(visit: Visit) -> Response:
        record_id = visit.path_number("id")
        reason = visit.form.needed("reason", "why it is sent again")
        return act(
            visit,
            lambda connection: dead_letters.replay(
                connection, record_id, contract, actor=visit.who.name, reason=reason, now=visit.now
            ),
            to=f"/things/{record_id}",
            said=lambda done: f"{done.after.key}: it goes on.",
        )

The functions of `outbox`, `inbox` and `records` write their line of the audit trail in that same
transaction. When one of them raises its package's own error, or a field is missing (`visit.form`
raises `NotFilled`), nothing has happened, and the person sees the sentence in an error summary: on the
page of `again=` (a function that takes the `Problem` and shows the form once more, 422), or else on the
page the form came from. A program gets `{"error": …, "field": …}`, and what `told=` makes of the result
otherwise.

**Templates** extend `layout.html` (blocks `title`, `content`) and import `macros.html`, whose head lists
its macros: `time`, `masked`, `table`, `confirm`, `filters`, `live`, `pager`, `count`, `action`. The
macros of GOV.UK components come from `govuk_frontend_jinja/components/NAME/macro.html`. There is no
inline script and no inline style: the policy would drop them. Everything is escaped; `| safe` is for
nothing that came from a row.
"""

from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from typing import Any, TypeVar

import structlog
from sqlalchemy import Connection
from sqlalchemy.exc import DataError, DBAPIError
from starlette.concurrency import run_in_threadpool
from starlette.requests import Request
from starlette.responses import RedirectResponse, Response
from starlette.routing import Route

from console import counters, door, flash
from console.errors import ConsoleProblem, NotAllowed, NotFilled, NotThere
from console.menu import shown_menu
from console.plain import as_json
from console.site import Site
from console.templating import TEMPLATES
from console.veil import CLOSED, Over
from console.visit import Form, Visit, Way
from gateway.errors import GatewayError
from inbox.errors import InboxError
from outbox.errors import OutboxError
from runtime.errors import RuntimeProblem
from runtime.log import named
from schema.console import Role
from schema.events import InvalidEvent

logger = structlog.get_logger(__name__)

OUR_WORD = (
    ConsoleProblem,
    OutboxError,
    InboxError,
    GatewayError,
    RuntimeProblem,
    InvalidEvent,
)
"""Errors whose sentence is meant for the person who asked."""

MOST_FIELDS = 2_000
"""Fields of one form: every box of a long list ticked, and no more."""

LARGEST_FIELD = 256 * 1024
"""Bytes of one field: a whole event as JSON fits many times over."""

Show = Callable[[Visit], Response]
Done = TypeVar("Done")


@dataclass(frozen=True, slots=True, kw_only=True)
class Problem:
    """Why nothing was done: a sentence, and the id of the field it is about."""

    sentence: str
    field: str | None = None


def page(path: str, show: Show, *, needs: Role | None = Role.VIEWER) -> Route:
    """Route a page that is only looked at; *needs* None: by anybody."""

    async def endpoint(request: Request) -> Response:
        return await run_in_threadpool(_looked, request, show, needs)

    return Route(path, endpoint, methods=["GET"], name=path)


def page_that_waits(
    path: str, show: Show, wait: Callable[[Request], Awaitable[bool]], *, needs: Role = Role.VIEWER
) -> Route:
    """Route a page that is looked at anew whenever *wait* says that there may be more to show.

    While it waits it holds no thread, and whether the visitor may look is asked again each time.
    """

    async def endpoint(request: Request) -> Response:
        while True:
            response = await run_in_threadpool(_looked, request, show, needs)
            if not await wait(request):
                return response

    return Route(path, endpoint, methods=["GET"], name=path)


def action(path: str, do: Show, *, needs: Role | None = Role.OPERATOR) -> Route:
    """Route something that changes rows: a POST by who may, from a page of this console.

    *needs* None is for signing in alone.
    """

    async def endpoint(request: Request) -> Response:
        fields = await request.form(
            max_fields=MOST_FIELDS, max_files=0, max_part_size=LARGEST_FIELD
        )
        return await run_in_threadpool(_acted, request, Form(fields), do, needs)

    return Route(path, endpoint, methods=["POST"], name=f"POST {path}")


def render(
    visit: Visit,
    template: str,
    told: Mapping[str, Any] | list[Any],
    *,
    status: int = 200,
    **words: Any,
) -> Response:
    """Answer a page, or what it tells as JSON where a program asks; *problem*: why nothing was done."""
    if visit.wants_json:
        problem = words.get("problem")
        if isinstance(problem, Problem):
            told = {"error": problem.sentence, "field": problem.field}
        return json_answer(told, status=status, over=visit.over)
    keys: Mapping[str, Any] = told if isinstance(told, Mapping) else {}
    said = flash.read(visit)
    given = {**keys, "told": told, **_frame(visit, said), **words}
    response = TEMPLATES.page(template, given, status=status)
    if said is not None:
        flash.forget(response)
    return response


def json_answer(told: Any, *, status: int = 200, over: Over = CLOSED.over) -> Response:
    """Answer JSON, as the command prints it; *over* is the visit's, or else it names nobody."""
    return Response(as_json(over(told)) + "\n", status, media_type="application/json")


def act(
    visit: Visit,
    deed: Callable[[Connection], Done],
    *,
    to: str | Callable[[Done], str],
    said: str | Callable[[Done], str | flash.Said],
    again: Callable[[Problem], Response] | None = None,
    told: Callable[[Done], Any] | None = None,
) -> Response:
    """Do something in one transaction, whole or not at all, then lead on to a page that says so."""
    try:
        with visit.site.database.transaction() as connection:
            done = deed(connection)
    except OUR_WORD as error:
        if again is None or visit.wants_json:
            raise
        return again(_problem(error))
    if visit.wants_json:
        return json_answer({"done": True} if told is None else told(done), over=visit.over)
    return lead_on(
        visit,
        to if isinstance(to, str) else to(done),
        said=said if isinstance(said, str) else said(done),
    )


def confirmed(visit: Visit, number: int) -> None:
    """Raise `NotFilled` unless the person typed that number into `m.confirm`'s field."""
    if visit.form.number("number", "the number") != number:
        raise NotFilled(
            f"It is {number:,} now. Look at the list again, then type that number.", field="number"
        )


def lead_on(visit: Visit, to: str, *, said: str | flash.Said | None = None) -> Response:
    """Redirect to a page of this console after a POST; the page shows what is said."""
    response = RedirectResponse(to, status_code=303)
    if isinstance(said, flash.Said):
        flash.leave(visit, response, said.text, problem=said.problem, field=said.field)
    elif said:
        flash.leave(visit, response, said)
    return response


def problem_page(visit: Visit, sentence: str, *, status: int, title: str) -> Response:
    """Answer that something cannot be, in a sentence."""
    if visit.wants_json:
        return json_answer({"error": sentence}, status=status, over=visit.over)
    return render(visit, "problem.html", {}, status=status, sentence=sentence, heading=title)


def _looked(request: Request, show: Show, needs: Role | None) -> Response:
    site: Site = request.app.state.site
    try:
        now = site.clock.now()
        who = door.who(site, request, now)
        visit = Visit(site=site, request=request, who=who, now=now)
        if needs is not None and not who.may(needs):
            return _with_session(visit, _turned_away(visit))
        return _with_session(visit, _answered(visit, show))
    except Exception as error:
        return _failed(request, error)


def _acted(request: Request, form: Form, do: Show, needs: Role | None) -> Response:
    site: Site = request.app.state.site
    try:
        now = site.clock.now()
        who = door.who(site, request, now)
        visit = Visit(site=site, request=request, who=who, now=now, form=form)
        refusal = door.refusal(visit, needs)
        if refusal is not None:
            door.write_down(visit, refusal)
            return _with_session(visit, _refused(visit, refusal))
        return _with_session(visit, _answered(visit, do))
    except Exception as error:
        return _failed(request, error)


def _with_session(visit: Visit, response: Response) -> Response:
    if visit.who.fresh is not None:
        door.keep_session(visit.site, response, visit.who.fresh)
    return response


def _answered(visit: Visit, show: Show) -> Response:
    try:
        visit.check_texts()
        return show(visit)
    except NotThere as error:
        return problem_page(visit, str(error), status=404, title="Nothing here")
    except NotAllowed as error:
        return problem_page(visit, str(error), status=403, title="Not allowed")
    except OUR_WORD as error:
        return _not_done(visit, _problem(error))


def _not_done(visit: Visit, problem: Problem) -> Response:
    """Say why nothing was done, on the page where the form was."""
    if visit.wants_json:
        told = {"error": problem.sentence, "field": problem.field}
        return json_answer(told, status=422, over=visit.over)
    back = door.page_before(visit)
    if visit.request.method != "POST" or back is None:
        return problem_page(visit, problem.sentence, status=422, title="That was not done")
    response = RedirectResponse(back, status_code=303)
    flash.leave(visit, response, problem.sentence, problem=True, field=problem.field)
    return response


def _problem(error: Exception) -> Problem:
    field = error.field if isinstance(error, ConsoleProblem | InvalidEvent) else None
    return Problem(sentence=str(error), field=field)


def _turned_away(visit: Visit) -> Response:
    if visit.who.way is Way.NOBODY and not visit.wants_json:
        return door.to_sign_in(visit)
    if visit.who.way is Way.NOBODY:
        return json_answer({"error": "Sign in, or send a token that is known."}, status=401)
    return _refused(visit, door.Refusal(door.Why.ROLE, door.ROLE_WORDS))


def _refused(visit: Visit, refusal: door.Refusal) -> Response:
    if refusal.why is door.Why.NOBODY and not visit.wants_json:
        return door.to_sign_in(visit)
    status = 401 if visit.who.way is Way.NOBODY else 403
    return problem_page(visit, refusal.sentence, status=status, title="That was not done")


def _failed(request: Request, error: Exception) -> Response:
    """Answer for what nobody expected, at the edge: the transaction is undone already.

    An error's text may hold a row's values, so only its class is logged, and none of it is shown.
    """
    logger.error("page_failed", path=request.url.path, **named(error))
    if isinstance(error, DataError):
        heading, status = "That was not done", 422
        sentence = (
            "A number in it is too large, or a character in it cannot be kept. Nothing was changed."
        )
    elif isinstance(error, DBAPIError):
        heading, status = "Not just now", 503
        sentence = "The database does not answer. Nothing was changed; try again in a moment."
    else:
        heading, status = "Something went wrong here", 500
        sentence = "Nothing was changed. The log of this process says more."
    if "application/json" in request.headers.get("accept", ""):
        return json_answer({"error": sentence}, status=status)
    words = {"heading": heading, "sentence": sentence}
    return TEMPLATES.page("bare.html", words, status=status)


def _frame(visit: Visit, said: flash.Said | None) -> dict[str, Any]:
    """What the layout shows on every page."""
    strip = None
    if visit.who.may(Role.VIEWER):
        with visit.site.database.reading() as connection:
            names = [one.name for one in visit.site.settings.destinations]
            strip = counters.read(connection, names, visit.now)
    return {
        "visit": visit,
        "over": visit.over,
        "who": visit.who,
        "now": visit.now,
        "csrf": visit.who.csrf if visit.who.secret else "",
        "counters": strip,
        "menu": shown_menu(visit),
        "said": said,
        "here": visit.request.url.path,
        "url": visit.without(),
    }
