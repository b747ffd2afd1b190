"""What Prometheus reads, made from the same overview as the pages: both always tell the same."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from attrition_platform.dashboard.formats import parsed
from attrition_platform.monitoring.burn_rate import Alert
from attrition_platform.monitoring.exposition import MODEL_METRICS, PARTS, PipelineFacts

Overview = Mapping[str, Any]


def pipeline_facts(found: Overview) -> PipelineFacts:
    """Facts of an overview; a part that is not known gives none, never a zero."""
    release, drift, slo = (_known(found, name) for name in ("release", "drift", "slo"))
    runs, causes, notifications = (_known(found, name) for name in ("runs", "causes", "notifications"))
    channels = notifications.get("channels", ())
    failing = {one["channel"] for one in notifications.get("failing", ())}
    champion = release.get("champion")
    judged = _judged(found, champion)
    successes = {job: parsed(at) for job, at in runs.get("last_success", {}).items()}
    is_judged = bool(drift) and not drift.get("problem")
    return PipelineFacts(
        runs={(one["job"], one["status"]): one["n"] for one in runs.get("counts", ())},
        last_success={job: at for job, at in successes.items() if at is not None},
        champion=None if champion is None else (champion["version"], str(champion["family"])),
        champion_since=None if champion is None else parsed(champion["since"]),
        champion_auc=None if champion is None else _value(champion["test"], "roc_auc"),
        drift_score=drift["score"] if is_judged else None,
        n_drifted_columns=len(drift["columns"]) if is_judged else None,
        window_at=parsed(drift.get("arrived_at")),
        matured={name: _value(judged.get("matured"), name) for name in MODEL_METRICS},
        estimated={name: _value(judged.get("estimated"), name) for name in MODEL_METRICS},
        slo=slo or None,
        slo_judged_at=parsed(slo.get("judged_at")),
        open_causes=causes.get("n_open"),
        ticketed_causes=causes.get("n_ticketed"),
        alerts=tuple(Alert.from_json(alert) for alert in slo["alerts"]) if slo else None,
        n_notifications_failed=notifications.get("n_failed"),
        undelivered={name: notifications["undelivered"].get(name, 0) for name in channels},
        failing={name: name in failing for name in channels},
        ledger_intact=release["chain_problem"] is None if release else None,
        readable={name: found[name]["state"] != "problem" for name in PARTS},
    )


def _known(found: Overview, name: str) -> Mapping[str, Any]:
    part: Mapping[str, Any] = found[name]
    return part if part["state"] == "known" else {}


def _judged(found: Overview, champion: Mapping[str, Any] | None) -> Mapping[str, Any]:
    """The verdict on the model that decides now; one on an earlier model is about something else."""
    judged = _known(found, "performance").get("judged")
    if judged is None or champion is None or judged["version"] != champion["version"]:
        return {}
    return dict(judged)


def _value(metrics: Mapping[str, Any] | None, name: str) -> float | None:
    metric = (metrics or {}).get(name)
    return None if metric is None else metric["value"]
