"""Pictures of an evaluation as PNG bytes; the same numbers always draw the same bytes.

Matplotlib's objects are used without pyplot, which keeps a global state that threads would share.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from io import BytesIO
from typing import TYPE_CHECKING, Any

import numpy as np

from attrition_platform.modeling.evaluation import Confusion, calibration_bins

if TYPE_CHECKING:
    from matplotlib.axes import Axes

    from attrition_platform.modeling.drivers import Driver
    from attrition_platform.modeling.tuning import Trial

SIZE_INCHES, DPI = (6.4, 4.8), 100
INK, ACCENT, SECOND, FAINT = "#1f2933", "#0b6e99", "#c2571a", "#9aa5b1"
MAX_CURVE_POINTS = 400
MAX_DRIVERS = 15
MAX_TRIALS = 15
MAX_NAME = 34


def roc_plot(y_true: np.ndarray, y_prob: np.ndarray) -> bytes:
    """Share of leavers found against share of stayers flagged, over all thresholds."""
    caught, flagged = _counts_by_threshold(y_true, y_prob)
    n_leavers = max(int(np.sum(y_true)), 1)
    n_stayers = max(len(y_true) - int(np.sum(y_true)), 1)
    with _figure("ROC curve", "Stayers flagged (share)", "Leavers flagged (share)") as (axes, out):
        axes.plot([0, 1], [0, 1], color=FAINT, linestyle="--", label="no better than chance")
        x, y = np.append(0.0, (flagged - caught) / n_stayers), np.append(0.0, caught / n_leavers)
        axes.plot(*_thin(x, y), color=ACCENT, label="model")
        _unit_square(axes)
        axes.legend(loc="lower right", frameon=False)
    return out.getvalue()


def precision_recall_plot(y_true: np.ndarray, y_prob: np.ndarray) -> bytes:
    """Share of the flagged who leave against share of leavers found, over all thresholds."""
    caught, flagged = _counts_by_threshold(y_true, y_prob)
    n_leavers = int(np.sum(y_true))
    with _figure("Precision and recall", "Recall", "Precision") as (axes, out):
        share = n_leavers / max(len(y_true), 1)
        axes.axhline(share, color=FAINT, linestyle="--", label="flagging at random")
        recall, precision = caught / max(n_leavers, 1), caught / np.maximum(flagged, 1)
        axes.plot(*_thin(recall, precision), color=ACCENT, label="model")
        _unit_square(axes)
        axes.legend(loc="upper right", frameon=False)
    return out.getvalue()


def calibration_plot(y_true: np.ndarray, y_prob: np.ndarray) -> bytes:
    """Share who left against the probability they were given, in tenths of the employees."""
    mean_prob, leaver_rate, n_employees = calibration_bins(np.asarray(y_true, bool), np.asarray(y_prob))
    half = 1.96 * np.sqrt(leaver_rate * (1 - leaver_rate) / n_employees)
    with _figure("Calibration", "Mean predicted probability", "Share who left") as (axes, out):
        axes.plot([0, 1], [0, 1], color=FAINT, linestyle="--", label="ideal")
        axes.errorbar(
            mean_prob, leaver_rate, yerr=half, color=ACCENT, marker="o", markersize=4, label="model"
        )
        _unit_square(axes)
        axes.legend(loc="upper left", frameon=False)
    return out.getvalue()


def confusion_plot(confusion: Confusion) -> bytes:
    """Employees by what was said of them and what they did, with shares of each row."""
    counts = np.array(
        [
            [confusion.true_negative, confusion.false_positive],
            [confusion.false_negative, confusion.true_positive],
        ]
    )
    shares = counts / np.maximum(counts.sum(axis=1, keepdims=True), 1)
    with _figure("Confusion at the threshold", "", "", grid=False) as (axes, out):
        axes.imshow(shares, cmap="Blues", vmin=0, vmax=1.4, aspect="auto")
        axes.set_xticks([0, 1], ["not flagged", "flagged"])
        axes.set_yticks([0, 1], ["stayed", "left"])
        for (row, column), count in np.ndenumerate(counts):
            text = f"{count:,}\n{shares[row, column]:.1%}"
            axes.text(column, row, text, ha="center", va="center", color=INK, fontsize=13)
    return out.getvalue()


def drivers_plot(drivers: Sequence[Driver]) -> bytes:
    """The most important features, coloured by the direction in which they push."""
    shown = list(drivers)[:MAX_DRIVERS][::-1]
    title = "What the ranking rests on"
    with _figure(title, "Loss of ROC AUC when the feature is shuffled", "") as (axes, out):
        colours = [_direction_colour(driver.effect) for driver in shown]
        axes.barh(range(len(shown)), [driver.importance for driver in shown], color=colours)
        axes.set_yticks(range(len(shown)), [_shorten(driver.feature) for driver in shown], fontsize=8)
        for colour, meaning in (
            (SECOND, "more of it, more leave"),
            (ACCENT, "more of it, fewer leave"),
            (FAINT, "no direction"),
        ):
            axes.barh(0, 0, color=colour, label=meaning)
        axes.legend(loc="lower right", frameon=False, fontsize=8)
    return out.getvalue()


def leaderboard_plot(trials: Sequence[Trial]) -> bytes:
    """Validation ROC AUC of the first trials, best on top; hollow where the median rule stopped one.

    Parameters
    ----------
    trials : sequence of Trial
        In the order of `rank`; a trial without a score keeps its row and has no point.
    """
    shown = list(trials)[:MAX_TRIALS]
    title = f"Leaderboard, {len(shown)} of {len(trials)} trials"
    with _figure(title, "Validation ROC AUC", "") as (axes, out):
        for place, trial in enumerate(shown):
            face = "none" if trial.pruned else ACCENT
            axes.scatter(trial.roc_auc, place, s=36, facecolors=face, edgecolors=ACCENT)
        names = [f"{_shorten(trial.family)} #{trial.number}" for trial in shown]
        axes.set_yticks(range(len(shown)), names, fontsize=8)
        axes.set_ylim(max(len(shown), 1) - 0.5, -0.5)
        axes.scatter([], [], s=36, color=ACCENT, label="complete")
        axes.scatter([], [], s=36, facecolors="none", edgecolors=ACCENT, label="stopped early")
        axes.legend(loc="best", frameon=False, fontsize=8)
    return out.getvalue()


def frontier_plot(points: Sequence[Mapping[str, Any]]) -> bytes:
    """Accuracy against fairness of the variants that read fewer and fewer columns.

    Parameters
    ----------
    points : sequence of mapping
        Each with ``variant``, ``roc_auc`` and ``least_impact_ratio``, which may be None: such a
        variant has no group that counts, and is named under the picture instead.
    """
    known = [p for p in points if p["least_impact_ratio"] is not None and p["roc_auc"] is not None]
    unknown = [str(p["variant"]) for p in points if p not in known]
    with _figure("Accuracy and impact ratio", "Least impact ratio", "Validation ROC AUC") as (axes, out):
        axes.axvline(0.8, color=FAINT, linestyle="--")
        ratios, scores = [p["least_impact_ratio"] for p in known], [p["roc_auc"] for p in known]
        for number, point in enumerate(known, start=1):
            where = (point["least_impact_ratio"], point["roc_auc"])
            label = f"{number}  {_shorten(str(point['variant']))}"
            axes.scatter(*where, color=ACCENT, s=24, label=label)
            axes.annotate(str(number), where, xytext=(5, 4), textcoords="offset points", fontsize=9)
        _pad(axes, [*ratios, 0.8], scores)
        if known:
            axes.legend(loc="best", frameon=False, fontsize=8, handlelength=0, handletextpad=0, markerscale=0)
        if unknown:
            axes.set_title(
                f"no ratio: {', '.join(_shorten(name) for name in unknown)}", fontsize=7, loc="right"
            )
    return out.getvalue()


@contextmanager
def _figure(title: str, x: str, y: str, *, grid: bool = True) -> Iterator[tuple[Axes, BytesIO]]:
    """Axes to draw on; the bytes are written when the block ends."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    figure = Figure(figsize=SIZE_INCHES, dpi=DPI, layout="constrained")
    FigureCanvasAgg(figure)
    axes = figure.add_subplot()
    axes.set_title(title, loc="left", color=INK)
    axes.set_xlabel(x)
    axes.set_ylabel(y)
    for side in ("top", "right"):
        axes.spines[side].set_visible(False)
    if grid:
        axes.grid(color=FAINT, alpha=0.25)
        axes.set_axisbelow(True)
    out = BytesIO()
    yield axes, out
    # Without a named writer the file would carry matplotlib's version, and change with it.
    figure.savefig(out, format="png", metadata={"Software": "attrition-platform"})


def _counts_by_threshold(y_true: np.ndarray, y_prob: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Leavers and employees at or above each distinct score, from the highest score down."""
    order = np.argsort(-np.asarray(y_prob), kind="stable")
    score = np.asarray(y_prob)[order]
    ends = np.append(np.flatnonzero(np.diff(score)), len(score) - 1)
    caught = np.cumsum(np.asarray(y_true, dtype=np.float64)[order])[ends]
    return caught, (ends + 1).astype(np.float64)


def _thin(x: np.ndarray, y: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    if len(x) <= MAX_CURVE_POINTS:
        return x, y
    kept = np.unique(np.linspace(0, len(x) - 1, MAX_CURVE_POINTS).astype(int))
    return x[kept], y[kept]


def _unit_square(axes: Axes) -> None:
    axes.set_xlim(-0.01, 1.01)
    axes.set_ylim(-0.01, 1.01)


def _pad(axes: Axes, x: Sequence[float], y: Sequence[float]) -> None:
    for values, set_limits in ((x, axes.set_xlim), (y, axes.set_ylim)):
        if len(values):
            margin = max(0.15 * (max(values) - min(values)), 0.01)
            set_limits(min(values) - margin, max(values) + margin)


def _direction_colour(effect: float | None) -> str:
    if effect is None or effect == 0:
        return FAINT
    return SECOND if effect > 0 else ACCENT


def _shorten(name: str) -> str:
    plain = name.replace("_", " ")
    short = plain if len(plain) <= MAX_NAME else plain[: MAX_NAME - 1] + "…"
    # Two dollar signs would make a formula, and one that does not parse would fail the drawing.
    return short.replace("$", r"\$")
