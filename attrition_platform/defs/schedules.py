"""The jobs, and when the main one runs by the clock."""

from typing import Any

import dagster as dg

from attrition_platform.stages.platform import Platform

TRAIN_CHAMPION = "train_champion"
SCORE_EMPLOYEES = "score_employees"
MONITOR = "monitor"
RUNNING = dg.DefaultScheduleStatus.RUNNING


def build_jobs_and_schedules(platform: Platform) -> tuple[list[Any], list[dg.ScheduleDefinition]]:
    """Build the main job (raw data to champion) and its schedules, scoring, and monitoring.

    A nightly run on unchanged data fits nothing; it re-decides and says what it reused.
    """
    zone = platform.policy.triggers.time_zone
    # Drift is judged in every run that takes data in; the rest of the watch needs scores and outcomes.
    watch = dg.AssetSelection.groups("serving", "monitoring")
    after_training = watch - dg.AssetSelection.assets("drift_report")
    job = dg.define_asset_job(
        TRAIN_CHAMPION,
        selection=dg.AssetSelection.all() - after_training,
        description="The main job: takes in the inbox, trains, audits, decides and names the champion.",
    )
    score = dg.define_asset_job(
        SCORE_EMPLOYEES,
        selection=dg.AssetSelection.groups("ingest", "features", "serving"),
        description="Takes in the inbox and scores every current employee with the champion.",
    )
    monitor = dg.define_asset_job(
        MONITOR,
        selection=watch,
        description="Scores every current employee, then judges drift, performance and SLOs.",
    )
    nightly = dg.ScheduleDefinition(
        name="train_nightly",
        job=job,
        cron_schedule="0 2 * * *",
        execution_timezone=zone,
        description="Every night at 02:00: takes in what arrived and re-decides the champion.",
        tags={"cause": "nightly"},
        default_status=RUNNING,
    )
    weekly = dg.ScheduleDefinition(
        name="train_weekly",
        job=job,
        cron_schedule="0 5 * * 1",
        execution_timezone=zone,
        description="Every Monday at 05:00: the weekly retrain.",
        tags={"cause": "weekly"},
        default_status=RUNNING,
    )
    daily = dg.ScheduleDefinition(
        name="monitor_daily",
        job=monitor,
        cron_schedule="0 6 * * *",
        execution_timezone=zone,
        description="Every day at 06:00: scores, then judges drift, performance and SLOs.",
        tags={"cause": "daily"},
        should_execute=lambda _: platform.ledger.champion() is not None,  # else nobody could be scored
        default_status=RUNNING,
    )
    return [job, score, monitor], [nightly, weekly, daily]
