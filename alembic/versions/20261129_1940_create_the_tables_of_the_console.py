"""Create the tables of the console: accounts, sessions, tokens, and failed sign-ins.

Revision: 0011, after: 0010

Written out for each database, so that it stays what it was when the tables move on.
"""

from alembic import op

revision = "0011"
down_revision = "0010"
branch_labels = None
depends_on = None

POSTGRESQL = (
    r"""
CREATE TABLE console_account (
    name TEXT NOT NULL,
    role TEXT NOT NULL,
    may_reveal INTEGER DEFAULT '0' NOT NULL,
    made_at TIMESTAMP WITH TIME ZONE NOT NULL,
    made_by TEXT NOT NULL,
    password_at TIMESTAMP WITH TIME ZONE,
    password TEXT,
    CONSTRAINT console_account_pk PRIMARY KEY (name),
    CONSTRAINT console_account_role_known CHECK (role IN ('viewer', 'operator', 'admin')),
    CONSTRAINT console_account_may_reveal_known CHECK (may_reveal IN (0, 1)),
    CONSTRAINT console_account_name_plain CHECK (name = lower(name) AND name <> ''),
    CONSTRAINT console_account_password_hashed CHECK (password IS NULL OR substr(password, 1, 7) = 'scrypt$'),
    CONSTRAINT console_account_password_has_time CHECK ((password IS NULL) = (password_at IS NULL))
)
    """,
    r"""
CREATE TABLE console_session (
    id_hash TEXT NOT NULL,
    account TEXT NOT NULL,
    started_at TIMESTAMP WITH TIME ZONE NOT NULL,
    seen_at TIMESTAMP WITH TIME ZONE NOT NULL,
    revealed JSONB NOT NULL,
    CONSTRAINT console_session_pk PRIMARY KEY (id_hash),
    CONSTRAINT console_session_id_hashed CHECK (length(id_hash) = 64),
    CONSTRAINT console_session_seen_since_start CHECK (seen_at >= started_at),
    CONSTRAINT console_session_account_fk FOREIGN KEY(account) REFERENCES console_account (name)
)
    """,
    r"""
CREATE INDEX console_session_of_account ON console_session (account)
    """,
    r"""
CREATE TABLE console_token (
    name TEXT NOT NULL,
    role TEXT NOT NULL,
    made_at TIMESTAMP WITH TIME ZONE NOT NULL,
    made_by TEXT NOT NULL,
    used_at TIMESTAMP WITH TIME ZONE,
    token_hash TEXT NOT NULL,
    CONSTRAINT console_token_pk PRIMARY KEY (name),
    CONSTRAINT console_token_role_known CHECK (role IN ('feed', 'viewer', 'operator', 'admin')),
    CONSTRAINT console_token_token_hashed CHECK (length(token_hash) = 64)
)
    """,
    r"""
CREATE UNIQUE INDEX console_token_hash ON console_token (token_hash)
    """,
    r"""
CREATE TABLE console_throttle (
    key TEXT NOT NULL,
    failures INTEGER NOT NULL,
    failed_at TIMESTAMP WITH TIME ZONE NOT NULL,
    shut_until TIMESTAMP WITH TIME ZONE,
    CONSTRAINT console_throttle_pk PRIMARY KEY (key),
    CONSTRAINT console_throttle_key_hashed CHECK (length(key) = 64)
)
    """,
)

SQLITE = (
    r"""
CREATE TABLE console_account (
    name TEXT NOT NULL,
    role TEXT NOT NULL,
    may_reveal INTEGER DEFAULT '0' NOT NULL,
    made_at TEXT NOT NULL,
    made_by TEXT NOT NULL,
    password_at TEXT,
    password TEXT,
    CONSTRAINT console_account_pk PRIMARY KEY (name),
    CONSTRAINT console_account_role_known CHECK (role IN ('viewer', 'operator', 'admin')),
    CONSTRAINT console_account_may_reveal_known CHECK (may_reveal IN (0, 1)),
    CONSTRAINT console_account_name_plain CHECK (name = lower(name) AND name <> ''),
    CONSTRAINT console_account_password_hashed CHECK (password IS NULL OR substr(password, 1, 7) = 'scrypt$'),
    CONSTRAINT console_account_password_has_time CHECK ((password IS NULL) = (password_at IS NULL))
)
    """,
    r"""
CREATE TABLE console_session (
    id_hash TEXT NOT NULL,
    account TEXT NOT NULL,
    started_at TEXT NOT NULL,
    seen_at TEXT NOT NULL,
    revealed JSON NOT NULL,
    CONSTRAINT console_session_pk PRIMARY KEY (id_hash),
    CONSTRAINT console_session_id_hashed CHECK (length(id_hash) = 64),
    CONSTRAINT console_session_seen_since_start CHECK (seen_at >= started_at),
    CONSTRAINT console_session_account_fk FOREIGN KEY(account) REFERENCES console_account (name)
)
    """,
    r"""
CREATE INDEX console_session_of_account ON console_session (account)
    """,
    r"""
CREATE TABLE console_token (
    name TEXT NOT NULL,
    role TEXT NOT NULL,
    made_at TEXT NOT NULL,
    made_by TEXT NOT NULL,
    used_at TEXT,
    token_hash TEXT NOT NULL,
    CONSTRAINT console_token_pk PRIMARY KEY (name),
    CONSTRAINT console_token_role_known CHECK (role IN ('feed', 'viewer', 'operator', 'admin')),
    CONSTRAINT console_token_token_hashed CHECK (length(token_hash) = 64)
)
    """,
    r"""
CREATE UNIQUE INDEX console_token_hash ON console_token (token_hash)
    """,
    r"""
CREATE TABLE console_throttle (
    "key" TEXT NOT NULL,
    failures INTEGER NOT NULL,
    failed_at TEXT NOT NULL,
    shut_until TEXT,
    CONSTRAINT console_throttle_pk PRIMARY KEY ("key"),
    CONSTRAINT console_throttle_key_hashed CHECK (length(key) = 64)
)
    """,
)


def upgrade() -> None:
    connection = op.get_bind()
    for statement in SQLITE if connection.dialect.name == "sqlite" else POSTGRESQL:
        connection.exec_driver_sql(statement)


def downgrade() -> None:
    for table in ("console_throttle", "console_token", "console_session", "console_account"):
        op.drop_table(table)
