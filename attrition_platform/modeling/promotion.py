"""Decide whether a challenger may become the champion.

Nothing here reads a registry, a clock or a setting, so any past decision can be replayed from its
stored evidence. Every gate says what passing looks like, so that NaN and a missing value block.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any, Literal

from attrition_platform.modeling.policy import GateLimits, Policy

Outcome = Literal["promoted", "blocked", "unchanged"]
Cause = Literal["drift", "performance", "retirement"]
# With these a replacement need not be better on rows that are mostly from before the change.
REPLACEMENT_CAUSES: tuple[Cause, ...] = ("drift", "performance", "retirement")


@dataclass(frozen=True)
class Gain:
    """Difference in ROC AUC of the challenger over the champion on the same test rows, 95 % interval."""

    value: float
    low: float
    high: float


@dataclass(frozen=True)
class Evidence:
    """What is known of a challenger when the decision is taken; None means unknown, which blocks.

    Attributes
    ----------
    version : str
        The challenger.
    incumbent : str or None
        The champion in force; None when there is none.
    gain : Gain or None
        Against the champion; None without one, or when it can't be computed.
    incumbent_reads_protected : bool
        Whether the champion reads columns that the policy excludes.
    rolled_back : bool
        Whether a person has rolled this very version back before; only a new one may come.
    cause : str or None
        Stated reason of a replacement (``drift``, ``retirement``), which asks for no gain.
    roc_auc, baseline_roc_auc, recall : float or None
        On test.
    calibration_error : float or None
        Lower end of the interval of the expected calibration error on test.
    latency_p95_ms, latency_spread, model_mb : float or None
        Of single predictions, and the stored size.
    parity_gap : float or None
        Largest difference in probability between the fitted pipeline and the compiled model that serves.
    impact_ratios, equalised_odds_gaps : mapping of str to float or None
        Per protected column of the contract.
    n_test_rows, n_test_positives : int
        Size of the test side.
    reproducible : bool
        Whether a refit had the same identity.
    protected_read : tuple of str
        Protected (or excluded proxy) columns that the challenger reads although the policy excludes them.
    test_reads : int
        How often the test side was read for this decision without a takeover.
    """

    version: str
    incumbent: str | None
    gain: Gain | None
    incumbent_reads_protected: bool
    rolled_back: bool
    cause: str | None
    roc_auc: float | None
    baseline_roc_auc: float | None
    recall: float | None
    calibration_error: float | None
    latency_p95_ms: float | None
    latency_spread: float | None
    model_mb: float | None
    parity_gap: float | None
    impact_ratios: Mapping[str, float | None]
    equalised_odds_gaps: Mapping[str, float | None]
    n_test_rows: int
    n_test_positives: int
    reproducible: bool
    protected_read: tuple[str, ...]
    test_reads: int


@dataclass(frozen=True)
class Gate:
    """One rule held against one value.

    Attributes
    ----------
    name : str
        The rule.
    value, limit : float or None
        What was found and what is asked; None where there is no number.
    passed : bool
        Whether the value keeps the limit.
    enforced : bool
        Whether a failure blocks; otherwise it is reported.
    reason : str
        In words.
    """

    name: str
    value: float | None
    limit: float | None
    passed: bool
    enforced: bool
    reason: str


@dataclass(frozen=True)
class Decision:
    """The outcome and every gate, passed or not."""

    outcome: Outcome
    gates: tuple[Gate, ...]

    @property
    def promoted(self) -> bool:
        """Whether the challenger becomes the champion."""
        return self.outcome == "promoted"

    @property
    def blockers(self) -> tuple[str, ...]:
        """Names of the enforced gates that failed."""
        return tuple(gate.name for gate in self.gates if gate.enforced and not gate.passed)

    def as_json(self) -> dict[str, Any]:
        """Plain values; a number that is not finite becomes None."""
        return {
            "promoted": self.promoted,
            "outcome": self.outcome,
            "gates": [asdict(gate) for gate in self.gates],
        }


def decide(evidence: Evidence, policy: Policy) -> Decision:
    """Hold the evidence against every gate of the policy.

    Parameters
    ----------
    evidence : Evidence
        What is known of the challenger and the champion.
    policy : Policy
        The limits.

    Returns
    -------
    Decision
        ``promoted`` only when every enforced gate passed and the challenger is not the champion
        already (then ``unchanged``). Ties do not promote.
    """
    gates = (
        *_size_gates(evidence, policy.gates),
        *_quality_gates(evidence, policy.gates),
        _gain_gate(evidence, policy.gates),
        *_serving_gates(evidence, policy.gates),
        *_fairness_gates(evidence, policy.gates),
        *_conduct_gates(evidence, policy),
    )
    if evidence.incumbent == evidence.version:
        return Decision("unchanged", gates)
    blocked = any(gate.enforced and not gate.passed for gate in gates)
    return Decision("blocked" if blocked else "promoted", gates)


def _at_least(name: str, value: float | None, limit: float, what: str, *, enforced: bool = True) -> Gate:
    value = _finite(value)
    passed = value is not None and value >= limit
    return Gate(name, value, limit, passed, enforced, _words(what, value, "at least", limit, passed))


def _at_most(name: str, value: float | None, limit: float, what: str, *, enforced: bool = True) -> Gate:
    value = _finite(value)
    passed = value is not None and value <= limit
    return Gate(name, value, limit, passed, enforced, _words(what, value, "at most", limit, passed))


def _words(what: str, value: float | None, relation: str, limit: float, passed: bool) -> str:
    if value is None:
        return f"{what} is not known, so this gate blocks"
    verb = "keeps" if passed else "breaks"
    return f"{what} is {value:.4g}, which {verb} the limit: {relation} {limit:.4g}"


def _finite(value: float | None) -> float | None:
    return float(value) if value is not None and math.isfinite(value) else None


def _size_gates(evidence: Evidence, limits: GateLimits) -> tuple[Gate, ...]:
    return (
        _at_least(
            "test-rows", evidence.n_test_rows, limits.min_test_rows, "the number of labelled test employees"
        ),
        _at_least(
            "test-positives",
            evidence.n_test_positives,
            limits.min_test_positives,
            "the number of leavers on test",
        ),
    )


def _quality_gates(evidence: Evidence, limits: GateLimits) -> tuple[Gate, ...]:
    baseline = _finite(evidence.baseline_roc_auc)
    above = _finite(evidence.roc_auc)
    passed = baseline is not None and above is not None and above > baseline
    return (
        _at_least("roc-auc-floor", evidence.roc_auc, limits.min_roc_auc, "test ROC AUC"),
        Gate(
            "beats-baseline",
            above,
            baseline,
            passed,
            True,
            "test ROC AUC is above the baseline's" if passed else "test ROC AUC is not above the baseline's",
        ),
        _at_least("recall-floor", evidence.recall, limits.min_recall, "test recall"),
        _at_most(
            "calibration",
            evidence.calibration_error,
            limits.max_calibration_error,
            "the lower end of the expected calibration error",
        ),
    )


def _gain_gate(evidence: Evidence, limits: GateLimits) -> Gate:
    name = "gain-over-champion"
    if evidence.incumbent is None:
        return Gate(name, None, limits.min_gain, True, True, "there is no champion yet")
    if evidence.incumbent == evidence.version:
        return Gate(name, 0.0, limits.min_gain, False, True, "the challenger is the champion already")
    if evidence.incumbent_reads_protected:
        reason = "the champion reads columns that this policy excludes, so it may not stay"
        return Gate(name, None, limits.min_gain, True, True, reason)
    gain = evidence.gain
    value = None if gain is None else _finite(gain.value)
    low = None if gain is None else _finite(gain.low)
    if value is None or low is None:
        reason = "the gain over the champion is not known, so this gate blocks"
        return Gate(name, value, limits.min_gain, False, True, reason)
    if evidence.cause in REPLACEMENT_CAUSES:
        margin = -limits.non_inferiority_margin
        passed = low >= margin
        reason = f"replacement because of {evidence.cause}: the gain's interval begins at {low:.4f}"
        return Gate(name, value, margin, passed, True, f"{reason}; at least {margin:.4f} is asked")
    passed = value >= limits.min_gain and low > 0
    reason = f"gain {value:.4f}, interval from {low:.4f}; at least {limits.min_gain:.4f} and above 0 is asked"
    return Gate(name, value, limits.min_gain, passed, True, reason)


def _serving_gates(evidence: Evidence, limits: GateLimits) -> tuple[Gate, ...]:
    return (
        _at_most(
            "latency",
            evidence.latency_p95_ms,
            limits.max_latency_p95_ms,
            "95th percentile of one prediction in ms",
        ),
        _at_most(
            "latency-stability",
            evidence.latency_spread,
            limits.max_latency_spread,
            "p99 over p50 of one prediction",
            enforced=False,  # measured on a machine that others share
        ),
        _at_most(
            "compiled-parity",
            evidence.parity_gap,
            limits.max_parity_gap,
            "the largest difference in probability between the compiled model and the pipeline",
        ),
        _at_most("model-size", evidence.model_mb, limits.max_model_mb, "size of the stored model in MB"),
    )


def _fairness_gates(evidence: Evidence, limits: GateLimits) -> tuple[Gate, ...]:
    enforced = limits.enforce_fairness
    if not evidence.impact_ratios and not evidence.equalised_odds_gaps:
        reason = "the contract declares no protected column, so there is nothing to compare"
        return (Gate("four-fifths", None, limits.min_impact_ratio, True, enforced, reason),)
    # A column that only one of the two names was not audited whole: its other number is not known.
    names = sorted({*evidence.impact_ratios, *evidence.equalised_odds_gaps})
    ratios = tuple(
        _at_least(
            f"four-fifths:{name}",
            evidence.impact_ratios.get(name),
            limits.min_impact_ratio,
            f"the least impact ratio by {name}",
            enforced=enforced,
        )
        for name in names
    )
    gaps = tuple(
        _at_most(
            f"equalised-odds:{name}",
            evidence.equalised_odds_gaps.get(name),
            limits.max_equalised_odds_gap,
            f"the largest gap in TPR or FPR by {name}",
            enforced=enforced,
        )
        for name in names
    )
    return ratios + gaps


def _conduct_gates(evidence: Evidence, policy: Policy) -> tuple[Gate, ...]:
    read = ", ".join(evidence.protected_read)
    once = evidence.test_reads == 1
    return (
        Gate(
            "protected-columns-unused",
            float(len(evidence.protected_read)),
            0.0,
            not evidence.protected_read,
            policy.exclude_protected,
            f"the challenger reads {read}, which policy '{policy.name}' excludes"
            if read
            else "the challenger reads no column that the policy excludes",
        ),
        Gate(
            "not-rolled-back",
            None,
            None,
            evidence.rolled_back is False,
            True,
            "this version was never rolled back"
            if evidence.rolled_back is False
            else "a person rolled this version back; it does not return by itself",
        ),
        Gate(
            "reproducible",
            None,
            None,
            evidence.reproducible is True,
            True,
            "a refit has the same identity" if evidence.reproducible is True else "a refit differs",
        ),
        Gate(
            "test-read-once",
            float(evidence.test_reads),
            1.0,
            once,
            True,
            "the test side was read once for this decision"
            if once
            else f"the ledger has {evidence.test_reads} reads of the test side for this decision",
        ),
    )
