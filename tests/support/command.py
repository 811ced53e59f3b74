"""The command, run inside this process: its exit code, and what it printed where."""

import json
import logging
import sys
from dataclasses import dataclass
from io import BytesIO, StringIO, TextIOWrapper
from typing import Any
from unittest.mock import patch

import structlog

from pillarbox.__main__ import main


@dataclass(frozen=True, kw_only=True)
class Ran:
    """How a command ended."""

    code: int
    out: str
    err: str

    @property
    def json(self) -> Any:
        """Its output, which must be one JSON value and nothing else."""
        return json.loads(self.out)


def run(*arguments: str, stdin: bytes = b"") -> Ran:
    """Run `pillarbox` with these arguments, exactly as the console script does."""
    out, err = StringIO(), StringIO()
    given = TextIOWrapper(BytesIO(stdin))
    handlers = logging.root.handlers[:]
    try:
        with (
            patch.object(sys, "argv", ["pillarbox", *arguments]),
            patch.object(sys, "stdin", given),
            patch.object(sys, "stdout", out),
            patch.object(sys, "stderr", err),
        ):
            code = _ended()
    finally:
        structlog.reset_defaults()
        logging.root.handlers[:] = handlers
    return Ran(code=code, out=out.getvalue(), err=err.getvalue())


def _ended() -> int:
    try:
        main()
    except SystemExit as end:
        return end.code if isinstance(end.code, int) else 0
    return 0
