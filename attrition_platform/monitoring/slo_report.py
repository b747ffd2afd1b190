"""A promise, what was reached, and what of its error budget is left: the parts of an SLO report."""

from __future__ import annotations

import math
from dataclasses import asdict, dataclass
from datetime import datetime
from typing import Any, Final, Literal, get_args

Verdict = Literal["met", "missed", "no-data"]
IndicatorName = Literal[
    "run-success",
    "end-to-end-latency",
    "validation-pass-rate",
    "quality-gap",
    "time-to-recover",
    "cost-per-training-job",
    "artefact-availability",
    "reproducibility",
    "trigger-to-deployed",
    "drift-alarms",
]
INDICATORS: Final[tuple[IndicatorName, ...]] = get_args(IndicatorName)
MeasureName = Literal[
    "run-success",
    "latency-mean",
    "latency-p95",
    "validation-pass-rate",
    "quality-gap",
    "time-to-recover",
    "cost-per-training-job",
    "artefact-availability",
    "reproducibility",
    "trigger-to-deployed",
    "alarms-per-month",
    "actionable-alarms",
]
MEASURES: Final[tuple[MeasureName, ...]] = get_args(MeasureName)


@dataclass(frozen=True)
class ErrorBudget:
    """What may go wrong before a promise is broken.

    Attributes
    ----------
    allowed, spent : float
        In `unit`; `allowed` grows with what was observed where events are counted.
    unit : str
        Such as ``"runs"`` or ``"hours"``.
    counted : bool
        Whether it is spent event by event.
    """

    allowed: float
    spent: float
    unit: str
    counted: bool = False

    @property
    def left(self) -> float:
        """What is left, in `unit`; negative once more was spent than allowed, NaN where that is unknown."""
        return self.allowed - self.spent

    @property
    def left_share(self) -> float:
        """Share of the budget that is left, in [0, 1]; 0 where what was spent is no number.

        Examples
        --------
        >>> ErrorBudget(2.0, 0.5, "runs").left_share, ErrorBudget(0.0, 0.0, "refits").left_share
        (0.75, 1.0)
        >>> ErrorBudget(0.0, 1.0, "refits").left_share, ErrorBudget(2.0, float("nan"), "hours").left_share
        (0.0, 0.0)
        """
        if not self.spent > 0.0:
            return 1.0 if self.spent == 0.0 else 0.0
        share = 1.0 - self.spent / self.allowed if self.allowed > 0.0 else 0.0
        return max(0.0, share)

    @property
    def exhausted(self) -> bool:
        """Whether more was spent than allowed; a number that is none counts as too much."""
        return not self.spent <= self.allowed


@dataclass(frozen=True)
class Measure:
    """One number against its target.

    Attributes
    ----------
    value : float or None
        None where nothing was observed.
    better : {"higher", "lower"}
        Whether `target` is a floor or a ceiling.
    budget : ErrorBudget or None
        None for a mean and for the share of actionable alarms, which have no events to spend.
    text : str
        What was counted, in words.
    """

    name: MeasureName
    value: float | None
    target: float
    unit: str
    better: Literal["higher", "lower"]
    budget: ErrorBudget | None
    text: str

    @property
    def verdict(self) -> Verdict:
        """Met only where the value is a number and keeps the target."""
        if self.value is None:
            return "no-data"
        kept = self.value >= self.target if self.better == "higher" else self.value <= self.target
        return "met" if kept and math.isfinite(self.value) else "missed"

    def as_json(self) -> dict[str, Any]:
        """Plain values; a number that is not finite becomes None."""
        budget = None
        if self.budget is not None:
            told = asdict(self.budget) | {"left": self.budget.left, "left_share": self.budget.left_share}
            budget = {k: _finite(v) if isinstance(v, float) else v for k, v in told.items()}
            budget["exhausted"] = self.budget.exhausted
        value = None if self.value is None else _finite(self.value)
        return asdict(self) | {"value": value, "verdict": self.verdict, "budget": budget}


@dataclass(frozen=True)
class Indicator:
    """One promise.

    Attributes
    ----------
    source : str
        Asset or table that its facts come from.
    window_days : float
        Days that are counted.
    measures : tuple of Measure
        One, or two where the promise has two halves.
    """

    name: IndicatorName
    source: str
    window_days: float
    measures: tuple[Measure, ...]

    @property
    def verdict(self) -> Verdict:
        """Missed if any half is; without data if the first half is."""
        verdicts = [measure.verdict for measure in self.measures]
        return "missed" if "missed" in verdicts else verdicts[0]

    @property
    def text(self) -> str:
        """One sentence for each half."""
        return " ".join(measure.text for measure in self.measures)

    def as_json(self) -> dict[str, Any]:
        """Plain values."""
        return {
            "name": self.name,
            "source": self.source,
            "window_days": self.window_days,
            "verdict": self.verdict,
            "text": self.text,
            "measures": [measure.as_json() for measure in self.measures],
        }


@dataclass(frozen=True)
class SloReport:
    """All ten at one time, in the order of `INDICATORS`."""

    at: datetime
    indicators: tuple[Indicator, ...]

    @property
    def missed(self) -> tuple[IndicatorName, ...]:
        """Promises that are broken."""
        return tuple(one.name for one in self.indicators if one.verdict == "missed")

    @property
    def measures(self) -> tuple[Measure, ...]:
        """The measures of all indicators."""
        return tuple(measure for one in self.indicators for measure in one.measures)

    def as_json(self) -> dict[str, Any]:
        """Plain values, for an asset's facts."""
        counts = {v: sum(one.verdict == v for one in self.indicators) for v in get_args(Verdict)}
        return {
            "at": self.at.isoformat(),
            "verdicts": counts,
            "missed": list(self.missed),
            "indicators": [one.as_json() for one in self.indicators],
        }


def _finite(value: float) -> float | None:
    return value if math.isfinite(value) else None
