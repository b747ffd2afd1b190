"""What Dagster knows of past runs, as facts that indicators are measured from."""

from __future__ import annotations

from datetime import UTC, datetime

import dagster as dg
from dagster import DagsterRunStatus, RunsFilter

from attrition_platform.defs.assets.governance import CAUSE_TAG
from attrition_platform.defs.run_endings import RUN_KEY_TAG, was_interrupted
from attrition_platform.monitoring.slo_facts import RunFact, RunStatus

MAX_RUNS = 5_000
_ENDED: dict[DagsterRunStatus, RunStatus] = {
    DagsterRunStatus.SUCCESS: "success",
    DagsterRunStatus.FAILURE: "failure",
    DagsterRunStatus.CANCELED: "canceled",
    DagsterRunStatus.CANCELING: "canceled",
}


def read_runs(
    instance: dg.DagsterInstance, since: datetime, *, without: str | None = None
) -> tuple[RunFact, ...]:
    """Runs of our jobs that were created since a time, newest first.

    Parameters
    ----------
    without : str or None
        Id of the run that asks: it can't tell how it ends.
    """
    records = instance.get_run_records(RunsFilter(created_after=since), limit=MAX_RUNS)
    return tuple(run_fact(record) for record in records if record.dagster_run.run_id != without)


def run_fact(record: dg.RunRecord) -> RunFact:
    """A run as indicators see it."""
    run = record.dagster_run
    status = _ENDED.get(run.status, "running")
    if was_interrupted(run):
        status = "canceled"
    began = record.create_timestamp if record.start_time is None else _utc(record.start_time)
    return RunFact(
        run_id=run.run_id,
        job=run.job_name,
        cause=run.tags.get(CAUSE_TAG),
        status=status,
        started_at=began.astimezone(UTC),
        ended_at=None if record.end_time is None else _utc(record.end_time),
        run_key=run.tags.get(RUN_KEY_TAG),
    )


def _utc(seconds: float) -> datetime:
    return datetime.fromtimestamp(seconds, UTC)
