"""The rule sheet: what the guidance asks of whoever syncs data, and how this system stands to it.

One idea: a rule is a sentence, a setting and a check of what is really there; its state comes with the
evidence it was judged by. What nothing has shown yet is "not yet known", never "met". The checks are
pure; `console.evidence` collects what they judge.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import StrEnum
from typing import Any

from console.views import ago, london
from inbox.checkpoints import Run
from runtime.settings import Destination, Settings, written
from schema.hours import Booking
from schema.inbox import RunKind, RunState, Trigger
from schema.words import several

FULL_EVERY = timedelta(days=5)
"""The longest that two full syncs a week may lie apart, with a night to make a missed one up."""

SEVERAL_TIMES_A_DAY = timedelta(hours=6)
MOST_THROTTLED = 3
"""How many answers of 429 a day are an accident: somebody else used the key, or a clock stepped."""

CALLS_A_CHANGE = 3
"""A look before, the call, a look after: more than that for each change sent is waste."""

ENOUGH_POLLS = 30
"""Fewer starts than this say nothing of how they are spread."""

LEAST_SPREAD = 12
"""In so many different minutes of the hour must that many starts fall at least."""

TWICE = 2


class State(StrEnum):
    """How the system stands to a rule."""

    MET = "met"
    UNMET = "unmet"
    UNKNOWN = "not yet known"


@dataclass(frozen=True, slots=True, kw_only=True)
class Verdict:
    """The state, and what it was judged by."""

    state: State
    evidence: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Facts:
    """What was found of one destination. `told` is its part of `status --json`."""

    now: datetime
    destination: Destination
    settings: Settings
    told: Mapping[str, Any]
    largest_span: int
    runs: Sequence[Run]
    hours: Sequence[Booking]
    agreed: Mapping[str, str]
    unanswered: int

    @property
    def sources(self) -> Sequence[Mapping[str, Any]]:
        """The sources and where their reading stands."""
        return self.told["reading"]["sources"]

    @property
    def polls(self) -> list[Run]:
        """The latest polls that a timer began, the newest first."""
        return [
            one for one in self.runs if one.kind is RunKind.POLL and one.trigger is Trigger.TIMER
        ]


@dataclass(frozen=True, slots=True, kw_only=True)
class Rule:
    """One rule. `rows` name the lines of the guidance it answers for."""

    id: str
    words: str
    setting: Callable[[Settings, Destination], str]
    check: Callable[[Facts], Verdict]
    rows: tuple[str, ...]


def judged(facts: Facts) -> list[dict[str, Any]]:
    """Judge every rule, as JSON."""
    found: list[dict[str, Any]] = []
    for one in RULES:
        verdict = one.check(facts)
        found.append(
            {
                "rule": one.id,
                "words": one.words,
                "setting": one.setting(facts.settings, facts.destination),
                "state": verdict.state.value,
                "evidence": verdict.evidence,
                "at": facts.now,
                "guidance": list(one.rows),
            }
        )
    return found


def _met(holds: bool, evidence: str) -> Verdict:
    return Verdict(state=State.MET if holds else State.UNMET, evidence=evidence)


def _unknown(evidence: str) -> Verdict:
    return Verdict(state=State.UNKNOWN, evidence=evidence)


def _within_the_limit(facts: Facts) -> Verdict:
    most, limit = facts.largest_span, facts.destination.calls
    length = written(facts.destination.window)
    if not most:
        return _unknown(f"no request was made in the last day; the limit is {limit:,} in {length}")
    return _met(most <= limit, f"largest {length} of the last day: {most:,} of {limit:,}")


def _throttled(facts: Facts) -> Verdict:
    seen = facts.told["last_day"]["throttled"]
    return _met(seen <= MOST_THROTTLED, f"429 seen in the last day: {seen}")


def _one_budget(facts: Facts) -> Verdict:
    quota = facts.told["quota"]
    if quota is None:
        return _met(False, "Redis does not answer, so nobody may call")
    return _met(
        True,
        f"key {facts.destination.key_name!r}: {_used(facts, quota)} used by all "
        f"processes, {quota['foreign']} not ours",
    )


def _used(facts: Facts, quota: Mapping[str, Any]) -> str:
    if facts.settings.embedded and not quota["used"]:
        return "as many as `pillarbox up` counts inside itself"  # perhaps not this process
    return f"{quota['used']:,} of {quota['limit']:,}"


def _only_changes(facts: Facts) -> Verdict:
    lately = facts.told["last_day"]
    saved = sum(lately["saved"].values())
    calls = facts.told["calls"]
    made, sent = sum(calls.values()), facts.told["entries"].get("delivered", 0)
    if not sent and not saved:
        return _unknown("nothing was sent and nothing was saved yet")
    evidence = (
        f"{made:,} calls for {sent:,} changes sent; in the last day {lately['sent']:,} sent and "
        f"{saved:,} saved, {lately['saved']['unchanged']:,} of them unchanged"
    )
    return _met(made <= CALLS_A_CHANGE * (sent + calls.get("refused", 0)) + saved, evidence)


def _claims_in_time(facts: Facts) -> Verdict:
    claims = facts.told["claims"]
    near = [one for one in claims if one["leads"]]
    if near:
        return _met(False, f"{near[0]['key']} is not accepted: {near[0]['left']}, and it leads")
    nearest = f", the nearest {claims[0]['left']}" if claims else ""
    number = "1 claim" if len(claims) == 1 else f"{len(claims)} claims"
    return _met(True, f"{number} with a date not accepted yet{nearest}")


def _full_syncs(facts: Facts) -> Verdict:
    began = {one["source"]: one["full_sync"]["began"] for one in facts.sources}
    never = [name for name, at in began.items() if at is None]
    if never:
        return _unknown(f"no full sync yet of {', '.join(never)}")
    if not began:
        return _unknown("this contract reads nothing")
    name, oldest = min(began.items(), key=lambda one: one[1])
    evidence = f"the oldest: full sync of {name} completed, begun {ago(facts.now - oldest)} ago"
    return _met(facts.now - oldest <= FULL_EVERY, evidence)


def _booked_hours(facts: Facts) -> Verdict:
    a_week = sum(len(one.days) for one in facts.hours)
    hours = sorted({part for one in facts.sources for part in one["full_sync"]["hours"]})
    return _met(a_week >= TWICE, f"{', '.join(hours) or 'none'}, London")


def _agreed_hours(facts: Facts) -> Verdict:
    without = [one["source"] for one in facts.sources if one["source"] not in facts.agreed]
    if facts.destination.is_loopback or facts.destination.url is None:
        return _unknown("a sandbox agrees with nobody")
    if without:
        return _met(False, f"nobody has agreed hours for {', '.join(without)}: `polls book`")
    return _met(True, "; ".join(sorted(set(facts.agreed.values()))))


def _often(facts: Facts) -> Verdict:
    read = [one for one in facts.sources if one["lag_s"] is not None]
    if not read:
        return _unknown("nothing was read to the end yet")
    late = [one["source"] for one in read if one["state"] == "late"]
    longest = ago(timedelta(seconds=max(one["lag_s"] for one in read)))
    if late:
        return _met(False, f"late: {', '.join(late)}")
    return _met(
        facts.settings.poll_interval <= SEVERAL_TIMES_A_DAY,
        f"the longest since a complete reading began: {longest}",
    )


def _page_size(facts: Facts) -> Verdict:
    return _met(facts.settings.poll_page_size == 100, f"{facts.settings.poll_page_size} to a page")


def _two_windows(facts: Facts) -> Verdict:
    back = [(one, one.since) for one in facts.polls if one.since is not None]
    if not back:
        return _unknown("no poll has asked for changes yet")
    reach = TWICE * facts.settings.poll_interval
    short = [one for one, since in back if one.opened_at - since < reach]
    last, asked = back[0]
    evidence = (
        f"{last.source} asked at {london(last.opened_at)} for what changed since "
        f"{london(asked)}; {len(short)} of the last {len(back)} polls reached less far"
    )
    return _met(not short, evidence)


def _spread(facts: Facts) -> Verdict:
    minutes = [one.opened_at.minute for one in facts.polls]
    if len(minutes) < ENOUGH_POLLS:
        return _unknown(
            f"{several(len(minutes), 'poll')} began so far; {ENOUGH_POLLS} say something"
        )
    different = len(set(minutes))
    on_the_hour = sum(minute == 0 for minute in minutes)
    return _met(
        different >= LEAST_SPREAD and on_the_hour == 0,
        f"the last {len(minutes)} began in {different} different minutes, {on_the_hour} at :00",
    )


def _answers_kept(facts: Facts) -> Verdict:
    return _met(
        facts.unanswered == 0, f"calls without an outcome for over ten minutes: {facts.unanswered}"
    )


def _off_peak(facts: Facts) -> Verdict:
    bulk = facts.told["lanes"].get("bulk", {"waiting": 0})
    return _met(
        bool(facts.settings.offpeak),
        f"bulk work runs {facts.settings.offpeak}, London; {bulk['waiting']} waiting in its lane",
    )


def _apart(facts: Facts) -> Verdict:
    told = facts.told
    if told["bound_to"] is None:
        return _unknown("this database is bound to nothing yet; the first start binds it")
    if told["held"] is not None:
        return _unknown(f"bound to {told['bound_to']}; {told['held']}")
    live = told["live_since"]
    since = "" if live is None else f", live since {london(live)}"
    return _met(True, f"bound to {told['bound_to']}{since}")


def _adds_up(facts: Facts) -> Verdict:
    if not facts.runs:
        return _unknown("nothing was read yet")
    wrong = [
        one for one in facts.runs if one.seen != one.applied + one.unchanged + one.held + one.failed
    ]
    seen = sum(one.seen for one in facts.runs)
    return _met(
        not wrong, f"{len(facts.runs)} runs, {seen:,} rows seen: {len(wrong)} do not add up"
    )


def _runs_end(facts: Facts) -> Verdict:
    longest = max(
        (facts.now - one.opened_at for one in facts.runs if one.state is RunState.OPEN),
        default=timedelta(0),
    )
    limit = max(FULL_EVERY, facts.settings.poll_gap)
    return _met(longest <= limit, f"the longest open run is open for {ago(longest)}")


def _started(facts: Facts) -> Verdict:
    waits = [one["source"] for one in facts.sources if one["watermark"] is None]
    if not waits:
        return _met(True, "every source was read from a start that somebody named")
    return _unknown(f"not read to the end yet: {', '.join(waits)}")


def _settles(facts: Facts) -> Verdict:
    return _met(
        facts.settings.settle > timedelta(0),
        f"{facts.told['last_day']['saved']['superseded']:,} changes of the last day became one with "
        "a newer one",
    )


def _fresh(facts: Facts) -> Verdict:
    oldest = facts.told["oldest_waiting_s"]
    waited = "nothing waits" if oldest is None else f"{ago(timedelta(seconds=oldest))} at most"
    quota = facts.told["quota"]
    used = "unknown" if quota is None else _used(facts, quota)
    return _met(
        oldest is None or not facts.told["waiting_over_a_day"],
        f"changes on their way: {waited}; quota used: {used}",
    )


def _no_gate(reason: str, words: str) -> Callable[[Facts], Verdict]:
    def check(facts: Facts) -> Verdict:
        shut = [one for one in facts.told["gates"] if one["reason"] == reason]
        if shut:
            return _met(False, f"{words} since {shut[0]['since']}: {shut[0]['detail']}")
        failed = facts.told["last_day"]["failed"]
        return _met(
            True, f"calls go on; {several(failed, 'request')} of the last day failed and went again"
        )

    return check


def _kept(facts: Facts) -> Verdict:
    settings = facts.settings
    return _met(
        settings.keep_entries >= timedelta(days=365),
        f"events and calls for {written(settings.keep_entries)}, requests and answers for "
        f"{written(settings.keep_bodies)}, what people did for ever",
    )


def _names(*names: str) -> Callable[[Settings, Destination], str]:
    return lambda settings, destination: ", ".join(names) or "none: it is always so"


RULES: Sequence[Rule] = (
    Rule(
        id="within-the-limit",
        words="No stretch of the window's length holds more requests than the limit.",
        setting=_names("PILLARBOX_QUOTA"),
        check=_within_the_limit,
        rows=("000:29,31a", "002:8-9a", "002:83a"),
    ),
    Rule(
        id="throttle-obeyed",
        words="A 429 is an accident: it stops the whole key, and is rare.",
        setting=_names("PILLARBOX_QUOTA"),
        check=_throttled,
        rows=("000:31b",),
    ),
    Rule(
        id="one-budget-a-key",
        words="All processes, reads and writes share one budget per key.",
        setting=_names("PILLARBOX_KEY_NAME", "REDIS_URL"),
        check=_one_budget,
        rows=("000:33",),
    ),
    Rule(
        id="only-what-changed",
        words="Only what was added, changed or corrected is sent.",
        setting=_names(),
        check=_only_changes,
        rows=("000:7,11", "000:13,15", "000:17a", "001:77b"),
    ),
    Rule(
        id="claims-in-time",
        words="No claim comes near its statement's cut-off without being accepted.",
        setting=_names(),
        check=_claims_in_time,
        rows=("000:7,9",),
    ),
    Rule(
        id="full-sync-twice-a-week",
        words="Everything is read twice a week, without updated_since.",
        setting=_names("PILLARBOX_FULL_SYNC"),
        check=_full_syncs,
        rows=("000:35,37a", "002:79", "002:94b"),
    ),
    Rule(
        id="booked-hours",
        words="Full syncs run in booked hours of London, two a week.",
        setting=lambda settings, _: f"PILLARBOX_FULL_SYNC={settings.full_sync}",
        check=_booked_hours,
        rows=("000:37b",),
    ),
    Rule(
        id="agreed-hours",
        words="Each of these hours was agreed with somebody, who is named.",
        setting=_names("pillarbox polls book"),
        check=_agreed_hours,
        rows=("000:37c",),
    ),
    Rule(
        id="polled-several-times-a-day",
        words="Each source is polled several times a day, and on time.",
        setting=lambda settings, _: f"PILLARBOX_POLL_INTERVAL={written(settings.poll_interval)}",
        check=_often,
        rows=("000:39,41a", "001:31a", "002:49", "002:94a"),
    ),
    Rule(
        id="default-page-size",
        words="Polls ask for the default page size, 100.",
        setting=lambda settings, _: f"PILLARBOX_POLL_PAGE_SIZE={settings.poll_page_size}",
        check=_page_size,
        rows=("000:41b",),
    ),
    Rule(
        id="two-windows-back",
        words="A poll reaches two intervals back from the last complete one.",
        setting=lambda settings, _: f"PILLARBOX_POLL_INTERVAL={written(settings.poll_interval)}",
        check=_two_windows,
        rows=("000:45,47a", "000:49,50", "002:32"),
    ),
    Rule(
        id="random-minutes",
        words="Polls begin at random minutes, and not on the hour.",
        setting=_names(),
        check=_spread,
        rows=("000:52a",),
    ),
    Rule(
        id="answers-kept",
        words="What was answered to each call is written down.",
        setting=_names("PILLARBOX_KEEP_BODIES"),
        check=_answers_kept,
        rows=("000:54,56a",),
    ),
    Rule(
        id="off-peak",
        words="Work in bulk runs off-peak.",
        setting=lambda settings, _: f"PILLARBOX_OFFPEAK={settings.offpeak}",
        check=_off_peak,
        rows=("000:71",),
    ),
    Rule(
        id="sandbox-apart",
        words="Sandbox and production are kept apart, and going live is a person's word.",
        setting=_names("PILLARBOX_API_URL"),
        check=_apart,
        rows=("000:74,76",),
    ),
    Rule(
        id="counts-add-up",
        words="Every row of a reading is applied, unchanged, held or failed.",
        setting=_names(),
        check=_adds_up,
        rows=("002:98b", "002:20-25"),
    ),
    Rule(
        id="runs-end",
        words="A reading has an end.",
        setting=lambda settings, _: f"PILLARBOX_POLL_RUNTIME={written(settings.poll_runtime)}",
        check=_runs_end,
        rows=("002:1",),
    ),
    Rule(
        id="named-start",
        words="The first reading begins where somebody said, never silently now.",
        setting=_names("PILLARBOX_POLL_START"),
        check=_started,
        rows=("002:55b-56a",),
    ),
    Rule(
        id="settle-time",
        words="A burst of edits becomes one call.",
        setting=lambda settings, _: f"PILLARBOX_SETTLE={written(settings.settle)}",
        check=_settles,
        rows=("001:30b",),
    ),
    Rule(
        id="fresh-within-the-limits",
        words="Changes go out in time, and lag is shown beside the budget.",
        setting=_names("PILLARBOX_QUOTA"),
        check=_fresh,
        rows=("001:30c", "002:87"),
    ),
    Rule(
        id="failures-pass",
        words="Failures of the API are passing: they are tried again, and do not last.",
        setting=lambda settings, _: (
            f"PILLARBOX_BREAKER={settings.breaker_failures}/"
            f"{settings.breaker_within.total_seconds():g}"
        ),
        check=_no_gate("breaker", "the API fails"),
        rows=("002:34",),
    ),
    Rule(
        id="key-accepted",
        words="The key is accepted; a refused one stops everybody at once.",
        setting=_names("PILLARBOX_API_TOKEN_FILE"),
        check=_no_gate("key_refused", "the key is refused"),
        rows=("002:67-68a",),
    ),
    Rule(
        id="history-kept",
        words="What happened is kept for a year: events, calls, decisions, what people did.",
        setting=lambda settings, _: f"PILLARBOX_KEEP_ENTRIES={written(settings.keep_entries)}",
        check=_kept,
        rows=("002:89",),
    ),
)
