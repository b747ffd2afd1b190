"""The canary's verdict, on traffic whose fault is known."""

from __future__ import annotations

import json
import math
import time
from dataclasses import replace
from itertools import product

import numpy as np
import pytest

from attrition_platform.modeling.policy import CanaryRule
from attrition_platform.monitoring.betting import (
    BETTER,
    WORSE,
    WORSE_STAKES,
    one_per_client,
    one_sample_bets,
    two_sample_bets,
    wealth,
)
from attrition_platform.monitoring.canary import Observation, Verdict, judge

RULE = CanaryRule()
MINUTE = 60_000_000


def make_traffic(
    n: int = 20_000,
    *,
    seed: int = 1,
    share: float = 0.1,
    canary_error_rate: float = 0.01,
    stable_error_rate: float = 0.01,
    canary_times_slower: float = 1.0,
    median_ms: float = 5.0,
    disagreement_rate: float = 0.05,
    n_clients: int | None = None,
) -> list[Observation]:
    """Draw requests of both arms, ten a second; without `n_clients` each has a client of its own."""
    rng = np.random.default_rng(seed)
    canary = rng.random(n) < share
    failed = rng.random(n) < np.where(canary, canary_error_rate, stable_error_rate)
    latency = median_ms * rng.lognormal(0.0, 0.5, n) * np.where(canary, canary_times_slower, 1.0)
    differs = rng.random(n) < disagreement_rate
    return [
        Observation(
            variant="canary" if canary[i] else "stable",
            client=f"client-{i % (n_clients or n)}",
            at=i * 100_000,
            failed=bool(failed[i]),
            latency_ms=float(latency[i]),
            flags_differ=bool(differs[i]) if canary[i] else None,
        )
        for i in range(n)
    ]


def first_n_canary(observations: list[Observation], n_canary: int) -> list[Observation]:
    """Cut traffic after so many canary requests."""
    at = [i for i, observation in enumerate(observations) if observation.variant == "canary"]
    return observations[: at[n_canary - 1] + 1]


def look(observations: list[Observation], rule: CanaryRule = RULE, budget_p95_ms: float = 250.0) -> Verdict:
    return judge(observations, rule, budget_p95_ms=budget_p95_ms)


def test_a_canary_as_good_as_stable_ramps_before_the_end() -> None:
    verdict = look(first_n_canary(make_traffic(), 1_000))

    assert verdict.action == "ramp"
    assert "within limits" in verdict.reasons[0]


def test_nothing_ramps_before_the_least_number_of_requests() -> None:
    verdict = look(first_n_canary(make_traffic(canary_error_rate=0.0, stable_error_rate=0.0), 480))

    assert verdict.action == "continue"
    assert verdict.reasons == ("The canary has answered 480 of at least 500 requests.",)


def test_a_canary_that_can_be_neither_cleared_nor_blamed_ramps_at_the_end() -> None:
    traffic = make_traffic(21_000, disagreement_rate=0.14)

    early, late = look(first_n_canary(traffic, 800)), look(first_n_canary(traffic, 2_000))

    assert early.action == "continue"
    assert any("Not yet shown that less than 15 % of the flags differ" in reason for reason in early.reasons)
    assert late.action == "ramp"
    assert late.reasons == ("Nothing was found against the canary in 2,000 requests.",)


def test_more_failures_roll_back_and_the_reason_has_the_numbers() -> None:
    verdict = look(first_n_canary(make_traffic(canary_error_rate=0.06), 300))

    assert verdict.action == "roll-back"
    assert verdict.e_errors >= verdict.e_errors_limit == 200.0
    assert "The canary fails more often than stable" in verdict.reasons[0]
    assert "of 300 requests" in verdict.reasons[0]


@pytest.mark.parametrize("n_clients", [None, 1])
def test_a_canary_that_always_fails_is_rolled_back_within_twenty_requests(n_clients: int | None) -> None:
    traffic = make_traffic(500, canary_error_rate=1.0, n_clients=n_clients)

    assert look(first_n_canary(traffic, 20)).action == "roll-back"


def test_a_request_without_latency_counts_as_failed() -> None:
    traffic = [
        replace(observation, latency_ms=math.nan) if observation.variant == "canary" else observation
        for observation in make_traffic(500)
    ]

    verdict = look(traffic)

    assert verdict.action == "roll-back"
    assert verdict.canary_error_rate == 1.0
    assert verdict.canary_p95_ms is None


def test_an_absurd_latency_leaves_every_number_finite() -> None:
    traffic = [replace(observation, latency_ms=1e300) for observation in make_traffic(250)]
    traffic += make_traffic(250)

    verdict = look(traffic)

    assert verdict.window_variance_ms2 is not None
    assert math.isfinite(verdict.window_variance_ms2)


def test_an_outage_in_both_arms_says_nothing_about_the_canary() -> None:
    outage = [replace(observation, failed=True) for observation in make_traffic(3_000)[1_000:2_000]]
    calm = make_traffic(3_000)

    verdict = look(calm[:1_000] + outage + calm[2_000:])

    assert verdict.e_errors == pytest.approx(look(calm[:1_000] + calm[2_000:]).e_errors, rel=1.0)
    assert verdict.action != "roll-back"


def test_a_canary_that_fails_less_often_than_a_broken_stable_is_not_blamed() -> None:
    verdict = look(make_traffic(canary_error_rate=0.05, stable_error_rate=0.10))

    assert verdict.action == "ramp"


def test_ten_failures_of_one_client_in_a_row_count_once() -> None:
    """Ten failures of ten clients are another matter."""
    traffic = make_traffic(4_000, canary_error_rate=0.0, stable_error_rate=0.01)
    at = [i for i, observation in enumerate(traffic) if observation.variant == "canary"][50:60]
    together, apart = list(traffic), list(traffic)
    for i in at:
        together[i] = replace(traffic[i], failed=True, client="same")
        apart[i] = replace(traffic[i], failed=True)

    assert look(apart).e_errors > look(apart).e_errors_limit
    assert look(together).e_errors < 5.0
    assert look(together).n_votes == look(apart).n_votes - 9


def test_one_client_for_all_traffic_does_not_hide_a_bad_canary() -> None:
    verdict = look(first_n_canary(make_traffic(canary_error_rate=0.06, n_clients=1), 600))

    assert verdict.action == "roll-back"


def test_a_canary_that_breaks_late_is_found() -> None:
    good, bad = make_traffic(10_000), make_traffic(canary_error_rate=0.06)

    verdict = look(good + first_n_canary(bad, 600))

    assert verdict.e_errors >= verdict.e_errors_limit


def test_the_allowed_excess_of_errors_is_allowed() -> None:
    traffic = make_traffic(canary_error_rate=0.05)

    assert look(traffic).action == "roll-back"
    assert look(traffic, CanaryRule(max_error_excess=0.05)).action == "ramp"
    assert look(traffic, CanaryRule(max_error_excess=0.01)).action == "roll-back"


def test_a_slower_canary_is_rolled_back() -> None:
    verdict = look(first_n_canary(make_traffic(canary_times_slower=1.5), 400))

    assert verdict.action == "roll-back"
    assert "The canary is slower than stable: p95" in verdict.reasons[0]


def test_a_canary_within_the_latency_ratio_is_not_rolled_back() -> None:
    assert look(make_traffic(canary_times_slower=1.05)).e_latency < 10.0


def test_a_slow_machine_says_nothing_about_the_canary() -> None:
    traffic = make_traffic()
    slow = [
        replace(observation, latency_ms=10 * observation.latency_ms) for observation in traffic[5_000:9_000]
    ]

    assert look(traffic[:5_000] + slow + traffic[9_000:]).e_latency < 10.0


def test_times_under_the_floor_count_as_equal() -> None:
    traffic = make_traffic(canary_times_slower=3.0, median_ms=0.05)

    assert look(traffic, CanaryRule(latency_floor_ms=1.0)).action == "ramp"
    assert look(traffic, CanaryRule(latency_floor_ms=0.01)).action == "roll-back"


def test_a_canary_that_flags_others_is_rolled_back() -> None:
    verdict = look(first_n_canary(make_traffic(disagreement_rate=0.3), 400))

    assert verdict.action == "roll-back"
    assert "15 % is allowed" in verdict.reasons[0]


def test_a_canary_that_stable_never_scored_beside_does_not_ramp() -> None:
    traffic = [replace(observation, flags_differ=None) for observation in make_traffic(21_000)]

    early, late = look(first_n_canary(traffic, 1_000)), look(first_n_canary(traffic, 2_000))

    assert (early.action, late.action) == ("continue", "roll-back")
    assert "Stable scored along for only 0" in late.reasons[0]
    assert late.disagreement_rate is None


def test_a_canary_without_stable_beside_it_does_not_ramp() -> None:
    traffic = [
        replace(observation, variant="canary", flags_differ=False) for observation in make_traffic(2_000)
    ]

    early, late = look(traffic[:1_000]), look(traffic)

    assert (early.action, late.action) == ("continue", "roll-back")
    assert "have a stable request beside them" in late.reasons[0]


def test_an_unstable_latency_waits_and_at_the_end_rolls_back() -> None:
    traffic = make_traffic(21_000)

    early = look(first_n_canary(traffic, 1_000), budget_p95_ms=8.0)
    late = look(first_n_canary(traffic, 2_000), budget_p95_ms=8.0)
    varied = look(first_n_canary(traffic, 2_000), CanaryRule(max_latency_variance_ms2=2.0))

    assert (early.action, late.action, varied.action) == ("continue", "roll-back", "roll-back")
    assert "is over the budget of 8 ms" in late.reasons[0]
    assert "the cap is 2 ms²" in varied.reasons[0]


def test_only_the_newest_window_must_be_stable() -> None:
    traffic = make_traffic()
    early_spike = [replace(o, latency_ms=9_000.0) for o in traffic[:500]] + traffic[500:]
    late_spike = traffic[:-500] + [replace(o, latency_ms=9_000.0) for o in traffic[-500:]]

    assert look(early_spike).action == "ramp"
    assert look(late_spike, CanaryRule(max_requests=10_000)).action == "continue"


def test_a_thin_window_reaches_back_to_a_look_of_requests() -> None:
    slow_end = [
        replace(o, at=o.at + (60 * MINUTE if i == 1_999 else 0)) for i, o in enumerate(make_traffic(2_000))
    ]

    assert look(slow_end).window_variance_ms2 == pytest.approx(12.0, abs=12.0)
    assert look(slow_end).window_p95_ms is not None


def test_numbers_are_finite_in_json_and_reasons_name_no_client() -> None:
    for traffic in ([], make_traffic(3_000, canary_error_rate=1.0), make_traffic(40, share=1.0)):
        verdict = look(traffic)
        text = json.dumps(verdict.as_json(), allow_nan=False)

        assert json.loads(text)["action"] == verdict.action
        assert "client-" not in text


def test_twenty_thousand_requests_are_judged_quickly() -> None:
    traffic = make_traffic()

    def seconds() -> float:
        start = time.perf_counter()
        look(traffic)
        return time.perf_counter() - start

    assert min(seconds() for _ in range(5)) < 0.2


def test_every_way_of_sharing_hits_gives_a_fair_bet() -> None:
    for n_canary, n_stable, hits in product((0, 1, 5), (0, 1, 9), (0, 1, 3)):
        if hits > n_canary + n_stable:
            continue
        shared = np.arange(max(0, hits - n_stable), min(n_canary, hits) + 1)
        chance = [
            math.comb(n_canary, y) * math.comb(n_stable, hits - y) / math.comb(n_canary + n_stable, hits)
            for y in shared
        ]
        same = np.ones_like(shared)
        bets = two_sample_bets(n_canary * same, shared, n_stable * same, hits - shared, WORSE + BETTER)

        assert chance @ np.exp(bets) == pytest.approx(1.0)


@pytest.mark.parametrize("rate", [0.0, 0.01, 0.3])
@pytest.mark.parametrize("excess", [0.02, 0.5, 1.0])
@pytest.mark.parametrize("odds", [WORSE, BETTER])
def test_a_bet_on_more_than_the_excess_is_fair_at_the_excess(
    rate: float, excess: float, odds: tuple[float, ...]
) -> None:
    canary_rate = rate + excess * (1 - rate)
    y, x = (grid.ravel() for grid in np.meshgrid(np.arange(6), np.arange(16)))

    def binomial(n: int, k: np.ndarray, p: float) -> np.ndarray:
        return np.array([math.comb(n, int(i)) * p**i * (1 - p) ** (n - i) for i in k])

    chance = binomial(5, y, canary_rate) * binomial(15, x, rate)
    bets = two_sample_bets(np.full_like(y, 5), y, np.full_like(y, 15), x, odds, excess)

    assert chance @ np.exp(bets) == pytest.approx(1.0)


def test_wealth_is_fair_at_every_step() -> None:
    """Over all sequences of eight votes, with alternatives that begin at any of four steps."""
    sequences = np.array(list(product([False, True], repeat=8)))
    bets = np.stack([one_sample_bets(votes, 0.15, WORSE) for votes in sequences])
    chance = np.prod(np.where(sequences, 0.15, 0.85), axis=1)

    assert chance @ np.exp(wealth(bets, WORSE_STAKES, 4)) == pytest.approx(np.ones(8))


def test_an_alternative_that_begins_late_is_still_bet_on() -> None:
    """All that was lost in 200 quiet steps would otherwise have to be won back first."""
    bets = np.array([-0.1] * 200 + [1.0] * 12)[:, None]

    assert wealth(bets, (1.0,), 400)[-1] > math.log(50.0)


def test_a_client_is_silent_in_both_arms_after_a_hit() -> None:
    hit = np.array([True, True, False, False, True, True])
    client = np.array([0, 1, 0, 0, 0, 1])

    assert one_per_client(hit, client, 3).tolist() == [True, True, False, False, True, False]


@pytest.mark.slow
def test_simulated_canaries_keep_their_targets() -> None:
    """A small run of the benchmark; the full one is in benchmarks/RESULTS.md."""
    from benchmarks.canary_simulation import NEVER, SCENARIOS, simulate

    for scenario in SCENARIOS:
        outcome = simulate(scenario, 60)
        if scenario.target.startswith("false"):
            assert np.sum(outcome.rolled_back < NEVER) <= 3, scenario.name
        elif scenario.target.startswith("median"):
            assert np.median(outcome.rolled_back) <= int(scenario.target.split()[-1]), scenario.name
        else:
            assert outcome.rolled_back_in_time.mean() > 0.9, scenario.name
