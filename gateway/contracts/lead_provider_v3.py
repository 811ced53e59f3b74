"""The Lead Provider API, version 3: its contract, put together.

One idea: everything this API is stands in `gateway.contracts.lead_provider`; this module only says
which of it is version 3. Paths are relative to a base URL that ends in `/api/v3`.
"""

from gateway.contracts.lead_provider.agreement import agrees
from gateway.contracts.lead_provider.asks import asks
from gateway.contracts.lead_provider.cut_offs import cut_off
from gateway.contracts.lead_provider.planning import plan, steps
from gateway.contracts.lead_provider.reading import read
from gateway.contracts.lead_provider.restating import restate
from gateway.contracts.lead_provider.rules import RULES
from gateway.contracts.lead_provider.sources import STATEMENTS, sources
from gateway.contracts.lead_provider.terms import KINDS, OPERATIONS, as_text
from schema.contract import Contract
from schema.record import Record

CALLS = 1000
WINDOW_SECONDS = 300
"""The limit of one key (§4). The server counts fixed windows and its guidance says rolling; who
keeps to the rolling reading keeps to both."""


def serial_key(record: Record) -> str | None:
    """Name the real remote thing: what may have one write in flight.

    A person in a role, whose declarations go with it (None: the parent's); a school in a cohort.
    None also while that is not known.
    """
    match record.key.kind:
        case "enrolment":
            return f"{record.remote_id}/{record.role}" if record.remote_id and record.role else None
        case "partnership":
            return _place(record)
        case _:
            return None


def _place(record: Record) -> str:
    school, cohort = as_text(record.wanted("school_id")), as_text(record.wanted("cohort"))
    return f"partnership/{cohort}/{school}" if school and cohort else str(record.key)


CONTRACT = Contract(
    name="lead_provider_v3",
    calls=CALLS,
    window_seconds=WINDOW_SECONDS,
    kinds=KINDS,
    operations=OPERATIONS,
    rules=RULES,
    asks=asks,
    plan=plan,
    agrees=agrees,
    read=read,
    serial_key=serial_key,
    steps=steps,
    sources=sources,
    restate=restate,
    dates_from=STATEMENTS.name,
    cut_off=cut_off,
)
