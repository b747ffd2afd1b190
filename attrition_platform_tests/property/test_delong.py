"""DeLong's covariance against comparing every leaver with every stayer."""

from __future__ import annotations

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from attrition_platform.modeling.comparison import compare_auc
from attrition_platform.modeling.delong import auc_covariance

few_scores = st.integers(min_value=0, max_value=6)  # few values, so that ties are common
employees = st.lists(st.tuples(st.booleans(), few_scores, few_scores), min_size=4, max_size=40).filter(
    lambda rows: 2 <= sum(left for left, _, _ in rows) <= len(rows) - 2
)


def brute_force(y_true: np.ndarray, *scores: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    wins = [np.sign(s[y_true][:, None] - s[~y_true][None, :]) / 2 + 0.5 for s in scores]
    auc = np.array([w.mean() for w in wins])
    of_leavers = np.array([w.mean(axis=1) for w in wins])
    of_stayers = np.array([w.mean(axis=0) for w in wins])
    covariance = np.cov(of_leavers) / of_leavers.shape[1] + np.cov(of_stayers) / of_stayers.shape[1]
    return auc, covariance


@given(employees)
@settings(deadline=None, max_examples=50)
def test_placements_from_ranks_are_those_of_all_pairs(rows: list[tuple[bool, int, int]]) -> None:
    y_true = np.array([left for left, _, _ in rows])
    scores = [np.array([row[i] for row in rows], dtype=float) for i in (1, 2)]

    auc, covariance = auc_covariance(y_true, *scores)

    expected_auc, expected_covariance = brute_force(y_true, *scores)
    np.testing.assert_allclose(auc, expected_auc, atol=1e-12)
    np.testing.assert_allclose(covariance, expected_covariance, atol=1e-12)


@given(employees)
@settings(deadline=None, max_examples=50)
def test_a_rescaled_score_ranks_alike(rows: list[tuple[bool, int, int]]) -> None:
    y_true = np.array([left for left, _, _ in rows])
    score = np.array([first for _, first, _ in rows], dtype=float)

    found = compare_auc(y_true, np.exp(score), score, "a1", "a1")

    assert abs(found.value) < 1e-12
    assert found.sd < 1e-7
