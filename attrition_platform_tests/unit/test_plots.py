"""Plots are small, repeat byte by byte, and survive odd input."""

from __future__ import annotations

import struct
import subprocess
import sys
from collections.abc import Callable

import numpy as np
import pytest

from attrition_platform.modeling import plots
from attrition_platform.modeling.drivers import Driver
from attrition_platform.modeling.evaluation import Confusion
from attrition_platform.modeling.tuning import Trial

RNG = np.random.default_rng(8)
Y_PROB = RNG.beta(2, 3, 4_000)
Y_TRUE = RNG.random(4_000) < Y_PROB
DRIVERS = tuple(Driver(f"feature_{i}", 0.1 / (i + 1), (None, 0.2, -0.1)[i % 3]) for i in range(30))
POINTS = [
    {"variant": "all columns", "roc_auc": 0.85, "least_impact_ratio": 0.6},
    {"variant": "without pay", "roc_auc": 0.80, "least_impact_ratio": 0.9},
    {"variant": "too few", "roc_auc": 0.79, "least_impact_ratio": None},
]


def make_trial(number: int, roc_auc: float, *, pruned: bool = False) -> Trial:
    return Trial("random_forest", number, {}, roc_auc, 0.6, 8, pruned, 700, 1.0, 2.0)


TRIALS = [make_trial(i, 0.85 - i / 500, pruned=i > 6) for i in range(30)]
DRAWINGS: dict[str, Callable[[], bytes]] = {
    "roc": lambda: plots.roc_plot(Y_TRUE, Y_PROB),
    "precision_recall": lambda: plots.precision_recall_plot(Y_TRUE, Y_PROB),
    "calibration": lambda: plots.calibration_plot(Y_TRUE, Y_PROB),
    "confusion": lambda: plots.confusion_plot(Confusion(70, 10, 5, 15)),
    "drivers": lambda: plots.drivers_plot(DRIVERS),
    "frontier": lambda: plots.frontier_plot(POINTS),
    "leaderboard": lambda: plots.leaderboard_plot(TRIALS),
}


def size_of(png: bytes) -> tuple[int, int]:
    assert png.startswith(b"\x89PNG\r\n\x1a\n")
    width, height = struct.unpack(">II", png[16:24])
    return width, height


@pytest.mark.parametrize("name", DRAWINGS)
def test_a_plot_is_small_and_of_one_size(name: str) -> None:
    png = DRAWINGS[name]()

    assert size_of(png) == (640, 480)
    assert len(png) < 60_000


@pytest.mark.parametrize("name", DRAWINGS)
def test_a_plot_repeats_byte_by_byte_and_does_not_name_matplotlib(name: str) -> None:
    png = DRAWINGS[name]()

    assert DRAWINGS[name]() == png
    assert b"atplotlib" not in png


def test_other_scores_make_another_picture() -> None:
    assert plots.roc_plot(Y_TRUE, Y_PROB) != plots.roc_plot(Y_TRUE, Y_PROB[::-1])
    assert plots.confusion_plot(Confusion(1, 2, 3, 4)) != plots.confusion_plot(Confusion(4, 3, 2, 1))


def test_constant_scores_and_a_missing_class_can_be_drawn() -> None:
    constant, nobody = np.full(10, 0.3), np.zeros(10, dtype=bool)

    for draw in (plots.roc_plot, plots.precision_recall_plot, plots.calibration_plot):
        assert size_of(draw(nobody, constant)) == (640, 480)
    assert size_of(plots.confusion_plot(Confusion(0, 0, 0, 0))) == (640, 480)


def test_no_drivers_and_no_points_can_be_drawn() -> None:
    assert size_of(plots.drivers_plot(())) == (640, 480)
    assert size_of(plots.frontier_plot([])) == (640, 480)
    assert size_of(plots.frontier_plot([POINTS[2]])) == (640, 480)


def test_a_leaderboard_shows_scores_and_what_was_stopped() -> None:
    drawn = plots.leaderboard_plot([make_trial(0, 0.85), make_trial(1, 0.8)])

    assert plots.leaderboard_plot([make_trial(0, 0.85), make_trial(1, 0.7)]) != drawn
    assert plots.leaderboard_plot([make_trial(0, 0.85), make_trial(1, 0.8, pruned=True)]) != drawn


def test_a_leaderboard_without_trials_or_without_scores_can_be_drawn() -> None:
    assert size_of(plots.leaderboard_plot([])) == (640, 480)
    assert size_of(plots.leaderboard_plot([make_trial(0, float("nan"))])) == (640, 480)


def test_names_that_look_like_formulas_are_drawn_as_they_are() -> None:
    odd = Driver(r"$\frac{$", 0.1, None)

    assert size_of(plots.drivers_plot((odd,))) == (640, 480)


def test_pyplot_and_its_global_state_are_not_touched() -> None:
    script = (
        "import sys, numpy as np; from attrition_platform.modeling import plots; "
        "plots.roc_plot(np.array([True, False]), np.array([0.9, 0.1])); "
        "sys.exit('matplotlib.pyplot' in sys.modules)"
    )

    assert subprocess.run([sys.executable, "-c", script], check=False, timeout=60).returncode == 0
