"""The runbook: for each line that lights up what it means, where to look, and what to do. Pure.

One idea: it is kept beside the list of lines, so that none is without its page; `docs/how-to/runbook.md`
and the desk's own page are made from it.
"""

from collections.abc import Mapping
from dataclasses import dataclass

from console.attention import Anchor


@dataclass(frozen=True, slots=True, kw_only=True)
class Page:
    """What to do about one kind of line."""

    title: str
    means: str
    look: str
    do: str


PAGES: Mapping[Anchor, Page] = {
    Anchor.DEAD_LETTERS: Page(
        title="Dead letters",
        means="Records that no call will carry until a person acts or a newer change comes. Everything "
        "else goes on without them.",
        look="`pillarbox dead-letters groups` shows what they have in common, `dead-letters show ID` what "
        "was asked and what was answered, word for word.",
        do="Correct the data in the local system: the newer change is sent by itself. Or correct, replay "
        "or discard it on the Problems page. A refused request is not sent again unchanged, unless a "
        "named person says why.",
    ),
    Anchor.HELD: Page(
        title="Records that are held",
        means="Going on might do harm: two local records on one person, a claim that must be voided "
        "first, another id for something already delivered, or calls that do not settle.",
        look="`pillarbox records explain KEY` says which, with both sides.",
        do="Decide which side is right. Link the other record, void the claim that stands, or discard "
        "what is not meant. It goes on by itself once that is so.",
    ),
    Anchor.IN_DOUBT: Page(
        title="Calls in doubt",
        means="A call was made and its answer was lost: it may or may not have taken effect.",
        look="It is looked up by itself after a quarantine of two minutes. `pillarbox records explain "
        "KEY` says when; without a time a person must look there.",
        do="Usually nothing. Where no look-up can tell, look in the API's own service; if it was not "
        "done, `pillarbox dead-letters replay ID --override`.",
    ),
    Anchor.CUT_OFF: Page(
        title="A claim near its cut-off",
        means="A declaration that the API has not accepted falls under a statement that closes within "
        "seven days; later it is paid with another one, or not at all. It leads its lane already.",
        look="The overview lists these claims, the nearest first, and says what each waits for.",
        do="Refused: correct it today. Waiting for a link or for another record: see to that one first. "
        "Waiting for the quota or a gate: open the gate, or ask the provider of the API for more time.",
    ),
    Anchor.NOT_FOLDED: Page(
        title="Entries are not folded",
        means="Local systems emit, and no relay takes it up. Nothing is lost; it waits in the database.",
        look="`pillarbox check --role relay`, then the relay's log: `round_failed` or `fold_failed`.",
        do="Start `pillarbox relay`. If one runs and does not get on, restart it; if it fails each round, "
        "its log names the error.",
    ),
    Anchor.WAITING_LONG: Page(
        title="Something waits for over a day",
        means="A record is on its way and has not got on: it waits for another record, for tomorrow, for "
        "the quota, or for a gate.",
        look="The line says what for. `pillarbox records explain KEY` tells its whole story.",
        do="Waiting for a link: emit `participant_linked`. Waiting for another record: see to that one. "
        "In shadow: `pillarbox destination go-live`.",
    ),
    Anchor.REDIS_AWAY: Page(
        title="Redis does not answer",
        means="The log of the quota cannot be asked, so no call is made: better late than over the limit.",
        look="`pillarbox check` names the address and the error.",
        do="Start Redis or correct `REDIS_URL`. Work goes on by itself, and the log is made again from the "
        "database; nothing else need be done.",
    ),
    Anchor.REDIS_FORGETS: Page(
        title="Redis may forget",
        means="Redis is set to throw keys away, is full, or takes no writes. It keeps the log of the quota.",
        look="`pillarbox check` says which.",
        do="Set `maxmemory-policy noeviction`, give it more memory, or use a server of its own. See "
        "[run in production](run-in-production.md).",
    ),
    Anchor.THROTTLED: Page(
        title="The API said 429",
        means="Somebody went over the limit of this key. All processes wait until the time the API gave; "
        "then one call tries.",
        look="`pillarbox quota show`: calls that are *not ours* are somebody else's with the same key.",
        do="Wait. If it happens again, find who else uses the key, or lower `PILLARBOX_QUOTA`.",
    ),
    Anchor.KEY_REFUSED: Page(
        title="The key is refused",
        means="The API answered 401 or 403. Nothing is sent; records keep their tries.",
        look="Has the key expired, was it revoked, is it for another environment?",
        do="Put the new key into the file of `PILLARBOX_API_TOKEN_FILE`: it is tried at once, without a "
        "restart. With `PILLARBOX_API_TOKEN`, restart; then `pillarbox quota resume`.",
    ),
    Anchor.BREAKER: Page(
        title="The API fails",
        means="Many calls in a row failed, of different records. Calls stop for half a minute, then for "
        "longer; each time one call tries whether it is back.",
        look="The latest answers in `pillarbox records explain` of a record that waits; the API's own "
        "status page.",
        do="Usually nothing: it ends by itself. `pillarbox quota resume` tries at once.",
    ),
    Anchor.PAUSED: Page(
        title="A person paused it",
        means="Somebody stopped all calls to this destination, for a time or until resumed.",
        look="The line says who, since when and why.",
        do='Ask them. `pillarbox quota resume --reason "…"` lets it go on.',
    ),
    Anchor.WRITES_HELD: Page(
        title="Nothing is written",
        means="The destination is in shadow, or was bound anew and everything is looked up first.",
        look="`pillarbox destination show`.",
        do="In shadow: follow [go live](go-live.md). Bound anew: wait until all is looked up; the line "
        "says how far it is.",
    ),
    Anchor.POLL_LATE: Page(
        title="A source is read late",
        means="No reading of it has been completed for two intervals. What was changed there is not "
        "known here yet; the next reading reaches back far enough.",
        look="`pillarbox polls runs --source NAME` shows how the last ones ended; "
        "`pillarbox check --role poller`.",
        do="Start `pillarbox poller`; open the gate if one is shut. Nothing need be read by hand.",
    ),
    Anchor.FULL_SYNC_LATE: Page(
        title="No full sync for too long",
        means="Everything is to be read twice a week; only that notices what is gone.",
        look="`pillarbox polls list` shows the booked hours and the last one.",
        do="Book longer hours if it does not get through, or `pillarbox polls full --source NAME` now.",
    ),
    Anchor.BRAKED: Page(
        title="A full sync stopped for a person",
        means="More things seem gone than is believable: more than 2 % and more than ten at once.",
        look="Are they really gone there, or does the API answer for another provider, or not at all?",
        do='If it is right, `pillarbox polls full --source NAME --past-the-brake --reason "…"`. If not, '
        "do nothing: nothing was marked.",
    ),
    Anchor.ROWS_HELD: Page(
        title="Rows that could not be read",
        means="The API gave rows that are not as described, and they were set aside; the rest was applied.",
        look="`pillarbox polls held` names each and the place in it.",
        do="Usually the API has changed: a new version of the contract is needed. Once a row can be read, "
        "the next reading clears it.",
    ),
    Anchor.HANDLER_HELD: Page(
        title="A handler of the feed stands still",
        means="A local program is told nothing any more: its handler failed for more than an hour, what it "
        "had not read is not kept any more, or nobody has said where it begins. All others go on.",
        look="`pillarbox feed subscribers` shows where it is and the class and line of its error.",
        do="Mend it, then `pillarbox feed resume NAME`. Where one piece of news is at fault, `pillarbox feed "
        "skip NAME --reason`. Where its place is lost or there is none, `feed resume NAME --everything`. "
        "One that there is no more: `pillarbox feed forget NAME --reason`.",
    ),
    Anchor.PROCESS_MISSING: Page(
        title="Every process of a kind is missing",
        means="Each of them has given no sign of life for 35 seconds. What they held is taken over when "
        "its lease ends.",
        look="The supervisor's log, and theirs: out of memory, cannot reach the database, killed?",
        do="Start one. Any number may run.",
    ),
    Anchor.NOBODY_AT_WORK: Page(
        title="Nobody is at work",
        means="Something waits, and no process of that kind was ever started on this database.",
        look="Is `DATABASE_URL` the same for all processes? `pillarbox check` shows which one is used.",
        do="Start `pillarbox relay` and `pillarbox worker`.",
    ),
    Anchor.NOT_CONFIGURED: Page(
        title="An unknown destination",
        means="Entries name a destination that this configuration does not have. They wait.",
        look="`pillarbox entries list` shows which local system emits them.",
        do="Configure it in `PILLARBOX_DESTINATIONS`, or correct the local system.",
    ),
}


def document() -> str:
    """Write the runbook as a page of the documentation."""
    parts = [
        "# Runbook: what to do when something lights up",
        "Each line of the overview, of `pillarbox status` and of `/status.json` leads here. "
        "`pillarbox status --check` exits 6 while there is any; `pillarbox_alerts` counts them by anchor.",
    ]
    for anchor, page in PAGES.items():
        parts += [
            f'<a id="{anchor}"></a>',
            f"## {page.title}",
            f"**What it means.** {page.means}",
            f"**Where to look.** {page.look}",
            f"**What to do.** {page.do}",
        ]
    return "\n\n".join(parts)
