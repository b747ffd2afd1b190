"""Small runs of the drift benchmark; the full one is in benchmarks/RESULTS.md."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from benchmarks.drift_simulation import (
    PLANTED,
    Planted,
    Population,
    is_found,
    judge_cells,
    plant,
    population,
    simulate_year,
)
from benchmarks.inputs import generated_extract


@pytest.fixture(scope="module")
def people(tmp_path_factory: pytest.TempPathFactory) -> Population:
    folder: Path = tmp_path_factory.mktemp("people")
    return population(generated_extract(folder, 12_000, seed=3))


def test_two_months_without_drift_do_not_alarm(people: Population) -> None:
    year = simulate_year(people, 1_000, 100, np.random.default_rng(1), n_windows=60)

    assert year.n_alarms == 0


@pytest.mark.parametrize("planted", PLANTED, ids=lambda planted: f"{planted.name}, {planted.n_rows} rows")
def test_a_planted_drift_is_found_in_the_first_window(people: Population, planted: Planted) -> None:
    reference, window = plant(people, planted, np.random.default_rng(2))

    assert is_found(judge_cells(reference, window), planted)


@pytest.mark.slow
@pytest.mark.parametrize("n_window", [100, 500])
def test_years_without_drift_rarely_alarm(people: Population, n_window: int) -> None:
    """At most one year in twenty may; three of ten would be a chance of one in a hundred."""
    rng = np.random.default_rng(4)

    years = [simulate_year(people, 1_000, n_window, rng) for _ in range(10)]

    assert sum(year.alarmed for year in years) <= 2
