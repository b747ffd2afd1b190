"""The audit reproduces the published example and counts only groups that are large enough."""

from __future__ import annotations

import numpy as np
import pytest

from attrition_platform.modeling.fairness import audit, frontier_variants, impact_ratios
from attrition_platform.modeling.policy import FairnessRule

# Scoring rates and impact ratios of the example in New York City's rule on Local Law 144
# (6 RCNY § 5-301, appendix), by sex and by race or ethnicity.
BY_SEX = {"male": (0.543, 1.00), "female": (0.447, 0.82)}
BY_RACE = {
    "Hispanic or Latino": (0.642, 1.00),
    "White": (0.375, 0.58),
    "Black or African American": (0.500, 0.78),
    "Native Hawaiian or Pacific Islander": (0.625, 0.97),
    "Asian": (0.417, 0.65),
}


@pytest.mark.parametrize("example", [BY_SEX, BY_RACE])
def test_the_published_impact_ratios_are_reproduced(example: dict[str, tuple[float, float]]) -> None:
    ratios = impact_ratios({group: rate for group, (rate, _) in example.items()})

    assert {group: round(ratio or 0, 2) for group, ratio in ratios.items()} == {
        group: published for group, (_, published) in example.items()
    }


@pytest.mark.parametrize("example", [BY_SEX, BY_RACE])
def test_the_audit_finds_them_in_people_with_those_rates(example: dict[str, tuple[float, float]]) -> None:
    n = 1000
    selected = np.concatenate([np.arange(n) < round(rate * n) for rate, _ in example.values()])
    groups = np.repeat(np.array(list(example), dtype=object), n)

    found = audit(selected, selected, selected.astype(float), {"group": groups}, FairnessRule())

    assert {row.group: round(row.impact_ratio or 0, 2) for row in found.rows} == {
        group: published for group, (_, published) in example.items()
    }
    assert found.least_impact_ratios()["group"] == pytest.approx(
        min(rate for rate, _ in example.values()) / max(rate for rate, _ in example.values())
    )


def people(rates: dict[str, tuple[int, float]]) -> tuple[np.ndarray, np.ndarray]:
    """Groups of (size, selection rate): who is selected, and each one's group."""
    selected = np.concatenate([np.arange(n) < round(rate * n) for n, rate in rates.values()])
    groups = np.concatenate([np.full(n, name, dtype=object) for name, (n, _) in rates.items()])
    return selected, groups


def test_a_group_below_two_percent_is_shown_and_not_counted() -> None:
    selected, groups = people({"a": (3000, 0.5), "b": (2950, 0.45), "tiny": (50, 0.02)})

    found = audit(selected, selected, selected * 0.5, {"g": groups}, FairnessRule())

    tiny = next(row for row in found.rows if row.group == "tiny")
    assert (tiny.counted, tiny.why_not) == (False, "under 2% of people")
    assert tiny.impact_ratio == pytest.approx(0.04)
    assert found.least_impact_ratios() == {"g": pytest.approx(0.9, abs=1e-3)}


def test_a_group_of_few_people_is_not_counted_whatever_its_share() -> None:
    selected, groups = people({"a": (40, 0.5), "b": (29, 0.0)})

    found = audit(selected, selected, selected * 0.5, {"g": groups}, FairnessRule())

    assert found.least_impact_ratios() == {"g": None}
    assert next(row for row in found.rows if row.group == "b").why_not == "fewer than 30 people"


def test_where_nobody_is_selected_the_ratio_is_not_known() -> None:
    selected, groups = people({"a": (100, 0.0), "b": (100, 0.0)})

    found = audit(selected, selected, selected * 0.5, {"g": groups}, FairnessRule())

    assert found.least_impact_ratios() == {"g": None}


def test_people_whose_group_is_not_known_are_counted_as_such() -> None:
    selected, groups = people({"a": (100, 0.5), "b": (100, 0.4)})
    groups[:10] = None

    found = audit(selected, selected, selected * 0.5, {"g": groups}, FairnessRule())

    assert {row.n_unknown for row in found.rows} == {10}
    assert sum(row.n for row in found.rows) == 190


def test_pairs_of_attributes_are_audited_too_and_do_not_enter_the_gates() -> None:
    selected, groups = people({"a": (200, 0.5), "b": (200, 0.5)})
    other = np.array(["x", "y"] * 200, dtype=object)

    found = audit(selected, selected, selected * 0.5, {"g": groups, "h": other}, FairnessRule())

    assert {row.group for row in found.rows if row.attribute == "g × h"} == {
        "a × x",
        "a × y",
        "b × x",
        "b × y",
    }
    assert set(found.least_impact_ratios()) == {"g", "h"}


def test_rates_by_outcome_are_those_of_the_group() -> None:
    y_true = np.array([True, True, False, False] * 20)
    selected = np.array([True, False, True, False] * 20)
    y_prob = np.full(80, 0.7)
    groups = np.array(["a", "b"], dtype=object).repeat(40)

    row = audit(selected, y_true, y_prob, {"g": groups}, FairnessRule()).rows[0]

    assert (row.tpr, row.fpr, row.precision) == (0.5, 0.5, 0.5)
    assert row.calibration_gap == pytest.approx(0.2)


def test_equalised_odds_is_the_largest_gap_of_both_rates() -> None:
    y_true = np.array([True] * 40 + [False] * 40 + [True] * 40 + [False] * 40)
    selected = np.concatenate([np.arange(40) < n for n in (40, 10, 20, 10)])
    groups = np.array(["a", "b"], dtype=object).repeat(80)

    found = audit(selected, y_true, selected * 1.0, {"g": groups}, FairnessRule())

    assert found.equalised_odds_gaps() == {"g": pytest.approx(0.5)}


def test_the_interval_holds_the_ratio_and_shrinks_with_more_people() -> None:
    widths = []
    for n in (100, 10_000):
        selected, groups = people({"a": (n, 0.5), "b": (n, 0.4)})
        row = audit(selected, selected, selected * 1.0, {"g": groups}, FairnessRule()).rows[1]
        assert row.impact_ratio_low is not None
        assert row.impact_ratio_high is not None
        assert row.impact_ratio_low < 0.8 < row.impact_ratio_high
        widths.append(row.impact_ratio_high - row.impact_ratio_low)

    assert widths[1] < widths[0] / 5


def test_the_frontier_has_all_columns_each_alone_left_out_and_all_left_out() -> None:
    variants = dict(frontier_variants(("age", "gender"), ("tenure",)))

    assert variants["all columns"] == ()
    assert variants["without age"] == ("age",)
    assert variants["without protected"] == ("age", "gender")
    assert variants["without protected and proxies"] == ("age", "gender", "tenure")
    assert [v.name for v in frontier_variants((), ())] == ["all columns"]
