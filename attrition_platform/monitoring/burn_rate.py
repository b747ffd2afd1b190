"""When people are called: how fast error budgets burn, and what needs no rate to be bad.

Windows and factors are those of Google's SRE workbook, chapter 5 (multiwindow, multi-burn-rate): a burn
rate of 1 spends exactly the budget of its period. The short window lets an alert end soon after its cause
has. Runs are counted over a week, so the same rates use up more of their budget than of the workbook's
month. A pipeline has a handful of events a day, where one failure is a rate of 100 %: a rate alarms only
with a least number of bad events behind it, and a single failed run is a ticket by its own name.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from datetime import datetime, timedelta
from typing import Any, Final, Literal, get_args

from attrition_platform.monitoring.slo_report import ErrorBudget, SloReport

Severity = Literal["page", "ticket"]
AlertName = Literal[
    "outage",
    "security",
    "fast-burn",
    "budget-exhausted",
    "slow-burn",
    "metric-regression",
    "too-many-alarms",
    "failed-run",
]
ALERTS: Final[tuple[AlertName, ...]] = get_args(AlertName)
SEVERITY: Final[dict[AlertName, Severity]] = {
    "outage": "page",
    "security": "page",
    "fast-burn": "page",
    "budget-exhausted": "page",
    "slow-burn": "ticket",
    "metric-regression": "ticket",
    "too-many-alarms": "ticket",
    "failed-run": "ticket",
}
FAILED_RUN_FRESH: Final = timedelta(days=1)


@dataclass(frozen=True)
class Alert:
    """What somebody should look at.

    Attributes
    ----------
    about : str
        The indicator or job; with `name` it tells one alert from another.
    text : str
        What was seen, as counts and rates.
    runbook : str
        Where it says what to do.
    """

    name: AlertName
    about: str
    text: str
    runbook: str

    @property
    def severity(self) -> Severity:
        """Whether it may wake somebody."""
        return SEVERITY[self.name]

    def as_json(self) -> dict[str, Any]:
        """Plain values."""
        return asdict(self) | {"severity": self.severity}

    @classmethod
    def from_json(cls, told: Mapping[str, Any]) -> Alert:
        """What `as_json` made plain."""
        return cls(told["name"], told["about"], told["text"], told["runbook"])


@dataclass(frozen=True)
class Event:
    """Something that was good or bad at a time (with its zone)."""

    at: datetime
    good: bool


@dataclass(frozen=True)
class BurnRule:
    """One pair of windows.

    Attributes
    ----------
    factor : float
        Burn rate that both windows must exceed.
    min_bad : int
        Bad events that the long window must hold.
    """

    name: AlertName
    factor: float
    long: timedelta
    short: timedelta
    min_bad: int


# Of a week's budget: 9 % in an hour, 21 % in six hours, 43 % in a day, 43 % in three days.
BURN_RULES: Final = (
    BurnRule("fast-burn", 14.4, timedelta(hours=1), timedelta(minutes=5), 3),
    BurnRule("fast-burn", 6.0, timedelta(hours=6), timedelta(minutes=30), 3),
    BurnRule("slow-burn", 3.0, timedelta(days=1), timedelta(hours=2), 2),
    BurnRule("slow-burn", 1.0, timedelta(days=3), timedelta(hours=6), 2),
)


def burn_rate(events: Sequence[Event], target: float, window: timedelta, now: datetime) -> float | None:
    """How many times faster than allowed the budget was spent in a window.

    Parameters
    ----------
    events : sequence of Event
        In any order; those after `now` are not read.
    target : float
        Share of events that should be good, in [0, 1].

    Returns
    -------
    float or None
        0 when nothing was bad; infinity when something was and nothing may be; None without events.

    Raises
    ------
    ValueError
        If `target` is outside [0, 1] or no number.

    Examples
    --------
    >>> from datetime import UTC
    >>> now = datetime(2026, 1, 1, tzinfo=UTC)
    >>> events = [Event(now, good=i > 0) for i in range(50)]
    >>> round(burn_rate(events, 0.99, timedelta(hours=1), now), 9)
    2.0
    """
    if not 0.0 <= target <= 1.0:
        raise ValueError(f"A target is a share in [0, 1], not {target}.")
    n_bad, n = _count(events, window, now)
    if n == 0:
        return None
    if n_bad == 0:
        return 0.0
    return n_bad / n / (1.0 - target) if target < 1.0 else math.inf


def burn_alerts(
    about: str, events: Sequence[Event], target: float, now: datetime, runbooks: str = "docs/runbooks"
) -> tuple[Alert, ...]:
    """Alerts on the rate at which one indicator's budget burns.

    Parameters
    ----------
    about : str
        Name of the indicator.
    runbooks : str
        What links to runbooks begin with (`NotificationRule.runbooks`).

    Returns
    -------
    tuple of Alert
        At most one of each name, the steepest; a fast burn leaves no slow one.
    """
    for rule in BURN_RULES:
        n_bad, n = _count(events, rule.long, now)
        long, short = (burn_rate(events, target, window, now) for window in (rule.long, rule.short))
        if long is None or short is None:
            continue
        if long > rule.factor and short > rule.factor and (n_bad >= rule.min_bad or target == 1.0):
            rate = "at once" if math.isinf(long) else f"at {long:.1f} times the allowed rate"
            text = f"{about}: {n_bad} of {n} were bad within {_hours(rule.long)}; the budget burns {rate}."
            return (_alert(rule.name, about, text, runbooks),)
    return ()


@dataclass(frozen=True)
class AlertFacts:
    """What needs no rate to be bad.

    Attributes
    ----------
    events : mapping of str to sequence of Event
        By indicator; each burns against the target of the report's measure of that name.
    failed_runs : mapping of str to datetime
        Newest failed run of each job that no good run has followed, and when it ended.
    outages : tuple of str
        What does not answer or can't work at all, in words.
    security : tuple of str
        Broken signatures, a chain that does not verify, in words.
    regressions : tuple of str
        Verdicts such as ``"recall is below its floor"``.
    """

    events: Mapping[str, Sequence[Event]]
    failed_runs: Mapping[str, datetime]
    outages: tuple[str, ...] = ()
    security: tuple[str, ...] = ()
    regressions: tuple[str, ...] = ()


def judge_alerts(
    report: SloReport, facts: AlertFacts, now: datetime, runbooks: str = "docs/runbooks"
) -> tuple[Alert, ...]:
    """Everything that people should look at now, pages first.

    Returns
    -------
    tuple of Alert
        In the order of `ALERTS`. Spending some of a budget calls nobody; using it up does, unless by a
        single event where some are allowed.

    Raises
    ------
    ValueError
        If `facts.events` names an indicator that the report does not have.
    """
    found = [_alert("outage", what, f"{what}.", runbooks) for what in facts.outages]
    found += [_alert("security", what, f"{what}.", runbooks) for what in facts.security]
    measures = {str(measure.name): measure for measure in report.measures}
    for about, events in facts.events.items():
        if about not in measures:
            raise ValueError(f"The report has no measure '{about}'; it has {', '.join(measures)}.")
        found += burn_alerts(about, events, measures[about].target, now, runbooks)
    for indicator in report.indicators:
        for measure in indicator.measures:
            if measure.verdict == "no-data":
                continue
            if indicator.name == "quality-gap":
                # A model that got worse is work for the day: it still answers, and a page mends nothing.
                if measure.verdict == "missed":
                    found.append(_alert("metric-regression", measure.name, measure.text, runbooks))
            elif measure.budget is not None and _calls_somebody(measure.budget):
                # Waking people over alarms that come too often would be one more of them.
                name: AlertName = (
                    "too-many-alarms" if indicator.name == "drift-alarms" else "budget-exhausted"
                )
                found.append(_alert(name, measure.name, measure.text, runbooks))
    found += [_alert("metric-regression", what, f"{what}.", runbooks) for what in facts.regressions]
    for job, ended in facts.failed_runs.items():
        if now - ended <= FAILED_RUN_FRESH:
            found.append(_alert("failed-run", job, f"The newest run of {job} failed.", runbooks))
    return tuple(sorted(found, key=lambda alert: ALERTS.index(alert.name)))


def _calls_somebody(budget: ErrorBudget) -> bool:
    # One failed run of twenty uses up a week's budget of 1 %, and is a ticket all the same.
    one_of_many = budget.counted and budget.allowed > 0.0 and budget.spent <= 1.0
    return budget.exhausted and not one_of_many


def _count(events: Sequence[Event], window: timedelta, now: datetime) -> tuple[int, int]:
    within = [event for event in events if now - window < event.at <= now]
    return sum(not event.good for event in within), len(within)


def _alert(name: AlertName, about: str, text: str, runbooks: str) -> Alert:
    return Alert(name, about, text, f"{runbooks.rstrip('/')}/{name}.md")


def _hours(window: timedelta) -> str:
    return f"{window.total_seconds() / 3600.0:g} h"
