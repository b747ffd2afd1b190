"""What a stranger sees in the Dagster UI of a finished instance."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any

import pytest

from attrition_platform_tests.conftest import CHECKOUT, Place
from attrition_platform_tests.watched_page import answering, keep_picture

pytestmark = [pytest.mark.browser, pytest.mark.slow, pytest.mark.timeout(600)]

GROUPS = ("ingest", "features", "splits", "modeling", "governance", "serving")


@pytest.fixture(scope="module")
def ui(finished: Place) -> Iterator[str]:
    """The address of a webserver on the finished instance."""
    command = ("dagster-webserver", "-w", "workspace.yaml", "-h", "127.0.0.1")
    environment = finished.environment | {"DAGSTER_HOME": str(CHECKOUT)}
    log_file, path = finished.folder / "webserver.log", "/server_info"
    with answering(
        *command, environment=environment, log_file=log_file, port_option="-p", path=path
    ) as address:
        yield address


def new_page(browser: Any) -> Any:
    """A page that knows nothing of the others."""
    page = browser.new_page(viewport={"width": 1800, "height": 1100})
    page.set_default_timeout(60_000)
    return page


@pytest.fixture(scope="module")
def page(browser: Any) -> Any:
    return new_page(browser)


def shown(name: str) -> re.Pattern[str]:
    """A node's text: the name, or its ends where the graph shortens it."""
    head, tail = re.escape(name[:5]), re.escape(name[-5:])
    return re.compile(rf"^({re.escape(name)}|{head}\S*…\S*{tail})$")


def test_the_lineage_shows_every_asset(ui: str, browser: Any, page: Any) -> None:
    from attrition_platform.definitions import defs

    page.goto(f"{ui}/asset-groups")
    for group in GROUPS:
        page.get_by_text(group, exact=True).first.wait_for()
    page.wait_for_timeout(1500)
    keep_picture(page, "lineage", full_page=False)
    graph = defs.resolve_asset_graph()
    for leaf in (key for key in graph.get_all_asset_keys() if not graph.get(key).child_keys):
        fresh = new_page(browser)  # the zoom of one graph is kept for the next, which may not fit
        fresh.goto(f"{ui}/assets/{leaf.path[-1]}?view=lineage&lineageScope=upstream&lineageDepth=12")
        for key in {leaf, *graph.get_ancestor_asset_keys(leaf)}:
            fresh.get_by_text(shown(key.path[-1])).first.wait_for(state="attached")
        fresh.close()


def test_a_materialization_shows_its_numbers_tables_and_plots(ui: str, page: Any) -> None:
    page.goto(f"{ui}/assets/challenger?view=overview")
    page.get_by_text("test_roc_auc", exact=True).first.wait_for()
    page.get_by_text("average_precision", exact=True).first.wait_for()  # a row of the metrics table
    keep_picture(page, "challenger", full_page=False)
    row = page.get_by_role("row").filter(has_text="plot_calibration")
    row.get_by_text("[Show Markdown]").click()
    picture = page.get_by_role("dialog").locator("img")
    picture.wait_for()
    assert picture.evaluate("image => image.naturalWidth") > 300
    keep_picture(page, "calibration", full_page=False)


def test_the_decision_lists_every_gate(ui: str, page: Any) -> None:
    page.goto(f"{ui}/assets/promotion_decision?view=overview")
    row = page.get_by_role("row").filter(has_text=re.compile("^gates"))
    row.get_by_text("[Show Markdown]").click()
    dialog = page.get_by_role("dialog")
    for gate in ("roc-auc-floor", "four-fifths:gender", "protected-columns-unused", "test-read-once"):
        dialog.get_by_text(gate, exact=True).wait_for()
    keep_picture(page, "decision", full_page=False)
