"""What is true of every table, every cut into chunks and every id."""

import csv
import hashlib
import io
import itertools
import tempfile
from pathlib import Path

import polars as pl
from hypothesis import assume, example, given, settings
from hypothesis import strategies as st

from attrition_platform.adapters.extract_files import inspect_extract, read_extract
from attrition_platform.adapters.text_scan import TextScan
from attrition_platform.contracts.identity import pseudonyms, split_buckets
from attrition_platform.contracts.model import Contract
from attrition_platform.errors import RefusedFileError

CONTRACT = Contract.model_validate(
    {
        "name": "staff",
        "columns": {
            "staff_no": {"source": "No", "kind": "id"},
            "team": {"source": "Team", "kind": "nominal", "values": ["A"]},
            "left": {"source": "Left", "kind": "label", "values": ["No", "Yes"], "positive": "Yes"},
        },
    }
)
any_cell = st.text(st.characters(codec="utf-8", exclude_characters="\0"), max_size=12)
any_rows = st.lists(st.tuples(any_cell, any_cell, any_cell), min_size=1, max_size=8)


@settings(deadline=None, max_examples=50)
@given(
    rows=any_rows,
    delimiter=st.sampled_from(",;\t"),
    line_end=st.sampled_from(["\n", "\r\n"]),
    quoting=st.sampled_from([csv.QUOTE_MINIMAL, csv.QUOTE_ALL]),
)
def test_what_a_csv_writer_wrote_is_read_cell_by_cell(
    rows: list[tuple[str, str, str]], delimiter: str, line_end: str, quoting: int
) -> None:
    # Python's writer leaves a lone carriage return unquoted, and then it is a line end to us.
    assume(quoting == csv.QUOTE_ALL or not any("\r" in cell for row in rows for cell in row))
    buffer = io.StringIO()
    writer = csv.writer(buffer, delimiter=delimiter, lineterminator=line_end, quoting=quoting)  # type: ignore[arg-type]
    writer.writerow(["No", "Team", "Left"])
    writer.writerows(rows)
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "e.csv"
        path.write_bytes(buffer.getvalue().encode())
        try:
            frame = pl.concat(read_extract(path, CONTRACT))
        except RefusedFileError as error:
            assume(error.reason != "double-encoded")  # by chance, text may look as if encoded twice
            raise

    assert frame.select("staff_no", "team", "left").rows() == rows


pieces = st.sampled_from(['"', '""', ",", "\n", "\r\n", "\r", "a", "é", "xyz"])


def verdict(chunks: list[bytes]) -> tuple[str, int | None]:
    scan = TextScan("e.csv", ",")
    try:
        for chunk in chunks:
            scan.add(chunk)
        scan.end()
    except RefusedFileError as error:
        return error.reason, error.line
    return "fine", None


@settings(deadline=None, max_examples=50)
@example(text=["a", ",", '"', "a", '"', "a", "\n"], cuts=[5])
@example(text=["a", ",", '"', "a", '"', '"', "a", '"', "\n"], cuts=[5])
@example(text=["a", "\r\n", '"', "a"], cuts=[2])
@given(text=st.lists(pieces, min_size=1, max_size=30), cuts=st.lists(st.integers(0, 60), max_size=6))
def test_how_a_text_is_cut_into_chunks_changes_nothing(text: list[str], cuts: list[int]) -> None:
    whole = "".join(text).encode()
    edges = sorted({0, len(whole), *(cut for cut in cuts if cut < len(whole))})
    chunks = [whole[start:end] for start, end in itertools.pairwise(edges)]

    assert verdict(chunks) == verdict([whole])


@settings(deadline=None, max_examples=50)
@given(content=st.binary(max_size=300))
def test_any_bytes_are_read_or_refused_with_a_reason(content: bytes) -> None:
    with tempfile.TemporaryDirectory() as folder:
        for name in ("e.csv", "e.csv.gz", "e.parquet"):
            path = Path(folder) / name
            path.write_bytes(b"No,Team,Left\n" * (name == "e.csv") + content)
            try:
                facts = inspect_extract(path, CONTRACT)
                frame = pl.concat(read_extract(path, CONTRACT, facts=facts))
            except RefusedFileError:
                continue
            assert frame.height == facts.n_rows
            assert facts.sha256 == hashlib.sha256(path.read_bytes()).hexdigest()


@settings(deadline=None, max_examples=50)
@given(ids=st.lists(any_cell | st.none(), max_size=20), key=st.binary(min_size=16, max_size=80))
def test_one_employee_has_one_pseudonym_and_one_bucket(ids: list[str | None], key: bytes) -> None:
    names, buckets = pseudonyms(ids, key), split_buckets(ids, "seed")

    trimmed = [value.strip() if value else "" for value in ids]
    assert [name is None for name in names] == [text == "" for text in trimmed]
    assert len(set(zip(trimmed, names, buckets, strict=True))) == len(set(trimmed))
    assert len({name for name in names if name}) == len({text for text in trimmed if text})
    assert all(bucket is None or 0 <= bucket < 100 for bucket in buckets)
