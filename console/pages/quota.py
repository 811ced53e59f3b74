"""Quota: how full the rolling window is, when it frees, every gate; a person pauses and resumes."""

from collections.abc import Sequence
from datetime import timedelta
from typing import Any

from starlette.responses import Response

from console import whose
from console.errors import NotFilled, NotThere
from console.page import act, action, page, render
from console.pages.overview import roughly
from console.quotas import fill_json, gates_json
from console.visit import Visit
from gateway.errors import QuotaUnavailable
from outbox import gates, pausing
from outbox.pausing import Pause
from outbox.standing import Gate
from runtime.errors import InvalidSettings
from runtime.settings import Destination, duration


def show(visit: Visit) -> Response:
    """Show the quota and the gates of every destination."""
    told = [_told(visit, one) for one in visit.site.settings.destinations]
    return render(visit, "quota.html", told, quotas=told, roughly=roughly)


def _told(visit: Visit, one: Destination) -> dict[str, Any]:
    try:
        quota = fill_json(visit.site.quotas[one.name].fill())
    except QuotaUnavailable:
        quota = None
    with visit.site.database.reading() as connection:
        shown = gates.shown(connection, one.name, visit.now, key_name=one.key_name)
        whose.anybody_in(visit, connection, one.name, [gate.detail for gate in shown])
    return {"destination": one.name, "quota": quota, **gates_json(shown, visit.now)}


def pause(visit: Visit) -> Response:
    """Stop all calls to a destination, for a time or until somebody resumes."""
    one = _chosen(visit)
    length = _length(visit.form.text("length"))
    reason = visit.form.needed("reason", "why calls are to stop")
    return act(
        visit,
        lambda connection: pausing.pause(
            connection,
            one.name,
            length=length,
            actor=visit.who.name,
            reason=reason,
            now=visit.now,
        ),
        to="/quota",
        said=_paused,
    )


def _paused(done: Pause) -> str:
    if done.new:
        return "Paused. What is due waits, at no cost."
    return "It is paused for longer already; resume first to end it sooner."


def _length(text: str) -> timedelta | None:
    if not text.strip():
        return None
    try:
        return duration(text.strip(), "the length")
    except InvalidSettings as error:
        raise NotFilled(str(error), field="length") from None


def resume(visit: Visit) -> Response:
    """End a pause, and have a refused key or a destination that failed tried."""
    one = _chosen(visit)
    reason = visit.form.needed("reason", "why calls go on")
    throttle = visit.form.text("throttle") == "yes"
    return act(
        visit,
        lambda connection: pausing.resume(
            connection,
            one.name,
            one.key_name,
            throttle=throttle,
            actor=visit.who.name,
            reason=reason,
            now=visit.now,
        ),
        to="/quota",
        said=_resumed,
    )


def _resumed(still: Sequence[Gate]) -> str:
    if not still:
        return "Resumed. Where a call is needed first to try, one goes before the others."
    names = ", ".join(gate.reason.value.replace("_", " ") for gate in still)
    return f"Resumed, and still stopped by: {names}."


def _chosen(visit: Visit) -> Destination:
    try:
        return visit.site.settings.destination(visit.path("destination"))
    except InvalidSettings as error:
        raise NotThere(str(error)) from None


routes = [
    page("/quota", show),
    action("/quota/{destination}/pause", pause),
    action("/quota/{destination}/resume", resume),
]
