"""Contracts are found by the name the configuration gives."""

import pytest

from gateway.errors import UnknownContract
from gateway.registry import CONTRACTS, contract_named


@pytest.mark.parametrize("name", ["lead_provider_v3", "guidance"])
def test_a_contract_is_found_by_its_name(name: str) -> None:
    assert contract_named(name).name == name


def test_an_unknown_name_is_refused_and_the_known_ones_listed() -> None:
    with pytest.raises(UnknownContract, match=r"'v4'.*lead_provider_v3, guidance"):
        contract_named("v4")


@pytest.mark.parametrize("contract", CONTRACTS.values(), ids=lambda one: one.name)
def test_operations_and_kinds_of_a_contract_belong_together(contract: object) -> None:
    known = contract_named(getattr(contract, "name", ""))

    assert {one.kind for one in known.operations.values()} == set(known.kinds)
    assert {one.parent for one in known.kinds.values()} - {None} <= set(known.kinds)
