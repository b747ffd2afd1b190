"""The dashboard: what it says is never better than what is known, and it lets nobody do anything."""

from __future__ import annotations

import asyncio
import re
import time
from collections.abc import Iterator
from datetime import timedelta
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import httpx
import pytest
from prometheus_client.parser import text_string_to_metric_families

from attrition_platform.adapters.notifications import Notifier, Status
from attrition_platform.dashboard import words
from attrition_platform.dashboard.app import build_app
from attrition_platform.dashboard.drawing import Drawer
from attrition_platform.dashboard.guard import refuse
from attrition_platform.dashboard.metrics import pipeline_facts
from attrition_platform.dashboard.pages import VIEWS, Pages
from attrition_platform.ports import LedgerReport
from attrition_platform.stages.overview import overview
from attrition_platform.stages.platform import Platform
from attrition_platform.stages.window_report import WindowReport, find_report
from attrition_platform.web.static_files import static_files
from attrition_platform_tests.served_place import make_platform, record
from attrition_platform_tests.watched_place import (
    V1,
    accept_file,
    drift_facts,
    now,
    performance_facts,
    run,
    watched_place,
    write_report,
)

BASE = "http://127.0.0.1:3001"
RUNBOOKS = {
    "drift": "# drift\n\n<script>x</script> [metrics](../metrics.md) [burn](slow-burn.md)",
    "slow-burn": "x",
}


async def draw_a_page(report: WindowReport) -> str | None:
    report.path.parent.mkdir(parents=True, exist_ok=True)
    report.path.write_text("<html><script>1</script></html>")
    return None


class Client:
    """Asks the application; what it began goes on between two questions, until the end."""

    def __init__(self, app: Any) -> None:
        self._app = app
        self._runner = asyncio.Runner()

    def __enter__(self) -> Client:
        return self

    def __exit__(self, *_: object) -> None:
        self._runner.close()

    def request(self, method: str, path: str, **options: Any) -> httpx.Response:
        async def ask() -> httpx.Response:
            transport = httpx.ASGITransport(self._app)
            async with httpx.AsyncClient(transport=transport, base_url=BASE) as client:
                return await client.request(method, path, **options)

        return self._runner.run(ask())

    def get(self, path: str, **options: Any) -> httpx.Response:
        return self.request("GET", path, **options)


def client_of(platform: Platform, **options: Any) -> Client:
    options = {"draw": draw_a_page, "runbooks": RUNBOOKS, **options}
    return Client(build_app(platform, **options))


@pytest.fixture(params=["empty", "in order", "troubled"])
def any_place(request: pytest.FixtureRequest, tmp_path: Path) -> Platform:
    if request.param == "empty":
        return make_platform(tmp_path)
    return watched_place(tmp_path, troubled=request.param == "troubled")


class Elements(HTMLParser):
    """All elements of a page with their attributes, and its text."""

    def __init__(self, page: str) -> None:
        super().__init__()
        self.found: list[tuple[str, dict[str, str | None]]] = []
        self.text = ""
        self.feed(page)
        self.text = re.sub(r"\s+", " ", self.text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.found.append((tag, dict(attrs)))

    def handle_data(self, data: str) -> None:
        self.text += f"{data} "


def text_of(client: Client, path: str) -> str:
    return Elements(client.get(path).text).text


# What the pages say


@pytest.mark.parametrize("path", [view.path for view in VIEWS])
def test_every_view_is_a_whole_page_without_scripts_whatever_is_known(any_place: Platform, path: str) -> None:
    with client_of(any_place, history=lambda _: [run("failure", 1.0, "monitor")]) as client:
        answer = client.get(path)
    elements = Elements(answer.text).found
    tags = [tag for tag, _ in elements]

    assert answer.status_code == 200
    assert tags.count("h1") == tags.count("main") == tags.count("header") == tags.count("footer") == 1
    assert "script" not in tags
    assert not [a for _, a in elements if "style" in a or any(name.startswith("on") for name in a)]
    ids = [attributes["id"] for _, attributes in elements if "id" in attributes]
    assert len(ids) == len(set(ids))
    named = {a["aria-labelledby"] for _, a in elements if a.get("aria-labelledby")}
    assert named <= set(ids)


def test_an_empty_place_says_what_to_do_and_praises_nothing(tmp_path: Path) -> None:
    with client_of(make_platform(tmp_path)) as client:
        text = text_of(client, "/")

    assert "No model decides yet" in text
    assert "make train" in text
    assert words.TONES["good"] not in text


def test_a_place_in_order_says_so(tmp_path: Path) -> None:
    with client_of(watched_place(tmp_path)) as client:
        text = text_of(client, "/")

    assert f"Model {V1} (logistic regression), promoted by the gates." in text
    assert "Outcomes that are known bear it out." in text
    assert "looks like what the model learned from" in text
    assert "No alert stands." in text
    assert words.TONES["attention"] not in text
    assert words.TONES["bad"] not in text


@pytest.mark.parametrize("path", [*(view.path for view in VIEWS), "/metrics"])
def test_where_the_contract_is_broken_every_page_still_says_so(tmp_path: Path, path: str) -> None:
    platform = make_platform(tmp_path)
    (tmp_path / "tiny.toml").write_text("[contract")
    with client_of(platform, history=lambda _: []) as client:
        answer = client.get(path)

    assert answer.status_code == 200
    assert "tiny.toml" in answer.text or path == "/metrics"
    assert words.TONES["good"] not in answer.text


def test_a_report_where_the_contract_is_broken_is_a_fault_in_words(tmp_path: Path) -> None:
    platform = make_platform(tmp_path)
    (tmp_path / "tiny.toml").write_text("[contract")
    with client_of(platform) as client:
        answer = client.get(f"/reports/{'0' * 16}")

    assert answer.status_code == 503
    assert "tiny.toml" in answer.text


def test_matured_estimated_and_unknown_stand_apart(tmp_path: Path) -> None:
    with client_of(watched_place(tmp_path)) as client:
        text = text_of(client, "/")

    assert re.search(r"Known 900 predictions whose outcome is known", text)
    assert re.search(r"Estimated 0 predictions believed", text)
    assert re.search(r"Unknown 0 predictions of which nothing was heard", text)


def test_trouble_is_told_with_its_runbook_and_markup_in_it_is_text(tmp_path: Path) -> None:
    platform = watched_place(tmp_path, troubled=True)
    with client_of(platform, runbooks={"security": "x", "failed-run": "x"}) as client:
        page = client.get("/on-call").text
    links = [attributes.get("href") for tag, attributes in Elements(page).found if tag == "a"]

    assert "/runbooks/security" in links
    assert "&lt;i&gt;record 2&lt;/i&gt;" in page
    assert "odd &lt;b&gt;.csv" in page
    assert "Column x is missing." in page
    assert page.index("security") < page.index("failed run"), "who must act now stands first"


def test_the_debug_page_has_a_bar_for_each_column_that_has_a_score(tmp_path: Path) -> None:
    with client_of(watched_place(tmp_path, troubled=True)) as client:
        page = client.get("/debug").text

    assert len(re.findall(r'<rect class="raises"', page)) == 1
    first, second = (float(w) for w in re.findall(r'<rect class="\w+" .*?width="([\d.]+)%"', page)[:2])
    assert 0 < second <= first <= 100 or second == 0
    assert "Can't be tested" in Elements(page).text
    assert "Column 'Mood' is new." in Elements(page).text
    assert "The chain holds" in page


@pytest.mark.parametrize("path", ["/", "/on-call", "/debug"])
def test_a_page_loads_itself_anew_only_where_that_was_asked_for(tmp_path: Path, path: str) -> None:
    with client_of(make_platform(tmp_path)) as client:
        still, fresh = client.get(path).text, client.get(f"{path}?fresh").text

    assert "http-equiv" not in still
    assert '<meta http-equiv="refresh" content="30">' in fresh
    assert 'href="/on-call?fresh"' in fresh
    assert "Stop that" in fresh


# Tones


def known(platform: Platform) -> dict[str, Any]:
    return overview(platform)


def test_a_good_verdict_that_is_old_is_no_longer_good(tmp_path: Path) -> None:
    platform = watched_place(tmp_path)
    found = known(platform)
    fresh = words.about_promises(found).tone, words.about_quality(found).tone, words.about_alerts(found).tone
    later = {**found, "at": (now() + timedelta(days=3)).isoformat()}

    assert fresh == ("good", "good", "good")
    assert words.about_promises(later).tone == "attention"
    assert "3 days ago" in words.about_quality(later).text
    assert words.about_alerts(later).tone == "attention"


def test_a_verdict_on_another_model_is_none_on_this_one(tmp_path: Path) -> None:
    platform = watched_place(tmp_path)
    record(platform, "2" * 16)
    found = known(platform)

    assert words.about_quality(found).tone == "unknown"
    assert V1 in words.about_quality(found).text
    assert set(pipeline_facts(found).matured.values()) == {None}


@pytest.mark.parametrize(
    ("verdict", "tone"),
    [("ok", "good"), ("below-floor", "bad"), ("concept-drift", "bad"), ("cannot-judge", "unknown")],
)
def test_each_verdict_on_outcomes_has_its_tone(tmp_path: Path, verdict: str, tone: str) -> None:
    platform = watched_place(tmp_path)
    write_report(platform, "performance_report", performance_facts() | {"verdict": verdict})

    assert words.about_quality(known(platform)).tone == tone


@pytest.mark.parametrize(
    ("change", "tone"),
    [
        ({}, "good"),
        ({"problem": "There is no champion yet."}, "unknown"),
        ({"score": None}, "unknown"),
        ({"schema_changes": [{"kind": "unit-change", "text": "Months."}]}, "attention"),
        ({"drifted": True, "columns": ["level"]}, "attention"),
    ],
)
def test_each_finding_about_data_has_its_tone(tmp_path: Path, change: dict[str, Any], tone: str) -> None:
    platform = make_platform(tmp_path)
    write_report(platform, "drift_report", drift_facts("a" * 16, troubled=False) | change)

    assert words.about_drift(known(platform)).tone == tone


def test_a_part_that_cant_be_read_makes_the_whole_no_good(tmp_path: Path) -> None:
    platform = watched_place(tmp_path)
    (platform.pointers_dir / "slo_report" / "newest.json").write_text("{half")
    with client_of(platform) as client:
        text = text_of(client, "/")

    assert "Something wants to be looked at." in text


def test_a_ledger_that_does_not_verify_calls_somebody(tmp_path: Path) -> None:
    platform = watched_place(tmp_path)
    found = known(platform)
    found["release"]["chain_problem"] = "record 1 was changed after it was written"

    assert words.about_model(found).tone == "bad"
    assert words.about_alerts(found).tone == "bad"


def test_what_happens_next_names_canary_and_causes(tmp_path: Path) -> None:
    platform = watched_place(tmp_path, troubled=True)
    record(platform, "2" * 16, "canary", share=0.1)
    steps = " ".join(words.next_steps(known(platform)))

    assert f"Model {'2' * 16} is on trial (10.0 %)" in steps
    assert "because of: drift" in steps


# Metrics


def test_metrics_are_those_of_the_pages(tmp_path: Path) -> None:
    platform = watched_place(tmp_path, troubled=True)
    runs = [run("success", 1.0, "monitor"), run("failure", 2.0, "train_champion")]
    with client_of(platform, history=lambda _: runs) as client:
        answer = client.get("/metrics")
    series = {
        (sample.name, *sorted(sample.labels.items())): sample.value
        for family in text_string_to_metric_families(answer.text)
        for sample in family.samples
    }

    assert answer.headers["content-type"] == "text/plain; version=0.0.4; charset=utf-8"
    assert series["attrition_champion_test_roc_auc",] == 0.8
    assert series["attrition_drifted_columns",] == 1
    assert series["attrition_alerts_firing", ("alert", "security"), ("severity", "page")] == 1
    assert series["attrition_open_causes", ("kind", "drift")] == 1
    assert series["attrition_runs", ("dagster_job", "train_champion"), ("status", "failure")] == 1
    assert series["attrition_notifications_failed",] == 0
    assert series["attrition_window_age_seconds",] < 60
    assert ("attrition_matured_performance", ("metric", "roc_auc")) in series


def metrics_of(platform: Platform) -> dict[tuple[Any, ...], float]:
    with client_of(platform) as client:
        text = client.get("/metrics").text
    return {
        (sample.name, *sample.labels.values()): sample.value
        for family in text_string_to_metric_families(text)
        for sample in family.samples
    }


def test_metrics_say_when_alerts_were_judged_and_what_cant_be_read(tmp_path: Path) -> None:
    """Neither is the time of the scrape: a pipeline that nobody judges looks old."""
    platform = watched_place(tmp_path)
    old = now() - timedelta(hours=7)
    facts = overview(platform)["slo"]
    write_report(platform, "slo_report", facts, at=old.isoformat())
    assert metrics_of(platform)["attrition_slo_judged_time_seconds",] == old.timestamp()

    (platform.pointers_dir / "slo_report" / "newest.json").write_text("{half")
    found = metrics_of(platform)

    assert ("attrition_slo_judged_time_seconds",) not in found
    assert found["attrition_source_readable", "slo"] == 0
    assert found["attrition_source_readable", "drift"] == 1


def test_metrics_see_a_changed_ledger_at_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    platform = watched_place(tmp_path)
    assert metrics_of(platform)["attrition_ledger_intact",] == 1
    changed = LedgerReport(False, 1, "0" * 64, "record 1 was changed after it was written")
    monkeypatch.setattr(platform.ledger, "verify", lambda: changed)

    assert metrics_of(platform)["attrition_ledger_intact",] == 0


def test_metrics_tell_of_causes_that_were_given_up_and_of_channels_that_fail_now(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    platform = watched_place(tmp_path, troubled=True)
    rule = platform.policy.triggers.model_copy(update={"max_attempts": 1})
    (requested,) = platform.causes.request(rule, now()).request
    platform.causes.settle(str(requested.run_key), succeeded=False, rule=rule, now=now())
    failing = Status(0, undelivered={"webhook": 3}, failing={"webhook": (now().isoformat(), "HTTP 500")})
    monkeypatch.setattr(Notifier, "status", lambda _: failing)
    monkeypatch.setattr(Notifier, "channels", ("file", "webhook"))

    found = metrics_of(platform)

    assert found["attrition_ticketed_causes", "drift"] == 1
    assert found["attrition_open_causes", "drift"] == 0
    assert found["attrition_notifications_undelivered", "webhook"] == 3
    assert found["attrition_notifications_undelivered", "file"] == 0
    assert found["attrition_channel_failing", "webhook"] == 1
    assert found["attrition_channel_failing", "file"] == 0


def test_what_is_not_known_has_no_series(tmp_path: Path) -> None:
    with client_of(make_platform(tmp_path)) as client:
        text = client.get("/metrics").text

    told = {line.split("{")[0].split()[0] for line in text.splitlines() if not line.startswith("#")}
    assert told == {
        "attrition_source_readable",
        "attrition_open_causes",
        "attrition_ticketed_causes",
        "attrition_notifications_failed",
        "attrition_notifications_undelivered",
        "attrition_channel_failing",
    }


# Who is answered


@pytest.mark.parametrize("method", ["POST", "PUT", "DELETE", "PATCH", "OPTIONS", "TRACE"])
@pytest.mark.parametrize("path", ["/", "/metrics", "/reports/x"])
def test_nothing_can_be_done(tmp_path: Path, method: str, path: str) -> None:
    with client_of(make_platform(tmp_path)) as client:
        answer = client.request(method, path)

    assert answer.status_code == 405
    assert answer.headers["allow"] == "GET, HEAD"


@pytest.mark.parametrize("host", ["rebound.example", "127.0.0.1.example", "localhost@evil.example", ""])
def test_a_foreign_host_gets_nothing(tmp_path: Path, host: str) -> None:
    with client_of(watched_place(tmp_path)) as client:
        answer = client.get("/", headers={"host": host})

    assert answer.status_code in (400, 421)
    assert V1 not in answer.text


def test_a_host_that_the_operator_names_is_answered(tmp_path: Path) -> None:
    platform = make_platform(tmp_path)
    with client_of(platform, allowed_hosts=frozenset({b"people.example"})) as client:
        assert client.get("/", headers={"host": "People.example:443"}).status_code == 200
        assert client.get("/", headers={"host": "other.example"}).status_code == 421


def test_two_hosts_are_none() -> None:
    headers = [(b"host", b"127.0.0.1"), (b"host", b"127.0.0.1")]

    assert refuse("GET", headers) is not None


def test_another_site_may_link_here_and_load_nothing() -> None:
    here, cross = (b"host", b"localhost:3001"), (b"sec-fetch-site", b"cross-site")
    link = [(b"sec-fetch-mode", b"navigate"), (b"sec-fetch-dest", b"document")]
    frame = [(b"sec-fetch-mode", b"navigate"), (b"sec-fetch-dest", b"iframe")]
    image = [(b"sec-fetch-mode", b"no-cors"), (b"sec-fetch-dest", b"image")]

    assert refuse("GET", [here, cross, *link]) is None
    assert [refuse("GET", [here, cross, *how]) is None for how in (frame, image)] == [False, False]


@pytest.mark.parametrize("path", ["/", "/nope", "/metrics", "/static/dashboard.css", "/reports/x"])
def test_every_answer_has_the_headers_that_keep_scripts_out(tmp_path: Path, path: str) -> None:
    with client_of(make_platform(tmp_path)) as client:
        headers = client.get(path).headers

    assert "script-src" not in headers["content-security-policy"]
    assert "default-src 'none'" in headers["content-security-policy"]
    assert headers["x-content-type-options"] == "nosniff"
    assert headers["x-frame-options"] == "DENY"
    assert headers["cache-control"] == "no-store"


def test_a_mistake_of_ours_is_told_without_a_trace(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def fail(*_: object, **__: object) -> str:
        raise KeyError("secret")

    monkeypatch.setattr(Pages, "view", fail)
    with client_of(make_platform(tmp_path)) as client:
        answer = client.get("/")

    assert answer.status_code == 500
    assert "secret" not in answer.text + caplog.text
    assert "KeyError" in caplog.text


def test_unknown_pages_are_said_in_words(tmp_path: Path) -> None:
    with client_of(make_platform(tmp_path)) as client:
        for path in ("/nope", "/runbooks/nope", "/static/", "/static/..%2fapp.py", "/reports/"):
            answer = client.get(path)
            assert answer.status_code == 404
            assert "There is no such" in answer.text


def test_the_overview_is_read_once_a_second_however_many_ask(tmp_path: Path) -> None:
    asked = []
    with client_of(make_platform(tmp_path), history=lambda since: asked.append(since) or []) as client:
        for _ in range(5):
            client.get("/metrics")

    assert len(asked) == 1


# Runbooks and files


def test_a_runbook_is_shown_with_links_that_lead_somewhere(tmp_path: Path) -> None:
    with client_of(make_platform(tmp_path)) as client:
        page = client.get("/runbooks/drift").text

    assert "&lt;script&gt;" in page
    assert "<script>" not in page
    assert '<a href="/runbooks/slow-burn">burn</a>' in page
    assert "metrics.md" not in page


@pytest.mark.parametrize(
    ("address", "link"),
    [
        ("docs/runbooks/drift.md", "/runbooks/drift"),
        ("drift", "/runbooks/drift"),
        ("https://wiki.example/drift.md", "https://wiki.example/drift.md"),
        ("javascript:alert(1)//drift", "/runbooks/drift"),
        ("docs/runbooks/other.md", None),
        (None, None),
    ],
)
def test_a_runbook_is_linked_where_it_can_be_read(address: str | None, link: str | None) -> None:
    assert Pages(RUNBOOKS).runbook_link(address) == link


def test_the_style_sheets_load_nothing_and_are_there(tmp_path: Path) -> None:
    static = static_files("attrition_platform.dashboard")
    with client_of(make_platform(tmp_path)) as client:
        for name, content in static.items():
            assert client.get(f"/static/{name}").content == content
    assert not re.search(rb"@import|url\(|@font-face", static["dashboard.css"] + static["style.css"])


# Reports


def window_of(platform: Platform) -> str:
    return str(overview(platform)["drift"]["window"])


def test_a_report_is_drawn_once_and_shown_in_a_sandbox(tmp_path: Path) -> None:
    platform, drawn = watched_place(tmp_path), []

    async def draw(report: WindowReport) -> str | None:
        drawn.append(report.window)
        return await draw_a_page(report)

    with client_of(platform, draw=draw) as client:
        first, second = (client.get(f"/reports/{window_of(platform)}") for _ in range(2))

    assert drawn == [window_of(platform)]
    assert (first.status_code, first.text) == (200, "<html><script>1</script></html>")
    assert second.text == first.text
    policy = first.headers["content-security-policy"]
    assert policy.startswith("sandbox allow-scripts;")
    assert "allow-same-origin" not in policy
    assert "cross-origin-opener-policy" not in first.headers
    assert first.headers["x-content-type-options"] == "nosniff"


@pytest.mark.parametrize("window", ["0" * 16, "x", "%2e%2e", "2026-01-01", "a" * 3000])
def test_an_unknown_window_is_told_and_draws_nothing(tmp_path: Path, window: str) -> None:
    async def draw(_: WindowReport) -> str | None:
        raise AssertionError

    with client_of(watched_place(tmp_path), draw=draw) as client:
        assert client.get(f"/reports/{window}").status_code == 404


def test_a_window_without_a_champion_is_told(tmp_path: Path) -> None:
    platform = make_platform(tmp_path)
    batch = accept_file(platform, tmp_path)

    found = find_report(platform, batch.sha256[:16])

    assert isinstance(found, str)
    assert "no champion" in found


def test_a_page_is_drawn_against_the_champion_that_judged_its_window(tmp_path: Path) -> None:
    platform = watched_place(tmp_path)
    before = find_report(platform, window_of(platform))
    record(platform, "2" * 16)
    after = find_report(platform, window_of(platform))
    assert isinstance(before, WindowReport)
    assert isinstance(after, WindowReport)

    assert after.champion.version == V1
    assert after.path == before.path


class Slow:
    """Draws when it is let."""

    def __init__(self, problem: str | None = None) -> None:
        self.n_begun = 0
        self.n_at_once = 0
        self.most_at_once = 0
        self.go_on = asyncio.Event()
        self.problem = problem

    async def __call__(self, report: WindowReport) -> str | None:
        self.n_begun += 1
        self.n_at_once += 1
        self.most_at_once = max(self.most_at_once, self.n_at_once)
        await self.go_on.wait()
        self.n_at_once -= 1
        if self.problem is None:
            await draw_a_page(report)
        return self.problem


def some_reports(platform: Platform, n: int) -> list[WindowReport]:
    found = find_report(platform, window_of(platform))
    assert isinstance(found, WindowReport)
    return [
        WindowReport(str(i), found.batch, found.champion, found.path.with_name(f"{i}.html")) for i in range(n)
    ]


def test_whoever_asks_meanwhile_waits_for_the_same_drawing(tmp_path: Path) -> None:
    (report,) = some_reports(watched_place(tmp_path), 1)

    async def ask() -> Slow:
        slow = Slow()
        drawer = Drawer(slow)
        began = time.monotonic()
        assert await asyncio.gather(*(drawer.wait_for(report, 0.05) for _ in range(20))) == [None] * 20
        assert time.monotonic() - began < 0.5
        assert not report.is_drawn
        slow.go_on.set()
        assert await drawer.wait_for(report) is None
        return slow

    assert asyncio.run(ask()).n_begun == 1
    assert report.is_drawn


def test_one_report_is_drawn_at_a_time_and_few_may_wait(tmp_path: Path) -> None:
    reports = some_reports(watched_place(tmp_path), 6)

    async def ask() -> tuple[list[str | None], Slow]:
        slow = Slow()
        drawer = Drawer(slow)
        told = await asyncio.gather(*(drawer.wait_for(report, 0.05) for report in reports))
        slow.go_on.set()
        for report in reports[:4]:
            await drawer.wait_for(report)
        return told, slow

    told, slow = asyncio.run(ask())

    assert [text is None for text in told] == [True] * 4 + [False] * 2
    assert slow.most_at_once == 1
    assert [report.is_drawn for report in reports] == [True] * 4 + [False] * 2


def test_a_drawing_that_failed_is_told_and_not_begun_again_at_once(tmp_path: Path) -> None:
    (report,) = some_reports(watched_place(tmp_path), 1)

    async def ask() -> tuple[str | None, str | None, int]:
        slow = Slow("The rows are not in the store any more.")
        slow.go_on.set()
        drawer = Drawer(slow)
        return await drawer.wait_for(report), await drawer.wait_for(report), slow.n_begun

    first, second, n_begun = asyncio.run(ask())

    assert first == second == "The rows are not in the store any more."
    assert n_begun == 1


def test_a_drawing_that_raises_is_told_without_its_text(tmp_path: Path) -> None:
    (report,) = some_reports(watched_place(tmp_path), 1)

    async def fail(_: WindowReport) -> str | None:
        raise RuntimeError("secret")

    async def ask() -> str | None:
        return await Drawer(fail).wait_for(report)

    assert asyncio.run(ask()) == "The report could not be drawn (RuntimeError)."


def test_a_stopped_drawer_gives_up_what_it_draws(tmp_path: Path) -> None:
    (report,) = some_reports(watched_place(tmp_path), 1)

    async def ask() -> None:
        drawer = Drawer(Slow())
        await drawer.wait_for(report, 0.01)
        await asyncio.wait_for(drawer.stop(), 1)

    asyncio.run(ask())
    assert not report.is_drawn


@pytest.fixture
def slow_client(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[tuple[Client, str]]:
    monkeypatch.setattr("attrition_platform.dashboard.drawing.WAIT_SECONDS", 0.05)
    platform = watched_place(tmp_path)

    async def never(_: WindowReport) -> str | None:
        await asyncio.sleep(60)
        return None

    with client_of(platform, draw=never) as client:
        yield client, f"/reports/{window_of(platform)}"


def test_a_report_that_takes_longer_is_announced(slow_client: tuple[Client, str]) -> None:
    client, path = slow_client
    answer = client.get(path)

    assert answer.status_code == 202
    assert "is being written" in answer.text
    assert answer.headers["refresh"] == "2"


def test_asking_for_headers_draws_nothing(tmp_path: Path) -> None:
    async def draw(_: WindowReport) -> str | None:
        raise AssertionError

    platform = watched_place(tmp_path)
    with client_of(platform, draw=draw) as client:
        assert client.request("HEAD", f"/reports/{window_of(platform)}").status_code == 202
