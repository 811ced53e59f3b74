"""Who may do what in the console.

One idea: roles form one ladder; each may do what the ones before it may, and something more.
"""

from enum import StrEnum


class Role(StrEnum):
    """What somebody may do. `feed` is for programs that read the feed and nothing else."""

    FEED = "feed"
    VIEWER = "viewer"
    OPERATOR = "operator"
    ADMIN = "admin"

    def covers(self, needed: "Role") -> bool:
        """Say whether who has this role may do what the other one may."""
        return LADDER.index(self) >= LADDER.index(needed)


LADDER = (Role.FEED, Role.VIEWER, Role.OPERATOR, Role.ADMIN)

PEOPLE = (Role.VIEWER, Role.OPERATOR, Role.ADMIN)
"""The roles an account may have; a program's token may have any."""
