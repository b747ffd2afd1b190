"""Turn results into Markdown and one picture."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Final

from benchmarks.result import Cell, Plot, Result

if TYPE_CHECKING:
    from matplotlib.axes import Axes

HEAD: Final = """# Benchmark results

Written by `make bench` (`python -m benchmarks.run [NAME ...]`); don't edit. What stands side by side in a
table was measured in one run on one machine. Ratios carry over to other machines; seconds don't.

![results](results.png)
"""


@dataclass(frozen=True)
class Measured:
    """A result, when it was measured and on what."""

    result: Result
    measured_at: str
    machine: str


def report(found: Sequence[Measured]) -> str:
    r"""Write every result as a section.

    Examples
    --------
    >>> result = Result("Speed", "It is quick.", ("what", "seconds"), (("a | b", 1.23456),), ("Once.",))
    >>> print(report([Measured(result, "2026-01-01", "2 cores")]).partition("## ")[2])
    Speed
    <BLANKLINE>
    It is quick.
    <BLANKLINE>
    | what | seconds |
    |---|---:|
    | a \| b | 1.235 |
    <BLANKLINE>
    - Once.
    - Measured 2026-01-01 on 2 cores.
    <BLANKLINE>
    """
    return "\n".join([HEAD, *(_section(measured) for measured in found)])


def draw(results: Sequence[Result], file: Path) -> None:
    """Draw every plot of every result into one picture, two beside each other."""
    from matplotlib.figure import Figure

    plots = [(result.title, plot) for result in results for plot in result.plots]
    n_rows = max(1, (len(plots) + 1) // 2)
    figure = Figure(figsize=(13, 4.2 * n_rows), layout="constrained")
    axes = figure.subplots(n_rows, 2, squeeze=False).ravel()
    for axis in axes[len(plots) :]:
        axis.set_axis_off()
    for axis, (title, plot) in zip(axes, plots, strict=False):
        _bars(axis, plot) if plot.kind == "bars" else _lines(axis, plot)
        axis.set_title(title)
        axis.set_xlabel(plot.x_label)
        axis.set_ylabel(plot.y_label)
        axis.spines[["top", "right"]].set_visible(False)
        if len(plot.series) > 1:
            axis.legend(frameon=False, fontsize=8, loc="upper left", bbox_to_anchor=(1, 1))
    figure.savefig(file, dpi=110, metadata={"Software": None})


def _section(measured: Measured) -> str:
    result = measured.result
    first = result.rows[0] if result.rows else ()
    rules = ["---:" if isinstance(cell, int | float) else "---" for cell in first]
    lines = [f"## {result.title}", "", result.finding, "", _line(result.header)]
    lines += [f"|{'|'.join(rules)}|", *(_line(row) for row in result.rows), ""]
    lines += [f"- {note}" for note in result.notes]
    lines += [f"- Measured {measured.measured_at} on {measured.machine}.", ""]
    return "\n".join(lines)


def _line(cells: Sequence[Cell]) -> str:
    return f"| {' | '.join(_text(cell) for cell in cells)} |"


def _text(cell: Cell) -> str:
    if isinstance(cell, float):
        return f"{cell:.0f}" if abs(cell) >= 1000 else f"{cell:.4g}"
    return f"{cell:,}" if isinstance(cell, int) else cell.replace("|", "\\|")


def _bars(axis: Axes, plot: Plot) -> None:
    width = 0.8 / len(plot.series)
    for i, (name, values) in enumerate(plot.series.items()):
        places = [x + (i - (len(plot.series) - 1) / 2) * width for x in range(len(plot.x))]
        bars = axis.bar(places, values, width, label=name)
        axis.bar_label(bars, fmt="%.3g", fontsize=6)
    axis.set_xticks(range(len(plot.x)), [str(name).replace("_", " ") for name in plot.x], fontsize=7)


def _lines(axis: Axes, plot: Plot) -> None:
    for name, values in plot.series.items():
        axis.plot([float(x) for x in plot.x], values, marker="o", label=name)
    axis.set_xscale("log")
    axis.set_yscale("log")
