"""The only reader of the environment: one frozen value, checked when it is built.

One idea: a wrong variable stops the process at its start, with a sentence that names it, its value
and what would be right; nothing is found out in the middle of the night.
"""

import os
import re
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from difflib import get_close_matches
from ipaddress import ip_address
from pathlib import Path
from typing import Any, cast

from runtime.errors import InvalidSettings
from schema.addresses import is_loopback, leads_here

DEFAULT_DATABASE = "sqlite:///.pillarbox/pillarbox.db"

LEASE_MARGIN = timedelta(seconds=30)
"""What a lease must last beyond SEND_BY and the call's deadline: time to settle, twice over, on a
database that is slow. Shorter, and another worker may take a record whose call is not settled."""

SHORTEST_KEEP = timedelta(days=7)
"""How long closed entries are kept at least: a week in which a source that repeats an `event_id` is
noticed, and a person can look at what happened."""

SHORTEST_BODIES = timedelta(days=1)
"""How long requests and answers are kept at least: what is looked up tomorrow is compared with them."""

SHORTEST_FEED = timedelta(days=7)
"""How long news are kept at least: a reader that stood still over a weekend goes on without a gap."""

SHORTEST_INTERVAL = timedelta(minutes=1)
"""How often a collection may be polled at most: nine of them twice over are 20 calls a minute."""

LARGEST_PAGE = 3000
"""The largest page that any API here gives."""

HOURS = r"([01]\d|2[0-3]):[0-5]\d-([01]\d|2[0-3]):[0-5]\d"
FULL_SYNC = "tue 22:00-06:00, sat 22:00-06:00"

DURATION = re.compile(r"^(\d{1,6}(?:\.\d{1,6})?)(ms|s|m|h|d)$")
UNITS = {"ms": 0.001, "s": 1.0, "m": 60.0, "h": 3600.0, "d": 86400.0}

KNOWN = (
    "PILLARBOX_API_URL",
    "PILLARBOX_API_TOKEN",
    "PILLARBOX_API_TOKEN_FILE",
    "PILLARBOX_CONTRACT",
    "PILLARBOX_QUOTA",
    "PILLARBOX_SETTLE",
    "PILLARBOX_LEASE",
    "PILLARBOX_QUARANTINE",
    "PILLARBOX_SEND_BY",
    "PILLARBOX_DEADLINE",
    "PILLARBOX_BREAKER",
    "PILLARBOX_OFFPEAK",
    "PILLARBOX_POLL_INTERVAL",
    "PILLARBOX_POLL_START",
    "PILLARBOX_POLL_PAGE_SIZE",
    "PILLARBOX_POLL_GAP",
    "PILLARBOX_POLL_RUNTIME",
    "PILLARBOX_FULL_SYNC",
    "PILLARBOX_FULL_SYNC_PAGE_SIZE",
    "PILLARBOX_UNCONFIRMED",
    "PILLARBOX_DESTINATIONS",
    "PILLARBOX_KEY_NAME",
    "PILLARBOX_ADDRESS",
    "PILLARBOX_ADDRESS_QUOTA",
    "PILLARBOX_NAMESPACE",
    "PILLARBOX_KEEP_ENTRIES",
    "PILLARBOX_KEEP_BODIES",
    "PILLARBOX_KEEP_FEED",
    "PILLARBOX_KEEP_UNREAD",
    "PILLARBOX_KEEP_GONE",
    "PILLARBOX_SUBSCRIBERS",
    "PILLARBOX_CONSOLE_HOST",
    "PILLARBOX_CONSOLE_NAMES",
    "PILLARBOX_CONSOLE_TLS",
    "PILLARBOX_CONSOLE_TLS_CERTIFICATE",
    "PILLARBOX_CONSOLE_TLS_KEY",
    "PILLARBOX_CONSOLE_USER_HEADER",
    "PILLARBOX_CONSOLE_PROXIES",
    "PILLARBOX_CONSOLE_IDLE",
    "PILLARBOX_CONSOLE_SESSION",
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Token:
    """Where a key is found. It is read for each call, so a rotated file needs no restart."""

    variable: str | None = None
    file: Path | None = None
    value: str | None = field(default=None, repr=False)

    def read(self) -> str:
        """Give the key; raises `InvalidSettings` when there is none."""
        if self.value is not None:
            return self.value
        if self.file is not None:
            return self._from_file(self.file)
        raise InvalidSettings(
            "PILLARBOX_API_TOKEN is not set; put the API token there, or its file's path in "
            "PILLARBOX_API_TOKEN_FILE"
        )

    def _from_file(self, file: Path) -> str:
        try:
            token = file.read_text(encoding="utf-8").strip()
        except (OSError, UnicodeDecodeError):
            raise InvalidSettings(
                f"PILLARBOX_API_TOKEN_FILE: {file} cannot be read; put the API token there"
            ) from None
        if not token:
            raise InvalidSettings(f"PILLARBOX_API_TOKEN_FILE: {file} is empty; put the token there")
        return token


@dataclass(frozen=True, slots=True, kw_only=True)
class Destination:
    """A contract, a base URL, a key and its limit. `address` is a source address that is shared."""

    name: str
    contract: str
    url: str | None
    token: Token
    key_name: str
    calls: int
    window: timedelta
    address: str | None = None
    address_calls: int = 1500

    @property
    def is_loopback(self) -> bool:
        """Whether it is on this machine: a sandbox, never the real API."""
        return self.url is not None and leads_here(self.url)


@dataclass(frozen=True, slots=True, kw_only=True)
class Listening:
    """Where the console answers, by which names, and how it knows who asks.

    `tls` says who ends TLS where it is not this process by a certificate: `proxy`, or `none` where
    somebody has decided to do without.
    """

    host: str = "127.0.0.1"
    port: int = 4020
    names: tuple[str, ...] = ()
    tls: str = ""
    certificate: Path | None = None
    key: Path | None = None
    user_header: str | None = None
    proxies: tuple[str, ...] = ("127.0.0.1", "::1")
    idle: timedelta = timedelta(minutes=30)
    session: timedelta = timedelta(hours=10)

    @property
    def is_public(self) -> bool:
        """Whether other machines can reach it."""
        return not is_loopback(self.host)

    @property
    def is_secure(self) -> bool:
        """Whether browsers reach it by TLS."""
        return self.certificate is not None or self.tls == "proxy"


@dataclass(frozen=True, slots=True, kw_only=True)
class Settings:
    """Everything that is configured."""

    database_url: str = DEFAULT_DATABASE
    redis_url: str | None = None
    namespace: str = "pillarbox"
    destinations: tuple[Destination, ...] = ()
    settle: timedelta = timedelta(seconds=30)
    lease: timedelta = timedelta(minutes=2)
    quarantine: timedelta = timedelta(minutes=2)
    send_by: timedelta = timedelta(seconds=10)
    deadline: timedelta = timedelta(seconds=30)
    keep_entries: timedelta = timedelta(days=400)
    keep_bodies: timedelta = timedelta(days=90)
    keep_feed: timedelta = timedelta(days=90)
    keep_unread: timedelta = timedelta(days=400)
    keep_gone: timedelta = timedelta(days=400)
    subscribers: tuple[str, ...] = ()
    breaker_failures: int = 10
    breaker_within: timedelta = timedelta(seconds=60)
    offpeak: str = "22:00-06:00"
    poll_interval: timedelta = timedelta(hours=1)
    poll_start: str = ""
    poll_page_size: int = 100
    poll_gap: timedelta = timedelta(days=7)
    poll_runtime: timedelta = timedelta(minutes=10)
    full_sync: str = FULL_SYNC
    full_sync_page_size: int = 250
    unconfirmed: timedelta = timedelta(days=14)
    console: Listening = Listening()
    log_format: str = "auto"
    log_level: str = "INFO"

    @classmethod
    def from_environment(cls, environment: Mapping[str, str] | None = None) -> "Settings":
        """Read and check the environment; raises `InvalidSettings`."""
        given = dict(os.environ if environment is None else environment)
        _refuse_unknown(given)
        failures, within = quota(given.get("PILLARBOX_BREAKER") or "10/60", "PILLARBOX_BREAKER")
        settings = cls(
            database_url=given.get("DATABASE_URL") or DEFAULT_DATABASE,
            redis_url=given.get("REDIS_URL") or None,
            namespace=_namespace(given),
            destinations=_destinations(given),
            settle=_duration(given, "PILLARBOX_SETTLE", "30s"),
            lease=_duration(given, "PILLARBOX_LEASE", "2m"),
            quarantine=_duration(given, "PILLARBOX_QUARANTINE", "2m"),
            send_by=_duration(given, "PILLARBOX_SEND_BY", "10s"),
            deadline=_duration(given, "PILLARBOX_DEADLINE", "30s"),
            keep_entries=_duration(given, "PILLARBOX_KEEP_ENTRIES", "400d"),
            keep_bodies=_duration(given, "PILLARBOX_KEEP_BODIES", "90d"),
            keep_feed=_duration(given, "PILLARBOX_KEEP_FEED", "90d"),
            keep_unread=_duration(given, "PILLARBOX_KEEP_UNREAD", "400d"),
            keep_gone=_duration(given, "PILLARBOX_KEEP_GONE", "400d"),
            subscribers=_subscribers(given),
            breaker_failures=failures,
            breaker_within=within,
            offpeak=_offpeak(given),
            poll_interval=_duration(given, "PILLARBOX_POLL_INTERVAL", "1h"),
            poll_start=_poll_start(given),
            poll_page_size=_page_size(given, "PILLARBOX_POLL_PAGE_SIZE", "100"),
            poll_gap=_duration(given, "PILLARBOX_POLL_GAP", "7d"),
            poll_runtime=_duration(given, "PILLARBOX_POLL_RUNTIME", "10m"),
            full_sync=_full_sync(given),
            full_sync_page_size=_page_size(given, "PILLARBOX_FULL_SYNC_PAGE_SIZE", "250"),
            unconfirmed=_duration(given, "PILLARBOX_UNCONFIRMED", "14d"),
            console=_listening(given),
            log_format=_choice(given, "LOG_FORMAT", "auto", ("auto", "json", "text")),
            log_level=_choice(
                given, "LOG_LEVEL", "INFO", ("DEBUG", "INFO", "WARNING", "ERROR"), upper=True
            ),
        )
        settings.check()
        return settings

    def check(self) -> None:
        """Check what must hold between settings."""
        shortest = self.send_by + self.deadline + LEASE_MARGIN
        if self.lease <= shortest:
            raise InvalidSettings(
                f"PILLARBOX_LEASE is {written(self.lease)}; it must be longer than "
                f"PILLARBOX_SEND_BY + PILLARBOX_DEADLINE + {written(LEASE_MARGIN)} "
                f"= {written(shortest)}, or a second worker may take a record in mid-call"
            )
        if self.send_by <= timedelta(0) or self.deadline <= timedelta(0):
            raise InvalidSettings(
                "PILLARBOX_SEND_BY and PILLARBOX_DEADLINE must be longer than nothing; "
                "write 10s and 30s"
            )
        self._check_retention()
        self._check_polls()
        self._check_console()

    def _check_retention(self) -> None:
        if self.keep_entries < SHORTEST_KEEP:
            raise InvalidSettings(
                f"PILLARBOX_KEEP_ENTRIES is {written(self.keep_entries)}; closed entries are kept "
                "for 7d at least, so that an event sent twice is noticed"
            )
        longest_window = max((one.window for one in self.destinations), default=timedelta(0))
        if self.keep_bodies < max(SHORTEST_BODIES, 2 * longest_window):
            raise InvalidSettings(
                f"PILLARBOX_KEEP_BODIES is {written(self.keep_bodies)}; requests and answers are "
                "kept for 1d at least, and for twice the window of PILLARBOX_QUOTA"
            )
        if self.keep_bodies > self.keep_entries:
            raise InvalidSettings(
                f"PILLARBOX_KEEP_BODIES is {written(self.keep_bodies)}; it cannot be longer than "
                f"PILLARBOX_KEEP_ENTRIES, {written(self.keep_entries)}"
            )
        for name, length in (("FEED", self.keep_feed), ("GONE", self.keep_gone)):
            if length < SHORTEST_FEED:
                raise InvalidSettings(
                    f"PILLARBOX_KEEP_{name} is {written(length)}; it must be "
                    f"{written(SHORTEST_FEED)} or longer"
                )
        if self.keep_unread < self.keep_feed:
            raise InvalidSettings(
                f"PILLARBOX_KEEP_UNREAD is {written(self.keep_unread)}; it cannot be shorter than "
                f"PILLARBOX_KEEP_FEED, {written(self.keep_feed)}"
            )

    def _check_polls(self) -> None:
        if self.poll_interval < SHORTEST_INTERVAL:
            raise InvalidSettings(
                f"PILLARBOX_POLL_INTERVAL is {written(self.poll_interval)}; it must be "
                f"{written(SHORTEST_INTERVAL)} or longer, or polls leave the quota to nobody"
            )
        if self.poll_gap < 3 * self.poll_interval:
            raise InvalidSettings(
                f"PILLARBOX_POLL_GAP is {written(self.poll_gap)}; it must be three times "
                "PILLARBOX_POLL_INTERVAL or longer, or a late poll reads everything"
            )
        if self.poll_runtime <= timedelta(0):
            raise InvalidSettings("PILLARBOX_POLL_RUNTIME must be longer than nothing; write 10m")

    def _check_console(self) -> None:
        if (self.console.certificate is None) != (self.console.key is None):
            raise InvalidSettings(
                "PILLARBOX_CONSOLE_TLS_CERTIFICATE and PILLARBOX_CONSOLE_TLS_KEY belong together; "
                "name both files, or neither"
            )
        if not timedelta(0) < self.console.idle <= self.console.session:
            raise InvalidSettings(
                f"PILLARBOX_CONSOLE_IDLE is {written(self.console.idle)}; it must be longer than "
                f"nothing, and at most PILLARBOX_CONSOLE_SESSION, {written(self.console.session)}"
            )

    @property
    def embedded(self) -> bool:
        """Whether Redis is the stand-in inside this process."""
        return self.redis_url is None

    def destination(self, name: str) -> Destination:
        """Give a destination by name; raises `InvalidSettings`."""
        for destination in self.destinations:
            if destination.name == name:
                return destination
        known = ", ".join(one.name for one in self.destinations)
        raise InvalidSettings(f"destination: there is no {name!r}; configured are {known}")


def _refuse_unknown(given: Mapping[str, str]) -> None:
    for name in given:
        if name.startswith("PILLARBOX_") and name not in KNOWN:
            near = get_close_matches(name, KNOWN, n=1, cutoff=0.0)[0]
            raise InvalidSettings(f"{name} is no variable of Pillarbox; did you mean {near}?")


def _destinations(given: Mapping[str, str]) -> tuple[Destination, ...]:
    file = given.get("PILLARBOX_DESTINATIONS")
    if file:
        return _from_file(Path(file), given)
    calls, window = quota(given.get("PILLARBOX_QUOTA", "1000/300"), "PILLARBOX_QUOTA")
    address_calls, _ = quota(
        given.get("PILLARBOX_ADDRESS_QUOTA", "1500/300"), "PILLARBOX_ADDRESS_QUOTA"
    )
    token_file = given.get("PILLARBOX_API_TOKEN_FILE")
    return (
        Destination(
            name="default",
            contract=given.get("PILLARBOX_CONTRACT") or "lead_provider_v3",
            url=given.get("PILLARBOX_API_URL") or None,
            token=Token(
                variable="PILLARBOX_API_TOKEN",
                file=Path(token_file) if token_file else None,
                value=given.get("PILLARBOX_API_TOKEN") or None,
            ),
            key_name=given.get("PILLARBOX_KEY_NAME") or "default",
            calls=calls,
            window=window,
            address=given.get("PILLARBOX_ADDRESS") or None,
            address_calls=address_calls,
        ),
    )


def _from_file(file: Path, given: Mapping[str, str]) -> tuple[Destination, ...]:
    try:
        document = tomllib.loads(file.read_text(encoding="utf-8"))
    except OSError as error:
        raise InvalidSettings(
            f"PILLARBOX_DESTINATIONS: {file} cannot be read ({error.strerror}); name a TOML file"
        ) from None
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise InvalidSettings(f"PILLARBOX_DESTINATIONS: {file} is no TOML: {error}") from None
    tables = document.get("destinations")
    if not isinstance(tables, dict) or not tables:
        raise InvalidSettings(
            f"PILLARBOX_DESTINATIONS: {file} has no [destinations.NAME] table; add one"
        )
    named = cast(dict[str, dict[str, Any]], tables)
    return tuple(_destination(file, name, table, given) for name, table in named.items())


def _destination(
    file: Path, name: str, table: Mapping[str, Any], given: Mapping[str, str]
) -> Destination:
    where = f"PILLARBOX_DESTINATIONS: {file}: destinations.{name}"
    if not isinstance(cast(object, table), dict):
        raise InvalidSettings(f"{where} must be a table; write [destinations.{name}] above it")
    allowed = {
        "contract",
        "url",
        "token_variable",
        "token_file",
        "key_name",
        "quota",
        "address",
        "address_quota",
    }
    for key, value in table.items():
        if key not in allowed:
            raise InvalidSettings(
                f"{where}.{key} is not known; allowed are {', '.join(sorted(allowed))}"
            )
        if not isinstance(value, str):
            raise InvalidSettings(f"{where}.{key} must be text, in quotation marks")
    for key in ("url", "contract"):
        if key not in table:
            raise InvalidSettings(f"{where}.{key} is missing")
    variable = table.get("token_variable")
    if variable is None and "token_file" not in table:
        raise InvalidSettings(
            f"{where} says nothing of its key; give token_variable (the name of a variable that "
            "holds it) or token_file"
        )
    calls, window = quota(table.get("quota", "1000/300"), f"{where}.quota")
    address_calls, _ = quota(table.get("address_quota", "1500/300"), f"{where}.address_quota")
    return Destination(
        name=name,
        contract=table["contract"],
        url=table["url"],
        token=Token(
            variable=variable,
            file=Path(table["token_file"]) if "token_file" in table else None,
            value=given.get(variable) if variable else None,
        ),
        key_name=table.get("key_name", name),
        calls=calls,
        window=window,
        address=table.get("address"),
        address_calls=address_calls,
    )


def quota(text: str, name: str) -> tuple[int, timedelta]:
    """Read a limit such as `1000/300`: calls, and the window in seconds or as a duration."""
    calls, _, window = text.partition("/")
    seconds = window + "s" if window.isdecimal() else window
    if not re.fullmatch(r"\d{1,9}", calls) or int(calls) < 1 or not DURATION.match(seconds):
        raise InvalidSettings(f"{name} is {text!r}; write calls/seconds, such as 1000/300")
    length = _read_duration(seconds)
    if length <= timedelta(0):
        raise InvalidSettings(f"{name} is {text!r}; its window must be longer than nothing")
    return int(calls), length


def duration(text: str, name: str) -> timedelta:
    """Read a duration such as `30s`, `5m` or `1.5h`; raises `InvalidSettings` naming *name*."""
    if text == "0":
        return timedelta(0)
    if not DURATION.match(text):
        raise InvalidSettings(f"{name} is {text!r}; write a duration such as 30s, 5m or 2h")
    return _read_duration(text)


def _duration(given: Mapping[str, str], name: str, default: str) -> timedelta:
    return duration(given.get(name) or default, name)


def _read_duration(text: str) -> timedelta:
    match = DURATION.match(text)
    assert match is not None
    return timedelta(seconds=float(match.group(1)) * UNITS[match.group(2)])


def _choice(
    given: Mapping[str, str],
    name: str,
    default: str,
    choices: tuple[str, ...],
    *,
    upper: bool = False,
) -> str:
    text = given.get(name) or default
    text = text.upper() if upper else text.lower()
    if text not in choices:
        raise InvalidSettings(f"{name} is {text!r}; it must be one of {', '.join(choices)}")
    return text


def _namespace(given: Mapping[str, str]) -> str:
    name = given.get("PILLARBOX_NAMESPACE") or "pillarbox"
    if not re.fullmatch(r"[a-z0-9_-]{1,40}", name):
        raise InvalidSettings(
            f"PILLARBOX_NAMESPACE is {name!r}; use a to z, digits, - and _, at most 40"
        )
    return name


def _subscribers(given: Mapping[str, str]) -> tuple[str, ...]:
    text = given.get("PILLARBOX_SUBSCRIBERS") or ""
    names = [one.strip() for one in text.split(",") if one.strip()]
    for one in names:
        if not all(part.isidentifier() for part in one.split(".")):
            raise InvalidSettings(
                f"PILLARBOX_SUBSCRIBERS names {one!r}; write modules with commas between, such as "
                "our_app.handlers"
            )
    return tuple(dict.fromkeys(names))


def _offpeak(given: Mapping[str, str]) -> str:
    text = given.get("PILLARBOX_OFFPEAK") or "22:00-06:00"
    if not re.fullmatch(r"([01]\d|2[0-3]):[0-5]\d-([01]\d|2[0-3]):[0-5]\d", text):
        raise InvalidSettings(
            f"PILLARBOX_OFFPEAK is {text!r}; write hours in London such as 22:00-06:00"
        )
    return text


def _poll_start(given: Mapping[str, str]) -> str:
    text = (given.get("PILLARBOX_POLL_START") or "").strip()
    if text in ("", "everything"):
        return text
    try:
        moment = datetime.fromisoformat(text)
    except ValueError:
        moment = None
    if moment is None or moment.tzinfo is None:
        raise InvalidSettings(
            f"PILLARBOX_POLL_START is {text!r}; write everything, or an instant with a zone such as "
            "2025-09-01T00:00:00Z"
        )
    return moment.astimezone(UTC).isoformat()


def _page_size(given: Mapping[str, str], name: str, default: str) -> int:
    text = given.get(name) or default
    if not text.isdecimal() or not 1 <= int(text) <= LARGEST_PAGE:
        raise InvalidSettings(f"{name} is {text!r}; write a number from 1 to {LARGEST_PAGE}")
    return int(text)


def _full_sync(given: Mapping[str, str]) -> str:
    text = given.get("PILLARBOX_FULL_SYNC") or FULL_SYNC
    one = rf"(mon|tue|wed|thu|fri|sat|sun) {HOURS}"
    if not re.fullmatch(rf"{one}(, *{one})*", text.lower()):
        raise InvalidSettings(
            f"PILLARBOX_FULL_SYNC is {text!r}; write days and hours in London such as {FULL_SYNC}"
        )
    return text.lower()


def _listening(given: Mapping[str, str]) -> Listening:
    certificate = given.get("PILLARBOX_CONSOLE_TLS_CERTIFICATE")
    key = given.get("PILLARBOX_CONSOLE_TLS_KEY")
    header = given.get("PILLARBOX_CONSOLE_USER_HEADER") or None
    if header is not None and not re.fullmatch(r"[A-Za-z0-9-]{1,60}", header):
        raise InvalidSettings(
            f"PILLARBOX_CONSOLE_USER_HEADER is {header!r}; write a header's name such as "
            "X-Forwarded-User"
        )
    return Listening(
        host=given.get("PILLARBOX_CONSOLE_HOST") or "127.0.0.1",
        port=_port(given),
        names=_listed(given.get("PILLARBOX_CONSOLE_NAMES") or ""),
        tls=_choice(given, "PILLARBOX_CONSOLE_TLS", "", ("", "proxy", "none")),
        certificate=Path(certificate) if certificate else None,
        key=Path(key) if key else None,
        user_header=header,
        proxies=_proxies(given),
        idle=_duration(given, "PILLARBOX_CONSOLE_IDLE", "30m"),
        session=_duration(given, "PILLARBOX_CONSOLE_SESSION", "10h"),
    )


def _port(given: Mapping[str, str]) -> int:
    text = given.get("PORT") or "4020"
    if not re.fullmatch(r"\d{1,5}", text) or int(text) > 65_535:
        raise InvalidSettings(f"PORT is {text!r}; write a number from 0 to 65535")
    return int(text)


def _proxies(given: Mapping[str, str]) -> tuple[str, ...]:
    listed = _listed(given.get("PILLARBOX_CONSOLE_PROXIES") or "127.0.0.1, ::1")
    for one in listed:
        try:
            ip_address(one)
        except ValueError:
            raise InvalidSettings(
                f"PILLARBOX_CONSOLE_PROXIES holds {one!r}; write addresses such as 127.0.0.1, 10.0.0.5"
            ) from None
    return listed


def _listed(text: str) -> tuple[str, ...]:
    return tuple(one.strip().lower() for one in text.split(",") if one.strip())


def written(length: timedelta) -> str:
    """Write a duration as a person would: in the largest unit that divides it."""
    total = length.total_seconds()
    for unit in ("d", "h", "m"):
        if total and total % UNITS[unit] == 0:
            return f"{total / UNITS[unit]:g}{unit}"
    return f"{total:g}s"
