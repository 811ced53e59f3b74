"""The contracts by name, as the configuration names them."""

from collections.abc import Mapping

from gateway.contracts import guidance, lead_provider_v3
from gateway.errors import UnknownContract
from schema.contract import Contract

CONTRACTS: Mapping[str, Contract] = {
    contract.name: contract for contract in (lead_provider_v3.CONTRACT, guidance.CONTRACT)
}


def contract_named(name: str) -> Contract:
    """Give the contract of that name; raises `UnknownContract`, which lists the known ones."""
    if name in CONTRACTS:
        return CONTRACTS[name]
    raise UnknownContract(f"there is no contract {name!r}; known are {', '.join(CONTRACTS)}")
