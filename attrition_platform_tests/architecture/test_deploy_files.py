"""What is deployed beside the platform reads metrics that exist, and lets nobody in by accident."""

from __future__ import annotations

import json
import re
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
import yaml

from attrition_platform.defs.promise_sensor import LOOK_SECONDS
from attrition_platform.monitoring.burn_rate import ALERTS, SEVERITY
from attrition_platform_tests.conftest import CHECKOUT
from attrition_platform_tests.metric_names import pipeline_series, service_series
from attrition_platform_tests.promql import read_by

DEPLOY = CHECKOUT / "deploy"
DASHBOARDS = tuple(sorted((DEPLOY / "grafana/dashboards").glob("*.json")))
NOW = datetime(2026, 11, 21, 12, tzinfo=UTC)
# Prometheus' own series, and labels that it adds to ours.
BUILT_IN = {"up": frozenset({"job", "instance"}), "ALERTS": frozenset({"alertname", "alertstate"})}
ADDED = frozenset({"job", "instance"})


def existing() -> dict[str, frozenset[str]]:
    return service_series() | pipeline_series(NOW) | BUILT_IN


def loaded(file: str) -> Any:
    return yaml.safe_load((DEPLOY / file).read_text(encoding="utf-8"))


def rules() -> list[dict[str, Any]]:
    return [rule for group in loaded("prometheus/alerts.yml")["groups"] for rule in group["rules"]]


def panels(file: Path) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = json.loads(file.read_text(encoding="utf-8"))["panels"]
    return found


def expressions() -> list[tuple[str, str]]:
    found = [(f"alerts.yml: {rule['alert']}", rule["expr"]) for rule in rules()]
    for file in DASHBOARDS:
        found += [(f"{file.name}: {p['title']}", t["expr"]) for p in panels(file) for t in p["targets"]]
    return found


def problems(expression: str, series: dict[str, frozenset[str]]) -> list[str]:
    """What an expression names that does not exist."""
    read = read_by(expression)
    found = [f"no metric {name}" for name in read.series if name not in series]
    known = {name: series.get(name, frozenset()) | ADDED for name in read.series}
    found += [f"{n} has no label {w}" for n, words in read.series.items() for w in words - known[n]]
    every = frozenset[str]().union(*known.values())
    return found + [f"no label {word}" for word in read.grouped_by - every]


def test_both_addresses_tell_different_metrics() -> None:
    assert not service_series().keys() & pipeline_series(NOW).keys()
    assert len(existing()) > 25


@pytest.mark.parametrize(("where", "expression"), expressions())
def test_every_expression_reads_metrics_and_labels_that_exist(where: str, expression: str) -> None:
    assert read_by(expression).series, where
    assert problems(expression, existing()) == []


def test_a_renamed_metric_or_label_is_noticed() -> None:
    """The test above would fail for every metric that is in use, were it called otherwise."""
    for name in existing().keys() - BUILT_IN.keys():
        users = [e for _, e in expressions() if name in read_by(e).series]
        without = {other: labels for other, labels in existing().items() if other != name}
        assert all(f"no metric {name}" in problems(e, without) for e in users)
        for label in existing()[name] - ADDED:
            fewer = existing() | {name: existing()[name] - {label}}
            touching = [e for e in users if label in read_by(e).series[name]]
            assert all(problems(e, fewer) for e in touching)
    assert problems('sum by (arm) (attrition_runs{colour="red"})', existing()) == [
        "attrition_runs has no label colour",
        "no label arm",
    ]


def test_every_metric_is_shown_somewhere() -> None:
    """A number that nobody can see is not watched."""
    shown = {name for _, expression in expressions() for name in read_by(expression).series}

    assert existing().keys() - shown == set()


def test_the_document_lists_exactly_what_is_told() -> None:
    text = (CHECKOUT / "docs/metrics.md").read_text(encoding="utf-8")
    service, pipeline = text.split("## The service")[1].split("## The pipeline")
    for section, series in ((service, service_series()), (pipeline, pipeline_series(NOW))):
        rows = re.findall(r"^\| `(attrition_\w+)` \| (.*?) \|", section, flags=re.MULTILINE)
        documented = {name: frozenset(re.findall(r"`(\w+)`", labels)) for name, labels in rows}
        told: dict[str, frozenset[str]] = {}
        for name, labels in series.items():
            family = re.sub(r"_(bucket|sum|count)$", "", name)
            told[family] = told.get(family, frozenset()) | (labels - {"le"})
        assert documented == told


def test_every_alert_says_how_urgent_it_is_and_where_its_runbook_lies() -> None:
    for rule in rules():
        assert rule["labels"]["severity"] in ("page", "ticket")
        assert rule["annotations"]["summary"].endswith(".")
        assert rule["annotations"]["runbook"] == f"docs/runbooks/{rule['alert']}.md"


def test_every_alert_of_the_pipeline_reaches_prometheus_with_its_severity() -> None:
    told = {
        rule["alert"]: rule["labels"]["severity"]
        for rule in rules()
        if f'attrition_alerts_firing{{alert="{rule["alert"]}"}} > 0' == rule["expr"]
    }

    assert told == {name: SEVERITY[name] for name in ALERTS}


def expressions_of(alert: str) -> str:
    return " or ".join(" ".join(rule["expr"].split()) for rule in rules() if rule["alert"] == alert)


def test_no_alert_hides_a_label_that_tells_its_series_apart() -> None:
    """Prometheus drops a rule whose labels make two of its series one."""
    series = existing()
    for rule in rules():
        read = read_by(rule["expr"]).series
        told = frozenset[str]().union(*(series[name] for name in read if name != "attrition_alerts_firing"))
        assert not told & rule["labels"].keys(), rule["alert"]


def test_a_blind_pipeline_is_noticed_whichever_way_it_went_blind() -> None:
    missing = expressions_of("metrics-missing")

    assert 'up{job="attrition-pipeline"} == 0' in missing
    assert "time() - attrition_slo_judged_time_seconds > 3600" in missing
    assert "absent(attrition_slo_judged_time_seconds)" in missing
    assert "attrition_source_readable == 0" in missing
    # Ticks may be late, but not six of them.
    assert LOOK_SECONDS * 6 <= 3600
    assert "attrition_ledger_intact == 0" in expressions_of("security")


def test_only_jobs_of_the_clock_must_succeed_and_one_that_never_did_is_noticed() -> None:
    from attrition_platform.definitions import defs

    found = expressions_of("no-successful-run")
    clocked = {schedule.job_name for schedule in defs.schedules or ()}

    (named,) = re.findall(r'dagster_job=~"([^"]+)"', found)
    assert set(named.split("|")) == clocked
    assert set(re.findall(r'absent\(\w+\{dagster_job="(\w+)"\}\)', found)) == clocked


def test_what_stands_now_is_alerted_on_and_not_what_stood_in_a_log() -> None:
    assert expressions_of("notifications-failing") == (
        "attrition_channel_failing > 0 or attrition_notifications_undelivered > 0"
    )
    assert expressions_of("causes-given-up") == "attrition_ticketed_causes > 0"


def test_the_services_burn_rates_are_those_of_the_workbook() -> None:
    for name, pairs in {
        "service-fast-burn": [("14.4", "1h", "5m"), ("6", "6h", "30m")],
        "service-slow-burn": [("3", "1d", "2h"), ("1", "3d", "6h")],
    }.items():
        expression = next(rule["expr"] for rule in rules() if rule["alert"] == name)
        limits = re.findall(r"responses_total\[(\w+)\]\)\) > ([\d.]+) \* 0\.001", expression)
        assert limits == [(window, factor) for factor, *windows in pairs for window in windows]


def test_both_addresses_are_scraped() -> None:
    jobs = {job["job_name"]: job for job in loaded("prometheus/prometheus.yml")["scrape_configs"]}

    assert jobs["attrition-service"]["static_configs"] == [{"targets": ["127.0.0.1:8000"]}]
    assert jobs["attrition-pipeline"]["static_configs"] == [{"targets": ["127.0.0.1:3001"]}]
    assert "credentials" not in jobs["attrition-service"]["authorization"], "a key belongs into a file"
    named = {label for _, expr in expressions() for label in re.findall(r'job="([\w-]+)"', expr)}
    assert {name for name in named if name.startswith("attrition-")} <= jobs.keys()


def test_there_are_three_views_that_grafana_finds() -> None:
    views = {file.stem: json.loads(file.read_text(encoding="utf-8")) for file in DASHBOARDS}

    assert views.keys() == {"executive", "on-call", "debug"}
    assert len({view["uid"] for view in views.values()}) == 3
    source = loaded("grafana/provisioning/datasources/prometheus.yml")["datasources"][0]["uid"]
    provider = loaded("grafana/provisioning/dashboards/attrition.yml")["providers"][0]
    mounts = loaded("docker-compose.yml")["services"]["grafana"]["volumes"]
    assert f"./grafana/dashboards:{provider['options']['path']}:ro" in mounts
    for view in views.values():
        ids = [panel["id"] for panel in view["panels"]]
        assert len(ids) == len(set(ids))
        assert not _overlap(view["panels"])
        for panel in view["panels"]:
            assert {target["datasource"]["uid"] for target in panel["targets"]} == {source}


def _overlap(shown: list[dict[str, Any]]) -> bool:
    cells = [
        (x, y)
        for grid in (panel["gridPos"] for panel in shown)
        for x in range(grid["x"], grid["x"] + grid["w"])
        for y in range(grid["y"], grid["y"] + grid["h"])
    ]
    return len(cells) != len(set(cells)) or any(x >= 24 for x, _ in cells)


def test_images_are_pinned_and_only_the_proxy_listens_beyond_loopback() -> None:
    services = loaded("docker-compose.yml")["services"]

    for name, service in services.items():
        assert re.fullmatch(r"[a-z]+(/[a-z]+)?:v?\d+\.\d+\.\d+", service["image"]), name
        assert "ports" not in service
        assert service["cap_drop"] == ["ALL"]
        # The proxy's program carries a file capability: without it in the bounding set it can't be started.
        assert service.get("cap_add", []) == (["NET_BIND_SERVICE"] if name == "proxy" else [])
    assert "--web.listen-address=127.0.0.1:9090" in services["prometheus"]["command"]
    assert services["grafana"]["environment"]["GF_SERVER_HTTP_ADDR"] == "127.0.0.1"
    assert services["grafana"]["environment"]["GF_AUTH_ANONYMOUS_ENABLED"] == "false"


def test_no_secret_has_a_default() -> None:
    text = (DEPLOY / "docker-compose.yml").read_text(encoding="utf-8")

    assert set(re.findall(r"\$\{(\w+)(:.)", text)) == {
        (name, ":?") for name in ("GRAFANA_PASSWORD", "UI_HOST", "UI_USER", "UI_PASSWORD_HASH")
    }
    assert "secrets/" in (DEPLOY / ".gitignore").read_text(encoding="utf-8")


def test_the_proxy_refuses_before_it_passes_on() -> None:
    """Host, method, origin, password, GraphQL by GET: each stands before the one line that passes on."""
    text = (DEPLOY / "caddy/Caddyfile").read_text(encoding="utf-8")
    lines = [line.strip() for line in text.splitlines()]

    assert lines.count("reverse_proxy 127.0.0.1:3000") == 1
    passes = lines.index("reverse_proxy 127.0.0.1:3000")
    for refusal in (
        'respond @method "Only GET, HEAD and POST." 405',
        'respond @origin "Requests of other sites are refused." 403',
        'respond @site "Requests of other sites are refused." 403',
        "basic_auth {",
        'respond @graphql_get "GraphQL is asked by POST." 405',
        'respond @graphql_post "GraphQL wants application/json." 415',
    ):
        assert lines.index("route {") < lines.index(refusal) < passes
    other = text.split("# Any other Host.")[1]
    assert "421" in other
    assert "reverse_proxy" not in other
