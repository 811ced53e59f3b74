"""`pillarbox feed`: what changed on the other side, in order, and who is told."""

from collections.abc import Callable, Sequence
from dataclasses import asdict
from datetime import datetime
from typing import Annotated, Any

import typer
from sqlalchemy import Connection

from console.counting import counted
from console.views import ago, london
from inbox import attending, feed
from inbox.attending import CAPPED, Shown, Word
from inbox.cursor import Cursor
from inbox.errors import NoSubscriber
from pillarbox.commands.common import (
    NOTHING,
    USAGE,
    AsJson,
    DryRun,
    Of,
    Stop,
    actor,
    changing,
    nothing,
    noun,
    opened,
    print_json,
    print_list,
    print_table,
    say_done,
    settings,
    stdout,
)
from pillarbox.commands.sources import SourceName
from runtime.clock import clock_of
from schema.inbox import Begin, News

feed_app = noun("What changed on the other side, in order, and who is told.", "pillarbox feed list")

Handler = Annotated[str, typer.Argument(metavar="NAME", help="Which handler.")]
Reason = Annotated[str, typer.Option(help="Why, for the audit trail.")]


def add_to(root: typer.Typer) -> None:
    """Add the commands."""
    root.add_typer(feed_app, name="feed")


@feed_app.command("list")
def feed_list(
    after: Annotated[int, typer.Option(help="Only what comes after this position.", min=0)] = 0,
    source: SourceName = None,
    kind: Annotated[News | None, typer.Option(help="Only news of this kind.")] = None,
    destination: Of = "default",
    limit: Annotated[int, typer.Option(help="At most so many.", min=1, max=10_000)] = 100,
    as_json: AsJson = False,
) -> None:
    """List what changed there, and what became of local events, in order.

    People see the names of fields, --json their values.

    Example: pillarbox feed list --after 120
    """
    database = opened(settings())
    with database.reading() as connection:
        found = feed.read(
            connection,
            destination,
            after=after,
            limit=limit,
            source=source,
            kinds=() if kind is None else (kind,),
        )
    if not found:
        nothing(
            f"nothing after position {after}; what changes there, and what becomes of local events, "
            "would be here",
            as_json=as_json,
        )
    if as_json:
        print_json(found)
        return
    print_list(
        ("position", "when (London)", "kind", "source", "there", "record", "what"),
        [
            (
                one["position"],
                london(one["at"]),
                one["kind"],
                one["source"],
                one["remote_id"],
                ", ".join(one["record_keys"]),
                one["outcome"] or ", ".join(one["changed"]),
            )
            for one in found
        ],
    )
    if len(found) == limit:
        stdout().print(f"more: --after {found[-1]['position']}")


@feed_app.command("subscribers")
def feed_subscribers(destination: Of = "default", as_json: AsJson = False) -> None:
    """List the handlers of the feed: how far each is, and why one stands still.

    Example: pillarbox feed subscribers --json
    """
    found = settings()
    database = opened(found)
    now = clock_of(database).now()
    with database.reading() as connection:
        shown = attending.listed(connection, destination, keep_unread=found.keep_unread)
    if not shown:
        nothing(
            "no handler reads the feed; PILLARBOX_SUBSCRIBERS names those that do", as_json=as_json
        )
    if as_json:
        print_json([asdict(one) for one in shown])
        return
    print_table(
        ("handler", "state", "position", "unread", "last told", "failures", "error"),
        [_row(one, now) for one in shown],
    )


def _row(one: Shown, now: datetime) -> Sequence[Any]:
    return (
        one.handler,
        one.state if one.retry_at is None else f"{one.state}, again {london(one.retry_at)}",
        one.cursor,
        None if one.unread is None else counted(one.unread, cap=CAPPED),
        None if one.moved_at is None else f"{ago(now - one.moved_at)} ago",
        one.failures or None,
        one.error,
    )


@feed_app.command("resume")
def feed_resume(
    name: Handler,
    everything: Annotated[
        bool, typer.Option("--everything", help="From all that is there on.")
    ] = False,
    now: Annotated[bool, typer.Option("--now", help="From what comes now on.")] = False,
    reason: Reason = "resumed by hand",
    destination: Of = "default",
    as_json: AsJson = False,
    dry_run: DryRun = False,
) -> None:
    """Let a handler that is held or failing go on at once, or say where a new one begins.

    Example: pillarbox feed resume crm
    """
    if everything and now:
        raise Stop("give --everything or --now, not both", USAGE)
    begin = Begin.EVERYTHING if everything else Begin.NOW if now else None
    _do(
        lambda connection, word: attending.resume(connection, destination, name, begin, word),
        f"{name} goes on",
        reason,
        as_json=as_json,
        dry_run=dry_run,
    )


@feed_app.command("skip")
def feed_skip(
    name: Handler,
    reason: Reason,
    destination: Of = "default",
    as_json: AsJson = False,
    dry_run: DryRun = False,
) -> None:
    """Let a handler go on past the one piece of news at which it fails.

    Example: pillarbox feed skip crm --reason "a name that the CRM cannot hold"
    """
    _do(
        lambda connection, word: attending.skip(connection, destination, name, word),
        f"{name} goes on past what it failed at",
        reason,
        as_json=as_json,
        dry_run=dry_run,
    )


@feed_app.command("forget")
def feed_forget(
    name: Handler,
    reason: Reason,
    destination: Of = "default",
    as_json: AsJson = False,
    dry_run: DryRun = False,
) -> None:
    """Forget a handler that there is no more: no news is kept for it any longer.

    Example: pillarbox feed forget old-crm --reason "it was replaced"
    """
    _do(
        lambda connection, word: attending.forget(connection, destination, name, word),
        f"{name} is forgotten",
        reason,
        as_json=as_json,
        dry_run=dry_run,
    )


Deed = Callable[[Connection, Word], Cursor | None]


def _do(deed: Deed, words: str, reason: str, *, as_json: bool, dry_run: bool) -> None:
    database = opened(settings())
    word = Word(actor=actor(), reason=reason, now=clock_of(database).now())
    try:
        with changing(database, dry_run=dry_run) as connection:
            cursor = deed(connection, word)
    except NoSubscriber as error:
        raise Stop(str(error), NOTHING) from None
    told = {"cursor": None if cursor is None else str(cursor)}
    say_done(words, told, as_json=as_json, dry_run=dry_run)
