"""The dashboard sees what ran lately, what still runs, and each job's newest good run."""

from __future__ import annotations

import uuid
from datetime import UTC, datetime, timedelta

import dagster as dg
from dagster import DagsterRunStatus

from attrition_platform.defs.past_runs import read_history


def add(instance: dg.DagsterInstance, job: str, status: DagsterRunStatus, **tags: str) -> str:
    run_id = str(uuid.uuid4())
    instance.add_run(dg.DagsterRun(job_name=job, run_id=run_id, status=status, tags=tags))
    return run_id


def test_runs_since_a_time_are_told_with_their_cause() -> None:
    with dg.DagsterInstance.ephemeral() as instance:
        failed = add(instance, "train_champion", DagsterRunStatus.FAILURE, cause="drift")
        found = read_history(instance, datetime.now(UTC) - timedelta(days=7))

    assert [(run.run_id, run.job, run.cause, run.status) for run in found] == [
        (failed, "train_champion", "drift", "failure")
    ]


def test_what_goes_on_and_the_newest_good_run_count_however_old() -> None:
    with dg.DagsterInstance.ephemeral() as instance:
        add(instance, "monitor", DagsterRunStatus.SUCCESS)
        newest = add(instance, "monitor", DagsterRunStatus.SUCCESS)
        working = add(instance, "train_champion", DagsterRunStatus.STARTED)
        add(instance, "train_champion", DagsterRunStatus.FAILURE)
        found = read_history(instance, datetime.now(UTC) + timedelta(hours=1))

    assert {run.run_id: run.status for run in found} == {newest: "success", working: "running"}
