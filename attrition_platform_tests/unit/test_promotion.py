"""Every gate blocks on its own, on NaN and on what is not known."""

from __future__ import annotations

import math
from dataclasses import replace
from typing import Any

import pytest

from attrition_platform.modeling.policy import load_policy
from attrition_platform.modeling.promotion import Evidence, Gain, decide

RESPONSIBLE = load_policy("responsible")
UNRESTRICTED = load_policy("unrestricted")


def make_evidence(**changes: Any) -> Evidence:
    """A challenger that passes every gate of both policies; name only what a test is about."""
    good = Evidence(
        version="new",
        incumbent=None,
        gain=None,
        incumbent_reads_protected=False,
        rolled_back=False,
        cause=None,
        roc_auc=0.85,
        baseline_roc_auc=0.5,
        recall=0.75,
        calibration_error=0.01,
        latency_p95_ms=5.0,
        latency_spread=2.0,
        model_mb=1.0,
        parity_gap=1e-15,
        impact_ratios={"gender": 0.95},
        equalised_odds_gaps={"gender": 0.05},
        n_test_rows=3000,
        n_test_positives=1400,
        reproducible=True,
        protected_read=(),
        test_reads=1,
    )
    return replace(good, **changes)


def test_a_challenger_that_passes_everything_is_promoted() -> None:
    decision = decide(make_evidence(), RESPONSIBLE)

    assert decision.outcome == "promoted"
    assert decision.blockers == ()
    assert all(gate.reason for gate in decision.gates)


@pytest.mark.parametrize(
    ("change", "gate"),
    [
        ({"n_test_rows": 499}, "test-rows"),
        ({"n_test_positives": 49}, "test-positives"),
        ({"roc_auc": 0.7799}, "roc-auc-floor"),
        ({"baseline_roc_auc": 0.85}, "beats-baseline"),
        ({"recall": 0.59}, "recall-floor"),
        ({"calibration_error": 0.051}, "calibration"),
        ({"latency_p95_ms": 251.0}, "latency"),
        ({"model_mb": 101.0}, "model-size"),
        ({"parity_gap": 2e-12}, "compiled-parity"),
        ({"impact_ratios": {"gender": 0.79}}, "four-fifths:gender"),
        ({"equalised_odds_gaps": {"gender": 0.21}}, "equalised-odds:gender"),
        ({"protected_read": ("age",)}, "protected-columns-unused"),
        ({"reproducible": False}, "reproducible"),
        ({"test_reads": 2}, "test-read-once"),
        ({"test_reads": 0}, "test-read-once"),
        ({"rolled_back": True}, "not-rolled-back"),
    ],
)
def test_each_gate_blocks_alone(change: dict[str, Any], gate: str) -> None:
    decision = decide(make_evidence(**change), RESPONSIBLE)

    assert decision.outcome == "blocked"
    assert decision.blockers == (gate,)


@pytest.mark.parametrize("unknown", [None, math.nan, math.inf, -math.inf])
@pytest.mark.parametrize(
    "field",
    [
        "roc_auc",
        "recall",
        "calibration_error",
        "latency_p95_ms",
        "model_mb",
        "parity_gap",
        "baseline_roc_auc",
    ],
)
def test_what_is_not_known_blocks(field: str, unknown: float | None) -> None:
    assert decide(make_evidence(**{field: unknown}), RESPONSIBLE).outcome == "blocked"


@pytest.mark.parametrize("unknown", [None, math.nan])
def test_an_unknown_impact_ratio_blocks(unknown: float | None) -> None:
    decision = decide(make_evidence(impact_ratios={"gender": unknown}), RESPONSIBLE)

    assert decision.blockers == ("four-fifths:gender",)
    assert "not known" in next(g.reason for g in decision.gates if g.name == "four-fifths:gender")


@pytest.mark.parametrize(
    ("change", "gate"),
    [
        ({"equalised_odds_gaps": {"gender": 0.05, "age": 0.05}}, "four-fifths:age"),
        ({"impact_ratios": {"gender": 0.95, "age": 0.95}}, "equalised-odds:age"),
        ({"impact_ratios": {}}, "four-fifths:gender"),
        ({"equalised_odds_gaps": {}}, "equalised-odds:gender"),
    ],
)
def test_a_column_that_only_half_of_the_audit_names_blocks(change: dict[str, Any], gate: str) -> None:
    assert decide(make_evidence(**change), RESPONSIBLE).blockers == (gate,)


def test_fairness_is_reported_and_does_not_block_where_the_policy_says_so() -> None:
    decision = decide(make_evidence(impact_ratios={"gender": 0.44}), UNRESTRICTED)

    assert decision.outcome == "promoted"
    gate = next(g for g in decision.gates if g.name == "four-fifths:gender")
    assert (gate.passed, gate.enforced) == (False, False)


def test_a_dataset_without_protected_columns_says_that_there_is_nothing_to_compare() -> None:
    decision = decide(make_evidence(impact_ratios={}, equalised_odds_gaps={}), RESPONSIBLE)

    assert decision.outcome == "promoted"
    assert "nothing to compare" in next(g.reason for g in decision.gates if g.name == "four-fifths")


@pytest.mark.parametrize(
    ("gain", "promoted"),
    [
        (Gain(0.006, 0.001, 0.011), True),
        (Gain(0.006, -0.001, 0.013), False),
        (Gain(0.004, 0.003, 0.005), False),
        (Gain(0.0, 0.0, 0.0), False),
        (Gain(math.nan, math.nan, math.nan), False),
        (None, False),
    ],
)
def test_a_champion_is_replaced_only_for_a_sure_gain(gain: Gain | None, promoted: bool) -> None:
    decision = decide(make_evidence(incumbent="old", gain=gain), RESPONSIBLE)

    assert decision.promoted is promoted
    assert decision.blockers == (() if promoted else ("gain-over-champion",))


@pytest.mark.parametrize(("low", "promoted"), [(-0.0049, True), (-0.0051, False), (math.nan, False)])
def test_a_replacement_with_a_reason_must_not_be_inferior(low: float, promoted: bool) -> None:
    evidence = make_evidence(incumbent="old", gain=Gain(-0.001, low, 0.003), cause="drift")

    assert decide(evidence, RESPONSIBLE).promoted is promoted


def test_an_unstated_reason_does_not_lower_the_bar() -> None:
    evidence = make_evidence(incumbent="old", gain=Gain(0.0, -0.001, 0.001), cause="nightly")

    assert decide(evidence, RESPONSIBLE).blockers == ("gain-over-champion",)


def test_a_champion_that_reads_excluded_columns_may_not_stay() -> None:
    evidence = make_evidence(incumbent="old", gain=Gain(-0.05, -0.06, -0.04), incumbent_reads_protected=True)

    assert decide(evidence, RESPONSIBLE).promoted


def test_the_champion_itself_is_unchanged() -> None:
    decision = decide(make_evidence(incumbent="new"), RESPONSIBLE)

    assert decision.outcome == "unchanged"
    assert not decision.promoted
