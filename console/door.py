"""The door: who asks, and whether that request may change anything.

One idea: a request is turned away for one reason, the first that applies, before its handler runs;
an action that was turned away left no effect and one line in the audit trail.
"""

import hashlib
import hmac
import secrets
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from typing import Final
from urllib.parse import SplitResult, quote, urlsplit

import structlog
from sqlalchemy import Connection
from starlette.requests import HTTPConnection, Request
from starlette.responses import RedirectResponse, Response

from console import accounts, sessions
from console.accounts import Account
from console.sessions import Ends, Session
from console.site import Site
from console.visit import NOBODY, Visit, Visitor, Way
from runtime import audit
from schema.addresses import is_loopback
from schema.console import Role

logger = structlog.get_logger(__name__)

PROCESS_SECRET: Final = secrets.token_bytes(32)
"""Seals the forms of whoever sits at this machine. New with each process: a page that was left open
over a restart says so, and is opened again."""

FORWARDED: Final = ("forwarded", "x-forwarded-for", "x-forwarded-host", "x-real-ip", "via")
"""Headers by which a proxy gives itself away: who comes through one is not at this keyboard."""

ROLE_WORDS: Final = "Your role does not allow that. An admin can give you another one."


class Why(StrEnum):
    """Why a request was turned away; also what the audit trail says."""

    HOST = "foreign host"
    ORIGIN = "foreign origin"
    NOBODY = "not signed in"
    CSRF = "form not from this console"
    ROLE = "role"
    PASSWORD = "wrong name or password"
    THROTTLE = "too many tries"


@dataclass(frozen=True, slots=True)
class Refusal:
    """Why, and the sentence for the person."""

    why: Why
    sentence: str


def who(site: Site, request: Request, now: datetime) -> Visitor:
    """Say who asks: a program with a token, whom the proxy names, who signed in, or who sits here."""
    token = _bearer(request)
    if token is not None:
        return _program(site, token, now)
    with site.database.reading() as connection:
        named = _named_by_proxy(site, connection, request)
        session = _session(site, connection, request, now)
        anybody = session is not None or accounts.are_any(connection)
    if named is not None and (session is None or session.account.name != named.name):
        return _begun(site, named, now)
    if session is not None:
        _seen(site, request, session, now)
        return _signed_in(request, session, Way.ACCOUNT if named is None else Way.PROXY)
    if not anybody and at_the_keyboard(site, request):
        return Visitor(name=site.person, role=Role.ADMIN, way=Way.HERE, secret=_secret_here())
    return NOBODY


def _bearer(request: Request) -> str | None:
    scheme, _, token = request.headers.get("authorization", "").partition(" ")
    return token.strip() if scheme.lower() == "bearer" else None


def _program(site: Site, token: str, now: datetime) -> Visitor:
    with site.database.reading() as connection:
        found = accounts.of_token(connection, token)
    if found is None:
        return NOBODY
    if found.used_at is None or now - found.used_at >= sessions.SEEN_EVERY:
        with site.database.transaction() as connection:
            accounts.used(connection, found.name, now)
    return Visitor(
        name=f"token:{found.name}",
        role=found.role,
        way=Way.TOKEN,
        may_reveal=found.may_reveal,
    )


def _named_by_proxy(site: Site, connection: Connection, request: Request) -> Account | None:
    """Give the account of whom the proxy names; a header from anywhere else says nothing."""
    header = site.listening.user_header
    peer = "" if request.client is None else request.client.host
    if header is None or peer not in site.listening.proxies or header not in request.headers:
        return None
    return accounts.by_name(connection, request.headers[header])


def _session(site: Site, connection: Connection, request: Request, now: datetime) -> Session | None:
    session_id = request.cookies.get(cookie_name(site))
    if not session_id:
        return None
    return sessions.found(connection, session_id, ends=ends(site), now=now)


def _begun(site: Site, account: Account, now: datetime) -> Visitor:
    with site.database.transaction() as connection:
        fresh = sessions.begin(connection, account.name, ends=ends(site), now=now)
    return Visitor(
        name=account.name,
        role=account.role,
        way=Way.PROXY,
        secret=fresh.encode(),
        may_reveal=account.may_reveal,
        session=accounts.digest(fresh),
        fresh=fresh,
    )


def _seen(site: Site, request: Request, session: Session, now: datetime) -> None:
    """Note that somebody is there. A page that fetches itself anew is nobody."""
    if "x-live" in request.headers or now - session.seen_at < sessions.SEEN_EVERY:
        return
    with site.database.transaction() as connection:
        sessions.seen(connection, session.id_hash, now)


def _signed_in(request: Request, session: Session, way: Way) -> Visitor:
    site: Site = request.app.state.site
    return Visitor(
        name=session.account.name,
        role=session.account.role,
        way=way,
        secret=request.cookies[cookie_name(site)].encode(),
        may_reveal=session.account.may_reveal,
        session=session.id_hash,
        revealed=session.revealed,
    )


def ends(site: Site) -> Ends:
    """Give when sessions of this console end."""
    return Ends(idle=site.listening.idle, absolute=site.listening.session)


def cookie_name(site: Site) -> str:
    """Name the session's cookie; by TLS so that no other host, path or plain page can set it."""
    return "__Host-pillarbox" if site.listening.is_secure else "pillarbox"


def keep_session(site: Site, response: Response, session_id: str) -> None:
    """Give the browser its session's id; it ends with the browser."""
    response.set_cookie(
        cookie_name(site),
        session_id,
        httponly=True,
        samesite="strict",
        secure=site.listening.is_secure,
        path="/",
    )


def at_the_keyboard(site: Site, request: HTTPConnection) -> bool:
    """Say whether the request comes from this machine itself, and through no proxy."""
    return (
        not site.listening.is_public
        and site.listening.user_header is None
        and request.client is not None
        and is_loopback(request.client.host)
        and not any(name in request.headers for name in FORWARDED)
    )


def refusal(visit: Visit, needs: Role | None) -> Refusal | None:
    """Say why an action may not be done, if it may not. *needs* None: by anybody, from our page."""
    if visit.who.way is not Way.TOKEN and not from_here(visit.site, visit.request):
        return Refusal(Why.ORIGIN, "That came from another page than this console's.")
    if needs is None:
        return None
    if visit.who.role is None:
        return Refusal(Why.NOBODY, "Sign in first.")
    if visit.who.way is not Way.TOKEN and not _sealed_form(visit):
        return Refusal(
            Why.CSRF,
            "That form was not made for you, or it is too old. Open its page anew and try again.",
        )
    if not visit.who.may(needs):
        return Refusal(Why.ROLE, ROLE_WORDS)
    return None


def from_here(site: Site, request: Request) -> bool:
    """Say whether a browser sent it from a page of this console.

    Every browser names the origin of a POST. Ports are part of it: another program on this machine
    is another origin. So is the scheme: where browsers reach us by TLS, a page that came without it
    may have been written by anybody on the way.
    """
    origin = parts_of(request.headers.get("origin", ""))
    fetched = request.headers.get("sec-fetch-site", "same-origin")
    ours = ("https" if site.listening.is_secure else "http", request.headers.get("host", ""))
    return (origin.scheme, origin.netloc) == ours and fetched in ("same-origin", "none")


def _sealed_form(visit: Visit) -> bool:
    given = visit.form.text("csrf") or visit.request.headers.get("x-csrf", "")
    sent = given.encode(errors="replace")
    return bool(visit.who.secret) and hmac.compare_digest(sent, visit.who.csrf.encode())


def answers_to(site: Site, host: str) -> bool:
    """Say whether this console is meant by a `Host` header; a rebound name is not one of ours."""
    name = parts_of(f"//{host}").hostname
    return name is not None and name in site.names


def parts_of(url: str) -> SplitResult:
    """Take an address apart that anybody may have written; one that is none has no parts."""
    try:
        return urlsplit(url)
    except ValueError:
        return urlsplit("")


def stays_here(path: str) -> bool:
    """Say whether every browser takes a text for a path of this console, and for no other host."""
    elsewhere = path.startswith("//") or parts_of(path).netloc
    return path.startswith("/") and not elsewhere and "\\" not in path and path.isprintable()


def write_down(visit: Visit, refused: Refusal) -> None:
    """Write one line about an action that was turned away."""
    turned_away(visit.site, visit.who.name, visit.request.url.path, refused.why, visit.now)


def turned_away(site: Site, name: str, path: str, why: Why, now: datetime) -> None:
    """Write one line about an action that was turned away, in a transaction of its own."""
    room, left_out = site.flood.room(int(now.timestamp() // 60))
    logger.warning("turned_away", path=path[:200], why=why.value)
    with site.database.transaction() as connection:
        if left_out:
            _line(connection, "nobody", f"{left_out} more like it", why, now)
        if room:
            _line(connection, name, path, why, now)


def _line(connection: Connection, name: str, subject: str, why: Why, now: datetime) -> None:
    audit.write_down(
        connection,
        actor=name,
        action="turned_away",
        subject=subject[:200],
        reason=why.value,
        now=now,
    )


def to_sign_in(visit: Visit) -> Response:
    """Lead to the sign-in page, and back to where the person was."""
    back = visit.without() if visit.request.method == "GET" else page_before(visit) or "/"
    url = f"/sign-in?next={quote(back, safe='/')}"
    if "hx-request" in visit.request.headers:  # a part of a page: the whole page is to go there
        return Response(status_code=401, headers={"HX-Redirect": url})
    return RedirectResponse(url, status_code=303)


def page_before(visit: Visit) -> str | None:
    """Give the page of this console that a form was sent from."""
    told = parts_of(visit.request.headers.get("referer", ""))
    if told.netloc != visit.request.headers.get("host", "") or not stays_here(told.path):
        return None
    return told.path + (f"?{told.query}" if told.query else "")


def _secret_here() -> bytes:
    return hashlib.sha256(b"keyboard" + PROCESS_SECRET).digest()
