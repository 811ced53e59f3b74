"""A sandbox's world with as many people as wanted, all of them in training and alike."""

from typing import Any
from uuid import NAMESPACE_URL, uuid5


def a_crowd(people: int, *, token: str, **steps: int) -> dict[str, Any]:
    """Make it: one provider, one school, one partnership. *steps* are those of the bulk's stamps."""
    training = {
        "provider": "crowd",
        "partnership": "p",
        "schedule": "ecf-standard-september",
        "started_on": "2025-09-01",
    }
    like = {
        "role": "ect",
        "school": "s1",
        "school_started_on": "2025-09-01",
        "training": training,
    }
    if steps:
        like |= {"created_at": "2025-09-01T09:00:00Z", "updated_at": "2025-09-01T09:00:00Z"}
    return {
        "format": 1,
        "clock": {"real": True},
        "providers": {"crowd": {"name": "Crowd Training", "tokens": [token]}},
        "cohorts": {"2025": {}},
        "schedules": {"2025": {"ecf-standard-september": {"started": ["2025-06-01", None]}}},
        "delivery_partners": {"hub": {"name": "Hub", "pairings": [["crowd", 2025]]}},
        "schools": {"s1": {"urn": "900001"}},
        "partnerships": {
            "p": {"school": "s1", "provider": "crowd", "delivery_partner": "hub", "cohort": 2025}
        },
        "participants": {"c": {"bulk": {"count": people, **steps, "like": like}}},
    }


def person(number: int) -> str:
    """Give the id of one of them, from 1 on."""
    return str(uuid5(NAMESPACE_URL, f"sandbox:participants:c{number}"))
