"""What is true of every request and every answer, before and after any page.

One idea: nothing a page forgets can open a hole: the host it was asked by, the size of what was sent
and the headers of what is answered are seen to here.
"""

from typing import Final

from starlette.concurrency import run_in_threadpool
from starlette.datastructures import Headers, MutableHeaders
from starlette.responses import PlainTextResponse
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from console import door
from console.site import Site

LARGEST_BODY: Final = 1024 * 1024
"""Bytes of a request: a form with two thousand ticked boxes fits; an upload does not belong here."""

OPEN_TO_PROBES: Final = frozenset({"/healthz", "/readyz"})
"""Asked by address, not by name; they tell nothing of anybody."""

POLICY: Final = (
    "default-src 'self'; base-uri 'none'; form-action 'self'; frame-ancestors 'none'; "
    "object-src 'none'"
)

HEADERS: Final = (
    ("content-security-policy", POLICY),
    ("x-content-type-options", "nosniff"),
    ("x-frame-options", "DENY"),
    # Not "no-referrer": browsers would then name no origin with a form, and it would be refused.
    ("referrer-policy", "same-origin"),
    ("cross-origin-opener-policy", "same-origin"),
    ("cross-origin-resource-policy", "same-origin"),
    ("permissions-policy", "camera=(), geolocation=(), microphone=()"),
)


class TooLarge(Exception):
    """More was sent than is read."""


class Guard:
    """Turns away foreign hosts and floods, and sets the headers of every answer."""

    def __init__(self, app: ASGIApp, site: Site) -> None:
        self._app = app
        self._site = site

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer a request."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        headers = Headers(scope=scope)
        answer = self._with_headers(scope, send)
        if not self._meant(scope, headers):
            await self._foreign(scope, receive, answer)
            return
        if _length(headers) > LARGEST_BODY:
            await _too_large(scope, receive, answer)
            return
        try:
            await self._app(scope, _limited(receive), answer)
        except TooLarge:
            await _too_large(scope, receive, answer)

    def _meant(self, scope: Scope, headers: Headers) -> bool:
        probing = scope["path"] in OPEN_TO_PROBES
        return probing or door.answers_to(self._site, headers.get("host", ""))

    async def _foreign(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["method"] not in ("GET", "HEAD"):
            await run_in_threadpool(
                door.turned_away,
                self._site,
                "nobody",
                str(scope["path"]),
                door.Why.HOST,
                self._site.clock.now(),
            )
        answer = PlainTextResponse(
            "This console does not go by that name. Name it in PILLARBOX_CONSOLE_NAMES if it should.\n",
            421,
        )
        await answer(scope, receive, send)

    def _with_headers(self, scope: Scope, send: Send) -> Send:
        lasting = str(scope["path"]).startswith("/static/")

        async def sending(message: Message) -> None:
            if message["type"] == "http.response.start":
                headers = MutableHeaders(scope=message)
                for name, value in HEADERS:
                    headers[name] = value
                headers["cache-control"] = "no-cache" if lasting else "no-store"
                headers.add_vary_header("accept")
                if self._site.listening.is_secure:
                    headers["strict-transport-security"] = "max-age=31536000"
            await send(message)

        return sending


def _length(headers: Headers) -> int:
    text = headers.get("content-length", "0")
    return int(text) if text.isdecimal() and len(text) < 15 else LARGEST_BODY + 1


def _limited(receive: Receive) -> Receive:
    read = 0

    async def receiving() -> Message:
        nonlocal read
        message = await receive()
        read += len(message.get("body", b""))
        if read > LARGEST_BODY:
            raise TooLarge
        return message

    return receiving


async def _too_large(scope: Scope, receive: Receive, send: Send) -> None:
    answer = PlainTextResponse(f"At most {LARGEST_BODY // 1024} KB are read at a time.\n", 413)
    await answer(scope, receive, send)
