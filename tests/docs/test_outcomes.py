"""Every outcome has its one rule, for every operation there is, and every write is told in full."""

import pytest

from gateway.contracts import guidance, lead_provider_v3
from schema.contract import Contract, Meaning, Operation
from schema.outcomes import OutcomeName, name_of
from schema.states import RecordState
from tests.docs import reference
from tests.docs.outcomes import ANSWERS, Came, came, refused, writes

CONTRACTS = (lead_provider_v3.CONTRACT, guidance.CONTRACT)
OPERATIONS = [
    pytest.param(contract, operation, id=f"{contract.name} {operation.name}")
    for contract in CONTRACTS
    for operation in contract.operations.values()
]
WRITES = [
    pytest.param(contract, operation, id=f"{contract.name} {operation.name}")
    for contract in CONTRACTS
    for operation in writes(contract)
]

# By hand, from the design: on a read, and on a write.
BACKOFF = "`transient`: waiting, `backoff`, again later, a try"
LATER_LOOK = "`in_doubt`: in doubt, `no_answer`, looked up after the quarantine, a try"
SOON_LOOK = "`in_doubt`: in doubt, `unclear_answer`, looked up at once, a try"
GATE = "`throttled`: waiting, `gate`, again later, no try, the gate shuts"
KEY = "`key_refused`: waiting, `gate`, again later, no try, the gate shuts"
DEAD = "`refused`: dead, `refused`, no try"
DATA = "`refused`: dead, `refused`, locked, `data`, no try"
STATE = "`refused`: dead, `refused`, locked, `state`, no try"
EXPECTED: dict[str, tuple[str, str]] = {
    "2xx, unreadable": (BACKOFF, SOON_LOOK),
    "2xx, cut short": (BACKOFF, SOON_LOOK),
    "3xx": (BACKOFF, SOON_LOOK),
    "400, 422 not known": (DEAD, DATA),
    "401": (KEY, KEY),
    "403": (KEY, KEY),
    "404, 409, 410 not known": (DEAD, STATE),
    "408": (BACKOFF, LATER_LOOK),
    "other 4xx, cut short": (BACKOFF, BACKOFF),
    "429 with `Retry-After`": (GATE, GATE),
    "429 without": (GATE, GATE),
    "500": (BACKOFF, SOON_LOOK),
    "501": (DEAD, DATA),
    "502, 503, 504": (BACKOFF, LATER_LOOK),
    "no answer": (BACKOFF, LATER_LOOK),
    "not sent for sure": (BACKOFF, BACKOFF),
    "a key that cannot be sent": (KEY, KEY),
}


def test_the_table_holds_every_sort_of_answer() -> None:
    assert EXPECTED.keys() == ANSWERS.keys()


@pytest.mark.parametrize("answer", ANSWERS)
@pytest.mark.parametrize(("contract", "operation"), OPERATIONS)
def test_an_answer_has_one_rule_whatever_the_operation(
    contract: Contract, operation: Operation, answer: str
) -> None:
    told = came(contract, operation, ANSWERS[answer])

    assert told.words() == EXPECTED[answer][operation.writes]
    assert (told.record.mark is not None) == (told.record.state is RecordState.IN_DOUBT)


@pytest.mark.parametrize(("contract", "operation"), WRITES)
def test_a_refusal_becomes_what_it_means_for_every_write(
    contract: Contract, operation: Operation
) -> None:
    known = [rule for rule in contract.rules if operation.name in rule.operations]

    for rule in known:
        assert _is_what_it_means(rule.meaning, operation, refused(contract, operation, rule)), rule


def _is_what_it_means(meaning: Meaning, operation: Operation, told: Came) -> bool:
    name, words = name_of(told.outcome), told.words()
    match meaning:
        case Meaning.ALREADY:
            return name is OutcomeName.ALREADY_THERE and "looked up at once, no try" in words
        case Meaning.LATER:
            return name is OutcomeName.LATER and "`snoozed`, again tomorrow, no try" in words
        case Meaning.PASSING:
            return words == BACKOFF
        case Meaning.DATA:
            return words == DATA
        case Meaning.MISSING if operation.on_missing:
            return "asked for a merge first, locked, `state`, looked up at once, no try" in words
        case Meaning.STATE | Meaning.MISSING:
            return words == STATE


@pytest.mark.parametrize(("contract", "operation"), WRITES)
def test_every_write_is_told_in_full_on_the_page(contract: Contract, operation: Operation) -> None:
    page = (reference.FOLDER / "outcomes.md").read_text(encoding="utf-8")
    part = page.partition(f"## Writes of `{contract.name}`")[2]
    section = part.partition(f"### `{operation.name}`: ")[2].partition("\n#")[0]

    assert all((operation.natural_key, operation.again, operation.source))
    assert f"Recognised by: {operation.natural_key}" in section
    assert f"The same request again: {operation.again}" in section
    assert (f"`{operation.look_up}`" if operation.look_up else "a person must look") in section
    for rule in contract.rules:
        if rule.operations == (operation.name,):
            assert f"| {rule.detail.strip()} | `{rule.meaning}` |" in section
            assert rule.source
