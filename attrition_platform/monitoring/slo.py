"""Ten indicators of a platform that runs by itself: what was reached, what was promised, what is left.

Each is a function of facts that stages read elsewhere, so any past report can be computed again. An
indicator that nothing was observed for says so; silence is not success.
"""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Iterable, Sequence
from datetime import datetime, timedelta
from typing import Final

from attrition_platform.modeling.watch_rules import SloRule
from attrition_platform.monitoring.slo_facts import (
    AlarmFact,
    Answer,
    ArrivalFact,
    CauseFact,
    QualityFact,
    RunFact,
    SloFacts,
)
from attrition_platform.monitoring.slo_report import ErrorBudget, Indicator, Measure, MeasureName, SloReport

WEEK: Final = timedelta(days=7)
MONTH_DAYS: Final = 30.0
SLOW_FILES: Final = 0.05  # the share that a 95th percentile allows to be slower


def measure_slos(facts: SloFacts, rule: SloRule, now: datetime) -> SloReport:
    """Hold what happened against what was promised.

    Parameters
    ----------
    facts : SloFacts
        May reach further back than the windows; what is later than `now` is not read.
    rule : SloRule
        Targets and the window.
    now : datetime
        With its time zone.

    Returns
    -------
    SloReport

    Notes
    -----
    What is still under way (a file without a decision, a cause without an answer, a run that goes on)
    counts as soon as it is beyond its limit, so that waiting does not look like success.

    Examples
    --------
    >>> from datetime import UTC
    >>> report = measure_slos(SloFacts(), SloRule(), datetime(2026, 1, 1, tzinfo=UTC))
    >>> len(report.indicators), {indicator.verdict for indicator in report.indicators}
    (10, {'no-data'})
    """
    if now.tzinfo is None:
        raise ValueError("`now` needs a time zone.")
    since = now - timedelta(days=rule.window_days)
    runs = tuple(_as_of(run, rule, now) for run in facts.runs if run.started_at <= now)
    days = float(rule.window_days)
    return SloReport(
        now,
        (
            Indicator("run-success", "run history", 7.0, (_run_success(runs, rule, now - WEEK),)),
            Indicator(
                "end-to-end-latency", "raw_employees", days, _latency(facts.arrivals, rule, since, now)
            ),
            Indicator(
                "validation-pass-rate", "validated_employees", days, (_validation(facts, rule, since, now),)
            ),
            Indicator("quality-gap", "performance_report", days, (_quality(facts, rule, since, now),)),
            Indicator("time-to-recover", "run history", days, (_recovery(runs, rule, since, now),)),
            Indicator("cost-per-training-job", "run history", days, (_cost(runs, facts, rule, since),)),
            Indicator("artefact-availability", "champion", days, (_artefacts(facts, rule, since, now),)),
            Indicator("reproducibility", "challenger", days, (_repeats(facts, rule, since, now),)),
            Indicator("trigger-to-deployed", "causes", days, (_answers(facts.causes, rule, since, now),)),
            Indicator("drift-alarms", "drift_report", days, _alarms(facts, rule, since, now)),
        ),
    )


def _run_success(runs: Sequence[RunFact], rule: SloRule, since: datetime) -> Measure:
    ended = [run for run in runs if run.status in ("success", "failure") and _end(run) > since]
    good = sum(run.status == "success" for run in ended)
    text = f"{good} of {len(ended)} runs ended well." if ended else "No run ended."
    return _share("run-success", good, len(ended), rule.run_success, "runs", text)


def _latency(
    arrivals: Sequence[ArrivalFact], rule: SloRule, since: datetime, now: datetime
) -> tuple[Measure, ...]:
    limit = rule.max_latency_p95_minutes
    minutes = _waits(
        ((a.arrived_at, a.decided_at) for a in arrivals), timedelta(minutes=limit), since, now, 60.0
    )
    n_slow = sum(not wait <= limit for wait in minutes)
    mean = math.fsum(minutes) / len(minutes) if minutes else None
    p95 = sorted(minutes)[math.ceil(0.95 * len(minutes)) - 1] if minutes else None
    counted = f"{len(minutes)} files"
    return (
        Measure(
            "latency-mean",
            mean,
            rule.max_latency_mean_minutes,
            "minutes",
            "lower",
            None,
            f"Mean from a file's own time to the decision, {counted}."
            if minutes
            else "No file was decided on.",
        ),
        Measure(
            "latency-p95",
            p95,
            limit,
            "minutes",
            "lower",
            ErrorBudget(SLOW_FILES * len(minutes), n_slow, "files", counted=True),
            f"{n_slow} of {counted} took longer than {limit:g} minutes." if minutes else "",
        ),
    )


def _validation(facts: SloFacts, rule: SloRule, since: datetime, now: datetime) -> Measure:
    batches = [batch for batch in facts.batches if since < batch.at <= now]
    n_rows = sum(batch.n_rows for batch in batches)
    n_good = n_rows - sum(batch.n_quarantined for batch in batches)
    text = f"{n_good} of {n_rows} rows of {len(batches)} batches keep the contract."
    return _share(
        "validation-pass-rate",
        n_good,
        n_rows,
        rule.validation_pass,
        "rows",
        text if n_rows else "No batch came.",
    )


def _quality(facts: SloFacts, rule: SloRule, since: datetime, now: datetime) -> Measure:
    """The loss against the promise; known once the whole interval keeps it or breaks it."""
    known = [q for q in facts.quality if since < q.at <= now]
    newest = max(known, key=lambda q: q.at, default=None)
    gap, text = None, "Nothing matured to compare the champion's promise with."
    if newest is not None:
        limit = rule.max_quality_gap
        plain, at_worst, at_best = (_loss(newest, x) for x in (newest.current, newest.low, newest.high))
        is_kept, is_broken = at_worst <= limit, not at_best <= limit
        gap = plain if is_kept or is_broken else None
        text = (
            f"{newest.metric} is {newest.current:.4f} (95 % interval {newest.low:.4f} to {newest.high:.4f}) "
            f"where {newest.baseline:.4f} was promised and {limit:.1%} less is allowed: "
        )
        verdict = "keeps" if is_kept else "breaks"
        text += "too wide to tell." if gap is None else f"the whole interval {verdict} that."
    spent = 0.0 if gap is None else _at_least_zero(gap)
    return Measure(
        "quality-gap",
        gap,
        rule.max_quality_gap,
        "relative",
        "lower",
        ErrorBudget(rule.max_quality_gap, spent, "relative"),
        text,
    )


def _loss(fact: QualityFact, reached: float) -> float:
    """Relative to the promise; a promise of 0 gives none, which is a fault of the record and not a pass."""
    return (fact.baseline - reached) / fact.baseline if fact.baseline else math.nan


def _recovery(runs: Sequence[RunFact], rule: SloRule, since: datetime, now: datetime) -> Measure:
    """The longest outage of a job: from the end of its first failed run to the end of its next good one."""
    hours: list[float] = []
    by_job: dict[str, list[RunFact]] = defaultdict(list)
    for run in runs:
        if run.status in ("success", "failure"):
            by_job[run.job].append(run)
    n_seen = 0
    for of_job in by_job.values():
        began: datetime | None = None
        for run in sorted(of_job, key=lambda run: (_end(run), run.run_id)):
            n_seen += _end(run) > since
            if run.status == "failure":
                began = began or _end(run)
            elif began is not None:
                if _end(run) > since:
                    hours.append((_end(run) - began).total_seconds() / 3600.0)
                began = None
        if began is not None:
            hours.append((now - began).total_seconds() / 3600.0)
    longest = max(hours, default=0.0)
    value = longest if n_seen or hours else None
    n_late = sum(not h <= rule.max_recovery_hours for h in hours)
    text = (
        f"{len(hours)} outages, {n_late} of them longer than {rule.max_recovery_hours:g} hours."
        if hours
        else ("No job failed." if n_seen else "No run ended.")
    )
    return _ceiling("time-to-recover", value, rule.max_recovery_hours, "hours", text)


def _cost(runs: Sequence[RunFact], facts: SloFacts, rule: SloRule, since: datetime) -> Measure:
    jobs = [
        run
        for run in runs
        if run.job in facts.training_jobs and run.status != "running" and _end(run) > since
    ]
    costs = [
        run.cpu_seconds / 3600.0 * facts.price_per_cpu_hour for run in jobs if run.cpu_seconds is not None
    ]
    n_over = sum(not cost <= rule.max_job_cost for cost in costs)
    unknown = len(jobs) - len(costs)
    # The one that nobody measured may have been the dearest; a known one over the budget breaks it anyway.
    worst = _worst(costs) if n_over or not unknown else None
    text = (
        f"The dearest of {len(costs)} training jobs; {n_over} were over the budget"
        if costs
        else "No known cost"
    )
    text += f", of {unknown} more the cost is unknown." if unknown else "."
    return _ceiling("cost-per-training-job", worst, rule.max_job_cost, facts.currency, text)


def _artefacts(facts: SloFacts, rule: SloRule, since: datetime, now: datetime) -> Measure:
    checks = [check for check in facts.store_checks if since < check.at <= now]
    n = sum(check.n_checked for check in checks)
    bad = sum(check.n_damaged for check in checks)
    text = f"{n - bad} of {n} artefacts were there and whole." if n else "No artefact was checked."
    return _share("artefact-availability", n - bad, n, rule.artefact_availability, "artefacts", text)


def _repeats(facts: SloFacts, rule: SloRule, since: datetime, now: datetime) -> Measure:
    refits = [refit for refit in facts.refits if since < refit.at <= now]
    same = sum(refit.repeated for refit in refits)
    text = f"{same} of {len(refits)} refits gave the same model." if refits else "No model was refitted."
    return _share("reproducibility", same, len(refits), rule.reproducibility, "refits", text)


def _answers(causes: Sequence[CauseFact], rule: SloRule, since: datetime, now: datetime) -> Measure:
    limit = rule.max_trigger_to_deployed_hours

    def hours_of(*answers: Answer) -> list[float]:
        spans = ((c.found_at, c.answered_at) for c in causes if c.answer in answers)
        return _waits(spans, timedelta(hours=limit), since, now, 3600.0)

    released, kept, given_up = hours_of("released"), hours_of("kept"), hours_of("given-up")
    hours = [*released, *kept]
    late = sum(not wait <= limit for wait in hours) + len(given_up)
    worst, text = None, "No cause was answered."
    if late or released:
        # What was given up has no time at which it was answered, however soon that was.
        worst = math.inf if given_up else _worst(hours)
        text = (
            f"The longest of {len(hours) + len(given_up)} causes; {late} were not answered within {limit:g}"
        )
        text += f" hours, {len(given_up)} of them given up: no run ended well." if given_up else " hours."
    elif kept:
        text = f"{len(kept)} causes were answered by keeping the champion; nothing was deployed."
    return _ceiling("trigger-to-deployed", worst, limit, "hours", text)


def _alarms(facts: SloFacts, rule: SloRule, since: datetime, now: datetime) -> tuple[Measure, ...]:
    judged = sum(since < at <= now for at in facts.judged_windows)
    alarms = [alarm for alarm in facts.alarms if since < alarm.at <= now]
    answer_by = timedelta(hours=rule.max_trigger_to_deployed_hours)
    # People get the time that an answer may take before silence counts as "nobody needed this alarm".
    due = [alarm for alarm in alarms if alarm.acted or now - alarm.at > answer_by]
    # A shorter window is not scaled up: two alarms in 28 days are two, and no more than two were promised.
    per_month = len(alarms) * min(1.0, MONTH_DAYS / rule.window_days) if judged or alarms else None
    text = f"{len(alarms)} alarms in {judged} windows." if per_month is not None else "No window was judged."
    return (
        _ceiling("alarms-per-month", per_month, rule.max_drift_alarms_per_month, "alarms", text),
        Measure(
            "actionable-alarms",
            _acted(due) / len(due) if due else None,
            rule.min_actionable_alarms,
            "rate",
            "higher",
            None,
            f"After {_acted(due)} of {len(due)} something was done." if due else "",
        ),
    )


def _acted(alarms: Iterable[AlarmFact]) -> int:
    return sum(alarm.acted for alarm in alarms)


def _as_of(run: RunFact, rule: SloRule, now: datetime) -> RunFact:
    """The run as it was known at `now`; one that goes on for longer than a recovery may take has failed."""
    if run.status != "running" and _end(run) <= now:
        return run
    limit = timedelta(hours=rule.max_recovery_hours)
    if now - run.started_at > limit:
        return RunFact(run.run_id, run.job, run.cause, "failure", run.started_at, run.started_at + limit)
    return RunFact(run.run_id, run.job, run.cause, "running", run.started_at, None)


def _end(run: RunFact) -> datetime:
    return run.started_at if run.ended_at is None else run.ended_at


def _waits(
    spans: Iterable[tuple[datetime, datetime | None]],
    limit: timedelta,
    since: datetime,
    now: datetime,
    unit_seconds: float,
) -> list[float]:
    """How long things took that ended in the window, or go on beyond the limit."""
    found = []
    for began, ended in spans:
        if ended is not None and ended <= now:
            if ended > since:
                found.append(ended - began)
        elif now - began > limit:
            found.append(now - began)
    # A clock that was set back between the two must not make up for slow ones.
    return [max(0.0, wait.total_seconds() / unit_seconds) for wait in found]


def _share(name: MeasureName, good: int, n: int, target: float, unit: str, text: str) -> Measure:
    # Rounded, or 1 - 0.9 would allow a little less than one of ten.
    budget = ErrorBudget(round((1.0 - target) * n, 9), n - good, unit, counted=True)
    return Measure(name, good / n if n else None, target, "rate", "higher", budget, text)


def _ceiling(name: MeasureName, value: float | None, target: float, unit: str, text: str) -> Measure:
    spent = 0.0 if value is None else _at_least_zero(value)
    return Measure(name, value, target, unit, "lower", ErrorBudget(target, spent, unit), text)


def _worst(values: Sequence[float]) -> float | None:
    """The largest; NaN if any is no finite number, which `max` would hide or show by its place."""
    if not values:
        return None
    return max(values) if all(math.isfinite(value) for value in values) else math.nan


def _at_least_zero(value: float) -> float:
    return value if not value < 0.0 else 0.0
