"""One table for people, one file for programs."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict
from pathlib import Path

import orjson
from rich import box
from rich.console import Console
from rich.table import Table

from benchmarks.measure import Figure
from benchmarks.targets import Target

RESULTS = Path(__file__).parent / "results"


def write(name: str, figures: Sequence[Figure]) -> None:
    """Keep the figures of one benchmark."""
    RESULTS.mkdir(exist_ok=True)
    rows = [asdict(figure) | {"value": float(shown(figure.value))} for figure in figures]
    text = orjson.dumps(rows, option=orjson.OPT_INDENT_2 | orjson.OPT_APPEND_NEWLINE)
    (RESULTS / f"{name}.json").write_bytes(text)


def write_over(name: str, figures: Sequence[Figure]) -> None:
    """Keep the figures of a part of a benchmark, beside those that were kept of the rest."""
    path = RESULTS / f"{name}.json"
    kept = [Figure(**row) for row in orjson.loads(path.read_bytes())] if path.exists() else []
    measured = {figure.name for figure in figures}
    write(name, [*(figure for figure in kept if figure.name not in measured), *figures])


def show(console: Console, figures: Sequence[Figure], targets: Mapping[str, Target]) -> None:
    table = Table(box=box.SIMPLE_HEAD, pad_edge=False, header_style="bold")
    for heading in ("Name", "Value", "Unit", "Must", "Goal", "Verdict"):
        table.add_column(heading, justify="right" if heading in ("Value", "Must", "Goal") else "left")
    for figure in figures:
        target = targets.get(figure.name)
        bounds = (
            (f"{target.must:,g}", f"{target.goal:,g}", verdict(figure, target)) if target else ("", "", "")
        )
        table.add_row(figure.name, f"{float(shown(figure.value)):,.12g}", figure.unit, *bounds)
    console.print(table)


def verdict(figure: Figure, target: Target) -> str:
    """How a figure stands to its target."""
    for bound, words in ((target.goal, "[green]goal"), (target.must, "[green]must")):
        if figure.value >= bound if figure.unit.endswith("/s") else figure.value <= bound:
            return words
    return "[red]missed"


def shown(value: float) -> str:
    """Three digits that mean something, and no more than were measured."""
    return f"{value:.0f}" if abs(value) >= 1000 else f"{value:.3g}"
