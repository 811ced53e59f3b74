"""What the pages work with, built once per process by the command.

One idea: the console reads and changes rows, and asks how full the quota is; there is nothing in
here that could call the remote side.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Protocol

from console.flood import Flood
from gateway.quota import QuotaFill
from runtime.clock import Clock
from runtime.database import Database
from runtime.redis import Redis
from runtime.settings import Listening, Settings
from schema.contract import Contract


class Gauge(Protocol):
    """Tells how full a key's quota is."""

    def fill(self) -> QuotaFill:
        """Tell it; raises `QuotaUnavailable`."""
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class Site:
    """The collaborators of every page. Mappings go by the destination's name."""

    database: Database
    redis: Redis
    clock: Clock
    settings: Settings
    contracts: Mapping[str, Contract]
    quotas: Mapping[str, Gauge]
    person: str
    """Who is at the keyboard, where nobody has to sign in: the name of the OS user."""
    names: frozenset[str]
    """The host names this console answers to."""
    flood: Flood = field(default_factory=Flood)
    """How much strangers may still write into the audit trail."""

    @property
    def listening(self) -> Listening:
        """Where the console answers, and how it knows who asks."""
        return self.settings.console
