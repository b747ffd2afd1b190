"""A simulated year as a picture: what the champions were worth, and when something was planted and found."""

from __future__ import annotations

from io import BytesIO
from itertools import pairwise
from typing import TYPE_CHECKING

from attrition_platform.modeling.plots import ACCENT, DPI, FAINT, INK, SECOND
from attrition_platform.stages.simulated_report import MonthRecord, YearReport

if TYPE_CHECKING:
    from matplotlib.axes import Axes

SIZE_INCHES = (9.6, 7.2)


def year_plot(report: YearReport) -> bytes:
    """Draw AUC and cost by month as a PNG; the same report always draws the same bytes."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    figure = Figure(figsize=SIZE_INCHES, dpi=DPI, layout="constrained")
    FigureCanvasAgg(figure)
    above, below = figure.subplots(2, 1, sharex=True)
    _lines(above, report.months, "roc_auc", "AUC by the true chances")
    _lines(below, report.months, "cost", "Cost per employee")
    for axes in (above, below):
        _marks(axes, report)
    _labels(above, report)
    below.set_xlabel("Month (0: training extract)")
    below.set_xticks(range(report.plan.n_months + 1))
    figure.suptitle(f"A simulated year, seed {report.plan.seed}: what the champions were worth", color=INK)
    handles, names = above.get_legend_handles_labels()
    figure.legend(handles, names, loc="outside lower center", ncol=len(names), frameon=False)
    out = BytesIO()
    figure.savefig(out, format="png", metadata={"Software": None})
    return out.getvalue()


def _lines(axes: Axes, months: tuple[MonthRecord, ...], of: str, label: str) -> None:
    for name, color, style in (("first_worth", FAINT, "--"), ("worth", ACCENT, "-")):
        known = [(m.number, getattr(m, name)) for m in months if getattr(m, name) is not None]
        numbers = [number for number, _ in known]
        values = [getattr(worth, of) for _, worth in known]
        who = "the champion" if name == "worth" else "the first champion, had it stayed"
        axes.plot(numbers, values, style, color=color, marker="o", markersize=4, label=who)
    changes = [
        (month.number, month.worth)
        for earlier, month in pairwise(months)
        if month.champion != earlier.champion and month.worth is not None
    ]
    axes.plot(
        [number for number, _ in changes],
        [getattr(worth, of) for _, worth in changes],
        "o",
        color=SECOND,
        markersize=7,
        label="a new champion",
    )
    axes.set_ylabel(label, color=INK)
    axes.spines[["top", "right"]].set_visible(False)


def _marks(axes: Axes, report: YearReport) -> None:
    for finding in report.findings:
        axes.axvline(finding.plant.month, color=INK, linestyle=":", linewidth=1)
        if finding.found is not None and finding.found > finding.plant.month:
            axes.axvspan(finding.plant.month, finding.found, color=FAINT, alpha=0.15, linewidth=0)


def _labels(axes: Axes, report: YearReport) -> None:
    """Name each plant at the top of its line, and in which month it was found."""
    low, high = axes.get_ylim()
    axes.set_ylim(low, high + 0.45 * (high - low))
    for finding in report.findings:
        found = "not found" if finding.found is None else f"found in {finding.found}"
        axes.text(
            finding.plant.month + 0.06,
            0.985,
            f"{finding.plant.kind}\n{found}",
            transform=axes.get_xaxis_transform(),
            rotation=90,
            va="top",
            ha="left",
            fontsize=7,
            color=INK,
        )
