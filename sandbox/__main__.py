"""`python -m sandbox`: serve the sandbox in the foreground."""

import argparse
import json
import logging
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import cast

from sandbox.server import Sandbox, SandboxError, run

DEFAULT_PORT = 4010
USAGE_ERROR = 2


def parser() -> argparse.ArgumentParser:
    options = argparse.ArgumentParser(
        prog="sandbox", description="A local stand-in for the Lead Provider API, version 3."
    )
    options.add_argument("--world", metavar="FILE", help="start world (default: the bundled one)")
    options.add_argument("--host", default="127.0.0.1", help="address to bind (default: loopback)")
    options.add_argument("--port", type=int, default=DEFAULT_PORT, help="0 takes any free port")
    options.add_argument("--no-control", action="store_true", help="leave the control side out")
    options.add_argument("--limit", type=int, help="requests per window, per key and per address")
    options.add_argument("--time-travel", action="store_true", help="honour X-With-Server-Date")
    return options


def read_world(path: str | None) -> object:
    """The world in a file; None for the bundled one."""
    if path is None:
        return None
    try:
        return cast("object", json.loads(Path(path).read_text("utf-8")))
    except OSError as error:
        raise SandboxError(
            f"The world {path} cannot be read ({error.strerror}); give another with --world."
        ) from error
    except (ValueError, RecursionError) as error:
        raise SandboxError(f"The world {path} is not JSON ({error}); correct it.") from error


def announce(sandbox: Sandbox) -> None:
    print(sandbox.url, flush=True)


def main(arguments: Sequence[str] | None = None) -> int:
    """Serve until told to stop; 0 when stopped, 2 when it could not start."""
    options = parser().parse_args(arguments)
    logging.basicConfig(stream=sys.stderr)
    try:
        if options.limit is not None and options.limit < 0:
            raise SandboxError("The limit cannot be negative; give --limit 0 or more.")
        if not 0 <= options.port <= 65_535:
            raise SandboxError("There is no such port; give --port from 0 to 65535.")
        run(
            read_world(options.world),
            host=options.host,
            port=options.port,
            control=not options.no_control,
            time_travel=options.time_travel,
            limit=options.limit,
            listening=announce,
        )
    except SandboxError as error:
        print(error, file=sys.stderr)
        return USAGE_ERROR
    return 0


if __name__ == "__main__":
    sys.exit(main())
