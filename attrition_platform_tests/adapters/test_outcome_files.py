"""Outcome files: what is taken, counted, refused, and what is known of an employee in the end."""

from __future__ import annotations

import datetime as dt
import gzip
import os
from pathlib import Path

import polars as pl
import pytest

from attrition_platform.adapters import outcome_files
from attrition_platform.adapters.drop_sweep import SweepReport
from attrition_platform.adapters.outcome_files import (
    OutcomeBatch,
    list_outcome_batches,
    read_outcomes,
    sweep_outcomes,
)
from attrition_platform.contracts.identity import pseudonyms
from attrition_platform.contracts.model import Contract
from attrition_platform.errors import StoreError

KEY = b"a secret of sixteen bytes"
CONTRACT = Contract.model_validate(
    {
        "name": "staff",
        "columns": {
            "staff_no": {"source": "No", "kind": "id"},
            "pay": {"source": "Pay", "kind": "count"},
            "gone": {"source": "Gone", "kind": "label", "values": ["No", "Yes"], "positive": "Yes"},
        },
    }
)
HEADER = "No,date,outcome\n"


def drop(data: Path, name: str, content: str | bytes) -> Path:
    path = data / "outcomes" / name
    path.parent.mkdir(exist_ok=True)
    path.write_bytes(content.encode() if isinstance(content, str) else content)
    written = path.stat().st_mtime - 60
    os.utime(path, (written, written))
    return path


def sweep(data: Path, contract: Contract = CONTRACT) -> SweepReport[OutcomeBatch]:
    return sweep_outcomes(data / "outcomes", data, contract, KEY, settle_seconds=0.5)


def known(data: Path) -> dict[str, tuple[str, bool]]:
    """What is known of the employees 1 to 9."""
    name_of = dict(zip(pseudonyms([str(n) for n in range(1, 10)], KEY), range(1, 10), strict=True))
    return {
        str(name_of[who]): (day.isoformat(), left)
        for who, day, left in read_outcomes(data, "staff").iter_rows()
    }


def test_outcomes_are_read_by_either_name_of_the_id_and_in_any_words(tmp_path: Path) -> None:
    drop(tmp_path, "a.csv", HEADER + "1,2026-03-31,left\n2,2026-03-31, Stayed \n3,2026-04-01,YES\n")
    drop(tmp_path, "b.csv.gz", gzip.compress(b"staff_no;outcome;date;Name\n4;no;2026-04-02;Ann\n"))
    pl.DataFrame({"No": [5], "date": [dt.date(2026, 4, 3)], "outcome": ["Left"]}).write_parquet(
        drop(tmp_path, "c.parquet", "")
    )
    os.utime(tmp_path / "outcomes/c.parquet", (1, 1))

    report = sweep(tmp_path)

    assert [batch.name for batch in report.accepted] == ["a.csv", "b.csv.gz", "c.parquet"]
    assert report.refused == []
    assert known(tmp_path) == {
        "1": ("2026-03-31", True),
        "2": ("2026-03-31", False),
        "3": ("2026-04-01", True),
        "4": ("2026-04-02", False),
        "5": ("2026-04-03", True),
    }
    frame = read_outcomes(tmp_path, "staff")
    assert frame.schema == {"pseudonym": pl.String, "date": pl.Date, "left": pl.Boolean}
    assert frame["pseudonym"].is_sorted()


def test_what_lies_ahead_does_not_hide_what_is_known(tmp_path: Path) -> None:
    """Somebody gives notice for September, and a contract ends in December: in May both are there."""
    drop(tmp_path, "april.csv", HEADER + "1,2026-04-30,stayed\n2,2026-04-30,stayed\n3,2026-04-30,left\n")
    drop(tmp_path, "notice.csv", HEADER + "1,2026-09-30,left\n2,2026-12-31,stayed\n4,2026-06-01,left\n")
    sweep(tmp_path)

    in_may = read_outcomes(tmp_path, "staff", until=dt.date(2026, 5, 20))

    assert (in_may["date"].unique().to_list(), in_may["left"].sum()) == ([dt.date(2026, 4, 30)], 1)
    assert read_outcomes(tmp_path, "staff", until=dt.date(2026, 9, 30))["left"].sum() == 3
    assert known(tmp_path)["2"] == ("2026-12-31", False)


def test_no_employee_id_is_stored(tmp_path: Path) -> None:
    drop(tmp_path, "a.csv", HEADER + "Grete-4711,2026-03-31,left\n")

    sweep(tmp_path)

    files = [path for path in tmp_path.rglob("*") if path.is_file()]
    assert any(path.name == "outcomes.parquet" for path in files)
    assert not [path for path in files if b"4711" in path.read_bytes() or "4711" in str(path)]


def test_bad_rows_are_counted_by_reason_and_the_rest_is_taken(tmp_path: Path) -> None:
    rows = (
        "1,2026-03-31,left",
        ",2026-03-31,left",
        "2,31.03.2026,left",
        "3,2026-02-30,left",
        "4,9999-12-31,left",
        "5,2026-03-31,maybe",
        "6,2026-03-31,",
    )
    drop(tmp_path, "a.csv", HEADER + "\n".join(rows))

    (batch,) = sweep(tmp_path).accepted

    assert batch.n_bad == {"date": 2, "date-range": 1, "missing-employee": 1, "outcome": 2}
    assert (batch.n_rows, batch.n_outcomes) == (7, 1)
    assert list(known(tmp_path)) == ["1"]


def test_poison_is_refused_with_a_reason_and_does_not_stop_later_files(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(outcome_files, "MAX_FILE_BYTES", 100_000)
    drop(tmp_path, "a.csv", bytes(range(256)) * 8)
    drop(tmp_path, "b.csv", "No,date\n4711,2026-03-31\n")
    drop(tmp_path, "c.csv", "Nr,date,outcome\n4711,2026-03-31,left\n")
    os.mkfifo(tmp_path / "outcomes/d.csv")
    os.utime(tmp_path / "outcomes/d.csv", (1, 1))
    drop(tmp_path, "e.csv", HEADER + "1,2026-03-31,left\n" * 10_000)
    drop(tmp_path, "f.csv.gz", gzip.compress(HEADER.encode() + b"1,2026-03-31,left\n" * 1_500_000, 6))
    drop(tmp_path, "g.csv", HEADER + "4711,yesterday,left\n")
    (tmp_path / "outcomes/h").mkdir()
    drop(tmp_path, "z.csv", HEADER + "1,2026-03-31,left\n")

    report = sweep(tmp_path)

    assert [batch.name for batch in report.accepted] == ["z.csv"]
    assert {each.name: each.reason for each in report.refused} == {
        "a.csv": "encoding",
        "b.csv": "header",
        "c.csv": "header",
        "d.csv": "not-a-regular-file",
        "e.csv": "too-large",
        "f.csv.gz": "gzip-bomb",
        "g.csv": "bad-rows",
    }
    assert report.left_alone == ["h"]
    assert sorted(path.name for path in (tmp_path / "outcomes").iterdir()) == [
        "batches",
        "d.csv",
        "e.csv",
        "h",
        "refused",
    ]
    for each in report.refused:
        assert "4711" not in each.detail
        if each.kept_in is not None:
            assert "4711" not in (each.kept_in / "reason.json").read_text()
            assert (each.kept_in / "file").is_file()


def test_files_of_too_many_rows_are_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(outcome_files, "MAX_ROWS", 2)
    drop(tmp_path, "a.csv", HEADER + "1,2026-03-31,left\n" * 3)

    assert [each.reason for each in sweep(tmp_path).refused] == ["too-many-rows"]


def test_the_same_file_counts_once(tmp_path: Path) -> None:
    drop(tmp_path, "a.csv", HEADER + "1,2026-03-31,left\n")
    sweep(tmp_path)
    drop(tmp_path, "again.csv", HEADER + "1,2026-03-31,left\n")

    report = sweep(tmp_path)

    assert (report.accepted, report.already_known) == ([], ["again.csv"])
    assert len(list_outcome_batches(tmp_path, "staff")) == 1
    assert list(known(tmp_path)) == ["1"]


def test_the_newest_date_counts_and_on_one_date_the_later_file(tmp_path: Path) -> None:
    drop(
        tmp_path,
        "a.csv",
        HEADER + "1,2026-05-31,left\n2,2026-05-31,left\n3,2026-05-31,left\n3,2026-05-31,stayed\n",
    )
    drop(tmp_path, "b.csv", HEADER + "1,2026-03-31,stayed\n2,2026-05-31,stayed\n")

    first, second = sweep(tmp_path).accepted

    assert known(tmp_path) == {
        "1": ("2026-05-31", True),  # b is older news
        "2": ("2026-05-31", False),
        "3": ("2026-05-31", False),
    }
    assert (first.n_contradictions, second.n_contradictions) == (1, 1)
    assert [batch.sequence for batch in list_outcome_batches(tmp_path, "staff")] == [1, 2]


def test_nothing_dropped_is_nothing_known(tmp_path: Path) -> None:
    assert sweep(tmp_path) == SweepReport()
    assert read_outcomes(tmp_path, "staff").height == 0


def test_a_contract_without_an_employee_id_can_not_have_outcomes(tmp_path: Path) -> None:
    columns = {name: column for name, column in CONTRACT.columns.items() if name != "staff_no"}
    drop(tmp_path, "a.csv", HEADER + "1,2026-03-31,left\n")

    report = sweep(tmp_path, CONTRACT.model_copy(update={"columns": columns}))

    assert [each.reason for each in report.refused] == ["no-employee-id"]


def test_what_a_killed_sweep_left_behind_is_removed_and_the_file_is_taken(tmp_path: Path) -> None:
    drop(tmp_path, "a.csv", HEADER + "1,2026-03-31,left\n")
    left = tmp_path / "outcomes/batches/staff/.incoming-killed"
    left.mkdir(parents=True)
    (left / "a.csv").write_text(HEADER)

    assert len(sweep(tmp_path).accepted) == 1
    assert not left.exists()


@pytest.mark.parametrize("damage", ["outcomes.parquet", "manifest.json"])
def test_damage_is_named_and_not_read_over(tmp_path: Path, damage: str) -> None:
    drop(tmp_path, "a.csv", HEADER + "1,2026-03-31,left\n")
    (batch,) = sweep(tmp_path).accepted
    file = tmp_path / "outcomes/batches/staff" / batch.sha256 / damage
    file.chmod(0o600)
    file.write_bytes(file.read_bytes()[:-9])

    with pytest.raises(StoreError, match="drop the"):
        read_outcomes(tmp_path, "staff")
