"""What is true of every decision."""

from __future__ import annotations

import math

from hypothesis import given, settings
from hypothesis import strategies as st

from attrition_platform.modeling.promotion import Gain, decide
from attrition_platform_tests.unit.test_promotion import RESPONSIBLE, UNRESTRICTED, make_evidence

score = st.none() | st.floats(allow_nan=True, allow_infinity=True) | st.floats(0, 1)
gain = st.none() | st.builds(Gain, value=st.floats(), low=st.floats(), high=st.floats())
evidence = st.builds(
    make_evidence,
    incumbent=st.sampled_from([None, "old", "new"]),
    gain=gain,
    rolled_back=st.booleans(),
    cause=st.sampled_from([None, "drift", "nightly"]),
    roc_auc=score,
    recall=score,
    calibration_error=score,
    latency_p95_ms=score,
    model_mb=score,
    parity_gap=score,
    n_test_rows=st.integers(0, 5000),
    n_test_positives=st.integers(0, 5000),
    impact_ratios=st.dictionaries(st.sampled_from(["age", "gender"]), score),
    equalised_odds_gaps=st.dictionaries(st.sampled_from(["age", "gender"]), score),
    protected_read=st.sampled_from([(), ("age",)]),
    test_reads=st.integers(0, 3),
    reproducible=st.booleans(),
)


@settings(max_examples=200, deadline=None)
@given(evidence, st.sampled_from([RESPONSIBLE, UNRESTRICTED]))
def test_promoted_means_that_every_enforced_gate_passed(found, policy) -> None:  # type: ignore[no-untyped-def]
    decision = decide(found, policy)

    assert decision.promoted == (not decision.blockers and found.incumbent != found.version)
    if decision.promoted:
        assert math.isfinite(found.roc_auc)
        assert found.roc_auc >= policy.gates.min_roc_auc
        assert not found.rolled_back
        assert found.n_test_rows >= policy.gates.min_test_rows


@settings(max_examples=100, deadline=None)
@given(evidence)
def test_a_model_never_replaces_itself(found) -> None:  # type: ignore[no-untyped-def]
    """Retraining on unchanged data must not churn the serving model."""
    decision = decide(make_evidence(**{**found.__dict__, "incumbent": "new"}), RESPONSIBLE)

    assert decision.outcome == "unchanged"


@settings(max_examples=100, deadline=None)
@given(evidence, st.sampled_from([RESPONSIBLE, UNRESTRICTED]))
def test_every_number_of_a_gate_can_be_written_as_json(found, policy) -> None:  # type: ignore[no-untyped-def]
    import json

    json.dumps(decide(found, policy).as_json(), allow_nan=False)
