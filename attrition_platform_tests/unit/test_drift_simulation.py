"""Small runs of the drift benchmark; the full one is in benchmarks/RESULTS.md."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import polars as pl
import pytest
from scipy.stats import binom

from attrition_platform.contracts.toml_file import shipped_contract
from attrition_platform.monitoring.drift import judge_drift
from attrition_platform.monitoring.summary import summarise
from benchmarks.drift_simulation import (
    PLANTED,
    RULE,
    Planted,
    Population,
    Setting,
    is_found,
    judge_cells,
    plant,
    population,
    share_bound,
    simulate_year,
)
from benchmarks.inputs import generated_extract


@pytest.fixture(scope="module")
def people(tmp_path_factory: pytest.TempPathFactory) -> Population:
    folder: Path = tmp_path_factory.mktemp("people")
    return population(generated_extract(folder, 12_000, seed=3))


def test_two_months_without_drift_do_not_alarm(people: Population) -> None:
    year = simulate_year(people, Setting(1_000, 100), np.random.default_rng(1), n_windows=60)

    assert year.n_alarms == 0


def test_a_month_of_a_source_that_is_always_a_little_broken_does_not_alarm(people: Population) -> None:
    rng = np.random.default_rng(7)
    at = Setting(10_000, 2_000, is_dirty=True)

    year = simulate_year(people.with_dirt(rng), at, rng, n_windows=30)

    assert year.n_alarms == 0


def test_counts_that_are_drawn_are_those_of_the_rows(people: Population) -> None:
    """Whole rows are drawn: the same chance gives the same cells, counted or laid out."""
    dirty = people.with_dirt(np.random.default_rng(8))

    counted = dirty.summary(dirty.draw(500, np.random.default_rng(9)))
    cells = dirty.cells(np.random.default_rng(9).integers(0, dirty.n_rows, 500))

    frame = pl.DataFrame({name: values.tolist() for name, values in cells.items()})
    assert counted == summarise(frame, shipped_contract(), list(cells))
    assert counted.columns["overtime"].n_missing > 0
    assert "Contractor" in counted.columns["job_role"].values


def test_a_window_is_passed_over_only_where_no_test_of_the_decision_is_certain(people: Population) -> None:
    rng = np.random.default_rng(10)
    dirty = people.with_dirt(rng)
    for source in (people, dirty, dirty, people):
        for n_window in (60, 100, 700):
            reference, window = people.draw(2_000, rng), source.draw(n_window, rng)
            if source is dirty:
                reference = dirty.draw(2_000, rng)
                window[rng.integers(0, len(window), 40)] += 9  # now and then something new
            verdict = judge_drift(source.summary(reference), source.summary(window), RULE)
            asked = [a.p_value for column in verdict.by_column.values() for a in column.answers]

            assert source.smallest_p_value(reference, window) == min(asked)


def test_the_bound_beside_a_share_is_that_of_the_binomial() -> None:
    for n_found, n_all in ((0, 60), (2, 60), (59, 60)):
        bound = share_bound(n_found, n_all)

        assert binom.cdf(n_found, n_all, bound) == pytest.approx(0.05)


@pytest.mark.parametrize("planted", PLANTED, ids=lambda planted: f"{planted.name}, {planted.n_rows} rows")
def test_a_planted_drift_is_found_in_the_first_window(people: Population, planted: Planted) -> None:
    reference, window = plant(people, planted, np.random.default_rng(2))

    assert is_found(judge_cells(reference, window), planted)


@pytest.mark.slow
@pytest.mark.parametrize("n_window", [100, 500])
def test_years_without_drift_rarely_alarm(people: Population, n_window: int) -> None:
    """At most one year in twenty may; three of ten would be a chance of one in a hundred."""
    rng = np.random.default_rng(4)

    years = [simulate_year(people, Setting(1_000, n_window), rng) for _ in range(10)]

    assert sum(year.alarmed for year in years) <= 2
