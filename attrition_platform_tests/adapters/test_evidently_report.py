"""Evidently's page shows no employee and loads nothing; its statistics are those that counts give."""

from __future__ import annotations

import datetime as dt
import json
import re
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest

from attrition_platform.adapters.evidently_report import (
    MAX_ROWS,
    OTHERS,
    _without_ends,
    evidently_statistics,
    write_report,
)
from attrition_platform.contracts.model import Column, Contract
from attrition_platform.monitoring.customary_statistics import customary_verdicts
from attrition_platform.monitoring.summary import ColumnKind, summarise

CONTRACT = Contract(
    name="small",
    columns={
        "employee_id": Column(source="Id", kind="id"),
        "age": Column(source="Age", kind="count", protected=True),
        "pay": Column(source="Pay", kind="continuous"),
        "trips": Column(source="Trips", kind="count", missing="allow"),
        "level": Column(source="Level", kind="count"),
        "site": Column(source="Site", kind="nominal", values=("North", "South")),
        "remote": Column(source="Remote", kind="binary", values=("No", "Yes")),
        "hired": Column(source="Hired", kind="date"),
        "left": Column(source="Left", kind="label", values=("Stayed", "Left"), positive="Left"),
    },
)
COLUMNS = ("pay", "trips", "level", "site", "remote", "hired")


def employees(n_rows: int, seed: int, **columns: Any) -> pl.DataFrame:
    rng = np.random.default_rng(seed)
    days = [dt.date(2020, 1, 1) + dt.timedelta(days=int(day)) for day in rng.integers(0, 900, n_rows)]
    rows = {
        "pseudonym": [f"ps{i:030x}" for i in range(n_rows)],
        "age": rng.integers(20, 60, n_rows),
        "pay": rng.normal(5_000, 900, n_rows).round(2),
        "trips": pl.Series(rng.integers(0, 30, n_rows)).replace(3, None),
        "level": rng.integers(1, 4, n_rows),
        "site": rng.choice(["North", "South"], n_rows),
        "remote": pl.Series(rng.choice(["No", "Yes"], n_rows, p=[0.8, 0.2]), dtype=pl.Enum(["No", "Yes"])),
        "hired": days,
        "probability": rng.random(n_rows).round(3),
    }
    return pl.DataFrame({name: columns.get(name, cells) for name, cells in rows.items()} | columns)


def page_of(
    tmp_path: Path, reference: pl.DataFrame, current: pl.DataFrame, *columns: str, **more: Any
) -> tuple[Any, str]:
    page = write_report(
        reference, current, columns or COLUMNS, tmp_path / "r.html", contract=CONTRACT, **more
    )
    return page, page.path.read_text()


@pytest.mark.slow
def test_a_page_shows_each_column_and_the_prediction(tmp_path: Path) -> None:
    page, text = page_of(tmp_path, employees(1_500, 1), employees(400, 2), prediction="probability")

    assert page.columns == (*COLUMNS, "probability")
    assert page.left_out == {}
    assert all(f'"{name}"' in text or name in text for name in page.columns)


@pytest.mark.slow
def test_a_page_holds_no_pseudonym_no_protected_column_and_no_row(tmp_path: Path) -> None:
    """Pay to the cent tells people apart: no number on the page may be one of theirs."""
    reference, current = employees(600, 1), employees(45, 2)
    pay = [sorted(side["pay"]) for side in (reference, current)]

    page, text = page_of(tmp_path, reference, current, "pseudonym", "age", "left", "pay", "nonsense")

    assert set(page.left_out) == {"pseudonym", "age", "left", "nonsense"}
    assert page.columns == ("pay",)
    assert "ps000000" not in text
    assert "protected" in page.left_out["age"]
    shown = {float(number) for number in re.findall(r"(?<![\d.])\d+\.\d+(?![\d.])", text)}
    # The ends of a histogram are a side's tenth smallest and tenth largest value: ten people reach each.
    ends = {side[place] for side in pay for place in (9, -10)}
    assert shown & {value for side in pay for value in side} <= ends


@pytest.mark.slow
def test_the_most_extreme_number_of_one_person_is_not_on_the_page(tmp_path: Path) -> None:
    """Neither of a column nor of the prediction; an extreme that ten people share is."""
    pay = np.append(np.full(299, 5_000.0), 87_654.0)
    hired = [dt.date(1931, 5, 6)] * 9 + [dt.date(2021, 1, 1 + i % 25) for i in range(291)]
    odd = {"pay": pay, "hired": hired, "trips": [7_777] * 10 + [3] * 290}
    current = employees(300, 2, **odd, probability=np.append(np.full(299, 0.25), 0.98765))

    page, text = page_of(tmp_path, employees(300, 1), current, prediction="probability")

    assert page.columns == (*COLUMNS, "probability")
    shown = {float(number) for number in re.findall(r"(?<![\w.])-?\d+(?:\.\d+)?(?![\w.])", text)}
    days = (dt.date(1931, 5, 6) - dt.date(1970, 1, 1)).days
    assert not shown & {87_654.0, 0.98765, days}
    assert 7_777 in shown


@pytest.mark.parametrize("n_rows", [10, 11, 19, 20, 21, 45])
def test_ten_rows_reach_each_end_of_a_side_or_all_are_drawn_in_its_middle(n_rows: int) -> None:
    sides = [pl.DataFrame({"x": np.arange(float(n))}) for n in (n_rows, 500)]

    drawn = _without_ends(sides, "x", 10)

    assert drawn is not None
    for side, rows in zip(sides, drawn, strict=True):
        for end in (rows["x"].min(), rows["x"].max()):
            assert (rows["x"] == end).sum() >= 10
        middle = side["x"].sort()[side.height // 2]
        assert side.height >= 20 or set(rows["x"]) == {middle}


@pytest.mark.slow
def test_a_column_in_which_only_a_few_differ_is_not_drawn(tmp_path: Path) -> None:
    sides = [employees(300, seed, level=[2] * 296 + [4] * 4) for seed in (1, 2)]

    page, _ = page_of(tmp_path, *sides, "level", "site")

    assert page.left_out == {"level": "all but a few rows have one and the same value"}


@pytest.mark.slow
def test_the_name_of_a_category_ends_no_script(tmp_path: Path) -> None:
    sites = ["North"] * 150 + ["</script><script>alert(1)</script>"] * 100 + ["<!-- <script>"] * 50

    _, text = page_of(tmp_path, employees(300, 1), employees(300, 2, site=sites), "site")

    assert "alert(1)" in text
    assert "</script><script>alert" not in text
    assert "<!-- <script>" not in text


@pytest.mark.slow
def test_a_rare_category_that_nobody_declared_is_not_named(tmp_path: Path) -> None:
    sites = ["North"] * 300 + ["Harbour"] * 40 + ["Jane Roe"] * 9 + ["South"] * 1
    page, text = page_of(tmp_path, employees(350, 1), employees(350, 2, site=sites), "site")

    assert page.columns == ("site",)
    assert "Harbour" in text
    assert "South" in text
    assert "Jane" not in text
    assert OTHERS in text


@pytest.mark.slow
def test_a_page_loads_nothing_from_the_network(tmp_path: Path) -> None:
    _, text = page_of(tmp_path, employees(200, 1), employees(200, 2), "pay")

    assert not re.search(r"<(script|img|iframe|link)[^>]*\b(src|href)\s*=\s*[\"']?(https?:)?//", text)
    assert not re.search(r"(@import|url\()\s*[\"']?(https?:)?//", text)
    head = text[: text.index("<script")]
    assert "Content-Security-Policy\" content=\"default-src 'none'" in head


@pytest.mark.slow
def test_what_evidently_raises_on_is_left_out_and_said(tmp_path: Path) -> None:
    """Empty (#1480), constant (#1929), missing, and nearly empty columns."""
    nothing = pl.Series([None] * 300, dtype=pl.Int64)
    current = employees(
        300, 2, trips=nothing, level=[2] * 300, pay=[5.0] * 9 + [None] * 291, site=["North"] * 300
    ).drop("remote")

    page, text = page_of(tmp_path, employees(300, 1, level=[2] * 300), current, prediction="absent")

    assert page.left_out == {
        "trips": "it has too few values in the window",
        "level": "it has one and the same value everywhere",
        "pay": "it has too few values in the window",
        "remote": "it is missing in the window",
        "absent": "it is missing in the reference and the window",
    }
    assert page.columns == ("site", "hired")
    assert "Column level is left out: it has one and the same value everywhere." in text


def test_a_page_without_any_column_says_so(tmp_path: Path) -> None:
    page, text = page_of(tmp_path, employees(300, 1), employees(0, 2), "pay", "age<b>")

    assert page.columns == ()
    assert "No column can be compared." in text
    assert "age&lt;b&gt;" in text
    assert [path.name for path in tmp_path.iterdir()] == ["r.html"]


@pytest.mark.slow
@pytest.mark.parametrize("odd", [float("nan"), float("inf"), 1e300, -1e15])
def test_odd_numbers_make_no_page_fail(tmp_path: Path, odd: float) -> None:
    pay = np.append(np.full(299, 5.0), odd)

    page, _ = page_of(tmp_path, employees(300, 1), employees(300, 2, pay=pay), "pay")

    assert page.columns == ("pay",)


def test_a_column_of_nan_only_is_empty(tmp_path: Path) -> None:
    page, _ = page_of(tmp_path, employees(300, 1), employees(300, 2, pay=[float("nan")] * 300), "pay")

    assert page.left_out == {"pay": "it has too few values in the window"}


@pytest.mark.slow
def test_a_constant_side_and_text_cells_make_no_page_fail(tmp_path: Path) -> None:
    text_cells = employees(300, 2).with_columns(pl.all().cast(pl.String))

    page, _ = page_of(tmp_path, employees(300, 1, level=[2] * 300), text_cells)

    assert page.columns == COLUMNS


@pytest.mark.slow
def test_a_large_window_is_sampled_always_alike(tmp_path: Path) -> None:
    large = employees(MAX_ROWS + 1_000, 1)

    pages = [page_of(tmp_path, large, employees(200, 2), "site") for _ in range(2)]

    assert [page.n_reference for page, _ in pages] == [MAX_ROWS] * 2
    assert "51,000 rows; 50,000 of them" in pages[0][1]
    shown = [re.findall(r'"y": ?\[[^]]*\]', text) for _, text in pages]
    assert shown[0]
    assert shown[0] == shown[1]


@pytest.mark.slow
@pytest.mark.parametrize(("n_reference", "n_current"), [(900, 300), (900, 12_000), (3_000, 700)])
def test_counts_give_evidentlys_own_statistics(n_reference: int, n_current: int) -> None:
    """The same method, statistic and verdict for each column."""
    kinds: dict[str, ColumnKind] = dict.fromkeys(("pay", "trips", "level", "hired"), "number")
    kinds |= dict.fromkeys(("site", "remote"), "category")
    shifted = np.random.default_rng(5).normal(5_090, 900, n_current)
    site = np.random.default_rng(6).choice(["North", "South", "West"], n_current, p=[0.5, 0.45, 0.05])
    reference, current = employees(n_reference, 3), employees(n_current, 4, pay=shifted, site=site)

    theirs = evidently_statistics(reference, current, kinds)
    ours = customary_verdicts(*(summarise(f, CONTRACT, list(kinds)) for f in (reference, current)))

    assert theirs.keys() == ours.keys() == kinds.keys()
    for name, found in ours.items():
        assert found.method == theirs[name].method
        assert found.statistic == pytest.approx(theirs[name].statistic, rel=1e-6, abs=1e-9)
        assert found.drifted == theirs[name].drifted
    assert json.dumps({name: list(found) for name, found in theirs.items()})
