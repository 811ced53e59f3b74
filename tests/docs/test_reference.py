"""The reference is complete: nothing a person can meet is without its sentence."""

import ast
from pathlib import Path

import pytest

from runtime import metrics
from runtime.settings import KNOWN, Settings
from schema.all_tables import metadata
from schema.bulk import BulkState, Result
from schema.events import EVENTS, decode
from schema.outcomes import OutcomeName
from schema.states import Closed, EntryState, GateReason, Reason, RecordState
from tests.docs import reference

LOGGED = frozenset({"debug", "info", "warning", "error", "exception"})
LOGGING = (
    "console",
    "gateway",
    "inbox",
    "outbox",
    "pillarbox",
    "producers",
    "records",
    "runtime",
    "sandbox",
    "workers",
)
OUTSIDE = ("DATABASE_URL", "REDIS_URL", "PORT", "LOG_FORMAT", "LOG_LEVEL")


@pytest.mark.parametrize("path", reference.pages(), ids=lambda path: path.name)
def test_each_page_is_what_the_code_says(path: Path) -> None:
    assert path.read_text(encoding="utf-8") == reference.pages()[path], (
        "run python -m tests.docs.reference"
    )


def test_every_command_is_there() -> None:
    page = _page("commands.md")
    for words, command in reference.leaves():
        assert f"## {words}\n" in page
        arguments, options = reference.parameters(command)
        assert all(one.help or one in arguments for one in options), words


def test_every_variable_is_there_and_its_default_is_the_default() -> None:
    named = {name: default for name, default, _ in reference.SETTINGS}

    assert set(named) == {*KNOWN, *OUTSIDE}
    told = {name: default for name, default in named.items() if default}
    assert Settings.from_environment(told) == Settings.from_environment({})


def test_every_event_is_there_with_an_example_that_enters() -> None:
    page = _page("events.md")
    for name, model in EVENTS.items():
        assert f"## {name}\n" in page
        decode(reference.example_of(name))
        assert all(f"`{field}`" in page for field in model.model_fields)


def test_every_state_reason_and_outcome_is_there() -> None:
    page = _page("reasons.md")
    for kind in (EntryState, Closed, RecordState, Reason, GateReason, BulkState, Result):
        for one in kind:
            assert f"| `{one}` |" in page
    outcomes = _page("outcomes.md")
    assert all(f"| `{one}` |" in outcomes for one in OutcomeName)


def test_every_table_and_column_is_there() -> None:
    page = _page("tables.md")
    for table in metadata.sorted_tables:
        assert f"## {table.name}\n" in page
        assert all(f"`{column.name}`" in page for column in table.columns)


def test_every_metric_is_there_with_a_sentence_and_its_labels() -> None:
    page = _page("metrics.md")
    for one in metrics.REGISTRY.collect():
        assert f"| `{one.name}` |" in page
        assert one.documentation.endswith(".")
        labels = {label for sample in one.samples for label in sample.labels}
        assert labels <= set(reference.LABELS.get(one.name, ()))


def test_every_line_that_is_logged_is_there_and_no_other() -> None:
    logged = {
        name
        for folder in LOGGING
        for file in (reference.ROOT / folder).rglob("*.py")
        for name in _logged_by(ast.parse(file.read_text(encoding="utf-8")))
    }

    assert logged == set(reference.LOG_EVENTS)


def _logged_by(module: ast.Module) -> list[str]:
    return [
        node.args[0].value
        for node in ast.walk(module)
        if isinstance(node, ast.Call)
        and isinstance(node.func, ast.Attribute)
        and isinstance(node.func.value, ast.Name)
        and node.func.value.id == "logger"
        and node.func.attr in LOGGED
        and isinstance(node.args[0], ast.Constant)
        and isinstance(node.args[0].value, str)
    ]


def _page(name: str) -> str:
    return (reference.FOLDER / name).read_text(encoding="utf-8")
