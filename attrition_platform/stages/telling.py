"""Who hears of what: from stored results and ledger records to notifications.

Telling never fails the work that it tells of: what a channel did not take is in the journal, and tried again.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta
from typing import Any

from attrition_platform.adapters.notifications import build_notifier
from attrition_platform.adapters.pointers import Pointers
from attrition_platform.adapters.step_cache import StepResult
from attrition_platform.monitoring import messages
from attrition_platform.monitoring.burn_rate import Alert
from attrition_platform.monitoring.cause_wording import cause_in_words, causes_in_words
from attrition_platform.monitoring.notification import Notification
from attrition_platform.ports import LedgerRecord
from attrition_platform.stages.ingest import Progress
from attrition_platform.stages.performance import BAD
from attrition_platform.stages.platform import Platform
from attrition_platform.stages.release_state import release_state
from attrition_platform.stages.telling_of_files import made_by, of_refused_window
from attrition_platform.stages.views import newest_or_none

TRAIN = "train_champion"
BY_HAND = "by-hand"
TOLD_METRICS = ("roc_auc", "recall", "precision", "accuracy", "calibration_error")


def send(platform: Platform, notifications: Sequence[Notification], tell: Progress) -> None:
    """Tell people, waiting once for the channels, and say in the log which of them did not take it."""
    if not notifications:
        return
    notifier = build_notifier(platform.settings, platform.policy)
    for notification, delivery in zip(notifications, notifier.send_all(notifications), strict=True):
        for channel, problem in delivery.failed.items():
            tell(f"The notification '{notification.kind}' did not go out by {channel}: {problem}.")


def of_drift(platform: Platform, result: StepResult, run_url: str) -> list[Notification]:
    """A window that drifted or whose file must not be scored, unless the report before said the same.

    A run that was killed after it judged and before it told finds its verdict stored: that is no reason to
    be silent. Of a file that must not be scored only that is told: its columns drifted because of it.
    """
    facts = result.facts
    before = newest_or_none(platform, "drift_report")
    if before is not None and before.data_version == result.data_version:
        return []
    is_refused = bool(facts.get("blocks_scoring"))
    known = before is not None and before.facts.get("blocks_scoring")
    is_news = not known or before is None or before.facts["window"] != facts["window"]
    told = of_refused_window(platform, facts, run_url) if is_refused and is_news else []
    windows = [w for w in facts["windows"] if not (is_refused and w["window"] == facts["window"])]
    scores = _largest_scores(windows, facts["columns"])
    if not facts["drifted"] or not scores:
        return told
    return [
        *told,
        messages.drifted(
            pipeline="drift_report",
            window=facts["window"] if not is_refused else str(windows[0]["window"]),
            at=platform.at(),
            columns=sorted(scores, key=lambda name: -(scores[name] or 0.0)),
            scores=scores,
            limit=platform.policy.drift.min_score,
            n_rows=sum(window["n_rows"] for window in windows),
            champion=facts["reference"],
            report_url=report_url(platform, facts["window"]),
            run_url=run_url,
        ),
    ]


def _largest_scores(windows: Sequence[Mapping[str, Any]], columns: Sequence[str]) -> dict[str, float | None]:
    """Largest score of each column over the windows in which it drifted."""
    found: dict[str, float | None] = {}
    for window in windows:
        for name, column in window["by_column"].items():
            if name in columns and column.get("outcome", "drifted") == "drifted":
                found[name] = max(found.get(name) or 0.0, column["score"] or 0.0) or column["score"]
    return found


def of_performance(
    platform: Platform, result: StepResult, before: StepResult | None, run_url: str
) -> list[Notification]:
    """A champion that is no longer good enough, unless the report before said the same."""
    facts = result.facts
    same = before is not None and all(before.facts[key] == facts[key] for key in ("window", "verdict"))
    if facts["verdict"] not in BAD or same:
        return []
    judged = facts["judged"]
    matured = judged["matured"]
    return [
        messages.performed_badly(
            pipeline="performance_report",
            window=facts["window"],
            at=platform.at(),
            reasons=judged["reasons"],
            champion=judged["version"],
            n_labels=matured["n"],
            metrics=_values(matured),
            concept_drift=facts["verdict"] == "concept-drift",
            run_url=run_url,
        )
    ]


def of_promises(
    platform: Platform, result: StepResult, before: StepResult | None, run_url: str
) -> list[Notification]:
    """Alerts that did not stand in the report before."""
    known = set() if before is None else {(a["name"], a["about"]) for a in before.facts["alerts"]}
    fresh = [alert for alert in result.facts["alerts"] if (alert["name"], alert["about"]) not in known]
    champion = _champion(platform)
    return [
        messages.budget_alert(
            Alert.from_json(alert),
            pipeline="slo_report",
            at=platform.at(),
            champion=champion,
            run_url=run_url,
        )
        for alert in fresh
    ]


def of_training(platform: Platform, run_id: str, tags: Mapping[str, str], run_url: str) -> Notification:
    """A training run that ended well, with what it decided and what both models are worth."""
    pointers = Pointers(platform.pointers_dir)
    decision = pointers.read("promotion_decision", run_id).facts
    version = pointers.read("champion", run_id).facts["version"]
    record = release_state(platform.ledger.records()).stable
    challenger = made_by(platform, "challenger", run_id)
    return messages.training_succeeded(
        pipeline=TRAIN,
        run_id=run_id,
        at=platform.at(),
        cause_kind=cause_of(tags),
        cause=_cause_in_words(platform, tags),
        outcome=decision["outcome"],
        champion_before=decision["incumbent"],
        champion_after=version,
        metrics={} if record is None else _test_metrics(record),
        run_url=run_url,
        challenger=decision.get("version"),
        challenger_metrics=None if challenger is None else _values(challenger.facts["evaluation"]["metrics"]),
        blockers=[g["name"] for g in decision.get("gates", ()) if g["enforced"] and not g["passed"]],
    )


def of_failure(
    platform: Platform,
    job: str,
    run_id: str,
    tags: Mapping[str, str],
    step: str | None,
    error_type: str | None,
    run_url: str,
) -> Notification:
    """A run that failed; the champion stays."""
    return messages.training_failed(
        pipeline=job,
        run_id=run_id,
        at=platform.at(),
        cause_kind=cause_of(tags),
        cause=_cause_in_words(platform, tags),
        step=step,
        error_type=error_type,
        champion=_champion(platform),
        run_url=run_url,
    )


def of_run_in_short(
    at: str, job: str, run_id: str, tags: Mapping[str, str], run_url: str, *, succeeded: bool
) -> Notification:
    """A run that ended, where nothing but its id and tags can be read just now."""
    return messages.run_ended(
        pipeline=job,
        run_id=run_id,
        at=at,
        cause_kind=cause_of(tags),
        cause=cause_in_words(cause_of(tags), evidence_of(tags), tags.get("attrition/window")),
        succeeded=succeeded,
        run_url=run_url,
    )


def of_releases(platform: Platform, after: int | None) -> tuple[list[Notification], int]:
    """Promotions and rollbacks that the ledger has after a record, and the number of its newest one.

    Parameters
    ----------
    after : int or None
        None where nobody knows any more: what is younger than the policy groups messages over is told,
        since what was told of that already is recognised.
    """
    records = platform.ledger.records()
    oldest = platform.clock() - timedelta(minutes=platform.policy.notifications.group_minutes)
    fresh = [
        record
        for record in records
        if (record.seq > after if after is not None else datetime.fromisoformat(record.at) >= oldest)
    ]
    found = [_of_record(platform, record, records) for record in fresh]
    return [told for told in found if told is not None], len(records)


def _of_record(
    platform: Platform, record: LedgerRecord, records: Sequence[LedgerRecord]
) -> Notification | None:
    payload = record.payload
    if record.kind == "rollback":
        return messages.rolled_back(
            pipeline="release",
            at=record.at,
            cause=str(payload.get("reason", "")),
            champion_before=payload.get("from"),
            champion_after=record.version,
            ledger_record=record.seq,
            by=str(payload.get("by", "")),
            metrics=_test_metrics(record),
        )
    if record.kind != "promotion" or "canary" in payload:  # who watches a canary tells of its end
        return None
    before = release_state([r for r in records if r.seq < record.seq]).stable
    run_id = payload["runs"]["dagster"]
    return messages.promoted(
        pipeline=TRAIN,
        at=record.at,
        cause_kind="promotion",
        cause="It passed every gate of policy " + repr(payload["policy"]["name"]) + ".",
        champion_before=None if before is None else before.version,
        champion_after=record.version,
        ledger_record=record.seq,
        metrics=_test_metrics(record),
        run_url=platform.settings.run_url(run_id),
    )


def report_url(platform: Platform, window: str) -> str:
    """Where a window's report is shown to people."""
    return f"{platform.settings.reports_url}/reports/{window}"


def cause_of(tags: Mapping[str, str]) -> str:
    """Kind of what started a run.

    >>> cause_of({"cause": "drift"}), cause_of({})
    ('drift', 'by-hand')
    """
    return tags.get("cause", BY_HAND)


def evidence_of(tags: Mapping[str, str]) -> dict[str, Any]:
    """What a run's main cause was found by; empty where a tag does not say so.

    >>> evidence_of({"attrition/evidence": '{"file": "march.csv"}'}), evidence_of({"attrition/evidence": "{"})
    ({'file': 'march.csv'}, {})
    """
    try:
        found = json.loads(tags.get("attrition/evidence", ""))
    except ValueError:  # none, or cut because it was too long
        return {}
    return found if isinstance(found, dict) else {}


def _cause_in_words(platform: Platform, tags: Mapping[str, str]) -> str:
    """The cause that a run is named after, then the others that it answers."""
    kind, window = cause_of(tags), tags.get("attrition/window")
    keys = tags.get("attrition/causes", "").split()
    causes = [r.cause for r in platform.causes.records() if r.cause.key in keys] if keys else []
    main = next((cause for cause in causes if (cause.kind, cause.window) == (kind, window)), None)
    evidence = evidence_of(tags) or ({} if main is None else main.evidence)
    others = [cause_in_words(c.kind, c.evidence, c.window) for c in causes if c is not main]
    return causes_in_words([cause_in_words(kind, evidence, window), *others])


def _champion(platform: Platform) -> str | None:
    record = release_state(platform.ledger.records()).stable
    return None if record is None else record.version


def _test_metrics(record: LedgerRecord) -> dict[str, float | None]:
    return _values(record.payload.get("metrics", {}).get("test", {}))


def _values(metrics: Mapping[str, Any]) -> dict[str, float | None]:
    return {name: _value(metrics.get(name)) for name in TOLD_METRICS}


def _value(metric: Mapping[str, Any] | None) -> float | None:
    return None if metric is None else metric["value"]
