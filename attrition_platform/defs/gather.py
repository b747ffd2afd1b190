"""Builds the code location for one platform: its contract decides which feature assets there are."""

import dagster as dg

from attrition_platform.defs.assets import (
    champion,
    features,
    governance,
    ingest,
    modeling,
    monitoring,
    serving,
    splits,
)
from attrition_platform.defs.checks import build_checks
from attrition_platform.defs.progress import plain_logger
from attrition_platform.defs.resources import build_resources
from attrition_platform.defs.schedules import build_jobs_and_schedules
from attrition_platform.defs.sensors import build_sensors
from attrition_platform.stages.platform import Platform


def gather(platform: Platform) -> dg.Definitions:
    """Gather assets, checks, jobs, schedules and sensors.

    Steps of a run share one process: a spawned process per step costs more than the work
    (LANDMINES: 6.4 times the CPU), and parallel work belongs inside a step.
    """
    contract = platform.contract
    jobs, schedules = build_jobs_and_schedules(platform)
    return dg.Definitions(
        assets=[
            *ingest.ingest_assets(),
            *features.feature_assets(contract),
            *splits.split_assets(contract),
            *modeling.candidate_assets(),
            *modeling.challenger_assets(),
            *governance.governance_assets(contract),
            *champion.champion_assets(),
            *serving.scored_assets(contract),
            *monitoring.monitoring_assets(),
        ],
        asset_checks=build_checks(),
        jobs=jobs,
        schedules=schedules,
        sensors=build_sensors(jobs, contract),
        resources=build_resources(platform),
        executor=dg.in_process_executor,
        loggers={"plain": plain_logger, "console": dg.colored_console_logger},
    )
