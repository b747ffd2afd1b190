"""Every hostile file of the issue with the decision that was taken for it.

A row of `REFUSED` is refused whole, for that reason, at that line; a row of `ACCEPTED` gives that
many rows. What single rows are quarantined for is decided in `test_ingest_hostile_rows`.
"""

import gzip
import io
import traceback
from collections.abc import Callable
from pathlib import Path

import polars as pl
import pytest

from attrition_platform.adapters.extract_files import inspect_extract, read_extract, read_raw_text
from attrition_platform.contracts.model import Contract
from attrition_platform.errors import RefusedFileError

PLANTED = "Zanzibar-4711"
HEADER = "No,Pay,Team,Left\n"
ROW = f"{PLANTED},100,A’s,Yes\n"
GOOD = HEADER + ROW + "2,200,B,No\n"


def make_contract(**source: object) -> Contract:
    return Contract.model_validate(
        {
            "name": "staff",
            "source": source,
            "columns": {
                "staff_no": {"source": "No", "kind": "id"},
                "pay": {"source": "Pay", "kind": "continuous"},
                "team": {"source": "Team", "kind": "nominal", "values": ["A’s", "B"]},
                "note": {"source": "Note", "kind": "ignore"},
                "left": {"source": "Left", "kind": "label", "values": ["No", "Yes"], "positive": "Yes"},
            },
        }
    )


def parquet_bytes(frame: pl.DataFrame) -> bytes:
    buffer = io.BytesIO()
    frame.write_parquet(buffer)
    return buffer.getvalue()


def typed_frame(**columns: object) -> pl.DataFrame:
    return pl.DataFrame(
        {"No": [1, 2], "Pay": [1.5, 2.0], "Team": ["B", "B"], "Left": [True, False]} | columns
    )


def bomb() -> bytes:
    return gzip.compress(HEADER.encode() + b"1,1,B,No\n" * 20_000_000, compresslevel=9)


WIDE = ",".join(f"c{n}" for n in range(100_000)) + "\n"
TWICE = GOOD.encode().decode("cp1252")

REFUSED: dict[str, tuple[str, bytes | Callable[[], bytes], str, int | None]] = {
    "zero bytes": ("e.csv", b"", "empty", None),
    "white space only": ("e.csv", b" \n\n", "empty", None),
    "a byte-order mark only": ("e.csv", b"\xef\xbb\xbf", "empty", None),
    "header only": ("e.csv", HEADER.encode(), "no-rows", None),
    "header without line end": ("e.csv", HEADER.strip().encode(), "no-rows", None),
    "header and blank lines": ("e.csv", (HEADER + "\n\n").encode(), "no-rows", None),
    "UTF-16 with mark": ("e.csv", GOOD.encode("utf-16"), "encoding", None),
    "UTF-16 without mark": ("e.csv", GOOD.encode("utf-16-le"), "encoding", None),
    "UTF-32": ("e.csv", GOOD.encode("utf-32"), "encoding", None),
    "UTF-16 in gzip": ("e.csv.gz", gzip.compress(GOOD.encode("utf-16")), "encoding", None),
    "cp1252 curly quotes": ("e.csv", GOOD.encode("cp1252"), "encoding", 2),
    "text encoded twice": ("e.csv", TWICE.encode(), "double-encoded", None),
    "unbalanced quote": ("e.csv", (GOOD + '3,"300,B,No\n4,400,B,No\n').encode(), "quote", 4),
    "unbalanced quote, then quoted cells": ("e.csv", (GOOD + '3,"1,B,No\n4,"2",B,No\n').encode(), "quote", 4),
    "stray quote inside a cell": ("e.csv", (GOOD + '3,30"0,B,No\n').encode(), "quote", 4),
    "text after a closing quote": ("e.csv", (GOOD + '3,"300"x,B,No\n').encode(), "quote", 4),
    "too few cells": ("e.csv", (GOOD + "3,300,B\n" + ROW).encode(), "ragged-row", 4),
    "too many cells": ("e.csv", (GOOD + "3,300,B,No,9\n" + ROW).encode(), "ragged-row", 4),
    "unquoted thousands": ("e.csv", (GOOD + "3,3,000,B,No\n").encode(), "ragged-row", 4),
    "cut off in the last row": ("e.csv", (GOOD + "3,30").encode(), "ragged-row", 4),
    "duplicate header": ("e.csv", GOOD.replace("Pay,", "Pay,Pay,", 1).encode(), "duplicate-header", 1),
    "duplicate header of an unknown column": (
        "e.csv",
        b"No,Pay,Team,Left,x,x\n1,1,B,No,1,1\n",
        "duplicate-header",
        1,
    ),
    "missing column": ("e.csv", b"No,Team,Left\n1,B,No\n", "header", 1),
    "missing id": ("e.csv", b"Pay,Team,Left\n1,B,No\n", "header", 1),
    "no header at all": ("e.csv", (ROW + ROW).encode(), "header", 1),
    "re-cased header": ("e.csv", GOOD.replace("Pay", "PAY").encode(), "header", 1),
    "another delimiter": ("e.csv", GOOD.replace(",", "|").encode(), "header", 1),
    "comment before the header": ("e.csv", ("# exported today\n" + GOOD).encode(), "comment", 1),
    "empty line before the header": ("e.csv", ("\n" + GOOD).encode(), "header", 1),
    "comment between the rows": ("e.csv", (GOOD + "# half way\n" + ROW).encode(), "ragged-row", 4),
    "NUL bytes": ("e.csv", (GOOD + "3,3\0,B,No\n").encode(), "nul-byte", 4),
    "a sparse tail": ("e.csv", GOOD.encode() + b"\0" * 4096, "nul-byte", 4),
    "a 50 MB cell": (
        "e.csv",
        lambda: (GOOD + "3,3," + "x" * 50_000_000 + ",No\n").encode(),
        "row-too-long",
        4,
    ),
    "a 50 MB quoted cell with line ends": (
        "e.csv",
        lambda: (GOOD + '3,3,"' + "x\n" * 25_000_000 + '",No\n').encode(),
        "row-too-long",
        4,
    ),
    "a 50 MB header": ("e.csv", lambda: b"x" * 50_000_000, "row-too-long", 1),
    "100,000 columns": ("e.csv", (WIDE + WIDE).encode(), "too-many-columns", 1),
    "gzip bomb": ("e.csv.gz", bomb, "gzip-bomb", None),
    "truncated gzip": ("e.csv.gz", gzip.compress(GOOD.encode() * 50)[:-12], "truncated", None),
    "gzip with a wrong checksum": (
        "e.csv.gz",
        gzip.compress(GOOD.encode())[:-8] + b"\1\2\3\4" + gzip.compress(GOOD.encode())[-4:],
        "damaged",
        None,
    ),
    "gzip of nothing": ("e.csv.gz", gzip.compress(b""), "empty", None),
    "gzip named .csv": ("e.csv", gzip.compress(GOOD.encode()), "wrong-extension", None),
    "CSV named .parquet": ("e.parquet", GOOD.encode(), "wrong-extension", None),
    "CSV named .csv.gz": ("e.csv.gz", GOOD.encode(), "wrong-extension", None),
    "Parquet named .csv": ("e.csv", parquet_bytes(typed_frame()), "wrong-extension", None),
    "CSV named .txt": ("e.txt", GOOD.encode(), "wrong-extension", None),
    "Excel": ("e.xlsx", b"PK\x03\x04 and so on", "excel", None),
    "Excel named .csv": ("e.csv", b"PK\x03\x04 and so on", "excel", None),
    "old Excel": ("e.xls", b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1", "excel", None),
    "a web page named .csv": ("e.csv", b"<html><table><tr><td>1</td></tr></table>", "not-a-table", None),
    "JSON named .csv": ("e.csv", b'[{"No": 1}]', "not-a-table", None),
    "truncated Parquet": ("e.parquet", parquet_bytes(typed_frame())[:-20], "truncated", None),
    "Parquet without rows": ("e.parquet", parquet_bytes(typed_frame().head(0)), "no-rows", None),
    "Parquet without a column": ("e.parquet", parquet_bytes(typed_frame().drop("Pay")), "header", 1),
    "Parquet with lists": (
        "e.parquet",
        parquet_bytes(typed_frame(Team=[["A"], ["B"]])),
        "column-type",
        None,
    ),
    "Parquet with a 2 MB cell": (
        "e.parquet",
        lambda: parquet_bytes(typed_frame(Team=["B", "x" * 2_000_000])),
        "row-too-long",
        None,
    ),
}

ACCEPTED: dict[str, tuple[str, bytes, int]] = {
    "plain": ("e.csv", GOOD.encode(), 2),
    "upper-case extension": ("E.CSV", GOOD.encode(), 2),
    "byte-order mark": ("e.csv", b"\xef\xbb\xbf" + GOOD.encode(), 2),
    "byte-order mark in gzip": ("e.csv.gz", gzip.compress(b"\xef\xbb\xbf" + GOOD.encode()), 2),
    "two gzip members": ("e.csv.gz", gzip.compress(HEADER.encode()) + gzip.compress(ROW.encode()), 1),
    "semicolons": ("e.csv", GOOD.replace(",", ";").encode(), 2),
    "tabs": ("e.csv", GOOD.replace(",", "\t").encode(), 2),
    "quoted line end": ("e.csv", (GOOD + '3,3,"B\nB",No\n').encode(), 3),
    "everything quoted": ("e.csv", b'"No","Pay","Team","Left"\n"1","1,000","B""s","No"\n', 1),
    "quoted header with a line end": ("e.csv", b'No,Pay,Team,Left,"a\nb"\n1,1,B,No,9\n', 1),
    "mixed line ends": ("e.csv", (HEADER + "1,1,B,No\r\n2,2,B,No\r3,3,B,No\n").encode(), 3),
    "blank lines between rows": ("e.csv", (HEADER + "\n1,1,B,No\n\r\n\n2,2,B,No\n\n").encode(), 2),
    "no line end at the end": ("e.csv", GOOD.strip().encode(), 2),
    "one row": ("e.csv", (HEADER + ROW).encode(), 1),
    "one class only": ("e.csv", (HEADER + ROW + ROW).encode(), 2),
    "missing label column": ("e.csv", b"No,Pay,Team\n1,1,B\n", 1),
    "some labels missing": ("e.csv", (GOOD + "3,3,B,\n").encode(), 3),
    "extra column": ("e.csv", b"No,Pay,Team,Left,Shoe\n1,1,B,No,44\n", 1),
    "trailing delimiters": ("e.csv", b"No,Pay,Team,Left,,\n1,1,B,No,,\n", 1),
    "reordered columns": ("e.csv", b"Left,Team,Pay,No\nNo,B,1,1\n", 1),
    "padded header": ("e.csv", b" No , Pay,Team ,Left\n1,1,B,No\n", 1),
    "Parquet": ("e.parquet", parquet_bytes(typed_frame()), 2),
    "correct accents": ("e.csv", (HEADER + "1,1,Zoë’s «CAFÉ»,No\n2,2,Ã la carte,No\n").encode(), 2),
}


def drop(folder: Path, name: str, content: bytes | Callable[[], bytes]) -> Path:
    path = folder / name
    path.write_bytes(content() if callable(content) else content)
    return path


@pytest.mark.parametrize("case", REFUSED)
def test_it_is_refused_whole(case: str, tmp_path: Path) -> None:
    name, content, reason, line = REFUSED[case]

    with pytest.raises(RefusedFileError) as refusal:
        inspect_extract(drop(tmp_path, name, content), make_contract())

    assert (refusal.value.reason, refusal.value.line) == (reason, line)
    assert refusal.value.file == name


@pytest.mark.parametrize("case", REFUSED)
def test_no_value_of_the_file_is_in_the_error(case: str, tmp_path: Path) -> None:
    """Neither in the message nor in the errors that came before it, which Dagster stores as well."""
    name, content, _, _ = REFUSED[case]

    with pytest.raises(RefusedFileError) as refusal:
        list(read_extract(drop(tmp_path, name, content), make_contract()))

    assert refusal.value.__context__ is None or refusal.value.__suppress_context__
    assert PLANTED not in "".join(traceback.format_exception(refusal.value))


@pytest.mark.parametrize("case", ACCEPTED)
def test_it_is_read(case: str, tmp_path: Path) -> None:
    name, content, n_rows = ACCEPTED[case]
    path = drop(tmp_path, name, content)

    facts = inspect_extract(path, make_contract())
    frame = pl.concat(read_extract(path, make_contract(), facts=facts))

    assert facts.n_rows == frame.height == n_rows
    assert frame.columns == ["staff_no", "pay", "team", "left", "row_number"]
    assert frame["row_number"].to_list() == list(range(1, n_rows + 1))


def read(tmp_path: Path, name: str, content: bytes, **source: object) -> pl.DataFrame:
    return pl.concat(read_extract(drop(tmp_path, name, content), make_contract(**source)))


@pytest.mark.parametrize(
    "content",
    [
        GOOD.encode(),
        b"\xef\xbb\xbf" + GOOD.encode(),
        GOOD.replace(",", ";").encode(),
        GOOD.replace(",", "\t").replace("\n", "\r\n").encode(),
        ("Left,Shoe,Team,Pay,No\n" + f"Yes,1,A’s,100,{PLANTED}\nNo,1,B,200,2\n").encode(),
    ],
)
def test_the_same_people_are_read_however_the_file_is_written(content: bytes, tmp_path: Path) -> None:
    plain = read(tmp_path, "plain.csv", GOOD.encode())

    assert read(tmp_path, "e.csv", content).equals(plain)


@pytest.mark.parametrize(
    ("encoding", "declared"),
    [("cp1252", "cp1252"), ("utf-16", "utf-16"), ("utf-16-le", "utf-16-le"), ("utf-8", "UTF8")],
)
def test_a_declared_encoding_is_read(encoding: str, declared: str, tmp_path: Path) -> None:
    plain = read(tmp_path, "plain.csv", GOOD.encode())

    assert read(tmp_path, "e.csv", GOOD.encode(encoding), encoding=declared).equals(plain)
    zipped = gzip.compress(GOOD.encode(encoding))
    assert read(tmp_path, "e.csv.gz", zipped, encoding=declared).equals(plain)


def test_utf8_under_a_contract_that_declares_cp1252_is_refused(tmp_path: Path) -> None:
    with pytest.raises(RefusedFileError, match="encoded twice"):
        read(tmp_path, "e.csv", GOOD.encode(), encoding="cp1252")


def test_an_unknown_declared_encoding_is_named(tmp_path: Path) -> None:
    with pytest.raises(RefusedFileError, match="'klingon' is no known encoding"):
        read(tmp_path, "e.csv", GOOD.encode(), encoding="klingon")


def test_the_encoding_error_names_the_fix(tmp_path: Path) -> None:
    with pytest.raises(RefusedFileError, match=r'source\.encoding = "cp1252"'):
        read(tmp_path, "e.csv", GOOD.encode("cp1252"))
    with pytest.raises(RefusedFileError, match=r'source\.encoding = "utf-16"'):
        read(tmp_path, "e.csv", GOOD.encode("utf-16"))


def test_a_declared_delimiter_is_the_only_one_tried(tmp_path: Path) -> None:
    piped = GOOD.replace(",", "|").encode()

    assert read(tmp_path, "e.csv", piped, delimiter="|").height == 2
    with pytest.raises(RefusedFileError, match=r"delimiter '\|'"):
        read(tmp_path, "e.csv", GOOD.encode(), delimiter="|")


def test_a_missing_column_is_named_and_the_files_cells_are_not(tmp_path: Path) -> None:
    with pytest.raises(RefusedFileError, match="'No', 'Pay', 'Team'") as refusal:
        read(tmp_path, "e.csv", (ROW + ROW).encode())

    assert PLANTED not in str(refusal.value)


def test_a_column_in_another_spelling_is_pointed_out(tmp_path: Path) -> None:
    with pytest.raises(RefusedFileError, match="'Pay' is there in another spelling"):
        read(tmp_path, "e.csv", GOOD.replace("Pay", "PAY").encode())


def test_extra_columns_are_reported_or_refused_as_the_contract_says(tmp_path: Path) -> None:
    path = drop(tmp_path, "e.csv", b"No,Pay,Team,Left,Shoe,Note\n1,1,B,No,44,x\n")

    assert inspect_extract(path, make_contract()).extra == ("Shoe",)
    with pytest.raises(RefusedFileError, match="allows no further columns, and there are 1"):
        inspect_extract(path, make_contract(allow_extra_columns=False))


def test_without_a_label_column_every_row_is_unlabelled(tmp_path: Path) -> None:
    path = drop(tmp_path, "e.csv", b"No,Pay,Team\n1,1,B\n")

    assert not inspect_extract(path, make_contract()).has_label
    assert pl.concat(read_extract(path, make_contract()))["left"].to_list() == [None]


def test_typed_values_become_the_text_a_csv_would_have(tmp_path: Path) -> None:
    from datetime import date, datetime
    from decimal import Decimal

    def text(values: list[object], **source: object) -> list[object]:
        frame = typed_frame(Pay=values)
        return read(tmp_path, "e.parquet", parquet_bytes(frame), **source)["pay"].to_list()

    assert text([3.0, 3.25]) == ["3", "3.25"]
    assert text([3.0, 3.25], decimal=",") == ["3", "3,25"]
    assert text([None, float("nan")]) == [None, "NaN"]
    assert text([1e308, float("-inf")]) == ["1e+308", "-inf"]
    assert text([True, None]) == ["True", None]
    assert text([date(2024, 2, 29), None]) == ["2024-02-29", None]
    midnight = datetime(2024, 2, 29, tzinfo=None)  # noqa: DTZ001 - an extract's dates have no zone
    assert text([midnight, midnight.replace(hour=13)]) == ["2024-02-29", "2024-02-29 13:00:00.000000"]
    assert text([Decimal("10.50"), Decimal("7.00")]) == ["10.50", "7.00"]
    assert text([2**62, -1]) == [str(2**62), "-1"]


def test_category_columns_of_parquet_are_read_as_their_words(tmp_path: Path) -> None:
    frame = typed_frame().with_columns(pl.col("Team").cast(pl.Categorical))

    assert read(tmp_path, "e.parquet", parquet_bytes(frame))["team"].to_list() == ["B", "B"]


def test_chunks_number_the_rows_through(tmp_path: Path) -> None:
    content = (HEADER + "".join(f"{n},1,B,No\n" for n in range(200_000))).encode()
    path = drop(tmp_path, "e.csv.gz", gzip.compress(content, compresslevel=1))

    chunks = list(read_extract(path, make_contract(), chunk_rows=1000))
    frame = pl.concat(chunks)

    assert len(chunks) > 1
    assert (frame["row_number"] - 1).cast(pl.String).equals(frame["staff_no"])


def test_the_same_bytes_have_the_same_sha256_and_size_as_on_disk(tmp_path: Path) -> None:
    import hashlib

    for name, content in [("e.csv", GOOD.encode()), ("e.csv.gz", gzip.compress(GOOD.encode()) + b"\0" * 9)]:
        facts = inspect_extract(drop(tmp_path, name, content), make_contract())
        assert (facts.sha256, facts.n_bytes) == (hashlib.sha256(content).hexdigest(), len(content))


@pytest.mark.parametrize("kind", ["symlink", "dangling", "fifo", "folder", "device"])
def test_only_regular_files_are_opened(kind: str, tmp_path: Path) -> None:
    import os

    path = tmp_path / "e.csv"
    if kind == "symlink":
        path.symlink_to(drop(tmp_path, "real.csv", GOOD.encode()))
    elif kind == "dangling":
        path.symlink_to(tmp_path / "nowhere")
    elif kind == "fifo":
        os.mkfifo(path)
    elif kind == "folder":
        path.mkdir()
    else:
        path = Path("/dev/zero")

    with pytest.raises(RefusedFileError, match="not-a-regular-file"):
        inspect_extract(path, make_contract())


def test_raw_text_for_a_draft_has_the_headers_own_names(tmp_path: Path) -> None:
    frame = read_raw_text(drop(tmp_path, "e.csv", GOOD.replace(",", ";").encode()), 1)

    assert frame.columns == ["No", "Pay", "Team", "Left"]
    assert frame.height == 1
    assert set(frame.dtypes) == {pl.String}


def test_raw_text_for_a_draft_refuses_what_ingest_refuses(tmp_path: Path) -> None:
    for name, content, reason, _ in REFUSED.values():
        if reason in ("header", "wrong-extension", "column-type", "ragged-row"):
            continue
        with pytest.raises(RefusedFileError) as refusal:
            read_raw_text(drop(tmp_path, name, content), 100)
        assert refusal.value.reason == reason
