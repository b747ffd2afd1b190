"""Judges the platform's promises every few minutes: a burn of an hour can't wait for a daily run."""

from __future__ import annotations

from datetime import timedelta

import dagster as dg

from attrition_platform.errors import safe_words
from attrition_platform.stages.platform import Platform

LOOK_SECONDS = 600


@dg.sensor(minimum_interval_seconds=LOOK_SECONDS, default_status=dg.DefaultSensorStatus.RUNNING)
def judge_promises(
    context: dg.SensorEvaluationContext, platform: dg.ResourceParam[Platform]
) -> dg.SkipReason:
    """Make `slo_report` anew and tell people of alerts that did not stand before.

    It starts no run, so the list of runs stays that of the work; it needs no champion and no run that
    ended well. The dashboard, Prometheus and `attrition slo` read what it found.
    """
    # Imported here: a code location that loads everything at once starts slowly.
    from attrition_platform.adapters.pointers import Pointers
    from attrition_platform.defs.run_history import read_runs
    from attrition_platform.stages import telling
    from attrition_platform.stages.slo import in_words, measure
    from attrition_platform.stages.views import newest_or_none

    try:
        since = platform.clock() - timedelta(days=platform.policy.slo.window_days)
        runs = read_runs(context.instance, since)
        before = newest_or_none(platform, "slo_report")
        result = measure(platform, runs, context.log.debug)
        Pointers(platform.pointers_dir).write_newest("slo_report", result)
        told = telling.of_promises(platform, result, before, f"{platform.settings.reports_url}/on-call")
        telling.send(platform, told, context.log.warning)
    except Exception as error:  # whatever a store throws at it: a sensor that dies watches nothing
        what = safe_words(error)
        context.log.error(f"The promises were not judged: {what}")
        return dg.SkipReason(f"The promises were not judged: {what} The next tick looks again.")
    return dg.SkipReason(in_words(result.facts))
