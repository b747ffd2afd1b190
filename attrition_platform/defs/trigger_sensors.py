"""When a training starts by itself: detectors put causes on record, and one sensor starts runs for them.

Only `start_runs` asks for runs, and it asks again for each one until the run is there: Dagster knows a run's
key and creates it once, whatever tick, cursor or daemon was lost in between.
"""

from __future__ import annotations

import json
from collections.abc import Container, Sequence
from typing import TYPE_CHECKING, Any

import dagster as dg
from dagster import DagsterRunStatus, RunsFilter

from attrition_platform.contracts.model import Contract
from attrition_platform.defs.assets.governance import CAUSE_TAG
from attrition_platform.defs.run_endings import RUN_KEY_TAG, close_answered, run_of, settle
from attrition_platform.errors import safe_words
from attrition_platform.modeling.watch_rules import CauseKind
from attrition_platform.monitoring.triggering import CauseRecord, main_cause
from attrition_platform.stages.platform import Platform

if TYPE_CHECKING:
    from attrition_platform.stages.detecting import Reading

RUNNING = dg.DefaultSensorStatus.RUNNING
QUICK_SECONDS, SLOW_SECONDS = 5, 30
QUICK: tuple[CauseKind, ...] = ("new-file", "event")
WINDOW_TAG, CAUSES_TAG, EVIDENCE_TAG = "attrition/window", "attrition/causes", "attrition/evidence"
MAX_TAG = 1_000
NAMES: dict[CauseKind, str] = {
    "new-file": "on_new_file",
    "drift": "on_drift",
    "performance": "on_performance",
    "volume": "on_new_labels",
    "new-column": "on_new_column",
    "event": "on_event",
}
ABOUT: dict[CauseKind, str] = {
    "new-file": "Finds extracts that stand still in `inbox/`, and batches that no training has seen.",
    "drift": "Finds that the newest window has drifted from what the champion was made from.",
    "performance": "Finds that matured outcomes are below a floor or contradict the probabilities.",
    "volume": "Takes in outcome files; finds that enough employees were labelled since the last training.",
    "new-column": "Finds columns that the contract does not know: a new feature may be available.",
    "event": "Finds event files in `events/`, such as one for a platform update.",
}


def build_trigger_sensors(job: Any, contract: Contract) -> list[dg.SensorDefinition]:
    """Build a sensor for each kind of cause, and the one that starts runs of the job."""
    return [*(_detector_sensor(kind) for kind in NAMES), _start_runs(job, contract)]


def _detector_sensor(kind: CauseKind) -> dg.SensorDefinition:
    seconds = QUICK_SECONDS if kind in QUICK else SLOW_SECONDS

    @dg.sensor(
        name=NAMES[kind], description=ABOUT[kind], minimum_interval_seconds=seconds, default_status=RUNNING
    )
    def detect(context: dg.SensorEvaluationContext, platform: dg.ResourceParam[Platform]) -> dg.SkipReason:
        try:
            took_in = take_in_what_it_counts(kind, platform, context.log)
            reading, n_new = put_on_record(kind, platform, context.log)
        except Exception as error:  # whatever a store throws at it: a sensor that dies watches nothing
            context.log.error(f"{NAMES[kind]} could not look: {safe_words(error)}")
            return dg.SkipReason(f"Could not look: {safe_words(error)} The next tick looks again.")
        found = f"{n_new} new causes are on record; start_runs starts their run." if n_new else "Nothing new."
        return dg.SkipReason(
            " ".join([found, *took_in, f"Seen: {reading.value}. Fires when {reading.limit}."])
        )

    return detect


def take_in_what_it_counts(kind: CauseKind, platform: Platform, log: Any) -> list[str]:
    """Take in outcome files before labels are counted, and say what became of each; a look alone does not."""
    from attrition_platform.stages.ingest import take_in_outcomes

    if kind != "volume":
        return []
    told: list[str] = []
    take_in_outcomes(platform, told.append, quick=True)
    for line in told:
        log.info(line)
    return told


def put_on_record(kind: CauseKind, platform: Platform, log: Any) -> tuple[Reading, int]:
    """Look once, and record what is new; returns what was seen and how many causes were new."""
    from attrition_platform.stages.detecting import DETECTORS, file_events

    reading = DETECTORS[kind](platform)
    n_new = platform.causes.add(reading.causes)
    if kind == "event":
        for problem in file_events(platform, reading.causes):
            log.warning(problem)
    return reading, n_new


def _try_to_look(kind: CauseKind, platform: Platform, log: Any) -> None:
    """Look; what goes wrong is told by the kind's own sensor too, and keeps no other cause waiting."""
    try:
        put_on_record(kind, platform, log)
    except Exception as error:
        log.warning(f"{NAMES[kind]} could not look: {safe_words(error)}")


def _start_runs(job: Any, contract: Contract) -> dg.SensorDefinition:
    @dg.sensor(job=job, minimum_interval_seconds=QUICK_SECONDS, default_status=RUNNING)
    def start_runs(
        context: dg.SensorEvaluationContext, platform: dg.ResourceParam[Platform]
    ) -> dg.SensorResult | dg.SkipReason:
        """Start one run for the causes that wait, follow it, and try again or call people when it failed."""
        rule = platform.policy.triggers
        try:
            settle(context.instance, platform, context.log)
            for kind in QUICK:  # waiting for another sensor's tick would double the time to a run
                _try_to_look(kind, platform, context.log)
            if other := _other_run(context.instance, job.name, platform.causes.requested()):
                return dg.SkipReason(f"Run {other} is under way; what it takes in needs no second one.")
            close_answered(context.instance, platform)
            decision = platform.causes.request(rule, platform.clock())
            due = {
                key: records
                for key, records in platform.causes.requested().items()
                if not _is_there(context.instance, key)
            }
            if due:
                graph = _graph_of(context)
                requests = [request_for(key, records, contract, job, graph) for key, records in due.items()]
                return dg.SensorResult(run_requests=requests)
        except Exception as error:
            context.log.error(f"start_runs could not look: {safe_words(error)}")
            return dg.SkipReason(f"Could not look: {safe_words(error)} The next tick looks again.")
        why = " ".join(sorted(set(decision.waiting.values())))
        return dg.SkipReason(why or "No cause waits for a run.")

    return start_runs


def _other_run(instance: dg.DagsterInstance, job_name: str, requested: Container[str]) -> str | None:
    """A run of the clock or of a person that a live process works on; a dead one holds up nothing.

    A run that a person executes again has the key of the first one, which is no longer requested.
    """
    from attrition_platform.stages.run_processes import PROCESS_TAG, is_gone

    at_work = RunsFilter(job_name=job_name, statuses=[DagsterRunStatus.STARTED])
    for run in instance.get_runs(at_work):
        process = run.tags.get(PROCESS_TAG)
        is_ours = run.tags.get(RUN_KEY_TAG) in requested
        if not is_ours and process is not None and not is_gone(process):
            return run.run_id
    return None


def request_for(
    key: str, records: Sequence[CauseRecord], contract: Contract, job: Any, graph: Any
) -> dg.RunRequest:
    """Describe the run that answers some causes.

    Where all of them are drift, only the feature groups that drifted and what hangs on them are made anew.
    """
    cause = main_cause(records)
    return dg.RunRequest(
        run_key=key,
        tags={
            CAUSE_TAG: cause.kind,
            RUN_KEY_TAG: key,
            WINDOW_TAG: cause.window,
            EVIDENCE_TAG: json.dumps(dict(cause.evidence), sort_keys=True)[:MAX_TAG],
            CAUSES_TAG: " ".join(record.cause.key for record in records)[:MAX_TAG],
        },
        asset_selection=drifted_part(records, contract, job, graph),
    )


def drifted_part(
    records: Sequence[CauseRecord], contract: Contract, job: Any, graph: Any
) -> list[dg.AssetKey] | None:
    """Feature groups that drifted and everything of the job below them; None for the whole job."""
    if any(record.cause.kind != "drift" for record in records):
        return None
    columns = {column for record in records for column in record.cause.evidence["columns"]}
    groups = [name for name, reads in contract.groups.items() if columns & set(reads)]
    if not groups:
        return None
    roots = dg.AssetSelection.assets(*(dg.AssetKey(["features", name]) for name in groups))
    wanted = roots.downstream().resolve(graph) & job.selection.resolve(graph)
    return sorted(wanted)


def _graph_of(context: dg.SensorEvaluationContext) -> Any:
    repository = context.repository_def
    assert repository is not None, "The daemon evaluates sensors of a code location."
    return repository.asset_graph


def _is_there(instance: dg.DagsterInstance, key: str) -> bool:
    """Whether the run was created and launched; one that was only created is asked for again."""
    run = run_of(instance, key)
    return run is not None and run.status != DagsterRunStatus.NOT_STARTED
