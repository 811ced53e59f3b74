"""What can go wrong before or beneath the work.

    RuntimeProblem
    ├── InvalidSettings     a variable is wrong: correct it and start again
    ├── DatabaseAway        the database cannot be reached: wait, or correct DATABASE_URL
    ├── DatabaseBehind      the database lacks migrations: run `pillarbox db upgrade`
    ├── DatabaseAhead       the database is of a newer version: run that one
    ├── RedisAway           Redis cannot be reached: wait, or correct REDIS_URL
    └── NotOurs             this database belongs to another destination: a person decides

Each message is one sentence that names the variable and the cure.
"""


class RuntimeProblem(Exception):
    """Base of all of them."""


class InvalidSettings(RuntimeProblem):
    """A variable is wrong."""


class DatabaseAway(RuntimeProblem):
    """The database cannot be reached."""


class DatabaseBehind(RuntimeProblem):
    """The database is not migrated to this version."""


class DatabaseAhead(RuntimeProblem):
    """The database was migrated by a newer version than this one."""


class RedisAway(RuntimeProblem):
    """Redis cannot be reached."""


class NotOurs(RuntimeProblem):
    """The database is bound to another destination."""
