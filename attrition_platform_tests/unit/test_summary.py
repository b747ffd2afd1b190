"""A summary holds the exact counts of typed rows and of text cells alike, whatever a cell is."""

from __future__ import annotations

import datetime as dt
import time

import numpy as np
import polars as pl
import pytest

from attrition_platform.contracts.model import Column, Contract, Source
from attrition_platform.contracts.toml_file import shipped_contract
from attrition_platform.monitoring.summary import (
    ColumnCounts,
    FrameSummary,
    SummaryError,
    count_numbers,
    merge,
    summarise,
)

REFERENCE = shipped_contract()
CONTRACT = Contract(
    name="small",
    columns={
        "employee_id": Column(source="Id", kind="id"),
        "pay": Column(source="Pay", kind="continuous", min=0, max=9_000),
        "trips": Column(source="Trips", kind="count", max=50),
        "degree": Column(source="Degree", kind="nominal", values=("Bachelor’s", "NA", "PhD")),
        "remote": Column(source="Remote", kind="binary", values=("No", "Yes")),
        "hired": Column(source="Hired", kind="date"),
        "left": Column(source="Left", kind="label", values=("Stayed", "Left"), positive="Left"),
    },
)


def counts(name: str, *cells: object, dtype: pl.DataType | None = None) -> ColumnCounts:
    frame = pl.DataFrame({name: pl.Series(name, list(cells), dtype=dtype, strict=False)})
    return summarise(frame, CONTRACT, [name]).columns[name]


def test_spellings_that_mean_the_same_are_one_category() -> None:
    found = counts("degree", "Bachelor's", " Bachelor’s ", "PhD", "PhD")

    assert (found.values, found.counts) == (("Bachelor’s", "PhD"), (2, 2))


def test_an_unseen_category_is_counted_as_it_came() -> None:
    assert counts("degree", "Diploma", "PhD", "Diploma ").values == ("Diploma", "PhD")
    assert counts("degree", "Diploma", "PhD", "Diploma ").counts == (2, 1)


def test_a_word_for_no_value_is_missing_unless_the_column_declares_it() -> None:
    assert counts("remote", "NA", "", None, "  ", "yes", "No").n_missing == 4
    assert counts("degree", "NA", "").counts == (1,)


def test_a_number_outside_the_contracts_range_is_still_a_number() -> None:
    """Years sent as months are far outside, and just that must be seen."""
    assert counts("trips", "600", "3").values == (3.0, 600.0)


def test_what_is_no_number_is_unreadable_and_not_missing() -> None:
    found = counts("pay", "1e400", "nan", "-inf", "1,000", "=A1", "12 May", "", "5", " 5.0")

    assert (found.values, found.counts) == ((5.0,), (2,))
    assert (found.n_missing, found.n_unreadable) == (1, 6)


def test_typed_numbers_count_like_their_text() -> None:
    typed = counts("pay", 1.5, float("nan"), float("inf"), None, -0.0, 0.0)

    assert (typed.values, typed.counts) == ((0.0, 1.5), (2, 1))
    assert (typed.n_missing, typed.n_unreadable) == (1, 2)


def test_minus_zero_is_zero_in_stored_bytes_too() -> None:
    minus, plain = (FrameSummary(1, {"pay": counts("pay", zero)}) for zero in ("-0", "0"))

    assert minus.to_json() == plain.to_json()


def test_numbers_are_read_with_the_separators_that_the_contract_declares() -> None:
    contract = CONTRACT.model_copy(update={"source": Source(decimal=",", thousands=".")})

    found = summarise(pl.DataFrame({"pay": ["1.234,5", "12.34"]}), contract, ["pay"]).columns["pay"]

    assert (found.values, found.n_unreadable) == ((1234.5,), 1)


def test_dates_are_days_typed_or_as_text() -> None:
    typed = counts("hired", dt.date(1970, 1, 2), None)
    text = counts("hired", "1970-01-02", "", "1970-13-02", "yesterday")

    assert typed.values == text.values == (1.0,)
    assert (typed.n_missing, text.n_missing, text.n_unreadable) == (1, 1, 2)


def test_truth_values_are_the_words_of_the_contract() -> None:
    assert counts("left", True, False, True).values == ("Left", "Stayed")
    assert counts("left", True, False, True).counts == (2, 1)
    assert counts("remote", True, False, None).values == ("No", "Yes")
    label = Column(source="Left", kind="label", values=("Left", "Stayed"), positive="Left")
    other = CONTRACT.model_copy(update={"columns": CONTRACT.columns | {"left": label}})
    assert summarise(pl.DataFrame({"left": [True]}), other, ["left"]).columns["left"].values == ("Left",)


@pytest.mark.parametrize("name", ["pay", "trips", "degree", "remote", "hired", "left"])
@pytest.mark.parametrize(
    "cells",
    [
        pl.Series([None, None]),
        pl.Series([[1], None]),
        pl.Series([{"a": 1}, None]),
        pl.Series([b"\xff", None]),
        pl.Series([dt.timedelta(1), None]),
        pl.Series([dt.time(1), None]),
        pl.Series([dt.datetime(2020, 1, 1), None]),  # noqa: DTZ001
        pl.Series([True, None]),
        pl.Series(["\x00=cmd|' /C calc'!A0", None]),
        pl.Series([object(), None], dtype=pl.Object),
        pl.Series([7, None], dtype=pl.UInt8),
        pl.Series(["3.5", None]).cast(pl.Decimal(10, 2)),
        pl.Series(["PhD", None], dtype=pl.Categorical),
        pl.Series([], dtype=pl.String),
        pl.Series([], dtype=pl.Null),
    ],
    ids=lambda cells: f"{cells.dtype}-{cells.len()}",
)
def test_no_cell_of_any_type_raises_and_every_cell_is_counted(name: str, cells: pl.Series) -> None:
    column = summarise(pl.DataFrame({name: cells}), CONTRACT, [name]).columns[name]

    assert column.n_rows == cells.len()
    assert column.n_missing == cells.null_count()


def test_a_column_that_the_frame_lacks_is_left_out_and_one_that_the_contract_lacks_is_refused() -> None:
    assert summarise(pl.DataFrame({"pay": ["1"]}), CONTRACT, ["pay", "trips"]).columns.keys() == {"pay"}
    with pytest.raises(SummaryError, match="'employee_id' is no feature"):
        summarise(pl.DataFrame({"employee_id": ["1"]}), CONTRACT, ["employee_id"])


def test_a_part_without_a_column_has_it_missing_in_every_row() -> None:
    with_pay = summarise(pl.DataFrame({"pay": ["1", "2"]}), CONTRACT, ["pay"])

    assert merge([with_pay, FrameSummary(3, {})]).columns["pay"].n_missing == 3
    assert merge([]) == FrameSummary(0, {})


def test_a_number_does_not_merge_with_a_category() -> None:
    number = FrameSummary(1, {"x": ColumnCounts("number", (1.0,), (1,))})
    category = FrameSummary(1, {"x": ColumnCounts("category", ("1",), (1,))})

    with pytest.raises(SummaryError, match="'x' is a number in one summary"):
        merge([number, category])


@pytest.mark.parametrize(
    ("values", "numbers"),
    [
        ((1.0, float("nan")), (1, 1)),
        ((1.0, float("inf")), (1, 1)),
        ((2.0, 1.0), (1, 1)),
        ((1.0, 1.0), (1, 1)),
        ((1.0,), (0,)),
        ((1.0,), ()),
    ],
)
def test_counts_that_contradict_themselves_are_refused(
    values: tuple[float, ...], numbers: tuple[int, ...]
) -> None:
    with pytest.raises(SummaryError, match="contradict themselves"):
        ColumnCounts("number", values, numbers)
    with pytest.raises(SummaryError, match="contradict themselves"):
        ColumnCounts("category", (1.0,), (1,))
    with pytest.raises(SummaryError, match="contradict themselves"):
        ColumnCounts("number", ("1",), (1,))


def test_stored_bytes_are_the_same_for_equal_summaries_and_damage_is_named() -> None:
    frame = pl.DataFrame({"pay": ["1.5", "", "x"], "degree": ["PhD", "PhD", "é\x01"]})
    one, two = (summarise(frame, CONTRACT, names) for names in (["pay", "degree"], ["degree", "pay"]))
    text = one.to_json()

    assert text == two.to_json()
    assert FrameSummary.from_json(text) == one
    changes = ((b'"PhD"', b"7"), (b'"format":1', b'"format":2'), (b"[2,1]", b"[2,-1]"), (b'"n_rows":3,', b""))
    for damaged in (b"", b"\xff", text[:-3], *(text.replace(old, new) for old, new in changes)):
        with pytest.raises(SummaryError):
            FrameSummary.from_json(damaged)


def test_counting_numbers_that_no_contract_knows() -> None:
    found = count_numbers(pl.Series([0.5, None, float("nan"), 0.5]))

    assert (found.values, found.counts, found.n_missing, found.n_unreadable) == ((0.5,), (2,), 1, 1)


def typed_rows(n_rows: int) -> pl.DataFrame:
    rng = np.random.default_rng(0)
    columns = {
        name: rng.integers(0, 20_000 if column.kind == "continuous" else 60, n_rows)
        if column.kind in ("count", "continuous")
        else rng.choice(np.array(column.values), n_rows)
        for name, column in REFERENCE.features.items()
    }
    return pl.DataFrame(columns)


@pytest.mark.parametrize("as_text", [False, True])
def test_five_thousand_rows_are_summarised_within_a_second(as_text: bool) -> None:
    rows = typed_rows(5_000)
    rows = rows.cast(pl.String) if as_text else rows
    before = time.process_time()

    summary = summarise(rows, REFERENCE, list(REFERENCE.features))

    assert time.process_time() - before < 1.0
    assert summary.n_rows == 5_000
