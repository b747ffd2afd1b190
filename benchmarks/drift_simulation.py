"""How often a year without drift alarms, and how soon drift is found: simulated nights of the reference data.

Rows are drawn with replacement from the reference data, whole rows, so that columns keep what ties them
together. A year has one reference and 365 windows; each is judged by the code that the platform runs, as
far as is needed to know whether it alarms. One setting is of a source that is always a little broken: the
platform keeps such cells on both sides. Evidently judges some of the same kind of windows with the statistics
and limits that it takes by default.
"""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import Any, Final

import numpy as np
import polars as pl
from numpy.typing import NDArray
from scipy.special import betaincinv

from attrition_platform.contracts.model import CATEGORICAL_KINDS
from attrition_platform.contracts.toml_file import shipped_contract
from attrition_platform.modeling.watch_rules import DriftRule
from attrition_platform.monitoring.drift import DriftVerdict, judge_drift
from attrition_platform.monitoring.same_source import (
    categories_p_value,
    novelty_p_value,
    numbers_p_value,
)
from attrition_platform.monitoring.summary import ColumnCounts, FrameSummary, summarise
from benchmarks.inputs import Extract, reference_extract
from benchmarks.result import Plot, Result

N_YEARS: Final = 60  # for each setting: without any alarm, at most 4.9 % of years have one
N_FOUND: Final = 20
SEED: Final = 20260301
RULE: Final = DriftRule()
WINDOW_ROWS: Final = (100, 500, 2_000)
REFERENCE_ROWS: Final = (1_000, 10_000)
FOREIGN, EMPTY = 0.015, 0.033  # shares of broken rows in the dirty setting: an unknown role, no overtime
EVIDENTLY_REFERENCES, EVIDENTLY_WINDOWS = 5, 12  # windows for each of so many references
EVIDENTLY_QUIET: Final = EVIDENTLY_REFERENCES * EVIDENTLY_WINDOWS
EVIDENTLY_FOUND: Final = 5

Rng = np.random.Generator
Ints = NDArray[np.int64]
Cells = Mapping[str, NDArray[Any]]


@dataclass(frozen=True)
class Setting:
    """Sizes of a reference and of its windows, and whether the source is always a little broken."""

    n_reference: int
    n_window: int
    is_dirty: bool = False

    @property
    def windows(self) -> str:
        """What the windows are, for a table."""
        return f"no drift, {FOREIGN + EMPTY:.1%} of rows always broken" if self.is_dirty else "no drift"

    @property
    def label(self) -> str:
        """For a plot."""
        return f"{self.n_window:,} rows / {self.n_reference:,}{', dirty' if self.is_dirty else ''}"


SETTINGS: Final = (
    *(Setting(n_reference, n) for n_reference in REFERENCE_ROWS for n in WINDOW_ROWS),
    Setting(max(REFERENCE_ROWS), max(WINDOW_ROWS), is_dirty=True),
)


@dataclass(frozen=True)
class Population:
    """The rows that windows are drawn from.

    Attributes
    ----------
    name : str
    n_rows : int
    values : dict of str to tuple
        Distinct values of each feature, ascending.
    codes : dict of str to ndarray of shape (n_rows,)
        Positions in `values`; -1 is an empty cell.
    """

    name: str
    n_rows: int
    values: dict[str, tuple[Any, ...]]
    codes: dict[str, Ints]

    def draw(self, n_rows: int, rng: Rng) -> Ints:
        """Counts of rows that are drawn with replacement: empty cells and each value, column by column."""
        drawn = self._slots[rng.integers(0, self.n_rows, n_rows)]
        return np.bincount(drawn.ravel(), minlength=self._ends[-1])

    def summary(self, counts: Ints) -> FrameSummary:
        """The summary that the platform would make of the rows behind such counts."""
        columns = {}
        for (name, values), part in zip(self._arrays.items(), self._by_column(counts), strict=True):
            there = np.flatnonzero(part[1:])
            columns[name] = ColumnCounts(
                "category" if values.dtype == object else "number",
                tuple(values[there].tolist()),
                tuple(part[1:][there].tolist()),
                n_missing=int(part[0]),
            )
        return FrameSummary(columns[name].n_rows, columns)

    def smallest_p_value(self, reference: Ints, window: Ints) -> float:
        """Of all questions that `judge_drift` puts; where it is above the window's level, nothing is certain.

        The platform's own tests, asked without effects, texts and summaries: a third of the time.
        """
        found = [1.0]
        sides = map(self._by_column, (reference, window))
        for values, before, now in zip(self._arrays.values(), *sides, strict=True):
            missing = [np.array([side[0], side[1:].sum()]) for side in (before, now)]
            there = np.flatnonzero(before[1:] + now[1:]) + 1
            before, now = before[there], now[there]
            if missing[0][0] + missing[1][0]:
                found.append(categories_p_value(*missing))
            if values.dtype == object:
                found += [categories_p_value(before, now), novelty_p_value(before, now)]
            else:
                found.append(numbers_p_value(before, now))
        return min(found)

    def cells(self, rows: Ints) -> dict[str, NDArray[Any]]:
        """Values of some rows, by column."""
        found = {}
        for name, values in self.values.items():
            codes = self.codes[name]
            found[name] = np.array([*values, None] if (codes < 0).any() else values)[codes[rows]]
        return found

    def with_dirt(self, rng: Rng) -> Population:
        """The same people in a source that is always a little broken, in rows that chance picks."""
        roles = tuple(sorted((*self.values["job_role"], "Contractor")))
        moved = np.array([roles.index(role) for role in self.values["job_role"]])
        role = np.where(
            rng.random(self.n_rows) < FOREIGN, roles.index("Contractor"), moved[self.codes["job_role"]]
        )
        overtime = np.where(rng.random(self.n_rows) < EMPTY, -1, self.codes["overtime"])
        return replace(
            self,
            values=self.values | {"job_role": roles},
            codes=self.codes | {"job_role": role, "overtime": overtime},
        )

    def _by_column(self, counts: Ints) -> list[Ints]:
        return np.split(counts, self._ends[:-1])

    @cached_property
    def _arrays(self) -> dict[str, NDArray[Any]]:
        return {
            name: np.array(values, dtype=object if isinstance(values[0], str) else np.float64)
            for name, values in self.values.items()
        }

    @cached_property
    def _ends(self) -> Ints:
        """Where each column's counts end; the first of each are its empty cells."""
        return np.cumsum([len(values) + 1 for values in self.values.values()])

    @cached_property
    def _slots(self) -> NDArray[np.int32]:
        """Place of each cell in the counts of all columns, of shape (n_rows, n_columns)."""
        begins = np.append(0, self._ends[:-1])
        cells = [self.codes[name] + 1 + begin for name, begin in zip(self.values, begins, strict=True)]
        return np.column_stack(cells).astype(np.int32)


Change = Callable[[dict[str, NDArray[Any]], Rng], dict[str, NDArray[Any]]]


def run(n_years: int = N_YEARS, n_found: int = N_FOUND) -> Result:
    """Simulate years without drift, and windows with it."""
    with tempfile.TemporaryDirectory() as name:
        people = population(reference_extract(Path(name)))
    rng = np.random.default_rng(SEED)
    dirty = people.with_dirt(rng)
    sources = {at: dirty if at.is_dirty else people for at in SETTINGS}
    quiet = {at: [simulate_year(sources[at], at, rng) for _ in range(n_years)] for at in SETTINGS}
    evidently = {at: _evidently_share(sources[at], at, rng) for at in SETTINGS}
    n_alarmed = sum(year.alarmed for years in quiet.values() for year in years)
    worst = max(share_bound(sum(year.alarmed for year in years), n_years) for years in quiet.values())
    rows = [_quiet_row(at, quiet[at], evidently[at]) for at in SETTINGS]
    rows += [_found_row(people, planted, n_found, rng) for planted in PLANTED]
    return Result(
        title="Drift: false alarms of a year, and what is found",
        finding=f"{n_alarmed} of {n_years * len(SETTINGS)} simulated years without drift have any alarm "
        f"(at most {worst:.1%} of years in the worst setting, with 95 % confidence); of single windows "
        f"{min(evidently.values()):.0%} to {max(evidently.values()):.0%} have one by Evidently's defaults.",
        header=(
            "windows",
            "reference rows",
            "window rows",
            "target",
            "ours",
            "ours without the effect floor",
            "Evidently's defaults",
        ),
        rows=tuple(rows),
        notes=(
            f"{people.name}, {len(people.values)} features; rows drawn whole and with replacement. A year is "
            f"one reference and {RULE.windows_per_year} windows; {n_years} years for each setting.",
            "Evidently's per-column defaults (p-values up to 1,000 reference rows, distances above): an "
            f"alarm is any column that it calls drifted, in {EVIDENTLY_QUIET} windows for "
            f"each setting ({EVIDENTLY_REFERENCES} references), and {EVIDENTLY_FOUND} for each planted one.",
            "Behind a count of years stands its one-sided 95 % upper bound (Clopper-Pearson).",
            "Every window is a fresh sample; extracts that repeat the same people alarm less often.",
            "Planted drifts: reference and window are disjoint rows of the data. Found means that exactly "
            "the planted columns are called drifted; without the floor, that their tests are certain.",
        ),
        plots=(
            Plot(
                "bars",
                tuple(at.label for at in SETTINGS),
                {
                    "ours, % of years": tuple(
                        100 * float(np.mean([y.alarmed for y in quiet[at]])) for at in SETTINGS
                    ),
                    "Evidently, % of windows": tuple(100 * evidently[at] for at in SETTINGS),
                },
                "with any alarm, %",
                "rows of the window / of the reference",
            ),
        ),
    )


@dataclass(frozen=True)
class Year:
    """What a year of nights without drift came to.

    Attributes
    ----------
    n_alarms : int
        Windows that were called drifted.
    n_certain : int
        Windows in which a test was certain, whatever the effect.
    """

    n_alarms: int
    n_certain: int

    @property
    def alarmed(self) -> bool:
        """Whether there was any alarm."""
        return self.n_alarms > 0


def simulate_year(people: Population, at: Setting, rng: Rng, n_windows: int = RULE.windows_per_year) -> Year:
    """Judge a year of windows against one reference, all of the same source."""
    reference = people.draw(at.n_reference, rng)
    level = RULE.false_alarms_per_year / RULE.windows_per_year
    verdicts = []
    for _ in range(n_windows):
        window = people.draw(at.n_window, rng)
        # The step-up procedure rejects nothing where every p-value is above its level.
        if people.smallest_p_value(reference, window) <= level:
            verdicts.append(judge_drift(people.summary(reference), people.summary(window), RULE))
    return Year(sum(verdict.drifted for verdict in verdicts), sum(map(_is_certain, verdicts)))


def _is_certain(verdict: DriftVerdict) -> bool:
    answers = [answer for column in verdict.by_column.values() for answer in column.answers]
    return any(answer.outcome != "stable" for answer in answers)


def share_bound(n_found: int, n_all: int) -> float:
    """Largest share that `n_found` of `n_all` leave possible, with 95 % confidence (Clopper-Pearson).

    >>> round(share_bound(0, 60), 4), round(share_bound(3, 60), 4), share_bound(2, 2)
    (0.0487, 0.1242, 1.0)
    """
    return 1.0 if n_found == n_all else float(betaincinv(n_found + 1, n_all - n_found, 0.95))


def _quiet_row(at: Setting, years: list[Year], evidently: float) -> tuple[str | int, ...]:
    def of_years(n_found: int) -> str:
        return f"{n_found} of {len(years)} years (at most {share_bound(n_found, len(years)):.1%})"

    return (
        at.windows,
        f"{at.n_reference:,}",
        f"{at.n_window:,}",
        "at most 5 % of years",
        of_years(sum(year.alarmed for year in years)),
        of_years(sum(year.n_certain > 0 for year in years)),
        f"{round(evidently * EVIDENTLY_QUIET)} of {EVIDENTLY_QUIET} windows",
    )


def population(extract: Extract) -> Population:
    """Read the features of a file with the reference columns."""
    features = shipped_contract().features
    raw = pl.read_csv(extract.path, infer_schema=False)
    values, codes = {}, {}
    table = raw.select(pl.col(column.source).alias(feature) for feature, column in features.items())
    table = table.drop_nulls()
    for feature, column in features.items():
        cells = table[feature]
        if column.kind not in CATEGORICAL_KINDS:
            cells = cells.cast(pl.Float64)
        distinct, positions = np.unique(cells.to_numpy(), return_inverse=True)
        values[feature] = tuple(distinct.tolist())
        codes[feature] = positions.astype(np.int64)
    return Population(extract.name, table.height, values, codes)


@dataclass(frozen=True)
class Planted:
    """A drift that is put into windows of `n_rows`, and the columns in which it must be found."""

    name: str
    target: str
    change: Change
    columns: tuple[str, ...]
    n_rows: int = 5_000
    named: str = ""


def _more_remote(cells: dict[str, NDArray[Any]], rng: Rng) -> dict[str, NDArray[Any]]:
    """Remote work rises to 35 %, and income by 8 %."""
    remote = cells["remote_work"] == "Yes"
    moves = ~remote & (rng.random(len(remote)) < (0.35 - remote.mean()) / (1 - remote.mean()))
    return cells | {
        "remote_work": np.where(remote | moves, "Yes", "No"),
        "monthly_income": cells["monthly_income"] * 1.08,
    }


def _new_role(cells: dict[str, NDArray[Any]], rng: Rng) -> dict[str, NDArray[Any]]:
    roles = cells["job_role"].astype(object)
    return cells | {"job_role": np.where(rng.random(len(roles)) < 0.08, "Platform", roles)}


def _half_missing(cells: dict[str, NDArray[Any]], rng: Rng) -> dict[str, NDArray[Any]]:
    overtime = cells["overtime"].astype(object)
    return cells | {"overtime": np.where(rng.random(len(overtime)) < 0.5, None, overtime)}


def _straight(cells: dict[str, NDArray[Any]], rng: Rng) -> dict[str, NDArray[Any]]:
    return cells | {"education_level": np.char.replace(cells["education_level"], "’", "'")}


_BOTH: Final = ("monthly_income", "remote_work")
PLANTED: Final = (
    Planted("remote work 19 % -> 35 %, income x 1.08", "first window", _more_remote, _BOTH),
    Planted("remote work 19 % -> 35 %, income x 1.08", "none", _more_remote, _BOTH, n_rows=1_000),
    Planted("a new job role at 8 %", "found and named", _new_role, ("job_role",), named="Platform"),
    Planted("half of overtime missing", "found", _half_missing, ("overtime",)),
    Planted("straight apostrophes", "no drift", _straight, ()),
)


def _found_row(people: Population, planted: Planted, n_found: int, rng: Rng) -> tuple[str | int, ...]:
    ours, certain, theirs = 0, 0, 0
    for i in range(n_found):
        reference, window = plant(people, planted, rng)
        verdict = judge_cells(reference, window)
        ours += is_found(verdict, planted)
        certain_columns = _certain_columns(verdict)
        certain += set(planted.columns) <= certain_columns if planted.columns else not certain_columns
        if i < EVIDENTLY_FOUND:
            theirs += set(evidently_drifted(reference, window)) == set(planted.columns)
    return (
        planted.name,
        f"{people.n_rows - planted.n_rows:,}",
        f"{planted.n_rows:,}",
        planted.target,
        f"{ours} of {n_found} windows",
        f"{certain} of {n_found} windows",
        f"{theirs} of {min(n_found, EVIDENTLY_FOUND)} windows",
    )


def plant(people: Population, planted: Planted, rng: Rng) -> tuple[Cells, Cells]:
    """Part the rows into a reference and a window that has drifted."""
    order = rng.permutation(people.n_rows)
    window = planted.change(people.cells(order[: planted.n_rows]), rng)
    return people.cells(order[planted.n_rows :]), window


def judge_cells(reference: Cells, window: Cells) -> DriftVerdict:
    """Judge a window as the platform does."""
    contract = shipped_contract()
    first, second = (
        summarise(
            pl.DataFrame({name: cells.tolist() for name, cells in side.items()}),
            contract,
            list(contract.features),
        )
        for side in (reference, window)
    )
    return judge_drift(first, second, RULE)


def is_found(verdict: DriftVerdict, planted: Planted) -> bool:
    """Whether exactly the planted columns drifted and the new category, if there is one, has its name."""
    named = [new.name for column in verdict.by_column.values() for new in column.new_categories]
    return verdict.columns == planted.columns and named == ([planted.named] if planted.named else [])


def _certain_columns(verdict: DriftVerdict) -> set[str]:
    columns = verdict.by_column.items()
    return {name for name, column in columns if any(a.outcome != "stable" for a in column.answers)}


def _evidently_share(people: Population, at: Setting, rng: Rng) -> float:
    """Share of windows in which any column is drifted by Evidently's defaults."""
    n_alarms = 0
    for _ in range(EVIDENTLY_REFERENCES):
        reference = people.cells(rng.integers(0, people.n_rows, at.n_reference))
        for _ in range(EVIDENTLY_WINDOWS):
            window = people.cells(rng.integers(0, people.n_rows, at.n_window))
            n_alarms += bool(evidently_drifted(reference, window))
    return n_alarms / EVIDENTLY_QUIET


def evidently_drifted(reference: Cells, window: Cells) -> list[str]:
    """Columns that Evidently calls drifted with the test and the limit that it takes by default.

    Its own functions are called, as its drift preset does for a column: missing cells dropped, the test
    chosen by the reference's size. Nothing else of a report is computed.
    """
    import pandas as pd
    from evidently.legacy.calculations.stattests import get_stattest
    from evidently.legacy.core import ColumnType

    drifted = []
    for name, values in reference.items():
        before, now = pd.Series(values).dropna(), pd.Series(window[name]).dropna()
        kind = ColumnType.Numerical if values.dtype.kind == "f" else ColumnType.Categorical
        if get_stattest(before, now, kind, None)(before, now, kind, None).drifted:
            drifted.append(name)
    return drifted
