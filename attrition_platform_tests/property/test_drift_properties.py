"""What is true of every summary and of every drift decision."""

from __future__ import annotations

import json

import polars as pl
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from attrition_platform.contracts.model import Column, Contract
from attrition_platform.modeling.watch_rules import DriftRule
from attrition_platform.monitoring.drift import judge_drift
from attrition_platform.monitoring.summary import ColumnCounts, FrameSummary, merge, summarise

RULE = DriftRule(min_rows=10)
CONTRACT = Contract(
    name="small",
    columns={
        "employee_id": Column(source="Id", kind="id"),
        "pay": Column(source="Pay", kind="continuous"),
        "trips": Column(source="Trips", kind="count"),
        "degree": Column(source="Degree", kind="nominal", values=("Bachelor’s", "PhD")),
        "hired": Column(source="Hired", kind="date"),
        "left": Column(source="Left", kind="label", values=("Stayed", "Left"), positive="Left"),
    },
)
FEATURES = ["pay", "trips", "degree", "hired"]

counts = st.lists(st.integers(0, 3_000), min_size=1, max_size=6)
odd_cells = st.sampled_from(
    ["Bachelor's", "PhD", "", "NA", "1", "1.0", "-0", "0", "nan", "2020-01-02", "=A1"]
)
cells = st.none() | odd_cells | st.text(max_size=4)
rows = st.lists(st.tuples(cells, cells, cells, cells), max_size=25)


def summary_of(table: list[tuple[str | None, ...]]) -> FrameSummary:
    schema = {name: pl.String() for name in FEATURES}
    return summarise(pl.DataFrame(table, schema=schema, orient="row"), CONTRACT, FEATURES)


@st.composite
def columns(draw: st.DrawFn, kind: str | None = None) -> ColumnCounts:
    kind = kind or draw(st.sampled_from(["number", "category"]))
    per_value = {i: n for i, n in enumerate(draw(counts)) if n}
    missing, unreadable = draw(st.sampled_from([0, 3, 700])), draw(st.sampled_from([0, 0, 60]))
    if kind == "category":
        values = tuple("abcdef"[i] for i in per_value)
        return ColumnCounts("category", values, tuple(per_value.values()), missing, unreadable)
    scale = draw(st.sampled_from([1e-9, 1.0, 1e14]))
    numbers = tuple(i * scale for i in per_value)
    return ColumnCounts("number", numbers, tuple(per_value.values()), missing, unreadable)


def frame(column: ColumnCounts, name: str = "x") -> FrameSummary:
    return FrameSummary(column.n_rows, {name: column})


def times(column: ColumnCounts, factor: int) -> ColumnCounts:
    more = tuple(factor * n for n in column.counts)
    return ColumnCounts(
        column.kind, column.values, more, factor * column.n_missing, factor * column.n_unreadable
    )


pairs = st.sampled_from(["number", "category"]).flatmap(lambda kind: st.tuples(columns(kind), columns(kind)))


@settings(max_examples=25, deadline=None)
@given(rows, st.integers(0, 25))
def test_summaries_of_parts_add_up_to_the_summary_of_the_whole(
    table: list[tuple[str | None, ...]], n: int
) -> None:
    whole, parts = summary_of(table), [summary_of(table[:n]), summary_of(table[n:])]

    assert merge(parts) == merge(parts[::-1]) == whole
    assert merge([whole]) == whole


@settings(max_examples=25, deadline=None)
@given(rows, st.randoms(use_true_random=False))
def test_a_summary_counts_every_cell_once_in_any_order_and_survives_storage(
    table: list[tuple[str | None, ...]], random: object
) -> None:
    summary = summary_of(table)
    shuffled = sorted(table, key=lambda _: random.random())  # type: ignore[attr-defined]

    assert all(column.n_rows == len(table) for column in summary.columns.values())
    assert summary_of(shuffled).to_json() == summary.to_json()
    assert FrameSummary.from_json(summary.to_json()) == summary


@settings(max_examples=60, deadline=None)
@given(columns(), st.integers(1, 3))
def test_a_window_that_is_the_reference_never_drifts(column: ColumnCounts, factor: int) -> None:
    verdict = judge_drift(frame(times(column, factor)), frame(column), RULE)

    assert not verdict.drifted
    assert verdict.score is None or verdict.score < 1e-6


@settings(max_examples=80, deadline=None)
@given(pairs)
def test_every_pair_gets_a_verdict_that_says_why(pair: tuple[ColumnCounts, ColumnCounts]) -> None:
    verdict = judge_drift(frame(pair[0]), frame(pair[1]), RULE)
    column = verdict.by_column["x"]

    json.dumps(verdict.as_json(), allow_nan=False)
    assert column.text
    assert (column.outcome == "drifted") == bool(column.findings) == verdict.drifted
    assert (column.score is None) == (column.reason is not None)
    assert column.outcome != "stable" or column.reason is None
    assert all(0 < answer.p_value <= 1 for answer in column.answers)


@settings(max_examples=60, deadline=None)
@given(pairs, st.integers(2, 50))
def test_more_rows_of_the_same_shares_never_turn_drift_into_stability(
    pair: tuple[ColumnCounts, ColumnCounts], factor: int
) -> None:
    """At once in the reference and the window; a difference that was found stays found."""
    few = judge_drift(frame(pair[0]), frame(pair[1]), RULE)
    many = judge_drift(frame(times(pair[0], factor)), frame(times(pair[1], factor)), RULE)

    assert set(few.by_column["x"].findings) <= set(many.by_column["x"].findings)


@settings(max_examples=60, deadline=None)
@given(pairs, st.sampled_from([2.0**-20, 8.0, 2.0**20]))
def test_the_unit_of_a_number_changes_neither_its_score_nor_its_verdict(
    pair: tuple[ColumnCounts, ColumnCounts], unit: float
) -> None:
    assume(pair[0].kind == "number")

    def scaled(column: ColumnCounts) -> FrameSummary:
        values = tuple(unit * float(value) for value in column.values)
        return frame(ColumnCounts("number", values, column.counts, column.n_missing, column.n_unreadable))

    plain = judge_drift(frame(pair[0]), frame(pair[1]), RULE).by_column["x"]
    other = judge_drift(scaled(pair[0]), scaled(pair[1]), RULE).by_column["x"]

    assert plain.p_value == other.p_value
    # Below a standard deviation of 0.001 Evidently, and so we, divide by 0.001.
    if min(max(c.values, default=0) for c in pair) > 1e10:
        assert plain.score == other.score
        assert plain.outcome == other.outcome


@settings(max_examples=40, deadline=None)
@given(st.lists(pairs, min_size=2, max_size=5), st.randoms(use_true_random=False))
def test_the_order_and_the_names_of_columns_change_no_verdict(
    some: list[tuple[ColumnCounts, ColumnCounts]], random: object
) -> None:
    def judged(names: list[str]) -> list[object]:
        sides = [
            FrameSummary(9_999, {name: pair[side] for name, pair in zip(names, some, strict=True)})
            for side in (0, 1)
        ]
        verdict = judge_drift(sides[0], sides[1], RULE)
        return [(verdict.by_column[name].answers, verdict.by_column[name].outcome) for name in names]

    names = [f"c{i}" for i in range(len(some))]
    other = sorted(names, key=lambda _: random.random())  # type: ignore[attr-defined]

    assert judged(names) == judged(other)


@settings(max_examples=40, deadline=None)
@given(pairs)
def test_a_column_beside_it_that_drifts_never_hides_drift(pair: tuple[ColumnCounts, ColumnCounts]) -> None:
    """The step-up asks less of a column, not more, when those beside it drift too."""
    few, many = (ColumnCounts("category", ("a", "b"), n) for n in ((100, 900), (900, 100)))

    def judged(beside: ColumnCounts) -> tuple[str, ...]:
        reference = FrameSummary(1_000, {"x": pair[0], "y": few})
        return judge_drift(reference, FrameSummary(1_000, {"x": pair[1], "y": beside}), RULE).columns

    assert set(judged(few)) <= set(judged(many))
