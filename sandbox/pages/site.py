"""Which pages there are, and the acts that their forms carry out."""

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from importlib.resources import files
from urllib.parse import parse_qs, quote, unquote

from jinja2 import Environment, PackageLoader, StrictUndefined, select_autoescape

from sandbox.control import is_from_here, refusal
from sandbox.engine import Engine
from sandbox.messages import (
    Answer,
    Request,
    html_answer,
    html_status,
    json_answer,
    not_routed,
)
from sandbox.pages import views
from sandbox.pages.operations import OPERATIONS, openapi
from sandbox.query import leading_integer
from sandbox.reading import BadInput
from sandbox.times import london_day, shown

SECURITY = (
    (
        "content-security-policy",
        "default-src 'self'; frame-ancestors 'none'; base-uri 'none'; form-action 'self'",
    ),
    ("x-content-type-options", "nosniff"),
    ("referrer-policy", "same-origin"),
    ("cache-control", "no-store"),
)
STATIC = {"sandbox.css": "text/css", "sandbox.js": "text/javascript", "icon.svg": "image/svg+xml"}
MENTORS_OFFERED = 500
STATEMENTS_SHOWN = 12
ARRIVALS_SHOWN = 20
PEOPLE = "/people/"


@dataclass(frozen=True, slots=True, kw_only=True)
class Act:
    """What a form asks for: the events, what is said of it, and the page to go back to."""

    events: Sequence[Mapping[str, object]]
    said: str
    back: str


class Pages:
    """Answers `/`, `/docs`, `/people/…` and what they are made of."""

    def __init__(self, engine: Engine, *, control: bool) -> None:
        self._engine = engine
        self._control = control
        self._said: tuple[str, str] | None = None
        self._templates = Environment(
            loader=PackageLoader("sandbox.pages"),
            autoescape=select_autoescape(default=True),
            undefined=StrictUndefined,
            trim_blocks=True,
            lstrip_blocks=True,
        )
        self._pages: dict[str, Callable[[Request], Answer]] = {
            "/": self._home,
            "/docs": self._docs,
            "/openapi.json": self._openapi,
        }

    def knows(self, path: str) -> bool:
        if path in self._pages or path.startswith("/static/"):
            return True
        return self._control and (path == "/act" or path.startswith(PEOPLE))

    def answer(self, request: Request) -> Answer:
        """The page for a request, or why there is none."""
        if self._control and not is_from_here(request):
            return refusal(403, "", "only this machine's own pages and programs may call this")
        if request.path == "/act":
            return self._act(request) if request.method == "POST" else _only("POST")
        if request.method not in ("GET", "HEAD"):
            return _only("GET, HEAD")
        if request.path.startswith("/static/"):
            return _static(request)
        if request.path.startswith(PEOPLE):
            return self._person(request)
        return self._pages[request.path](request)

    def _page(self, template: str, **values: object) -> Answer:
        said, self._said = self._said, None
        engine = self._engine
        now = engine.catch_up()
        clock = engine.clock
        html = self._templates.get_template(template).render(
            said=said,
            control=self._control,
            now=shown(now),
            clock="the real one"
            if clock.setting.real
            else "running"
            if clock.setting.running
            else "frozen",
            **values,
        )
        answer = html_answer(html)
        return Answer(status=200, headers=(*answer.headers, *SECURITY), body=answer.body)

    # Pages

    def _home(self, request: Request) -> Answer:
        if not self._control:
            return self._page("plain.html")
        params = {key: values[-1] for key, values in parse_qs(request.query).items()}
        engine = self._engine
        now = engine.catch_up()
        state = engine.state
        return self._page(
            "home.html",
            address=f"http://{request.header(b'host')}",
            tokens=[(p.name, p.tokens) for p in state.providers.values()],
            people=views.people_page(
                state,
                search=params.get("search", ""),
                number=leading_integer(params.get("page", "1")),
                today=london_day(now),
            ),
            statements=views.statements(state, at_most=STATEMENTS_SHOWN),
            limits=self._limits(),
            arrivals=[arrival.as_json() for arrival in engine.log.newest(ARRIVALS_SHOWN)],
            kept=engine.log.kept,
            dropped=len(engine.events.dropped),
            pending=len(engine.events.pending),
        )

    def _limits(self) -> list[dict[str, object]]:
        engine = self._engine
        now = engine.clock.now()
        limit = engine.limiter.settings.limit
        return [
            {
                "ref": provider.ref,
                "name": provider.name,
                "count": max(
                    (engine.limiter.counted(f"Bearer {t}", now).count for t in provider.tokens),
                    default=0,
                ),
                "limit": limit,
            }
            for provider in engine.state.providers.values()
        ]

    def _person(self, request: Request) -> Answer:
        state = self._engine.state
        now = self._engine.catch_up()
        person = state.people.get(unquote(request.path[len(PEOPLE) :]))
        if person is None:
            return html_status(404)
        return self._page(
            "person.html",
            person=views.person_view(state, person, london_day(now)),
            declarations=views.declarations_of(state, person.ref),
            mentors=views.mentors(state, at_most=MENTORS_OFFERED),
            today=london_day(now).isoformat(),
        )

    def _docs(self, request: Request) -> Answer:
        groups: dict[str, list[object]] = {}
        for operation in OPERATIONS:
            body = operation.example_body
            told = json.dumps(body, indent=2) if body else ""
            groups.setdefault(operation.group, []).append((operation, told))
        tokens = [t for p in self._engine.state.providers.values() for t in p.tokens]
        token = tokens[0] if tokens and self._control else ""
        return self._page("docs.html", groups=groups, token=token)

    def _openapi(self, request: Request) -> Answer:
        return json_answer(openapi(f"http://{request.header(b'host') or 'localhost'}"))

    # Acts

    def _act(self, request: Request) -> Answer:
        raw = parse_qs(request.body.decode("utf-8", "replace"), keep_blank_values=True)
        form = {key: values[-1].strip() for key, values in raw.items()}
        act = act_of(form)
        if act is None:
            return html_status(400)
        try:
            now = self._engine.catch_up()
            self._engine.events.post(self._engine.state, list(act.events), now)
            self._said = "done", act.said
        except BadInput as bad:
            self._said = "refused", "; ".join(p.problem for p in bad.problems)
        return Answer(status=303, headers=(("location", act.back), *SECURITY))


def act_of(form: dict[str, str]) -> Act | None:
    """The events a form asks for; None if it is no form of ours."""
    ref = form.get("participant", "")
    back = f"{PEOPLE}{quote(ref, safe='')}"
    match form.get("act"):
        case "rename":
            return _act_on(ref, "participant_renamed", back, full_name=form.get("full_name"))
        case "assign":
            event = {"event": "school_assigns_mentor", "ect": ref, "mentor": form.get("mentor")}
            return Act(events=[event], said="The mentor is assigned.", back=back)
        case "leave":
            role = {"role": form["role"]} if form.get("role") else {}
            return _act_on(ref, "school_reports_leaving", back, on=form.get("on"), **role)
        case "merge":
            event = {"event": "participant_merged", "from": ref, "to": form.get("to")}
            to = quote(form.get("to", ""), safe="")
            return Act(events=[event], said=f"{ref} is merged away.", back=f"{PEOPLE}{to}")
        case "payable" | "paid":
            return _payments(form)
        case "night":
            event = {"event": "nightly_run"}
            return Act(events=[event], said="The night has passed.", back="/")
        case _:
            return None


def _act_on(ref: str, kind: str, back: str, **given: str | None) -> Act:
    event: dict[str, object] = {"event": kind, "participant": ref, **given}
    return Act(events=[event], said=kind.replace("_", " ").capitalize() + ".", back=back)


def _payments(form: dict[str, str]) -> Act:
    statement = form.get("statement", "")
    kinds = ["declaration_payable_run"]
    if form.get("act") == "paid":
        kinds = ["declaration_paid_run", "statement_paid"]
    events = [{"event": kind, "statement": statement} for kind in kinds]
    return Act(events=events, said=f"The run on {statement} is done.", back="/#payments")


def _static(request: Request) -> Answer:
    name = request.path.removeprefix("/static/")
    kind = STATIC.get(name)
    if kind is None:
        return not_routed(request)
    body = files("sandbox.pages").joinpath("static", name).read_bytes()
    headers = (("content-type", f"{kind}; charset=utf-8"), ("cache-control", "max-age=60"))
    return Answer(status=200, headers=headers, body=body)


def _only(methods: str) -> Answer:
    answer = html_status(405)
    return Answer(status=405, headers=(*answer.headers, ("allow", methods)), body=answer.body)
