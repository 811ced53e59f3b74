"""How long each page of the console takes, and how many statements, with years of use behind it.

Every page that can be looked at is asked on both databases, in this process, from the guard to the
template: a page that is routed and has no address here fails the scenario.
"""

import asyncio
import os
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from urllib.parse import quote

import httpx
from sqlalchemy import Engine, event

from benchmarks import crowd, ground
from benchmarks.crowd import Crowd
from benchmarks.result import Line, Result, median, percentile
from console.app import PAGES, build
from pillarbox.desk import site_of
from runtime.memory import collect_seldom
from workers.wiring import Wiring

PLAN = "/bulk/new?reason=conflict"
"""The plan of one dead letter in ten: it asks of each what a replay would do, and may take its time."""

PLAN_AIM_MS_EACH = 0.1
"""What a plan is to take for each record, as `replay` measures for fifty thousand."""

WARM, TIMES = 3, 30
"""How often each page is asked before it counts, and then."""

AIMS_MS: Mapping[str, float] = {"PostgreSQL": 200, "SQLite": 500}
"""What nineteen of twenty looks at a page are to take at most: what a person takes for at once."""

MOST_STATEMENTS = 50
"""What a page may ask of the database, however much is in it: the rule sheet has a rule, and so a
statement, for each collection, and on SQLite each BEGIN is one; no other page comes near."""

NOT_LOOKED_AT = {
    "/sign-in": "nobody is asked to sign in at this machine's keyboard",
    "/accounts": "what it lists is a handful, whatever the database holds",
    "/runbook": "it is text",
    "/readyz": "it is asked by machines, and what it does is in /metrics",
    "/bulk/{id}/report.csv": "it is a whole file, read on as it is sent",
}
"""Routes that are no page with rows behind it, and why."""

FOR_PROGRAMS = ("/feed?after=", "/bulk/1/records", "/status.json", "/metrics")
"""How addresses begin that are asked for as JSON."""

ROOT = "http://localhost:4020"


def run(*, quick: bool) -> Result:
    """Fill both databases alike, and ask every page of each."""
    people = 20_000 if quick else 1_000_000
    those = Crowd(people=people, now=datetime.now(UTC))
    busy = os.getloadavg()[0]
    lines: list[Line] = []
    for name, made in (("PostgreSQL", ground.postgresql), ("SQLite", ground.sqlite)):
        with (
            made() as url,
            ground.redis_server() as redis_url,
            ground.wired(ground.settings_for(url, redis_url)) as wiring,
        ):
            crowd.fill(url, those)
            collect_seldom()  # as the console does
            lines += lines_of(asked(wiring, those), name, planned=those.letters // 10)
    return Result(
        scenario="pages",
        conditions=f"{those.people:,} records, {those.entries:,} entries, {those.letters:,} of the "
        f"records wait for a person; each page {TIMES} times; load average {busy:.1f} when it began",
        lines=lines,
    )


def addresses(those: Crowd) -> Mapping[str, Sequence[str]]:
    """Give, by its route, how each page is looked at."""
    letter, last = those.a_letter, those.entries
    group = quote(crowd.signed(crowd.problem_of(letter)))
    long_ago = f"{those.ago(0.02):%Y-%m-%d}"
    return {
        "/": ["/"],
        "/people": [
            "/people",
            "/people?q=mar",
            "/people?q=" + quote(str(crowd.person(letter)["full_name"])),
            f"/people?q={crowd.trn_of(letter)}",
            f"/people?q=E-{letter}",
            "/people?state=dead",
        ],
        "/people/{id}": [f"/people/{letter}", f"/people/{letter + 50}"],
        "/problems": ["/problems", "/problems?owner=nobody"],
        "/problems/list": [
            "/problems/list",
            f"/problems/list?group={group}",
            "/problems/list?reason=exhausted&operation=change_schedule",
            f"/problems/list?person={crowd.trn_of(letter)}",
        ],
        "/problems/discarded": ["/problems/discarded"],
        "/problems/{id}": [f"/problems/{letter}"],
        "/problems/{id}/correct": [f"/problems/{letter}/correct"],
        "/bulk": ["/bulk"],
        "/bulk/new": [f"/bulk/new?person={crowd.trn_of(letter)}", PLAN],
        "/bulk/{id}": ["/bulk/1"],
        "/bulk/{id}/records": ["/bulk/1/records"],
        "/entries": [
            "/entries",
            f"/entries?record=E-{letter}",
            f"/entries?until={long_ago}",
            f"/entries?until={long_ago}&event=participant_deferred",
            "/entries?outcome=folded",
            "/entries?source=elsewhere",
        ],
        "/entries/{id}": [f"/entries/{last}"],
        "/audit": ["/audit", "/audit?actor=ines", f"/audit?subject=enrolment:E-{letter}"],
        "/polls": ["/polls"],
        "/polls/runs": ["/polls/runs", "/polls/runs?source=participants"],
        "/polls/{source}": ["/polls/participants"],
        "/differences": ["/differences", "/differences?kind=missing_here"],
        "/differences/{id}": ["/differences/1"],
        "/feed": ["/feed", "/feed?after=everything"],
        "/feed/subscribers": ["/feed/subscribers"],
        "/quota": ["/quota"],
        "/rules": ["/rules"],
        "/metrics": ["/metrics"],
        "/status.json": ["/status.json"],
    }


def looked_at(those: Crowd) -> list[str]:
    """Give every address; raises `AssertionError` where a page has none."""
    there = {one.path for one in PAGES if "GET" in (one.methods or ())}
    known = addresses(those)
    if there != {*known, *NOT_LOOKED_AT}:
        apart = sorted(there ^ {*known, *NOT_LOOKED_AT})
        raise AssertionError(f"not both routed and given an address: {', '.join(apart)}")
    return [each for one in known.values() for each in one]


@dataclass(slots=True)
class Asked:
    """How long one address took each time, in ms, and how many statements the last time."""

    address: str
    statements: int = 0
    took_ms: list[float] = field(default_factory=list[float])


class Counter:
    """Counts what is executed on an engine of either database."""

    def __init__(self, engine: Engine) -> None:
        self.number = 0
        event.listen(engine, "before_cursor_execute", self._executed)

    def _executed(self, *_: object) -> None:
        self.number += 1


def asked(wiring: Wiring, those: Crowd, *, times: int = TIMES) -> list[Asked]:
    """Ask every page so often, once it is warm."""
    return asyncio.run(_asked(wiring, looked_at(those), times))


async def _asked(wiring: Wiring, all_of_them: Sequence[str], times: int) -> list[Asked]:
    counter = Counter(wiring.database.engine)
    transport = httpx.ASGITransport(build(site_of(wiring)), client=("127.0.0.1", 40_000))
    async with httpx.AsyncClient(transport=transport, base_url=ROOT) as client:
        return [await _one(client, counter, address, times) for address in all_of_them]


async def _one(client: httpx.AsyncClient, counter: Counter, address: str, times: int) -> Asked:
    found = Asked(address)
    accept = "application/json" if address.startswith(FOR_PROGRAMS) else "text/html"
    for turn in range(WARM + times):
        counter.number = 0
        begun = time.perf_counter()
        response = await client.get(address, headers={"accept": accept})
        took = (time.perf_counter() - begun) * 1_000
        if response.status_code != 200:
            raise AssertionError(f"{address} answers {response.status_code}")
        if turn >= WARM:
            found.took_ms.append(took)
            found.statements = counter.number
    return found


def lines_of(found: Sequence[Asked], database: str, *, planned: int) -> list[Line]:
    """State of each page its statements, which are held, and its times, which are aimed at."""
    plan_ms = PLAN_AIM_MS_EACH * planned
    return [
        line
        for one in found
        for line in (
            Line(
                name=f"{database} {one.address} statements",
                value=one.statements,
                unit="",
                at_most=MOST_STATEMENTS,
                counter=True,
            ),
            Line(name=f"{database} {one.address} p50", value=median(one.took_ms), unit="ms"),
            Line(
                name=f"{database} {one.address} p95",
                value=percentile(one.took_ms, 95),
                unit="ms",
                aim=AIMS_MS[database] + (plan_ms if one.address == PLAN else 0),
            ),
        )
    ]
