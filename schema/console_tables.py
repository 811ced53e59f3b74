"""The tables of the console: who may use it, who does right now, and who tried too often.

One idea: nothing in here opens a door. Passwords, the ids of sessions and tokens are kept as hashes, so
that a copy of the database lets nobody in.
"""

from typing import Final

from sqlalchemy import CheckConstraint, Column, ForeignKey, Index, Integer, Table, Text

from schema.console import PEOPLE, Role
from schema.tables import Document, Instant, metadata

__all__ = ["console_account", "console_session", "console_throttle", "console_token", "metadata"]


def _one_of(column: str, roles: tuple[Role, ...]) -> str:
    listed = ", ".join(f"'{one.value}'" for one in roles)
    return f"{column} IN ({listed})"


console_account: Final = Table(
    "console_account",
    metadata,
    Column("name", Text, primary_key=True),
    Column("role", Text, nullable=False),
    Column("may_reveal", Integer, nullable=False, server_default="0"),
    Column("made_at", Instant, nullable=False),
    Column("made_by", Text, nullable=False),
    Column("password_at", Instant),
    Column("password", Text),
    CheckConstraint(_one_of("role", PEOPLE), name="role_known"),
    CheckConstraint("may_reveal IN (0, 1)", name="may_reveal_known"),
    # Stops two accounts of one person, and a name that the proxy in front spells otherwise.
    CheckConstraint("name = lower(name) AND name <> ''", name="name_plain"),
    # Stops a password in plain text.
    CheckConstraint(
        "password IS NULL OR substr(password, 1, 7) = 'scrypt$'", name="password_hashed"
    ),
    CheckConstraint("(password IS NULL) = (password_at IS NULL)", name="password_has_time"),
)
"""A person who may use the console. Without a password only the proxy in front can name them."""


console_session: Final = Table(
    "console_session",
    metadata,
    Column("id_hash", Text, primary_key=True),
    Column("account", Text, ForeignKey("console_account.name"), nullable=False),
    Column("started_at", Instant, nullable=False),
    Column("seen_at", Instant, nullable=False),
    Column("revealed", Document, nullable=False),
    # Stops the id itself, which is only in the person's browser.
    CheckConstraint("length(id_hash) = 64", name="id_hashed"),
    # Stops a session that was used before it began, and so would never be idle.
    CheckConstraint("seen_at >= started_at", name="seen_since_start"),
)
"""A person who is signed in: since when, when last seen, and whose names were revealed until when."""
Index("console_session_of_account", console_session.c.account)  # end all sessions of an account


console_token: Final = Table(
    "console_token",
    metadata,
    Column("name", Text, primary_key=True),
    Column("role", Text, nullable=False),
    Column("made_at", Instant, nullable=False),
    Column("made_by", Text, nullable=False),
    Column("used_at", Instant),
    Column("token_hash", Text, nullable=False),
    Column("may_reveal", Integer, nullable=False, server_default="0"),
    CheckConstraint(_one_of("role", tuple(Role)), name="role_known"),
    CheckConstraint("may_reveal IN (0, 1)", name="may_reveal_known"),
    CheckConstraint("length(token_hash) = 64", name="token_hashed"),
)
"""A program that may use the console, by a token that was shown once."""
Index("console_token_hash", console_token.c.token_hash, unique=True)  # whose token it is


console_throttle: Final = Table(
    "console_throttle",
    metadata,
    Column("key", Text, primary_key=True),
    Column("failures", Integer, nullable=False),
    Column("failed_at", Instant, nullable=False),
    Column("shut_until", Instant),
    # Stops a name or an address in plain text: people type passwords into the name's field.
    CheckConstraint("length(key) = 64", name="key_hashed"),
)
"""Failed sign-ins in a row, by name and by address; shared by all processes, kept over restarts."""
