"""What counts as the same on both sides."""

from typing import Any

import pytest

from gateway.contracts.lead_provider_v3 import CONTRACT
from schema.keys import RecordKey
from tests.contracts.builders import ENROLMENT_KEY, PARTNER

PARTNERSHIP_KEY = RecordKey("partnership", "P-1")


@pytest.mark.parametrize(
    ("key", "name", "wanted", "there", "agree"),
    [
        (ENROLMENT_KEY, "cohort", "2025", "2025", True),
        (ENROLMENT_KEY, "cohort", 2025, "2025", True),
        (ENROLMENT_KEY, "cohort", "2025", None, False),
        (ENROLMENT_KEY, "training_status", "active", "deferred", False),
        (ENROLMENT_KEY, "mentor_id", PARTNER.upper(), PARTNER, True),
        (ENROLMENT_KEY, "mentor_id", None, None, True),
        (ENROLMENT_KEY, "mentor_id", None, PARTNER, False),
        (PARTNERSHIP_KEY, "delivery_partner_id", PARTNER.upper(), PARTNER, True),
        (PARTNERSHIP_KEY, "delivery_partner_id", None, PARTNER, False),
    ],
)
def test_values_agree_however_they_are_spelled(
    key: RecordKey, name: str, wanted: Any, there: Any, agree: bool
) -> None:
    assert CONTRACT.agrees(key, name, wanted, {name: there}) is agree
