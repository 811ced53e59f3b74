"""Results as a table for people, and as a file for programs."""

import json
from dataclasses import asdict
from datetime import UTC, datetime
from pathlib import Path

from rich.console import Console
from rich.table import Table

from benchmarks.baseline import Known, counters_changed, is_worse
from benchmarks.result import Line, Result

FOLDER = Path(__file__).parent / "results"


def show(console: Console, result: Result, known: Known) -> None:
    """Print a scenario: each figure, what it is measured against, its gate, and what it was."""
    console.print(f"\n[bold]{result.scenario}[/bold]  {result.conditions}")
    if result.skipped is not None:
        console.print(f"  could not run: {result.skipped}")
        return
    table = Table(box=None, pad_edge=False, header_style="dim")
    for heading in ("", "figure", "measured against", "ratio", "gate", "", "baseline"):
        table.add_column(
            heading, justify="left" if heading in ("", "measured against") else "right"
        )
    before = known.get(result.scenario, {})
    for line in result.lines:
        table.add_row(*_row(line, before.get(line.name)))
    console.print(table)
    for change in counters_changed(result, known):
        console.print(f"  [red]changed[/red]  {change}")


def _row(line: Line, before: float | None) -> tuple[str, ...]:
    peer = "" if line.peer is None else f"{_number(line.peer.value)} {line.peer.name}"
    ratio = "" if line.peer is None else f"{line.measured:.2f}"
    was = "" if before is None else _number(before)
    if before is not None and is_worse(line, before):
        was += " worse"
    figure = f"{_number(line.value)} {line.unit}".strip()
    return line.name, figure, peer, ratio, _gate(line), _verdict(line), was


def _gate(line: Line) -> str:
    if line.at_most is not None:
        return f"≤ {line.at_most:g}"
    if line.aim is not None:
        return f"aim {line.aim:g}"
    return "" if line.at_least is None else f"≥ {line.at_least:g}"


def _verdict(line: Line) -> str:
    if not line.gated:
        return ""
    return "[green]holds[/green]" if line.holds else "[red]fails[/red]"


def _number(value: float) -> str:
    if abs(value) >= 1_000:
        return f"{value:,.0f}"
    return f"{value:.0f}" if value == int(value) else f"{value:.3g}"


def keep(result: Result, size: str) -> Path:
    """Write a result to a file of its own; gives its path."""
    FOLDER.mkdir(exist_ok=True)
    now = datetime.now(UTC)
    path = FOLDER / f"{result.scenario}-{size}-{now:%Y%m%dT%H%M%SZ}.json"
    lines = [
        asdict(line) | {"measured": line.measured, "holds": line.holds} for line in result.lines
    ]
    document = {
        "scenario": result.scenario,
        "size": size,
        "at": now.isoformat(),
        "conditions": result.conditions,
        "skipped": result.skipped,
        "holds": result.holds,
        "lines": lines,
    }
    path.write_text(json.dumps(document, indent=2) + "\n", "utf-8")
    return path
