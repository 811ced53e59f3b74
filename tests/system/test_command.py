"""The command: what goes in, what is refused, and JSON with keys that others may rely on."""

import json
import re
import sys
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import bindparam, update

from outbox import entries, gates
from outbox.standing import Gate
from pillarbox.__main__ import main
from runtime.audit import of_subject
from runtime.database import Database
from runtime.processes import Beat, beat
from runtime.settings import KNOWN
from schema.events import (
    DeclarationMade,
    MentorChanged,
    ParticipantDeferred,
)
from schema.outcomes import Blame, Refused
from schema.states import GateReason, RecordState
from schema.tables import outbox_entry
from tests.support.api import a_refusal, lost
from tests.support.builders import OTHER_PERSON, PERSON
from tests.support.command import run
from tests.support.outbox import Outbox

GOOD = [
    {"event": "participant_resumed", "source_id": "E-1"},
    {"event": "participant_deferred", "source_id": "E-2", "reason": "other"},
    {"event": "participant_resumed", "source_id": "E-3"},
]
FAULTY: list[tuple[str, str]] = [
    ("not json", "line"),
    ('{"event": "participant_paused", "source_id": "E-1"}', "event"),
    ('{"event": "participant_deferred", "source_id": "E-1"}', "reason"),
    ('{"event": "participant_resumed", "source_id": "E-1", "destination": "nowhere"}', "destination"),
    ('{"event": "participant_resumed", "source_id": "E-1", "happened_at": "2025-01-01T00:00:00"}', "happened_at"),
    ('{"event": "record_snapshot", "source_id": "E-1", "kind": "enrolment", "state": {"x": 1}}', "state.x"),
]  # fmt: skip


@pytest.fixture
def database(named_database: Database) -> Database:
    """A migrated SQLite file that `DATABASE_URL` names."""
    return named_database


@pytest.fixture
def events(tmp_path: Path) -> Path:
    """A file of three good lines among six faulty ones: 2, 4, 5, 6, 8 and 9."""
    good = [json.dumps(one) for one in GOOD]
    bad = [line for line, _ in FAULTY]
    lines = [good[0], bad[0], good[1], bad[1], bad[2], bad[3], good[2], bad[4], bad[5]]
    file = tmp_path / "events.jsonl"
    file.write_text("\n".join(lines) + "\n")
    return file


def sources(database: Database) -> list[str]:
    with database.reading() as connection:
        return [entry.source_id for entry in entries.list_entries(connection)]


# import


def test_of_a_file_with_faulty_lines_the_good_ones_go_in_and_each_fault_is_named(
    database: Database, events: Path
) -> None:
    ran = run("import", str(events), "--json")

    assert ran.code == 5
    assert {name: ran.json[name] for name in ("lines", "new", "known", "faulty")} == {
        "lines": 9,
        "new": 3,
        "known": 0,
        "faulty": 6,
    }
    assert [(fault["line"], fault["field"]) for fault in ran.json["faults"]] == list(
        zip([2, 4, 5, 6, 8, 9], [field for _, field in FAULTY], strict=True)
    )
    assert sources(database) == ["E-1", "E-2", "E-3"]


def test_for_people_each_fault_is_a_line_with_its_number(database: Database, events: Path) -> None:
    ran = run("import", str(events))

    assert "line 5: reason: is missing; this event needs it" in ran.out
    assert "3 of 9 events went in, 0 were there already, 6 lines are faulty" in ran.out


def test_all_or_nothing_puts_nothing_in(database: Database, events: Path) -> None:
    ran = run("import", str(events), "--all-or-nothing", "--json")

    assert (ran.code, ran.json["new"], ran.json["faulty"]) == (2, 0, 6)
    assert sources(database) == []


def test_the_same_file_twice_is_one_import(database: Database, events: Path) -> None:
    run("import", str(events))

    again = run("import", str(events), "--json")

    assert (again.json["new"], again.json["known"]) == (0, 3)
    assert len(sources(database)) == 3


def test_an_event_id_with_another_content_is_a_faulty_line_and_the_rest_goes_in(
    database: Database, tmp_path: Path
) -> None:
    file = tmp_path / "more.jsonl"
    first, other, last = (
        {**one, "event_id": event_id} for one, event_id in zip(GOOD, "aab", strict=True)
    )
    file.write_text("\n".join(json.dumps(one) for one in (first, other, last)))

    ran = run("import", str(file), "--json")

    assert ran.code == 5
    assert [(one["line"], one["field"]) for one in ran.json["faults"]] == [(2, "event_id")]
    assert sources(database) == ["E-1", "E-3"]
    assert run("import", str(file), "--all-or-nothing").code == 2


def test_standard_input_is_a_file_too(database: Database) -> None:
    ran = run("import", "-", stdin=json.dumps(GOOD[0]).encode())

    assert ran.code == 0
    assert sources(database) == ["E-1"]


def test_a_dry_run_says_what_would_go_in_and_does_nothing(database: Database, events: Path) -> None:
    ran = run("import", str(events), "--dry-run", "--json")

    assert (ran.json["new"], ran.json["dry_run"]) == (3, True)
    assert sources(database) == []


def test_a_file_without_an_event_or_without_itself_says_so(
    database: Database, tmp_path: Path
) -> None:
    (tmp_path / "empty").write_text("\n\n")

    assert run("import", str(tmp_path / "empty")).code == 4
    absent = run("import", str(tmp_path / "absent"))
    assert (absent.code, absent.err.count("\n")) == (2, 1)


# emit


def test_one_event_goes_in(database: Database) -> None:
    ran = run(
        "emit",
        "participant_deferred",
        "--source-id",
        "E-1",
        "--json-payload",
        '{"reason": "other"}',
        "--json",
    )

    assert ran.code == 0
    assert ran.json.keys() == {"entry", "event", "source_id", "destination", "dry_run"}
    assert sources(database) == ["E-1"]


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        (["participant_deffered", "--source-id", "E-1"], "error: event: "),
        (["participant_deferred", "--source-id", "E-1"], "error: reason: is missing; this event needs it"),
        (["participant_resumed"], "error: source_id: is missing; this event needs it"),
        (["participant_resumed", "--source-id", ""], "error: source_id: must not be empty; give the local system's own reference"),
        (["participant_resumed", "--source-id", "E", "--json-payload", "{"], "error: --json-payload: is not JSON; write an object such as {}"),
        (["participant_resumed", "--source-id", "E", "--json-payload", "[]"], "error: --json-payload: is not a JSON object; write one such as {}"),
        (["participant_resumed", "--source-id", "E", "--json-payload", '{"destination": "x"}'], "error: destination: is 'x'; configured are default"),
        (["record_snapshot", "--source-id", "E", "--json-payload", '{"kind": "participant", "state": {}}'], "error: kind: must be enrolment; that is what this destination keeps in step"),
    ],
)  # fmt: skip
def test_a_bad_event_is_one_sentence_and_nothing_goes_in(
    database: Database, arguments: list[str], sentence: str
) -> None:
    ran = run("emit", *arguments)

    assert (ran.code, ran.out) == (2, "")
    assert ran.err.startswith(sentence)
    assert ran.err.count("\n") == 1
    assert sources(database) == []


# reading


@pytest.fixture
def story(database: Database) -> Outbox:
    """A deferral that was refused, and a schedule nobody linked yet."""
    outbox = Outbox(database)
    outbox.link()
    outbox.emit(ParticipantDeferred(source_id="E-1", reason="other"))
    outbox.emit(ParticipantDeferred(source_id="E-2", reason="other"))
    outbox.round()
    outbox.deliver()
    outbox.api.then(
        Refused(status=422, refusals=a_refusal("reason", "is not right"), blame=Blame.DATA)
    )
    outbox.run()
    return outbox


def keys(value: dict[str, Any]) -> set[str]:
    return set(value)


def test_status_as_json_has_stable_keys(story: Outbox) -> None:
    told = run("status", "--json").json

    assert keys(told) == {"at", "attention", "alerts", "destinations", "processes"}
    (one,) = told["destinations"]
    assert keys(one) >= {
        "destination", "url", "oldest_waiting_s", "records", "reasons", "entries", "calls", "gate",
        "quota", "attention",
    }  # fmt: skip
    assert one["records"] == {"dead": 1, "waiting": 1}
    assert one["entries"] == {"noted": 1}
    assert one["attention"] == ["1 set aside: refused"]
    assert told["attention"][0] == "1 set aside: refused"
    assert "no worker is at work" in told["attention"][-1]


def test_status_names_all_that_needs_attention_a_doubt_at_once(
    database: Database,
) -> None:
    outbox = Outbox(database)
    outbox.link()
    outbox.emit(ParticipantDeferred(source_id="E-1", reason="other"))
    outbox.round()
    outbox.deliver()
    outbox.api.then(lost(executed=False))
    outbox.run()
    outbox.emit(ParticipantDeferred(source_id="E-9", reason="other"))
    with database.transaction() as connection:
        long_ago = datetime.now(UTC) - timedelta(hours=3)
        connection.execute(
            update(outbox_entry)
            .where(outbox_entry.c.source_id == "E-9")
            .values(emitted_at=long_ago)
        )
    run("quota", "pause", "--reason", "the DfE asked us to")

    told = run("status", "--json").json

    (one,) = told["destinations"]
    doubt, unfolded, gate = one["attention"]
    assert doubt == "1 in doubt: no answer"
    assert unfolded == "entries wait to be folded since 3 h; is a relay at work?"
    assert gate.startswith("The gate is shut until a person resumes")
    assert gate.endswith("the DfE asked us to")
    assert all(line in told["attention"] for line in one["attention"])
    assert "In doubt: a call was made" in run("records", "explain", "E-1").out
    assert run("status", "--check").code == 6


def test_status_says_first_what_needs_somebody_and_what_a_call_and_a_request_are(
    story: Outbox,
) -> None:
    first, runbook, *rest = run("status").out.splitlines()

    assert first == "! 1 set aside: refused"
    assert runbook.strip() == "docs/how-to/runbook.md#dead-letters"
    told = {line[2:19].strip(): line for line in rest}
    assert "(writes and look-ups, each for a record)" in told["calls"]
    assert "requests (calls, and reads of polls)" in told["last hour"]


def test_the_tutorial_shows_the_lines_of_status_in_their_order(story: Outbox) -> None:
    page = (Path(__file__).parents[2] / "docs/tutorial/README.md").read_text()
    shown = page.partition("$ pillarbox status\n")[2].partition("```")[0]

    def lines(text: str) -> list[str]:
        return [line[:19] for line in text.splitlines() if line.startswith("  ") and line[2] != " "]

    assert lines(shown) == lines(run("status").out)


def test_status_says_that_nothing_needs_somebody(database: Database) -> None:
    now = datetime.now(UTC)
    signs = [
        Beat(id=role, role=role, host="here", pid=1, started_at=now, beat_at=now, progress={})
        for role in ("relay", "worker", "poller")
    ]
    with database.transaction() as connection:
        for sign in signs:
            beat(connection, sign)

    assert run("status").out.splitlines()[0] == "nothing needs attention"


def test_status_shows_no_count_of_calls_that_another_process_keeps_to_itself(
    story: Outbox, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("REDIS_URL", raising=False)

    told = run("status").out

    assert "counted inside `pillarbox up`" in told
    assert "0 of 1000" not in told


def test_status_check_asks_for_attention(story: Outbox) -> None:
    assert run("status").code == 0
    assert run("status", "--check").code == 6


@pytest.mark.parametrize("name", ["E-1", "enrolment:E-1", "11111111-1111-4111-8111-111111111111"])
def test_a_record_is_found_by_its_key_its_local_and_its_remote_id(story: Outbox, name: str) -> None:
    (told,) = run("records", "explain", name, "--json").json

    assert told["key"] == "enrolment:E-1"
    assert (told["state"], told["reason"]) == ("dead", "refused")
    assert "reason: is not right" in told["verdict"]
    assert {line["what"] for line in told["story"]} == {"event", "call", "closed"}


def test_explain_as_json_has_stable_keys(story: Outbox) -> None:
    (told,) = run("records", "explain", "E-1", "--json").json

    assert keys(told) >= {
        "id", "key", "destination", "state", "reason", "due_at", "waits_for", "remote_id", "role",
        "pending", "path", "expected", "accepted", "accepted_at", "remote_updated_at", "problem",
        "tries", "verdict", "next", "waited_for_by", "fields", "story",
    }  # fmt: skip
    assert told["problem"] == {
        "reason": "refused",
        "detail": "reason: is not right",
        "field": "reason",
        "operation": "defer",
        "status": 422,
        "at": "2026-02-10T12:00:00+00:00",
    }


def test_explain_names_the_other_of_two_records_on_one_person(database: Database) -> None:
    outbox = Outbox(database)
    outbox.link("E-1")
    outbox.link("E-2")
    outbox.emit(ParticipantDeferred(source_id="E-2", reason="other"))
    outbox.run()

    told = run("records", "explain", "E-2").out

    assert "link the other. The other is enrolment:E-1." in told
    assert f"linked to the API's record ({PERSON})" in told


def test_for_people_explain_begins_with_one_sentence(story: Outbox) -> None:
    lines = run("records", "explain", "E-1").out.splitlines()

    assert lines[0] == "enrolment:E-1"
    assert lines[1].strip().startswith("Refused, and set aside for a person:")


def test_explain_names_who_waits_for_whom_on_both_records(database: Database) -> None:
    outbox = Outbox(database)
    outbox.link()
    outbox.emit(ParticipantDeferred(source_id="E-1", reason="other"))
    outbox.round()
    outbox.deliver()
    outbox.api.then(lost(executed=False))
    outbox.run()
    outbox.emit(a_claim_of("E-1"))
    outbox.run()

    (waits,) = run("records", "show", "declaration:E-1:started:1", "--json").json
    (other,) = run("records", "show", "enrolment:E-1", "--json").json

    assert waits["waits_for"] == "enrolment:E-1"
    assert other["waited_for_by"] == ["declaration:E-1:started:1"]
    assert "waits for enrolment:E-1" in run("records", "explain", waits["key"]).out
    assert (
        "Waiting for it: declaration:E-1:started:1" in run("records", "explain", other["key"]).out
    )


def a_claim_of(source_id: str) -> DeclarationMade:
    return DeclarationMade(
        source_id=source_id,
        declaration_type="started",
        declaration_date=datetime(2026, 1, 5, 9, tzinfo=UTC),
        evidence_held="other",
    )


# dead letters


def test_a_dead_letter_is_listed_and_shown_with_what_a_person_can_do(story: Outbox) -> None:
    (one,) = run("dead-letters", "list", "--json").json
    told = run("dead-letters", "show", str(one["id"]), "--json").json

    assert (one["key"], one["reason"], bool(one["next"])) == ("enrolment:E-1", "refused", True)
    assert told["locked"][0]["blame"] == "data"
    assert told["replay"].startswith("stays aside:")
    assert told["override"] == f"PUT /participants/{PERSON}/defer"
    assert "reason: is not right" in run("dead-letters", "list").out
    assert run("dead-letters", "list", "--reason", "conflict", "--json").json == []
    assert run("dead-letters", "list", "--reason", "conflict").code == 4


def test_an_override_needs_a_name_and_a_reason_and_is_written_down(
    story: Outbox, database: Database
) -> None:
    id_ = str(run("dead-letters", "list", "--json").json[0]["id"])
    named = ("--override", "--reason", "the DfE said so", "--actor", "Ada")

    assert run("dead-letters", "replay", id_).code == 6
    for lacking in (named[:1], named[:3], (named[0], *named[3:]), (*named[:4], " ")):
        assert run("dead-letters", "replay", id_, *lacking).code == 2
    assert run("dead-letters", "replay", id_, *named, "--dry-run", "--json").json == {
        "id": int(id_),
        "key": "enrolment:E-1",
        "goes_on": True,
        "comes_next": f"PUT /participants/{PERSON}/defer",
        "dry_run": True,
    }
    assert story.record().state is RecordState.DEAD

    assert run("dead-letters", "replay", id_, *named).code == 0
    assert story.record().state is RecordState.WAITING
    with database.reading() as connection:
        (deed,) = of_subject(connection, "enrolment:E-1")
    assert (deed["actor"], deed["action"]) == ("Ada", "dead_letter_overridden")
    explained = run("records", "explain", "E-1").out
    assert "Ada, dead letter overridden: the DfE said so" in explained
    assert run("dead-letters", "replay", id_).code == 4, "it waits for no person any more"
    assert run("dead-letters", "show", "999").code == 4


# words


def test_explain_says_what_is_not_known_what_differs_and_what_is_only_expected(
    database: Database,
) -> None:
    outbox = Outbox(database)
    outbox.emit(ParticipantDeferred(source_id="E-1", reason="other"))
    outbox.run()
    unknown = run("records", "show", "E-1").out
    assert "there, not looked at yet" in unknown
    assert "differs" not in unknown

    outbox.link()
    outbox.run()
    outbox.emit(MentorChanged(source_id="E-1", mentor_id=OTHER_PERSON))
    outbox.run()
    (told,) = run("records", "show", "E-1", "--json").json
    how = {row["field"]: row["how"] for row in told["fields"]}
    assert (how["mentor_id"], how["training_status"]) == ("expected there", "")


def test_explain_tells_what_the_contract_advises_and_what_a_call_led_to(
    database: Database,
) -> None:
    outbox = Outbox(database)
    outbox.link()
    known_refusal = a_refusal("reason", "The entered '#/reason' is not recognised for the given")
    outbox.emit(ParticipantDeferred(source_id="E-1", reason="other"))
    outbox.round()
    outbox.deliver()
    outbox.api.then(Refused(status=422, refusals=known_refusal, blame=Blame.DATA))
    outbox.run()
    outbox.emit(
        DeclarationMade(
            source_id="E-1",
            declaration_type="completed",
            declaration_date=datetime(2030, 1, 5, 9, tzinfo=UTC),
        )
    )
    outbox.run()

    refused = run("records", "explain", "enrolment:E-1").out
    invalid = run("records", "explain", "declaration:E-1:completed:1").out

    assert "What to do: Choose one of the API's reasons, spelled with dashes." in refused
    assert "is not recognised for the given; set aside" in refused
    assert "set aside, invalid here: " in invalid


def test_entries_as_json_have_stable_keys(story: Outbox) -> None:
    first, *others = run("entries", "list", "--json").json

    assert keys(first) >= {
        "id", "state", "reason", "event", "source_id", "payload", "destination", "source",
        "event_id", "version", "happened_at", "actor", "emitted_at", "closed_at", "record_id",
    }  # fmt: skip
    assert [first["reason"], *(one["reason"] for one in others)] == ["noted", None, None]
    assert run("entries", "show", str(first["id"]), "--json").json == first
    assert len(run("entries", "list", "--source-id", "E-2", "--json").json) == 1


def test_nothing_found_is_an_empty_list_and_a_code_of_its_own(
    database: Database,
) -> None:
    for arguments in (
        ["entries", "list", "--source-id", "E-9"],
        ["records", "list", "--state", "dead"],
        ["records", "list", "--search", "nobody"],
        ["records", "explain", "E-9"],
        ["dead-letters", "groups", "--operation", "defer"],
        ["dead-letters", "list", "--reason", "refused"],
        ["drift", "list", "--kind", "different"],
        ["feed", "list", "--after", "9"],
        ["polls", "runs", "--source", "participants"],
    ):
        ran = run(*arguments, "--json")
        assert (ran.code, ran.json, ran.err.count("\n")) == (4, [], 1), arguments
    assert run("entries", "show", "9").code == 4


@pytest.mark.parametrize(
    "words",
    [
        "entries list", "records list", "dead-letters groups", "dead-letters list",
        "dead-letters discarded", "bulk list", "polls runs", "polls held", "drift list", "feed list",
        "feed subscribers", "console user list", "console token list",
    ],
)  # fmt: skip
def test_a_list_with_nothing_to_list_says_so_calmly(database: Database, words: str) -> None:
    ran = run(*words.split())
    told = run(*words.split(), "--json")

    assert (ran.code, ran.err) == (4, "")
    assert re.search("would be here|begins one|makes one|names those", ran.out), "what would appear"
    assert (told.code, told.json) == (4, [])


def test_check_as_json_names_everything_it_looked_at(
    database: Database, environment: pytest.MonkeyPatch
) -> None:
    environment.setenv("PILLARBOX_API_URL", "http://127.0.0.1:9/api/v3")

    ran = run("check", "--json")

    assert ran.code == 3
    assert {line["name"]: line["ok"] for line in ran.json} == {
        "database": True,
        "migrations": True,
        "redis": True,
        "default: key": False,
        "default: API": False,
        "default: bound": True,
        "default: writes": True,
    }
    assert all(keys(line) == {"name", "ok", "detail"} for line in ran.json)


def test_config_as_json_has_stable_keys_and_never_a_key(
    database: Database, environment: pytest.MonkeyPatch
) -> None:
    environment.setenv("PILLARBOX_API_TOKEN", "s3cret")
    environment.setenv("REDIS_URL", "redis://user:s3cret@host:6379/0")

    ran = run("config", "show", "--json")

    assert keys(ran.json) == {
        "database_url", "redis_url", "namespace", "settle_s", "lease_s", "quarantine_s",
        "send_by_s", "deadline_s", "breaker", "keep_entries_s", "keep_bodies_s", "keep_feed_s",
        "keep_unread_s", "keep_gone_s", "offpeak", "poll_interval_s", "poll_start",
        "poll_page_size", "poll_gap_s", "poll_runtime_s", "full_sync", "full_sync_page_size",
        "unconfirmed_s", "subscribers", "console_host", "console_port", "console_names",
        "console_tls", "console_tls_certificate", "console_tls_key", "console_user_header",
        "console_proxies", "console_idle_s", "console_session_s", "log_format", "log_level",
        "destinations",
    }  # fmt: skip
    assert keys(ran.json["destinations"][0]) == {
        "name", "contract", "url", "key", "key_name", "quota", "address", "address_quota",
    }  # fmt: skip
    assert "s3cret" not in ran.out + ran.err


def test_the_gate_is_paused_and_resumed_by_hand_and_that_is_written_down(
    database: Database,
) -> None:
    paused = run("quota", "pause", "--for", "10m", "--reason", "maintenance", "--json").json
    shown = run("quota", "show", "--json").json
    run("quota", "resume", "--dry-run")
    still = run("quota", "show", "--json").json
    run("quota", "resume")
    resumed = run("quota", "show", "--json").json

    assert paused["gate"]["detail"] == "maintenance"
    assert keys(shown) >= {
        "destination", "limit", "window_s", "open", "used", "in_flight", "foreign", "lanes",
        "next_free_s", "address_used", "gate",
    }  # fmt: skip
    assert keys(shown["lanes"]) == {"live", "poll", "bulk"}
    assert shown["gate"] == still["gate"] == paused["gate"]
    assert resumed["gate"] is None
    with database.reading() as connection:
        actions = connection.exec_driver_sql("SELECT action, reason FROM audit ORDER BY id")
        assert [tuple(row) for row in actions] == [
            ("quota_paused", "maintenance"),
            ("quota_resumed", "resumed by hand"),
        ]


def test_a_shorter_pause_over_one_without_end_changes_nothing_and_says_so(
    database: Database,
) -> None:
    run("quota", "pause", "--reason", "maintenance")

    shorter = run("quota", "pause", "--for", "10m")
    told = run("quota", "pause", "--for", "10m", "--json").json

    assert "paused for longer already" in shorter.out
    assert "until a person resumes" in shorter.out
    assert (told["gate"]["until"], told["gate"]["detail"]) == (None, "maintenance")
    with database.reading() as connection:
        assert connection.exec_driver_sql("SELECT count(*) FROM audit").scalar_one() == 1


def test_every_shut_gate_is_shown_and_a_resume_leaves_the_throttle(database: Database) -> None:
    now = datetime.now(UTC)
    until = now + timedelta(minutes=5)
    with database.transaction() as connection:
        gate = Gate(reason=GateReason.THROTTLED, until=until, since=now, detail="429")
        gates.shut(connection, "default", gate)
    run("quota", "pause", "--reason", "maintenance")

    shown = run("quota", "show", "--json").json
    told = run("status", "--json").json
    resumed = run("quota", "resume", "--json").json
    tried = run("quota", "resume", "--throttle", "--json").json

    assert [one["reason"] for one in shown["gates"]] == ["paused", "throttled"]
    assert all(one["since"] and one["state"] == "shut" for one in shown["gates"])
    assert shown["gates"][0]["actor"]
    lines = [line for line in told["attention"] if line.startswith("The gate is shut until")]
    assert len(lines) == 2
    assert [one["reason"] for one in resumed["gates"]] == ["throttled"]
    assert tried["gates"] == []


def test_status_tells_how_many_answers_came_too_late(database: Database) -> None:
    now = datetime.now(UTC)
    sign = Beat(
        id="worker-1",
        role="worker",
        host="here",
        pid=1,
        started_at=now,
        beat_at=now,
        progress={"late_settles_total": 2.0},
    )
    assert "too late" not in run("status").out

    with database.transaction() as connection:
        beat(connection, sign)

    assert "2 answers came too late for their record" in run("status").out


def test_status_names_what_waits_for_over_a_day_and_not_all_of_it(database: Database) -> None:
    outbox = Outbox(database)
    outbox.emit(
        *[ParticipantDeferred(source_id=f"E-{number}", reason="other") for number in range(1, 13)]
    )
    outbox.round()
    now = datetime.now(UTC)
    emitted = update(outbox_entry).values(emitted_at=bindparam("at"))
    with database.transaction() as connection:
        connection.execute(emitted, {"at": now - timedelta(hours=49)})
        young = emitted.where(outbox_entry.c.source_id.in_(["E-11", "E-12"]))
        connection.execute(young, {"at": now - timedelta(hours=23)})

    ten = run("status", "--json").json
    with database.transaction() as connection:
        connection.execute(emitted, {"at": now - timedelta(hours=49)})
    more = run("status", "--json").json

    named = [line for line in ten["attention"] if "waits for 2 days" in line]
    assert named[0] == "enrolment:E-1 waits for 2 days: waiting for link"
    assert len(named) == 10
    assert "more records wait for over a day" not in ten["attention"]
    assert "more records wait for over a day" in more["attention"]
    assert len([line for line in more["attention"] if "waits for 2 days" in line]) == 10


def test_db_as_json_has_stable_keys(tmp_path: Path, environment: pytest.MonkeyPatch) -> None:
    environment.setenv("DATABASE_URL", f"sqlite:///{tmp_path / 'new.db'}")

    behind = run("db", "current", "--json")
    dry = run("db", "upgrade", "--dry-run", "--json")
    upgraded = run("db", "upgrade", "--json")
    current = run("db", "current", "--json")

    assert (behind.code, behind.json["at"]) == (3, None)
    assert dry.json["before"] is upgraded.json["before"] is None
    assert keys(upgraded.json) == {"database", "before", "after", "dry_run"}
    assert (current.code, keys(current.json)) == (0, {"database", "at", "head"})
    assert current.json["at"] == current.json["head"] == upgraded.json["after"]


def test_an_event_of_the_command_line_is_one_of_the_outbox(database: Database) -> None:
    run("emit", "participant_resumed", "--source-id", "E-1")

    with database.reading() as connection:
        (entry,) = entries.list_entries(connection)
    assert (entry.event, entry.source, entry.destination) == (
        "participant_resumed",
        "local",
        "default",
    )


def test_config_on_a_terminal_speaks_of_variables_and_of_durations_as_they_are_written(
    database: Database, environment: pytest.MonkeyPatch
) -> None:
    environment.setenv("PILLARBOX_SETTLE", "90s")

    ran = run("config", "show")

    lines = {line.split()[0]: line.split()[1:] for line in ran.out.splitlines()}
    assert lines["PILLARBOX_SETTLE"] == ["90s"]
    assert lines["PILLARBOX_LEASE"] == ["2m"]
    assert lines["PILLARBOX_API_TOKEN"] == ["not", "set"]
    # A file of the key is shown beside the key; one of destinations shows what is in it.
    shown = {"PILLARBOX_API_TOKEN_FILE", "PILLARBOX_DESTINATIONS"}
    assert set(KNOWN) - shown <= lines.keys()


def test_the_version_is_said() -> None:
    assert run("--version").out.startswith("pillarbox 0.")


def test_a_role_that_no_process_has_is_a_wrong_use() -> None:
    assert run("check", "--role", "foo").code == 2


# what is typed, and where it goes


@pytest.mark.parametrize(
    "typed",
    [
        ("bulk", "show", "9" * 19),
        ("entries", "list", "--after", "9" * 19),
        ("records", "show", "\udcff"),
        ("dead-letters", "list", "--group", "\udcff"),
    ],
    ids=["an id", "a place in a list", "a key", "a group"],
)
def test_what_no_database_keeps_is_a_sentence_and_no_traceback(
    database: Database, typed: tuple[str, ...]
) -> None:
    ran = run(*typed)

    assert ran.code == 2
    assert ran.err.count("\n") == 1
    assert "a number that is too large, or what is no character" in ran.err


def test_a_command_whose_output_was_closed_does_its_work(
    database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    with monkeypatch.context() as closed:
        closed.setattr(
            "sys.argv", ["pillarbox", "emit", "participant_resumed", "--source-id", "E-1"]
        )
        closed.setattr("sys.stdout", None)
        closed.setattr("sys.stderr", None)
        main()
        sys.stdout.close()
        sys.stderr.close()

    assert sources(database) == ["E-1"]
