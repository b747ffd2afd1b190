"""One function per thing that people are told of; whoever calls them sends what they return.

Each takes names, counts and rates only. A text that an error brings along may quote an employee's value, so
a failure is told by the step and the error's type, never by the error's own words.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from attrition_platform.monitoring.burn_rate import Alert
from attrition_platform.monitoring.cause_wording import listed
from attrition_platform.monitoring.notification import Notification


def training_succeeded(
    *,
    pipeline: str,
    run_id: str,
    at: str,
    cause_kind: str,
    cause: str,
    outcome: str,
    champion_before: str | None,
    champion_after: str | None,
    metrics: Mapping[str, float | None],
    run_url: str | None = None,
    challenger: str | None = None,
    challenger_metrics: Mapping[str, float | None] | None = None,
    blockers: Sequence[str] = (),
) -> Notification:
    """A training run ended well; whether it changed the champion is in `outcome`.

    Parameters
    ----------
    pipeline, run_id : str
        The job and its run.
    at : str
        Time in UTC, ISO 8601.
    cause_kind, cause : str
        What started it: in short, as in ``drift``, and in words.
    outcome : str
        As the decision says: ``promoted``, ``blocked``, ``unchanged``.
    champion_before, champion_after : str or None
        Model versions.
    metrics : mapping of str to float or None
        Of the champion after the run.
    run_url : str or None
    challenger : str or None
        The model that was trained.
    challenger_metrics : mapping of str to float or None, optional
        Of the model that was trained, on the same kind of test.
    blockers : sequence of str
        Gates that keep the challenger from replacing the champion.

    Examples
    --------
    >>> at = "2026-03-01T12:00:00.000+00:00"
    >>> told = training_succeeded(
    ...     pipeline="train_champion", run_id="r1", at=at, cause_kind="drift", cause="Drift in w7",
    ...     outcome="unchanged", champion_before="m1", champion_after="m1", metrics={"roc_auc": 0.75},
    ... )
    >>> told.title, told.severity
    ('Training of train_champion succeeded: unchanged', 'info')
    """
    evidence: dict[str, Any] = {"run_id": run_id, "outcome": outcome}
    title = f"Training of {pipeline} succeeded: {outcome}"
    if outcome == "blocked" and blockers:
        title = f"Training of {pipeline} ended; its challenger was blocked by {listed(blockers)}"
        evidence["blockers"] = list(blockers)
    if challenger is not None and challenger != champion_after:
        evidence["challenger"] = challenger
        if challenger_metrics is not None:
            evidence["challenger_metrics"] = dict(challenger_metrics)
    return Notification(
        kind="training-succeeded",
        key=run_id,
        title=title,
        cause=cause,
        version_before=champion_before,
        version_after=champion_after,
        evidence=evidence,
        run_url=run_url,
        at=at,
        severity="info",
        cause_kind=cause_kind,
        pipeline=pipeline,
        metrics=metrics,
    )


def training_failed(
    *,
    pipeline: str,
    run_id: str,
    at: str,
    cause_kind: str,
    cause: str,
    step: str | None,
    error_type: str | None,
    champion: str | None,
    run_url: str | None = None,
) -> Notification:
    """A training run failed; the champion stays.

    Parameters
    ----------
    step, error_type : str or None
        Where and with which exception class; not its text, which may quote a value.
    champion : str or None
        Who serves on.

    Examples
    --------
    >>> told = training_failed(
    ...     pipeline="train_champion", run_id="r2", at="2026-03-01T12:00:00+00:00", cause_kind="new-file",
    ...     cause="New file", step="splits", error_type="NotEnoughRowsError", champion="m1",
    ... )
    >>> told.title, told.runbook
    ('Training of train_champion failed at splits (NotEnoughRowsError)', 'failed-run')
    """
    where = f" at {step}" if step else ""
    what = f" ({error_type})" if error_type else ""
    return Notification(
        kind="training-failed",
        key=run_id,
        title=f"Training of {pipeline} failed{where}{what}",
        cause=cause,
        version_before=champion,
        version_after=champion,
        evidence={"run_id": run_id, "step": step, "error_type": error_type},
        run_url=run_url,
        at=at,
        severity="ticket",
        cause_kind=cause_kind,
        pipeline=pipeline,
        runbook="failed-run",
    )


def run_ended(
    *,
    pipeline: str,
    run_id: str,
    at: str,
    cause_kind: str,
    cause: str,
    succeeded: bool,
    run_url: str | None = None,
) -> Notification:
    """A run ended, and what came of it can't be read: better told in short than not at all.

    Examples
    --------
    >>> told = run_ended(
    ...     pipeline="train_champion", run_id="r3", at="2026-03-01T12:00:00+00:00", cause_kind="drift",
    ...     cause="drift: in age", succeeded=False,
    ... )
    >>> told.kind, told.title
    ('training-failed', 'Training of train_champion failed; the run says where')
    """
    how = "succeeded; the run says what it decided" if succeeded else "failed; the run says where"
    return Notification(
        kind="training-succeeded" if succeeded else "training-failed",
        key=run_id,
        title=f"Training of {pipeline} {how}",
        cause=cause,
        version_before=None,
        version_after=None,
        evidence={"run_id": run_id},
        run_url=run_url,
        at=at,
        severity="info" if succeeded else "ticket",
        cause_kind=cause_kind,
        pipeline=pipeline,
        runbook=None if succeeded else "failed-run",
    )


def promoted(
    *,
    pipeline: str,
    at: str,
    cause_kind: str,
    cause: str,
    champion_before: str | None,
    champion_after: str,
    ledger_record: int,
    metrics: Mapping[str, float | None],
    run_url: str | None = None,
    evidence: Mapping[str, Any] | None = None,
) -> Notification:
    """A model became champion.

    Examples
    --------
    >>> told = promoted(
    ...     pipeline="train_champion", at="2026-03-01T12:00:00+00:00", cause_kind="drift",
    ...     cause="Drift in w7", champion_before=None, champion_after="m2", ledger_record=4, metrics={},
    ... )
    >>> told.title, told.evidence
    ('m2 is the first champion', {'ledger_record': 4})
    """
    title = f"{champion_after} is the first champion"
    if champion_before is not None:
        title = f"{champion_after} became champion in place of {champion_before}"
    return Notification(
        kind="promotion",
        key=f"{champion_after}/{ledger_record}",
        title=title,
        cause=cause,
        version_before=champion_before,
        version_after=champion_after,
        evidence={"ledger_record": ledger_record, **(evidence or {})},
        run_url=run_url,
        at=at,
        severity="info",
        cause_kind=cause_kind,
        pipeline=pipeline,
        metrics=metrics,
    )


def rolled_back(
    *,
    pipeline: str,
    at: str,
    cause: str,
    champion_before: str | None,
    champion_after: str,
    ledger_record: int,
    by: str,
    metrics: Mapping[str, float | None] | None = None,
    run_url: str | None = None,
) -> Notification:
    """An earlier champion serves again. No two are grouped: each changes who answers.

    Examples
    --------
    >>> told = rolled_back(
    ...     pipeline="release", at="2026-03-01T12:00:00+00:00", cause="Too many complaints",
    ...     champion_before="m2", champion_after="m1", ledger_record=5, by="Ana",
    ... )
    >>> told.title, told.severity
    ('m2 was rolled back by Ana; m1 is champion again', 'ticket')
    """
    left = champion_before or "The champion"
    return Notification(
        kind="rollback",
        key=f"{champion_after}/{ledger_record}",
        title=f"{left} was rolled back by {by}; {champion_after} is champion again",
        cause=cause,
        version_before=champion_before,
        version_after=champion_after,
        evidence={"ledger_record": ledger_record, "by": by},
        run_url=run_url,
        at=at,
        severity="ticket",
        cause_kind=f"rollback-{ledger_record}",
        pipeline=pipeline,
        runbook="metric-regression",
        metrics=metrics or {},
    )


def drifted(
    *,
    pipeline: str,
    window: str,
    at: str,
    columns: Sequence[str],
    scores: Mapping[str, float | None],
    limit: float,
    n_rows: int,
    champion: str | None,
    report_url: str | None = None,
    run_url: str | None = None,
) -> Notification:
    """A window drifted from what the champion was trained on.

    Parameters
    ----------
    columns : sequence of str
        Those that drifted, worst first.
    scores : mapping of str to float or None
        Of these columns, in [0, 1] or more; 0 is no drift.
    limit : float
        Score from which it counts.
    n_rows : int
        Rows of the window.

    Examples
    --------
    >>> told = drifted(
    ...     pipeline="drift_report", window="w7", at="2026-03-01T12:00:00+00:00", columns=["income", "age"],
    ...     scores={"income": 0.31, "age": 0.12}, limit=0.1, n_rows=5000, champion="m1",
    ... )
    >>> told.title
    'Window w7 drifted in 2 columns: income, age'
    """
    plural = "column" if len(columns) == 1 else "columns"
    return Notification(
        kind="drift",
        key=window,
        title=f"Window {window} drifted in {len(columns)} {plural}: {listed(columns)}",
        cause=f"The score is above {limit:g} and the difference is no chance.",
        version_before=champion,
        version_after=champion,
        evidence={
            "window": window,
            "columns": list(columns),
            "scores": {name: scores.get(name) for name in columns},
            "limit": limit,
            "n_rows": n_rows,
            "report_url": report_url,
        },
        run_url=run_url,
        at=at,
        severity="ticket",
        cause_kind="drift",
        pipeline=pipeline,
        runbook="drift",
    )


def performed_badly(
    *,
    pipeline: str,
    window: str,
    at: str,
    reasons: Sequence[str],
    champion: str | None,
    n_labels: int,
    metrics: Mapping[str, float | None],
    concept_drift: bool = False,
    run_url: str | None = None,
) -> Notification:
    """Matured outcomes say that the champion is no longer good enough.

    Parameters
    ----------
    reasons : sequence of str
        In words, as the verdict gives them.
    n_labels : int
        Matured labels that were read.
    metrics : mapping of str to float or None
        Of the champion on them.

    Examples
    --------
    >>> told = performed_badly(
    ...     pipeline="performance_report", window="2026-W09", at="2026-03-01T12:00:00+00:00", champion="m1",
    ...     reasons=["recall 0.41 is below 0.55"], n_labels=1000, metrics={"recall": 0.41},
    ... )
    >>> told.title, told.cause
    ('Champion m1 is below its floor in 2026-W09', 'recall 0.41 is below 0.55')
    """
    what = "meets another world than it learned" if concept_drift else "is below its floor"
    return Notification(
        kind="concept-drift" if concept_drift else "performance",
        key=f"{champion}/{window}",
        title=f"Champion {champion} {what} in {window}",
        cause="; ".join(reasons) or "see the report",
        version_before=champion,
        version_after=champion,
        evidence={"window": window, "n_labels": n_labels},
        run_url=run_url,
        at=at,
        severity="ticket",
        cause_kind="performance",
        pipeline=pipeline,
        runbook="metric-regression",
        metrics=metrics,
    )


def budget_alert(
    alert: Alert, *, pipeline: str, at: str, champion: str | None, run_url: str | None = None
) -> Notification:
    """An indicator burns its error budget, or something is out; the alert says whether it may wake somebody.

    Examples
    --------
    >>> alert = Alert("fast-burn", "run-success", "14 of 20 runs failed", "docs/runbooks/fast-burn.md")
    >>> told = budget_alert(alert, pipeline="slo_report", at="2026-03-01T12:00:00+00:00", champion="m1")
    >>> told.severity, told.title
    ('page', 'run-success: fast-burn')
    """
    return Notification(
        kind=f"slo-{alert.name}",
        key=alert.about,
        title=f"{alert.about}: {alert.name}",
        cause=alert.text,
        version_before=champion,
        version_after=champion,
        evidence={"about": alert.about},
        run_url=run_url,
        at=at,
        severity=alert.severity,
        cause_kind=alert.about,
        pipeline=pipeline,
        runbook=alert.runbook,
    )


def trigger_ticketed(
    *,
    pipeline: str,
    cause_kind: str,
    cause_key: str,
    at: str,
    n_attempts: int,
    champion: str | None,
    run_url: str | None = None,
) -> Notification:
    """A cause whose runs all failed is now a person's to look at.

    Examples
    --------
    >>> told = trigger_ticketed(
    ...     pipeline="train_champion", cause_kind="drift", cause_key="drift-w7",
    ...     at="2026-03-01T12:00:00+00:00", n_attempts=3, champion="m1",
    ... )
    >>> told.title
    'No run for drift-w7 succeeded (3 attempts); somebody must look'
    """
    return Notification(
        kind="trigger-ticketed",
        key=cause_key,
        title=f"No run for {cause_key} succeeded ({n_attempts} attempts); somebody must look",
        cause=f"Each run that the trigger '{cause_kind}' started failed; it starts no more for this cause.",
        version_before=champion,
        version_after=champion,
        evidence={"cause_key": cause_key, "n_attempts": n_attempts},
        run_url=run_url,
        at=at,
        severity="ticket",
        cause_kind=cause_kind,
        pipeline=pipeline,
        runbook="failed-run",
    )
