"""`pillarbox console`: the review desk's pages."""

from typing import Annotated

import structlog
import typer

from console.server import Serving, take
from pillarbox.commands.common import settings, stdout, wired
from pillarbox.commands.processes import stopping
from pillarbox.desk import site_of
from workers.heartbeat import Heart

logger = structlog.get_logger(__name__)

PORT = 4020

app = typer.Typer(
    help="The review desk's pages, and who may use them.", invoke_without_command=True
)


def add_to(root: typer.Typer) -> None:
    """Add the command."""
    root.add_typer(app, name="console")


@app.callback()
def console(
    context: typer.Context,
    port: Annotated[
        int, typer.Option(help="Port; 0 takes any free one.", min=0, max=65_535)
    ] = PORT,
) -> None:
    """Serve the review desk's pages on this machine, until stopped."""
    if context.invoked_subcommand is not None:
        return
    wiring = wired(settings())
    serving = Serving(site_of(wiring), take("127.0.0.1", port))
    heart = Heart("console", wiring.database, wiring.clock, dict, alive=lambda: serving.is_up)
    stop = stopping()
    serving.start()
    heart.start()
    stdout().print(serving.url, markup=False)
    logger.info("console_ready", url=serving.url)
    stop.wait()
    serving.stop()
    heart.stop()
    wiring.close()
    logger.info("console_stopped")
