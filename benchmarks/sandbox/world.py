"""A world of 60,000 participants and 200,000 declarations, at 300 schools."""

Json = dict[str, object]

PARTICIPANTS = 60_000
DECLARATIONS = (
    ("started", PARTICIPANTS),
    ("retained-1", PARTICIPANTS),
    ("retained-2", PARTICIPANTS),
    ("retained-3", 200_000 - 3 * PARTICIPANTS),
)
SCHOOLS = 300
TYPES = ("started", "retained-1", "retained-2", "retained-3", "retained-4", "completed")


def big_world(participants: int = PARTICIPANTS) -> Json:
    """The world; with fewer participants it has no declarations of those who are missing."""
    windows = {kind: ["2025-06-01", None] for kind in TYPES}
    return {
        "format": 1,
        "clock": {"now": "2026-02-10T12:00:00Z"},
        "providers": {"harbour": {"name": "Harbour"}, "rival": {"name": "Rival"}},
        "cohorts": {"2024": {}, "2025": {}},
        "schedules": {"2025": {"ecf-standard-september": windows}},
        "delivery_partners": {"hub": {"name": "Hub", "pairings": [["harbour", 2025]]}},
        "schools": {"s": {"bulk": {"count": SCHOOLS, "like": {"urn": "9{n}"}}}},
        "partnerships": {
            "ps": {
                "bulk": {
                    "count": SCHOOLS,
                    "like": {
                        "school": "s{n}",
                        "provider": "harbour",
                        "delivery_partner": "hub",
                        "cohort": 2025,
                    },
                }
            }
        },
        "statements": {
            "next": {
                "provider": "harbour",
                "cohort": 2025,
                "month": 9,
                "year": 2026,
                "cut_off_date": "2026-08-31",
                "payment_date": "2026-09-25",
            }
        },
        "participants": {
            f"school-{school}": _people(school, participants // SCHOOLS)
            for school in range(1, SCHOOLS + 1)
        },
        "declarations": {
            f"{kind}-{school}-": _declarations(kind, school, min(count, participants) // SCHOOLS)
            for kind, count in DECLARATIONS
            for school in range(1, SCHOOLS + 1)
        },
    }


def _people(school: int, count: int) -> Json:
    """The people of one school."""
    like: Json = {
        "role": "ect",
        "full_name": "Person {n} of " + str(school),
        "school": f"s{school}",
        "school_started_on": "2025-09-01",
        "updated_at": f"2025-09-{1 + school % 28:02}T09:00:00Z",
        "training": {
            "provider": "harbour",
            "partnership": f"ps{school}",
            "schedule": "ecf-standard-september",
            "started_on": "2025-09-01",
        },
    }
    return {
        "bulk": {
            "count": count,
            "ref_prefix": f"p{school}-",
            "updated_at_step_seconds": 1,
            "like": like,
        }
    }


def _declarations(kind: str, school: int, count: int) -> Json:
    day = 1 + TYPES.index(kind)
    return {
        "bulk": {
            "count": count,
            "like": {
                "of": f"p{school}-" + "{n}",
                "type": kind,
                "date": f"2025-{9 + TYPES.index(kind):02}-{day:02}T09:00:00Z",
                "state": "eligible",
            },
        }
    }
