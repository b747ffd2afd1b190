"""The main job, and when it runs by the clock."""

from typing import Any

import dagster as dg

TRAIN_CHAMPION = "train_champion"
TIME_ZONE = "UTC"


def build_jobs_and_schedules() -> tuple[list[Any], list[dg.ScheduleDefinition]]:
    """Build the main job (raw data to champion) and its nightly and weekly schedules.

    A nightly run on unchanged data fits nothing; it re-decides and says what it reused.
    """
    job = dg.define_asset_job(
        TRAIN_CHAMPION,
        selection=dg.AssetSelection.all(),
        description="The main job: takes in the inbox, trains, audits, decides and names the champion.",
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
    return [job], [nightly, weekly]
