"""Compare a canary with stable: errors, latency and flags, in the same time and request by request.

Each test reads the requests in time order and cuts them into strata without regard to their arms, so what
hits both arms in a stratum (an outage, a slow machine) says nothing about the canary. What a test said of
the first requests does not change when more arrive.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final, Literal

import numpy as np

from attrition_platform.modeling.policy import CanaryRule
from attrition_platform.monitoring.betting import (
    BETTER,
    BETTER_STAKES,
    WORSE,
    WORSE_STAKES,
    Bools,
    Floats,
    Ints,
    one_per_client,
    one_sample_bets,
    two_sample_bets,
    wealth,
)

# "No worse than stable" can't be shown of two equal arms. What an early ramp shows is: not worse than the
# limits by more than this. A canary in between goes on to `max_requests`.
RAMP_ERROR_MARGIN: Final = 0.02
RAMP_LATENCY_FACTOR: Final = 1.35

# Requests of the rarer arm in a stratum, at the rule's share: few, to react after a few.
STRATUM_OF_RARER: Final = 5
STRATUM_LEAST: Final = 20

# The latency that 5 % of stable's newest requests exceed; nothing is judged before there are some.
CUT_QUANTILE: Final = 0.95
CUT_HISTORY: Final = 500
CUT_HISTORY_LEAST: Final = 60

LATENCY_CAP_MS: Final = 1e12  # thirty years; keeps products and variances finite
LOG_E_CAP: Final = 600.0  # keeps e-values finite; nothing depends on evidence of that size


@dataclass(frozen=True, slots=True)
class Observation:
    """One answered request.

    Attributes
    ----------
    variant : {"stable", "canary"}
    client : str
        Whoever's failures come together; it counts at most once in `CanaryRule.block_size` requests.
    at : int
        Microseconds since 1970.
    failed : bool
    latency_ms : float
        A request without a finite latency counts as failed.
    flags_differ : bool or None
        For the canary's requests: whether stable flags this employee otherwise; None where stable did
        not score along.
    """

    variant: Literal["stable", "canary"]
    client: str
    at: int
    failed: bool
    latency_ms: float
    flags_differ: bool | None


@dataclass(frozen=True, slots=True)
class Traffic:
    """Observations as columns, in time order; each is an ndarray of shape (n_requests,).

    Attributes
    ----------
    canary, failed, differs, paired : ndarray of bool
        `differs` holds only where `paired` does.
    client, at : ndarray of int
    latency_ms : ndarray of float
        NaN where it isn't finite.
    """

    canary: Bools
    client: Ints
    at: Ints
    failed: Bools
    latency_ms: Floats
    differs: Bools
    paired: Bools

    @classmethod
    def of(cls, observations: Sequence[Observation]) -> Traffic:
        """Turn observations into columns."""
        codes: dict[str, int] = {}
        n = len(observations)
        latency = np.fromiter((o.latency_ms for o in observations), np.float64, n)
        latency[~np.isfinite(latency)] = np.nan
        latency = np.clip(latency, 0.0, LATENCY_CAP_MS)
        canary = np.fromiter((o.variant == "canary" for o in observations), np.bool_, n)
        flags = [o.flags_differ for o in observations]
        return cls(
            canary=canary,
            client=np.fromiter((codes.setdefault(o.client, len(codes)) for o in observations), np.int64, n),
            at=np.fromiter((o.at for o in observations), np.int64, n),
            failed=np.fromiter((o.failed for o in observations), np.bool_, n) | np.isnan(latency),
            latency_ms=latency,
            differs=np.fromiter((flag is True for flag in flags), np.bool_, n),
            paired=np.fromiter((flag is not None for flag in flags), np.bool_, n) & canary,
        )


@dataclass(frozen=True, slots=True)
class Course:
    """How an e-value went on.

    Attributes
    ----------
    n_read : ndarray of shape (n_steps,)
        How many requests of both arms had been answered at each step.
    log_e : ndarray of shape (n_steps,)
        Logarithm of the e-value then.
    """

    n_read: Ints
    log_e: Floats

    @property
    def newest(self) -> float:
        """E-value after the last step; 1 before the first."""
        return float(np.exp(min(self.log_e[-1], LOG_E_CAP))) if len(self.log_e) else 1.0


@dataclass(frozen=True, slots=True)
class Evidence:
    """What one test found.

    Attributes
    ----------
    n_votes, n_compared : int
        The canary's requests that count in the comparison, and pairs of canary and stable among them.
    worse : Course
        Against "the canary keeps the limit"; the largest value so far.
    better : Course
        Against "the canary breaks the limit", with the margin of an early ramp.
    """

    n_votes: int
    n_compared: int
    worse: Course
    better: Course


def compare_errors(traffic: Traffic, rule: CanaryRule) -> Evidence:
    """Test whether the canary fails more often than stable, by more than `CanaryRule.max_error_excess`."""
    strata = _strata(traffic, traffic.failed, np.ones_like(traffic.failed), rule)
    margin = min(rule.max_error_excess + RAMP_ERROR_MARGIN, 1.0)
    return Evidence(
        n_votes=strata.n_votes,
        n_compared=strata.n_compared,
        worse=_against(strata.n_read, strata.bets(WORSE, rule.max_error_excess), _planned_strata(rule)),
        better=_for(strata.n_read, strata.bets(BETTER, margin), _planned_strata(rule)),
    )


def compare_latency(traffic: Traffic, rule: CanaryRule) -> Evidence:
    """Test whether the canary's p95 is above stable's by more than `CanaryRule.max_latency_ratio`.

    A stable request is slow above the cut, stable's p95 so far; a canary request above
    ``max(max_latency_ratio * cut, latency_floor_ms)``. If the canary keeps the limit, it is slow no more
    often than stable. The cut may be off, or old after a sudden slowness: it is the same for both.
    """
    cut = _cuts(traffic, _stratum_size(rule))
    judged = ~np.isnan(traffic.latency_ms) & ~np.isnan(cut)
    # Each question has its own strata, since what is slow depends on the ratio that it asks about.
    strict, lenient = (
        _strata(traffic, _slow(traffic, cut, ratio, rule.latency_floor_ms), judged, rule)
        for ratio in (rule.max_latency_ratio, rule.max_latency_ratio * RAMP_LATENCY_FACTOR)
    )
    return Evidence(
        n_votes=strict.n_votes,
        n_compared=strict.n_compared,
        worse=_against(strict.n_read, strict.bets(WORSE), _planned_strata(rule)),
        better=_for(lenient.n_read, lenient.bets(BETTER), _planned_strata(rule)),
    )


def compare_flags(traffic: Traffic, rule: CanaryRule) -> Evidence:
    """Test whether both models flag more than `CanaryRule.max_disagreement` of the employees differently."""
    paired = np.flatnonzero(traffic.paired)
    counted = paired[one_per_client(traffic.differs[paired], traffic.client[paired], rule.block_size)]
    differs = traffic.differs[counted]
    return Evidence(
        n_votes=len(counted),
        n_compared=len(counted),
        worse=_against(
            counted + 1, one_sample_bets(differs, rule.max_disagreement, WORSE), rule.max_requests
        ),
        better=_for(counted + 1, one_sample_bets(differs, rule.max_disagreement, BETTER), rule.max_requests),
    )


@dataclass(frozen=True, slots=True)
class _Strata:
    n_canary: Ints
    canary_hits: Ints
    n_stable: Ints
    stable_hits: Ints
    n_read: Ints
    n_votes: int

    def bets(self, odds: tuple[float, ...], excess: float = 0.0) -> Floats:
        counts = (self.n_canary, self.canary_hits, self.n_stable, self.stable_hits)
        return two_sample_bets(*counts, odds, excess)

    @property
    def n_compared(self) -> int:
        return int(np.minimum(self.n_canary, self.n_stable).sum())


def _strata(traffic: Traffic, hit: Bools, judged: Bools, rule: CanaryRule) -> _Strata:
    """Count what counts of the judged requests, in every complete stratum."""
    at = np.flatnonzero(judged)
    at = at[one_per_client(hit[at], traffic.client[at], rule.block_size)]
    size = _stratum_size(rule)
    members = at[: len(at) // size * size].reshape(-1, size)
    hits, canary = hit[members], traffic.canary[members]
    return _Strata(
        n_canary=canary.sum(axis=1, dtype=np.int64),
        canary_hits=(canary & hits).sum(axis=1, dtype=np.int64),
        n_stable=(~canary).sum(axis=1, dtype=np.int64),
        stable_hits=(~canary & hits).sum(axis=1, dtype=np.int64),
        n_read=members[:, -1] + 1,
        n_votes=int(traffic.canary[at].sum()),
    )


def _stratum_size(rule: CanaryRule) -> int:
    return max(STRATUM_LEAST, round(STRATUM_OF_RARER / min(rule.share, 1.0 - rule.share)))


def _planned_strata(rule: CanaryRule) -> int:
    return max(1, round(rule.max_requests / rule.share / _stratum_size(rule)))


def _against(n_read: Ints, bets: Floats, n_steps: int) -> Course:
    # Ville's inequality holds for the largest value ever reached, so a look that came late misses nothing.
    return Course(n_read, np.maximum.accumulate(wealth(bets, WORSE_STAKES, n_steps)))


def _for(n_read: Ints, bets: Floats, n_steps: int) -> Course:
    return Course(n_read, wealth(bets, BETTER_STAKES, n_steps))


def _slow(traffic: Traffic, cut: Floats, ratio: float, floor_ms: float) -> Bools:
    return traffic.latency_ms > np.where(traffic.canary, np.maximum(ratio * cut, floor_ms), cut)


def _cuts(traffic: Traffic, step: int) -> Floats:
    """Stable's p95 before each request, renewed every `step` requests; NaN while too few are known."""
    known = ~traffic.canary & ~np.isnan(traffic.latency_ms)
    latency = traffic.latency_ms[known]
    starts = np.arange(0, len(known), step)
    n_before = np.concatenate(([0], np.cumsum(known)))[starts]
    cuts = np.full(len(starts), np.nan)
    for i, n in enumerate(n_before.tolist()):
        if n >= CUT_HISTORY_LEAST:
            history = latency[max(0, n - CUT_HISTORY) : n]
            place = int(CUT_QUANTILE * len(history))
            cuts[i] = np.partition(history, place)[place]
    return np.repeat(cuts, step)[: len(known)]
