"""What becomes of causes when runs end: answered, tried again, or given to people."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Any

import dagster as dg
from dagster import DagsterRunStatus, RunsFilter
from dagster._core.events import RunFailureReason
from dagster._core.storage.tags import RUN_FAILURE_REASON_TAG

from attrition_platform.monitoring.triggering import CauseRecord, Stopped, after_run
from attrition_platform.stages.platform import Platform

RUN_KEY_TAG = "attrition/run_key"
# A run whose process died before it could name itself. One that is late after all finds its run ended, and
# does nothing where it had not begun.
NAMELESS_SECONDS = {DagsterRunStatus.STARTING: 60.0, DagsterRunStatus.STARTED: 120.0}


def close_answered(instance: dg.DagsterInstance, platform: Platform) -> None:
    """Close causes that wait, and tickets, where a run that they did not start has answered them."""
    from attrition_platform.stages.answered_causes import answered

    def has_ended_well(run_id: str) -> bool:
        run = instance.get_run_by_id(run_id)
        return run is None or run.status == DagsterRunStatus.SUCCESS

    waiting = [*platform.causes.records("open"), *platform.causes.records("ticketed")]
    # Somebody may have executed a failed run again, from where it failed.
    again = {key: run_of(instance, key) for key in {record.run_key for record in waiting} if key}
    good = {key for key, run in again.items() if run and run.status == DagsterRunStatus.SUCCESS}
    keys = answered(platform, waiting, has_ended_well)
    keys += [record.cause.key for record in waiting if record.run_key in good]
    if keys:
        platform.causes.answer(keys, platform.clock())


def settle(instance: dg.DagsterInstance, platform: Platform, log: Any) -> None:
    """Close the causes of runs that have ended, and fail runs whose process is gone."""
    rule = platform.policy.triggers
    for key, records in platform.causes.requested().items():
        run = run_of(instance, key)
        if run is not None and _is_dead(instance, run):
            gone = "The process that worked on it is gone."
            if run.status == DagsterRunStatus.CANCELING:
                instance.report_run_canceled(run, gone)
            else:
                instance.report_run_failed(run, gone)
            run = run_of(instance, key)
        if run is None or not run.is_finished:
            continue
        succeeded = run.status == DagsterRunStatus.SUCCESS
        now, stopped = platform.clock(), _who_stopped(run)
        after = [
            after_run(record, succeeded=succeeded, rule=rule, now=now, stopped=stopped) for record in records
        ]
        ticketed = [record for record in after if record.state == "ticketed"]
        if not succeeded:
            n_again = len(after) - len(ticketed)
            log.warning(f"Run {run.run_id} {stopped or 'failed'}; {n_again} causes are tried again.")
        # Before it is on record: what is told twice is recognised, what is forgotten is not. Who cancels a
        # run knows of it.
        if stopped != "cancelled":
            _call_people(platform, run, ticketed, log)
        platform.causes.settle(key, succeeded=succeeded, rule=rule, now=now, stopped=stopped)


def _who_stopped(run: dg.DagsterRun) -> Stopped | None:
    """Whether a person cancelled a run, or its daemon was told to stop under it; None where it failed."""
    if run.status == DagsterRunStatus.CANCELED:
        return "cancelled"
    return "interrupted" if was_interrupted(run) else None


def was_interrupted(run: dg.DagsterRun) -> bool:
    """Whether the machine or a person ended the process: the run itself broke nothing."""
    return run.tags.get(RUN_FAILURE_REASON_TAG) == RunFailureReason.UNEXPECTED_TERMINATION.value


def _call_people(platform: Platform, run: dg.DagsterRun, ticketed: Sequence[CauseRecord], log: Any) -> None:
    from attrition_platform.monitoring.messages import trigger_ticketed
    from attrition_platform.stages.telling import send

    if not ticketed:
        return
    champion = platform.ledger.champion()
    told = [
        trigger_ticketed(
            pipeline=run.job_name,
            cause_kind=record.cause.kind,
            cause_key=record.cause.key,
            at=platform.at(),
            n_attempts=record.n_attempts,
            champion=None if champion is None else champion.version,
            run_url=platform.settings.run_url(run.run_id),
        )
        for record in ticketed
    ]
    send(platform, told, log.warning)


def _is_dead(instance: dg.DagsterInstance, run: dg.DagsterRun) -> bool:
    """Whether the process that works on a run is gone; one that works names itself in its first step."""
    from attrition_platform.stages.run_processes import PROCESS_TAG, is_gone

    process = run.tags.get(PROCESS_TAG)
    if process is not None:
        return not run.is_finished and is_gone(process)
    record = instance.get_run_record_by_id(run.run_id)
    limit = NAMELESS_SECONDS.get(run.status)
    return limit is not None and record is not None and _age_seconds(record.update_timestamp) > limit


def _age_seconds(at: datetime) -> float:
    return (datetime.now(UTC) - at).total_seconds()


def run_of(instance: dg.DagsterInstance, key: str) -> dg.DagsterRun | None:
    """The newest run under a key: the one that was asked for, or one that a person executed again."""
    runs = instance.get_runs(RunsFilter(tags={RUN_KEY_TAG: key}), limit=1)
    return runs[0] if runs else None
