"""The quota and the gates, as people and programs are told of them.

One idea: the command, the page and the JSON say the same, because they say it here.
"""

from collections.abc import Sequence
from datetime import datetime
from typing import Any

from console.plain import seconds
from console.views import london
from gateway.quota import QuotaFill
from outbox.pausing import gate_json
from outbox.standing import Gate
from schema.states import GateReason


def gates_json(shown: Sequence[Gate], now: datetime) -> dict[str, Any]:
    """Give every gate, and by itself the weightiest that lets nothing through."""
    each = [gate_json(gate, now) for gate in shown]
    shut = next((one for one in each if one is not None and one["state"] == "shut"), None)
    return {"gate": shut, "gates": each}


def fill_json(fill: QuotaFill) -> dict[str, Any]:
    """Give the fill of the window as JSON."""
    return {
        "limit": fill.limit.calls,
        "window_s": seconds(fill.limit.window),
        "open": fill.is_open,
        "used": fill.used,
        "in_flight": fill.in_flight,
        "foreign": fill.foreign,
        "lanes": {
            lane.value: {"used": one.used, "share": one.share, "waiting": one.waiting}
            for lane, one in fill.lanes.items()
        },
        "next_free_s": [seconds(wait) for wait in fill.next_free],
        "address_used": fill.address_used,
    }


def gate_line(gate: Gate, now: datetime) -> str:
    """Say in a sentence what a gate stops, since when, until when and by whom."""
    who = f" by {gate.actor}" if gate.actor else ""
    why = f"{gate.reason.value.replace('_', ' ')}{who} since {london(gate.since)}: {gate.detail}"
    if gate.until is not None and gate.until <= now:
        tries = "one call tries it" if gate.probe else "the next call tries it"
        return f"The gate is ajar, {tries}: {why}"
    if gate.until is not None:
        return f"The gate is shut until {london(gate.until)}, {why}"
    refused = gate.reason is GateReason.KEY_REFUSED
    until = "the key is changed or a person resumes" if refused else "a person resumes"
    return f"The gate is shut until {until}, {why}"
