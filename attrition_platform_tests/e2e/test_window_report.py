"""Evidently's page of a window, drawn by the dashboard as it runs beside `make ui`."""

from __future__ import annotations

import http.client
import os
import re
import signal
import socket
import subprocess
import time
from collections.abc import Iterator
from dataclasses import replace
from datetime import datetime
from pathlib import Path

import pytest

from attrition_platform.adapters.batches import list_batches
from attrition_platform.errors import StoreError
from attrition_platform.settings import Settings
from attrition_platform.stages import window_report
from attrition_platform.stages.platform import Platform
from attrition_platform.stages.window_report import WindowReport, draw_report, find_report
from attrition_platform_tests.conftest import CHECKOUT, Place

pytestmark = [pytest.mark.slow, pytest.mark.timeout(600)]


@pytest.fixture(scope="module")
def platform(finished: Place) -> Platform:
    return Platform(Settings.from_environment(finished.environment))


@pytest.fixture(scope="module")
def report(platform: Platform) -> WindowReport:
    (batch,) = list_batches(platform.settings.data_dir, platform.contract.name)
    found = find_report(platform, batch.sha256[:16])
    assert isinstance(found, WindowReport)
    return found


class Dashboard:
    """The command as a user starts it."""

    def __init__(self, place: Place) -> None:
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            self.port = int(probe.getsockname()[1])
        command = ["attrition", "dashboard", "--port", str(self.port)]
        self.process = subprocess.Popen(command, cwd=CHECKOUT, env=place.environment)
        deadline = time.monotonic() + 60
        while time.monotonic() < deadline:
            try:
                self.get("/static/icon.svg")
                return
            except OSError:
                assert self.process.poll() is None
                time.sleep(0.1)

    def get(self, path: str) -> tuple[int, str]:
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=30)
        try:
            connection.request("GET", path)
            answer = connection.getresponse()
            return answer.status, answer.read().decode()
        finally:
            connection.close()

    def children(self) -> set[int]:
        found = Path(f"/proc/{self.process.pid}/task").glob("*/children")
        return {int(word) for file in found for word in file.read_text().split()}


@pytest.fixture
def dashboard(finished: Place) -> Iterator[Dashboard]:
    running = Dashboard(finished)
    yield running
    running.process.terminate()
    assert running.process.wait(20) in (0, -signal.SIGTERM)


def test_a_report_is_announced_drawn_beside_the_pages_and_then_shown(
    dashboard: Dashboard, report: WindowReport
) -> None:
    report.path.unlink(missing_ok=True)
    status, text = dashboard.get(f"/reports/{report.window}")
    assert (status, "is being written" in text) == (202, True)

    began = time.monotonic()
    assert dashboard.get("/")[0] == 200
    assert time.monotonic() - began < 3, "the pages do not wait for Evidently"
    deadline = time.monotonic() + 120
    while (answer := dashboard.get(f"/reports/{report.window}"))[0] == 202 and time.monotonic() < deadline:
        time.sleep(0.2)

    assert answer[0] == 200
    assert "Data Drift Summary" in answer[1] or "evidently" in answer[1].lower()


def test_a_dashboard_that_ends_while_it_draws_leaves_no_process_behind(
    finished: Place, report: WindowReport
) -> None:
    report.path.unlink(missing_ok=True)
    running = Dashboard(finished)
    assert running.get(f"/reports/{report.window}")[0] == 202
    children = running.children()
    assert children

    running.process.terminate()
    assert running.process.wait(20) in (0, -signal.SIGTERM)
    deadline = time.monotonic() + 5
    while any(Path(f"/proc/{pid}").exists() for pid in children) and time.monotonic() < deadline:
        time.sleep(0.05)

    assert [pid for pid in children if Path(f"/proc/{pid}").exists()] == []
    assert not report.is_drawn, "half a page is none"


def test_the_page_shows_every_column_that_the_model_reads_and_its_predictions_and_no_person(
    platform: Platform, report: WindowReport
) -> None:
    draw_report(platform, report)
    page = report.path.read_text(encoding="utf-8")

    shown = {name for name in report.champion.payload["reads"] if name in page}
    assert shown == set(report.champion.payload["reads"])
    assert window_report.PREDICTION in page
    assert "pseudonym" not in page
    assert not re.search(r"\b[0-9a-f]{64}\b", page)
    written = os.stat(report.path).st_mtime_ns
    draw_report(platform, report)
    assert os.stat(report.path).st_mtime_ns == written, "who comes second draws nothing"


def test_the_reference_is_the_data_of_the_champion_else_what_was_accepted_before_it(
    platform: Platform, report: WindowReport, monkeypatch: pytest.MonkeyPatch
) -> None:
    before: list[str] = []

    def accepted_before(_: Platform, at: datetime) -> Iterator[Path]:
        before.append(at.isoformat())
        yield from real(platform, at)

    real = window_report._accepted_before
    monkeypatch.setattr(window_report, "_accepted_before", accepted_before)
    champion = report.champion
    other = replace(champion, payload=champion.payload | {"data_versions": {"validated_employees": "other"}})
    earlier = replace(other, at="2020-01-01T00:00:00+00:00")

    (exact,) = window_report._reference_files(platform, champion)
    assert before == []
    (near,) = window_report._reference_files(platform, other)
    assert len(before) == 1
    assert window_report._rows(platform, [near]).height == window_report._rows(platform, [exact]).height
    with pytest.raises(StoreError, match="not in the store any more"):
        window_report._reference_files(platform, earlier)
