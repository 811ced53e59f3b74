"""`pillarbox config`: what is configured, as Pillarbox understood it."""

from collections.abc import Callable
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from typing import Any, cast

import typer

from console.plain import seconds
from pillarbox.commands.common import AsJson, noun, print_json, print_table, settings
from runtime.database import database_url, shown
from runtime.redis import without_password
from runtime.settings import Destination, Settings, written

app = noun("Show what is configured.", "pillarbox config show --json")


def add_to(root: typer.Typer) -> None:
    """Add the commands."""
    root.add_typer(app, name="config")


@app.command()
def show(as_json: AsJson = False) -> None:
    """Show every setting as it was understood; keys are never shown.

    Example: pillarbox config show
    """
    found = settings()
    if as_json:
        print_json(_values(found))
        return
    print_table(("variable", "value"), _rows(found))


def _rows(found: Settings) -> list[tuple[str, object]]:
    """Name each setting as its variable is named; of several destinations, as their file does."""
    rows: list[tuple[str, object]] = [
        ("DATABASE_URL", shown(database_url(found.database_url))),
        (
            "REDIS_URL",
            "not set: built in" if found.redis_url is None else without_password(found.redis_url),
        ),
        ("PILLARBOX_NAMESPACE", found.namespace),
        *((one.variable, one.shown(found)) for one in PLAIN),
        ("LOG_FORMAT", found.log_format),
        ("LOG_LEVEL", found.log_level),
    ]
    alone = [one.token.variable for one in found.destinations] == [VARIABLES["key"]]
    for one in found.destinations:
        for key, value in _destination(one).items():
            if key != "name":
                rows.append((VARIABLES[key] if alone else f"{one.name}: {key}", value))
    return rows


@dataclass(frozen=True, slots=True)
class Plain:
    """A setting that is shown as it is: its variable, its name in JSON, and where it lies."""

    variable: str
    name: str
    read: Callable[[Settings], object]

    def shown(self, found: Settings) -> object:
        """Write it as a person would have set it."""
        value = self.read(found)
        if isinstance(value, timedelta):
            return written(value)
        if isinstance(value, tuple):
            return ", ".join(cast(tuple[str, ...], value)) or "not set"
        return "not set" if value in (None, "") else value

    def told(self, found: Settings) -> object:
        """Give it for JSON: a duration in seconds."""
        value = self.read(found)
        if isinstance(value, timedelta):
            return seconds(value)
        if isinstance(value, tuple):
            return list(cast(tuple[str, ...], value))
        return str(value) if isinstance(value, Path) else value


PLAIN = (
    Plain("PILLARBOX_SETTLE", "settle_s", lambda found: found.settle),
    Plain("PILLARBOX_LEASE", "lease_s", lambda found: found.lease),
    Plain("PILLARBOX_QUARANTINE", "quarantine_s", lambda found: found.quarantine),
    Plain("PILLARBOX_SEND_BY", "send_by_s", lambda found: found.send_by),
    Plain("PILLARBOX_DEADLINE", "deadline_s", lambda found: found.deadline),
    Plain("PILLARBOX_BREAKER", "breaker", lambda found: _breaker(found)),
    Plain("PILLARBOX_KEEP_ENTRIES", "keep_entries_s", lambda found: found.keep_entries),
    Plain("PILLARBOX_KEEP_BODIES", "keep_bodies_s", lambda found: found.keep_bodies),
    Plain("PILLARBOX_KEEP_FEED", "keep_feed_s", lambda found: found.keep_feed),
    Plain("PILLARBOX_KEEP_UNREAD", "keep_unread_s", lambda found: found.keep_unread),
    Plain("PILLARBOX_KEEP_GONE", "keep_gone_s", lambda found: found.keep_gone),
    Plain("PILLARBOX_OFFPEAK", "offpeak", lambda found: found.offpeak),
    Plain("PILLARBOX_POLL_INTERVAL", "poll_interval_s", lambda found: found.poll_interval),
    Plain("PILLARBOX_POLL_START", "poll_start", lambda found: found.poll_start),
    Plain("PILLARBOX_POLL_PAGE_SIZE", "poll_page_size", lambda found: found.poll_page_size),
    Plain("PILLARBOX_POLL_GAP", "poll_gap_s", lambda found: found.poll_gap),
    Plain("PILLARBOX_POLL_RUNTIME", "poll_runtime_s", lambda found: found.poll_runtime),
    Plain("PILLARBOX_FULL_SYNC", "full_sync", lambda found: found.full_sync),
    Plain(
        "PILLARBOX_FULL_SYNC_PAGE_SIZE",
        "full_sync_page_size",
        lambda found: found.full_sync_page_size,
    ),
    Plain("PILLARBOX_UNCONFIRMED", "unconfirmed_s", lambda found: found.unconfirmed),
    Plain("PILLARBOX_SUBSCRIBERS", "subscribers", lambda found: found.subscribers),
    Plain("PILLARBOX_CONSOLE_HOST", "console_host", lambda found: found.console.host),
    Plain("PORT", "console_port", lambda found: found.console.port),
    Plain("PILLARBOX_CONSOLE_NAMES", "console_names", lambda found: found.console.names),
    Plain("PILLARBOX_CONSOLE_TLS", "console_tls", lambda found: found.console.tls),
    Plain(
        "PILLARBOX_CONSOLE_TLS_CERTIFICATE",
        "console_tls_certificate",
        lambda found: found.console.certificate,
    ),
    Plain("PILLARBOX_CONSOLE_TLS_KEY", "console_tls_key", lambda found: found.console.key),
    Plain(
        "PILLARBOX_CONSOLE_USER_HEADER",
        "console_user_header",
        lambda found: found.console.user_header,
    ),
    Plain("PILLARBOX_CONSOLE_PROXIES", "console_proxies", lambda found: found.console.proxies),
    Plain("PILLARBOX_CONSOLE_IDLE", "console_idle_s", lambda found: found.console.idle),
    Plain("PILLARBOX_CONSOLE_SESSION", "console_session_s", lambda found: found.console.session),
)
"""Every setting that hides nothing and belongs to no destination, in the order in which it is shown.

Of a TLS key only the file's name is shown.
"""


def _breaker(found: Settings) -> str:
    return f"{found.breaker_failures}/{found.breaker_within.total_seconds():g}"


VARIABLES = {
    "contract": "PILLARBOX_CONTRACT",
    "url": "PILLARBOX_API_URL",
    "key": "PILLARBOX_API_TOKEN",
    "key_name": "PILLARBOX_KEY_NAME",
    "quota": "PILLARBOX_QUOTA",
    "address": "PILLARBOX_ADDRESS",
    "address_quota": "PILLARBOX_ADDRESS_QUOTA",
}
"""Which variable sets what of the one destination."""


def _values(found: Settings) -> dict[str, Any]:
    return {
        "database_url": shown(database_url(found.database_url)),
        "redis_url": None if found.redis_url is None else without_password(found.redis_url),
        "namespace": found.namespace,
        **{one.name: one.told(found) for one in PLAIN},
        "log_format": found.log_format,
        "log_level": found.log_level,
        "destinations": [_destination(one) for one in found.destinations],
    }


def _destination(one: Destination) -> dict[str, Any]:
    if one.token.value is not None:
        token = f"in {one.token.variable}"
    elif one.token.file is not None:
        token = f"in the file {one.token.file}"
    else:
        token = "not set"
    return {
        "name": one.name,
        "contract": one.contract,
        "url": one.url,
        "key": token,
        "key_name": one.key_name,
        "quota": f"{one.calls}/{one.window.total_seconds():g}s",
        "address": one.address,
        "address_quota": one.address_calls,
    }
