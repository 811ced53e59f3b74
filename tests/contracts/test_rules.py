"""Every refusal of the API is known, and means what the API's description says."""

from gateway.contracts.lead_provider.rules import RULES
from gateway.contracts.lead_provider_v3 import CONTRACT
from schema.contract import Meaning


def test_every_rule_belongs_to_operations_that_exist() -> None:
    assert {name for rule in RULES for name in rule.operations} <= set(CONTRACT.operations)


def test_every_rule_has_a_source_and_tells_a_person_what_to_do() -> None:
    for rule in RULES:
        assert rule.source.startswith("§")
        assert rule.advice.endswith("."), rule


def test_no_rule_hides_another() -> None:
    for place, rule in enumerate(RULES):
        for later in RULES[place + 1 :]:
            both = set(rule.operations) & set(later.operations)
            assert not (
                both and rule.title == later.title and later.detail.startswith(rule.detail)
            ), (rule, later)


def test_every_write_of_which_a_repeat_is_refused_knows_that_refusal() -> None:
    already = {
        name for rule in RULES if rule.meaning is Meaning.ALREADY for name in rule.operations
    }

    assert already == {name for name, one in CONTRACT.operations.items() if one.writes}


def test_every_write_can_be_looked_up() -> None:
    for operation in CONTRACT.operations.values():
        if operation.writes:
            assert operation.look_up is not None
            look_up = CONTRACT.operations[operation.look_up]
            assert (look_up.kind, look_up.writes) == (operation.kind, False)
            assert operation.natural_key
            assert operation.again
            assert operation.source
