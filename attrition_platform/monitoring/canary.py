"""Say what shall become of a canary: go on, ramp, or roll back.

Everything is computed from what both arms answered in the same time (`evidence`), by e-processes
(`betting`), so that the verdict may be asked for as often as one likes. Nothing here reads a log, a clock or
a setting.

Three tests share `CanaryRule.alpha`: errors 50 %, latency 30 %, disagreement 20 %. By the union bound they
roll back a canary as good as stable with a chance of at most `alpha` over its whole life. A ramp before
`max_requests` needs the three opposite tests, at `alpha` each.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from typing import Final, Literal

import numpy as np

from attrition_platform.modeling.policy import CanaryRule
from attrition_platform.monitoring.betting import Bools, Floats
from attrition_platform.monitoring.evidence import (
    RAMP_ERROR_MARGIN,
    RAMP_LATENCY_FACTOR,
    Evidence,
    Observation,
    Traffic,
    compare_errors,
    compare_flags,
    compare_latency,
)

__all__ = ["Action", "Observation", "Traffic", "Verdict", "judge", "judge_traffic"]

Action = Literal["continue", "ramp", "roll-back"]
Json = str | float | int | list[str] | None

ERROR_SHARE: Final = 0.5
LATENCY_SHARE: Final = 0.3
DISAGREEMENT_SHARE: Final = 0.2

# Fewer requests of both arms side by side than this compare nothing.
COMPARED_LEAST: Final = 100


@dataclass(frozen=True, slots=True)
class Verdict:
    """What to do with a canary, and on what evidence.

    Attributes
    ----------
    action : {"continue", "ramp", "roll-back"}
    reasons : tuple of str
        Never empty; plain words with the numbers.
    n_canary, n_stable : int
        Requests.
    n_votes, n_compared, n_pairs : int
        The canary's requests that count in the test of errors; pairs of both arms compared there; employees
        scored by both.
    canary_error_rate, stable_error_rate, disagreement_rate : float or None
        None without requests.
    canary_p95_ms, stable_p95_ms : float or None
    window_p95_ms, window_variance_ms2 : float or None
        The canary's latency in the newest window.
    e_errors, e_latency, e_disagreement : float
        E-values against the canary; it is rolled back when one reaches its limit.
    e_errors_limit, e_latency_limit, e_disagreement_limit : float
    e_errors_ramp, e_latency_ramp, e_disagreement_ramp : float
        E-values for the canary; it may ramp early when all reach `e_ramp_limit`.
    e_ramp_limit : float
    """

    action: Action
    reasons: tuple[str, ...]
    n_canary: int
    n_stable: int
    n_votes: int
    n_compared: int
    n_pairs: int
    canary_error_rate: float | None
    stable_error_rate: float | None
    disagreement_rate: float | None
    canary_p95_ms: float | None
    stable_p95_ms: float | None
    window_p95_ms: float | None
    window_variance_ms2: float | None
    e_errors: float
    e_latency: float
    e_disagreement: float
    e_errors_limit: float
    e_latency_limit: float
    e_disagreement_limit: float
    e_errors_ramp: float
    e_latency_ramp: float
    e_disagreement_ramp: float
    e_ramp_limit: float

    def as_json(self) -> dict[str, Json]:
        """Write as what JSON can hold: every number is finite or None."""
        found: dict[str, Json] = {**asdict(self), "reasons": list(self.reasons)}
        return {
            key: None if isinstance(value, float) and not math.isfinite(value) else value
            for key, value in found.items()
        }


def judge(observations: Sequence[Observation], rule: CanaryRule, *, budget_p95_ms: float) -> Verdict:
    """Judge a canary by everything that both arms answered since it began.

    Parameters
    ----------
    observations : sequence of Observation
        In time order, from the canary's first request on. A later call has the same ones and more.
    rule : CanaryRule
    budget_p95_ms : float
        What the 95th percentile of the canary's latency may be in the newest window.

    Returns
    -------
    Verdict
        A ``roll-back`` by one of the tests stays one when more is observed.

    Examples
    --------
    >>> verdict = judge([], CanaryRule(), budget_p95_ms=250.0)
    >>> verdict.action, verdict.reasons
    ('continue', ('The canary has answered 0 of at least 500 requests.',))
    """
    return judge_traffic(Traffic.of(observations), rule, budget_p95_ms=budget_p95_ms)


def judge_traffic(traffic: Traffic, rule: CanaryRule, *, budget_p95_ms: float) -> Verdict:
    """Judge as `judge` does, from columns."""
    errors = compare_errors(traffic, rule)
    latency = compare_latency(traffic, rule)
    flags = compare_flags(traffic, rule)
    facts = _facts(traffic, rule, errors, latency, flags)
    action, reasons = _decide(facts, rule, budget_p95_ms)
    return replace(facts, action=action, reasons=reasons)


def _facts(
    traffic: Traffic, rule: CanaryRule, errors: Evidence, latency: Evidence, flags: Evidence
) -> Verdict:
    canary, stable = traffic.canary, ~traffic.canary
    window = _newest_latencies(traffic, rule)
    return Verdict(
        action="continue",
        reasons=(),
        n_canary=int(canary.sum()),
        n_stable=int(stable.sum()),
        n_votes=errors.n_votes,
        n_compared=errors.n_compared,
        n_pairs=int(traffic.paired.sum()),
        canary_error_rate=_rate(traffic.failed[canary]),
        stable_error_rate=_rate(traffic.failed[stable]),
        disagreement_rate=_rate(traffic.differs[traffic.paired]),
        canary_p95_ms=_p95(traffic.latency_ms[canary]),
        stable_p95_ms=_p95(traffic.latency_ms[stable]),
        window_p95_ms=_p95(window),
        window_variance_ms2=float(window.var()) if len(window) else None,
        e_errors=errors.worse.newest,
        e_latency=latency.worse.newest,
        e_disagreement=flags.worse.newest,
        e_errors_limit=1 / (rule.alpha * ERROR_SHARE),
        e_latency_limit=1 / (rule.alpha * LATENCY_SHARE),
        e_disagreement_limit=1 / (rule.alpha * DISAGREEMENT_SHARE),
        e_errors_ramp=errors.better.newest,
        e_latency_ramp=latency.better.newest,
        e_disagreement_ramp=flags.better.newest,
        e_ramp_limit=1 / rule.alpha,
    )


def _decide(facts: Verdict, rule: CanaryRule, budget_p95_ms: float) -> tuple[Action, tuple[str, ...]]:
    if found := _found_against(facts, rule):
        return "roll-back", found
    if facts.n_canary < rule.min_requests:
        reason = f"The canary has answered {facts.n_canary:,} of at least {rule.min_requests:,} requests."
        return "continue", (reason,)
    at_end = facts.n_canary >= rule.max_requests
    if wanting := _not_compared(facts, rule) + _unstable(facts, rule, budget_p95_ms):
        return ("roll-back" if at_end else "continue"), wanting
    unshown = _not_shown(facts, rule)
    if unshown and not at_end:
        return "continue", unshown
    if unshown:
        return "ramp", (f"Nothing was found against the canary in {facts.n_canary:,} requests.",)
    shown = f"Errors, latency and disagreement are shown to be within limits by {facts.n_canary:,} requests."
    return "ramp", (shown,)


def _found_against(facts: Verdict, rule: CanaryRule) -> tuple[str, ...]:
    # Each line says what passing looks like, so that a NaN does not slip by.
    reasons = []
    if not facts.e_errors < facts.e_errors_limit:
        reasons.append(
            f"The canary fails more often than stable: {_percent(facts.canary_error_rate)} of "
            f"{facts.n_canary:,} requests against {_percent(facts.stable_error_rate)} of {facts.n_stable:,}, "
            f"{_percent(rule.max_error_excess)} more is allowed{_e(facts.e_errors, facts.e_errors_limit)}."
        )
    if not facts.e_latency < facts.e_latency_limit:
        reasons.append(
            f"The canary is slower than stable: p95 {_ms(facts.canary_p95_ms)} against "
            f"{_ms(facts.stable_p95_ms)}, a ratio of {rule.max_latency_ratio:g} is allowed"
            f"{_e(facts.e_latency, facts.e_latency_limit)}."
        )
    if not facts.e_disagreement < facts.e_disagreement_limit:
        reasons.append(
            f"The canary flags other employees than stable: {_percent(facts.disagreement_rate)} of "
            f"{facts.n_pairs:,} differ, {_percent(rule.max_disagreement)} is allowed"
            f"{_e(facts.e_disagreement, facts.e_disagreement_limit)}."
        )
    return tuple(reasons)


def _not_compared(facts: Verdict, rule: CanaryRule) -> tuple[str, ...]:
    least = max(1, min(COMPARED_LEAST, rule.min_requests // 2))
    reasons = []
    if facts.n_compared < least:
        reasons.append(
            f"Only {facts.n_compared:,} canary requests have a stable request beside them; "
            f"at least {least:,} are needed to compare."
        )
    if facts.n_pairs < least:
        reasons.append(
            f"Stable scored along for only {facts.n_pairs:,} of the canary's requests; "
            f"at least {least:,} are needed to see disagreement."
        )
    return tuple(reasons)


def _unstable(facts: Verdict, rule: CanaryRule, budget_p95_ms: float) -> tuple[str, ...]:
    p95, variance = facts.window_p95_ms, facts.window_variance_ms2
    if p95 is None or variance is None:
        return ("The canary's newest requests have no latency.",)
    reasons = []
    if not p95 <= budget_p95_ms:
        reasons.append(f"The canary's newest p95 of {_ms(p95)} is over the budget of {_ms(budget_p95_ms)}.")
    if not variance <= rule.max_latency_variance_ms2:
        cap = rule.max_latency_variance_ms2
        reasons.append(
            f"The canary's newest latency is unstable: variance {variance:.3g} ms², the cap is {cap:.3g} ms²."
        )
    return tuple(reasons)


def _not_shown(facts: Verdict, rule: CanaryRule) -> tuple[str, ...]:
    margin, ratio = rule.max_error_excess + RAMP_ERROR_MARGIN, rule.max_latency_ratio * RAMP_LATENCY_FACTOR
    claims = (
        (facts.e_errors_ramp, f"the error rate is less than {_percent(margin)} above stable's"),
        (facts.e_latency_ramp, f"p95 is less than {ratio:.3g} times stable's"),
        (facts.e_disagreement_ramp, f"less than {_percent(rule.max_disagreement)} of the flags differ"),
    )
    return tuple(
        f"Not yet shown that {claim}{_e(value, facts.e_ramp_limit)}."
        for value, claim in claims
        if not value >= facts.e_ramp_limit
    )


def _newest_latencies(traffic: Traffic, rule: CanaryRule) -> Floats:
    """Latencies of the canary in the newest window, or of its newest requests where traffic is thin."""
    at, latency = traffic.at[traffic.canary], traffic.latency_ms[traffic.canary]
    if not len(at):
        return latency
    in_window = at > traffic.at.max() - rule.latency_window_minutes * 60e6
    in_window[-rule.look_every :] = True
    newest: Floats = latency[in_window]
    known: Floats = newest[~np.isnan(newest)]
    return known


def _rate(hits: Bools) -> float | None:
    return float(hits.mean()) if len(hits) else None


def _p95(latency_ms: Floats) -> float | None:
    known = latency_ms[~np.isnan(latency_ms)]
    return float(np.quantile(known, 0.95)) if len(known) else None


def _percent(rate: float | None) -> str:
    return "none" if rate is None else f"{100 * rate:.3g} %"


def _ms(latency_ms: float | None) -> str:
    return "unknown" if latency_ms is None else f"{latency_ms:.3g} ms"


def _e(value: float, limit: float) -> str:
    return f" (e-value {value:.3g}, limit {limit:.3g})"
