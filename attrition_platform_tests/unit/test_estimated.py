"""The estimate without labels: exact in expectation, honest in its intervals, blind to concept drift."""

from __future__ import annotations

import itertools
import json

import numpy as np
import pytest

from attrition_platform.modeling.delong import Z_95, auc_covariance
from attrition_platform.monitoring.estimated import EstimatedPerformance, estimate_performance

METRICS = ("accuracy", "recall", "precision", "roc_auc")


def draw(n: int, seed: int) -> tuple[np.ndarray, np.ndarray]:
    p = np.round(np.random.default_rng(seed).beta(1.5, 2.0, n), 2)  # rounded, so that there are ties
    return p, p >= 0.5


def realised(p: np.ndarray, flagged: np.ndarray, left: np.ndarray) -> dict[str, float]:
    return {
        "accuracy": float((flagged == left).mean()),
        "recall": float((flagged & left).sum() / left.sum()),
        "precision": float((flagged & left).sum() / flagged.sum()),
        "roc_auc": float(auc_covariance(left, p)[0][0]),
    }


def test_the_auc_is_the_expected_share_of_pairs_in_order() -> None:
    p, flagged = draw(40, 3)
    pairs = [(a, b) for a, b in itertools.permutations(p, 2)]
    weight = [a * (1 - b) for a, b in pairs]
    in_order = [
        w * (1.0 if a > b else 0.5 if a == b else 0.0) for (a, b), w in zip(pairs, weight, strict=True)
    ]

    found = estimate_performance(p, flagged).roc_auc

    assert found is not None
    assert found.value == pytest.approx(sum(in_order) / sum(weight))


def test_intervals_are_as_wide_as_outcomes_scatter() -> None:
    p = np.round(np.random.default_rng(4).beta(0.8, 2.5, 300), 2)
    flagged = p >= 0.3
    found = estimate_performance(p, flagged)
    rng = np.random.default_rng(5)
    later = [realised(p, flagged, rng.random(len(p)) < p) for _ in range(2_000)]

    for name in METRICS:
        values = np.array([each[name] for each in later])
        estimate = getattr(found, name)
        standard_error = values.std() / np.sqrt(len(values))
        assert abs(estimate.value - values.mean()) < 4 * standard_error + 0.002, name  # a ratio is biased
        assert (estimate.high - estimate.low) / (2 * Z_95) == pytest.approx(values.std(), rel=0.08), name
        inside = np.mean((estimate.low <= values) & (values <= estimate.high))
        assert 0.93 <= inside <= 0.97, name


def test_it_believes_the_probabilities_and_so_misses_concept_drift() -> None:
    p, flagged = draw(2_000, 6)
    left = np.random.default_rng(7).random(len(p)) < 1.0 - p

    found = estimate_performance(p, flagged)

    assert found.accuracy is not None
    assert found.accuracy.low > 0.6 > 0.4 > realised(p, flagged, left)["accuracy"]
    assert "concept drift" in found.as_json()["blind_to"]


@pytest.mark.parametrize(
    ("p", "flagged", "missing"),
    [
        ([], [], METRICS),
        ([0.0, 0.0], [False, False], ("recall", "precision", "roc_auc")),
        ([1.0, 1.0], [True, True], ("roc_auc",)),
        ([0.4], [True], ("roc_auc",)),
        ([np.nan, np.inf, -0.1, 1.1], [True] * 4, METRICS),
    ],
)
def test_what_can_not_be_estimated_is_none(
    p: list[float], flagged: list[bool], missing: tuple[str, ...]
) -> None:
    found = estimate_performance(np.array(p), np.array(flagged, dtype=bool))

    assert {name for name in METRICS if getattr(found, name) is None} == set(missing)
    json.dumps(found.as_json(), allow_nan=False)


def test_unreadable_probabilities_are_left_out_and_counted() -> None:
    p, flagged = draw(50, 8)

    found = estimate_performance(np.append(p, np.nan), np.append(flagged, True))

    assert found == EstimatedPerformance(**(vars(estimate_performance(p, flagged)) | {"n_unreadable": 1}))
