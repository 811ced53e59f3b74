"""How a process that works for weeks uses Python's garbage collector.

One idea: values here are frozen and refer only to what was there before them, so counting references
frees nearly everything; the collector looks for cycles, and there are few to find.
"""

import gc

YOUNG = 50_000
"""How many new objects are made before the collector looks at them. A batch of a thousand entries
makes a few hundred thousand; at Python's 700 it looks hundreds of times in every batch, and finds
nothing. Higher lets cycles of libraries live a little longer; lower costs a fifth of a batch."""


def look_seldom() -> None:
    """Let the collector look seldom: what is loaded at the start stays, and looking costs a fifth of it."""
    gc.set_threshold(YOUNG)


def collect_seldom() -> None:
    """Let the collector look seldom, and no more at what is there now. Call once, when all is built."""
    gc.collect()
    gc.freeze()
    look_seldom()
