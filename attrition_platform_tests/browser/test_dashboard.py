"""The dashboard as a person sees it: three views, by keyboard, light and dark, in trouble and without."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from attrition_platform.cli.dashboard_commands import read_runbooks
from attrition_platform.dashboard.app import build_app
from attrition_platform.dashboard.pages import VIEWS
from attrition_platform.stages.platform import Platform
from attrition_platform.stages.window_report import WindowReport
from attrition_platform_tests.conftest import CHECKOUT, Place
from attrition_platform_tests.served_place import make_platform
from attrition_platform_tests.watched_page import (
    Site,
    Watched,
    answering,
    assert_accessible,
    keep_picture,
)
from attrition_platform_tests.watched_place import run, watched_place

pytestmark = [pytest.mark.browser, pytest.mark.slow, pytest.mark.timeout(600)]

CURIOUS = """<!DOCTYPE html><html lang="en"><title>Report</title><body><p id="told">nothing</p><script>
const told = document.getElementById("told");
const tries = [origin];
try { tries.push(document.cookie); } catch (e) { tries.push("no cookie"); }
const tell = (last) => { told.textContent = [...tries, last].join(); };
fetch("/metrics").then(() => tell("read"), () => tell("not read"));
</script></body></html>"""


async def draw_a_curious_page(report: WindowReport) -> str | None:
    """A page whose script tries what a report of somebody else's making could try."""
    report.path.parent.mkdir(parents=True, exist_ok=True)
    report.path.write_text(CURIOUS)
    return None


def serve(platform: Platform, **options: Any) -> Site:
    """A dashboard that listens on a port of its own."""
    runbooks = read_runbooks(CHECKOUT / "docs" / "runbooks")
    return Site(build_app(platform, runbooks=runbooks, draw=draw_a_curious_page, **options))


@pytest.fixture(scope="module", params=["empty", "in order", "troubled"])
def site(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    folder = tmp_path_factory.mktemp("watched")
    if request.param == "empty":
        platform = make_platform(folder)
    else:
        platform = watched_place(folder, troubled=request.param == "troubled")
    runs = [
        run("failure", 1.0, "train_champion"),
        run("success", 30.0, "monitor"),
        run("running", 0.1, "monitor"),
    ]
    site = serve(platform, history=lambda _: runs)
    yield site
    site.stop()


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("width", [1200, 360])
def test_every_view_is_accessible_and_fits_whatever_is_known(
    site: Site, browser: Any, scheme: str, width: int
) -> None:
    viewport = {"width": width, "height": 800}
    watched = Watched(browser, site.address, color_scheme=scheme, viewport=viewport, java_script_enabled=True)
    for path in [view.path for view in VIEWS] + ["/runbooks/drift", "/reports/nope"]:
        page = watched.open(path)
        assert_accessible(page)
        assert page.evaluate("document.documentElement.scrollWidth <= innerWidth"), path
    watched.complaints = [text for text in watched.complaints if "404" not in text]
    watched.assert_clean()
    watched.context.close()


def test_the_views_are_walked_through_by_keyboard_without_a_script(site: Site, browser: Any) -> None:
    watched = Watched(browser, site.address, java_script_enabled=False)
    page = watched.open()
    press = page.keyboard.press
    press("Tab")
    assert page.locator(":focus").inner_text() == "Skip to the content"
    for _ in range(3):
        press("Tab")
    assert page.locator(":focus").inner_text() == "On call"
    press("Enter")
    page.wait_for_url("**/on-call")
    assert page.locator("nav [aria-current=page]").inner_text() == "On call"
    watched.assert_clean()
    watched.context.close()


def test_a_page_is_kept_fresh_only_for_who_asks_and_can_be_stopped(site: Site, browser: Any) -> None:
    watched = Watched(browser, site.address)
    page = watched.open("/debug")
    assert page.locator("meta[http-equiv=refresh]").count() == 0
    page.get_by_role("link", name="Load it anew every 30 seconds").click()
    assert page.locator("meta[http-equiv=refresh]").get_attribute("content") == "30"
    page.get_by_role("link", name="At a glance").click()
    assert page.locator("meta[http-equiv=refresh]").count() == 1
    page.get_by_role("link", name="Stop that").click()
    assert page.locator("meta[http-equiv=refresh]").count() == 0
    watched.assert_clean()
    watched.context.close()


def test_a_report_runs_its_scripts_and_reaches_nothing(browser: Any, tmp_path: Path) -> None:
    site = serve(watched_place(tmp_path, troubled=True))
    try:
        watched = Watched(browser, site.address)
        page = watched.open()
        page.get_by_role("link", name="See it drawn").click()
        told = page.locator("#told").filter(has_text="read")
        told.wait_for()

        assert told.inner_text() == "null,no cookie,not read"
        assert not [url for url in watched.asked if url.endswith("/metrics")]
        watched.context.close()
    finally:
        site.stop()


def test_an_alert_leads_to_its_runbook(browser: Any, tmp_path: Path) -> None:
    site = serve(watched_place(tmp_path, troubled=True))
    try:
        watched = Watched(browser, site.address)
        page = watched.open("/on-call")
        assert page.locator("h1").inner_text() == "2 alerts to act on now."
        page.get_by_role("link", name="security").click()
        assert page.locator("h1").inner_text() == "security"
        watched.assert_clean()
        watched.context.close()
    finally:
        site.stop()


def drop_a_drifted_extract(finished: Place, folder: Path) -> Place:
    """A copy of a finished place in which a file has come whose people work from home far more often."""
    import polars as pl

    place = Place(folder / "drifted")
    shutil.copytree(finished.folder, place.folder)
    (source,) = (place.folder / "data" / "batches" / "reference").glob("*/source.csv")
    rows = pl.read_csv(source, infer_schema=False).sample(5_000, seed=7)
    at_home = pl.int_range(pl.len()) % 100 < 35
    rows = rows.with_columns(
        pl.when(at_home).then(pl.lit("Yes")).otherwise(pl.lit("No")).alias("Remote Work")
    )
    inbox = place.folder / "data" / "inbox"
    inbox.mkdir(exist_ok=True)
    rows.write_csv(inbox / "november.csv")
    assert place.train().returncode == 0
    assert place.run("attrition", "monitor").returncode == 0
    return place


def test_the_whole_dashboard_of_a_place_where_data_has_drifted(
    finished: Place, browser: Any, tmp_path: Path
) -> None:
    """What a person sees at the address that `make ui` prints; the pictures of the README are of this."""
    place = drop_a_drifted_extract(finished, tmp_path)
    command = ("attrition", "dashboard")
    environment = place.environment | {"DAGSTER_HOME": str(CHECKOUT)}
    log_file, path = tmp_path / "dashboard.log", "/static/icon.svg"
    with answering(*command, environment=environment, log_file=log_file, path=path) as address:
        watched = Watched(browser, address)
        page = watched.open()
        assert "remote work" in page.locator("main").inner_text()
        keep_picture(page, "dashboard_executive")
        page = watched.open("/on-call")
        assert page.locator("section[aria-labelledby=runs] tbody tr").count() >= 3
        keep_picture(page, "dashboard_on_call")
        page = watched.open("/debug")
        drifted = page.locator("section[aria-labelledby=drift] tbody tr:has(rect.raises) th")
        assert set(drifted.all_inner_texts()) == {"remote_work", "probability"}
        keep_picture(page, "dashboard_debug")
        watched.assert_clean()
        watched.context.close()
