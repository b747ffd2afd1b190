"""What is true of every verdict."""

from __future__ import annotations

import json
import math

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from attrition_platform.modeling.policy import CanaryRule
from attrition_platform.monitoring.betting import one_per_client
from attrition_platform.monitoring.canary import Observation, Verdict, judge

RULE = CanaryRule(share=0.4, min_requests=10, max_requests=40, look_every=5, block_size=4)

observation = st.builds(
    Observation,
    variant=st.sampled_from(["stable", "canary"]),
    client=st.sampled_from(["a", "b", "c"]),
    at=st.just(0),
    failed=st.booleans(),
    latency_ms=st.floats(allow_nan=True, allow_infinity=True) | st.floats(0.0, 100.0),
    flags_differ=st.none() | st.booleans(),
)
traffic = st.lists(observation, max_size=120)


def look(observations: list[Observation]) -> Verdict:
    return judge(observations, RULE, budget_p95_ms=50.0)


@settings(max_examples=60, deadline=None)
@given(traffic)
def test_every_traffic_gets_a_verdict_with_reasons_and_finite_numbers(
    observations: list[Observation],
) -> None:
    verdict = look(observations)

    assert verdict.reasons
    assert verdict.n_canary + verdict.n_stable == len(observations)
    json.dumps(verdict.as_json(), allow_nan=False)


@settings(max_examples=40, deadline=None)
@given(traffic, st.integers(0, 120))
def test_evidence_against_a_canary_never_shrinks_when_more_is_observed(
    observations: list[Observation], n: int
) -> None:
    """So a look that was missed changes nothing."""
    early, late = look(observations[:n]), look(observations)

    assert early.e_errors <= late.e_errors * (1 + 1e-9) or early.e_errors == 1.0
    assert early.e_latency <= late.e_latency * (1 + 1e-9) or early.e_latency == 1.0
    assert early.e_disagreement <= late.e_disagreement * (1 + 1e-9) or early.e_disagreement == 1.0


@settings(max_examples=40, deadline=None)
@given(traffic)
def test_a_ramp_was_compared_and_is_within_the_budget(observations: list[Observation]) -> None:
    verdict = look(observations)

    if verdict.action == "ramp":
        assert verdict.n_canary >= RULE.min_requests
        assert verdict.n_compared >= RULE.min_requests // 2
        assert verdict.n_pairs >= RULE.min_requests // 2
        assert verdict.window_p95_ms is not None
        assert verdict.window_p95_ms <= 50.0


@settings(max_examples=40, deadline=None)
@given(traffic)
def test_names_of_clients_do_not_matter(observations: list[Observation]) -> None:
    renamed = [
        Observation(
            o.variant, {"a": "z", "b": "a", "c": "m"}[o.client], o.at, o.failed, o.latency_ms, o.flags_differ
        )
        for o in observations
    ]

    assert look(renamed) == look(observations)


@settings(max_examples=100, deadline=None)
@given(st.lists(st.tuples(st.booleans(), st.integers(0, 3)), max_size=60), st.integers(1, 8))
def test_a_client_counts_at_most_one_hit_in_a_block(rows: list[tuple[bool, int]], block_size: int) -> None:
    hit = np.array([row[0] for row in rows], dtype=np.bool_)
    client = np.array([row[1] for row in rows], dtype=np.int64)
    expected, silent = [], dict.fromkeys(range(4), 0)
    for is_hit, who in rows:
        expected.append(silent[who] == 0)
        silent[who] = block_size - 1 if is_hit and silent[who] == 0 else max(0, silent[who] - 1)

    assert one_per_client(hit, client, block_size).tolist() == expected


@settings(max_examples=25, deadline=None)
@given(st.lists(st.booleans(), min_size=100, max_size=100), st.integers(0, 2**32 - 1))
def test_where_both_arms_always_fail_nothing_is_found(arms: list[bool], seed: int) -> None:
    rng = np.random.default_rng(seed)
    observations = [
        Observation(
            "canary" if arm else "stable", f"{i}", i, True, float(rng.lognormal()), False if arm else None
        )
        for i, arm in enumerate(arms)
    ]

    verdict = look(observations)

    assert math.isclose(verdict.e_errors, 1.0, rel_tol=1e-9)
