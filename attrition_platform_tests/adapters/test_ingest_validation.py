"""From batch to validated rows: duplicates, conflicts, shares of bad rows, merging, repeatability."""

import hashlib
import random
from pathlib import Path

import polars as pl
import pyarrow.parquet as pq
import pytest

from attrition_platform.adapters import validation
from attrition_platform.adapters.batches import Batch, accept_generated
from attrition_platform.adapters.validation import (
    ValidatedBatch,
    column_hashes,
    merge_batches,
    validate_batch,
)
from attrition_platform.contracts.identity import pseudonyms
from attrition_platform.contracts.model import Contract
from attrition_platform.errors import RefusedFileError, StoreError

KEY = b"a key of this test only, 32 byte"


def make_contract(*, with_id: bool = True, max_bad_row_share: float = 1.0) -> Contract:
    columns = {
        "staff_no": {"source": "No", "kind": "id"},
        "pay": {"source": "Pay", "kind": "count", "min": 0, "max": 100_000},
        "team": {"source": "Team", "kind": "nominal", "values": ["A", "B"]},
        "left": {"source": "Left", "kind": "label", "values": ["No", "Yes"], "positive": "Yes"},
    }
    if not with_id:
        del columns["staff_no"]
    return Contract.model_validate(
        {"name": "staff", "columns": columns, "source": {"max_bad_row_share": max_bad_row_share}}
    )


def make_batch(tmp_path: Path, rows: str, contract: Contract, name: str = "june.csv") -> Batch:
    path = tmp_path / name
    header = "No,Pay,Team,Left\n" if contract.id else "Pay,Team,Left\n"
    path.write_text(header + rows)
    return accept_generated(path, tmp_path, contract)


def validate(
    tmp_path: Path, rows: str, contract: Contract | None = None, name: str = "june.csv"
) -> ValidatedBatch:
    contract = contract or make_contract()
    batch = make_batch(tmp_path, rows, contract, name)
    return validate_batch(batch, contract, KEY, tmp_path / f"{name}.valid", tmp_path / f"{name}.quarantine")


def reasons_by_row(done: ValidatedBatch) -> dict[int, list[str]]:
    frame = pl.read_parquet(done.quarantined)
    return dict(zip(frame["row_number"].to_list(), frame["reasons"].to_list(), strict=True))


def test_every_row_is_either_valid_or_quarantined(tmp_path: Path) -> None:
    done = validate(tmp_path, "1,100,A,No\n2,x,A,No\n3,300,C,Yes\n4,400,B,\n")

    assert (done.n_rows, done.n_valid, done.n_quarantined) == (4, 2, 2)
    assert set(reasons_by_row(done)) == {2, 3}
    valid = pl.read_parquet(done.valid)
    assert valid.schema == {
        "pseudonym": pl.String,
        "split_bucket": pl.UInt8,
        "batch": pl.String,
        "pay": pl.Int64,
        "team": pl.Enum(["A", "B"]),
        "left": pl.Boolean,
    }
    assert sorted(valid["pay"]) == [100, 400]
    assert valid.filter(pay=100)["left"].to_list() == [False]
    assert valid.filter(pay=400)["left"].to_list() == [None]
    assert valid["pseudonym"].is_sorted()


def test_neither_file_holds_an_employee_id(tmp_path: Path) -> None:
    done = validate(tmp_path, "planted-17,100,A,No\nplanted-18,x,A,No\n")

    for path in (done.valid, done.quarantined):
        assert "planted" not in str(pl.read_parquet(path).to_dicts())
        assert b"planted" not in path.read_bytes()


def test_of_rows_that_are_equal_one_is_kept(tmp_path: Path) -> None:
    done = validate(tmp_path, "1,100,A,No\n2,200,A,No\n1,100,A,No\n 1 ,100,A,No\n")

    assert done.n_valid == 2
    assert reasons_by_row(done) == {3: ["row:exact-duplicate"], 4: ["row:exact-duplicate"]}
    assert done.n_rule_failures == {"row:exact-duplicate": 2}


def test_of_rows_that_contradict_each_other_none_is_kept(tmp_path: Path) -> None:
    done = validate(tmp_path, "1,100,A,No\n2,200,A,No\n1,150,A,No\n1,100,A,No\n")

    assert done.n_valid == 1
    assert reasons_by_row(done) == {row: ["row:conflicting-duplicate"] for row in (1, 3, 4)}


def test_a_row_beside_a_broken_row_of_the_same_employee_is_not_trusted(tmp_path: Path) -> None:
    done = validate(tmp_path, "1,100,A,No\n2,200,A,No\n1,oops,A,No\n")

    assert done.n_valid == 1
    assert reasons_by_row(done)[1] == ["row:conflicting-duplicate"]


def test_a_label_that_is_missing_in_one_of_two_rows_is_a_contradiction(tmp_path: Path) -> None:
    done = validate(tmp_path, "1,100,A,No\n1,100,A,\n2,1,A,No\n")

    assert set(reasons_by_row(done)) == {1, 2}


def test_rows_without_id_are_no_duplicates_of_each_other(tmp_path: Path) -> None:
    done = validate(tmp_path, ",100,A,No\n,100,A,No\n1,100,A,No\n")

    assert done.n_valid == 1
    assert "duplicate" not in str(reasons_by_row(done))


def test_duplicates_are_found_across_chunks(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    read = validation.read_extract
    monkeypatch.setattr(
        validation,
        "read_extract",
        lambda path, contract, facts: (
            part for chunk in read(path, contract, facts=facts) for part in chunk.iter_slices(3)
        ),
    )
    rows = "".join(f"{n},{n},A,No\n" for n in range(10)) + "2,2,A,No\n5,6,A,No\n"

    done = validate(tmp_path, rows)

    assert reasons_by_row(done) == {
        6: ["row:conflicting-duplicate"],
        11: ["row:exact-duplicate"],
        12: ["row:conflicting-duplicate"],
    }
    assert sorted(pl.read_parquet(done.valid)["pay"]) == [0, 1, 2, 3, 4, 6, 7, 8, 9]


def test_too_many_bad_rows_refuse_the_batch_and_name_the_rule(tmp_path: Path) -> None:
    rows = "".join(f"{n},100,A,No\n" for n in range(94)) + "".join(f"{n},x,A,No\n" for n in range(94, 100))

    with pytest.raises(RefusedFileError, match=r"6 of the 100 rows.*pay:not-a-number \(6 rows\)") as refusal:
        validate(tmp_path, rows, make_contract(max_bad_row_share=0.05))

    assert refusal.value.reason == "too-many-bad-rows"
    assert validate(tmp_path, rows, make_contract(max_bad_row_share=0.06)).n_valid == 94


def test_repeated_rows_are_no_bad_rows(tmp_path: Path) -> None:
    done = validate(tmp_path, "1,100,A,No\n" * 50, make_contract(max_bad_row_share=0.0))

    assert (done.n_valid, done.n_quarantined) == (1, 49)


def test_contradicting_rows_are_bad_rows(tmp_path: Path) -> None:
    with pytest.raises(RefusedFileError, match="row:conflicting-duplicate"):
        validate(tmp_path, "1,100,A,No\n1,101,A,No\n2,1,A,No\n", make_contract(max_bad_row_share=0.5))


def test_without_an_id_equal_rows_are_one_person(tmp_path: Path) -> None:
    contract = make_contract(with_id=False, max_bad_row_share=0.0)

    done = validate(tmp_path, "100,A,No\n100,A,No\n200,A,No\n300,B,Yes\n300,B,No\n", contract)

    assert done.n_valid == 2
    assert reasons_by_row(done) == {
        2: ["row:exact-duplicate"],
        4: ["row:conflicting-duplicate"],
        5: ["row:conflicting-duplicate"],
    }


def test_a_batch_whose_bytes_changed_is_not_read(tmp_path: Path) -> None:
    batch = make_batch(tmp_path, "1,100,A,No\n", make_contract())
    batch.path.chmod(0o600)
    batch.path.write_text("No,Pay,Team,Left\n1,900,A,No\n")

    with pytest.raises(StoreError, match="its bytes have changed"):
        validate_batch(batch, make_contract(), KEY, tmp_path / "v", tmp_path / "q")


def test_a_batch_that_no_longer_fits_the_contract_is_refused(tmp_path: Path) -> None:
    batch = make_batch(tmp_path, "100,A,No\n", make_contract(with_id=False))

    with pytest.raises(RefusedFileError, match="'No' can't be found"):
        validate_batch(batch, make_contract(), KEY, tmp_path / "v", tmp_path / "q")


def test_of_two_files_with_one_employee_the_later_wins(tmp_path: Path) -> None:
    old = validate(tmp_path, "1,100,A,No\n2,200,A,No\n", name="may.csv")
    new = validate(tmp_path, "1,150,B,Yes\n3,300,A,\n", name="june.csv")
    out = tmp_path / "merged.parquet"

    merged = merge_batches([old.valid, new.valid], out)

    frame = pl.read_parquet(out)
    who = pseudonyms(["1"], KEY)[0]
    assert (merged.n_rows, merged.n_superseded, merged.n_labelled) == (3, 1, 2)
    assert frame.filter(pseudonym=who).select("pay", "team", "left").row(0) == (150, "B", True)
    assert frame["pseudonym"].is_sorted()
    assert merge_batches([new.valid, old.valid], out).n_superseded == 1
    assert pl.read_parquet(out).filter(pseudonym=who)["pay"].to_list() == [100]


def test_outcomes_fill_what_an_extract_left_open_and_overrule_nothing(tmp_path: Path) -> None:
    done = validate(tmp_path, "1,100,A,\n2,200,A,No\n3,300,A,\n4,400,B,\n")
    out = tmp_path / "merged.parquet"
    outcomes = pl.DataFrame(
        {"pseudonym": pseudonyms(["1", "2", "4", "9"], KEY), "left": [True, True, False, True]}
    )

    merged = merge_batches([done.valid], out, outcomes)

    assert (merged.n_rows, merged.n_labelled, merged.n_labelled_later) == (4, 3, 2)
    frame = pl.read_parquet(out)
    assert frame["pseudonym"].is_sorted()
    labels = dict(zip(frame["pay"], frame["left"], strict=True))
    assert labels == {100: True, 200: False, 300: None, 400: False}


def test_large_batches_are_merged_in_parts_with_the_same_result(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    rows = "".join(f"{n},{n % 1000},A,No\n" for n in range(2000))
    later = "".join(f"{n},{n % 7},B,Yes\n" for n in range(1500, 2500))
    paths = [validate(tmp_path, text, name=f"{i}.csv").valid for i, text in enumerate([rows, later])]
    whole = merge_batches(paths, tmp_path / "whole.parquet")
    monkeypatch.setattr(validation, "_SLICED_FROM_ROWS", 100)
    monkeypatch.setattr(validation, "_MERGED_IN_PARTS_FROM_ROWS", 100)
    sliced = [validate(tmp_path, text, name=f"s{i}.csv").valid for i, text in enumerate([rows, later])]

    parts = merge_batches(sliced, tmp_path / "parts.parquet")

    assert pq.read_metadata(sliced[0]).num_row_groups == 16
    assert parts == whole
    assert parts.n_rows == 2500
    assert pl.read_parquet(tmp_path / "parts.parquet").equals(pl.read_parquet(tmp_path / "whole.parquet"))
    assert column_hashes(tmp_path / "parts.parquet") == column_hashes(tmp_path / "whole.parquet")


def test_the_same_input_gives_the_same_bytes(tmp_path: Path) -> None:
    rows = "".join(f"{n},{n % 999},A,No\n" for n in range(3000)) + "5,x,A,No\n7,7,A,No\n"
    digests = []
    for folder in (tmp_path / "a", tmp_path / "b"):
        folder.mkdir()
        done = validate(folder, rows)
        merge_batches([done.valid], folder / "merged.parquet")
        digests.append(
            [
                hashlib.sha256(p.read_bytes()).hexdigest()
                for p in (done.valid, done.quarantined, folder / "merged.parquet")
            ]
        )

    assert digests[0] == digests[1]


def test_the_order_of_the_rows_does_not_matter_once_merged(tmp_path: Path) -> None:
    rows = [f"{n},{n % 999},A,No\n" for n in range(500)]
    shuffled = random.Random(1).sample(rows, len(rows))
    frames = []
    for name, lines in (("a.csv", rows), ("b.csv", shuffled)):
        done = validate(tmp_path, "".join(lines), name=name)
        merge_batches([done.valid], tmp_path / "merged.parquet")
        frames.append(pl.read_parquet(tmp_path / "merged.parquet").drop("batch"))

    assert frames[0].equals(frames[1])


def test_a_column_hash_changes_with_its_column_only(tmp_path: Path) -> None:
    hashes = []
    for name, pay in (("a.csv", 300), ("b.csv", 301)):
        done = validate(tmp_path, f"1,100,A,No\n2,{pay},A,Yes\n", name=name)
        hashes.append(column_hashes(done.valid))

    assert {name for name in hashes[0] if hashes[0][name] != hashes[1][name]} == {"pay", "batch"}


@pytest.mark.parametrize(
    ("left", "right"),
    [
        (pl.Series([0, 1]), pl.Series([None, 1])),
        (pl.Series(["ab", "c"]), pl.Series(["a", "bc"])),
        (pl.Series(["", "c"]), pl.Series([None, "c"])),
        (pl.Series([0, 1]), pl.Series([0.0, 1.0])),
        (pl.Series(["a"], dtype=pl.Enum(["a", "b"])), pl.Series(["a"], dtype=pl.Enum(["a", "c"]))),
        (pl.Series([0.5]), pl.Series([0.25])),
    ],
)
def test_a_column_hash_tells_apart_what_differs(left: pl.Series, right: pl.Series, tmp_path: Path) -> None:
    hashes = []
    for values in (left, right):
        path = tmp_path / "column.parquet"
        with validation._parquet_writer(path) as write:
            write(pl.DataFrame({"x": values}))
        hashes.append(column_hashes(path)["x"])

    assert hashes[0] != hashes[1]


def test_a_column_hash_does_not_depend_on_row_groups(tmp_path: Path) -> None:
    frame = pl.DataFrame({"x": ["a", None, "bcé", "", "d"] * 20, "y": [1, None, 3, 4, 5] * 20})
    hashes = []
    for n_rows in (1, 7, 100):
        path = tmp_path / "column.parquet"
        with validation._parquet_writer(path) as write:
            for part in frame.iter_slices(n_rows):
                write(part)
        hashes.append(column_hashes(path))

    assert hashes[0] == hashes[1] == hashes[2]


def test_no_valid_row_still_gives_readable_files(tmp_path: Path) -> None:
    done = validate(tmp_path, "1,x,A,No\n")

    assert (done.n_valid, pl.read_parquet(done.valid).height) == (0, 0)
    merged = merge_batches([done.valid], tmp_path / "merged.parquet")
    assert merged.n_rows == 0
    assert pl.read_parquet(tmp_path / "merged.parquet").schema == pl.read_parquet(done.valid).schema


def test_a_flipped_bit_in_a_stored_page_does_not_pass(tmp_path: Path) -> None:
    done = validate(tmp_path, "".join(f"{n},{n % 999},A,No\n" for n in range(3000)))
    content = bytearray(done.valid.read_bytes())
    content[len(content) // 3] ^= 4
    done.valid.write_bytes(bytes(content))

    with pytest.raises(OSError, match="CRC"):
        column_hashes(done.valid)
