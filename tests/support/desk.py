"""The console as a browser sees it, without a port: what is asked goes straight to the application."""

import asyncio
import re
from collections.abc import Mapping
from dataclasses import replace
from http.cookies import SimpleCookie
from typing import Any

import httpx

from console.app import build
from console.listening import names
from console.site import Gauge, Site
from gateway.errors import QuotaUnavailable
from gateway.quota import QuotaFill
from gateway.registry import contract_named
from runtime import redis as runtime_redis
from runtime.clock import Clock
from runtime.database import Database
from runtime.settings import Settings

ROOT = "http://localhost:4020"


class NoGauge:
    """A quota that cannot be asked."""

    def fill(self) -> QuotaFill:
        """Say so."""
        raise QuotaUnavailable("Redis does not answer")


def a_site(database: Database, clock: Clock, **differs: Any) -> Site:
    """The site of one destination with nothing configured, at the keyboard of `robin`."""
    settings: Settings = differs.pop("settings", Settings.from_environment({}))
    gauges: Mapping[str, Gauge] = {one.name: NoGauge() for one in settings.destinations}
    site = Site(
        database=database,
        redis=runtime_redis.new_stand_in(),
        clock=clock,
        settings=settings,
        contracts={one.name: contract_named(one.contract) for one in settings.destinations},
        quotas=gauges,
        person="robin",
        names=names(settings.console),
    )
    return replace(site, **differs)


class Desk:
    """One browser (or, with `accept="application/json"`, a program) in front of the console."""

    def __init__(self, site: Site, *, address: str = "127.0.0.1") -> None:
        self.site = site
        self.app = build(site)
        self.address = address
        self.cookies: dict[str, str] = {}

    def get(self, path: str, *, accept: str = "text/html", **headers: str) -> httpx.Response:
        """Ask for a page; redirects are not followed."""
        return self._send("GET", path, {"accept": accept, **_named(headers)})

    def read(self, path: str) -> Any:
        """Ask as a program; gives what the JSON says."""
        return self.get(path, accept="application/json").json()

    def post(
        self,
        path: str,
        fields: Mapping[str, Any] | None = None,
        *,
        csrf: str | None = None,
        origin: str | None = ROOT,
        accept: str = "text/html",
        **headers: str,
    ) -> httpx.Response:
        """Send a form of a page of this console, sealed unless another seal is given."""
        sealed = {"csrf": self.csrf() if csrf is None else csrf, **(fields or {})}
        sent = {"accept": accept, **({"origin": origin} if origin else {}), **_named(headers)}
        return self._send("POST", path, sent, data=sealed)

    def send_raw(self, path: str, headers: Mapping[str, str], body: bytes) -> httpx.Response:
        """Send a form that was written by hand, as no browser would."""
        return self._send("POST", path, {"origin": ROOT, **headers}, content=body)

    def csrf(self) -> str:
        """Give the seal of this browser's forms, as a page carries it."""
        found = re.search(r'"X-CSRF": "([0-9a-f]+)"', self.get("/nowhere").text)
        return found[1] if found else ""

    def _send(
        self,
        method: str,
        path: str,
        headers: Mapping[str, str],
        data: Any = None,
        content: bytes | None = None,
    ) -> httpx.Response:
        async def send() -> httpx.Response:
            transport = httpx.ASGITransport(
                self.app, client=(self.address, 40_000), raise_app_exceptions=False
            )
            async with httpx.AsyncClient(transport=transport, base_url=ROOT) as client:
                return await client.request(method, path, headers=sent, data=data, content=content)

        sent = {**headers, "cookie": "; ".join(f"{k}={v}" for k, v in self.cookies.items())}
        response = asyncio.run(send())
        for line in response.headers.get_list("set-cookie"):
            self._keep(line)
        return response

    def _keep(self, line: str) -> None:
        for name, one in SimpleCookie(line).items():
            if one["max-age"] == "0":
                self.cookies.pop(name, None)
            else:
                self.cookies[name] = one.value


def _named(headers: Mapping[str, str]) -> dict[str, str]:
    return {name.replace("_", "-"): value for name, value in headers.items()}
