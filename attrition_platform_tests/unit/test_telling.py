"""Who hears of what: once, with the champion before and after, and never with a value of anybody."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from attrition_platform.adapters import notifications
from attrition_platform.adapters.pointers import Pointers
from attrition_platform.adapters.step_cache import StepResult
from attrition_platform.monitoring.grouping import Message
from attrition_platform.monitoring.notification import Notification
from attrition_platform.monitoring.triggering import Cause
from attrition_platform.monitoring.wording import as_document, as_mail, as_slack
from attrition_platform.stages import telling
from attrition_platform.stages.platform import Platform
from attrition_platform.stages.telling import (
    of_drift,
    of_failure,
    of_performance,
    of_promises,
    of_releases,
    of_training,
    report_url,
    send,
)
from attrition_platform_tests.adapters.notification_servers import serving
from attrition_platform_tests.unit.test_canary_watch import notified
from attrition_platform_tests.unit.test_release import make_platform

NOON = datetime(2026, 3, 1, 12, tzinfo=UTC)
URL = "http://127.0.0.1:3000/runs/r1"
TESTED = {"test": {"roc_auc": {"value": 0.81, "low": 0.80, "high": 0.82}, "recall": None}}


@pytest.fixture
def platform(tmp_path: Path) -> Platform:
    """An empty place at noon, with its ledger in memory."""
    found = make_platform(tmp_path)
    return Platform(found.settings, lambda: NOON)


@pytest.fixture(autouse=True)
def ledger(platform: Platform, tmp_path: Path) -> None:
    platform.__dict__["ledger"] = make_platform(tmp_path).ledger


def result(asset: str, data_version: str = "v1", **facts: Any) -> StepResult:
    return StepResult(asset, "f", data_version, {}, facts, {})


def made(platform: Platform, found: StepResult, run: str = "r0") -> None:
    """What a run before has left behind."""
    Pointers(platform.pointers_dir).write(found.step, run, found)


def promote(platform: Platform, version: str, at: datetime = NOON, **more: Any) -> None:
    payload = {"metrics": TESTED, "policy": {"name": "responsible"}, "runs": {"dagster": f"run-{version}"}}
    platform.ledger.append("promotion", version, payload | more, at=at.isoformat(timespec="milliseconds"))


def roll_back(platform: Platform, version: str, **payload: Any) -> None:
    platform.ledger.append("rollback", version, payload, at=NOON.isoformat(timespec="milliseconds"))


# --- drift


def drifted(version: str = "v1", **changes: Any) -> StepResult:
    columns = {
        "age": {"score": 0.12},
        "income": {"score": 0.31},
        "role": {"score": None},
        "calm": {"score": 0.9},
    }
    windows = [
        {"window": "w1", "n_rows": 100, "by_column": columns},
        {"window": "2026-02-28", "n_rows": 50, "by_column": {"probability": {"score": 0.2}}},
    ]
    facts = {"window": "w1", "reference": "m1", "drifted": True, "windows": windows}
    facts |= {"columns": ["age", "income", "role", "probability"]} | changes
    return result("drift_report", version, **facts)


def test_a_drifted_window_is_told_worst_column_first_with_its_report(platform: Platform) -> None:
    (told,) = of_drift(platform, drifted(), URL)

    assert told.evidence["columns"] == ["income", "probability", "age", "role"]
    assert told.evidence["scores"]["income"] == 0.31
    assert (told.evidence["n_rows"], told.version_before, told.run_url) == (150, "m1", URL)
    assert told.evidence["report_url"] == report_url(platform, "w1") == "http://127.0.0.1:3001/reports/w1"
    assert "calm" not in str(told.as_json())


def test_a_window_without_drift_is_not_told(platform: Platform) -> None:
    assert of_drift(platform, drifted(drifted=False, columns=[]), URL) == []


def test_the_same_drift_is_not_told_every_night_and_the_next_one_is(platform: Platform) -> None:
    made(platform, drifted())

    assert of_drift(platform, replace(drifted(), reused=True), URL) == []
    assert of_drift(platform, drifted("v2", window="w2"), URL)


def test_a_verdict_that_was_stored_by_a_run_which_died_before_it_told_is_told(platform: Platform) -> None:
    assert of_drift(platform, replace(drifted(), reused=True), URL)


def test_a_column_is_told_with_its_largest_score_of_the_windows_in_which_it_drifted(
    platform: Platform,
) -> None:
    windows = [
        {"window": "w1", "n_rows": 5_000, "by_column": {"age": {"score": 0.41, "outcome": "drifted"}}},
        {"window": "w2", "n_rows": 60, "by_column": {"age": {"score": 0.9, "outcome": "cannot-test"}}},
        {"window": "w3", "n_rows": 700, "by_column": {"age": {"score": 0.12, "outcome": "drifted"}}},
    ]

    (told,) = of_drift(platform, drifted(columns=["age"], windows=windows), URL)

    assert told.evidence["scores"] == {"age": 0.41}


MONTHS = {
    "kind": "unit-change",
    "column": "years",
    "text": "'years' looks like months.",
    "blocks_scoring": True,
}


def test_a_file_in_another_unit_is_told_as_refused_and_its_drift_is_not(platform: Platform) -> None:
    other = {"kind": "new-category", "column": "role", "text": "new", "blocks_scoring": False}
    found = drifted(columns=["age", "income", "role"], blocks_scoring=True, schema_changes=[MONTHS, other])

    (told,) = of_drift(platform, found, URL)

    assert (told.kind, told.severity, told.pipeline) == ("file-refused", "ticket", "inbox")
    assert "years" in told.title
    assert told.cause == "'years' looks like months."
    assert told.evidence == {
        "file": "w1",
        "window": "w1",
        "changes": [{"column": "years", "change": "unit-change"}],
    }


def test_answers_of_the_service_that_drifted_are_told_beside_a_refused_file(platform: Platform) -> None:
    found = drifted(blocks_scoring=True, schema_changes=[MONTHS])

    refused, drift = of_drift(platform, found, URL)

    assert refused.kind == "file-refused"
    assert (drift.key, drift.evidence["columns"], drift.evidence["n_rows"]) == (
        "2026-02-28",
        ["probability"],
        50,
    )


def test_a_refused_file_is_told_once_however_often_it_is_judged(platform: Platform) -> None:
    changes = {"columns": ["age"], "blocks_scoring": True, "schema_changes": [MONTHS]}
    made(platform, drifted(**changes))

    assert of_drift(platform, drifted("v2", **changes), URL) == []
    assert of_drift(platform, drifted("v3", window="w2", **changes), URL)


def test_a_refused_file_is_not_grouped_behind_another_windows_drift(platform: Platform) -> None:
    before = drifted()
    changes = {"columns": ["age"], "blocks_scoring": True, "schema_changes": [MONTHS]}
    refused = [drifted(f"v{n}", window=f"w{n}", windows=[], **changes) for n in (2, 3)]

    send(platform, [n for each in (before, *refused) for n in of_drift(platform, each, URL)], print)

    assert [(one["kind"], one["fate"]) for one in notified(platform)] == [
        ("drift", "told"),
        ("file-refused", "told"),
        ("file-refused", "told"),
    ]


# --- performance


def performance(verdict: str, window: str = "m1/1") -> StepResult:
    matured = {"n": 1_000, "roc_auc": {"value": 0.6, "low": 0.5, "high": 0.7}, "recall": None}
    judged = {"version": "m1", "reasons": ["recall is low"], "matured": matured}
    return result("performance_report", window=window, verdict=verdict, judged=judged)


@pytest.mark.parametrize(
    ("verdict", "kind"), [("below-floor", "performance"), ("concept-drift", "concept-drift")]
)
def test_a_champion_that_is_not_good_enough_is_told_with_what_is_known(
    platform: Platform, verdict: str, kind: str
) -> None:
    (told,) = of_performance(platform, performance(verdict), performance("ok"), URL)

    assert (told.kind, told.cause, told.evidence["n_labels"]) == (kind, "recall is low", 1_000)
    assert (told.metrics["roc_auc"], told.metrics["recall"], told.metrics["accuracy"]) == (0.6, None, None)


def test_performance_is_told_again_only_when_window_or_verdict_is_another(platform: Platform) -> None:
    bad = performance("below-floor")

    assert of_performance(platform, bad, None, URL)
    assert of_performance(platform, bad, bad, URL) == []
    assert of_performance(platform, bad, performance("below-floor", "m1/0"), URL)
    assert of_performance(platform, bad, performance("concept-drift"), URL)
    assert of_performance(platform, performance("ok"), None, URL) == []
    none = result("performance_report", window="none", verdict="no-champion", judged=None)
    assert of_performance(platform, none, None, URL) == []


# --- promises


def promises(*alerts: tuple[str, str]) -> StepResult:
    found = [{"name": n, "about": about, "text": "t", "runbook": "docs/runbooks/x.md"} for n, about in alerts]
    return result("slo_report", alerts=found)


def test_an_alert_is_told_when_it_begins_and_again_after_it_has_ended(platform: Platform) -> None:
    promote(platform, "m1")
    fast, slow = ("fast-burn", "run-success"), ("slow-burn", "run-success")

    (first,) = of_promises(platform, promises(fast), None, URL)
    assert (first.kind, first.severity, first.version_after) == ("slo-fast-burn", "page", "m1")
    assert of_promises(platform, promises(fast), promises(fast), URL) == []
    assert [t.kind for t in of_promises(platform, promises(fast, slow), promises(fast), URL)] == [
        "slo-slow-burn"
    ]
    other = ("fast-burn", "validation-pass")
    assert len(of_promises(platform, promises(other), promises(fast), URL)) == 1
    assert len(of_promises(platform, promises(fast), promises(), URL)) == 1


# --- runs


def test_a_training_is_told_with_cause_outcome_and_who_serves(platform: Platform) -> None:
    promote(platform, "m2")
    made(platform, result("promotion_decision", outcome="promoted", incumbent="m1"), "r1")
    made(platform, result("champion", version="m2"), "r1")

    told = of_training(platform, "r1", {"cause": "drift", "attrition/window": "w1"}, URL)

    assert (told.cause_kind, told.cause, told.title) == (
        "drift",
        "drift: w1",
        "Training of train_champion succeeded: promoted",
    )
    assert (told.version_before, told.version_after) == ("m1", "m2")
    assert told.metrics == {
        "roc_auc": 0.81,
        "recall": None,
        "precision": None,
        "accuracy": None,
        "calibration_error": None,
    }
    assert of_training(platform, "r1", {}, URL).cause == "by-hand"


def blocked_training(platform: Platform) -> None:
    promote(platform, "m1")
    gates = [
        {"name": "gain", "enforced": True, "passed": False},
        {"name": "four-fifths", "enforced": False, "passed": False},
        {"name": "recall", "enforced": True, "passed": True},
    ]
    decision = {"outcome": "blocked", "incumbent": "m1", "version": "m2", "gates": gates}
    made(platform, result("promotion_decision", **decision), "r1")
    made(platform, result("champion", version="m1"), "r1")
    made(platform, result("challenger", evaluation={"metrics": {"roc_auc": {"value": 0.7}}}), "r1")


def test_a_blocked_challenger_is_told_with_its_gates_and_whose_metrics_are_told(platform: Platform) -> None:
    blocked_training(platform)

    told = of_training(platform, "r1", {}, URL)

    assert told.title == "Training of train_champion ended; its challenger was blocked by gain"
    assert (told.evidence["challenger"], told.evidence["blockers"]) == ("m2", ["gain"])
    assert (told.metrics["roc_auc"], told.evidence["challenger_metrics"]["roc_auc"]) == (0.81, 0.7)
    _, mail = as_mail(as_document(Message((told,), 1)))
    assert "metrics of champion m1: roc_auc 0.81, recall unknown" in mail
    assert "metrics of challenger m2: roc_auc 0.7, recall unknown" in mail
    fields = [
        field
        for block in as_slack(as_document(Message((told,), 3)))["blocks"]
        for field in block.get("fields", ())
    ]
    assert len(fields) <= 10
    assert any(field["text"].startswith("*metrics of challenger m2*") for field in fields)


def test_what_started_a_training_is_told_with_file_columns_and_reason(platform: Platform) -> None:
    blocked_training(platform)
    causes = [
        Cause("drift", "drift/w1/r", NOON, "w1", {"columns": ["age", "income"], "score": 0.3}),
        Cause("event", "event/e/r", NOON, "update", {"kind": "update", "reason": "r 2.0", "file": "e.toml"}),
        Cause("new-file", "new-file/ab/r", NOON, "ab", {"file": "march.csv"}),
    ]
    platform.causes.add([*causes, Cause("new-file", "new-file/cd/r", NOON, "cd", {"file": "other.csv"})])
    tags = {
        "cause": "new-file",
        "attrition/window": "ab",
        "attrition/causes": " ".join(cause.key for cause in causes),
        "attrition/evidence": '{"file": "march.csv"}',
    }

    told = of_training(platform, "r1", tags, URL)
    (failed, cut) = (
        of_failure(platform, "train_champion", "r1", tags | {"attrition/evidence": evidence}, None, None, URL)
        for evidence in ('{"file": "march.csv"}', '{"file": "mar')
    )

    assert told.cause == (
        "new-file: 'march.csv'; drift: in age, income (window w1); event: update, r 2.0 ('e.toml')"
    )
    assert failed.cause == cut.cause == told.cause
    assert told.cause_kind == "new-file"


def test_before_the_first_champion_a_blocked_training_has_no_metrics(platform: Platform) -> None:
    made(platform, result("promotion_decision", outcome="blocked", incumbent=None), "r1")
    made(platform, result("champion", version=None), "r1")

    told = of_training(platform, "r1", {}, URL)

    assert (told.metrics, told.version_after) == ({}, None)


def test_a_failure_is_told_by_step_and_type_and_the_champion_stays(platform: Platform) -> None:
    promote(platform, "m1")

    told = of_failure(platform, "monitor", "r1", {"cause": "daily"}, "validate_employees", "ValueError", URL)

    assert told.title == "Training of monitor failed at validate_employees (ValueError)"
    assert (told.version_before, told.version_after, told.cause_kind) == ("m1", "m1", "daily")


# --- releases


def test_releases_after_the_cursor_are_told_with_the_champion_before(platform: Platform) -> None:
    promote(platform, "m1")
    promote(platform, "m2")
    roll_back(platform, "m1", **{"from": "m2", "reason": "complaints", "by": "Ana"})

    told, newest = of_releases(platform, 1)

    assert newest == 3
    assert [(t.kind, t.version_before, t.version_after) for t in told] == [
        ("promotion", "m1", "m2"),
        ("rollback", "m2", "m1"),
    ]
    assert (told[0].run_url, told[0].metrics["roc_auc"]) == ("http://127.0.0.1:3000/runs/run-m2", 0.81)
    assert (told[1].cause, told[1].evidence["by"]) == ("complaints", "Ana")
    assert of_releases(platform, 3) == ([], 3)


def test_the_first_champion_ever_has_nobody_before_it(platform: Platform) -> None:
    promote(platform, "m1")

    (told,) = of_releases(platform, 0)[0]

    assert told.title == "m1 is the first champion"


def test_a_canary_that_was_ramped_is_told_by_who_watches_it_and_other_records_by_nobody(
    platform: Platform,
) -> None:
    promote(platform, "m1", canary=3)
    for kind in ("decision", "canary", "canary-end", "proposal", "approval", "test-read"):
        platform.ledger.append(kind, "m2", {}, at=NOON.isoformat())  # type: ignore[arg-type]

    assert of_releases(platform, 0) == ([], 7)


def test_after_a_lost_cursor_only_what_is_recent_is_told(platform: Platform) -> None:
    minutes = platform.policy.notifications.group_minutes
    promote(platform, "old", NOON - timedelta(minutes=minutes + 1))
    promote(platform, "recent", NOON - timedelta(minutes=minutes - 1))

    told, newest = of_releases(platform, None)

    assert [(t.version_before, t.version_after) for t in told] == [("old", "recent")]
    assert newest == 2


# --- channels


def a_notification(key: str = "k") -> Notification:
    return Notification("drift", key, "t", "c", None, None, {}, None, NOON.isoformat(), cause_kind=key)


def with_hook(platform: Platform, url: str) -> Platform:
    return Platform(replace(platform.settings, webhook_url=url), platform.clock)


def test_a_channel_that_fails_is_told_in_the_log_and_raises_nothing(platform: Platform) -> None:
    said: list[str] = []
    with serving(*[500] * 9) as hook:
        send(with_hook(platform, hook.url), [a_notification()], said.append)

    assert len(said) == 1
    assert said[0].startswith("The notification 'drift' did not go out by webhook: ")
    assert "hook-secret" not in said[0]
    assert [one["kind"] for one in notified(platform) if "kind" in one][:1] == ["drift"]


def test_nobody_listening_and_a_folder_that_can_not_be_written_raise_nothing(platform: Platform) -> None:
    said: list[str] = []
    send(with_hook(platform, "http://127.0.0.1:1/hook"), [a_notification()], said.append)
    assert len(said) == 1

    (platform.settings.data_dir / notifications.NOTIFICATIONS).unlink()
    (platform.settings.data_dir / notifications.NOTIFICATIONS).mkdir()
    send(platform, [a_notification("other")], said.append)
    assert "did not go out by file" in said[1]


def test_without_a_notification_no_notifier_is_built(
    platform: Platform, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(telling, "build_notifier", lambda *_: pytest.fail("built"))

    send(platform, [], pytest.fail)
