"""The sections of a policy that say what is watched, what starts a run and who hears of it."""

from __future__ import annotations

import re
from typing import Annotated, Literal
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from pydantic import AfterValidator, Field, field_validator

from attrition_platform.modeling.strict import Positive, Rate, Strict

CauseKind = Literal["new-file", "drift", "performance", "volume", "new-column", "event"]
COOLDOWN_MINUTES: dict[CauseKind, float] = {
    "new-file": 0.0,
    "drift": 720.0,
    "performance": 720.0,
    "volume": 60.0,
    "new-column": 0.0,
    "event": 0.0,
}


def _clock_time(text: str) -> str:
    if not re.fullmatch(r"([01]\d|2[0-3]):[0-5]\d", text):
        raise ValueError("must be a time of day as HH:MM")
    return text


ClockTime = Annotated[str, AfterValidator(_clock_time)]


class DriftRule(Strict):
    """When a window counts as drifted.

    Attributes
    ----------
    false_alarms_per_year : float
        Chance that a year without drift has any alarm at all.
    windows_per_year : int
        Looks that share this chance. Where several files come a day it must be raised: with twice as many
        looks the chance is twice as large.
    min_score : float
        Effect floor and limit in one: a column's score (Jensen-Shannon distance of a category,
        normed Wasserstein distance of a number, as Evidently gives them) below it never alarms, however
        sure the test is. Of a number, the larger of this score and that without its outermost values counts.
    min_rows : int
        Smaller windows can't be tested.
    min_named_rows : int
        An unseen category is named where at least so many rows carry it; fewer are only counted.
    max_new_category_share : float
        Share of rows with unseen categories that is tolerated without an alarm.
    """

    false_alarms_per_year: Annotated[float, Field(gt=0.0, lt=1.0)] = 0.05
    windows_per_year: int = Field(default=365, ge=1)
    min_score: Rate = 0.1
    min_rows: int = Field(default=50, ge=10)
    min_named_rows: int = Field(default=10, ge=2)
    max_new_category_share: Rate = 0.01


class PerformanceRule(Strict):
    """When matured outcomes say that the champion is no longer good enough.

    Attributes
    ----------
    horizon_days : int
        A prediction says who leaves within so many days; an employee of whom nothing is heard until
        then counts as unknown, never as stayed.
    window_labels : int
        Matured labels that one verdict reads.
    min_labels : int
        Fewer carry no verdict.
    min_accuracy, min_recall : float
        Floors; an alarm needs the window to be further below one than chance brings at any look of a year.
    alpha : float
        Chance that concept drift is found in a year without any.
    """

    horizon_days: int = Field(default=90, ge=1)
    window_labels: int = Field(default=1_000, ge=50)
    min_labels: int = Field(default=100, ge=10)
    min_accuracy: Rate = 0.60
    min_recall: Rate = 0.55
    alpha: Annotated[float, Field(gt=0.0, lt=0.5)] = 0.01


class TriggerRule(Strict):
    """What may start a run, and how often.

    Attributes
    ----------
    time_zone : str
        IANA name; schedules run by its clock.
    cooldown_minutes : dict of CauseKind to float
        After a run of a cause, the next one of its kind waits so long; kinds that are not named keep their
        default. Causes are kept, not dropped.
    max_runs_per_day : int
        Runs that triggers start within 24 hours; later causes wait and join.
    new_labels : int
        New labelled rows that are worth a training.
    max_attempts : int
        Runs for one cause before it becomes a ticket for people.
    backoff_minutes : float
        Wait after the first failure; doubles with each further one.
    """

    time_zone: str = "UTC"
    cooldown_minutes: dict[CauseKind, Annotated[float, Field(ge=0.0)]] = Field(
        default_factory=COOLDOWN_MINUTES.copy
    )
    max_runs_per_day: int = Field(default=24, ge=1)
    new_labels: int = Field(default=1_000, ge=1)
    max_attempts: int = Field(default=3, ge=1, le=10)
    backoff_minutes: Positive = 5.0

    @field_validator("cooldown_minutes")
    @classmethod
    def _fills_up(cls, given: dict[CauseKind, float]) -> dict[CauseKind, float]:
        return COOLDOWN_MINUTES | given

    @field_validator("time_zone")
    @classmethod
    def _is_known(cls, name: str) -> str:
        try:
            ZoneInfo(name)
        except (ZoneInfoNotFoundError, ValueError):
            raise ValueError("must be an IANA time zone such as Europe/Berlin") from None
        return name


class SloRule(Strict):
    """Targets of the ten indicators; rates are shares of what should be good.

    Attributes
    ----------
    window_days : int
        Window that budgets are counted over, where none is named.
    run_success : float
        Runs of a week that end well.
    max_latency_mean_minutes, max_latency_p95_minutes : float
        From a file's arrival to the decision on it.
    validation_pass : float
        Rows of accepted batches that keep the contract.
    max_quality_gap : float
        How much worse than the baseline of its promotion the champion may be, relative to it.
    max_recovery_hours : float
        From a failed run to the next good one.
    max_job_cost : float
        Of one training job, in the policy's currency.
    artefact_availability, reproducibility : float
        Artefacts in the store that are there and whole; refits that repeat.
    max_trigger_to_deployed_hours : float
        From a cause to the release that answers it.
    max_drift_alarms_per_month : float
    min_actionable_alarms : float
        Share of drift alarms after which something was done.
    """

    window_days: int = Field(default=28, ge=1)
    run_success: Rate = 0.99
    max_latency_mean_minutes: Positive = 15.0
    max_latency_p95_minutes: Positive = 60.0
    validation_pass: Rate = 0.999
    max_quality_gap: Rate = 0.01
    max_recovery_hours: Positive = 4.0
    max_job_cost: Positive = 1.0
    artefact_availability: Rate = 1.0
    reproducibility: Rate = 1.0
    max_trigger_to_deployed_hours: Positive = 24.0
    max_drift_alarms_per_month: Positive = 2.0
    min_actionable_alarms: Rate = 0.5


class QuietWindow(Strict):
    """Hours in which tickets wait; pages always go out.

    Attributes
    ----------
    begin, end : str
        ``HH:MM`` in the policy's time zone; `end` before `begin` goes over midnight.
    """

    begin: ClockTime
    end: ClockTime


class NotificationRule(Strict):
    """Who hears of what.

    Attributes
    ----------
    owner : str
        Named in each notification.
    group_minutes : float
        Notifications of one kind, cause and pipeline within it become one.
    quiet : tuple of QuietWindow
        When only pages go out; what waited is told afterwards.
    muted : tuple of str
        Kinds of which nobody wants to hear; they still go to the file.
    runbooks : str
        Address that links to runbooks begin with.
    """

    owner: str = "people-analytics"
    group_minutes: Positive = 60.0
    quiet: tuple[QuietWindow, ...] = ()
    muted: tuple[str, ...] = ()
    runbooks: str = "docs/runbooks"
