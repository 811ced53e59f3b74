"""Whether what is there already is what is asked for.

One idea: by value and meaning. A claim that has been paid still is the claim that was submitted.
"""

from collections.abc import Mapping

from gateway.contracts.lead_provider.terms import ENDED, LIVE, as_text, plain_id
from gateway.contracts.lead_provider.validation import instant
from schema.fingerprint import Json
from schema.keys import RecordKey


def agrees(key: RecordKey, name: str, wanted: Json, accepted: Mapping[str, Json]) -> bool:
    """Whether an accepted state already is what a wanted field asks for."""
    there = accepted.get(name)
    if key.kind == "declaration" and name == "state":
        return _state_agrees(wanted, there)
    if name == "declaration_date":
        return instant(wanted) is not None and instant(wanted) == instant(there)
    if name == "evidence_held" and (wanted is None or _evidence_is_ignored(key, accepted)):
        return True  # a claim without evidence asks for none in particular
    return _plain(wanted) == _plain(there)


def _state_agrees(wanted: Json, there: Json) -> bool:
    """A claim stands or it does not; how far its payment has got is the other side's business."""
    return any(wanted in same and there in same for same in (LIVE, ENDED))


def _evidence_is_ignored(key: RecordKey, accepted: Mapping[str, Json]) -> bool:
    """To cohort 2024 the API stores none for `started`; from 2025 it never stores none (§7.5)."""
    claimed = accepted.get("state") in LIVE
    return claimed and key.part == "started" and accepted.get("evidence_held") is None


def _plain(value: Json) -> str | None:
    """Ids in the API's spelling, a year as text: the same value, however it was written."""
    text = as_text(value)
    return None if text is None else plain_id(text)
