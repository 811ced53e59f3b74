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
from urllib.parse import quote, urlsplit

from starlette.requests import HTTPConnection, Request
from starlette.responses import RedirectResponse, Response

from console.site import Site
from console.visit import NOBODY, Visit, Visitor, Way
from runtime import audit
from schema.addresses import leads_here
from schema.console import Role

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


@dataclass(frozen=True, slots=True)
class Refusal:
    """Why, and the sentence for the person."""

    why: Why
    sentence: str


def who(site: Site, request: Request, now: datetime) -> Visitor:
    """Say who asks."""
    if at_the_keyboard(site, request):
        return Visitor(name=site.person, role=Role.ADMIN, way=Way.HERE, secret=_secret_here())
    return NOBODY


def at_the_keyboard(site: Site, request: HTTPConnection) -> bool:
    """Say whether the request comes from this machine itself, and through no proxy."""
    return (
        not site.is_public
        and request.client is not None
        and leads_here(f"http://{_bracketed(request.client.host)}/")
        and not any(name in request.headers for name in FORWARDED)
    )


def refusal(visit: Visit, needs: Role) -> Refusal | None:
    """Say why an action may not be done, if it may not."""
    if visit.who.way is not Way.TOKEN and not from_here(visit.request):
        return Refusal(Why.ORIGIN, "That came from another page than this console's.")
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


def from_here(request: Request) -> bool:
    """Say whether a browser sent it from a page of this console.

    Every browser names the origin of a POST. Ports are part of it: another program on this machine
    is another origin.
    """
    origin = request.headers.get("origin", "")
    fetched = request.headers.get("sec-fetch-site", "same-origin")
    host = request.headers.get("host", "")
    return bool(origin) and urlsplit(origin).netloc == host and fetched in ("same-origin", "none")


def _sealed_form(visit: Visit) -> bool:
    given = visit.form.text("csrf") or visit.request.headers.get("x-csrf", "")
    return bool(visit.who.secret) and hmac.compare_digest(given.encode(), visit.who.csrf.encode())


def answers_to(site: Site, host: str) -> bool:
    """Say whether this console is meant by a `Host` header; a rebound name is not one of ours."""
    name = urlsplit(f"//{host}").hostname
    return name is not None and name in site.names


def write_down(visit: Visit, refused: Refusal) -> None:
    """Write one line about an action that was turned away."""
    turned_away(visit.site, visit.who.name, visit.request.url.path, refused.why, visit.now)


def turned_away(site: Site, name: str, path: str, why: Why, now: datetime) -> None:
    """Write one line about an action that was turned away, in a transaction of its own."""
    with site.database.transaction() as connection:
        audit.write_down(
            connection,
            actor=name,
            action="turned_away",
            subject=path[:200],
            reason=why.value,
            now=now,
        )


def to_sign_in(visit: Visit) -> Response:
    """Lead to the sign-in page, and back to where the person was."""
    back = visit.without() if visit.request.method == "GET" else "/"
    return RedirectResponse(f"/sign-in?next={quote(back, safe='/')}", status_code=303)


def page_before(visit: Visit) -> str | None:
    """Give the page of this console that a form was sent from."""
    told = urlsplit(visit.request.headers.get("referer", ""))
    if told.netloc != visit.request.headers.get("host", "") or not told.path.startswith("/"):
        return None
    return told.path + (f"?{told.query}" if told.query else "")


def _secret_here() -> bytes:
    return hashlib.sha256(b"keyboard" + PROCESS_SECRET).digest()


def _bracketed(host: str) -> str:
    return f"[{host}]" if ":" in host else host
