"""Exports hold no formula, never overwrite by themselves, and are there as a whole or not at all."""

from __future__ import annotations

import csv
import gzip
import stat
from pathlib import Path

import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st

from attrition_platform.scoring.exports import SUFFIXES, ExportError, check_export, export_to, neutralised

FRAME = pl.DataFrame(
    {
        "text": ["=1+1", "plain", None],
        "number": [-1.5, 0.0, None],
        "count": [-3, 0, None],
        "yes": [True, False, None],
        "kind": pl.Series(["-low", "high", None], dtype=pl.Enum(["-low", "high"])),
    }
)


def names_in(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


@pytest.mark.parametrize("start", ["=", "+", "-", "@", "\t", "\r", "\n", "＝", "＋", "－", "＠"])
def test_a_text_that_begins_like_a_formula_gets_an_apostrophe(start: str) -> None:
    frame = pl.DataFrame({"a": [f"{start}cmd|' /C calc'!A0"], "b": ["safe"]})

    assert neutralised(frame).rows() == [(f"'{start}cmd|' /C calc'!A0", "safe")]


@given(st.lists(st.text() | st.none(), min_size=1))
def test_no_text_begins_like_a_formula_and_no_other_text_changes(texts: list[str | None]) -> None:
    told = neutralised(pl.DataFrame({"a": texts}, schema={"a": pl.String}))["a"].to_list()

    for before, after in zip(texts, told, strict=True):
        assert after == before or after == f"'{before}"
        assert not (after or "").startswith(tuple("=+-@\t\r\n＝＋－＠"))


def test_numbers_stay_numbers_and_categories_are_texts_too() -> None:
    told = neutralised(FRAME)

    assert told.columns == FRAME.columns
    assert told["number"].to_list() == [-1.5, 0.0, None]
    assert told["count"].to_list() == [-3, 0, None]
    assert told["yes"].to_list() == [True, False, None]
    assert told["kind"].to_list() == ["'-low", "high", None]


@pytest.mark.parametrize("suffix", SUFFIXES)
def test_chunks_arrive_in_order_under_one_header(tmp_path: Path, suffix: str) -> None:
    out = tmp_path / f"out{suffix}"

    with export_to(out) as write:
        write(FRAME)
        write(FRAME.head(1))

    told = pl.read_parquet(out) if suffix == ".parquet" else pl.read_csv(out)
    assert told["text"].to_list() == ["'=1+1", "plain", None, "'=1+1"]
    assert told["number"].to_list() == [-1.5, 0.0, None, -1.5]
    assert told["count"].dtype == pl.Int64
    assert names_in(tmp_path) == [out.name]
    assert stat.S_IMODE(out.stat().st_mode) == 0o600


def test_a_cell_with_a_delimiter_or_a_quote_can_not_start_a_cell_of_its_own(tmp_path: Path) -> None:
    out = tmp_path / "out.csv"
    nasty = ['a,=1+1,"', 'b"\n=1+1']

    with export_to(out) as write:
        write(pl.DataFrame({"a": nasty, "b": ["x", "y"]}))

    with out.open(newline="", encoding="utf-8") as file:
        assert list(csv.reader(file))[1:] == [[nasty[0], "x"], [nasty[1], "y"]]


def test_equal_content_gives_equal_packed_bytes(tmp_path: Path) -> None:
    for name in ("a.csv.gz", "b.csv.gz"):
        with export_to(tmp_path / name) as write:
            write(FRAME)

    assert (tmp_path / "a.csv.gz").read_bytes() == (tmp_path / "b.csv.gz").read_bytes()
    assert gzip.decompress((tmp_path / "a.csv.gz").read_bytes()).startswith(b"text,number")


def test_a_file_is_replaced_only_when_told_to(tmp_path: Path) -> None:
    out = tmp_path / "out.csv"
    out.write_text("mine")

    with pytest.raises(ExportError, match=r"exists already.*--force"), export_to(out) as write:
        write(FRAME)
    assert out.read_text() == "mine"
    with export_to(out, force=True) as write:
        write(FRAME)
    assert out.read_text().startswith("text,")


def test_a_file_that_came_into_being_meanwhile_is_not_overwritten(tmp_path: Path) -> None:
    out = tmp_path / "out.csv"

    def write_while_another_does() -> None:
        with export_to(out) as write:
            write(FRAME)
            out.write_text("somebody else's")

    with pytest.raises(ExportError, match="exists already"):
        write_while_another_does()
    assert out.read_text() == "somebody else's"
    assert names_in(tmp_path) == ["out.csv"]


@pytest.mark.parametrize("force", [False, True])
def test_a_failure_leaves_what_was_there(tmp_path: Path, force: bool) -> None:
    out = tmp_path / "out.parquet"
    if force:
        out.write_text("mine")

    def fail_half_way() -> None:
        with export_to(out, force=force) as write:
            write(FRAME)
            raise ValueError("half-way")

    with pytest.raises(ValueError, match="half-way"):
        fail_half_way()
    assert names_in(tmp_path) == (["out.parquet"] if force else [])
    assert not force or out.read_text() == "mine"


@pytest.mark.parametrize(
    ("name", "rule"),
    [("out.xlsx", "must end in"), ("out", "must end in"), ("no/out.csv", "folder does not exist")],
)
def test_a_name_that_can_not_be_written_is_refused_before_any_work(
    tmp_path: Path, name: str, rule: str
) -> None:
    with pytest.raises(ExportError, match=rule) as raised:
        check_export(tmp_path / name, force=True)
    assert raised.value.exit_code == 2


def test_a_folder_is_never_replaced(tmp_path: Path) -> None:
    (tmp_path / "out.csv").mkdir()

    with pytest.raises(ExportError, match="folder has that name"):
        check_export(tmp_path / "out.csv", force=True)
