"""Feed: what changed there, for programs with a cursor, and for people with who is told of it.

One idea: a program keeps the `next` of each answer and hands it back as `after`. That one text says all
there is to say: everything first, then what was told since, and where it is by now.
"""

import time
from collections.abc import Callable
from dataclasses import asdict, dataclass
from functools import partial
from http import HTTPStatus
from urllib.parse import urlencode

from sqlalchemy import Connection
from starlette.requests import Request
from starlette.responses import Response

from console import whose
from console.errors import NotAllowed, NotFilled
from console.page import act, action, json_answer, page, page_that_waits, render
from console.paging import SIZE, cursor, paged
from console.visit import Visit, Way
from console.watch import Watch
from inbox import attending, feed
from inbox.attending import Shown, Word
from inbox.cursor import Cursor
from inbox.errors import NoCursor, Pruned
from inbox.feed import Batch, Wants
from schema.console import Role
from schema.inbox import Begin, News

LIMIT = 100
LARGEST = 1_000
"""News to an answer, unless asked for otherwise, and at most."""

LONGEST_NUMBER = 12
"""Digits of a number, zeros in front of it included."""

LONGEST_WAIT_S = 60
"""How long an answer may be waited for: less than what proxies allow."""

COLOURS = {
    "held": "red",
    "failing": "orange",
    "needs a start": "yellow",
    "behind": "blue",
    "reading everything": "blue",
    "up to date": "green",
}

ABOUT = {
    News.NEW: "was not there before",
    News.UPDATED: "changed",
    News.WITHDRAWN: "was withdrawn there",
    News.GONE: "is not there any more",
    News.MERGED: "was merged into another",
    News.SETTLED: "what became of a local event",
    News.REBOUND: "the destination was bound anew: begin again with everything",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Asked:
    """What a program asks for, read and checked."""

    destination: str
    after: str
    limit: int
    wants: Wants
    wait_s: float


@dataclass(slots=True)
class Waiting:
    """Where a reader stands that may be waited with, from one look to the next."""

    destination: str
    cursor: Cursor
    until: float
    empty: bool


# For programs


def show(visit: Visit) -> Response:
    """Answer the next news to a program, and to a person the latest."""
    if visit.wants_json or visit.who.way is Way.TOKEN:
        return _read_on(visit)
    if not visit.who.may(Role.VIEWER):
        raise NotAllowed("Your role reads the feed as JSON only.")
    return _show_latest(visit)


def _read_on(visit: Visit) -> Response:
    try:
        asked = asked_for(visit)
    except (NotFilled, NoCursor) as error:
        return json_answer({"error": str(error)}, status=HTTPStatus.BAD_REQUEST)
    try:
        batch = _next(visit, asked)
    except NoCursor as error:
        return json_answer({"error": str(error)}, status=HTTPStatus.BAD_REQUEST)
    except Pruned as error:
        again = visit.without(after=Begin.EVERYTHING.value)
        return json_answer({"error": str(error), "again": again}, status=HTTPStatus.GONE)
    values = may_read_values(visit)
    if not values:
        with visit.site.database.reading() as connection:
            said = [one for one in batch.notices if one.reason]
            keys = [key for one in said for key in one.record_keys]
            whose.about_keys(visit, connection, keys)
    return json_answer(
        {
            "items": [one.as_json(values=values) for one in batch.notices],
            "next": str(batch.next),
            "more": batch.more,
            "values": values,
        },
        over=_as_it_is if values else visit.over,
    )


def _as_it_is(told: object) -> object:
    return told


def _next(visit: Visit, asked: Asked) -> Batch:
    """Read on from where the program is, or from where the last look at it has come to."""
    stands: Waiting | None = getattr(visit.request.state, "waiting", None)
    with visit.site.database.reading() as connection:
        if stands is not None:
            at = stands.cursor
        elif asked.after in tuple(Begin):
            at = feed.begin(connection, asked.destination, Begin(asked.after))
        else:
            at = Cursor.parse(asked.after)
        batch = feed.read_on(connection, asked.destination, at, asked.wants, limit=asked.limit)
    if stands is None:
        until = time.monotonic() + asked.wait_s
        stands = Waiting(asked.destination, batch.next, until, empty=True)
        visit.request.state.waiting = stands
    stands.cursor = batch.next
    stands.empty = not batch.notices and not batch.more
    return batch


async def wait(request: Request) -> bool:
    """Wait until there may be something for a reader that got nothing; False to answer at once."""
    stands: Waiting | None = getattr(request.state, "waiting", None)
    if stands is None or not stands.empty:
        return False
    left = stands.until - time.monotonic()
    watch = _watch(request)
    return await watch.moved(stands.destination, stands.cursor.position, within_s=left)


def _watch(request: Request) -> Watch:
    """Give the one eye of this process."""
    state = request.app.state
    if not hasattr(state, "watch"):
        site = state.site

        def ends() -> dict[str, int]:
            with site.database.reading() as connection:
                return feed.last_of_each(connection)

        state.watch = Watch(ends)
    watch: Watch = state.watch
    return watch


def may_read_values(visit: Visit) -> bool:
    """Whether the news may hold what was there before and is now: names of people are among it."""
    of_token = visit.who.way is Way.TOKEN and visit.who.may_reveal
    return of_token or visit.who.may(Role.OPERATOR)


def asked_for(visit: Visit) -> Asked:
    """Read what is asked for; raises `NotFilled`, which names the parameter."""
    after = visit.asked("after")
    if not after:
        raise NotFilled(
            "after is missing; begin with after=everything or after=now, and go on with the `next` of "
            "each answer"
        )
    return Asked(
        destination=_destination(visit),
        after=after,
        limit=_number(visit, "limit", LIMIT, least=1, most=LARGEST),
        wants=Wants(
            subject=visit.asked("subject") or None,
            source=visit.asked("source") or None,
            kinds=frozenset(_kinds(visit)),
        ),
        wait_s=_number(visit, "wait", 0, least=0, most=LONGEST_WAIT_S),
    )


def _destination(visit: Visit) -> str:
    known = [one.name for one in visit.site.settings.destinations]
    name = visit.asked("destination") or known[0]
    if name not in known:
        raise NotFilled(f"destination is {name[:80]!r}; there are {', '.join(known)}")
    return name


def _number(visit: Visit, name: str, default: int, *, least: int, most: int) -> int:
    text = visit.asked(name) or str(default)
    written = text.isascii() and text.isdecimal() and len(text) <= LONGEST_NUMBER
    if not written or not least <= int(text) <= most:
        raise NotFilled(f"{name} is {text[:80]!r}; it must be a number from {least} to {most}")
    return int(text)


def _kinds(visit: Visit) -> list[News]:
    given = [one.strip() for one in visit.asked("kind").split(",") if one.strip()]
    known = [one.value for one in News]
    for one in given:
        if one not in known:
            raise NotFilled(f"kind is {one[:80]!r}; there are {', '.join(known)}")
    return [News(one) for one in given]


# For people


def _show_latest(visit: Visit) -> Response:
    destination = _destination(visit)
    source, kinds = visit.asked("source"), _kinds(visit)
    with visit.site.database.reading() as connection:
        rows = feed.latest(
            connection,
            destination,
            before=cursor(visit),
            source=source or None,
            kinds=kinds,
            limit=SIZE + 1,
        )
        handlers = _handlers(visit, destination)
        keys = [key for one in rows for key in one.record_keys]
        whose.about_keys(visit, connection, keys)
        said = [*(one.reason for one in rows), *(one.error for one in handlers)]
        whose.anybody_in(visit, connection, destination, said)
    listed = paged(visit, rows, key=lambda one: one.position)
    return render(
        visit,
        "feed.html",
        {},
        page=listed,
        news=listed.rows,
        handlers=handlers,
        colours=COLOURS,
        about=ABOUT,
        destination=destination,
        many=len(visit.site.settings.destinations) > 1,
        wanted={
            "source": source,
            "kind": visit.asked("kind"),
            "destination": visit.asked("destination"),
        },
        kinds=[(one.value, one.value) for one in News],
        destinations=[(one.name, one.name) for one in visit.site.settings.destinations],
    )


def subscribers(visit: Visit) -> Response:
    """Answer how far each handler is; a person is led to the page that shows it."""
    destination = _destination(visit)
    handlers = _handlers(visit, destination)
    if visit.wants_json or visit.who.way is Way.TOKEN:
        with visit.site.database.reading() as connection:
            whose.anybody_in(visit, connection, destination, [one.error for one in handlers])
        return json_answer([asdict(one) for one in handlers], over=visit.over)
    return _show_latest(visit)


def _handlers(visit: Visit, destination: str) -> list[Shown]:
    keep = visit.site.settings.keep_unread
    with visit.site.database.reading() as connection:
        return attending.listed(connection, destination, keep_unread=keep)


def resume(visit: Visit) -> Response:
    """Let a handler go on, where it was or from a beginning that is said."""
    begin = visit.form.text("begin")
    if begin and begin not in tuple(Begin):
        raise NotFilled("Choose everything or now.", field="begin")
    where = Begin(begin) if begin else None
    return _attend(visit, partial(_resume, begin=where), "goes on")


def _resume(
    connection: Connection, destination: str, name: str, word: Word, *, begin: Begin | None
) -> Cursor:
    return attending.resume(connection, destination, name, begin, word)


def skip(visit: Visit) -> Response:
    """Let a handler go on past the news that it fails at."""
    return _attend(visit, attending.skip, "goes on past what it failed at")


def forget(visit: Visit) -> Response:
    """Forget a handler that there is no more."""
    return _attend(visit, attending.forget, "is forgotten")


Deed = Callable[[Connection, str, str, Word], Cursor | None]


def _attend(visit: Visit, deed: Deed, words: str) -> Response:
    name, destination = visit.path("name"), visit.form.text("destination", "default")
    word = Word(actor=visit.who.name, reason=visit.form.needed("reason", "why"), now=visit.now)
    return act(
        visit,
        lambda connection: deed(connection, destination, name, word),
        to=f"/feed?{urlencode({'destination': destination})}",
        said=f"{name} {words}.",
        told=lambda done: {"cursor": None if done is None else str(done)},
    )


routes = [
    page_that_waits("/feed", show, wait, needs=Role.FEED),
    page("/feed/subscribers", subscribers),
    action("/feed/subscribers/{name}/resume", resume),
    action("/feed/subscribers/{name}/skip", skip),
    action("/feed/subscribers/{name}/forget", forget, needs=Role.ADMIN),
]
