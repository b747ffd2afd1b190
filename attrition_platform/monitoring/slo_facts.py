"""What the ten indicators are measured from: facts that stages read from the run history and the stores.

Names, counts, times and rates; nothing here says anything about an employee.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import Literal

RunStatus = Literal["success", "failure", "canceled", "running"]
Answer = Literal["released", "kept", "given-up"]


@dataclass(frozen=True)
class RunFact:
    """One run of a job.

    Attributes
    ----------
    cause : str or None
        Kind of what started it; None when a person did.
    status : RunStatus
        ``canceled`` runs were ended by a person, or with the process that they ran in, and count neither way.
    started_at, ended_at : datetime
        With their time zone; `ended_at` is None while it goes on.
    cpu_seconds : float or None
        None where nobody measured.
    run_key : str or None
        Names the causes that the run answers; None where no trigger started it.
    """

    run_id: str
    job: str
    cause: str | None
    status: RunStatus
    started_at: datetime
    ended_at: datetime | None
    cpu_seconds: float | None = None
    run_key: str | None = None


@dataclass(frozen=True)
class ArrivalFact:
    """A file: when it was dropped, and when the decision on it was on record (None: not yet)."""

    file: str
    arrived_at: datetime
    decided_at: datetime | None


@dataclass(frozen=True)
class BatchFact:
    """An accepted batch and how many of its rows broke the contract."""

    batch: str
    at: datetime
    n_rows: int
    n_quarantined: int


@dataclass(frozen=True)
class QualityFact:
    """What the champion reaches on matured outcomes against what its promotion promised.

    Attributes
    ----------
    metric : str
        One where higher is better, such as ``roc_auc``.
    baseline : float
        On the test side of its promotion.
    current, low, high : float
        On matured outcomes, with the 95 % interval.
    """

    version: str
    at: datetime
    metric: str
    baseline: float
    current: float
    low: float
    high: float


@dataclass(frozen=True)
class StoreCheck:
    """A look at stored artefacts: how many were asked for, how many were missing or not what they were."""

    at: datetime
    n_checked: int
    n_damaged: int


@dataclass(frozen=True)
class RefitFact:
    """Whether fitting a model again gave the same one."""

    version: str
    at: datetime
    repeated: bool


@dataclass(frozen=True)
class CauseFact:
    """What started a run, and what became of it.

    Attributes
    ----------
    answered_at : datetime or None
        When the wait for an answer ended; None while it goes on.
    answer : Answer
        ``released``: a model; ``kept``: the decision to keep the champion; ``given-up``: no run
        of it ended well.
    """

    key: str
    kind: str
    found_at: datetime
    answered_at: datetime | None
    answer: Answer = "released"


@dataclass(frozen=True)
class AlarmFact:
    """A window that drifted: when it was first judged, and whether its own run released anything in time."""

    window: str
    at: datetime
    acted: bool


@dataclass(frozen=True)
class SloFacts:
    """All of them; what is empty was not observed.

    Attributes
    ----------
    judged_windows : tuple of datetime
        When each window was first judged for drift, with or without an alarm.
    training_jobs : frozenset of str
        Jobs whose cost counts.
    price_per_cpu_hour : float
        In `currency`; the policy's.
    """

    runs: tuple[RunFact, ...] = ()
    arrivals: tuple[ArrivalFact, ...] = ()
    batches: tuple[BatchFact, ...] = ()
    quality: tuple[QualityFact, ...] = ()
    store_checks: tuple[StoreCheck, ...] = ()
    refits: tuple[RefitFact, ...] = ()
    causes: tuple[CauseFact, ...] = ()
    judged_windows: tuple[datetime, ...] = ()
    alarms: tuple[AlarmFact, ...] = ()
    training_jobs: frozenset[str] = frozenset({"train_champion"})
    price_per_cpu_hour: float = 0.05
    currency: str = "USD"
