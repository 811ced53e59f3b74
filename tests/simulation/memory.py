"""A Redis of a few commands in one Lua state: enough for the quota's own script, at its full speed.

One idea: the script that is simulated is the one that is shipped. `test_memory.py` holds this
against the stand-in that the product brings along.
"""

from collections.abc import Callable
from functools import cache
from hashlib import sha1
from importlib import import_module
from pathlib import Path
from typing import Any, cast

from redis.exceptions import NoScriptError


@cache
def _lua() -> Any:
    return cast(Any, import_module("lupa.lua51")).LuaRuntime(encoding=None)


@cache
def _commands() -> Any:
    return _lua().execute((Path(__file__).parent / "redis.lua").read_bytes())


class Memory:
    """What Redis remembers. One at a time: they share one Lua state, emptied at each beginning."""

    def __init__(self, now: Callable[[], int]) -> None:
        """*now* gives Redis's clock, in microseconds."""
        self._now = now
        self._commands = _commands()
        self._known: set[bytes] = set()
        self.flush()

    def flush(self) -> None:
        """Forget everything."""
        self._commands[b"flush"]()

    def evalsha(self, sha: str, numkeys: int, *keys_and_args: str) -> object:
        """Run a script that was sent before."""
        if sha.encode() not in self._known:
            raise NoScriptError("NOSCRIPT")
        told = [one.encode() for one in keys_and_args]
        table = _lua().table_from
        found = self._commands[b"run"](
            sha.encode(), self._now(), table(told[:numkeys]), table(told[numkeys:])
        )
        return [_plain(found[place]) for place in range(1, len(found) + 1)]

    def eval(self, script: str, numkeys: int, *keys_and_args: str) -> object:
        """Run a script, and know it from now on."""
        sha = sha1(script.encode(), usedforsecurity=False).hexdigest()
        self._commands[b"load"](sha.encode(), script.encode())
        self._known.add(sha.encode())
        return self.evalsha(sha, numkeys, *keys_and_args)


def _plain(value: object) -> bytes:
    return value if isinstance(value, bytes) else b"%d" % cast(float, value)
