"""Drawn pages of windows do not fill the disk, and a file that was refused whole says why."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import pytest

from attrition_platform.adapters import evidently_report
from attrition_platform.adapters.step_cache import StepResult
from attrition_platform.errors import StoreError
from attrition_platform.stages import window_report
from attrition_platform.stages.platform import Platform
from attrition_platform.stages.window_report import N_KEPT, WindowReport, draw_report, find_report
from attrition_platform_tests.watched_place import accept_file, watched_place


@pytest.fixture
def platform(tmp_path: Path) -> Platform:
    return watched_place(tmp_path)


@pytest.fixture
def report(platform: Platform, tmp_path: Path) -> WindowReport:
    window = accept_file(platform, tmp_path).sha256[:16]
    found = find_report(platform, window)
    assert isinstance(found, WindowReport)
    return found


def test_the_newest_fifty_pages_are_kept(
    platform: Platform, report: WindowReport, monkeypatch: pytest.MonkeyPatch
) -> None:
    def written(_: Any, __: Any, ___: Any, path: Path, **____: Any) -> None:
        path.write_text("page")

    for name in ("_rows", "_reference_files", "_window_rows", "_arm"):
        monkeypatch.setattr(window_report, name, lambda *_: None)
    monkeypatch.setattr(evidently_report, "write_report", written)
    folder = report.path.parent
    folder.mkdir(parents=True)
    for number in range(N_KEPT + 5):
        page = folder / f"old-{number:02d}.html"
        page.write_text("page")
        os.utime(page, (1_000 + number, 1_000 + number))

    draw_report(platform, report)

    left = {page.name for page in folder.glob("*.html")}
    assert len(left) == N_KEPT == 50
    assert {report.path.name, "old-54.html", "old-06.html"} <= left
    assert not {"old-00.html", "old-05.html"} & left


def test_a_file_without_a_row_to_draw_says_why_it_was_refused(
    platform: Platform, report: WindowReport, monkeypatch: pytest.MonkeyPatch
) -> None:
    facts = {"refused": {"reason": "too-many-bad-rows", "detail": "61 of 120 rows break the contract."}}
    refused = StepResult("batches", "f", "v", {}, facts, {})
    monkeypatch.setattr(window_report, "validate_one_batch", lambda *_: refused)
    for name in ("_rows", "_reference_files"):
        monkeypatch.setattr(window_report, name, lambda *_: None)

    with pytest.raises(StoreError, match="61 of 120 rows break the contract"):
        draw_report(platform, report)
