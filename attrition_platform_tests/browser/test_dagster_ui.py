"""What a stranger sees in the Dagster UI of a finished instance."""

from __future__ import annotations

import os
import re
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
GROUPS = ("ingest", "features", "splits", "modeling", "governance", "serving")


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


def shown(name: str) -> re.Pattern[str]:
    """A node's text: the name, or its ends where the graph shortens it."""
    head, tail = re.escape(name[:5]), re.escape(name[-5:])
    return re.compile(rf"^({re.escape(name)}|{head}\S*…\S*{tail})$")


def test_the_lineage_shows_every_asset(ui: str, page) -> None:  # type: ignore[no-untyped-def]
    from attrition_platform.definitions import defs

    page.goto(f"{ui}/asset-groups")
    for group in GROUPS:
        page.get_by_text(group, exact=True).first.wait_for()
    page.wait_for_timeout(1500)
    keep_screenshot(page, "lineage")
    graph = defs.resolve_asset_graph()
    for leaf in (key for key in graph.get_all_asset_keys() if not graph.get(key).child_keys):
        page.goto(f"{ui}/assets/{leaf.path[-1]}?view=lineage&lineageScope=upstream&lineageDepth=12")
        for key in {leaf, *graph.get_ancestor_asset_keys(leaf)}:
            page.get_by_text(shown(key.path[-1])).first.wait_for(state="attached")


def test_a_materialization_shows_its_numbers_tables_and_plots(ui: str, page) -> None:  # type: ignore[no-untyped-def]
    page.goto(f"{ui}/assets/challenger?view=overview")
    page.get_by_text("test_roc_auc", exact=True).first.wait_for()
    page.get_by_text("average_precision", exact=True).first.wait_for()  # a row of the metrics table
    keep_screenshot(page, "challenger")
    row = page.get_by_role("row").filter(has_text="plot_calibration")
    row.get_by_text("[Show Markdown]").click()
    picture = page.get_by_role("dialog").locator("img")
    picture.wait_for()
    assert picture.evaluate("image => image.naturalWidth") > 300
    keep_screenshot(page, "calibration")


def test_the_decision_lists_every_gate(ui: str, page) -> None:  # type: ignore[no-untyped-def]
    page.goto(f"{ui}/assets/promotion_decision?view=overview")
    row = page.get_by_role("row").filter(has_text=re.compile("^gates"))
    row.get_by_text("[Show Markdown]").click()
    dialog = page.get_by_role("dialog")
    for gate in ("roc-auc-floor", "four-fifths:gender", "protected-columns-unused", "test-read-once"):
        dialog.get_by_text(gate, exact=True).wait_for()
    keep_screenshot(page, "decision")
