"""Everything that the dashboard tells, gathered from what stages have stored: nothing is computed here.

Each part stands by itself: one that can't be read says what is wrong with it, the others are shown. No part
holds an employee's values.
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, Final

from attrition_platform.adapters.pointers import NEWEST
from attrition_platform.adapters.step_cache import StepResult
from attrition_platform.errors import AttritionError
from attrition_platform.monitoring.slo_facts import RunFact
from attrition_platform.ports import LedgerRecord
from attrition_platform.stages.platform import Platform
from attrition_platform.stages.release_state import missing_approvals, release_state
from attrition_platform.stages.views import newest

RunHistory = Callable[[datetime], Sequence[RunFact]]
WEEK: Final = timedelta(days=7)
N_RUNS, N_RECORDS, N_TOLD, N_REFUSED, N_CAUSES = 15, 20, 20, 10, 50
_REFUSED: Final = ("refused", "outcomes/refused")


def overview(platform: Platform, history: RunHistory | None = None) -> dict[str, Any]:
    """Gather what is known about the platform now.

    Parameters
    ----------
    platform : Platform
    history : callable or None
        Gives the runs since a time, those that go on, and each job's newest good one, newest first; None
        where nobody can tell.

    Returns
    -------
    dict
        JSON values. ``at``, and one mapping per part: ``place``, ``release``, ``decision``, ``drift``,
        ``performance``, ``slo``, ``scored``, ``predictions``, ``runs``, ``causes``, ``notifications``,
        ``refused``. Each has ``state`` (``known``, ``not-yet`` or ``problem``) and ``problem`` (a sentence or
        None); the other keys are there where it is known.
    """
    readers: dict[str, Callable[[], dict[str, Any] | None]] = {
        "place": lambda: _place(platform),
        "release": lambda: _release(platform),
        "decision": lambda: _decision(platform),
        "drift": lambda: _drift(platform),
        "performance": lambda: _report(platform, "performance_report"),
        "slo": lambda: _report(platform, "slo_report"),
        "scored": lambda: _scored(platform),
        "predictions": lambda: _predictions(platform),
        "runs": lambda: _runs(platform, history),
        "causes": lambda: _causes(platform),
        "notifications": lambda: _notifications(platform),
        "refused": lambda: _refused(platform),
    }
    return {"at": platform.at(), **{name: _part(read) for name, read in readers.items()}}


def _part(read: Callable[[], dict[str, Any] | None]) -> dict[str, Any]:
    try:
        found = read()
    except AttritionError as error:
        return {"state": "problem", "problem": str(error)}
    except Exception as error:  # whatever a disk or a database throws: the other parts are to be shown
        return {"state": "problem", "problem": f"This can't be read ({type(error).__name__})."}
    if found is None:
        return {"state": "not-yet", "problem": None}
    return {"state": "known", "problem": None, **found}


def _place(platform: Platform) -> dict[str, Any]:
    contract, policy = platform.contract, platform.policy
    return {
        "contract": contract.name,
        "contract_version": contract.version,
        "contract_sha256": platform.contract_digest,
        "policy": policy.name,
        "policy_sha256": platform.policy_digest,
        "ui_url": platform.settings.ui_url,
        "min_score": policy.drift.min_score,
        "time_zone": policy.triggers.time_zone,
    }


def _release(platform: Platform) -> dict[str, Any] | None:
    records = platform.ledger.records()
    if not records:
        return None
    chain = platform.ledger.verify()
    state = release_state(records)
    waiting = None
    if state.waiting is not None:
        waiting = {
            "version": state.waiting.version,
            "since": state.waiting.at,
            "n_missing": missing_approvals(platform, state),
        }
    return {
        "champion": None if state.stable is None else _model(state.stable),
        "canary": None if state.canary is None else _canary(state.canary),
        "waiting": waiting,
        "earlier": [record.version for record in state.earlier],
        "chain_problem": None if chain.intact else chain.problem,
        "n_records": len(records),
        "records": [
            {"seq": r.seq, "kind": r.kind, "at": r.at, "version": r.version, "hash": r.hash}
            for r in reversed(records[-N_RECORDS:])
        ],
    }


def _model(record: LedgerRecord) -> dict[str, Any]:
    payload = record.payload
    return {
        "version": record.version,
        "since": record.at,
        "became_by": record.kind,
        "family": payload.get("family"),
        "test": payload.get("metrics", {}).get("test", {}),
        "threshold": payload.get("threshold"),
        "n_columns": len(payload.get("reads", ())),
        "policy": payload.get("policy", {}).get("name"),
        "run": payload.get("runs", {}).get("dagster"),
        "mlflow_version": payload.get("mlflow_version"),
        "reference": payload.get("reference"),
    }


def _canary(record: LedgerRecord) -> dict[str, Any]:
    return {"version": record.version, "since": record.at, "share": record.payload.get("share")}


def _decision(platform: Platform) -> dict[str, Any] | None:
    record = platform.ledger.last("decision")
    if record is None:
        return None
    blocking = [g for g in record.payload.get("gates", ()) if g.get("enforced") and not g.get("passed")]
    return {
        "at": record.at,
        "version": record.version,
        "outcome": record.payload.get("outcome"),
        "blocked_by": [{"name": gate["name"], "reason": gate["reason"]} for gate in blocking],
    }


def _drift(platform: Platform) -> dict[str, Any] | None:
    from attrition_platform.adapters.batches import list_batches

    found = _report(platform, "drift_report")
    if found is None:
        return None
    batches = list_batches(platform.settings.data_dir, platform.contract.name)
    batch = next((b for b in reversed(batches) if b.sha256.startswith(found["window"])), None)
    arrived = None if batch is None else _written(batch.folder / "manifest.json")
    return found | {"file": None if batch is None else batch.name, "arrived_at": arrived}


def _report(platform: Platform, asset: str) -> dict[str, Any] | None:
    result = _newest(platform, asset)
    return None if result is None else result.facts | {"judged_at": _made_at(platform, result, asset)}


def _newest(platform: Platform, asset: str) -> StepResult | None:
    """None before the first one; a damaged one is another matter, and raises."""
    return newest(platform, asset) if (platform.pointers_dir / asset / NEWEST).is_file() else None


def _made_at(platform: Platform, result: StepResult, asset: str) -> str:
    """When the newest run said so: a report that was reused is as fresh as that run."""
    at = result.measured.get("at")
    return str(at) if at else _written(platform.pointers_dir / asset / NEWEST)


def _written(file: Path) -> str:
    return datetime.fromtimestamp(file.stat().st_mtime, UTC).isoformat(timespec="milliseconds")


def _scored(platform: Platform) -> dict[str, Any] | None:
    result = _newest(platform, "scored_employees")
    if result is None:
        return None
    shown = ("version", "n_rows", "n_flagged", "by_tier")
    return {name: result.facts[name] for name in shown} | {"scored_at": result.measured.get("scored_at")}


def _predictions(platform: Platform) -> dict[str, Any]:
    return {"n": platform.predictions.count()}


def _runs(platform: Platform, history: RunHistory | None) -> dict[str, Any] | None:
    if history is None:
        return None
    since = platform.clock() - WEEK
    runs = history(since)
    counted = Counter(
        (run.job, run.status) for run in runs if run.started_at >= since or run.status == "running"
    )
    good = [run for run in runs if run.status == "success" and run.ended_at is not None]
    last_success: dict[str, datetime] = {}
    for run in good:
        assert run.ended_at is not None
        last_success[run.job] = max(run.ended_at, last_success.get(run.job, run.ended_at))
    return {
        "counts": [{"job": job, "status": status, "n": n} for (job, status), n in sorted(counted.items())],
        "last_success": {job: at.isoformat() for job, at in sorted(last_success.items())},
        "newest": [_run(run) for run in sorted(runs, key=lambda run: run.started_at, reverse=True)[:N_RUNS]],
    }


def _run(run: RunFact) -> dict[str, Any]:
    ended = run.ended_at
    return {
        "run_id": run.run_id,
        "job": run.job,
        "cause": run.cause,
        "status": run.status,
        "started_at": run.started_at.isoformat(),
        "seconds": None if ended is None else (ended - run.started_at).total_seconds(),
    }


def _causes(platform: Platform) -> dict[str, Any]:
    records = [record for record in platform.causes.records() if record.state != "done"]
    waiting = Counter(record.cause.kind for record in records if record.state != "ticketed")
    given_up = Counter(record.cause.kind for record in records if record.state == "ticketed")
    shown = sorted(records, key=lambda record: record.cause.found_at, reverse=True)[:N_CAUSES]
    return {
        "n_open": dict(sorted(waiting.items())),
        "n_ticketed": dict(sorted(given_up.items())),
        "open": [
            {
                "kind": record.cause.kind,
                "window": record.cause.window,
                "state": record.state,
                "found_at": record.cause.found_at.isoformat(),
                "n_attempts": record.n_attempts,
                "retry_at": None if record.retry_at is None else record.retry_at.isoformat(),
            }
            for record in shown
        ],
    }


def _notifications(platform: Platform) -> dict[str, Any]:
    from attrition_platform.adapters.notifications import build_notifier

    notifier = build_notifier(platform.settings, platform.policy)
    status, since = notifier.status(), platform.clock() - WEEK
    lines = notifier.newest(10_000)  # about a megabyte is read at most
    failed = [line for line in lines if line.get("kind") == "notification-failed" and _is_after(line, since)]
    shown = ("at", "kind", "severity", "title", "cause", "runbook", "fate")
    return {
        "newest": [{name: line.get(name) for name in shown} for line in reversed(lines[-N_TOLD:])],
        "n_failed": len(failed),
        "n_waiting": status.n_grouped,
        "channels": list(notifier.channels),
        "undelivered": dict(status.undelivered),
        "failing": [
            {"channel": name, "since": began, "problem": problem}
            for name, (began, problem) in status.failing.items()
        ],
    }


def _is_after(line: Mapping[str, Any], since: datetime) -> bool:
    try:
        return datetime.fromisoformat(str(line.get("at"))) >= since
    except (ValueError, TypeError):
        return False


def _refused(platform: Platform) -> dict[str, Any]:
    """Files that were refused whole, before they became a batch or for what they hold.

    What can't be read of one does not hide the others.
    """
    found = _refused_batches(platform)
    for folder in _REFUSED:
        for file in (platform.settings.data_dir / folder).glob("*/reason.json"):
            try:
                reason = json.loads(file.read_text(encoding="utf-8"))
            except (OSError, ValueError):
                reason = {"contract": platform.contract.name, "name": file.parent.name, "reason": "unknown"}
            if reason.get("contract") == platform.contract.name:
                told = {name: reason.get(name) for name in ("name", "reason", "detail")}
                found.append(told | {"at": _written(file)})
    found.sort(key=lambda one: str(one["at"]), reverse=True)
    return {"n": len(found), "newest": found[:N_REFUSED]}


def _refused_batches(platform: Platform) -> list[dict[str, Any]]:
    """Batches that the newest run left out whole: a unit changed, say, or too many rows are bad."""
    from attrition_platform.adapters.batches import list_batches

    result = _newest(platform, "validated_employees")
    refusals = [] if result is None else result.facts["refused_batches"]
    batches = list_batches(platform.settings.data_dir, platform.contract.name) if refusals else ()
    arrived = {batch.name: _written(batch.folder / "manifest.json") for batch in batches}
    return [
        {
            "name": one["batch"],
            "reason": one["reason"],
            "detail": one.get("detail") or f"All of it is left out of training and scoring: {one['reason']}.",
            "at": arrived.get(one["batch"]),
        }
        for one in refusals
    ]
