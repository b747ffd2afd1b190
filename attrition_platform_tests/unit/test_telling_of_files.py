"""Who hears of files that were refused: each once, whichever run or sensor refused them."""

from __future__ import annotations

import os
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from attrition_platform.adapters.inbox import sweep_inbox
from attrition_platform.adapters.pointers import Pointers
from attrition_platform.adapters.step_cache import StepResult
from attrition_platform.stages.platform import Platform
from attrition_platform.stages.telling_of_files import of_refused_batches, of_refused_files
from attrition_platform_tests.unit.test_release import make_platform

URL = "http://127.0.0.1:3000/runs/r1"


@pytest.fixture
def platform(tmp_path: Path) -> Platform:
    return make_platform(tmp_path)


def drop(platform: Platform, name: str, content: bytes) -> None:
    """Put a file into the inbox, and sweep."""
    inbox = platform.settings.inbox
    inbox.mkdir(parents=True, exist_ok=True)
    (inbox / name).write_bytes(content)
    os.utime(inbox / name, (1, 1))
    sweep_inbox(inbox, platform.settings.data_dir, platform.contract)


def test_files_that_can_not_be_read_are_told_by_name_with_what_to_do(platform: Platform) -> None:
    drop(platform, "empty.csv", b"")
    (told,), newest = of_refused_files(platform, None)
    assert told.title == "File 'empty.csv' was refused: it is empty"
    assert "Export it again" in told.cause
    assert (told.kind, told.severity) == ("file-refused", "ticket")

    drop(platform, "book.xlsx", b"PK\x03\x04 and more")
    drop(platform, "wrong.parquet", b"PAR1 and no more")
    (both,), later = of_refused_files(platform, newest)

    assert both.title == "2 files were refused: book.xlsx, wrong.parquet"
    assert "Excel" in both.cause
    assert both.evidence["n_files"] == 2
    assert told.key != both.key
    assert told.cause_kind != both.cause_kind
    assert of_refused_files(platform, later) == ([], later)


def test_the_same_file_is_told_again_when_it_is_dropped_again(platform: Platform) -> None:
    drop(platform, "empty.csv", b"")
    _, newest = of_refused_files(platform, None)
    drop(platform, "empty.csv", b"")

    (told,), _ = of_refused_files(platform, newest)

    assert "empty.csv" in told.title


def test_after_a_lost_cursor_only_what_is_recent_is_told(platform: Platform) -> None:
    drop(platform, "empty.csv", b"")
    (reason,) = (platform.settings.data_dir / "refused").glob("*/reason.json")
    hour_ago = datetime.now(UTC).timestamp() - 61 * platform.policy.notifications.group_minutes
    os.utime(reason, (hour_ago, hour_ago))

    assert of_refused_files(platform, None)[0] == []
    assert of_refused_files(platform, 0)[0]


def test_reasons_that_are_none_or_of_another_contract_are_left_alone(platform: Platform) -> None:
    for name, text in {"a": "{", "b": "[1]", "c": '{"contract": "another", "name": "x"}'}.items():
        folder = platform.settings.data_dir / "refused" / name
        folder.mkdir(parents=True)
        (folder / "reason.json").write_text(text)

    assert of_refused_files(platform, 0)[0] == []


def made(platform: Platform, asset: str, run: str, facts: Any, measured: Any = None) -> None:
    result = StepResult(asset, "f", "v", {}, facts, measured or {})
    Pointers(platform.pointers_dir).write(asset, run, result)


def took_in(platform: Platform, run: str, accepted: list[str], refused: list[str]) -> None:
    batches = [{"sha256": sha} for sha in ("aa11", "bb22")]
    left = {"name": "huge.csv", "reason": "too-large", "detail": "Split it."}
    moved = {"name": "moved.csv", "reason": "empty", "detail": "Export it again."}
    measured = {"names": ["old.csv", "new.csv"], "accepted": accepted, "refused": [left, moved]}
    made(platform, "raw_employees", run, {"batches": batches}, measured)
    reasons = [{"batch": name, "reason": "too-many-bad-rows"} for name in refused]
    made(platform, "validated_employees", run, {"refused_batches": reasons})


def test_a_file_whose_rows_are_refused_is_told_by_the_run_that_took_it_in(platform: Platform) -> None:
    took_in(platform, "r1", ["bb22"], ["old.csv", "new.csv"])
    took_in(platform, "r2", [], ["old.csv", "new.csv"])

    told, stays = of_refused_batches(platform, "r1", URL)

    assert told.title == "File 'new.csv' was refused: too many of its rows break the contract"
    assert told.run_url == URL
    assert stays.title == "File 'huge.csv' was refused: it is too large"
    assert [again.key for again in of_refused_batches(platform, "r2", URL)] == [stays.key]
    assert of_refused_batches(platform, "r3", URL) == [], "it made nothing, and another's is not its own"


def test_what_the_drift_report_of_the_run_has_told_is_not_told_twice(platform: Platform) -> None:
    took_in(platform, "r1", ["bb22"], ["new.csv"])
    made(platform, "drift_report", "r1", {"window": "bb22", "blocks_scoring": True})

    assert ["new.csv" in told.title for told in of_refused_batches(platform, "r1", URL)] == [False]


def test_the_only_file_whose_rows_were_refused_is_told_by_the_run_that_failed_of_it(
    platform: Platform,
) -> None:
    measured = {"names": ["first.csv"], "accepted": ["aa11"], "refused": []}
    made(platform, "raw_employees", "r1", {"batches": [{"sha256": "aa11"}]}, measured)

    (told,) = of_refused_batches(platform, "r1", URL, stopped_by_refusal=True)

    assert "first.csv" in told.title
    assert of_refused_batches(platform, "r1", URL) == []
