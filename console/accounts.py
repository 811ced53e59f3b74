"""All SQL on `console_account` and `console_token`: who may use the console.

One idea: whoever adds, changes or removes one, at the keyboard or on the page, does it through these
functions, and each leaves its line in the audit trail. None commits.
"""

import hashlib
import re
import secrets
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final

from sqlalchemy import Connection, Select, delete, func, insert, select, update

from console.errors import NotFilled, NotThere
from runtime import audit
from schema.console import PEOPLE, Role
from schema.console_tables import console_account, console_session, console_token

NAME: Final = re.compile(r"[a-z0-9][a-z0-9._@-]{0,79}")

TOKEN_PREFIX: Final = "pillarbox_"
"""What a token begins with, so that a person or a scanner who finds one knows whose it is."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Account:
    """A person who may use the console."""

    name: str
    role: Role
    may_reveal: bool
    made_at: datetime
    made_by: str
    password_at: datetime | None

    def told(self) -> Mapping[str, Any]:
        """Give it as JSON; of the password only since when it holds."""
        return {
            "name": self.name,
            "role": self.role.value,
            "may_reveal": self.may_reveal,
            "made_at": self.made_at,
            "made_by": self.made_by,
            "password_at": self.password_at,
        }


@dataclass(frozen=True, slots=True, kw_only=True)
class ProgramToken:
    """A program that may use the console."""

    name: str
    role: Role
    made_at: datetime
    made_by: str
    used_at: datetime | None
    may_reveal: bool = False
    """Whether what it reads holds names of people, though its role has none."""

    def told(self) -> Mapping[str, Any]:
        """Give it as JSON; the token itself is nowhere."""
        return {
            "name": self.name,
            "role": self.role.value,
            "may_reveal": self.may_reveal,
            "made_at": self.made_at,
            "made_by": self.made_by,
            "used_at": self.used_at,
        }


# accounts


def are_any(connection: Connection) -> bool:
    """Say whether anybody has an account; then everybody has to sign in."""
    return connection.execute(select(console_account.c.name).limit(1)).first() is not None


def listed(connection: Connection) -> list[Account]:
    """List the accounts by name."""
    rows = connection.execute(select(console_account).order_by(console_account.c.name))
    return [_account(row) for row in rows]


def by_name(connection: Connection, name: str) -> Account | None:
    """Give an account."""
    row = connection.execute(
        select(console_account).where(console_account.c.name == name.lower())
    ).one_or_none()
    return None if row is None else _account(row)


def password_of(connection: Connection, name: str) -> str | None:
    """Give the hash of an account's password; None where there is no account, or no password."""
    return connection.execute(_password(name)).scalar_one_or_none()


def still_has(connection: Connection, name: str, password: str | None) -> bool:
    """Say whether that still is the hash of an account's password, and keep it so until the end.

    To look at a password takes a while, in which it may be changed, or the account removed.
    """
    stored = connection.execute(_password(name).with_for_update()).scalar_one_or_none()
    return stored is not None and stored == password


def _password(name: str) -> Select[str | None]:
    return select(console_account.c.password).where(console_account.c.name == name.lower())


def add(
    connection: Connection,
    name: str,
    *,
    role: Role,
    password: str | None,
    may_reveal: bool = False,
    actor: str,
    now: datetime,
) -> Account:
    """Add an account; *password* is its hash. Raises `NotFilled`.

    The first one is an admin: with it everybody has to sign in.
    """
    name = _plain_name(name)
    if role not in PEOPLE:
        raise NotFilled("A person's role is viewer, operator or admin.", field="role")
    if by_name(connection, name) is not None:
        raise NotFilled(f"There is an account {name} already; change that one.", field="name")
    if role is not Role.ADMIN and not are_any(connection):
        raise NotFilled(
            "The first account must be an admin's: from then on everybody has to sign in.",
            field="role",
        )
    connection.execute(
        insert(console_account).values(
            name=name,
            role=role.value,
            may_reveal=int(may_reveal),
            made_at=now,
            made_by=actor,
            password=password,
            password_at=None if password is None else now,
        )
    )
    after = {"role": role.value, "may_reveal": may_reveal}
    _write_down(connection, "account_added", name, actor, now, after=after)
    return _there(connection, name)


def remove(connection: Connection, name: str, *, actor: str, now: datetime) -> None:
    """Remove an account, and end its sessions. The last admin goes last."""
    account = _there(connection, name)
    _spare_last_admin(connection, account)
    _end_sessions(connection, account.name)
    connection.execute(delete(console_account).where(console_account.c.name == account.name))
    before = {"role": account.role.value, "may_reveal": account.may_reveal}
    _write_down(connection, "account_removed", account.name, actor, now, before=before)


def give_role(
    connection: Connection,
    name: str,
    role: Role,
    *,
    may_reveal: bool = False,
    actor: str,
    now: datetime,
) -> Account:
    """Give an account another role; its sessions end, so that none goes on with the old one."""
    account = _there(connection, name)
    if role not in PEOPLE:
        raise NotFilled("A person's role is viewer, operator or admin.", field="role")
    if role is not Role.ADMIN:
        _spare_last_admin(connection, account)
    _end_sessions(connection, account.name)
    connection.execute(
        update(console_account)
        .where(console_account.c.name == account.name)
        .values(role=role.value, may_reveal=int(may_reveal))
    )
    before = {"role": account.role.value, "may_reveal": account.may_reveal}
    after = {"role": role.value, "may_reveal": may_reveal}
    _write_down(connection, "role_changed", account.name, actor, now, before=before, after=after)
    return _there(connection, name)


def set_password(
    connection: Connection, name: str, password: str, *, actor: str, now: datetime
) -> None:
    """Set a password, given as its hash; every session of the account ends."""
    account = _there(connection, name)
    connection.execute(
        update(console_account)
        .where(console_account.c.name == account.name)
        .values(password=password, password_at=now)
    )
    # After the account's row is held: who is being let in with the old one is let in before, or not at all.
    _end_sessions(connection, account.name)
    _write_down(connection, "password_changed", account.name, actor, now)


def _there(connection: Connection, name: str) -> Account:
    account = by_name(connection, name)
    if account is None:
        raise NotThere(f"There is no account {name[:80]!r}.")
    return account


def _spare_last_admin(connection: Connection, account: Account) -> None:
    """Keep one admin as long as there is anybody."""
    others = select(func.count()).where(console_account.c.name != account.name)
    admins = others.where(console_account.c.role == Role.ADMIN.value)
    # Locked in name order on PostgreSQL: two who remove each other at once must not both go.
    connection.execute(
        select(console_account.c.name).order_by(console_account.c.name).with_for_update()
    ).all()
    if (
        account.role is Role.ADMIN
        and connection.execute(others).scalar_one()
        and not connection.execute(admins).scalar_one()
    ):
        raise NotFilled(
            f"{account.name} is the last admin. Make somebody else one first.", field="role"
        )


def _end_sessions(connection: Connection, name: str) -> None:
    connection.execute(delete(console_session).where(console_session.c.account == name))


def _account(row: Any) -> Account:
    return Account(
        name=row.name,
        role=Role(row.role),
        may_reveal=bool(row.may_reveal),
        made_at=row.made_at,
        made_by=row.made_by,
        password_at=row.password_at,
    )


# tokens


def tokens(connection: Connection) -> list[ProgramToken]:
    """List the programs by name."""
    rows = connection.execute(select(console_token).order_by(console_token.c.name))
    return [_token(row) for row in rows]


def add_token(
    connection: Connection,
    name: str,
    *,
    role: Role,
    may_reveal: bool = False,
    actor: str,
    now: datetime,
) -> str:
    """Add a program, and give its token, which is kept nowhere and never shown again."""
    name = _plain_name(name)
    known = select(console_token.c.name).where(console_token.c.name == name)
    if connection.execute(known).first() is not None:
        raise NotFilled(f"There is a token {name} already; remove that one first.", field="name")
    token = TOKEN_PREFIX + secrets.token_urlsafe(32)
    connection.execute(
        insert(console_token).values(
            name=name,
            role=role.value,
            may_reveal=int(may_reveal),
            made_at=now,
            made_by=actor,
            token_hash=digest(token),
        )
    )
    given = {"role": role.value, "may_reveal": may_reveal}
    _write_down(connection, "token_added", name, actor, now, after=given)
    return token


def remove_token(connection: Connection, name: str, *, actor: str, now: datetime) -> None:
    """Remove a program; its token opens nothing from now on. Raises `NotThere`."""
    gone = connection.execute(delete(console_token).where(console_token.c.name == name.lower()))
    if not gone.rowcount:
        raise NotThere(f"There is no token {name[:80]!r}.")
    _write_down(connection, "token_removed", name.lower(), actor, now)


def of_token(connection: Connection, token: str) -> ProgramToken | None:
    """Give the program whose token that is."""
    row = connection.execute(
        select(console_token).where(console_token.c.token_hash == digest(token))
    ).one_or_none()
    return None if row is None else _token(row)


def used(connection: Connection, name: str, now: datetime) -> None:
    """Note that a token was used, so that people see which ones nobody needs any more."""
    connection.execute(
        update(console_token).where(console_token.c.name == name).values(used_at=now)
    )


def digest(secret: str) -> str:
    """Give what is kept of a random secret: nobody can try all of 2^256, so one round will do."""
    return hashlib.sha256(secret.encode()).hexdigest()


def _token(row: Any) -> ProgramToken:
    return ProgramToken(
        name=row.name,
        role=Role(row.role),
        made_at=row.made_at,
        made_by=row.made_by,
        used_at=row.used_at,
        may_reveal=bool(row.may_reveal),
    )


def _plain_name(name: str) -> str:
    plain = name.strip().lower()
    if not NAME.fullmatch(plain):
        raise NotFilled(
            "A name has letters a to z, digits, and . _ @ - after the first; 80 at most.",
            field="name",
        )
    return plain


def _write_down(
    connection: Connection,
    action: str,
    name: str,
    actor: str,
    now: datetime,
    *,
    before: Mapping[str, Any] | None = None,
    after: Mapping[str, Any] | None = None,
) -> None:
    audit.write_down(
        connection,
        actor=actor,
        action=action,
        subject=f"{'token' if action.startswith('token') else 'account'}:{name}",
        before=before,
        after=after,
        now=now,
    )
