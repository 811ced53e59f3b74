"""Names that would quietly shadow something, and imports that would quietly load too much."""

import importlib
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
PACKAGES = sorted(
    folder.name
    for folder in ROOT.iterdir()
    if (folder / "__init__.py").exists() and not folder.name.startswith(".")
)


def test_our_migrations_do_not_shadow_the_library_of_that_name() -> None:
    import alembic

    assert not (ROOT / "alembic" / "__init__.py").exists()
    assert not Path(alembic.__file__).is_relative_to(ROOT / "alembic")


@pytest.mark.parametrize("package", PACKAGES)
def test_each_package_of_ours_is_the_one_in_the_root(package: str) -> None:
    file = importlib.import_module(package).__file__

    assert file is not None
    assert Path(file) == ROOT / package / "__init__.py"


def test_no_package_or_module_at_the_root_is_named_after_a_standard_one() -> None:
    assert [name for name in PACKAGES if name in sys.stdlib_module_names] == []


@pytest.mark.parametrize("package", PACKAGES)
def test_importing_a_package_imports_nothing_else_of_ours(package: str) -> None:
    loaded = imported(f"import {package}")

    assert sorted(set(PACKAGES) & {name.partition(".")[0] for name in loaded}) == [package]


@pytest.mark.parametrize(
    "line",
    [
        "from producers import emit",
        "import producers.files, producers.errors",
        "from schema.events import ParticipantDeferred",
    ],
)
def test_a_producer_loads_a_database_and_nothing_beyond_it(line: str) -> None:
    loaded = imported(line)

    unwanted = {"dramatiq", "redis", "httpx", "httpcore", "fakeredis", "runtime.broker", "outbox"}
    assert loaded & unwanted == set()


HEAVY = {"sqlalchemy", "pydantic", "redis", "httpx", "httpcore", "starlette", "jinja2", "alembic"}


@pytest.mark.parametrize(
    ("line", "needed"),
    [
        ("pillarbox.__main__.application()", set[str]()),
        ("pillarbox.__main__.loaded('status')", {"sqlalchemy", "pydantic", "redis"}),
        ("pillarbox.__main__.loaded('emit')", {"sqlalchemy", "pydantic"}),
        ("import runtime.migrations", {"sqlalchemy"}),
        ("import workers.wiring", {"sqlalchemy", "pydantic", "redis"}),
    ],
)
def test_a_command_loads_no_library_that_it_can_do_without(line: str, needed: set[str]) -> None:
    loaded = imported(f"import pillarbox.__main__\n{line}")

    assert loaded & HEAVY == needed


def imported(line: str) -> set[str]:
    """Give the modules that a fresh interpreter has loaded after this line."""
    program = f"import sys\n{line}\nprint(*sys.modules, sep='\\n')"
    done = subprocess.run(
        [sys.executable, "-c", program], cwd=ROOT, capture_output=True, text=True, check=True
    )
    return set(done.stdout.split())
