"""What a simulated year shows: planted against found, false alarms, and what each champion was worth.

Pure: from the plan and what was seen in each month to a table, a document and numbers. The same plan and the
same records give the same bytes; what was measured (seconds) stands apart.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from types import MappingProxyType
from typing import Any, Final

from attrition_platform.modeling.watch_rules import CauseKind
from attrition_platform.population.scenario import (
    ABOUT,
    NEW_COLUMN,
    Plant,
    PlantKind,
    YearPlan,
    outcomes_arrive,
)
from attrition_platform.stages.simulated_year import Worth

Sign = tuple[str, str]

# Verdicts on outcomes that say something.
JUDGED: Final = ("ok", "below-floor", "concept-drift")
# Causes that are no alarm: something has arrived.
ORDINARY: Final[frozenset[CauseKind]] = frozenset({"new-file", "volume", "event"})

_PROBABILITY: Final = ("drift", "probability")
# By which sign a plant is found; each is enough.
PROOF: Final[Mapping[PlantKind, frozenset[Sign]]] = MappingProxyType(
    {
        "data-drift": frozenset({("drift", "remote_work"), ("drift", "monthly_income")}),
        "concept-drift": frozenset({("performance", "concept-drift"), ("performance", "below-floor")}),
        "format-change": frozenset({("format-change", "education_level")}),
        "unit-error": frozenset({("refused", "unit-change")}),  # named is not enough: nobody may be scored
        "new-column": frozenset({("new-column", NEW_COLUMN)}),
        "new-category": frozenset({("new-category", "job_role")}),
    }
)
# What else follows from it, and so is no false alarm.
CONSEQUENCES: Final[Mapping[PlantKind, frozenset[Sign]]] = MappingProxyType(
    {
        "data-drift": frozenset({_PROBABILITY}),
        "concept-drift": frozenset(),
        "format-change": frozenset(),
        "unit-error": frozenset(
            {("unit-change", "years_at_company"), ("drift", "years_at_company"), _PROBABILITY}
        ),
        "new-column": frozenset(),
        "new-category": frozenset({("drift", "job_role"), _PROBABILITY, ("refused", "too-many-bad-rows")}),
    }
)


@dataclass(frozen=True)
class Sighting:
    """Something that the platform noticed.

    Attributes
    ----------
    month : int
    what : str
        Kind of cause, of schema change, or ``refused``.
    about : str
        The column; of performance its verdict; of a refused file the reason.
    trigger : str
        Who noticed: a sensor or an asset.
    """

    month: int
    what: str
    about: str
    trigger: str

    @property
    def sign(self) -> Sign:
        """What was seen, whenever that was."""
        return self.what, self.about


@dataclass(frozen=True)
class RunRecord:
    """A training that the triggers started.

    Attributes
    ----------
    cause : str
        That it is told by.
    kinds : tuple of str
        Of all causes that joined it.
    outcome : str
        ``promoted``, ``blocked``, ``unchanged``, or ``failed``.
    blockers : tuple of str
        Gates that blocked it.
    """

    cause: str
    kinds: tuple[str, ...]
    outcome: str
    blockers: tuple[str, ...] = ()


@dataclass(frozen=True)
class MonthRecord:
    """What became of a month.

    Attributes
    ----------
    number : int
    day : str
        ISO date on which its extract arrived.
    champion : str or None
        Version that scored the cohort.
    worth, first_worth : Worth or None
        Of it and of the first champion, to this month's cohort; None where no cohort came in.
    runs : tuple of RunRecord
    sightings : tuple of Sighting
    refused : tuple of (str, str)
        File and reason.
    performance : str or None
        Verdict of the month's performance report; None before there was one.
    """

    number: int
    day: str
    champion: str | None
    worth: Worth | None
    first_worth: Worth | None
    runs: tuple[RunRecord, ...] = ()
    sightings: tuple[Sighting, ...] = ()
    refused: tuple[tuple[str, str], ...] = ()
    performance: str | None = None


@dataclass(frozen=True)
class Finding:
    """A plant and when it was found.

    Attributes
    ----------
    plant : Plant
    visible_from : int
        First month in which anything could show it: of concept drift the one in which outcomes arrive.
    found : int or None
    trigger : str or None
        Who noticed first.
    n_again : int
        Months after that in which it was still noticed.
    """

    plant: Plant
    visible_from: int
    found: int | None
    trigger: str | None
    n_again: int

    @property
    def delay(self) -> int | None:
        """Months from planting to finding."""
        return None if self.found is None else self.found - self.plant.month


@dataclass(frozen=True)
class YearReport:
    """A year, or as much of it as was lived through.

    Attributes
    ----------
    plan : YearPlan
    months : tuple of MonthRecord
        Month 0, the training extract, included.
    findings : tuple of Finding
        Of the plants that lie in these months.
    false_alarms : tuple of Sighting
        What no plant explains.
    """

    plan: YearPlan
    months: tuple[MonthRecord, ...]
    findings: tuple[Finding, ...]
    false_alarms: tuple[Sighting, ...]

    @property
    def is_complete(self) -> bool:
        """Whether the whole year was lived through."""
        return len(self.months) == self.plan.n_months + 1

    @property
    def is_sound(self) -> bool:
        """Whether all that was planted was found, and nothing else."""
        return not self.false_alarms and all(finding.found is not None for finding in self.findings)

    @property
    def n_quiet_judged(self) -> int:
        """Months in which outcomes were judged and no plant could show in them: any alarm would be false."""
        return sum(
            month.performance in JUDGED
            and not any(_may_show(self.plan, plant, month.number) for plant in self._of_concept)
            for month in self.months
        )

    @property
    def n_false_performance_alarms(self) -> int:
        """False alarms about outcomes."""
        return sum(alarm.what == "performance" for alarm in self.false_alarms)

    @property
    def _of_concept(self) -> list[Plant]:
        return [plant for plant in self.plan.plants if plant.kind == "concept-drift"]

    @property
    def runs_by_cause(self) -> dict[str, int]:
        """Trainings by the cause that they are told by, the most frequent first."""
        counted = Counter(run.cause for month in self.months for run in month.runs)
        return dict(sorted(counted.items(), key=lambda item: (-item[1], item[0])))

    def as_json(self) -> dict[str, Any]:
        """JSON values without any measured time: equal for equal seeds."""
        plan = self.plan
        return {
            "plan": {
                "months": plan.n_months,
                "rows": plan.n_rows,
                "first_rows": plan.n_first_rows,
                "seed": plan.seed,
            },
            "complete": self.is_complete,
            "sound": self.is_sound,
            "planted": [
                {
                    "kind": finding.plant.kind,
                    "about": ABOUT[finding.plant.kind],
                    "month": finding.plant.month,
                    "visible_from": finding.visible_from,
                    "found": finding.found,
                    "trigger": finding.trigger,
                    "delay_months": finding.delay,
                    "months_noticed_again": finding.n_again,
                }
                for finding in self.findings
            ],
            "false_alarms": [asdict(alarm) for alarm in self.false_alarms],
            "quiet_months_judged": self.n_quiet_judged,
            "runs_by_cause": self.runs_by_cause,
            "refused": [
                {"month": month.number, "file": file, "reason": reason}
                for month in self.months
                for file, reason in month.refused
            ],
            "months": [asdict(month) for month in self.months],
        }


def judge_year(plan: YearPlan, months: Sequence[MonthRecord]) -> YearReport:
    """Hold what was seen against what was planted.

    Parameters
    ----------
    plan : YearPlan
    months : sequence of MonthRecord
        In order, from month 0 on; fewer than planned where the year was ended early.

    Returns
    -------
    YearReport
        A plant in a month that was not lived through is left out: it could not be found.

    Examples
    --------
    >>> from attrition_platform.population.scenario import plan_year
    >>> plan = plan_year(4, 100, 100, seed=7)
    >>> seen = Sighting(4, "drift", "overtime", "on_drift")
    >>> report = judge_year(plan, [MonthRecord(4, "2031-05-01", None, None, None, sightings=(seen,))])
    >>> report.is_sound, [alarm.about for alarm in report.false_alarms]
    (False, ['overtime'])
    """
    lived = months[-1].number if months else 0
    sightings = [sighting for month in months for sighting in month.sightings]
    findings = tuple(
        _find(plan, plant, sightings) for plant in plan.plants if _visible_from(plan, plant) <= lived
    )
    false_alarms = tuple(s for s in sightings if not any(_explains(plan, plant, s) for plant in plan.plants))
    return YearReport(plan, tuple(months), findings, false_alarms)


def _explains(plan: YearPlan, plant: Plant, sighting: Sighting) -> bool:
    known = PROOF[plant.kind] | CONSEQUENCES[plant.kind]
    return _may_show(plan, plant, sighting.month) and sighting.sign in known


def _may_show(plan: YearPlan, plant: Plant, month: int) -> bool:
    """Whether it is in what the platform knows by that month: of concept drift, in its outcomes."""
    return plant.is_on(month) and month >= _visible_from(plan, plant)


def _visible_from(plan: YearPlan, plant: Plant) -> int:
    return outcomes_arrive(plan, plant.month) if plant.kind == "concept-drift" else plant.month


def _find(plan: YearPlan, plant: Plant, sightings: Sequence[Sighting]) -> Finding:
    proofs = [s for s in sightings if _may_show(plan, plant, s.month) and s.sign in PROOF[plant.kind]]
    visible = _visible_from(plan, plant)
    if not proofs:
        return Finding(plant, visible, None, None, 0)
    first = min(proofs, key=lambda sighting: sighting.month)
    again = {sighting.month for sighting in proofs} - {first.month}
    return Finding(plant, visible, first.month, first.trigger, len(again))


def sightings_of_cause(
    month: int, kind: CauseKind, evidence: Mapping[str, Any], trigger: str
) -> list[Sighting]:
    """Lay out what a cause says, a sighting per column; nothing for what only arrived.

    >>> sightings_of_cause(3, "drift", {"columns": ["overtime"]}, "on_drift")
    [Sighting(month=3, what='drift', about='overtime', trigger='on_drift')]
    """
    if kind in ORDINARY:
        return []
    abouts = [evidence["verdict"]] if kind == "performance" else evidence["columns"]
    return [Sighting(month, kind, about, trigger) for about in abouts]


def sightings_of_changes(month: int, changes: Sequence[Mapping[str, Any]]) -> list[Sighting]:
    """Lay out the schema changes of a drift report; a new column is a cause of its own."""
    return [
        Sighting(month, change["kind"], change["column"], "drift_report")
        for change in changes
        if change["kind"] != "new-column"
    ]


# Tables, as a header and rows of cells; None is shown as a dash.
Table = tuple[tuple[str, ...], list[list[Any]]]


def planted_table(report: YearReport) -> Table:
    """A row per plant: when it was planted, when found and by whom, and in how many later months again."""
    rows = [
        [
            f.plant.kind,
            f.plant.month,
            "NOT FOUND" if f.found is None else f.found,
            f.delay,
            f.trigger,
            f.n_again,
        ]
        for f in report.findings
    ]
    return ("planted", "in month", "found in", "delay", "by", "again"), rows


def champions_table(report: YearReport) -> Table:
    """A row per month: who served, what it was worth, and what the first champion would have been."""
    rows = [
        [
            month.number,
            (month.champion or "none")[:8],
            *(_numbers(month.worth)),
            *(_numbers(month.first_worth)),
            ", ".join(_run_in_words(run) for run in month.runs) or "no run",
        ]
        for month in report.months
    ]
    return ("month", "champion", "AUC", "cost", "AUC of the first", "cost of the first", "runs"), rows


def report_markdown(report: YearReport) -> str:
    """The report for people."""
    plan = report.plan
    lived = len(report.months) - 1
    parts = [
        f"# A simulated year: {plan.n_months} months, {plan.n_rows:,} rows a month, seed {plan.seed}",
        "Nobody in it exists. AUC and cost are expected values by the chances that only the simulation "
        "knows; cost is per employee at the model's threshold, in the policy's units. Months count from the "
        "training extract (month 0).",
        summary(report),
    ]
    if not report.is_complete:
        parts.append(f"Ended early: {lived} of {plan.n_months} months were lived through.")
    abouts = [f"- {f.plant.kind}: {ABOUT[f.plant.kind]}" for f in report.findings]
    parts += ["## Planted and found", _markdown(planted_table(report)), "\n".join(abouts), "## False alarms"]
    alarms = [[alarm.month, alarm.what, alarm.about, alarm.trigger] for alarm in report.false_alarms]
    parts.append(_markdown((("month", "what", "about", "by"), alarms)) if alarms else "None.")
    parts.append(quiet_months(report))
    parts += ["## Champions", _markdown(champions_table(report))]
    blocked = Counter(name for month in report.months for run in month.runs for name in run.blockers)
    if blocked:
        told = ", ".join(f"{name} {n} times" for name, n in sorted(blocked.items()))
        parts.append(f"Gates that blocked a challenger: {told}.")
    causes = [[cause, n] for cause, n in report.runs_by_cause.items()]
    parts += ["## Runs by cause", _markdown((("cause", "runs"), causes))]
    refused = [[m.number, file, reason] for m in report.months for file, reason in m.refused]
    parts += ["## Refused files"]
    parts.append(_markdown((("month", "file", "reason"), refused)) if refused else "None.")
    return "\n\n".join([*parts, "![The year](year.png)"]) + "\n"


def summary(report: YearReport) -> str:
    """One sentence: how much was found, and what was not asked for."""
    n_found = sum(finding.found is not None for finding in report.findings)
    n_alarms = len(report.false_alarms)
    alarms = "no false alarm" if n_alarms == 0 else f"{n_alarms} false alarms"
    n_runs = sum(report.runs_by_cause.values())
    return f"Found {n_found} of {len(report.findings)} plants; {alarms}; {n_runs} trainings."


def quiet_months(report: YearReport) -> str:
    """One or two sentences: how much the absence of false alarms about outcomes says."""
    n, n_false = report.n_quiet_judged, report.n_false_performance_alarms
    if n == 0:
        return (
            "In no month could an alarm about outcomes be false: none were judged before a change could show "
            "in them. This year says nothing about false alarms of that kind."
        )
    alarms = f"{n_false} alarms, all of them false" if n_false else "no alarm"
    return f"In {n} months outcomes were judged before any change could show in them: {alarms}."


def _run_in_words(run: RunRecord) -> str:
    return f"{run.cause} {run.outcome}"


def _numbers(worth: Worth | None) -> tuple[float | None, float | None]:
    return (None, None) if worth is None else (worth.roc_auc, worth.cost)


def _markdown(table: Table) -> str:
    header, rows = table
    lines = ["| " + " | ".join(header) + " |", "|" + "---|" * len(header)]
    lines += ["| " + " | ".join("-" if cell is None else str(cell) for cell in row) + " |" for row in rows]
    return "\n".join(lines)
