"""A sandbox in hand: a small world, calls as a provider, calls as the control side."""

import http.client
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import cast

from sandbox.server import Sandbox

Json = dict[str, object]

NOON = "2025-11-14T12:00:00Z"
TODAY = "2025-11-14"
TOMORROW = "2025-11-15"

EVERY_TYPE = (
    "started",
    "retained-1",
    "retained-2",
    "retained-3",
    "retained-4",
    "completed",
)


def windows(first: str, last: str | None = None) -> Json:
    return {kind: [first, last] for kind in EVERY_TYPE}


def a_world(**sections: object) -> Json:
    """A small world at noon on 14 November 2025; sections given are added to its own."""
    world: Json = {
        "format": 1,
        "clock": {"now": NOON},
        "providers": {"fenland": {"name": "Fenland"}, "rival": {"name": "Rival"}},
        "cohorts": {
            "2021": {"payments_frozen_at": "2024-06-18T00:00:00Z", "enabled": False},
            "2024": {},
            "2025": {},
            "2026": {},
        },
        "schedules": {
            "2021": {"ecf-standard-september": windows("2021-09-01", "2022-07-31")},
            "2024": {
                "ecf-standard-september": {
                    "started": ["2024-06-01", "2024-12-31"],
                    "retained-1": ["2025-01-01", "2025-03-31"],
                    "completed": ["2025-09-01", "2026-07-31"],
                },
                "ecf-extended-september": windows("2024-09-01"),
            },
            "2025": {
                "ecf-standard-september": windows("2025-06-01"),
                "ecf-standard-january": windows("2026-01-01"),
                "ecf-extended-september": windows("2025-09-01"),
                "ecf-reduced-september": {"started": ["2025-06-01", None]},
                "ecf-replacement-september": windows("2025-06-01"),
            },
            "2026": {"ecf-standard-september": windows("2026-06-01")},
        },
        "delivery_partners": {
            "hub": {
                "name": "Hub",
                "pairings": [
                    ["fenland", 2021],
                    ["fenland", 2024],
                    ["fenland", 2025],
                    ["fenland", 2026],
                    ["rival", 2025],
                ],
            },
            "spoke": {"name": "Spoke", "pairings": [["fenland", 2025]]},
            "stranger": {"name": "Stranger", "pairings": [["rival", 2025]]},
        },
        "schools": {
            "mill": {
                "urn": "900901",
                "name": "Mill Lane",
                "induction_tutor": {"name": "Gwen", "email": "gwen@mill.example"},
            },
            "weir": {
                "urn": "900902",
                "gias_contact_email": "office@weir.example",
                "cohorts": {"2025": {"expression_of_interest": ["fenland"]}},
            },
            "lock": {"urn": "900903", "eligible": False},
        },
        "partnerships": {
            "mill-21": _partnership("mill", 2021),
            "mill-24": _partnership("mill", 2024),
            "mill-25": _partnership("mill", 2025),
            "mill-rival": {**_partnership("mill", 2025), "provider": "rival"},
        },
        "statements": {
            "dec": _statement(2025, "2025-11-30"),
            "dec-24": _statement(2024, "2025-11-30"),
        },
        "participants": {},
        "declarations": {},
    }
    for name, added in sections.items():
        world[name] = {**cast("Json", world.get(name, {})), **cast("Json", added)}
    return world


def _partnership(school: str, cohort: int) -> Json:
    return {"school": school, "provider": "fenland", "delivery_partner": "hub", "cohort": cohort}


def _statement(cohort: int, cut_off: str) -> Json:
    return {
        "provider": "fenland",
        "cohort": cohort,
        "month": 12,
        "year": 2025,
        "cut_off_date": cut_off,
        "payment_date": "2025-12-20",
    }


def a_training(**changes: object) -> Json:
    training: Json = {
        "provider": "fenland",
        "partnership": "mill-25",
        "schedule": "ecf-standard-september",
        "started_on": "2025-09-01",
    }
    return {**training, **changes}


def an_ect(**changes: object) -> Json:
    """An ECT at Mill Lane, with Fenland since September."""
    ect: Json = {
        "role": "ect",
        "school": "mill",
        "school_started_on": "2025-09-01",
        "training": a_training(),
        "updated_at": "2025-09-03T08:15:00.250000Z",
    }
    return {**ect, **changes}


def a_mentor(**changes: object) -> Json:
    return {**an_ect(role="mentor"), **changes}


def unfunded(**changes: object) -> Json:
    return {**a_mentor(training=None), **changes}


def in_2024(**changes: object) -> Json:
    training = a_training(partnership="mill-24", started_on="2024-09-02")
    return an_ect(school_started_on="2024-09-02", training=training, **changes)


def a_declaration(of: str, kind: str = "started", **changes: object) -> Json:
    declaration: Json = {"of": of, "type": kind, "date": "2025-09-29T09:00:00Z"}
    return {**declaration, **changes}


@dataclass(frozen=True, slots=True)
class Got:
    """An answer."""

    status: int
    headers: Mapping[str, str]
    body: bytes

    @property
    def json(self) -> Json:
        return cast("Json", json.loads(self.body))

    @property
    def data(self) -> Json:
        return cast("Json", self.json["data"])

    @property
    def rows(self) -> list[Json]:
        return cast("list[Json]", self.json["data"])

    @property
    def attributes(self) -> Json:
        return cast("Json", self.data["attributes"])

    @property
    def errors(self) -> list[tuple[object, object]]:
        errors = cast("list[Json]", self.json["errors"])
        return [(error["title"], error["detail"]) for error in errors]

    @property
    def enrolment(self) -> Json:
        """The only enrolment of a participant."""
        (only,) = cast("list[Json]", self.attributes["ecf_enrolments"])
        return only

    def column(self, name: str) -> list[object]:
        return [cast("Json", row["attributes"])[name] for row in self.rows]


class Hand:
    """Calls to one sandbox, each on a connection of its own unless it can be kept."""

    def __init__(self, sandbox: Sandbox) -> None:
        self.sandbox = sandbox
        self.ids: Mapping[str, str] = {}
        self.renew()

    def renew(self) -> None:
        """Use a new connection, the old one having ended."""
        host, _, port = self.sandbox.root_url.removeprefix("http://").rpartition(":")
        self._connection = http.client.HTTPConnection(host, int(port), timeout=10)

    def another(self) -> "Hand":
        """Another caller, who knows the same ids."""
        other = Hand(self.sandbox)
        other.ids = self.ids
        return other

    def call(
        self,
        method: str,
        path: str,
        *,
        headers: Mapping[str, str] | None = None,
        body: bytes | None = None,
    ) -> Got:
        self._connection.request(method, path, body=body, headers=dict(headers or {}))
        response = self._connection.getresponse()
        names = {name.lower(): value for name, value in response.getheaders()}
        return Got(response.status, names, response.read())

    # The control side

    def control(self, method: str, path: str, value: object = None) -> Got:
        body = None if value is None else json.dumps(value).encode()
        return self.call(method, f"/_sandbox{path}", body=body)

    def world(self, world: object) -> None:
        """Load a world, and learn its ids."""
        got = self.control("PUT", "/world", world)
        assert got.status == 200, got.body
        self.ids = cast("Mapping[str, str]", got.json["ids"])

    def clock(self, now: str) -> None:
        assert self.control("PUT", "/clock", {"now": now}).status == 200

    def events(self, *events: Json) -> Got:
        return self.control("POST", "/events", list(events))

    def event(self, kind: str, **fields: object) -> Json:
        """Let something happen; it must be possible."""
        got = self.events({"event": kind, **fields})
        assert got.status == 200, got.body
        return got.json

    # The API

    def get(self, path: str, *, by: str = "fenland", **headers: str) -> Got:
        return self.call("GET", f"/api/v3{path}", headers=self._headers(by, headers))

    def send(
        self, method: str, path: str, value: object = None, *, by: str = "fenland", **headers: str
    ) -> Got:
        body = None if value is None else json.dumps(value).encode()
        given = {"Content-Type": "application/json", **headers}
        return self.call(method, f"/api/v3{path}", headers=self._headers(by, given), body=body)

    def _headers(self, by: str, more: Mapping[str, str]) -> dict[str, str]:
        fixed = {"Authorization": f"Bearer sandbox-{by}", "Accept": "application/json"}
        return {**fixed, **{name.replace("_", "-"): value for name, value in more.items()}}

    def participant(self, ref: str, *, by: str = "fenland") -> Got:
        return self.get(f"/participants/{self.ids[ref]}", by=by)

    def act(self, ref: str, action: str, *, by: str = "fenland", **attributes: object) -> Got:
        """Defer, resume, withdraw or change-schedule; an ECT's enrolment unless said."""
        given = {"course_identifier": "ecf-induction", **attributes}
        body = {"data": {"type": f"participant-{action}", "attributes": given}}
        return self.send("PUT", f"/participants/{self.ids.get(ref, ref)}/{action}", body, by=by)

    def declare(self, ref: str, kind: str, *, by: str = "fenland", **changes: object) -> Got:
        """Declare something of an ECT that would be accepted, but for the changes."""
        attributes: Json = {
            "participant_id": self.ids.get(ref, ref),
            "declaration_type": kind,
            "declaration_date": "2025-10-01T09:00:00Z",
            "course_identifier": "ecf-induction",
            "evidence_held": "other",
            **changes,
        }
        kept = {key: value for key, value in attributes.items() if value is not MISSING}
        body = {"data": {"type": "participant-declaration", "attributes": kept}}
        return self.send("POST", "/participant-declarations", body, by=by)

    def declared(self, ref: str) -> Got:
        return self.get(f"/participant-declarations/{self.ids.get(ref, ref)}")

    def void(self, ref: str, *, by: str = "fenland") -> Got:
        return self.send("PUT", f"/participant-declarations/{self.ids.get(ref, ref)}/void", by=by)

    def refs(self, path: str, *, by: str = "fenland") -> list[str]:
        """The refs of a list's rows, in order."""
        names = {identity: ref for ref, identity in self.ids.items()}
        return [names.get(str(row["id"]), "?") for row in self.get(path, by=by).rows]

    def stamps(self, refs: Sequence[str]) -> dict[str, object]:
        """The stored `updated_at` of things, as the world has it."""
        world = self.control("GET", "/world").json
        found: dict[str, object] = {}
        for section in world.values():
            if isinstance(section, dict):
                for ref, entity in cast("Json", section).items():
                    if ref in refs:
                        found[ref] = cast("Json", entity).get("updated_at")
        return found


MISSING: object = object()
"""An attribute to leave out."""
