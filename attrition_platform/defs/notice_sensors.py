"""Who hears of runs that ended, of releases and of refused files."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import dagster as dg

from attrition_platform.defs.run_endings import was_interrupted
from attrition_platform.monitoring.notification import Notification
from attrition_platform.stages.platform import Platform

RUNNING = dg.DefaultSensorStatus.RUNNING
LOOK_SECONDS = 5


def build_notice_sensors(jobs: list[Any]) -> list[dg.SensorDefinition]:
    """Build the sensors that tell people; none of them ever fails a run."""

    @dg.run_status_sensor(
        run_status=dg.DagsterRunStatus.SUCCESS,
        monitored_jobs=list(jobs),
        minimum_interval_seconds=LOOK_SECONDS,
        default_status=RUNNING,
    )
    def tell_of_success(
        context: dg.RunStatusSensorContext, platform: dg.ResourceParam[Platform]
    ) -> dg.SkipReason:
        """Tell people what a training run decided, and which files a run of any job took in for nothing."""
        from attrition_platform.stages.telling import TRAIN, of_training
        from attrition_platform.stages.telling_of_files import of_refused_batches

        run = context.dagster_run
        url = platform.settings.run_url(run.run_id)
        is_training = run.job_name == TRAIN

        def found() -> list[Notification]:
            refused = of_refused_batches(platform, run.run_id, url)
            return [*refused, of_training(platform, run.run_id, run.tags, url)] if is_training else refused

        return _tell(context, platform, found, succeeded=True, in_short=is_training)

    @dg.run_failure_sensor(
        monitored_jobs=list(jobs), minimum_interval_seconds=LOOK_SECONDS, default_status=RUNNING
    )
    def tell_of_failure(
        context: dg.RunFailureSensorContext, platform: dg.ResourceParam[Platform]
    ) -> dg.SkipReason:
        """Tell people at which step a run failed and with which type of error, never with its words."""
        from attrition_platform.stages.telling import of_failure
        from attrition_platform.stages.telling_of_files import of_refused_batches

        run = context.dagster_run
        if was_interrupted(run):
            return dg.SkipReason(f"Run {run.run_id} was interrupted: its causes are tried again.")
        url = platform.settings.run_url(run.run_id)

        def found() -> list[Notification]:
            steps = context.get_step_failure_events()
            step = steps[0].step_key if steps else None
            error = steps[0].step_failure_data.error if steps else None
            error_type = None if error is None else (error.cause or error).cls_name
            told = of_failure(platform, run.job_name, run.run_id, run.tags, step, error_type, url)
            by_refusal = error_type == "RefusedFileError"
            refused = of_refused_batches(platform, run.run_id, url, stopped_by_refusal=by_refusal)
            return [*refused, told]

        return _tell(context, platform, found, succeeded=False, in_short=True)

    return [tell_of_success, tell_of_failure, tell_of_releases, tell_of_refused_files]


def _tell(
    context: dg.RunStatusSensorContext,
    platform: Platform,
    found: Callable[[], list[Notification]],
    *,
    succeeded: bool,
    in_short: bool,
) -> dg.SkipReason:
    """Tell what was found; where that can't be had, tell in short, since Dagster shows an ended run once."""
    from attrition_platform.stages.telling import of_run_in_short, send

    run = context.dagster_run
    try:
        told = found()
    except Exception as error:  # whatever a store throws at it
        context.log.error(f"Run {run.run_id} can't be told of in full ({type(error).__name__}).")
        url = platform.settings.run_url(run.run_id)
        short = of_run_in_short(platform.at(), run.job_name, run.run_id, run.tags, url, succeeded=succeeded)
        told = [short] if in_short else []
    send(platform, told, context.log.warning)
    return dg.SkipReason(f"Told of run {run.run_id}." if told else "Nothing to tell.")


@dg.sensor(minimum_interval_seconds=LOOK_SECONDS, default_status=RUNNING)
def tell_of_releases(
    context: dg.SensorEvaluationContext, platform: dg.ResourceParam[Platform]
) -> dg.SensorResult:
    """Tell people of promotions and rollbacks, whoever made them, and send on what waited."""
    from attrition_platform.adapters.notifications import build_notifier
    from attrition_platform.stages.telling import of_releases, send

    cursor = context.cursor or ""
    after = int(cursor) if cursor.isdecimal() else None  # a person may have set it to anything
    told: list[Notification] = []
    try:
        head = platform.ledger.head()
        if after != head:
            told, head = of_releases(platform, after)
    finally:
        # Summaries of groups, and what waited for a quiet hour's end or for a channel to answer again; also
        # while the ledger can't be read. What is new brings along whatever is due, and a tick waits once.
        if not told:
            build_notifier(platform.settings, platform.policy).flush(platform.at(), patient=True)
    if after == head:
        return dg.SensorResult(skip_reason=f"Nothing new after ledger record {head}.", cursor=str(head))
    send(platform, told, context.log.warning)
    return dg.SensorResult(skip_reason=f"Told of {len(told)} releases.", cursor=str(head))


@dg.sensor(minimum_interval_seconds=LOOK_SECONDS, default_status=RUNNING)
def tell_of_refused_files(
    context: dg.SensorEvaluationContext, platform: dg.ResourceParam[Platform]
) -> dg.SensorResult:
    """Tell people which files were put into `refused/`, and why."""
    from attrition_platform.stages.telling import send
    from attrition_platform.stages.telling_of_files import of_refused_files

    cursor = context.cursor or ""
    told, newest = of_refused_files(platform, int(cursor) if cursor.isdecimal() else None)
    send(platform, told, context.log.warning)
    said = told[0].title if told else "No file was refused since the last look"
    return dg.SensorResult(skip_reason=f"{said}.", cursor=str(newest))
