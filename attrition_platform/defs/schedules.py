"""The jobs, and when the main one runs by the clock."""

from typing import Any

import dagster as dg

TRAIN_CHAMPION = "train_champion"
SCORE_EMPLOYEES = "score_employees"
MONITOR = "monitor"
TIME_ZONE = "UTC"


def build_jobs_and_schedules() -> tuple[list[Any], list[dg.ScheduleDefinition]]:
    """Build the main job (raw data to champion) and its schedules, scoring, and monitoring.

    A nightly run on unchanged data fits nothing; it re-decides and says what it reused.
    """
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
        execution_timezone=TIME_ZONE,
        description="Every night at 02:00: takes in what arrived and re-decides the champion.",
        tags={"cause": "nightly"},
    )
    weekly = dg.ScheduleDefinition(
        name="train_weekly",
        job=job,
        cron_schedule="0 5 * * 1",
        execution_timezone=TIME_ZONE,
        description="Every Monday at 05:00: the weekly retrain.",
        tags={"cause": "weekly"},
    )
    return [job, score, monitor], [nightly, weekly]
