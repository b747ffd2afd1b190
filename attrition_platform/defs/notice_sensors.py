"""Who hears of runs that ended and of releases."""

from __future__ import annotations

from typing import Any

import dagster as dg

from attrition_platform.stages.platform import Platform

RUNNING = dg.DefaultSensorStatus.RUNNING
LOOK_SECONDS = 5


def build_notice_sensors(jobs: list[Any]) -> list[dg.SensorDefinition]:
    """Build the sensors that tell people; none of them ever fails a run."""
    by_name = {job.name: job for job in jobs}

    @dg.run_status_sensor(
        run_status=dg.DagsterRunStatus.SUCCESS,
        monitored_jobs=[by_name["train_champion"]],
        minimum_interval_seconds=LOOK_SECONDS,
        default_status=RUNNING,
    )
    def tell_of_success(
        context: dg.RunStatusSensorContext, platform: dg.ResourceParam[Platform]
    ) -> dg.SkipReason:
        """Tell people what a training run decided."""
        from attrition_platform.stages.telling import of_training, send

        run = context.dagster_run
        told = of_training(platform, run.run_id, run.tags, _run_url(platform, run.run_id))
        send(platform, [told], context.log.warning)
        return dg.SkipReason(f"Told of run {run.run_id}.")

    @dg.run_failure_sensor(
        monitored_jobs=list(jobs), minimum_interval_seconds=LOOK_SECONDS, default_status=RUNNING
    )
    def tell_of_failure(
        context: dg.RunFailureSensorContext, platform: dg.ResourceParam[Platform]
    ) -> dg.SkipReason:
        """Tell people at which step a run failed and with which type of error, never with its words."""
        from attrition_platform.stages.telling import of_failure, send

        run = context.dagster_run
        steps = context.get_step_failure_events()
        step = steps[0].step_key if steps else None
        error = steps[0].step_failure_data.error if steps else None
        error_type = None if error is None else (error.cause or error).cls_name
        url = _run_url(platform, run.run_id)
        told = of_failure(platform, run.job_name, run.run_id, run.tags, step, error_type, url)
        send(platform, [told], context.log.warning)
        return dg.SkipReason(f"Told of run {run.run_id}.")

    @dg.sensor(minimum_interval_seconds=LOOK_SECONDS, default_status=RUNNING)
    def tell_of_releases(
        context: dg.SensorEvaluationContext, platform: dg.ResourceParam[Platform]
    ) -> dg.SensorResult:
        """Tell people of promotions and rollbacks, whoever made them, and send on what waited."""
        from attrition_platform.adapters.notifications import build_notifier
        from attrition_platform.stages.telling import of_releases, send

        cursor = context.cursor or ""
        after = int(cursor) if cursor.isdecimal() else None  # a person may have set it to anything
        head = platform.ledger.head()
        # Summaries of groups, and what waited for a quiet hour's end or for a channel to answer again.
        build_notifier(platform.settings, platform.policy).flush(platform.at(), patient=True)
        if after == head:
            return dg.SensorResult(skip_reason=f"Nothing new after ledger record {head}.", cursor=str(head))
        told, newest = of_releases(platform, after)
        send(platform, told, context.log.warning)
        return dg.SensorResult(skip_reason=f"Told of {len(told)} releases.", cursor=str(newest))

    return [tell_of_success, tell_of_failure, tell_of_releases]


def _run_url(platform: Platform, run_id: str) -> str:
    return f"{platform.settings.ui_url}/runs/{run_id}"
