"""The page for HR partners as a person uses it: by keyboard, with mistakes, with a table, with teams."""

from __future__ import annotations

import csv
import io
import json
import random
import subprocess
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from attrition_platform.adapters.api_keys import ApiKeys
from attrition_platform.scoring.exports import FORMULA_STARTS
from attrition_platform.serving.app import build_app
from attrition_platform.serving.host import ModelHost
from attrition_platform.serving.metrics import Metrics
from attrition_platform.serving.service import PredictionService
from attrition_platform.stages.platform import Platform
from attrition_platform_tests.adapters.memory_prediction_log import MemoryPredictionLog
from attrition_platform_tests.conftest import Place
from attrition_platform_tests.served_place import make_platform, record
from attrition_platform_tests.watched_page import (
    Site,
    Watched,
    answering,
    assert_accessible,
    keep_picture,
)

pytestmark = [pytest.mark.browser, pytest.mark.slow, pytest.mark.timeout(600)]

V1 = "1" * 16


class Served(Site):
    """A service with a small champion, listening on a port of its own."""

    def __init__(self, platform: Platform) -> None:
        self.platform = platform
        self.keys = ApiKeys(platform.settings.data_dir / "api_keys.json", platform.key)
        self.log = MemoryPredictionLog()
        host = ModelHost(platform, lambda *_: None)
        host.refresh()
        service = PredictionService(host, self.log, Metrics())
        super().__init__(build_app(platform, service, self.keys, loopback=True))


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    platform = make_platform(tmp_path_factory.mktemp("served"))
    record(platform, V1)
    site = Served(platform)
    yield site
    site.stop()


class Form(Watched):
    """The page for HR partners: it may refuse what a person enters, and keeps nothing in the browser."""

    def on_console(self, message: Any) -> None:
        # That a request was refused is shown to the person; the browser notes it besides.
        if message.type in ("error", "warning") and "Failed to load resource" not in message.text:
            super().on_console(message)

    def is_its_own(self, url: str) -> bool:
        return super().is_its_own(url) or url.startswith(f"blob:{self.address}")

    def assert_clean(self) -> None:
        super().assert_clean()
        kept = "[localStorage.length, sessionStorage.length, document.cookie.length]"
        assert self.page.evaluate(kept) == [0, 0, 0]


@pytest.fixture
def watched(site: Served, browser: Any) -> Iterator[Form]:
    watched = Form(browser, site.address)
    yield watched
    watched.assert_clean()
    watched.context.close()


@pytest.fixture
def page(watched: Form) -> Any:
    page = watched.open()
    page.locator("form.card").wait_for()
    return page


def text_of(page: Any, selector: str) -> str:
    return str(page.locator(selector).inner_text()).replace("\xa0", " ")


def fill(page: Any, **values: str) -> None:
    """Fill in a form by the fields' names."""
    for name, value in values.items():
        radio = page.locator(f'input[type=radio][name={name}][value="{value}"]')
        if radio.count():
            radio.check()
        elif page.locator(f"select[name={name}]").count():
            page.locator(f"select[name={name}]").select_option(label=value)
        else:
            page.locator(f"input[name={name}]").fill(value)


def test_one_person_by_keyboard_alone(page: Any, site: Served) -> None:
    """From the address bar to tier and reasons without a mouse."""
    press = page.keyboard.press
    press("Tab")
    assert page.evaluate("document.activeElement.textContent") == "Skip to the content"
    press("Enter")
    press("Tab")
    assert page.evaluate("document.activeElement.id") == "tab-person"
    press("ArrowLeft")
    assert page.evaluate("document.activeElement.id") == "tab-teams"
    press("Home")
    press("Tab")
    page.keyboard.type("E-17")
    press("Tab")
    press("Space")  # level: the first value
    press("Tab")
    press("Space")
    press("ArrowRight")
    press("ArrowRight")  # remote work: No, Yes, Unknown
    press("Tab")
    page.keyboard.type("1")
    press("Tab")
    page.keyboard.type("2500.50")
    press("Enter")

    page.locator(".result").wait_for()
    assert page.evaluate("document.activeElement.id") == "result-title"
    told = site.log.since(0)[-1]
    assert told.pseudonym != "E-17"
    result = text_of(page, ".result")
    assert told.tier.capitalize() in result
    assert f"{told.probability * 100:.1f} %" in result
    assert "of 10 people with similar data left" in result
    assert "Not for dismissal" in result
    assert "decide together" in result
    assert "ask your HR partner" in result
    assert told.id in result
    assert V1 in result
    rows = page.locator(".bars tbody tr")
    assert rows.count() == 3
    assert page.locator(".bars svg[aria-hidden=true]").count() == 3
    announced = page.locator("#announce")
    announced.filter(has_text=told.tier.capitalize()).wait_for(state="attached")


def test_bars_of_reasons_point_where_their_words_say(page: Any) -> None:
    fill(page, level="Entry", remote="Yes", promotions="5", pay="9000")
    page.get_by_role("button", name="Estimate").click()
    page.locator(".result").wait_for()

    for row in page.locator(".bars tbody tr").all():
        raises = "raises" in row.locator(".effect").inner_text()
        assert row.locator("rect.raises").count() == int(raises)
        x, width = (float(row.locator("rect").get_attribute(k).rstrip("%")) for k in ("x", "width"))
        assert (x == 50) if raises else (abs(x + width - 50) < 1e-9)
        assert ("+" if raises else "−") in row.locator(".points").inner_text()


def test_unknown_is_offered_only_where_the_contract_allows_it(page: Any) -> None:
    assert page.locator("input[type=radio][name=remote]").count() == 3
    assert page.get_by_label("Unknown").count() == 1
    assert [label.strip() for label in page.locator("fieldset").first.locator("label").all_inner_texts()] == [
        "Entry",
        "Mid",
        "Senior",
    ], "in the contract's order"


def test_wrong_values_are_shown_at_their_fields_and_on_top(page: Any, site: Served) -> None:
    n_before = len(site.log.since(0))
    fill(page, level="Mid", remote="No", promotions="1.5", pay="1,250")
    page.get_by_role("button", name="Estimate").click()

    field = page.locator("#field-promotions")
    assert page.evaluate("document.activeElement.id") == "field-promotions"
    assert field.get_attribute("aria-invalid") == "true"
    assert "field-promotions-error" in field.get_attribute("aria-describedby")
    assert "must be a whole number" in text_of(page, "#field-promotions-error")
    assert "without separators" in text_of(page, "#field-pay-error")
    assert page.locator(".problems a").count() == 2
    assert page.locator(".problems").get_by_role("heading").inner_text() == "Please look at 2 fields"
    page.locator(".problems a").nth(1).click()
    assert page.evaluate("document.activeElement.id") == "field-pay"
    assert len(site.log.since(0)) == n_before, "nothing was sent"
    assert_accessible(page)
    fill(page, promotions="1", pay="1250")
    page.get_by_role("button", name="Estimate").click()
    page.locator(".result").wait_for()
    assert page.locator("[aria-invalid]").count() == 0


def test_what_the_service_refuses_is_shown_at_the_field_that_it_names(page: Any) -> None:
    """The page's own check is taken away, so that the service's word counts."""
    refusal = {
        "type": "urn:attrition:problem:invalid-employee",
        "title": "Unprocessable Content",
        "status": 422,
        "detail": "…",
        "errors": [{"field": "pay", "code": "out-of-range", "rule": "a number from 0 to <b>9</b>"}],
    }
    page.route(
        "**/predict",
        lambda route: route.fulfill(
            status=422, content_type="application/problem+json", body=json.dumps(refusal)
        ),
    )
    fill(page, level="Mid", remote="No", promotions="1", pay="1250")
    page.get_by_role("button", name="Estimate").click()
    page.locator("#field-pay-error").wait_for()

    assert page.evaluate("document.activeElement.id") == "field-pay"
    assert "outside the allowed range. Allowed: a number from 0 to <b>9</b>" in text_of(
        page, "#field-pay-error"
    )
    assert page.locator("form b").count() == 0, "the service's text is text"


TEAMS = [("Sales", 14), ("Service", 12), ("Legal", 3), ("Engineering", 41)]


def make_table(n_good: int = 70) -> str:
    """A table with a column that the contract does not know, formulas in cells, and one bad row."""
    names = [name for name, n in TEAMS for _ in range(n)]
    rows = [["Person", "Level", "Remote", "Promotions", "Pay", "Age", "Team", "Remark"]]
    for i in range(n_good):
        level = ["Entry", "Mid", "Senior"][i % 3]
        remark = ["=HYPERLINK(1)", "+1", "-1", "@x", "\tx", "<b>bold</b>", "plain"][i % 7]
        pay, promotions = str(1000 + 100 * (i % 20)), str(i % 6)
        rows.append([f"P{i}", level, "Yes", promotions, pay, "40", names[i % len(names)], remark])
    rows.insert(5, ["P-bad", "Boss", "Yes", "1", "1000", "40", "Sales", ""])
    text = io.StringIO()
    csv.writer(text).writerows(rows)
    return text.getvalue()


def upload(page: Any, content: str | bytes, name: str = "people.csv") -> None:
    page.get_by_role("tab", name="A table").click()
    data = content.encode() if isinstance(content, str) else content
    page.locator("#file").set_input_files([{"name": name, "mimeType": "text/csv", "buffer": data}])


def estimate(page: Any) -> None:
    page.get_by_role("button", name="Estimate").last.click()
    page.locator(".results").wait_for()


def test_a_table_is_estimated_sorted_turned_and_downloaded(page: Any, tmp_path: Path) -> None:
    bodies: list[str] = []
    page.on("request", lambda r: bodies.append(r.post_data or "") if r.url.endswith("/batch") else None)
    upload(page, make_table())
    assert text_of(page, "#stays") == "Age, Team, Remark"
    estimate(page)

    assert bodies[0].splitlines()[0] == '"person","level","remote","promotions","pay"'
    assert "HYPERLINK" not in "".join(bodies)
    assert "70 people estimated, 1 refused" in text_of(page, ".results")
    refused = text_of(page, '[aria-label="Refused rows"] tbody')
    assert refused.startswith("6\tLevel\tThis is not one of the allowed values")

    table = page.locator('[aria-label="Estimates, person by person"]')
    assert table.locator("tbody tr").count() == 50
    estimates = [float(c.split()[0]) for c in table.locator("tbody td:nth-of-type(2)").all_inner_texts()]
    assert estimates == sorted(estimates, reverse=True)
    heading = table.locator("th", has_text="Row")
    assert heading.get_attribute("aria-sort") is None
    heading.locator("button").focus()
    page.keyboard.press("Enter")
    assert heading.get_attribute("aria-sort") == "ascending"
    assert table.locator("[aria-sort]").count() == 1
    assert table.locator("tbody tr").first.locator("td").first.inner_text() == "2"
    page.keyboard.press("Enter")
    assert heading.get_attribute("aria-sort") == "descending"
    page.get_by_role("button", name="Next").click()
    assert table.locator("tbody tr").count() == 20
    assert "51 to 70 of 70" in text_of(page, "nav.pager >> nth=0")

    with page.expect_download() as download:
        page.get_by_role("button", name="Download as CSV").click()
    path = tmp_path / "results.csv"
    download.value.save_as(path)
    assert download.value.suggested_filename == "people-estimates.csv"
    with path.open(encoding="utf-8-sig", newline="") as file:
        rows = list(csv.DictReader(file))
    assert len(rows) == 71
    assert [row["Remark"] for row in rows if row["Person"] in ("P0", "P1", "P2", "P3")] == [
        "'=HYPERLINK(1)",
        "'+1",
        "'-1",
        "'@x",
    ]
    assert not any(cell[:1] in ("=", "+", "-", "@", "\t", "\r") for row in rows for cell in row.values())
    bad = next(row for row in rows if row["Person"] == "P-bad")
    assert bad["estimate: probability"] == ""
    assert "level" in bad["estimate: problem"]
    assert {row["estimate: model version"] for row in rows if row is not bad} == {V1}
    assert_accessible(page)


def test_a_small_team_is_neither_shown_nor_computable(page: Any) -> None:
    """Legal has 3 people; shown alone as 'smaller groups' it would be the total minus the others."""
    upload(page, make_table())
    estimate(page)
    page.get_by_role("tab", name="Teams").click()

    table = page.locator("table.teams")
    assert page.locator("#group-by").evaluate("select => select.selectedOptions[0].text") == "Team"
    assert sorted(table.locator("tbody tr:not(.smaller) th").all_inner_texts()) == ["Engineering", "Sales"]
    assert "Smaller groups (15 people)" in table.inner_text(), "Service is hidden along with Legal"
    for name in ("Legal", "Service"):
        assert name not in text_of(page, "#panel-teams")
    assert "too: otherwise the smaller one could be worked out" in text_of(page, "#panel-teams")
    assert_accessible(page)
    page.locator("#group-by").select_option(label="Level")
    assert table.locator("tbody th").count() == 3
    options = page.locator("#group-by option").all_inner_texts()
    assert "Person" not in options
    assert "Pay" not in options, "a measurement divides nobody into teams"


def test_nobody_is_grouped_by_who_they_are(page: Any) -> None:
    """Several rows of the same people would make groups of the ids."""
    rows = [f"P{i % 12},Mid,No,{i % 2},{1000 + i}" for i in range(48)]
    upload(page, "\n".join(["Person,Level,Remote,Promotions,Pay", *rows]))
    estimate(page)
    page.get_by_role("tab", name="Teams").click()

    assert page.locator("#group-by option").all_inner_texts() == ["Promotions"]


def test_nobody_is_grouped_by_a_protected_column(page: Any) -> None:
    """Only the auditor reads protected attributes, with intervals and the policy's rules."""
    rows = [f"P{i},Mid,No,{i % 2},{1000 + i},{30 + i % 2}" for i in range(48)]
    upload(page, "\n".join(["Person,Level,Remote,Promotions,Pay,Age", *rows]))
    estimate(page)
    page.get_by_role("tab", name="Teams").click()

    assert page.locator("#group-by option").all_inner_texts() == ["Promotions"]
    assert "Not offered: Age." in text_of(page, "#panel-teams")
    assert_accessible(page)


def test_a_download_holds_no_formula_however_it_begins(page: Any) -> None:
    """The same signs as in exports from the shell."""
    starts = list(FORMULA_STARTS)

    found = page.evaluate(
        """async (starts) => {
            const { harmless } = await import(new URL("static/csv.js", location.href));
            return [...starts, "a"].map((start) => harmless(start + "1"));
        }""",
        starts,
    )
    assert found == [*(f"'{start}1" for start in starts), "a1"]


def test_what_may_be_shown_for_any_sizes(page: Any) -> None:
    """No group below the minimum is shown, and what is hidden never is one group or too few people."""
    check = """async (minimum) => {
        const { withheld } = await import(new URL("static/groups.js", location.href));
        const wrong = [];
        let seed = 7;
        const random = () => (seed = (seed * 48271) % 2147483647) / 2147483647;
        for (let i = 0; i < 3000; i += 1) {
            const sizes = Array.from({ length: 1 + Math.floor(random() * 9) },
                () => 1 + Math.floor(random() * 3 * minimum));
            const groups = sizes.map((n, j) => ({ name: String(j), n }));
            const { shown, hidden } = withheld(groups, minimum);
            const nHidden = hidden.reduce((sum, group) => sum + group.n, 0);
            const isSafe = shown.every((group) => group.n >= minimum)
                && (hidden.length === 0 || shown.length === 0 || (hidden.length > 1 && nHidden >= minimum));
            const isNeeded = hidden.length === 0 || sizes.some((n) => n < minimum);
            if (!isSafe || !isNeeded || shown.length + hidden.length !== groups.length) wrong.push(sizes);
        }
        return wrong;
    }"""

    assert page.evaluate(check, 10) == []
    assert page.evaluate(check, 2) == []


@pytest.mark.parametrize(
    ("text", "said"),
    [
        (
            "Person,Level,Remote,Promotions\n1,Mid,No,2\n",
            "lacks a column that the estimate needs: Monthly pay",
        ),
        ("Level,level,Remote,Promotions,Pay\nMid,Mid,No,2,1\n", "Two columns are both “Level”"),
        ('Level,Remote,Promotions,Pay\n"Mid,No,2,1\n', "quote that opens in row 2 is never closed"),
        ('Level,Remote,Promotions,Pay\n"Mid"x,No,2,1\n', "Row 2 has text after a closing quote"),
        ("Level,Remote,Promotions,Pay\n", "headings and no rows"),
        ("", "first row must name the columns"),
        (b"\xff\xfeL\x00", "no text in UTF-8"),
    ],
)
def test_a_table_that_cannot_be_read_says_why_and_nothing_is_sent(
    page: Any, text: str | bytes, said: str
) -> None:
    upload(page, text)

    page.locator("#file-error", has_text=said).wait_for()
    assert page.get_by_role("button", name="Estimate").count() == 0


def test_rows_keep_the_numbers_that_a_spreadsheet_shows(page: Any) -> None:
    """Semicolons, a byte order mark, an empty line, a line break inside a cell, a row that is too short."""
    lines = [
        "Level;Remote;Promotions;Pay;Note",
        'Mid;No;2;1000;"a',
        'b"',
        "",
        "Mid;No;2",
        "Chief;No;2;1000;x",
    ]
    upload(page, "\ufeff" + "\r\n".join(lines))
    estimate(page)

    assert "1 person estimated, 2 refused" in text_of(page, ".results")
    refused = page.locator('[aria-label="Refused rows"] tbody tr').all_inner_texts()
    assert refused[0].startswith("4\twhole row\tThis row has another number of cells")
    assert refused[1].startswith("5\tLevel\t")


def test_a_large_table_goes_in_pieces_and_comes_back_in_order(page: Any, site: Served) -> None:
    """Two pieces; the second is told to wait once, and the page does so by itself."""
    sizes: list[int] = []

    def on_batch(route: Any) -> None:
        n_rows = len(route.request.post_data.splitlines()) - 1
        if sizes and sizes[-1] == 5000:
            sizes.append(0)
            route.fulfill(
                status=429,
                headers={"retry-after": "1", "content-type": "application/problem+json"},
                body='{"title": "Too Many Requests", "status": 429, "detail": "Later."}',
            )
            return
        sizes.append(n_rows)
        route.continue_()

    page.route("**/predict/batch", on_batch)
    rows = [f"P{i},Mid,No,{i % 6},{1000 + i}" for i in range(5400)]
    upload(page, "\n".join(["Person,Level,Remote,Promotions,Pay", *rows]))
    estimate(page)

    assert sizes == [5000, 0, 400]
    assert "5,400 people estimated, 0 refused" in text_of(page, ".results")
    assert len({one.pseudonym for one in site.log.since(0)} - {None}) >= 5400


def test_a_stopped_upload_keeps_what_is_done_and_says_what_is_not(page: Any) -> None:
    def on_batch(route: Any) -> None:
        if len(route.request.post_data.splitlines()) == 5001:
            route.continue_()

    page.route("**/predict/batch", on_batch)
    rows = [f"Mid,No,{i % 6},{1000 + i}" for i in range(5400)]
    upload(page, "\n".join(["Level,Remote,Promotions,Pay", *rows]))
    page.get_by_role("button", name="Estimate").last.click()
    page.get_by_text("5,000 of 5,400 people", exact=True).wait_for()
    page.get_by_role("button", name="Stop").click()
    page.locator(".results").wait_for()

    assert "You stopped it. 400 people were not estimated." in text_of(page, ".results")
    page.unroute_all(behavior="ignoreErrors")


def test_another_table_takes_the_place_of_one_that_is_on_its_way(page: Any) -> None:
    held: list[Any] = []
    page.route("**/predict/batch", lambda route: route.continue_() if held else held.append(route))
    upload(page, make_table())
    page.get_by_role("button", name="Estimate").last.click()
    page.locator("progress").wait_for()
    page.wait_for_timeout(100)
    assert len(held) == 1, "never answered"
    page.evaluate("""() => {
        window.nShown = 0;
        const look = () => { window.nShown += document.querySelectorAll(".results").length; };
        new MutationObserver(look).observe(document.body, { childList: true, subtree: true });
    }""")
    with page.expect_event("requestfailed"):
        upload(page, make_table(20), name="other.csv")
    page.get_by_role("button", name="Estimate 21 people").wait_for()
    assert page.evaluate("window.nShown") == 0, "the first one's results came late"
    estimate(page)

    assert "20 people estimated, 1 refused" in text_of(page, ".results")


def test_dropping_a_file_works_and_missing_the_zone_keeps_the_page(page: Any) -> None:
    page.get_by_role("tab", name="A table").click()
    drop = """([selector, text]) => {
        const carried = new DataTransfer();
        carried.items.add(new File([text], "dropped.csv"));
        const event = new DragEvent("drop", { dataTransfer: carried, bubbles: true, cancelable: true });
        return !document.querySelector(selector).dispatchEvent(event);
    }"""

    assert page.evaluate(drop, ["body", make_table()]) is True, "the browser must not open it"
    assert page.get_by_role("button", name="Estimate").count() == 0
    page.evaluate(drop, [".drop", make_table()])
    page.get_by_role("button", name="Estimate 71 people").wait_for()


def test_text_from_files_is_never_markup(page: Any) -> None:
    head = "Person,Level,Remote,Promotions,Pay,<img src=x onerror=boom()>"
    names = ["<i>a</i>", "<i>b</i>"]
    rows = [f"<u>{i}</u>,Mid,No,1,{1000 + i},{names[i % 2]}" for i in range(40)]
    upload(page, "\n".join([head, *rows]), name="<s>.csv")
    assert "<img src=x" in text_of(page, "#stays")
    estimate(page)
    page.get_by_role("tab", name="Teams").click()

    assert "<i>a</i>" in text_of(page, "table.teams")
    assert page.locator("main :is(i, u, s, img)").count() == 0


def test_a_needed_key_is_asked_for_and_kept_in_memory_only(tmp_path: Path, browser: Any, page: Any) -> None:
    platform = make_platform(tmp_path)
    record(platform, V1)
    site = Served(platform)
    watched = Form(browser, site.address)
    try:
        key = site.keys.add("hr", frozenset({"predict"}), at="2026-01-01T00:00:00+00:00")
        page = watched.open()
        dialog = page.get_by_role("dialog")
        dialog.wait_for()
        assert page.evaluate("document.activeElement.id") == "key-input"
        assert_accessible(page)
        dialog.get_by_label("Key").fill("wrong")
        page.keyboard.press("Enter")
        dialog.get_by_text("This key was not accepted").wait_for()
        page.keyboard.press("Escape")
        page.get_by_text("answers only with a key").wait_for()
        page.get_by_role("button", name="Try again").click()
        dialog.get_by_label("Key").fill(key)
        page.keyboard.press("Enter")
        page.locator("form.card").wait_for()
        fill(page, level="Mid", remote="No", promotions="1", pay="1250")
        page.get_by_role("button", name="Estimate").click()
        page.locator(".result").wait_for()
        assert site.log.since(0)[-1].client == "hr"
        assert page.locator("#key-input").input_value() == ""
        watched.assert_clean()
        page.reload()
        dialog.wait_for()
    finally:
        watched.context.close()
        site.stop()


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_every_view_is_accessible(site: Served, browser: Any, scheme: str) -> None:
    """axe-core finds nothing: names, labels, landmarks, contrast, in both colour schemes."""
    watched = Form(browser, site.address, color_scheme=scheme)
    page = watched.open()
    page.locator("form.card").wait_for()
    assert_accessible(page)
    fill(page, level="Entry", remote="", promotions="1", pay="100")  # "" is the value of "Unknown"
    page.get_by_role("button", name="Estimate").click()
    page.locator(".result").wait_for()
    assert_accessible(page)
    upload(page, make_table())
    page.locator("#stays").wait_for()
    assert_accessible(page)
    estimate(page)
    page.get_by_text("The same numbers as a table").click()
    assert_accessible(page)
    page.get_by_role("tab", name="Teams").click()
    assert_accessible(page)
    page = watched.open("/docs")
    page.locator(".operation").first.wait_for()
    assert_accessible(page)
    watched.assert_clean()
    watched.context.close()


@pytest.mark.parametrize("width", [320, 640])
def test_nothing_needs_sideways_scrolling_on_a_small_or_zoomed_screen(
    site: Served, browser: Any, width: int
) -> None:
    """320 px is also 1280 px at 400 % zoom; 640 px is 1280 px at 200 %."""
    watched = Form(browser, site.address, viewport={"width": width, "height": 700})
    page = watched.open()
    page.locator("form.card").wait_for()

    def assert_fits() -> None:
        assert page.evaluate("document.documentElement.scrollWidth") <= width

    assert_fits()
    fill(page, level="Entry", remote="No", promotions="1", pay="1000")
    page.get_by_role("button", name="Estimate").click()
    page.locator(".result").wait_for()
    assert_fits()
    upload(page, make_table())
    estimate(page)
    assert_fits()
    page.get_by_role("tab", name="Teams").click()
    assert_fits()
    page = watched.open("/docs")
    page.locator(".operation").first.wait_for()
    assert_fits()
    watched.context.close()


def test_the_docs_page_shows_every_operation_with_an_example_that_works(watched: Form) -> None:
    page = watched.open("/docs")
    page.locator(".operation").first.wait_for()
    with urllib.request.urlopen(f"{watched.address}/openapi.json") as answer:
        paths = json.load(answer)["paths"]

    shown = {" ".join(text.split()) for text in page.locator(".operation h2").all_inner_texts()}
    assert shown == {f"{method.upper()} {path}" for path, methods in paths.items() for method in methods}
    example = page.get_by_role("region", name="Example: POST /predict", exact=True).inner_text()
    done = subprocess.run(["bash", "-c", example + " -s"], capture_output=True, text=True, check=True)
    assert json.loads(done.stdout)["model_version"] == V1


def test_a_service_without_a_model_says_so(tmp_path: Path, browser: Any) -> None:
    site = Served(make_platform(tmp_path))
    watched = Form(browser, site.address)
    try:
        page = watched.open()
        page.get_by_role("alert").filter(has_text="No model can serve").wait_for()
        assert_accessible(page)
    finally:
        watched.context.close()
        site.stop()


PERSON = {
    "years_at_company": "2",
    "job_role": "Media",
    "monthly_income": "4200",
    "work_life_balance": "Poor",
    "job_satisfaction": "Medium",
    "performance_rating": "Average",
    "number_of_promotions": "0",
    "overtime": "Yes",
    "distance_from_home": "40",
    "education_level": "PhD",
    "number_of_dependents": "1",
    "job_level": "Entry",
    "company_size": "Medium",
    "company_tenure": "20",
    "remote_work": "No",
    "leadership_opportunities": "No",
    "innovation_opportunities": "Yes",
    "company_reputation": "Fair",
    "employee_recognition": "Medium",
}
DEPARTMENTS = {"Sales": 300, "Customer care": 260, "Engineering": 250, "Operations": 190, "Finance": 90}
SMALL_DEPARTMENTS = {"Legal": 7, "Works council": 4}


def make_people(fields: list[dict[str, Any]]) -> str:
    """Made-up people of several departments; customer care has the juniors, engineering works from home."""
    rng = random.Random(7)

    def value(field: dict[str, Any], department: str) -> str:
        name = field["name"]
        if department == "Customer care" and name == "job_level" and rng.random() < 0.6:
            return "Entry"
        if department == "Engineering" and name == "remote_work" and rng.random() < 0.7:
            return "Yes"
        if field["values"]:
            return str(rng.choice(field["values"]))
        highest = {"monthly_income": 12_000, "years_at_company": 30, "number_of_promotions": 3}
        return str(rng.randint(1, highest.get(name, 60 if field["max"] > 60 else 4)))

    names = [name for name, n in {**DEPARTMENTS, **SMALL_DEPARTMENTS}.items() for _ in range(n)]
    rng.shuffle(names)
    rows = [["employee_id", "Department", *(field["name"] for field in fields)]]
    rows += [[f"E{4000 + i}", name, *(value(f, name) for f in fields)] for i, name in enumerate(names)]
    rows[18][3] = "unknown"
    text = io.StringIO()
    csv.writer(text).writerows(rows)
    return text.getvalue()


def visit(watched: Form) -> None:
    """One person, a table and its teams with the model of the reference population."""
    page = watched.open()
    page.locator("form.card").wait_for()
    fill(page, **PERSON)
    keep_picture(page, "hr_form")
    page.get_by_role("button", name="Estimate").click()
    page.locator(".result").wait_for()
    keep_picture(page, "hr_result", "#result")
    with urllib.request.urlopen(f"{watched.address}/form") as answer:
        fields = json.load(answer)["fields"]
    upload(page, make_people(fields), name="people.csv")
    assert text_of(page, "#stays") == "Department"
    estimate(page)
    assert "1,100 people estimated, 1 refused" in text_of(page, ".results")
    keep_picture(page, "hr_table", ".results")
    page.get_by_role("tab", name="Teams").click()
    shown = page.locator("table.teams tbody tr:not(.smaller) th").all_inner_texts()
    assert sorted(shown) == sorted(DEPARTMENTS)
    assert "Smaller groups (11 people)" in page.locator("table.teams").inner_text()
    keep_picture(page, "hr_team", "#panel-teams")


def test_the_whole_page_with_a_trained_champion(finished: Place, browser: Any, tmp_path: Path) -> None:
    """What a stranger does after `make train` and `make serve`; the pictures of the README are of this."""
    log_file, path = tmp_path / "serve.log", "/v2/health/ready"
    with answering(
        "attrition", "serve", environment=finished.environment, log_file=log_file, path=path
    ) as address:
        watched = Form(browser, address)
        visit(watched)
        watched.assert_clean()
        watched.context.close()
