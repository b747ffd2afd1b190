"""Live through a simulated year: what the daemon would do, month by month, in a scratch place.

The sensors, jobs and assets are the real ones. Only the time is not: the clock stands still while a run
works, and sensors are asked when something has arrived instead of every few seconds.
"""

from __future__ import annotations

import logging
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any
from uuid import uuid4

import dagster as dg

from attrition_platform.adapters.pointers import Pointers
from attrition_platform.defs.gather import gather
from attrition_platform.defs.schedules import MONITOR, TRAIN_CHAMPION
from attrition_platform.defs.trigger_rehearsal import sensors_tell_above
from attrition_platform.defs.trigger_sensors import NAMES
from attrition_platform.errors import SimulationError
from attrition_platform.population.scenario import Month, YearPlan, day_of, draw_month
from attrition_platform.stages.platform import Platform
from attrition_platform.stages.release_state import release_state
from attrition_platform.stages.simulated_report import (
    MonthRecord,
    RunRecord,
    Sighting,
    sightings_of_cause,
    sightings_of_changes,
)
from attrition_platform.stages.simulated_year import (
    SimulatedClock,
    Worth,
    drop_extract,
    drop_outcomes,
    newest_valid_rows,
    open_scratch_place,
    true_worth,
)
from attrition_platform.stages.views import newest_or_none

MAX_ROUNDS = 12
# Longer than any cooldown or back-off of the policy, and shorter than a month.
PAUSE_HOURS = 13
_QUIET = {"loggers": {"console": {"config": {"log_level": "CRITICAL"}}}}
_OVERRIDES = {
    "telemetry": {"enabled": False},
    "compute_logs": {
        "module": "dagster._core.storage.noop_compute_log_manager",
        "class": "NoOpComputeLogManager",
    },
}


def live_through(plan: YearPlan, folder: Path, n_threads: int = 1) -> Iterator[MonthRecord]:
    """Live through a year in a scratch folder.

    Parameters
    ----------
    plan : YearPlan
    folder : Path
        Empty; the place is made in it and the caller removes it.
    n_threads : int
        Threads that one step may use; they change nothing but the time.

    Yields
    ------
    MonthRecord
        As soon as a month is over; the first is the training extract's.

    Raises
    ------
    SimulationError
        When the training extract leads to no champion, or causes do not come to rest.
    """
    platform, clock = open_scratch_place(folder, plan, n_threads)
    (folder / "dagster" / "dagster.yaml").touch()  # else Dagster says at length that there is none
    with dg.DagsterInstance.local_temp(str(folder / "dagster"), overrides=_OVERRIDES) as instance:
        year = _Year(plan, platform, clock, instance)
        for number in range(plan.n_months + 1):
            yield year.live(number)


class _Year:
    """The place, its definitions, and what was already seen."""

    def __init__(
        self, plan: YearPlan, platform: Platform, clock: SimulatedClock, instance: dg.DagsterInstance
    ) -> None:
        self.plan, self.platform, self.clock, self.instance = plan, platform, clock, instance
        self.definitions = gather(platform)
        self.months: list[Month] = []
        self._known_causes: set[str] = set()
        self._known_refusals: set[str] = set()
        self._begin(0)

    def _begin(self, number: int) -> None:
        self.number = number
        self.runs: list[RunRecord] = []
        self.sightings: list[Sighting] = []
        self.refused: list[tuple[str, str]] = []

    def live(self, number: int) -> MonthRecord:
        """One month: outcomes and extracts arrive, triggers start runs, and monitoring closes it."""
        self._begin(number)
        self.clock.begin_month(number)
        month = draw_month(self.plan, number)
        self.months.append(month)
        drop_outcomes(self.platform, self.plan, self.months, number)
        for extract in month.extracts:
            drop_extract(self.platform, extract)
            self._answer_causes()
            self.clock.forward(days=1)  # who corrects a file needs a day
        self._monitor()
        judged = newest_or_none(self.platform, "performance_report")
        champion = release_state(self.platform.ledger.records()).stable
        if champion is None:
            raise SimulationError(
                "No champion came of the training extract; the year needs one. Give more rows."
            )
        worth, first_worth = self._worths(month)
        self._answer_causes()
        return MonthRecord(
            number,
            day_of(number).isoformat(),
            champion.version,
            worth,
            first_worth,
            tuple(self.runs),
            tuple(dict.fromkeys(self.sightings)),
            tuple(self.refused),
            None if judged is None else str(judged.facts["verdict"]),
        )

    def _worths(self, month: Month) -> tuple[Worth | None, Worth | None]:
        valid = newest_valid_rows(self.platform)
        state = release_state(self.platform.ledger.records())
        promoted = next(r for r in self.platform.ledger.records() if r.kind == "promotion")
        if valid is None or state.stable is None:
            return None, None
        return (
            true_worth(self.platform, state.stable, month, valid),
            true_worth(self.platform, promoted, month, valid),
        )

    def _answer_causes(self) -> None:
        """Ask the sensors until nothing more follows."""
        for _ in range(MAX_ROUNDS):
            requests = self._tick()
            for request in requests:
                self._train(request)
            if not requests:
                if not self.platform.causes.records("open") and not self.platform.causes.requested():
                    return
                self.clock.forward(hours=PAUSE_HOURS)
            self.clock.forward(minutes=1)
        raise SimulationError(
            f"Month {self.number}: after {MAX_ROUNDS} rounds there are still causes without a run that ended."
        )

    def _tick(self) -> list[dg.RunRequest]:
        requests: list[dg.RunRequest] = []
        for name in (*NAMES.values(), "start_runs"):
            sensor = self.definitions.resolve_sensor_def(name)
            with (
                dg.build_sensor_context(
                    instance=self.instance,
                    resources={"platform": self.platform},
                    definitions=self.definitions,
                ) as context,
                sensors_tell_above(logging.INFO),
            ):
                requests += sensor.evaluate_tick(context).run_requests or []
        for record in self.platform.causes.records():
            cause = record.cause
            if cause.key not in self._known_causes:
                self._known_causes.add(cause.key)
                self.sightings += sightings_of_cause(
                    self.number, cause.kind, cause.evidence, NAMES[cause.kind]
                )
        return requests

    def _train(self, request: dg.RunRequest) -> None:
        kinds = {
            record.cause.kind for record in self.platform.causes.requested().get(str(request.run_key), [])
        }
        selection = request.asset_selection
        run_id = self._execute(TRAIN_CHAMPION, request.tags, selection)
        outcome, blockers = "failed", []
        if run_id is not None:
            decision = Pointers(self.platform.pointers_dir).read("promotion_decision", run_id)
            outcome = str(decision.facts["outcome"])
            if outcome == "blocked":
                gates = decision.facts["gates"]
                blockers = [gate["name"] for gate in gates if gate["enforced"] and not gate["passed"]]
        self.runs.append(RunRecord(request.tags["cause"], tuple(sorted(kinds)), outcome, tuple(blockers)))

    def _monitor(self) -> None:
        if self._execute(MONITOR, {}, None) is None:
            raise SimulationError(f"Month {self.number}: the monitoring run failed.")

    def _execute(self, name: str, tags: Mapping[str, str], selection: Any) -> str | None:
        """Run a job here and now; returns the run's id, or None where it failed."""
        job = self.definitions.resolve_job_def(name)
        run_id = str(uuid4())
        try:
            job.execute_in_process(
                run_config=_QUIET,
                instance=self.instance,
                run_id=run_id,
                tags=dict(tags),
                asset_selection=None if selection is None else list(selection),
            )
            succeeded = True
        except dg.DagsterExecutionInterruptedError:
            raise KeyboardInterrupt from None
        except Exception:  # whatever a step raised: the run is on record as failed, and is tried again
            succeeded = False
        self._look_around()
        return run_id if succeeded else None

    def _look_around(self) -> None:
        """Put on record what the run has shown besides causes: schema changes and refused files."""
        report = newest_or_none(self.platform, "drift_report")
        if report is not None and not report.facts["problem"]:
            self.sightings += sightings_of_changes(self.number, report.facts["schema_changes"])
        for file, reason in _refusals(self.platform):
            if file not in self._known_refusals:
                self._known_refusals.add(file)
                self.refused.append((file, reason))
                self.sightings.append(Sighting(self.number, "refused", reason, "validated_employees"))


def _refusals(platform: Platform) -> list[tuple[str, str]]:
    """Names and reasons of files that were refused whole, before or after they became a batch."""
    found = []
    raw = newest_or_none(platform, "raw_employees")
    if raw is not None:
        found += [(entry["name"], entry["reason"]) for entry in raw.measured["refused"]]
    validated = newest_or_none(platform, "validated_employees")
    if validated is not None:
        found += [(entry["batch"], entry["reason"]) for entry in validated.facts["refused_batches"]]
    return found
