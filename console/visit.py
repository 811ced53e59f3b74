"""One request as a page sees it: who asks, when, for what, with which form.

One idea: a page reads from here and from nowhere else, so that a test can make a visit by hand.
"""

import hashlib
import hmac
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum
from typing import Any
from urllib.parse import urlencode

from starlette.datastructures import FormData
from starlette.requests import Request

from console.errors import NotFilled, NotThere
from console.site import Site
from console.veil import Veil
from schema.console import Role


class Way(StrEnum):
    """How it is known who asks."""

    HERE = "here"  # at this machine's keyboard; nobody needs to sign in
    ACCOUNT = "account"  # signed in with a password
    PROXY = "proxy"  # named by the proxy in front
    TOKEN = "token"  # a program with a token
    NOBODY = "nobody"


@dataclass(frozen=True, slots=True, kw_only=True)
class Visitor:
    """Who asks. `secret` seals what goes to the browser and has to come back unaltered."""

    name: str
    role: Role | None
    way: Way
    secret: bytes = field(repr=False, default=b"")
    may_reveal: bool = False
    session: str | None = field(repr=False, default=None)
    revealed: Mapping[str, datetime] = field(default_factory=dict[str, datetime])
    fresh: str | None = field(repr=False, default=None)
    """The id of a session that was begun for this request; the browser gets it with the answer."""

    def seal(self, text: str) -> str:
        """Give the seal of a text, which only this visitor's own console could have made."""
        return hmac.new(self.secret, text.encode(), hashlib.sha256).hexdigest()

    def sealed(self, text: str, seal: str) -> bool:
        """Say whether that is the seal of that text."""
        return hmac.compare_digest(self.seal(text).encode(), seal.encode())

    @property
    def csrf(self) -> str:
        """What each of the visitor's forms carries, and no foreign page can know."""
        return self.seal("form")

    def may(self, needed: Role) -> bool:
        """Say whether the visitor may do what that role may."""
        return self.role is not None and self.role.covers(needed)

    def sees(self, subject: str, now: datetime) -> bool:
        """Say whether the visitor sees the names, TRN and e-mail of that record."""
        until = self.revealed.get(subject)
        return self.may(Role.OPERATOR) or (until is not None and until > now)


NOBODY = Visitor(name="nobody", role=None, way=Way.NOBODY)


class Form:
    """The fields of a form as text, without the space around it."""

    def __init__(self, fields: FormData | None = None) -> None:
        self._fields = FormData() if fields is None else fields

    def text(self, name: str, default: str = "") -> str:
        """Give a field, or the default where it is empty."""
        value = self._fields.get(name)
        return (value.strip() if isinstance(value, str) else "") or default

    def needed(self, name: str, label: str) -> str:
        """Give a field; raises `NotFilled`, which names it, where it is empty."""
        value = self.text(name)
        if not value:
            raise NotFilled(f"Enter {label}.", field=name)
        return value

    def number(self, name: str, label: str) -> int:
        """Give a field that is a whole number; raises `NotFilled`."""
        value = self.needed(name, label).replace(",", "")
        if not value.isdecimal() or len(value) > 15:
            raise NotFilled(f"Enter {label} as a whole number.", field=name)
        return int(value)

    def all(self, name: str) -> list[str]:
        """Give every value of a field that comes several times, such as boxes that are ticked."""
        return [one.strip() for one in self._fields.getlist(name) if isinstance(one, str)]

    def as_typed(self) -> dict[str, str]:
        """Give what was typed, to show the form once more."""
        return {name: value for name, value in self._fields.items() if isinstance(value, str)}


@dataclass(frozen=True, slots=True, kw_only=True)
class Visit:
    """One request. `now` is taken once; `form` is empty unless this is an action.

    `veil` learns from the page whom it is about (`console.whose`); what is answered goes `over` it.
    """

    site: Site
    request: Request
    who: Visitor
    now: datetime
    form: Form = field(default_factory=Form)
    veil: Veil = field(default_factory=Veil)

    def over(self, told: Any) -> Any:
        """Give what is answered as this visitor may read it."""
        return told if self.who.may(Role.OPERATOR) else self.veil.over(told)

    def check_texts(self) -> None:
        """Raise `NotFilled`, which names it, where something holds a character no database keeps.

        A part of the path that does is the name of nothing: `NotThere`.
        """
        for name, text in self.request.path_params.items():
            if not _can_be_kept(str(text)):
                raise NotThere(f"There is nothing with that {name} here.")
        for name, text in (*self.request.query_params.multi_items(), *self.form.as_typed().items()):
            if not _can_be_kept(text):
                raise NotFilled(
                    f"What you gave as {name} holds a character that cannot be kept. Take it out.",
                    field=name,
                )

    @property
    def wants_json(self) -> bool:
        """Whether a program asks: JSON is named in `Accept`, and a page is not."""
        accepted = self.request.headers.get("accept", "")
        return "application/json" in accepted and "text/html" not in accepted

    def asked(self, name: str, default: str = "") -> str:
        """Give a parameter of the query: the state of a filter lives in the URL."""
        return self.request.query_params.get(name, default).strip()

    def path(self, name: str) -> str:
        """Give a part of the path, such as `{name}`."""
        return str(self.request.path_params[name])

    def path_number(self, name: str) -> int:
        """Give a part of the path that is an id; raises `NotThere`."""
        text = self.path(name)
        if not text.isdecimal() or len(text) > 18:
            raise NotThere(f"There is nothing with the number {text[:40]!r} here.")
        return int(text)

    def without(self, *names: str, **more: Any) -> str:
        """Give this page's address with some parameters left out, and others set."""
        kept = [
            (name, value)
            for name, value in self.request.query_params.multi_items()
            if value and name not in names and name not in more
        ]
        set_anew = [(name, str(value)) for name, value in more.items() if value not in (None, "")]
        query = urlencode([*kept, *set_anew])
        path = self.request.url.path
        return f"{path}?{query}" if query else path


def _can_be_kept(text: str) -> bool:
    """Say whether a database keeps a text: no NUL, and no half of a pair, which is no character."""
    return "\0" not in text and text == text.encode(errors="replace").decode()
