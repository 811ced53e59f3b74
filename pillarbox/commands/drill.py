"""`pillarbox drill`: hide and break things on a sandbox of its own, and see what recovers them."""

import tempfile
from collections.abc import Sequence
from dataclasses import asdict, replace
from datetime import timedelta
from pathlib import Path
from typing import Annotated, Any

import typer

from pillarbox import drills
from pillarbox.commands.common import ATTENTION, USAGE, AsJson, Stop, print_json, stdout
from pillarbox.drills import DRILLS, Ground, Proof
from pillarbox.world import Control, World, with_sandbox
from runtime import log
from runtime.settings import Settings
from sandbox.server import Sandbox, SandboxError

SETTLE = timedelta(milliseconds=50)
"""Settle time of a drill: nobody edits on."""

UNLIMITED = 100_000
"""Calls per window: the limit has a benchmark of its own."""


def add_to(app: typer.Typer) -> None:
    """Add the command."""
    app.command()(drill)


def drill(
    name: Annotated[
        str | None,
        typer.Argument(help=f"Which: {', '.join(DRILLS)}. Without it, all.", metavar="DRILL"),
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Hold the drills to be held before going live: what was hidden or broken, and what recovered it.

    Each has a sandbox and a database of its own on this computer, which are gone afterwards. Exit 6
    when something was not recovered.

    Example: pillarbox drill missed-updates
    """
    if name is not None and name not in DRILLS:
        raise Stop(f"there is no drill {name!r}; there are {', '.join(DRILLS)}", USAGE)
    log.set_up(level="ERROR")
    held = {one: hold(one) for one in ([name] if name else DRILLS)}
    recovered = all(proof.recovered for proofs in held.values() for proof in proofs)
    if as_json:
        print_json(_as_json(held, recovered=recovered))
    else:
        _print(held)
    if not recovered:
        raise typer.Exit(ATTENTION)


def hold(name: str) -> Sequence[Proof]:
    """Hold one drill on a ground of its own."""
    try:
        served = Sandbox(limit=UNLIMITED)
    except SandboxError as error:
        raise Stop(str(error)) from None
    with served, tempfile.TemporaryDirectory() as folder:
        world = World(_settings(Path(folder), served), served)
        world.prepare()
        ids = Control(served).post("/reset", {})["ids"]
        world.start()
        try:
            return drills.DRILLS[name](Ground(world, ids))
        finally:
            world.stop()


def _settings(folder: Path, served: Sandbox) -> Settings:
    base = with_sandbox(Settings.from_environment({}), served)
    here = replace(base.destinations[0], calls=UNLIMITED)
    return replace(
        base,
        database_url=f"sqlite:///{folder}/pillarbox.db",
        settle=SETTLE,
        destinations=(here, *base.destinations[1:]),
    )


def _as_json(held: dict[str, Sequence[Proof]], *, recovered: bool) -> dict[str, Any]:
    return {
        "recovered": recovered,
        "drills": [
            {"drill": name, "proofs": [asdict(proof) for proof in proofs]}
            for name, proofs in held.items()
        ],
    }


def _print(held: dict[str, Sequence[Proof]]) -> None:
    console = stdout()
    for name, proofs in held.items():
        console.print(name.replace("-", " "), style="bold", markup=False)
        for proof in proofs:
            word = "recovered by" if proof.recovered else "NOT RECOVERED by"
            console.print(f"   {proof.broken}", markup=False)
            console.print(f"      {word} {proof.recovered_by}", markup=False)
