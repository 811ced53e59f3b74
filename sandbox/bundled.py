"""The start world that comes with the sandbox."""

import json
from importlib.resources import files
from typing import cast


def bundled_world() -> object:
    """The bundled world, as JSON says it."""
    return cast("object", json.loads(files("sandbox").joinpath("world.json").read_text("utf-8")))
