"""Every hostile cell and row of the issue, dropped as a file, with the decision that was taken.

The file itself can be read; the table says what becomes of the one strange row in it.
"""

import io
from pathlib import Path

import polars as pl
import pytest

from attrition_platform.adapters.batches import list_batches
from attrition_platform.adapters.inbox import sweep_inbox
from attrition_platform.adapters.validation import ValidatedBatch, merge_batches, validate_batch
from attrition_platform.contracts.model import Contract

KEY = b"a key of this test only, 32 byte"
COLUMNS = ("No", "Age", "Pay", "Degree", "Remote", "Joined", "Left")
GOOD = {
    "No": "17",
    "Age": "41",
    "Pay": "5000.5",
    "Degree": "Master’s",
    "Remote": "No",
    "Joined": "2019-04-01",
    "Left": "Stayed",
}


def make_contract(**source: object) -> Contract:
    return Contract.model_validate(
        {
            "name": "staff",
            "source": {"max_bad_row_share": 1.0} | source,
            "columns": {
                "staff_no": {"source": "No", "kind": "id"},
                "age": {"source": "Age", "kind": "count", "min": 16, "max": 100},
                "pay": {"source": "Pay", "kind": "continuous", "min": 0},
                "degree": {"source": "Degree", "kind": "nominal", "values": ["Master’s", "PhD"]},
                "remote": {"source": "Remote", "kind": "binary", "values": ["No", "Yes"]},
                "joined": {"source": "Joined", "kind": "date", "missing": "allow"},
                "left": {
                    "source": "Left",
                    "kind": "label",
                    "values": ["Stayed", "Left"],
                    "positive": "Left",
                },
            },
        }
    )


def as_csv(*rows: dict[str, str]) -> bytes:
    lines = [",".join(COLUMNS)]
    for row in rows:
        lines.append(",".join('"' + (GOOD | row)[name].replace('"', '""') + '"' for name in COLUMNS))
    return ("\n".join(lines) + "\n").encode()


def take_in(tmp_path: Path, name: str, content: bytes, contract: Contract | None = None) -> ValidatedBatch:
    """Drop a file, sweep, validate: the way of every row."""
    contract = contract or make_contract()
    (tmp_path / "inbox").mkdir(exist_ok=True)
    (tmp_path / "inbox" / name).write_bytes(content)
    report = sweep_inbox(tmp_path / "inbox", tmp_path, contract, settle_seconds=5, clock=FastClock().now)
    assert report.refused == []
    (batch,) = report.accepted
    return validate_batch(batch, contract, KEY, tmp_path / f"{name}.v", tmp_path / f"{name}.q")


class FastClock:
    """Time flies, so that a fresh file counts as still at once."""

    def __init__(self) -> None:
        self._now = 0.0

    def now(self) -> float:
        self._now += 2
        return self._now


def reasons(done: ValidatedBatch) -> list[list[str]]:
    return pl.read_parquet(done.quarantined)["reasons"].to_list()


QUARANTINED: dict[str, tuple[dict[str, str], list[str]]] = {
    "no id": ({"No": " "}, ["staff_no:missing-id"]),
    "thousands separator that is not declared": ({"Pay": "5,000"}, ["pay:not-a-number"]),
    "decimal comma that is not declared": ({"Pay": "5000,5"}, ["pay:not-a-number"]),
    "decimals in a count": ({"Age": "41.5"}, ["age:not-whole"]),
    "whole decimals in a count": ({"Age": "41.0"}, ["age:not-whole"]),
    "NaN": ({"Pay": "NaN"}, ["pay:not-finite"]),
    "infinity": ({"Pay": "-inf"}, ["pay:not-finite"]),
    "1e308": ({"Pay": "1e308"}, ["pay:out-of-range"]),
    "1e999": ({"Pay": "1e999"}, ["pay:not-finite"]),
    "negative age": ({"Age": "-3"}, ["age:out-of-range"]),
    "absurd age": ({"Age": "417"}, ["age:out-of-range"]),
    "an age that no integer holds": ({"Age": "9" * 40}, ["age:out-of-range"]),
    "a date where a number belongs": ({"Pay": "2024-05-01"}, ["pay:not-a-number"]),
    "a number where a date belongs": ({"Joined": "43556"}, ["joined:not-a-date"]),
    "a date in another order": ({"Joined": "01/04/2019"}, ["joined:not-a-date"]),
    "a day that does not exist": ({"Joined": "2019-02-30"}, ["joined:not-a-date"]),
    "unseen category": ({"Degree": "Diploma"}, ["degree:unseen-category"]),
    "re-cased category that is not declared": ({"Degree": "PHD"}, ["degree:unseen-category"]),
    "homoglyph": ({"Degree": "РhD"}, ["degree:unseen-category"]),
    "text encoded twice in one cell": ({"Degree": "Masterâ€™s"}, ["degree:unseen-category"]),
    "formula cell": ({"Degree": "=cmd|'/C calc'!A0"}, ["degree:formula-cell"]),
    "formula in a number": ({"Pay": "=1+1"}, ["pay:not-a-number"]),
    "unknown label word": ({"Left": "maybe"}, ["left:unseen-category"]),
    "missing value that must be there": ({"Age": ""}, ["age:missing"]),
    "several at once": (
        {"Age": "x", "Degree": "?", "Remote": ""},
        ["age:not-a-number", "degree:unseen-category", "remote:missing"],
    ),
}

KEPT: dict[str, tuple[dict[str, str], str, object]] = {
    "padded id": ({"No": "  17 "}, "pay", 5000.5),
    "padded number": ({"Age": " 41 "}, "age", 41),
    "padded category": ({"Degree": "PhD  "}, "degree", "PhD"),
    "straight apostrophe": ({"Degree": "Master's"}, "degree", "Master’s"),
    "True for yes": ({"Remote": "True"}, "remote", "Yes"),
    "False for no": ({"Remote": "FALSE"}, "remote", "No"),
    "1 for yes": ({"Remote": "1"}, "remote", "Yes"),
    "missing label": ({"Left": ""}, "left", None),
    "missing value that may be missing": ({"Joined": "NA"}, "joined", None),
    "the positive label": ({"Left": "Left"}, "left", True),
    "exponent in a continuous number": ({"Pay": "5e3"}, "pay", 5000.0),
    "formula cell in the id": ({"No": "=1+1"}, "pay", 5000.5),
}


@pytest.mark.parametrize("case", QUARANTINED)
def test_the_row_is_quarantined_and_its_neighbour_kept(case: str, tmp_path: Path) -> None:
    cells, expected = QUARANTINED[case]

    done = take_in(tmp_path, "e.csv", as_csv({"No": "1"}, cells))

    assert reasons(done) == [expected]
    assert pl.read_parquet(done.quarantined)["row_number"].to_list() == [2]
    assert (done.n_rows, done.n_valid) == (2, 1)
    assert done.n_rule_failures == dict.fromkeys(sorted(expected), 1)


@pytest.mark.parametrize("case", KEPT)
def test_the_row_is_kept(case: str, tmp_path: Path) -> None:
    cells, column, value = KEPT[case]

    done = take_in(tmp_path, "e.csv", as_csv(cells))

    assert reasons(done) == []
    assert pl.read_parquet(done.valid)[column].to_list() == [value]


def test_declared_number_formats_are_read(tmp_path: Path) -> None:
    contract = make_contract(thousands=".", decimal=",")

    done = take_in(tmp_path, "e.csv", as_csv({"Pay": "5.000,5"}), contract)

    assert pl.read_parquet(done.valid)["pay"].to_list() == [5000.5]


def test_a_nul_in_a_parquet_cell_is_quarantined(tmp_path: Path) -> None:
    """In a text it refuses the file: there it is damage."""
    buffer = io.BytesIO()
    pl.DataFrame([GOOD | {"Degree": "Ph\0D"}]).write_parquet(buffer)

    assert reasons(take_in(tmp_path, "e.parquet", buffer.getvalue())) == [["degree:control-character"]]


def test_typed_parquet_gives_the_rows_that_its_csv_gives(tmp_path: Path) -> None:
    typed = pl.DataFrame(
        {"No": [17], "Age": [41.0], "Pay": [5000.5], "Degree": ["PhD"], "Remote": [False], "Left": ["Left"]}
    ).with_columns(Joined=pl.date(2019, 4, 1))
    buffer = io.BytesIO()
    typed.write_parquet(buffer)

    columns = take_in(tmp_path, "e.parquet", buffer.getvalue())
    text = take_in(tmp_path, "e.csv", as_csv({"Degree": "PhD", "Left": "Left"}))

    frames = [pl.read_parquet(done.valid).drop("batch") for done in (columns, text)]
    assert frames[0].equals(frames[1])
    assert frames[0].height == 1


def test_conflicting_rows_in_two_files_are_settled_by_the_later_file(tmp_path: Path) -> None:
    first = take_in(tmp_path, "may.csv", as_csv({"Age": "41"}))
    second = take_in(tmp_path, "june.csv", as_csv({"Age": "42"}))

    merged = merge_batches([first.valid, second.valid], tmp_path / "merged")

    assert merged.n_superseded == 1
    assert pl.read_parquet(tmp_path / "merged")["age"].to_list() == [42]
    assert [b.name for b in list_batches(tmp_path, "staff")] == ["may.csv", "june.csv"]


def test_one_class_only_is_taken_in(tmp_path: Path) -> None:
    """Whether a model can be trained on it is a later question."""
    done = take_in(tmp_path, "e.csv", as_csv({"No": "1"}, {"No": "2"}))

    assert pl.read_parquet(done.valid)["left"].to_list() == [False, False]


def test_without_a_label_column_every_employee_is_only_scored(tmp_path: Path) -> None:
    content = as_csv({}).decode().replace(",Left\n", "\n").replace(',"Stayed"', "").encode()

    done = take_in(tmp_path, "e.csv", content)

    assert pl.read_parquet(done.valid)["left"].to_list() == [None]


def test_no_value_of_a_broken_row_is_stored_in_quarantine(tmp_path: Path) -> None:
    planted = "Zanzibar-4711"

    done = take_in(tmp_path, "e.csv", as_csv(dict.fromkeys(COLUMNS, planted)))

    assert done.n_quarantined == 1
    assert planted not in str(pl.read_parquet(done.quarantined).to_dicts())
    assert planted not in repr(done)
