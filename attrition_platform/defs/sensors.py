"""When the platform acts without being asked: the canary's verdict, promises, triggers, notices."""

from __future__ import annotations

from typing import Any

import dagster as dg

from attrition_platform.contracts.model import Contract
from attrition_platform.defs.notice_sensors import build_notice_sensors
from attrition_platform.defs.promise_sensor import judge_promises
from attrition_platform.defs.trigger_sensors import build_trigger_sensors
from attrition_platform.errors import safe_words
from attrition_platform.stages.platform import Platform


@dg.sensor(minimum_interval_seconds=5, default_status=dg.DefaultSensorStatus.RUNNING)
def watch_canary(context: dg.SensorEvaluationContext, platform: dg.ResourceParam[Platform]) -> dg.SkipReason:
    """Ramp the canary, or roll it back, as soon as the verdict on the prediction log says so.

    It acts in its tick and starts no run: a queued run would come too late for the traffic. Each tick
    says what it found; an error is told too, and the next tick looks again.
    """
    # Imported here: a code location that loads NumPy and SQL at once starts slowly.
    from attrition_platform.stages.canary_watch import watch
    from attrition_platform.stages.release import release_state

    try:
        canary = release_state(platform.ledger.records()).canary
        if canary is None:
            return dg.SkipReason("No canary is running.")
        run_url = platform.settings.run_url(canary.payload["runs"]["dagster"])
        now = platform.at()
        result = watch(platform, platform.predictions, now, run_url)
    except Exception as error:  # whatever a database throws at it: a sensor that dies watches nothing
        context.log.error(f"The canary was not judged ({type(error).__name__}); the next tick looks again.")
        return dg.SkipReason(f"The canary was not judged: {safe_words(error)} The next tick looks again.")
    if result.record is not None:
        context.log.warning(result.told)
    for channel, problem in (result.delivery.failed if result.delivery else {}).items():
        context.log.warning(f"The notification did not go out by {channel}: {problem}.")
    return dg.SkipReason(result.told)


def build_sensors(jobs: list[Any], contract: Contract) -> list[dg.SensorDefinition]:
    """Sensors of the code location; `jobs` begins with the main one."""
    return [
        watch_canary,
        judge_promises,
        *build_trigger_sensors(jobs[0], contract),
        *build_notice_sensors(jobs),
    ]
