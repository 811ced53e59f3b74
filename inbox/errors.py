"""What can go wrong on the way in.

InboxError
├── LeaseLost       another process reads this collection now: stop, it goes on where we were
│   └── BoundAnew   what was read is another API's: stop, who is started anew reads on
├── NoStart         ask a person: nobody has said from when to read a collection first
├── UnknownSource   ask a person: the contract has no such collection
├── NotThisWay      ask a person: what was asked for cannot be done in this way
├── NoCursor        ask the reader: what was handed back is no place in the feed
├── Pruned          the reader begins again: what comes next is not kept any more, or never was
└── NoSubscriber    ask a person: no handler of that name reads the feed, or not so
"""


class InboxError(Exception):
    """Base of everything the incoming half raises."""


class LeaseLost(InboxError):
    """The lease on a collection is another one's."""


class BoundAnew(LeaseLost):
    """The database speaks for another destination than the one that is read here."""


class NoStart(InboxError):
    """A first run needs an explicit start, or "everything"."""


class UnknownSource(InboxError):
    """No collection of that name; the message lists those there are."""


class NotThisWay(InboxError):
    """What was asked for cannot be done so; the message says what can."""


class NoCursor(InboxError):
    """Not a place in the feed; the message names it."""


class Pruned(InboxError):
    """The feed cannot be read on from there without a gap; the message says how to go on."""


class NoSubscriber(InboxError):
    """No handler of that name, or it is not in the state for what was asked; the message says so."""
