"""A simulated year: what is planted when, and that nothing else differs."""

from __future__ import annotations

from datetime import timedelta

import polars as pl
import pytest

from attrition_platform.population import scenario
from attrition_platform.population.scenario import (
    HORIZON_DAYS,
    Month,
    Plant,
    PlantKind,
    YearPlan,
    day_of,
    draw_month,
    draw_outcomes,
    outcomes_arrive,
    plan_year,
)

N_ROWS = 2_000


def year(*plants: Plant, seed: int = 7) -> YearPlan:
    return YearPlan(12, N_ROWS, 3_000, seed, plants)


def sent(month: Month) -> pl.DataFrame:
    return month.extracts[0].rows


def test_the_same_seed_plants_the_same_and_draws_the_same_rows() -> None:
    assert plan_year(12, N_ROWS, 3_000, 5) == plan_year(12, N_ROWS, 3_000, 5)
    assert len({plan_year(12, N_ROWS, 3_000, seed).plants for seed in range(10)}) > 5

    once, again = (draw_month(year(Plant("data-drift", 1)), 2) for _ in range(2))

    assert once.truth.equals(again.truth)
    assert sent(once).equals(sent(again))


@pytest.mark.parametrize("n_months", [4, 5, 6, 8, 12, 24])
def test_every_plant_can_be_found_within_its_year(n_months: int) -> None:
    for seed in range(30):
        plan = plan_year(n_months, N_ROWS, 3_000, seed)
        by_kind = {plant.kind: plant.month for plant in plan.plants}
        assert len(by_kind) == len(plan.plants) == len({plant.month for plant in plan.plants})
        assert all(1 <= plant.month <= n_months for plant in plan.plants)
        assert outcomes_arrive(plan, by_kind["concept-drift"]) <= n_months
        # Nothing replaces the champion whose predictions the outcomes will judge.
        spared = range(min(3, by_kind["concept-drift"]), by_kind["concept-drift"] + 3)
        replacing: tuple[PlantKind, ...] = ("data-drift", "unit-error", "new-category")
        assert not [kind for kind in replacing if by_kind.get(kind) in spared]
        assert n_months < 8 or len(by_kind) == 6


@pytest.mark.parametrize("n_months", [6, 7, 8, 12, 24])
def test_in_a_third_of_the_months_with_outcomes_nothing_can_show_in_them_yet(n_months: int) -> None:
    for seed in range(30):
        plan = plan_year(n_months, N_ROWS, 3_000, seed)
        (concept,) = (plant.month for plant in plan.plants if plant.kind == "concept-drift")
        first = min(outcomes_arrive(plan, month) for month in range(1, n_months + 1))
        n_quiet = outcomes_arrive(plan, concept) - first
        assert n_quiet >= (n_months + 1 - first) / 3


def test_a_year_that_is_too_short_is_refused() -> None:
    with pytest.raises(ValueError, match="at least 4 months"):
        plan_year(3, N_ROWS, 3_000, 7)


def test_no_employee_is_in_two_extracts_and_only_the_training_extract_has_labels() -> None:
    plan = year()
    months = [draw_month(plan, number) for number in range(4)]

    ids = pl.concat([month.truth["employee_id"] for month in months])
    assert ids.n_unique() == len(ids) == 3_000 + 3 * N_ROWS
    assert set(sent(months[0])["Attrition"]) == {"Left", "Stayed"}
    assert {label for month in months[1:] for label in sent(month)["Attrition"]} == {""}
    assert all(len(month.extracts) == 1 for month in months)


def test_labels_follow_the_chances_that_are_told() -> None:
    truth = draw_month(year(), 0).truth
    certain = truth.filter((pl.col("chance") == 0) | (pl.col("chance") == 1))

    assert len(certain) > 300
    assert (certain["left"] == (certain["chance"] == 1)).all()
    assert abs(truth["left"].mean() - truth["chance"].mean()) < 0.03  # type: ignore[operator]


def test_data_drift_changes_remote_work_and_incomes_from_its_month_on() -> None:
    plan = year(Plant("data-drift", 2))
    before, after, later = (sent(draw_month(plan, number)) for number in (1, 2, 9))

    shares = [(frame["Remote Work"] == "Yes").sum() / N_ROWS for frame in (before, after, later)]
    assert shares == pytest.approx([0.19, 0.35, 0.35], abs=0.04)
    rise = after["Monthly Income"].mean() / before["Monthly Income"].mean()  # type: ignore[operator]
    assert 1.06 < rise < 1.10


def test_concept_drift_changes_who_leaves_and_not_who_there_is() -> None:
    changed = draw_month(year(Plant("concept-drift", 2)), 2)
    calm = draw_month(year(), 2)

    assert sent(changed).equals(sent(calm))
    remote = sent(calm)["Remote Work"] == "Yes"
    higher = changed.truth["chance"] - calm.truth["chance"]
    assert higher.filter(remote).mean() > 0.2  # type: ignore[operator]
    assert higher.filter(~remote).abs().max() == 0
    assert draw_month(year(Plant("concept-drift", 2)), 1).truth.equals(draw_month(year(), 1).truth)


def test_straight_apostrophes_a_wrong_unit_and_a_new_category_spoil_one_file() -> None:
    calm = sent(draw_month(year(), 3))
    for kind, column in (
        ("format-change", "Education Level"),
        ("unit-error", "Years at Company"),
        ("new-category", "Job Role"),
    ):
        plan = year(Plant(kind, 3))  # type: ignore[arg-type]
        spoilt = sent(draw_month(plan, 3))
        assert not spoilt[column].equals(calm[column])
        assert spoilt.drop(column).equals(calm.drop(column))
        assert sent(draw_month(plan, 4)).equals(sent(draw_month(year(), 4)))


def test_what_is_wrong_as_a_whole_is_followed_by_a_corrected_file() -> None:
    calm = sent(draw_month(year(), 3))
    wrong, corrected = draw_month(year(Plant("unit-error", 3)), 3).extracts

    assert (wrong.rows["Years at Company"] == calm["Years at Company"] * 12).all()
    assert corrected.rows.equals(calm)
    assert wrong.name != corrected.name


def test_a_new_category_takes_eight_percent_of_the_rows() -> None:
    rows = sent(draw_month(year(Plant("new-category", 3)), 3))

    assert (rows["Job Role"] == scenario.NEW_CATEGORY).mean() == pytest.approx(0.08, abs=1e-3)


def test_a_new_column_stays() -> None:
    plan = year(Plant("new-column", 2))

    has = [scenario.NEW_COLUMN in sent(draw_month(plan, number)).columns for number in (1, 2, 3)]
    assert has == [False, True, True]


def test_outcomes_arrive_two_to_three_months_later_and_cover_the_horizon() -> None:
    plan = year()
    for number in range(1, 13):
        month = draw_month(plan, number)
        outcomes = draw_outcomes(plan, month)
        arrives = outcomes_arrive(plan, number)
        assert arrives - number in (2, 3)
        days = outcomes["date"].str.to_date()
        left = outcomes["outcome"] == "left"
        assert (left == month.truth["left"]).all()
        assert days.filter(left).max() < day_of(number + 1)  # type: ignore[operator]
        # Known to be there when the horizon is over, and told on the day of the file.
        assert set(days.filter(~left)) == {day_of(arrives)}
        assert day_of(arrives) >= day_of(number) + timedelta(days=HORIZON_DAYS + 3)
