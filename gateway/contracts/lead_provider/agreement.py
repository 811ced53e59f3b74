"""Whether what is there already is what is asked for.

One idea: by value and meaning. A claim that has been paid still is the claim that was submitted.
"""

from collections.abc import Mapping

from gateway.contracts.lead_provider.terms import ENDED, LIVE, SUBMITTED, VOIDED, as_text, plain_id
from gateway.contracts.lead_provider.validation import instant
from schema.fingerprint import Json
from schema.keys import RecordKey


def agrees(key: RecordKey, name: str, wanted: Json, accepted: Mapping[str, Json]) -> bool:
    """Whether an accepted state already is what a wanted field asks for. None asks for nothing."""
    there = accepted.get(name)
    if wanted is None:
        return True
    if key.kind == "declaration" and name == "state":
        return _state_agrees(wanted, there)
    if name == "declaration_date":
        return instant(wanted) is not None and instant(wanted) == instant(there)
    if name == "evidence_held" and _evidence_is_ignored(key, accepted):
        return True
    return _plain(wanted) == _plain(there)


def _state_agrees(wanted: Json, there: Json) -> bool:
    if wanted == SUBMITTED:
        return there in LIVE
    return there in ENDED if wanted == VOIDED else wanted == there


def _evidence_is_ignored(key: RecordKey, accepted: Mapping[str, Json]) -> bool:
    """To cohort 2024 the API stores none for `started`; from 2025 it never stores none (§7.5)."""
    claimed = accepted.get("state") in LIVE
    return claimed and key.part == "started" and accepted.get("evidence_held") is None


def _plain(value: Json) -> str | None:
    """Ids in the API's spelling, a year as text: the same value, however it was written."""
    text = as_text(value)
    return None if text is None else plain_id(text)
