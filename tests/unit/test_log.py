"""Where log lines go."""

import json
import logging
from collections.abc import Iterator
from pathlib import Path

import pytest
import structlog

from runtime import log


@pytest.fixture(autouse=True)
def as_it_was() -> Iterator[None]:
    """Logging is set up for a process; what a test sets up ends with it."""
    handlers = logging.root.handlers[:]
    yield
    structlog.reset_defaults()
    logging.root.handlers[:] = handlers


def test_with_a_file_only_errors_are_seen_on_stderr_and_the_file_has_all(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    file = tmp_path / "up.log"
    log.set_up(level="WARNING", file=file)
    logger = structlog.get_logger()

    logger.info("poller_ready")
    logger.warning("gate_shut", reason="throttled")
    logger.error("poll_failed", source="participants")

    in_file = [json.loads(line)["event"] for line in file.read_text().splitlines()]
    assert in_file == ["gate_shut", "poll_failed"]
    seen = [json.loads(line)["event"] for line in capsys.readouterr().err.splitlines()]
    assert seen == ["poll_failed"]


def test_without_a_file_everything_is_on_stderr(capsys: pytest.CaptureFixture[str]) -> None:
    log.set_up(form="json", level="WARNING")

    structlog.get_logger().warning("gate_shut")

    assert json.loads(capsys.readouterr().err)["event"] == "gate_shut"
