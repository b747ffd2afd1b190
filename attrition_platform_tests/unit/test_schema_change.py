"""Each change of the data's shape has its own name, says what to do, and quotes no employee."""

from __future__ import annotations

import numpy as np
import polars as pl
import pytest
from numpy.typing import NDArray

from attrition_platform.contracts.model import Column, Contract
from attrition_platform.contracts.toml_file import shipped_contract
from attrition_platform.monitoring.schema_change import (
    ChangeKind,
    SchemaChange,
    find_schema_changes,
    unit_hint,
)
from attrition_platform.monitoring.summary import ColumnCounts, FrameSummary, summarise
from attrition_platform.monitoring.unit_change import find_unit_change

REFERENCE = shipped_contract()
CONTRACT = Contract(
    name="small",
    columns={
        "employee_id": Column(source="Id", kind="id"),
        "tenure": Column(source="Tenure", kind="count", min=0, max=80, unit="years"),
        "income": Column(source="Income", kind="continuous", unit="currency per month"),
        "distance": Column(source="Distance", kind="continuous", unit="miles"),
        "points": Column(source="Points", kind="continuous"),
        "hired": Column(source="Hired", kind="date"),
        "degree": Column(source="Degree", kind="nominal", values=("Bachelor’s", "Master", "PhD")),
        "left": Column(source="Left", kind="label", values=("Stayed", "Left"), positive="Left"),
    },
)
YEARS = np.minimum(np.arange(1, 52), 52 - np.arange(1, 52)) + 5  # humped, as years of service are
TENURE: dict[float, int] = {float(year): int(n) for year, n in zip(range(1, 52), YEARS, strict=True)}


def numbers(values: NDArray[np.float64], n_missing: int = 0, n_unreadable: int = 0) -> ColumnCounts:
    distinct, counts = np.unique(values, return_counts=True)
    kept = tuple(map(float, distinct))
    return ColumnCounts("number", kept, tuple(map(int, counts)), n_missing, n_unreadable)


def categories(n_missing: int = 0, **rows: int) -> ColumnCounts:
    return ColumnCounts(
        "category", tuple(sorted(rows)), tuple(rows[name] for name in sorted(rows)), n_missing
    )


def frame(**columns: ColumnCounts) -> FrameSummary:
    return FrameSummary(next(iter(columns.values())).n_rows, columns)


def changes(before: FrameSummary, now: FrameSummary, **more: object) -> list[SchemaChange]:
    return list(find_schema_changes(CONTRACT, before, now, **more))  # type: ignore[arg-type]


def tenures(n_rows: int, seed: int = 1) -> NDArray[np.float64]:
    shares = np.array(list(TENURE.values())) / sum(TENURE.values())
    return np.random.default_rng(seed).choice(np.array(list(TENURE)), n_rows, p=shares)


def incomes(n_rows: int, seed: int = 1) -> NDArray[np.float64]:
    return np.round(np.random.default_rng(seed).lognormal(8.8, 0.5, n_rows))


def distances(n_rows: int, seed: int = 1) -> NDArray[np.float64]:
    return np.random.default_rng(seed).integers(1, 100, n_rows).astype(np.float64)


DRAWS = {"tenure": tenures, "income": incomes, "distance": distances, "points": tenures}


@pytest.mark.parametrize(
    ("column", "factor", "says"),
    [
        ("tenure", 12.0, "months instead of years"),
        ("tenure", 365.25, "days instead of years"),
        ("tenure", 52.18, "weeks instead of years"),
        ("income", 12.0, "amounts per year instead of amounts per month"),
        ("income", 12 / 52, "amounts per week instead of amounts per month"),
        ("income", 100.0, "cents"),
        ("income", 0.001, "thousands instead of single units"),
        ("distance", 1.609344, "kilometres instead of miles"),
        ("points", 12.0, "such as months instead of years"),
        ("points", 1 / 12, "such as years instead of months"),
        ("points", 10.0, "decimal point has moved"),
    ],
)
def test_another_unit_is_found_and_named_at_500_rows(column: str, factor: float, says: str) -> None:
    draw = DRAWS[column]
    for seed in range(2, 22):
        before, now = frame(**{column: numbers(draw(1_000))}), draw(500, seed) * factor

        [change] = changes(before, frame(**{column: numbers(now)}))

        assert (change.kind, change.column, change.blocks_scoring) == ("unit-change", column, True)
        assert says in change.text
        assert change.numbers["factor"] == pytest.approx(factor, rel=2e-3)


@pytest.mark.parametrize("rounding", [np.rint, np.floor])
def test_rounding_to_whole_numbers_does_not_hide_another_unit(rounding: np.ufunc) -> None:
    """Months rounded to years keep a tenth of the digits, kilometres most."""
    months = numbers(tenures(5_000) * 2)
    column = Column(source="Service", kind="count", unit="months")
    years = numbers(rounding(tenures(500, 2) * 2 / 12))
    km = numbers(rounding(distances(500, 2) * 1.609344))

    found = find_unit_change("service", column, months, years)
    assert found is not None
    assert found.looks_like == "years instead of months"
    assert [c.kind for c in changes(frame(distance=numbers(distances(5_000))), frame(distance=km))] == [
        "unit-change"
    ]


def test_numbers_that_were_cut_off_show_their_unit_too() -> None:
    column = Column(source="Service", kind="count", unit="months")
    months = np.random.default_rng(5).integers(0, 40, 5_000).astype(np.float64)

    found = find_unit_change("service", column, numbers(months), numbers(np.floor(months[:500] / 12)))

    assert found is not None
    assert found.distance_after < 0.1


@pytest.mark.parametrize("column", DRAWS)
@pytest.mark.parametrize("growth", [0.92, 1.08, 1.25, 2.0, 3.0])
def test_growth_is_no_other_unit(column: str, growth: float) -> None:
    before, now = (DRAWS[column](n, seed) for n, seed in ((1_000, 1), (2_000, 2)))

    assert changes(frame(**{column: numbers(before)}), frame(**{column: numbers(now * growth)})) == []


def test_a_factor_near_one_must_fit_exactly_and_fit_the_unit() -> None:
    """All distances half as long again may be a move of the company; so may 1.6 times the points."""
    before = frame(distance=numbers(distances(5_000)), points=numbers(tenures(5_000)))
    for seed in range(2, 42):
        for factor, n_rows in ((1.5, 500), (1.75, 500), (1.5, 100)):
            now = frame(
                distance=numbers(distances(n_rows, seed) * factor),
                points=numbers(tenures(n_rows, seed) * 1.609344),
            )
            assert changes(before, now) == []


def test_a_factor_near_one_that_fits_is_missed_once_in_hundreds() -> None:
    column = CONTRACT.columns["distance"]
    found = [
        find_unit_change(
            "distance",
            column,
            numbers(distances(1_000, 1_000 + seed)),
            numbers(np.rint(distances((500, 2_000)[seed % 2], seed) * 1.609344)),
        )
        for seed in range(2, 252)
    ]

    assert found.count(None) <= 1


def test_a_factor_near_one_may_leave_next_to_nothing_in_a_large_window() -> None:
    """One decimal is a difference that a test finds in a hundred thousand rows."""
    km = numbers((distances(100_000, 2) * 1.609344).round(1))

    found = find_unit_change("distance", CONTRACT.columns["distance"], numbers(distances(100_000)), km)

    assert found is not None
    assert found.p_value_after < 1e-3


def test_a_few_huge_numbers_do_not_make_another_unit() -> None:
    """They make every distance small beside the standard deviation."""
    column = Column(source="Points", kind="continuous")
    rng = np.random.default_rng(4)
    for _ in range(100):
        before, now, grown = (np.exp(rng.normal(0, 3, n)) for n in (1_000, 100, 2_000))
        assert find_unit_change("points", column, numbers(before), numbers(now)) is None
        assert find_unit_change("points", column, numbers(before), numbers(grown * 2)) is None


def test_a_rise_beside_one_huge_number_is_no_other_unit() -> None:
    far = np.append(distances(5_000), 1e6)

    assert changes(frame(distance=numbers(far)), frame(distance=numbers(far * 1.3))) == []


def test_a_yes_or_no_in_numbers_has_no_unit() -> None:
    before, now = numbers(np.repeat([0.0, 1.0], 500)), numbers(np.repeat([0.0, 12.0], 300))

    assert changes(frame(points=before), frame(points=now)) == []


def test_a_window_without_a_change_never_has_another_unit() -> None:
    """A thousand windows of a hundred and more rows, drawn by counts."""
    rng = np.random.default_rng(7)
    values, counts = np.array(list(TENURE)), np.array(list(TENURE.values()))
    column = Column(source="Points", kind="continuous")
    for i in range(1_000):
        before, now = (rng.multinomial(n, counts / counts.sum()) for n in (1_000, (100, 300, 2_000)[i % 3]))
        sides = [
            ColumnCounts("number", tuple(values[c > 0].tolist()), tuple(c[c > 0].tolist()))
            for c in (before, now)
        ]
        assert find_unit_change("points", column, *sides) is None


@pytest.mark.parametrize(
    "now",
    [
        np.full(500, 3.0),
        np.zeros(500),
        np.repeat([1.0, 2.0], 250),
        np.full(500, 1e15) + np.arange(500),
        np.repeat([-5.0, 0.0, 5.0, 9.0], 125),
        tenures(30) * 12,
    ],
)
def test_odd_columns_have_no_unit(now: NDArray[np.float64]) -> None:
    assert changes(frame(tenure=numbers(tenures(1_000))), frame(tenure=numbers(now))) == []


def test_a_date_has_no_unit() -> None:
    days = numbers(np.arange(15_000.0, 16_000.0))
    months = numbers(np.arange(15_000.0, 16_000.0) / 30.4375)

    assert changes(frame(hired=days), frame(hired=months)) == []


def test_a_refused_file_with_years_as_months_is_explained() -> None:
    """Its cells are read as they came, far outside the contract's range."""
    cells = [f"{value * 12:.0f}" for value in tenures(2_000, 3)]
    raw = pl.DataFrame({"tenure": cells})
    before = frame(tenure=numbers(tenures(5_000)), points=numbers(tenures(5_000)))

    [hint] = unit_hint(CONTRACT, before, summarise(raw, CONTRACT, ["tenure"]))

    assert hint.kind == "unit-change"
    assert hint.text.startswith("'tenure' looks like months instead of years")
    assert "The contract says 'years'" in hint.text
    assert unit_hint(CONTRACT, before, frame(tenure=numbers(tenures(500, 4)))) == ()


def test_a_column_that_is_gone_or_empty_blocks_scoring() -> None:
    before = frame(tenure=numbers(tenures(300)), degree=categories(PhD=100, Master=200))
    empty = frame(degree=categories(n_missing=80))

    gone, without = changes(before, empty)

    assert [gone.column, without.column] == ["tenure", "degree"]
    assert {c.kind for c in (gone, without)} == {"missing-column"}
    assert gone.blocks_scoring
    assert without.blocks_scoring
    assert "'Tenure' (tenure) is gone" in gone.text
    assert "not one cell" in without.text


def test_a_column_that_the_reference_lacks_is_not_missed() -> None:
    assert changes(frame(points=numbers(tenures(300))), frame(points=numbers(tenures(300, 2)))) == []
    assert changes(frame(points=numbers(tenures(300))), FrameSummary(0, {})) == []


def test_a_new_column_is_named_and_blocks_nothing() -> None:
    same = frame(points=numbers(tenures(300)))

    found = changes(same, same, extra=["Commute minutes", "=cmd()", "x" * 61, "bell\x07"])

    assert [c.column for c in found] == ["Commute minutes", "further columns"]
    assert not any(c.blocks_scoring for c in found)
    assert "'Commute minutes'" in found[0].text
    assert found[1].numbers == {"n_columns": 3}
    assert "cmd" not in found[1].text


def test_a_thousand_new_columns_make_a_short_list() -> None:
    same = frame(points=numbers(tenures(300)))

    found = changes(same, same, extra=[f"col {i}" for i in range(1_000)])

    assert len(found) == 11
    assert found[-1].numbers == {"n_columns": 990}


def test_a_new_category_is_named_only_where_enough_rows_carry_it() -> None:
    before = frame(degree=categories(Master=500, PhD=500))
    now = frame(degree=categories(Master=450, Diploma=40, Jane=9, PhD=1))

    [change] = changes(before, now, min_named_rows=10)

    assert change.kind == "new-category"
    assert change.names == ("Diploma",)
    assert "Jane" not in change.text
    assert "'Diploma' (40 rows) and 1 that can't be named" in change.text
    assert change.numbers == {"n_rows": 49, "share": 49 / 500, "n_categories": 2}
    assert not change.blocks_scoring
    assert "add it to the contract's values" in change.text


def test_a_typing_error_is_no_new_category() -> None:
    before = frame(degree=categories(Master=500, PhD=500))

    assert changes(before, frame(degree=categories(Master=450, Mstr=9))) == []


def test_a_category_that_the_contract_has_and_training_had_not_asks_for_training() -> None:
    now = ColumnCounts("category", ("Bachelor’s", "Master"), (60, 40))

    [change] = changes(frame(degree=categories(Master=500, PhD=500)), frame(degree=now))

    assert change.names == ("Bachelor’s",)
    assert "The contract allows it" in change.text


def test_other_spellings_of_known_categories_are_a_format_change() -> None:
    now = ColumnCounts("category", ("MASTER", "Master", "PhD", "ph-d"), (60, 40, 10, 5))

    [change] = changes(frame(degree=categories(Master=500, PhD=500)), frame(degree=now))

    assert change.kind == "format-change"
    assert change.numbers == {"n_rows": 65, "share": 65 / 115}


def test_straight_apostrophes_are_a_format_change_and_no_drift() -> None:
    cells = ["Bachelor's"] * 300 + ["PhD"] * 200
    before = summarise(pl.DataFrame({"degree": [c.replace("'", "’") for c in cells]}), CONTRACT, ["degree"])
    now = summarise(pl.DataFrame({"degree": cells}), CONTRACT, ["degree"])

    [change] = changes(before, now, n_normalised={"degree": 300})

    assert (change.kind, change.column, change.blocks_scoring) == ("format-change", "degree", False)
    assert change.numbers == {"n_rows": 300, "share": 0.6}
    assert changes(before, now, n_normalised={"degree": 4}) == []
    few = frame(degree=categories(PhD=60))
    assert changes(few, few, n_normalised={"degree": 9}) == []
    assert changes(before, now, n_normalised={"degree": 300}, usual_normalised={"degree": 0.595}) == []


def test_numbers_that_became_unreadable_are_a_format_change() -> None:
    """A decimal comma, say."""
    before = frame(income=numbers(incomes(1_000)))
    now = frame(income=numbers(incomes(460, 2), n_unreadable=40))

    [change] = changes(before, now)

    assert change.kind == "format-change"
    assert "decimal or thousands separator" in change.text
    assert change.numbers == {"n_rows": 40, "share": 0.08}


def test_what_blocks_comes_first_and_all_is_json() -> None:
    before = frame(tenure=numbers(tenures(1_000)), degree=categories(Master=500, PhD=500))
    now = frame(tenure=numbers(tenures(600, 2) * 12), degree=categories(Master=400, Diploma=200))

    found = changes(before, now, extra=["More"], n_normalised={"degree": 100})

    kinds: list[ChangeKind] = [c.kind for c in found]
    assert kinds == ["unit-change", "new-column", "new-category", "format-change"]
    assert found[2].as_json()["names"] == ["Diploma"]


def test_undrifted_rows_of_the_shipped_contract_have_no_change() -> None:
    rng = np.random.default_rng(3)
    columns = {
        name: numbers(rng.integers(0, 20, 5_000).astype(np.float64))
        if column.kind in ("count", "continuous")
        else ColumnCounts("category", tuple(sorted(column.values)), (900,) * len(column.values))
        for name, column in REFERENCE.features.items()
    }
    summary = FrameSummary(5_000, columns)

    assert find_schema_changes(REFERENCE, summary, summary) == ()
