"""What a stranger sees in the Dagster UI of a finished instance."""

from __future__ import annotations

import os
import shutil
import socket
import subprocess
import time
import urllib.request
from collections.abc import Iterator
from pathlib import Path

import pytest

from attrition_platform_tests.conftest import CHECKOUT, Place

pytestmark = [pytest.mark.browser, pytest.mark.slow, pytest.mark.timeout(600)]

CHROMIUM_FLAGS = [
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
]
ASSETS = [
    "raw_employees",
    "validated_employees",
    "quarantined_employees",
    "protected_attributes",
    "split_manifest",
    "train_split",
    "validation_split",
    "test_split",
    "leaderboard",
    "challenger",
    "fairness_audit",
    "frontier",
    "promotion_decision",
    "champion",
    "model_card",
]


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


@pytest.fixture(scope="module")
def ui(finished: Place) -> Iterator[str]:
    """The address of a webserver on the finished instance."""
    port = free_port()
    command = ["dagster-webserver", "-w", "workspace.yaml", "-h", "127.0.0.1", "-p", str(port)]
    environment = finished.environment | {"DAGSTER_HOME": str(CHECKOUT)}
    address = f"http://127.0.0.1:{port}"
    log = (finished.folder / "webserver.log").open("w")
    with subprocess.Popen(command, cwd=CHECKOUT, env=environment, stdout=log, stderr=log) as server:
        deadline = time.monotonic() + 120
        while time.monotonic() < deadline:
            try:
                urllib.request.urlopen(f"{address}/server_info", timeout=2)
                break
            except OSError:
                assert server.poll() is None, (finished.folder / "webserver.log").read_text()
                time.sleep(0.5)
        yield address
        server.terminate()
    log.close()


@pytest.fixture(scope="module")
def page(ui: str):  # type: ignore[no-untyped-def]
    from playwright.sync_api import sync_playwright

    chromium = shutil.which("chromium")
    assert chromium, "Chromium is missing; .ci/run installs it."
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=chromium, args=CHROMIUM_FLAGS)
        page = browser.new_page(viewport={"width": 1800, "height": 1100})
        page.set_default_timeout(60_000)
        yield page
        browser.close()


def keep_screenshot(page, name: str) -> None:  # type: ignore[no-untyped-def]
    """Keep a picture where a person asked for it: ATTRITION_SCREENSHOTS names a folder."""
    folder = os.environ.get("ATTRITION_SCREENSHOTS")
    if folder:
        page.screenshot(path=str(Path(folder) / f"{name}.png"))


def test_the_lineage_shows_every_asset(ui: str, page) -> None:  # type: ignore[no-untyped-def]
    page.goto(f"{ui}/asset-groups?open-nodes=")
    for asset in ASSETS:
        page.get_by_text(asset, exact=True).first.wait_for(state="attached")
    for group in ("compensation", "satisfaction", "workload"):
        page.get_by_text(group, exact=False).first.wait_for(state="attached")
    keep_screenshot(page, "lineage")


def test_a_materialization_shows_its_plots_and_tables(ui: str, page) -> None:  # type: ignore[no-untyped-def]
    page.goto(f"{ui}/assets/challenger")
    page.get_by_text("test_roc_auc", exact=False).first.wait_for()
    page.get_by_text("Show Markdown", exact=False).first.wait_for()
    keep_screenshot(page, "challenger")


def test_the_decision_lists_every_gate(ui: str, page) -> None:  # type: ignore[no-untyped-def]
    page.goto(f"{ui}/assets/promotion_decision")
    page.get_by_text("gates", exact=True).first.wait_for()
    keep_screenshot(page, "decision")
