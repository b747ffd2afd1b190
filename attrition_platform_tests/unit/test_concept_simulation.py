"""Small runs of the concept benchmark; the full one is in benchmarks/RESULTS.md."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from attrition_platform.contracts.toml_file import shipped_contract
from attrition_platform.modeling.watch_rules import DriftRule
from attrition_platform.monitoring.concept import judge_concept
from attrition_platform.monitoring.drift import judge_drift
from attrition_platform.monitoring.summary import FrameSummary, count_numbers, summarise
from benchmarks.concept_simulation import (
    CHANGED,
    COLUMN,
    QUIET,
    RULE,
    WINDOW_LABELS,
    Scored,
    changed_years,
    draw_rows,
    estimate_errors,
    labels,
    quiet_years,
    score,
)
from benchmarks.inputs import reference_extract

pytestmark = pytest.mark.slow  # a model is fitted on 20,000 rows

GONE = "remote work no longer protects"


@pytest.fixture(scope="module")
def scored(tmp_path_factory: pytest.TempPathFactory) -> Scored:
    folder: Path = tmp_path_factory.mktemp("people")
    return score(reference_extract(folder), n_train=20_000)


def test_remote_work_that_no_longer_protects_is_found_within_two_windows_and_is_no_data_drift(
    scored: Scored,
) -> None:
    rng = np.random.default_rng(1)
    rows = draw_rows(scored, 2 * WINDOW_LABELS, rng)
    frame = labels(scored, rows, CHANGED[GONE][0](scored, rows, rng))
    contract = shipped_contract()

    def summary(people: np.ndarray) -> FrameSummary:
        drawn = scored.frame[people]
        counted = summarise(drawn, contract, list(scored.categories))
        chances = count_numbers(drawn["probability"])
        return FrameSummary(counted.n_rows, counted.columns | {"probability": chances})

    assert judge_concept(frame, RULE, scored.categories).column == COLUMN
    reference = summary(draw_rows(scored, 10_000, rng))
    assert judge_drift(reference, summary(rows), DriftRule()).columns == ()


def test_changes_are_found_in_several_years_also_when_they_begin_late(scored: Scored) -> None:
    for week in (0, 20):
        found = changed_years(scored, *CHANGED[GONE], week, 4)
        assert (found.n_in_two_windows, found.n_early) == (4, 0)
        assert found.n_named >= 3


@pytest.mark.parametrize("name", list(QUIET))
def test_quiet_years_do_not_alarm(scored: Scored, name: str) -> None:
    assert quiet_years(scored, *QUIET[name], 4)[0] == 0.0


def test_estimates_hold_without_concept_drift_and_mislead_with_it(scored: Scored) -> None:
    truth, more_remote = QUIET["real outcomes"]
    honest = estimate_errors(scored, truth, more_remote, 20)["accuracy"]
    misled = estimate_errors(scored, CHANGED[GONE][0], more_remote, 20)["accuracy"]

    assert abs(honest[0]) < 0.02
    assert misled[0] > 0.03
