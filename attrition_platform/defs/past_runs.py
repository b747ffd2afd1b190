"""Dagster's run history for those who do not run in Dagster: the dashboard asks what ran lately."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from datetime import datetime
from functools import cache
from pathlib import Path

import dagster as dg
from dagster import DagsterRunStatus, RunsFilter

from attrition_platform.defs.run_history import MAX_RUNS, run_fact
from attrition_platform.defs.schedules import MONITOR, SCORE_EMPLOYEES, TRAIN_CHAMPION
from attrition_platform.monitoring.slo_facts import RunFact

JOBS = (TRAIN_CHAMPION, SCORE_EMPLOYEES, MONITOR)
_GOES_ON = [
    DagsterRunStatus.QUEUED,
    DagsterRunStatus.NOT_STARTED,
    DagsterRunStatus.STARTING,
    DagsterRunStatus.STARTED,
]


def history_of(home: Path) -> Callable[[datetime], Sequence[RunFact]]:
    """How to ask the instance of a folder; it is opened at the first question.

    Parameters
    ----------
    home : Path
        Folder of ``dagster.yaml``.
    """

    @cache
    def instance() -> dg.DagsterInstance:
        return dg.DagsterInstance.from_config(str(home))

    return lambda since: read_history(instance(), since)


def read_history(instance: dg.DagsterInstance, since: datetime) -> tuple[RunFact, ...]:
    """Runs since a time, runs that go on, and each job's newest good run, each once, newest first."""
    found = {}
    filters = [(RunsFilter(created_after=since), MAX_RUNS), (RunsFilter(statuses=_GOES_ON), MAX_RUNS)]
    filters += [(RunsFilter(job_name=job, statuses=[DagsterRunStatus.SUCCESS]), 1) for job in JOBS]
    for wanted, limit in filters:
        for record in instance.get_run_records(wanted, limit=limit):
            found[record.dagster_run.run_id] = run_fact(record)
    return tuple(sorted(found.values(), key=lambda run: (run.started_at, run.run_id), reverse=True))
