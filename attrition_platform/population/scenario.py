"""A made-up year of monthly extracts in which it is known what goes wrong, and when.

Each month has a cohort of its own: employees whom no other extract names, with the chance of leaving that
the facts give them. What goes wrong is a *plant*: some plants change the people from then on, others spoil
one file. Nothing here reads a clock or writes a file; the same plan always gives the same rows.
"""

from __future__ import annotations

from calendar import monthrange
from collections.abc import Mapping
from dataclasses import dataclass, replace
from datetime import date, timedelta
from types import MappingProxyType
from typing import Final, Literal

import numpy as np
import polars as pl
from numpy.typing import NDArray

from attrition_platform.population.drawing import BLOCK_ROWS, NUMBERS, draw_block, leaving_probability
from attrition_platform.population.facts import PopulationFacts, population_facts

PlantKind = Literal[
    "data-drift", "concept-drift", "format-change", "unit-error", "new-column", "new-category"
]

FIRST_DAY: Final = date(2031, 1, 1)  # in nobody's past, so a simulated record is never taken for a real one
MIN_MONTHS: Final = 4
# Outcomes are complete after so many days: less than any two months have, so they are due by the second.
HORIZON_DAYS: Final = 55
# Who leaves does so before the next extract; otherwise that one would list people who are gone.
LEAVES_WITHIN_DAYS: Final = 25

REMOTE_SHARE: Final = 0.35
PAY_RISE: Final = 1.08
NEW_COLUMN: Final = "Badge Colour"
NEW_CATEGORY: Final = "Logistics"
NEW_CATEGORY_SHARE: Final = 0.08

# From then on, or in one file only.
LASTING: Final[frozenset[PlantKind]] = frozenset({"data-drift", "concept-drift", "new-column"})
# An alarm about these starts a replacement of the champion, whose successor begins without any outcome.
_UNSETTLING: Final[tuple[PlantKind, ...]] = ("unit-error", "new-category")
_HARMLESS: Final[tuple[PlantKind, ...]] = ("format-change", "new-column")
# The file is wrong as a whole; a corrected one follows.
_CORRECTED: Final[frozenset[PlantKind]] = frozenset({"unit-error", "new-category"})

ABOUT: Final[Mapping[PlantKind, str]] = MappingProxyType(
    {
        "data-drift": "remote work 19 % to 35 %, incomes times 1.08",
        "concept-drift": "remote work no longer keeps people",
        "format-change": "straight apostrophes instead of curly ones",
        "unit-error": "years at the company sent as months",
        "new-column": f"the extract has a column '{NEW_COLUMN}'",
        "new-category": f"job role '{NEW_CATEGORY}' in 8 % of the rows",
    }
)


@dataclass(frozen=True)
class Plant:
    """One thing that goes wrong.

    Attributes
    ----------
    kind : PlantKind
    month : int
        1 is the first month after the training extract.
    """

    kind: PlantKind
    month: int

    def is_on(self, month: int) -> bool:
        """Whether it is in that month's data.

        >>> Plant("data-drift", 3).is_on(5), Plant("unit-error", 3).is_on(5)
        (True, False)
        """
        return month >= self.month if self.kind in LASTING else month == self.month


@dataclass(frozen=True)
class YearPlan:
    """What happens in which month.

    Attributes
    ----------
    n_months : int
        Months after the training extract.
    n_rows, n_first_rows : int
        Employees of each month's extract, and of the training extract (month 0).
    seed : int
    plants : tuple of Plant
        By month; at most one in each.
    """

    n_months: int
    n_rows: int
    n_first_rows: int
    seed: int
    plants: tuple[Plant, ...]

    def is_on(self, kind: PlantKind, month: int) -> bool:
        """Whether a kind of plant is in a month's data."""
        return any(plant.kind == kind and plant.is_on(month) for plant in self.plants)


@dataclass(frozen=True)
class Extract:
    """A file that arrives.

    Attributes
    ----------
    name : str
    rows : DataFrame
        Under the header of the reference file; current employees have an empty label.
    """

    name: str
    rows: pl.DataFrame


@dataclass(frozen=True)
class Month:
    """What is true of a month, and what arrives.

    Attributes
    ----------
    number : int
    truth : DataFrame
        `employee_id` (text), `chance` (of leaving, in [0, 1]) and `left` (Boolean) of the cohort.
    extracts : tuple of Extract
        In order; where there are two, the second corrects the first.
    """

    number: int
    truth: pl.DataFrame
    extracts: tuple[Extract, ...]


def plan_year(n_months: int, n_rows: int, n_first_rows: int, seed: int) -> YearPlan:
    """Choose what goes wrong in which month.

    The change of what makes people leave comes when outcomes have come in for a while: in at least a third
    of the months that have any, it can't show yet, and an alarm about them would be false. (In 4 and 5 months
    there is no room for that.) The change of the people comes late, since it replaces the champion again
    and again. A short plan leaves out what can't be found within it.

    Raises
    ------
    ValueError
        If a number is out of its range.

    Examples
    --------
    >>> [(plant.kind, plant.month) for plant in plan_year(4, 2500, 8000, seed=7).plants]
    [('concept-drift', 1), ('new-column', 2), ('format-change', 3), ('data-drift', 4)]
    """
    if n_months < MIN_MONTHS or seed < 0 or not all(1 <= n <= BLOCK_ROWS for n in (n_rows, n_first_rows)):
        raise ValueError(
            f"A year has at least {MIN_MONTHS} months, 1 to {BLOCK_ROWS} rows each, and a seed of at least 0."
        )
    rng = np.random.default_rng((seed, n_months))
    # Outcomes come in month 3 or 4 for the first time, and three months after the change at the latest.
    concept = min(1 + -(-n_months // 3), n_months - 3)
    people = max(concept + 3, round(n_months * 0.75))
    months: dict[int, PlantKind] = {concept: "concept-drift", people: "data-drift"}
    judged = range(min(3, concept), concept + 3)  # their champion is needed until the change has shown
    for kind in _shuffled(_UNSETTLING, rng):
        free = [m for m in range(1, n_months + 1) if m not in months and m not in judged]
        if free:
            months[int(rng.choice(free))] = kind
    for kind in _shuffled(_HARMLESS, rng):
        free = [m for m in range(2, n_months + 1) if m not in months]
        if free:
            months[int(rng.choice(free))] = kind
    plants = tuple(Plant(kind, month) for month, kind in sorted(months.items()))
    return YearPlan(n_months, n_rows, n_first_rows, seed, plants)


def facts_of(plan: YearPlan, month: int) -> PopulationFacts:
    """The facts that a month's cohort is drawn from."""
    facts = population_facts()
    if plan.is_on("concept-drift", month):
        facts = replace(facts, label_effects={**facts.label_effects, "Remote": 0.0})
    if plan.is_on("data-drift", month):
        shares = {**facts.shares, "Remote Work": {"No": 1 - REMOTE_SHARE, "Yes": REMOTE_SHARE}}
        income = {role: (mean * PAY_RISE, sd * PAY_RISE) for role, (mean, sd) in facts.income_by_role.items()}
        low, high = facts.income_range
        income_range = (round(low * PAY_RISE), round(high * PAY_RISE))
        facts = replace(facts, shares=shares, income_by_role=income, income_range=income_range)
    return facts


def draw_month(plan: YearPlan, number: int) -> Month:
    """Draw a month's cohort and the files that it arrives in.

    Parameters
    ----------
    number : int
        0 is the training extract, which has labels and no fault.
    """
    facts = facts_of(plan, number)
    n_rows = plan.n_rows if number else plan.n_first_rows
    rows = draw_block(facts, plan.seed, number).head(n_rows)
    truth = pl.DataFrame(
        {
            "employee_id": rows["Employee ID"].cast(pl.String),
            "chance": _chances(facts, rows),
            "left": rows["Attrition"] == "Left",
        }
    )
    plain = rows.with_columns(pl.col(pl.Enum).cast(pl.String))
    if number == 0:
        return Month(number, truth, (Extract("month-00.csv", plain),))
    sent = plain.with_columns(pl.lit("").alias("Attrition"))
    if plan.is_on("new-column", number):
        colours = pl.Series(["blue", "green", "red"]).gather(np.arange(n_rows) % 3)
        sent = sent.with_columns(colours.alias(NEW_COLUMN))
    spoilt = _spoil(plan, number, sent)
    if any(plan.is_on(kind, number) for kind in _CORRECTED):
        names = (f"month-{number:02}.csv", f"month-{number:02}-corrected.csv")
        return Month(number, truth, (Extract(names[0], spoilt), Extract(names[1], sent)))
    return Month(number, truth, (Extract(f"month-{number:02}.csv", spoilt),))


def draw_outcomes(plan: YearPlan, month: Month) -> pl.DataFrame:
    """Who of a cohort has left and who stayed, as the file that arrives in `outcomes_arrive`.

    Returns
    -------
    DataFrame
        `Employee ID`, `date` (ISO) and `outcome`: "left" on a day before the next extract, "stayed" on
        the day of the file.
    """
    rng = np.random.default_rng((plan.seed, month.number, 2))
    begin = day_of(month.number)
    days = rng.integers(1, LEAVES_WITHIN_DAYS, len(month.truth), endpoint=True)
    leaving = [(begin + timedelta(days=int(day))).isoformat() for day in days]
    heard = day_of(outcomes_arrive(plan, month.number)).isoformat()
    left = pl.col("left")
    return month.truth.select(
        pl.col("employee_id").alias("Employee ID"),
        pl.when(left).then(pl.Series(leaving)).otherwise(pl.lit(heard)).alias("date"),
        pl.when(left).then(pl.lit("left")).otherwise(pl.lit("stayed")).alias("outcome"),
    )


def outcomes_arrive(plan: YearPlan, number: int) -> int:
    """Month in which the outcomes of a cohort arrive: two or three later.

    >>> plan = plan_year(12, 2500, 8000, seed=7)
    >>> {outcomes_arrive(plan, month) - month for month in range(1, 13)}
    {2, 3}
    """
    return number + int(np.random.default_rng((plan.seed, number, 1)).integers(2, 3, endpoint=True))


def day_of(number: int) -> date:
    """First day of a month.

    >>> day_of(0), day_of(13)
    (datetime.date(2031, 1, 1), datetime.date(2032, 2, 1))
    """
    day = FIRST_DAY
    for _ in range(number):
        day += timedelta(days=monthrange(day.year, day.month)[1])
    return day


def _shuffled(kinds: tuple[PlantKind, ...], rng: np.random.Generator) -> list[PlantKind]:
    return [kinds[place] for place in rng.permutation(len(kinds))]


def _spoil(plan: YearPlan, number: int, sent: pl.DataFrame) -> pl.DataFrame:
    if plan.is_on("format-change", number):
        sent = sent.with_columns(pl.col("Education Level").str.replace("’", "'"))
    if plan.is_on("unit-error", number):
        sent = sent.with_columns(pl.col("Years at Company") * 12)
    if plan.is_on("new-category", number):
        every = round(1 / NEW_CATEGORY_SHARE * 2)  # two in so many rows
        is_new = pl.int_range(pl.len()) % every < 2
        roles = pl.when(is_new).then(pl.lit(NEW_CATEGORY)).otherwise(pl.col("Job Role"))
        sent = sent.with_columns(roles.alias("Job Role"))
    return sent


def _chances(facts: PopulationFacts, rows: pl.DataFrame) -> NDArray[np.float64]:
    """The chances that the cohort's labels were drawn from, recomputed from its rows."""
    codes = {}
    for column, shares in facts.shares.items():
        places = {value: place for place, value in enumerate(shares)}
        words = rows[column].cast(pl.String)
        codes[column] = words.replace_strict(places, return_dtype=pl.UInt8).to_numpy()
    numbers = {name: rows[name].to_numpy() for name in NUMBERS}
    return leaving_probability(facts, codes, numbers)
