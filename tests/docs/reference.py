"""Writes `docs/reference/` and `.env.example` from the code itself.

One idea: what the code can tell is taken from it; what only a person can say is a sentence here,
keyed by the thing it explains, so that a new thing without a sentence stops the build.

    python -m tests.docs.reference
"""

import json
import re
import types
import typing
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, Literal, cast

from pydantic.fields import FieldInfo
from sqlalchemy import CheckConstraint, Column, ForeignKeyConstraint, Table
from sqlalchemy.dialects import postgresql

from console import gauges, runbook
from gateway import answers
from gateway.contracts import guidance, lead_provider_v3
from pillarbox.__main__ import COMMANDS, loaded
from pillarbox.usage import example
from runtime import metrics
from schema.all_tables import metadata
from schema.bulk import BulkState, Result
from schema.contract import Contract, Operation, Rule
from schema.events import EVENTS, Event
from schema.outcomes import OutcomeName
from schema.states import (
    DEAD_LETTERS,
    DOUBTS,
    HOLDS,
    WAITS,
    Closed,
    EntryState,
    GateReason,
    Reason,
    RecordState,
)
from tests.docs import outcomes as outcome_table

ROOT = Path(__file__).parents[2]
FOLDER = ROOT / "docs" / "reference"

MADE = "<!-- Made by `python -m tests.docs.reference`; a test keeps it so. -->"


def pages() -> dict[Path, str]:
    """Give every page this module makes, by its path."""
    made = {
        "commands.md": commands(),
        "settings.md": settings(),
        "events.md": events(),
        "outcomes.md": outcomes(),
        "reasons.md": reasons(),
        "tables.md": tables(),
        "log-events.md": log_events(),
        "metrics.md": metrics_page(),
    }
    found = {FOLDER / name: _page(text) for name, text in made.items()}
    found[ROOT / ".env.example"] = environment_example()
    found[ROOT / "docs" / "how-to" / "runbook.md"] = _page(runbook.document())
    return found


def _page(text: str) -> str:
    title, _, rest = text.strip().partition("\n")
    return f"{title}\n\n{MADE}\n{rest}\n"


def _table(head: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    lines = [head, ["---"] * len(head), *rows]
    return "\n".join("| " + " | ".join(_cell(cell) for cell in line) + " |" for line in lines)


def _cell(text: str) -> str:
    return " ".join(text.split()).replace("|", "\\|")


# commands

EXIT_CODES = (
    ("0", "done"),
    ("1", "something unexpected; the traceback is on stderr"),
    ("2", "usage: an argument, a variable or an event is wrong; the sentence names it"),
    (
        "3",
        "a dependency cannot be reached: database, Redis, the API's address; or the database is not at this "
        "version",
    ),
    ("4", "nothing matched"),
    ("5", "partly done: some lines of a file were faulty"),
    (
        "6",
        "attention needed: `check --role`, `status --check`, a demo that did not come to rest; or another number was there than `--expect` said, and nothing was done",
    ),
    ("130", "Ctrl-C"),
)


def commands() -> str:
    """Every command with its arguments and options."""
    parts = [
        "# Commands",
        "Every reading command takes `--json`: one object or list on stdout, stable keys, times in "
        "UTC. Logs go to stderr. Times in tables for people are London's.",
        "## Exit codes",
        _table(("Code", "Meaning"), EXIT_CODES),
    ]
    for path, command in leaves():
        parts += [f"## {path}", _command(path, command)]
    return "\n\n".join(parts)


def leaves() -> list[tuple[str, Any]]:
    """Give every command, with the words that call it."""
    return list(_leaves({name: loaded(name) for name in COMMANDS}, "pillarbox"))


def _leaves(commands: Mapping[str, Any], path: str) -> Iterator[tuple[str, Any]]:
    for name, command in commands.items():
        if getattr(command, "invoke_without_command", False):
            yield f"{path} {name}", command
        if hasattr(command, "commands"):
            yield from _leaves(command.commands, f"{path} {name}")
        else:
            yield f"{path} {name}", command


def parameters(command: Any) -> tuple[list[Any], list[Any]]:
    """Give a command's arguments and its options."""
    named = [one for one in command.params if one.name != "help"]
    arguments = [one for one in named if one.param_type_name == "argument"]
    return arguments, [one for one in named if one not in arguments]


def _command(path: str, command: Any) -> str:
    arguments, options = parameters(command)
    words = [path, *(_metavar(one) for one in arguments), *(["[OPTIONS]"] if options else [])]
    shown = example(command.help) or ""
    says = " ".join((command.help or "").replace(f"Example: {shown}", "").split())
    parts = [f"```\n{' '.join(words)}\n```", says, f"For example `{shown}`."]
    rows = [(f"`{_metavar(one)}`", "", one.help or "") for one in arguments]
    rows += [(_flags(one), _default(one), one.help or "") for one in options]
    if rows:
        parts.append(_table(("Name", "Default", "Meaning"), rows))
    return "\n\n".join(parts)


def _metavar(one: Any) -> str:
    return str(one.metavar or one.name.upper())


def _flags(one: Any) -> str:
    return ", ".join(f"`{flag}`" for flag in one.opts)


def _default(one: Any) -> str:
    if one.is_flag or not isinstance(one.default, str | int | float):
        return ""
    return f"`{one.default}`"


# settings

SETTINGS: Sequence[tuple[str, str, str]] = (
    ("DATABASE_URL", "sqlite:///.pillarbox/pillarbox.db",
     "The database. `postgresql://user@host/name` in production; `postgres://` is understood."),
    ("REDIS_URL", "",
     "Redis, such as `redis://host:6379/0`. Without it a stand-in inside the process, good for one process only."),
    ("PILLARBOX_API_URL", "",
     "Base URL of the API; https, or http on this computer. It ends in `/api/v3`."),
    ("PILLARBOX_API_TOKEN", "", "The API's key. Never shown, never logged."),
    ("PILLARBOX_API_TOKEN_FILE", "",
     "A file that holds the key instead; read for each call, so a rotated key needs no restart."),
    ("PILLARBOX_CONTRACT", "lead_provider_v3", "Which API it is: `lead_provider_v3` or `guidance`."),
    ("PILLARBOX_QUOTA", "1000/300", "Calls per window of the key: calls/seconds."),
    ("PILLARBOX_KEY_NAME", "default",
     "What the key is called. The quota is counted on this name, so a rotated key keeps its count."),
    ("PILLARBOX_ADDRESS", "",
     "Name of the source address, where several keys share one. Without it no address is counted."),
    ("PILLARBOX_ADDRESS_QUOTA", "1500/300", "Calls per window of that address."),
    ("PILLARBOX_SETTLE", "30s", "How long a burst of edits of one record may go on before it is sent."),
    ("PILLARBOX_SEND_BY", "10s",
     "How long after the mark \"about to send\" bytes may still leave."),
    ("PILLARBOX_DEADLINE", "30s", "How long one call may take in all."),
    ("PILLARBOX_LEASE", "2m",
     "How long a worker holds a record. Must be longer than SEND_BY + DEADLINE + 30 s."),
    ("PILLARBOX_QUARANTINE", "2m",
     "How long after a call without an answer nobody looks: it may still land."),
    ("PILLARBOX_KEEP_ENTRIES", "400d",
     "How long closed entries, and what was called for them, are kept; 7d at least. An `event_id` is "
     "known again for as long."),
    ("PILLARBOX_KEEP_BODIES", "90d",
     "How long the bodies of requests and answers are kept; 1d at least. Those of a record that waits "
     "for a person, or is in doubt, stay."),
    ("PILLARBOX_KEEP_FEED", "90d",
     "How long news of the feed are kept once every handler has read them; 7d at least. Who reads over "
     "HTTP or in SQL and comes later begins again."),
    ("PILLARBOX_KEEP_UNREAD", "400d",
     "How long news are kept that a handler has not read. One that stands still for longer is held, and "
     "begins again."),
    ("PILLARBOX_KEEP_GONE", "400d",
     "How long the mirror keeps what is gone there, and what was held and is read again; 7d at least."),
    ("PILLARBOX_SUBSCRIBERS", "",
     "Modules with handlers of the feed, with commas between, such as `our_app.handlers`. The poller "
     "imports them."),
    ("PILLARBOX_BREAKER", "10/60",
     "After so many calls in a row that failed within that many seconds, a destination is left alone for 30 s to 5 min: failures/seconds."),
    ("PILLARBOX_OFFPEAK", "22:00-06:00",
     "Hours in London for what is large: a full sync that missed its own hours is made up for in these."),
    ("PILLARBOX_POLL_INTERVAL", "1h",
     "How often each collection is polled at least. The moment within it is drawn anew each time."),
    ("PILLARBOX_POLL_START", "",
     "From when to read what was never read: `everything`, or an instant such as `2025-09-01T00:00:00Z`. "
     "Without it nothing is polled until `pillarbox polls run` says so."),
    ("PILLARBOX_POLL_PAGE_SIZE", "100", "Rows to a page of a poll, at most what the API gives."),
    ("PILLARBOX_POLL_GAP", "7d",
     "After a longer time without a complete poll everything is read instead of what changed."),
    ("PILLARBOX_POLL_RUNTIME", "10m",
     "How long a run may go on at a time; it stops at a page and goes on in its next turn."),
    ("PILLARBOX_FULL_SYNC", "tue 22:00-06:00, sat 22:00-06:00",
     "When everything is read, where nothing is booked with `pillarbox polls book`: days and hours in "
     "London."),
    ("PILLARBOX_FULL_SYNC_PAGE_SIZE", "250",
     "Rows to a page of a full sync, at most what the API gives. It reads there and back, so 60,000 rows "
     "take 483 requests; at 100 to a page they take 1,203."),
    ("PILLARBOX_UNCONFIRMED", "14d",
     "How long an expected value may stay away before a person is to ask for it."),
    ("PILLARBOX_DESTINATIONS", "",
     "A TOML file of several destinations; then the variables of the one are not read."),
    ("PILLARBOX_NAMESPACE", "pillarbox", "Prefix of every key in Redis, where it is shared."),
    ("PORT", "4020", "Port of the console."),
    ("PILLARBOX_CONSOLE_HOST", "127.0.0.1",
     "Address the console listens at. Another than this machine's own needs accounts, names and TLS."),
    ("PILLARBOX_CONSOLE_NAMES", "",
     "Host names the console answers to besides this machine's own, such as `desk.example.org`; several with commas."),
    ("PILLARBOX_CONSOLE_TLS", "",
     "Who ends TLS, where it is not the console itself: `proxy`, or `none` for plain HTTP over a network you trust."),
    ("PILLARBOX_CONSOLE_TLS_CERTIFICATE", "", "File of the console's certificate with its chain (PEM)."),
    ("PILLARBOX_CONSOLE_TLS_KEY", "", "File of its private key (PEM)."),
    ("PILLARBOX_CONSOLE_USER_HEADER", "",
     "Header in which a proxy names the person it has let in, such as `X-Forwarded-User`. The name must have an account."),
    ("PILLARBOX_CONSOLE_PROXIES", "127.0.0.1, ::1", "Addresses from which that header is believed."),
    ("PILLARBOX_CONSOLE_IDLE", "30m", "A session that was not used for so long is over."),
    ("PILLARBOX_CONSOLE_SESSION", "10h", "A session that began so long ago is over."),
    ("LOG_FORMAT", "auto", "`json`, `text`, or `auto`: text on a terminal, else JSON."),
    ("LOG_LEVEL", "INFO", "`DEBUG`, `INFO`, `WARNING` or `ERROR`."),
)  # fmt: skip
"""Name, default, meaning."""


def settings() -> str:
    """Every variable."""
    rows = [
        (f"`{name}`", f"`{default}`" if default else "", told) for name, default, told in SETTINGS
    ]
    return "\n\n".join(
        (
            "# Settings",
            "All settings are environment variables, read once when a process starts. Durations read "
            "`30s`, `5m`, `2h`. An unknown name that begins with `PILLARBOX_` is refused, with the "
            "nearest right one. `pillarbox config show` prints what was understood, without keys.",
            _table(("Variable", "Default", "Meaning"), rows),
            "## Several destinations",
            "`PILLARBOX_DESTINATIONS` names a TOML file with one table per destination. Every value "
            "is text. `url` and `contract` are needed, and one of `token_variable` (the name of a "
            "variable that holds the key) and `token_file`. `key_name` is the table's name unless "
            "given; `quota`, `address` and `address_quota` are as above.",
            "```toml\n"
            "[destinations.harbour]\n"
            'contract = "lead_provider_v3"\n'
            'url = "https://api.example/api/v3"\n'
            'token_variable = "HARBOUR_TOKEN"\n'
            'address = "office"\n'
            "\n"
            "[destinations.northmoor]\n"
            'contract = "lead_provider_v3"\n'
            'url = "https://api.example/api/v3"\n'
            'token_file = "/run/secrets/northmoor"\n'
            'quota = "1000/300"\n'
            'address = "office"\n'
            "```",
        )
    )


def environment_example() -> str:
    """Every variable with its default, commented out."""
    lines = [
        "# Every variable of Pillarbox with its default. `pillarbox config show` says what is in force."
    ]
    for name, default, told in SETTINGS:
        plain = told.replace("`", "")
        lines += ["", f"# {plain}", f"#{name}={default}"]
    return "\n".join(lines) + "\n"


# events

_ID = "51a0f0e7-038d-54ff-9b88-0a24f263e320"
EXAMPLES: Mapping[str, Mapping[str, Any]] = {
    "participant_linked": {"participant_id": _ID, "course_identifier": "ecf-induction"},
    "participant_deferred": {"reason": "parental-leave"},
    "participant_resumed": {},
    "participant_withdrawn": {"reason": "left-teaching-profession"},
    "schedule_changed": {"schedule_identifier": "ecf-extended-september", "cohort": "2025"},
    "mentor_changed": {"mentor_id": _ID},
    "declaration_made": {
        "declaration_type": "started",
        "declaration_date": "2025-09-20T09:00:00Z",
        "evidence_held": "training-event-attended",
    },
    "declaration_voided": {"declaration_type": "started"},
    "partnership_formed": {"cohort": "2025", "school_id": _ID, "delivery_partner_id": _ID},
    "partnership_changed": {"delivery_partner_id": _ID},
    "record_snapshot": {"kind": "enrolment", "state": {"training_status": "deferred"}},
}
ENVELOPE: Mapping[str, str] = {
    "event": "its name, in the past tense",
    "source_id": "the local id of the enrolment (one person in one role), or of the partnership",
    "source": "the local system that says it",
    "event_id": "that system's own reference; the same one twice is one entry, with other content it is refused",
    "version": "a number that grows with each change of the thing; decides order within one source",
    "happened_at": "when it happened; an event that happened earlier than the one that set a field is superseded",
    "seen": "the position of the feed the system had read; kept, and not used yet",
    "destination": "which destination it is for",
    "actor": "who did it, for the record's story",
}


def events() -> str:
    """Every event with its fields."""
    rows = [
        (f"`{name}`", _required(Event.model_fields[name]), told) for name, told in ENVELOPE.items()
    ]
    parts = [
        "# Events",
        "One JSON object a line. Fields that no event has, values outside a list and dates without a "
        "zone are refused, with the field named.",
        "## What every event may carry",
        _table(("Field", "Needed", "Meaning"), rows),
    ]
    for name, model in EVENTS.items():
        parts += [f"## {name}", _event(name, model)]
    return "\n\n".join(parts)


def example_of(name: str) -> dict[str, Any]:
    """Give an event as a line would hold it."""
    source_id = "P-7" if name.startswith("partnership") else "E-1042"
    return {"event": name, "source_id": source_id, **EXAMPLES[name]}


def _event(name: str, model: type[Event]) -> str:
    rows = [
        (f"`{field}`", _required(told), _values(told))
        for field, told in model.model_fields.items()
        if field not in ENVELOPE
    ]
    told = " ".join((model.__doc__ or "").split())
    line = json.dumps(example_of(name), ensure_ascii=False)
    fields = _table(("Field", "Needed", "Values"), rows) if rows else "No fields of its own."
    return f"{told}\n\n{fields}\n\n```json\n{line}\n```"


def _required(told: FieldInfo) -> str:
    if told.is_required():
        return "yes"
    return f"no (`{told.default}`)" if isinstance(told.default, str) else "no"


def _values(told: FieldInfo) -> str:
    choices = list(_choices(told.annotation))
    if choices:
        return ", ".join(f"`{choice}`" for choice in choices)
    shown = str(told.annotation)
    if "datetime" in shown:
        return "an instant with a zone, such as `2025-09-20T09:00:00Z`"
    if "dict" in shown:
        return "a JSON object"
    if any(getattr(one, "pattern", None) for one in told.metadata) or "pattern=" in shown:
        return "a year such as `2025`"
    return "text, 1 to 200 characters, none of them a control character"


def _choices(annotation: Any) -> Iterator[str]:
    if typing.get_origin(annotation) is Literal:
        yield from typing.get_args(annotation)
    if typing.get_origin(annotation) in (typing.Union, types.UnionType):
        for one in typing.get_args(annotation):
            yield from _choices(one)


# outcomes

RULES: Mapping[OutcomeName, tuple[str, str]] = {
    OutcomeName.DELIVERED: (
        "2xx with a readable answer",
        "What was answered is now accepted; the entries behind it close. If a pending field still "
        "differs, the record is due again.",
    ),
    OutcomeName.ALREADY_THERE: (
        "a refusal that says it was so before",
        "Looked up at once; what is read is accepted, and planned from again. The same request "
        "answered so twice is a conflict.",
    ),
    OutcomeName.THROTTLED: (
        "429",
        "Not executed. The gate of the key shuts for everybody until `Retry-After`, else the next "
        "multiple of the window. Costs no try.",
    ),
    OutcomeName.TRANSIENT: (
        "not executed for sure, or only a read that failed",
        "A try. Again after 1 to 2 s, doubling to 60 s. After 10 tries and 24 hours a dead letter, "
        "`exhausted`.",
    ),
    OutcomeName.IN_DOUBT: (
        "it may have been executed",
        "In doubt: nothing else is sent for the record. It is looked up, after the quarantine where "
        "no answer came, and compared with what was to be. A look that began earlier may say done, "
        "never not done. A create is repeated once. Without a look-up a person must say.",
    ),
    OutcomeName.LATER: (
        'a "try again tomorrow" rule',
        "Snoozed until just after midnight in London, by the server's clock. Costs no try.",
    ),
    OutcomeName.REFUSED: (
        "any other 4xx",
        "A dead letter at once; this request is locked, with its entries and what was said to it. "
        "`data`: only other content is sent, or the same on a named person's word. `state`: also "
        "again when what is known of it or its kin changes. What does not depend on it goes on. A "
        "404 on a known id first asks whom it was merged into, and follows.",
    ),
    OutcomeName.INVALID_HERE: (
        "our own validation, before any call",
        "A dead letter, with the field named. No call was made.",
    ),
    OutcomeName.KEY_REFUSED: (
        "401, 403, or a key that cannot be sent",
        "The gate shuts until a person opens it (`pillarbox quota resume`). Records keep their tries.",
    ),
    OutcomeName.CONFLICT: (
        "both sides changed the same field",
        "A dead letter with base, ours and theirs; the other fields of the record go on. A newer "
        "event about that field, or a person, resolves it.",
    ),
}


def outcomes() -> str:
    """What an answer means, and what becomes of the record."""
    answered = [line for line in (answers.__doc__ or "").splitlines() if line.startswith("|")]
    rules = [(f"`{name}`", when, then) for name, (when, then) in _in_order(OutcomeName, RULES)]
    contract = lead_provider_v3.CONTRACT
    write, read = outcome_table.writes(contract)[0], outcome_table.reads(contract)[0]
    becomes = [
        (
            name,
            outcome_table.came(contract, read, reply).words(),
            outcome_table.came(contract, write, reply).words(),
        )
        for name, reply in outcome_table.ANSWERS.items()
    ]
    parts = [
        "# Outcomes",
        "An answer becomes an outcome, and an outcome has one rule.",
        "## From answer to outcome",
        "\n".join(answered),
        "## From outcome to record",
        _table(("Outcome", "When", "What becomes of the record"), rules),
        "## From answer to record",
        "Worked out by the code, for a record with one wish; the same for every operation. A read "
        "that settles a doubt never ends it by failing: the record stays in doubt.",
        _table(("What came back", "On a read", "On a write"), becomes),
    ]
    for one in (contract, guidance.CONTRACT):
        parts += [f"## Reads of `{one.name}`", _reads(one), *_writes(one)]
    return "\n\n".join(parts)


def _reads(contract: Contract) -> str:
    rows = [
        (f"`{one.name}`", f"`{one.method} {one.path}`", one.natural_key, one.source)
        for one in outcome_table.reads(contract)
    ]
    if not rows:
        return "None: the texts name nothing by which anything could be looked up."
    return _table(("Operation", "Request", "Finds", "Source"), rows)


def _writes(contract: Contract) -> Iterator[str]:
    yield f"## Writes of `{contract.name}`"
    yield (
        "A refusal is recognised by its title and the beginning of its detail. `already`: look, then "
        "believe it. `later`: not today. `data` and `state`: whose fault it is, see above. "
        "`missing`: asked for a merge first. `passing`: tried again. The sources are sections of the "
        "API's description, or the guidance's own words."
    )
    everywhere = [one for one in contract.rules if len(one.operations) == len(contract.operations)]
    if everywhere:
        some = outcome_table.writes(contract)[0]
        yield "### Refusals of every operation"
        yield _refusals(contract, some, everywhere)
    for one in outcome_table.writes(contract):
        yield f"### `{one.name}`: `{one.method} {one.path}`"
        looked_up = f"`{one.look_up}`" if one.look_up else "nothing: a person must look there"
        yield (
            f"- Recognised by: {one.natural_key}\n- A doubt is looked up by: {looked_up}\n"
            f"- The same request again: {one.again}\n- Source: {one.source}"
        )
        own = [rule for rule in contract.rules if one.name in rule.operations]
        own = [rule for rule in own if rule not in everywhere]
        yield _refusals(contract, one, own) if own else "No refusal of its own is known."


def _refusals(contract: Contract, operation: Operation, rules: Sequence[Rule]) -> str:
    return _table(
        ("Title", "Detail begins", "Meaning", "What becomes of it", "Advice", "Source"),
        [
            (
                f"`{one.title}`",
                one.detail or "(any)",
                f"`{one.meaning}`",
                outcome_table.refused(contract, operation, one).words(),
                one.advice,
                one.source,
            )
            for one in rules
        ],
    )


def _in_order(kind: Any, told: Mapping[Any, Any]) -> list[tuple[Any, Any]]:
    return [(one, told[one]) for one in kind]


# states and reasons

ENTRY_STATES: Mapping[EntryState, str] = {
    EntryState.NEW: "in the outbox, not looked at yet",
    EntryState.FOLDED: "part of what its record wants; waits with it",
    EntryState.CLOSED: "done with, for the reason below",
}
CLOSED: Mapping[Closed, str] = {
    Closed.DELIVERED: "what it asked for was sent and accepted",
    Closed.UNCHANGED: "what it asked for was so already; nothing was sent",
    Closed.SUPERSEDED: "a newer event took its place before it was sent",
    Closed.NET_ZERO: "it was undone before it was sent, or undid another",
    Closed.NOTED: "it asked for nothing that is sent: a link, or a value that the other side will set",
    Closed.CONFIRMED: "the other side has the expected value already",
    Closed.DISCARDED: "a person decided against it; no command does this yet",
}
RECORD_STATES: Mapping[RecordState, str] = {
    RecordState.IN_STEP: "nothing pending",
    RecordState.WAITING: "something pending; due at a time, or woken by another record",
    RecordState.DISPATCHED: "its message is on the queue",
    RecordState.TAKEN: "a worker has it",
    RecordState.IN_DOUBT: "a call may or may not have taken effect; it is looked up before anything else",
    RecordState.HELD: "could go on, once a person or a newer event says how",
    RecordState.DEAD: "a dead letter: only new content or a person heals it",
}
REASONS: Mapping[Reason, str] = {
    Reason.SETTLING: "waits a moment for more edits",
    Reason.WAITING_FOR: "waits for another record, or for an event about itself",
    Reason.BACKOFF: "a try failed; waits before the next",
    Reason.SNOOZED: "the API said not today",
    Reason.QUOTA: "no room in the quota",
    Reason.GATE: "the gate of the key is shut",
    Reason.LOOK_FIRST: "is about to be looked up",
    Reason.SHADOW: "would be sent, and its destination is in shadow until `pillarbox destination go-live`",
    Reason.REBOUND: "would be sent, and its destination was bound anew: everything is looked up first",
    Reason.VOID_FIRST: "another claim stands there; it must be voided first, and nothing is voided unasked",
    Reason.SAME_PERSON_TWICE: "another local record is linked to the same remote thing in the same role",
    Reason.RELINKED: "a new remote id for a record that was delivered already",
    Reason.DOES_NOT_SETTLE: "calls are answered, and the record still differs",
    Reason.NO_ANSWER: "a write had no answer",
    Reason.UNCLEAR_ANSWER: "a write was answered by something that says nothing",
    Reason.LEASE_RAN_OUT: "a worker was gone after its mark, before the answer was written down",
    Reason.REFUSED: "the API refused it",
    Reason.EXHAUSTED: "too many tries over too long a time, or workers that died with it",
    Reason.INVALID_HERE: "stopped here, before any call",
    Reason.CONFLICT: "both sides changed the same field",
    Reason.UNCONFIRMED: "an expected value did not come in time",
}
GATES: Mapping[GateReason, str] = {
    GateReason.THROTTLED: "the API answered 429",
    GateReason.KEY_REFUSED: "the API refuses the key",
    GateReason.BREAKER: "too many calls in a row failed",
    GateReason.PAUSED: "a person stopped it",
}


BULK_STATES = {
    BulkState.TRYING: "one record goes first; the others stand by",
    BulkState.TRIED: "what came of the one is known; a person says whether the others follow",
    BulkState.RUNNING: "its records go on their way, a hundred at a time, off-peak if they are many",
    BulkState.CANCELLED: "no more records go; what was left can be resumed",
    BulkState.DONE: "every record had its turn and came to its end",
}

RESULTS = {
    Result.SENT: "a call would be made; in a report, the API accepted it",
    Result.WAITS: "it goes on by itself later: tomorrow, after another record, when writes are allowed",
    Result.ASIDE: "it stays before a person, or came back there; without a call where it is locked",
    Result.NOTHING: "there is nothing to send for it",
    Result.NEWER: "a newer event of it has come in, and decides",
    Result.WENT_ON: "it no longer waited for a person when its turn came",
    Result.DISCARDED: "what was wanted of it is no longer asked for",
}


def reasons() -> str:
    """States and reasons, with a sentence each."""

    def listed(kind: Any, told: Mapping[Any, str]) -> str:
        return _table(
            ("Name", "Meaning"), [(f"`{one}`", sentence) for one, sentence in _in_order(kind, told)]
        )

    def some(chosen: frozenset[Reason]) -> str:
        return _table(
            ("Name", "Meaning"), [(f"`{one}`", REASONS[one]) for one in Reason if one in chosen]
        )

    return "\n\n".join(
        (
            "# States and reasons",
            "How they follow each other is drawn in [states](../explanation/states.md).",
            "## Entry",
            listed(EntryState, ENTRY_STATES),
            "## Why an entry is closed",
            listed(Closed, CLOSED),
            "## Record",
            listed(RecordState, RECORD_STATES),
            "## Why a record waits",
            some(WAITS),
            "## Why a record is in doubt",
            some(DOUBTS),
            "## Why a record is held",
            some(HOLDS),
            "## Why a record is a dead letter",
            some(DEAD_LETTERS),
            "## Why the gate is shut",
            listed(GateReason, GATES),
            "## Bulk",
            listed(BulkState, BULK_STATES),
            "## What becomes of a record of a bulk",
            listed(Result, RESULTS),
        )
    )


# tables

TABLES: Mapping[str, str] = {
    "outbox_entry": "The outbox: one row per event, inserted by a producer in its own transaction.",
    "record": "One row per thing kept in step: what is wanted, what is accepted, where it stands.",
    "mapping": "Which record is which remote thing.",
    "attempt": "Every call for a record, committed before the call is made.",
    "gate": "What stops calls, to a destination or with a key: a row per reason.",
    "binding": "To which destination this database belongs.",
    "process": "A heartbeat per process.",
    "audit": "What people did, in the transaction that did it.",
    "letter_group": "What people say of a group of dead letters: whose it is, what they found out.",
    "letter": "What people say of one dead letter.",
    "discarded": "What a person took off a record, so that it can be asked for again.",
    "tally": "How many entries closed and calls ended in each minute, hour and day.",
    "tally_note": "Entries that closed and are in no tally yet: empty every few seconds.",
    "tally_end": "Up to when calls were counted.",
    "checkpoint": "Per collection: when the last complete run began, and who is reading it now.",
    "booking": "Hours of London agreed for full syncs, such as `tue 22:00-06:00`, and with whom: `pillarbox polls book` and `unbook`. `source` is empty for hours that hold for every source without its own. Nothing booked, those of `PILLARBOX_FULL_SYNC` hold.",
    "poll_run": "One reading of a collection: from where, how far, what came of each row.",
    "remote_record": "The mirror: each remote thing as it was last read.",
    "remote_word": "What a remote thing can be found by: words of its name, numbers, addresses.",
    "alias": "Ids that were merged into others there.",
    "held_row": "A row that could not be read or applied, and why; none of its content.",
    "feed": "What changed there, and what became of local events, in order, for local systems to read.",
    "feed_end": "From where to where each feed is kept.",
    "subscriber": "How far each handler of the feed is.",
    "request_log": "Every read, committed before it is made.",
    "drift": "What a full sync found different, until somebody says what is right.",
    "console_account": "A person who may use the console. Without a password only the proxy in front can name them.",
    "console_session": "A person who is signed in: since when, when last seen, whose names were revealed until when.",
    "console_token": "A program that may use the console, by a token that was shown once.",
    "console_throttle": "Failed sign-ins in a row, by name and by address, as hashes.",
    "bulk": "Many records replayed on one person's word: who, why, how they were chosen, how far it is.",
    "bulk_item": "What became of each record of a bulk.",
}


def tables() -> str:
    """Every table with columns, constraints and indexes, as PostgreSQL has them."""
    parts = [
        "# Tables",
        "As PostgreSQL has them. On SQLite ids are INTEGER, instants are text of fixed width in UTC, "
        "documents are JSON text. Only `outbox_entry` is written from outside; see "
        "[emit from SQL](../how-to/emit-from-sql.md).",
    ]
    for table in metadata.sorted_tables:
        parts += [f"## {table.name}", TABLES[table.name], _columns(table), _rules_of(table)]
    return "\n\n".join(part for part in parts if part)


def _columns(table: Table) -> str:
    rows = [
        (
            f"`{column.name}`",
            column.type.compile(postgresql.dialect()),
            "" if column.nullable else "NOT NULL",
            _server_default(column),
        )
        for column in table.columns
    ]
    return _table(("Column", "Type", "", "Default"), rows)


def _server_default(column: Column[Any]) -> str:
    default = cast(Any, column.server_default)
    if default is None:
        return ""
    text = str(default.arg)
    return "`clock_timestamp()`" if "now" in text.lower() or "clock" in text else f"`{text!s}`"


def _rules_of(table: Table) -> str:
    lines = [
        f"- check `{one.name}`: `{' '.join(str(one.sqltext).split())}`"
        for one in sorted(table.constraints, key=lambda one: str(one.name))
        if isinstance(one, CheckConstraint) and _for_postgresql(one)
    ]
    lines += [
        f"- foreign key: {', '.join(f'`{key.parent.name}` to `{key.target_fullname}`' for key in one.elements)}"
        for one in sorted(table.constraints, key=lambda one: str(one.name))
        if isinstance(one, ForeignKeyConstraint)
    ]
    for index in sorted(table.indexes, key=lambda one: str(one.name)):
        where = index.dialect_options["postgresql"]["where"]
        unique = "unique index" if index.unique else "index"
        columns = ", ".join(column.name for column in index.columns)
        lines.append(
            f"- {unique} `{index.name}` ({columns})"
            + (f" where `{where}`" if where is not None else "")
        )
    return "\n".join(lines)


def _for_postgresql(one: CheckConstraint) -> bool:
    condition = getattr(one, "_ddl_if", None)
    return condition is None or condition.dialect in (None, "postgresql")


# log events

LOG_EVENTS: Mapping[str, tuple[str, str]] = {
    "attempt_settled": ("info", "a call was answered, and what came of it is written down"),
    "record_put_aside": ("info", "a record is held or dead without a call"),
    "bulk_ended": ("info", "every record of a bulk came to its end; how many, by what became of them"),
    "bulk_round_failed": ("error", "a step of a bulk failed; the relay goes on, the next round repeats it"),
    "record_rescued": ("info", "a record's ring or lease ran out; it is due again, or in doubt"),
    "relay_ready": ("info", "a relay began"),
    "relay_stopped": ("info", "a relay ended in order"),
    "worker_ready": ("info", "a worker began"),
    "worker_stopped": ("info", "a worker ended in order"),
    "writes_held": ("warning", "a process began, and no write leaves: the destination is in shadow or was bound anew"),
    "bound_anew": ("error", "the database was bound anew since this process began; it makes no call and ends"),
    "destination_known_again": ("info", "after a rebind everything has been looked up; writes may leave, unless in shadow"),
    "gate_shut": ("warning", "an answer, or many failures, stopped calls; or stopped them for longer"),
    "gate_probed": ("info", "a gate's time is over; this record's call tries it for all others"),
    "gate_opened": ("info", "the probe passed; calls go on"),
    "late_settle": ("warning", "an answer came when another already held the record; only the attempt was written"),
    "redis_unfit": ("warning", "Redis answers, but it may drop what it keeps, is full, or takes no writes"),
    "subscribers_ready": ("info", "a poller has imported the handlers of the feed, and calls them"),
    "handler_failed": ("warning", "a handler of the feed raised; it is told the same again later, and what comes after that waits"),
    "handler_held": ("error", "a handler of the feed failed too often, or what it had not read is not kept any more; a person lets it go on"),
    "feed_not_watched": ("warning", "the console could not look whether the feed has moved on; readers that wait go on waiting"),
    "telling_failed": ("error", "a handler could not be called; it is called again when its lease ends"),
    "rings_not_delivered": ("warning", "Redis did not take the messages; they are rung again"),
    "fold_failed": ("error", "entries could not be folded together; they are folded one by one, and the one at fault is put in front of a person"),
    "delivery_failed": ("error", "a delivery ended with an error; the record is taken up again when its lease ends"),
    "quota_not_prepared": ("warning", "a starting worker could not ask the quota; the first call asks again"),
    "slot_not_reported": ("warning", "Redis could not be told of an answer; the slot counts as long as it can"),
    "quota_log_lost": ("warning", "the log of calls was lost; it is filled again from the database, no calls meanwhile"),
    "heartbeat_failed": ("warning", "a sign of life could not be written"),
    "heartbeat_not_removed": ("warning", "a process ended without taking its row away"),
    "message_unreadable": ("warning", "something in the queue was no message of ours; it was dropped"),
    "process_stands_still": ("error", "a process makes no progress; it ends itself, for the supervisor to restart"),
    "worker_died": ("error", "a worker process of several ended; it is started again"),
    "console_ready": ("info", "the console answers at its address"),
    "console_stopped": ("info", "the console ended in order"),
    "turned_away": ("warning", "the console refused an action; its audit trail has the line, with who and why"),
    "page_failed": ("error", "a page could not be made: the database, or a mistake of ours; nothing was changed"),
    "poller_ready": ("info", "a poller began"),
    "poller_stopped": ("info", "a poller ended in order"),
    "run_complete": ("info", "a reading of a source is complete, with what came of its rows"),
    "run_left": ("info", "a reading stopped at a page, saved; it goes on in its next turn"),
    "read_failed": ("info", "a page could not be had; it is asked for again"),
    "record_told": ("info", "a read changed what is accepted of a record, or settled its doubt"),
    "record_merged": ("info", "a record's remote id was merged into another there; it is linked to that one now"),
    "full_sync_made_up": ("warning", "a full sync missed its hours, or did not end in them; it runs in off-peak hours"),
    "run_lost_its_lease": ("warning", "a reading found that another process reads the source; it stopped"),
    "run_abandoned": ("error", "a reading cannot end: the page ceiling, or a request the API does not understand"),
    "full_sync_braked": ("error", "too much would be gone at once; a person decides (`pillarbox polls full --past-the-brake`)"),
    "page_not_applied": ("error", "a page could not be applied whole; its rows are applied one by one"),
    "row_not_applied": ("error", "one row could not be applied; it is held, the others are applied"),
    "poll_failed": ("error", "a reading ended with an error; it goes on from its last page when its lease ends"),
    "round_failed": ("error", "a round ended with an error; the next one begins after a pause"),
    "swept": ("info", "a sweep of a table has ended: how many rows it deleted, and whose bodies it wiped"),
    "request_failed": ("error", "the sandbox failed at a request"),
}  # fmt: skip


def metrics_page() -> str:
    """Every metric, from where it is declared."""
    head = ("Name", "Kind", "Labels", "Meaning")
    counted = [
        (f"`{one.name}`", one.type, ", ".join(LABELS.get(one.name, ())), one.documentation)
        for one in metrics.REGISTRY.collect()
    ]
    gathered = [
        (
            f"`{one.name}{'_total' if one.counter else ''}`",
            "counter" if one.counter else "gauge",
            ", ".join(one.labels),
            one.help,
        )
        for one in gauges.GAUGES
    ]
    return "\n\n".join(
        (
            "# Metrics",
            "`GET /metrics` of `pillarbox console` gives the numbers of the whole site in Prometheus' text, "
            "from SQL, Redis and the heartbeats, also when every worker is down. `/readyz` says of each part "
            "whether it works (503 when one does not), `/status.json` is what `pillarbox status --json` "
            "prints, and `/healthz` says only that the console answers.",
            _table(head, gathered),
            "## Counted by one process",
            "In numbers without a unit; each begins at nothing with its process. The heartbeat carries "
            "them: `pillarbox status --json` shows them under `progress`, `/metrics` as "
            "`pillarbox_process_progress`.",
            _table(head, counted),
        )
    )


LABELS: Mapping[str, Sequence[str]] = {
    "pillarbox_calls": ("outcome",),
    "pillarbox_gates_shut": ("reason",),
    "pillarbox_gates_holding": ("reason",),
}


def log_events() -> str:
    """Every line that is logged."""
    rows = [(f"`{name}`", level, told) for name, (level, told) in sorted(LOG_EVENTS.items())]
    return "\n\n".join(
        (
            "# Log events",
            "A line is an event's name and fields, on stderr. Payloads, names of people and keys are "
            "never logged.",
            _table(("Event", "Level", "Meaning"), rows),
        )
    )


def plain(text: str) -> str:
    """Give a page's words without its marks, to look for names in."""
    return re.sub(r"[`*|]", " ", text)


def main() -> None:
    """Write every page."""
    FOLDER.mkdir(parents=True, exist_ok=True)
    for path, text in pages().items():
        path.write_text(text, encoding="utf-8")


if __name__ == "__main__":
    main()
