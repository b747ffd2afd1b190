"""How often the canary's verdict is wrong, and how soon it is right: simulated canaries.

Each canary is a stream of 20,000 requests, 10 % of them the canary's, judged by the code that the platform
runs. A judgement keeps its e-values step by step, so one judgement of the whole stream tells what each look
on the way would have said. A z-test of the two error rates takes the same looks at the same requests.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Final

import numpy as np

from attrition_platform.modeling.policy import CanaryRule
from attrition_platform.monitoring.betting import Bools, Floats, Ints
from attrition_platform.monitoring.canary import DISAGREEMENT_SHARE, ERROR_SHARE, LATENCY_SHARE
from attrition_platform.monitoring.evidence import (
    Course,
    Traffic,
    compare_errors,
    compare_flags,
    compare_latency,
)
from benchmarks.result import Plot, Result

N_CANARIES: Final = 2_000
SEED: Final = 20260101
RULE: Final = CanaryRule()
ALL_REQUESTS: Final = round(RULE.max_requests / RULE.share)
MS_MEDIAN, MS_SIGMA = 5.0, 0.5
Z_TESTS: Final = {"1 %": 2.326, "5 %": 1.645}  # one-sided
NEVER: Final = 2**62

Rng = np.random.Generator


@dataclass(frozen=True)
class Scenario:
    """What the requests of a simulated canary are like.

    Attributes
    ----------
    name, target : str
    canary_error_rate, stable_error_rate, canary_times_slower, disagreement_rate : float
    clients : {"many", "one", "bursts", "one-bursts"}
        A client for each request; one for all; or employees (one API key) of whose requests ten in a row
        fail together.
    outage, slow_machine : bool
        For 200 requests in a row 30 % fail in both arms; for 2,000 both are five times slower.
    n_requests : int
        Of both arms.
    """

    name: str
    target: str
    canary_error_rate: float = 0.01
    stable_error_rate: float = 0.01
    canary_times_slower: float = 1.0
    disagreement_rate: float = 0.05
    clients: str = "many"
    outage: bool = False
    slow_machine: bool = False
    n_requests: int = ALL_REQUESTS


SCENARIOS: Final = (
    Scenario("equal arms, 1 % errors", "false at most 1 %"),
    Scenario("equal arms, 200 requests of outage in both", "false at most 1 %", outage=True),
    Scenario("equal arms, 2,000 requests of a slow machine", "false at most 1 %", slow_machine=True),
    Scenario("equal arms, employees fail ten times in a row", "false at most 1 %", clients="bursts"),
    Scenario("equal arms, one API key fails ten times in a row", "false at most 1 %", clients="one-bursts"),
    Scenario("equal arms, 15 % of flags differ", "false at most 1 %", disagreement_rate=0.15),
    Scenario("latency x 1.1, which is allowed", "false at most 1 %", canary_times_slower=1.1),
    Scenario("errors 1 % -> 6 %", "median at most 300", canary_error_rate=0.06, n_requests=8_000),
    Scenario("errors 1 % -> 3 %", "power at least 95 %", canary_error_rate=0.03),
    Scenario("errors 1 % -> 3 %, one API key", "none", canary_error_rate=0.03, clients="one"),
    Scenario("latency x 1.5", "median at most 400", canary_times_slower=1.5, n_requests=10_000),
    Scenario("latency x 1.5, one API key", "none", canary_times_slower=1.5, clients="one"),
    Scenario("flags that differ 15 % -> 30 %", "none", disagreement_rate=0.30, n_requests=10_000),
)


@dataclass(frozen=True)
class Outcome:
    """Canary requests until something happens, per simulated canary; `NEVER` where it does not.

    Attributes
    ----------
    rolled_back, ramped : ndarray of shape (n_canaries,)
        `rolled_back` as if no canary ever ramped early.
    by_z_test : tuple of ndarray of shape (n_canaries,)
        Roll backs by each of `Z_TESTS`.
    """

    rolled_back: Ints
    ramped: Ints
    by_z_test: tuple[Ints, ...]

    @property
    def rolled_back_in_time(self) -> Bools:
        """Which are rolled back before they ramp."""
        return (self.rolled_back < NEVER) & (self.rolled_back <= self.ramped)


def run(n_canaries: int = N_CANARIES) -> Result:
    """Simulate every scenario."""
    outcomes = {s: simulate(s, n_canaries // (1 if s.target != "none" else 4)) for s in SCENARIOS}
    false = [s for s in SCENARIOS if s.target.startswith("false")]
    worst = max(_percent(outcomes[s].rolled_back) for s in false)
    worst_z = max(_percent(outcomes[s].by_z_test[0]) for s in false)
    errors = next(s for s in SCENARIOS if s.name == "errors 1 % -> 3 %")
    return Result(
        title="The canary's verdict",
        finding=f"At most {worst:.1f} % of good canaries are rolled back, in any scenario (by a z-test "
        f"with the same looks up to {worst_z:.0f} %), and "
        f"{100 * np.mean(outcomes[errors].rolled_back_in_time):.1f} % of those with 3 % errors "
        "instead of 1 %.",
        header=(
            "scenario",
            "target",
            "rolled back",
            "median canary requests to roll back",
            "ramped early",
            "median canary requests to ramp",
            *(f"rolled back by z-test at {level}" for level in Z_TESTS),
        ),
        rows=tuple(_row(scenario, outcome) for scenario, outcome in outcomes.items()),
        notes=(
            f"{n_canaries:,} canaries for each row (a quarter without a target), 10 % of the traffic, at "
            f"most {RULE.max_requests:,} canary requests, a look every {RULE.look_every}, alpha "
            f"{RULE.alpha:g}. False roll backs are counted as if no canary ramped early, so over the whole.",
            f"Latencies are lognormal with sigma {MS_SIGMA:g}; a heavier tail takes longer. The z-test is "
            "one-sided, with pooled variance, on error rates alone.",
            "Latency in the newest window, which blocks a ramp but is no test, is left out.",
        ),
        plots=(
            Plot(
                "bars",
                tuple(s.name.replace("equal arms, ", "") for s in false),
                {"e-processes": tuple(_percent(outcomes[s].rolled_back) for s in false)}
                | {
                    f"z-test at {level}": tuple(_percent(outcomes[s].by_z_test[i]) for s in false)
                    for i, level in enumerate(Z_TESTS)
                },
                "false roll backs, %",
            ),
        ),
    )


def _row(scenario: Scenario, outcome: Outcome) -> tuple[str | float | int, ...]:
    is_false = scenario.target.startswith("false")
    rolled_back = outcome.rolled_back < NEVER if is_false else outcome.rolled_back_in_time
    return (
        scenario.name,
        scenario.target,
        f"{100 * rolled_back.mean():.2f} %",
        _median(outcome.rolled_back),
        f"{100 * np.mean(outcome.ramped < outcome.rolled_back):.2f} %",
        _median(outcome.ramped),
        *(f"{_percent(requests):.1f} %" for requests in outcome.by_z_test),
    )


def _percent(requests: Ints) -> float:
    return 100 * float(np.mean(requests < NEVER))


def _median(requests: Ints) -> str:
    # Without interpolation: the mean of a number and "never" is none.
    middle = np.sort(requests)[len(requests) // 2]
    return "-" if middle == NEVER else f"{middle:,}"


def simulate(scenario: Scenario, n_canaries: int) -> Outcome:
    """Judge simulated canaries of one kind."""
    rng = np.random.default_rng(SEED)
    found = [_watch(draw(scenario, rng)) for _ in range(n_canaries)]
    rolled_back, ramped, *by_z_test = (np.array(column) for column in zip(*found, strict=True))
    return Outcome(rolled_back, ramped, tuple(by_z_test))


def draw(scenario: Scenario, rng: Rng) -> Traffic:
    """Draw the requests of one canary."""
    n = scenario.n_requests
    canary = rng.random(n) < RULE.share
    client = np.arange(n)
    if scenario.clients in ("bursts", "one-bursts"):
        client, canary, failed = _bursts(scenario, canary, rng)
    else:
        client = client if scenario.clients == "many" else np.zeros_like(client)
        rate = np.where(canary, scenario.canary_error_rate, scenario.stable_error_rate)
        if scenario.outage:
            start = int(rng.integers(0, n - 200))
            rate[start : start + 200] = 0.3
        failed = rng.random(n) < rate
    latency = MS_MEDIAN * np.exp(MS_SIGMA * rng.standard_normal(n))
    if scenario.slow_machine:
        start = int(rng.integers(0, n - 2_000))
        latency[start : start + 2_000] *= 5
    return Traffic(
        canary=canary,
        client=client,
        at=np.arange(n) * 100_000,
        failed=failed,
        latency_ms=np.where(canary, scenario.canary_times_slower, 1.0) * latency,
        differs=(rng.random(n) < scenario.disagreement_rate) & canary,
        paired=canary,
    )


def _bursts(scenario: Scenario, canary: Bools, rng: Rng) -> tuple[Ints, Bools, Bools]:
    """Failures come ten in a row: of one employee, who is in one arm, or of one key, which is in both."""
    n = len(canary)
    starts = np.flatnonzero(rng.random(n) < scenario.stable_error_rate / 10)
    client = np.arange(n)
    failed = np.zeros(n, dtype=np.bool_)
    for start in starts.tolist():
        burst = slice(start, start + 10)
        failed[burst] = True
        client[burst] = start
        if scenario.clients == "bursts":
            canary[burst] = canary[start]
    return (client if scenario.clients == "bursts" else np.zeros_like(client)), canary, failed


def _watch(traffic: Traffic) -> tuple[int, ...]:
    """Canary requests until the roll back, the early ramp, and the roll back by each z-test."""
    n_canary = np.cumsum(traffic.canary)
    every = np.arange(RULE.look_every, min(n_canary[-1], RULE.max_requests) + 1, RULE.look_every)
    looks = np.searchsorted(n_canary, every) + 1
    errors, latency, flags = (
        compare(traffic, RULE) for compare in (compare_errors, compare_latency, compare_flags)
    )
    shares = (ERROR_SHARE, LATENCY_SHARE, DISAGREEMENT_SHARE)
    worse = [
        _at_looks(evidence.worse, looks) >= -math.log(RULE.alpha * share)
        for evidence, share in zip((errors, latency, flags), shares, strict=True)
    ]
    better = [_at_looks(e.better, looks) >= -math.log(RULE.alpha) for e in (errors, latency, flags)]
    may_ramp = np.logical_and.reduce(better) & (n_canary[looks - 1] >= RULE.min_requests)
    z = _z_scores(traffic, looks)
    found = (np.logical_or.reduce(worse), may_ramp, *(z > limit for limit in Z_TESTS.values()))
    return tuple(int(every[there.argmax()]) if there.any() else NEVER for there in found)


def _at_looks(course: Course, looks: Ints) -> Floats:
    return np.concatenate(([0.0], course.log_e))[np.searchsorted(course.n_read, looks, side="right")]


def _z_scores(traffic: Traffic, looks: Ints) -> Floats:
    n_canary = np.cumsum(traffic.canary)[looks - 1]
    n_stable = np.maximum(looks - n_canary, 1)
    canary_rate = np.cumsum(traffic.failed & traffic.canary)[looks - 1] / n_canary
    stable_rate = np.cumsum(traffic.failed & ~traffic.canary)[looks - 1] / n_stable
    rate = np.cumsum(traffic.failed)[looks - 1] / looks
    error = np.sqrt(rate * (1 - rate) * (1 / n_canary + 1 / n_stable))
    z: Floats = (canary_rate - stable_rate) / np.maximum(error, 1e-12)
    return z
