"""What was planted is held against what was seen; champions are worth what the chances say."""

from __future__ import annotations

import json

import numpy as np
import pytest

from attrition_platform.modeling.policy import parse_policy
from attrition_platform.population.scenario import (
    HORIZON_DAYS,
    Plant,
    PlantKind,
    YearPlan,
    outcomes_arrive,
    plan_year,
)
from attrition_platform.stages.simulated_plot import year_plot
from attrition_platform.stages.simulated_report import (
    CONSEQUENCES,
    PROOF,
    MonthRecord,
    RunRecord,
    Sighting,
    judge_year,
    planted_table,
    quiet_months,
    report_markdown,
    sightings_of_cause,
    sightings_of_changes,
    summary,
)
from attrition_platform.stages.simulated_year import Worth, expected_auc, expected_cost, policy_text

N_MONTHS = 8


def plan(*plants: tuple[PlantKind, int]) -> YearPlan:
    return YearPlan(N_MONTHS, 1_000, 2_000, 7, tuple(Plant(kind, month) for kind, month in plants))


def lived(*sightings: Sighting, until: int = N_MONTHS, **changed: object) -> list[MonthRecord]:
    return [
        MonthRecord(
            number,
            f"2031-{number + 1:02}-01",
            "aaaa" if number < 4 else "bbbb",
            Worth(0.8, 0.3),
            Worth(0.8 - number / 100, 0.3),
            (RunRecord("new-file", ("new-file",), "blocked", ("gain-over-champion",)),),
            tuple(sighting for sighting in sightings if sighting.month == number),
            **changed,  # type: ignore[arg-type]
        )
        for number in range(until + 1)
    ]


def drifted(month: int, column: str) -> Sighting:
    return Sighting(month, "drift", column, "on_drift")


def test_a_plant_is_found_in_the_first_month_that_shows_it_and_later_months_are_no_false_alarms() -> None:
    found = [drifted(5, "remote_work"), drifted(5, "probability"), drifted(6, "monthly_income")]

    report = judge_year(plan(("data-drift", 4)), lived(*found))

    (finding,) = report.findings
    assert (finding.found, finding.delay, finding.trigger, finding.n_again) == (5, 1, "on_drift", 1)
    assert report.is_sound


def test_what_no_plant_explains_is_a_false_alarm() -> None:
    planted = plan(("data-drift", 4), ("unit-error", 6))
    for alarm in (
        drifted(3, "remote_work"),  # before it was planted
        drifted(5, "overtime"),  # a column that nobody changed
        drifted(7, "years_at_company"),  # the wrong file was of the month before
        Sighting(5, "performance", "concept-drift", "on_performance"),
        Sighting(5, "refused", "header", "validated_employees"),
    ):
        report = judge_year(planted, lived(alarm))
        assert report.false_alarms == (alarm,)
        assert not report.is_sound
        assert f"| {alarm.month} | {alarm.what} | {alarm.about} |" in report_markdown(report)


@pytest.mark.parametrize("verdict", ["below-floor", "concept-drift"])
def test_what_outcomes_can_not_show_yet_is_a_false_alarm_and_finds_nothing(verdict: str) -> None:
    planted = plan(("concept-drift", 3))
    arrives = outcomes_arrive(planted, 3)
    early, late = (
        Sighting(month, "performance", verdict, "on_performance") for month in (arrives - 1, arrives)
    )

    report = judge_year(planted, lived(early))
    assert report.false_alarms == (early,)
    assert [finding.found for finding in report.findings] == [None]

    report = judge_year(planted, lived(early, late))
    assert report.false_alarms == (early,)
    assert [(finding.found, finding.n_again) for finding in report.findings] == [(arrives, 0)]


def test_a_year_has_months_in_which_an_alarm_about_outcomes_counts_as_false() -> None:
    year = plan_year(12, 1_000, 2_000, 7)
    first = min(outcomes_arrive(year, month) for month in range(1, 13))
    alarms = [Sighting(n, "performance", "concept-drift", "on_performance") for n in range(first, 13)]

    false = judge_year(year, [MonthRecord(12, "d", None, None, None, sightings=tuple(alarms))]).false_alarms

    assert len(false) >= len(alarms) / 3


def test_the_report_says_how_many_quiet_months_were_judged_and_that_a_short_year_has_none() -> None:
    planted = plan(("concept-drift", 3))
    arrives = outcomes_arrive(planted, 3)
    judged = judge_year(planted, lived(performance="ok"))
    unheard = judge_year(planted, lived(performance="cannot-judge"))
    alarm = Sighting(arrives - 1, "performance", "below-floor", "on_performance")

    assert judged.as_json()["quiet_months_judged"] == arrives
    assert f"In {arrives} months outcomes were judged" in report_markdown(judged)
    assert quiet_months(judged).endswith("no alarm.")
    assert "1 alarms" in quiet_months(judge_year(planted, lived(alarm, performance="below-floor")))
    assert unheard.n_quiet_judged == 0
    assert "says nothing about false alarms" in report_markdown(unheard)


def test_one_false_alarm_spoils_a_year_in_which_everything_was_found() -> None:
    found, alarm = drifted(4, "remote_work"), drifted(5, "overtime")

    assert judge_year(plan(("data-drift", 4)), lived(found)).is_sound
    assert not judge_year(plan(("data-drift", 4)), lived(found, alarm)).is_sound


def test_a_consequence_alone_finds_nothing() -> None:
    report = judge_year(plan(("unit-error", 4)), lived(drifted(4, "years_at_company")))

    assert report.false_alarms == ()
    assert [finding.found for finding in report.findings] == [None]
    assert not report.is_sound
    assert "Found 0 of 1 plants" in summary(report)
    assert planted_table(report)[1][0][2] == "NOT FOUND"


def test_years_sent_as_months_count_as_found_only_when_the_file_was_refused() -> None:
    named = Sighting(4, "unit-change", "years_at_company", "drift_report")
    refused = Sighting(4, "refused", "unit-change", "validated_employees")

    assert judge_year(plan(("unit-error", 4)), lived(named)).findings[0].found is None
    assert judge_year(plan(("unit-error", 4)), lived(named, refused)).findings[0].found == 4


def test_a_year_that_was_ended_early_is_judged_by_what_could_be_seen() -> None:
    planted = plan(("concept-drift", 2), ("data-drift", 6))
    arrives = outcomes_arrive(planted, 2)

    early = judge_year(planted, lived(until=arrives - 1))
    late = judge_year(planted, lived(until=arrives))

    assert early.findings == ()
    assert not early.is_complete
    assert [(finding.plant.kind, finding.found) for finding in late.findings] == [("concept-drift", None)]
    assert judge_year(planted, []).months == ()


def test_every_kind_of_plant_can_be_told_from_every_other() -> None:
    for kind, signs in PROOF.items():
        assert signs
        assert not signs & CONSEQUENCES[kind]
        assert not [other for other in PROOF if other != kind and PROOF[other] & signs]


def test_causes_become_sightings_and_what_only_arrived_does_not() -> None:
    verdict = {"verdict": "below-floor", "reasons": ["r"]}

    assert sightings_of_cause(1, "new-file", {"file": "f"}, "on_new_file") == []
    assert sightings_of_cause(1, "volume", {"n_new": 1_000}, "on_new_labels") == []
    assert sightings_of_cause(2, "performance", verdict, "on_performance") == [
        Sighting(2, "performance", "below-floor", "on_performance")
    ]
    assert [s.about for s in sightings_of_cause(2, "drift", {"columns": ["a", "b"]}, "x")] == ["a", "b"]
    changes = [{"kind": "new-column", "column": "x"}, {"kind": "format-change", "column": "y"}]
    assert sightings_of_changes(3, changes) == [Sighting(3, "format-change", "y", "drift_report")]


def test_the_report_repeats_and_shows_everything() -> None:
    planted = plan(("concept-drift", 2), ("data-drift", 6))
    months = lived(drifted(6, "remote_work"), refused=(("month-03.csv", "unit-change"),))

    once, again = (judge_year(planted, months) for _ in range(2))

    assert json.dumps(once.as_json()) == json.dumps(again.as_json())
    assert once.as_json()["runs_by_cause"] == {"new-file": N_MONTHS + 1}
    assert once.as_json()["refused"][0] == {"month": 0, "file": "month-03.csv", "reason": "unit-change"}
    text = report_markdown(once)
    for part in (
        "| data-drift | 6 | 6 | 0 | on_drift | 0 |",
        "NOT FOUND",
        "month-03.csv",
        "new-file blocked",
        "gain-over-champion 9 times",
    ):
        assert part in text
    assert once.as_json()["months"][3]["worth"] == {"roc_auc": 0.8, "cost": 0.3}


def test_the_picture_repeats() -> None:
    report = judge_year(plan(("data-drift", 6)), lived(drifted(6, "remote_work")))

    png = year_plot(report)

    assert png.startswith(b"\x89PNG")
    assert png == year_plot(report)


def test_expected_auc_is_the_mean_over_draws_of_who_leaves() -> None:
    rng = np.random.default_rng(3)
    chance = rng.random(300).round(1)
    score = np.clip(chance + rng.normal(0, 0.3, 300), 0, 1).round(1)  # with ties

    def one_draw() -> float:
        left = rng.random(300) < chance
        above = score[left][:, None] - score[~left][None, :]
        return float(((above > 0) + 0.5 * (above == 0)).mean())

    drawn = np.mean([one_draw() for _ in range(400)])
    assert expected_auc(chance, score) == pytest.approx(drawn, abs=0.004)


def test_expected_auc_of_a_constant_is_a_half_and_of_certainties_one() -> None:
    chance = np.array([0.2, 0.9, 0.4])

    assert expected_auc(chance, np.full(3, 0.7)) == pytest.approx(0.5)
    assert expected_auc(np.array([0.0, 1.0]), np.array([0.1, 0.2])) == 1.0
    assert np.isnan(expected_auc(np.zeros(2), np.array([0.1, 0.2])))


def test_costs_are_weighted_by_the_policy() -> None:
    chance, flagged = np.array([0.9, 0.2, 0.5]), np.array([True, False, True])

    assert expected_cost(chance, flagged, 1.0, 1.0) == pytest.approx((0.1 + 0.2 + 0.5) / 3)
    assert expected_cost(chance, flagged, 1.0, 10.0) == pytest.approx((0.1 + 2.0 + 0.5) / 3)


def test_the_policy_of_the_year_is_the_shipped_one_with_less_tuning_and_another_horizon() -> None:
    shipped = parse_policy(policy_text().split("\n[tuning]")[0], "shipped")
    policy = parse_policy(policy_text(), "year")

    assert policy.name == "simulated-year"
    assert policy.tuning.trials == 2
    assert policy.performance.horizon_days == HORIZON_DAYS
    assert policy.gates == shipped.gates
    assert policy.splits.cross_validate_below_rows == 5_000
