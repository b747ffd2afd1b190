"""Evidence of concept drift is an e-value: worth at most 1 on average anywhere in the null."""

from __future__ import annotations

import itertools

import numpy as np
import polars as pl
from hypothesis import given, settings
from hypothesis import strategies as st

from attrition_platform.monitoring.concept import MARGIN, WEEK_MICROSECONDS, evidence_by_week

CATEGORIES = {"site": ("a", "b")}
probability = st.floats(0.0, 1.0)
label = st.tuples(
    probability, st.floats(-MARGIN, MARGIN), st.integers(0, 3), st.sampled_from(["a", "b", "c"])
)


@settings(max_examples=40, deadline=None)
@given(st.lists(label, min_size=1, max_size=5))
def test_no_truth_within_the_margin_makes_the_evidence_worth_more_than_its_stake(
    drawn: list[tuple[float, float, int, str]],
) -> None:
    p = np.array([row[0] for row in drawn])
    truth = np.clip([row[0] + row[1] for row in drawn], 0.0, 1.0)
    frame = pl.DataFrame(
        {
            "probability": p,
            "at": np.array([row[2] for row in drawn]) * WEEK_MICROSECONDS,
            "site": [row[3] for row in drawn],
        }
    )
    worth = 0.0
    for outcome in itertools.product([False, True], repeat=len(p)):
        left = np.array(outcome)
        chance = float(np.prod(np.where(left, truth, 1.0 - truth)))
        if chance > 0.0:
            evidence = evidence_by_week(frame.with_columns(pl.Series("left", left)), CATEGORIES)
            worth += chance * float(np.exp(evidence[-1]))

    assert worth <= 1.0 + 1e-9
