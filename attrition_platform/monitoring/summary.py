"""What a window of employees looks like: exact counts of each column's values, and nothing else.

A summary is all that a drift decision reads. It is some hundred kilobytes where the rows are gigabytes,
it is stored beside a champion, and the summaries of two files add up to the summary of both. Counts are
of single columns: nothing in a summary says which values stood in one row.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from itertools import pairwise
from typing import Any, Final, Literal

import msgspec
import numpy as np
import polars as pl
from numpy.typing import NDArray

from attrition_platform.contracts.model import CATEGORICAL_KINDS, NUMERIC_KINDS, Column, Contract
from attrition_platform.contracts.rows import LARGEST_NUMBER, category_matcher, plain_number
from attrition_platform.errors import AttritionError

ColumnKind = Literal["number", "category"]
FORMAT: Final = 1

Values = tuple[float, ...] | tuple[str, ...]


class SummaryError(AttritionError):
    """A summary can't be read, made or merged."""


@dataclass(frozen=True)
class ColumnCounts:
    """Exact counts of one column.

    Attributes
    ----------
    kind : {"number", "category"}
        A date is a number: days since 1970.
    values : tuple of float or tuple of str
        Distinct and ascending. A category is written as the contract spells it; an unseen one as it came.
    counts : tuple of int
        Rows for each of `values`; all positive.
    n_missing : int
        Empty cells, and words that mean "no value".
    n_unreadable : int
        Cells that are no number (no date) where one is expected.

    Raises
    ------
    SummaryError
        If the counts contradict themselves.
    """

    kind: ColumnKind
    values: Values
    counts: tuple[int, ...]
    n_missing: int = 0
    n_unreadable: int = 0

    def __post_init__(self) -> None:
        sound = (
            len(self.values) == len(self.counts)
            and bool(np.all(self.weights > 0))
            and min(self.n_missing, self.n_unreadable) >= 0
            and (self._numbers_rise() if self.kind == "number" else self._texts_rise())
        )
        if not sound:
            raise SummaryError(
                "Counts of a column contradict themselves: values must be finite, ascending and of its kind, "
                "each with a positive count. Summarise the data again."
            )

    def _numbers_rise(self) -> bool:
        if any(isinstance(value, str) for value in self.values):
            return False
        return bool(np.isfinite(self.numbers).all() and (np.diff(self.numbers) > 0).all())

    def _texts_rise(self) -> bool:
        return all(isinstance(value, str) for value in self.values) and all(
            low < high  # type: ignore[operator]
            for low, high in pairwise(self.values)
        )

    @cached_property
    def n_values(self) -> int:
        """Rows with a value."""
        return sum(self.counts)

    @property
    def n_rows(self) -> int:
        """All rows of the column, with and without a value."""
        return self.n_values + self.n_missing + self.n_unreadable

    @cached_property
    def numbers(self) -> NDArray[np.float64]:
        """`values` of a number, of shape (n_distinct,)."""
        return np.array(self.values, dtype=np.float64)

    @cached_property
    def weights(self) -> NDArray[np.int64]:
        """`counts`, of shape (n_distinct,)."""
        return np.array(self.counts, dtype=np.int64)


@dataclass(frozen=True)
class FrameSummary:
    """Exact counts of some columns of some rows.

    Attributes
    ----------
    n_rows : int
        Rows that were summarised.
    columns : dict of str to ColumnCounts
        By canonical name. A column that the frame had not is not there.

    Examples
    --------
    >>> income = ColumnCounts("number", (1200.0, 1500.0), (2, 1), n_missing=1)
    >>> summary = FrameSummary(4, {"monthly_income": income})
    >>> FrameSummary.from_json(summary.to_json()) == summary
    True
    """

    n_rows: int
    columns: dict[str, ColumnCounts]

    def to_json(self) -> bytes:
        """Write as JSON; equal summaries give equal bytes."""
        wire = _Frame(self.n_rows, {name: _wire(self.columns[name]) for name in sorted(self.columns)})
        return msgspec.json.encode(wire)

    @classmethod
    def from_json(cls, text: bytes) -> FrameSummary:
        """Read what `to_json` wrote.

        Raises
        ------
        SummaryError
            If it is damaged or of another format.
        """
        try:
            wire = msgspec.json.decode(text, type=_Frame)
        except (msgspec.MsgspecError, UnicodeDecodeError):
            raise SummaryError(_DAMAGED) from None
        if wire.format != FORMAT or wire.n_rows < 0:
            raise SummaryError(_DAMAGED)
        return cls(wire.n_rows, {name: _counts_of(column) for name, column in wire.columns.items()})


_DAMAGED: Final = (
    f"A stored summary is damaged or not of format {FORMAT}. Materialize the champion's reference again."
)


class _Column(msgspec.Struct, forbid_unknown_fields=True):
    kind: ColumnKind
    counts: tuple[int, ...]
    n_missing: int
    n_unreadable: int
    numbers: tuple[float, ...] = ()
    categories: tuple[str, ...] = ()


class _Frame(msgspec.Struct, forbid_unknown_fields=True):
    n_rows: int
    columns: dict[str, _Column]
    format: int = FORMAT


def _wire(column: ColumnCounts) -> _Column:
    values = {"numbers" if column.kind == "number" else "categories": column.values}
    return _Column(column.kind, column.counts, column.n_missing, column.n_unreadable, **values)  # type: ignore[arg-type]


def _counts_of(wire: _Column) -> ColumnCounts:
    is_number = wire.kind == "number"
    if wire.categories if is_number else wire.numbers:
        raise SummaryError(_DAMAGED)
    values: Values = wire.numbers if is_number else wire.categories
    return ColumnCounts(wire.kind, values, wire.counts, wire.n_missing, wire.n_unreadable)


def summarise(frame: pl.DataFrame, contract: Contract, columns: Sequence[str]) -> FrameSummary:
    """Count the values of some columns.

    Parameters
    ----------
    frame : DataFrame
        Canonical column names; validated (typed) columns, text cells as the file has them, or both.
        Text is read as `check_rows` reads it, but a number outside the contract's range is still a
        number here and an unseen category still a category: that they are there is what is asked.
    contract : Contract
        Says what each column is and which spellings mean the same.
    columns : sequence of str
        Canonical names of features or of the label. What shall not be watched (excluded, protected) is
        simply not named. A named column that `frame` has not is left out.

    Raises
    ------
    SummaryError
        If a name is no feature and not the label. No cell, however odd, raises.

    Examples
    --------
    >>> from attrition_platform.contracts.toml_file import shipped_contract
    >>> frame = pl.DataFrame({"overtime": ["Yes", " no", "", "Maybe"], "age": ["41", "x", None, "41"]})
    >>> counted = summarise(frame, shipped_contract(), ["overtime", "age"]).columns
    >>> counted["overtime"].values, counted["overtime"].counts, counted["overtime"].n_missing
    (('Maybe', 'No', 'Yes'), (1, 1, 1), 1)
    >>> counted["age"]
    ColumnCounts(kind='number', values=(41.0,), counts=(2,), n_missing=1, n_unreadable=1)
    """
    watchable = {*contract.features, contract.label}
    unknown = sorted(set(columns) - watchable)
    if unknown:
        raise SummaryError(
            f"Column '{unknown[0]}' is no feature of contract '{contract.name}'; name one of: "
            f"{', '.join(sorted(watchable))}."
        )
    present = [name for name in columns if name in frame.columns]
    return FrameSummary(
        frame.height, {name: _count(frame[name], contract.columns[name], contract) for name in present}
    )


def count_numbers(values: pl.Series) -> ColumnCounts:
    """Count numbers that no contract describes, such as predicted probabilities.

    NaN and infinity count as unreadable, null as missing.

    >>> count_numbers(pl.Series([0.25, 0.5, 0.25, None]))
    ColumnCounts(kind='number', values=(0.25, 0.5), counts=(2, 1), n_missing=1, n_unreadable=0)
    """
    return _number_counts(_distinct(values.cast(pl.Float64)))


def merge(parts: Sequence[FrameSummary]) -> FrameSummary:
    """Add up summaries of different rows; a column that a part has not is missing in all its rows.

    Raises
    ------
    SummaryError
        If a column is a number in one part and a category in another.

    Examples
    --------
    >>> one = FrameSummary(2, {"age": ColumnCounts("number", (41.0,), (2,))})
    >>> two = FrameSummary(3, {"age": ColumnCounts("number", (30.0, 41.0), (1, 1), n_missing=1)})
    >>> merge([one, two])  # doctest: +NORMALIZE_WHITESPACE
    FrameSummary(n_rows=5, columns={'age': ColumnCounts(kind='number', values=(30.0, 41.0), counts=(1, 3),
    n_missing=1, n_unreadable=0)})
    """
    names = sorted({name for part in parts for name in part.columns})
    return FrameSummary(sum(part.n_rows for part in parts), {name: _merged(name, parts) for name in names})


def _merged(name: str, parts: Sequence[FrameSummary]) -> ColumnCounts:
    having = [part.columns[name] for part in parts if name in part.columns]
    if len({column.kind for column in having}) > 1:
        raise SummaryError(
            f"Column '{name}' is a number in one summary and a category in another. Summarise both "
            "with the same contract."
        )
    added: dict[Any, int] = {}
    for column in having:
        for value, count in zip(column.values, column.counts, strict=True):
            added[value] = added.get(value, 0) + count
    values = tuple(sorted(added))
    return ColumnCounts(
        having[0].kind,
        values,
        tuple(added[value] for value in values),
        sum(column.n_missing for column in having)
        + sum(part.n_rows for part in parts if name not in part.columns),
        sum(column.n_unreadable for column in having),
    )


def _count(cells: pl.Series, column: Column, contract: Contract) -> ColumnCounts:
    """Distinct cells are counted first, so that each spelling is read once however many rows have it."""
    if cells.dtype.is_nested() or cells.dtype in _NO_VALUES:
        kind: ColumnKind = "category" if column.kind in (*CATEGORICAL_KINDS, "label") else "number"
        return ColumnCounts(kind, (), (), cells.null_count(), cells.len() - cells.null_count())
    if column.kind in (*CATEGORICAL_KINDS, "label"):
        if cells.dtype == pl.Boolean:
            cells = _words_of(cells, column)
        return _category_counts(_distinct(cells.cast(pl.String)), column, contract)
    if cells.dtype in (pl.String, pl.Categorical, pl.Enum):
        return _text_number_counts(_distinct(cells.cast(pl.String)), column, contract)
    if column.kind in NUMERIC_KINDS:
        return _number_counts(_distinct(cells.cast(pl.Float64, strict=False)))
    days = cells.cast(pl.Date, strict=False) if cells.dtype.is_temporal() else cells
    return _number_counts(_distinct(days.cast(pl.Int32, strict=False).cast(pl.Float64)))


_NO_VALUES: Final = (pl.Object, pl.Binary, pl.Duration, pl.Time)


def _words_of(truth: pl.Series, column: Column) -> pl.Series:
    """Words for true and false: a label's positive value, a binary column's second."""
    yes = column.positive or column.values[-1]
    no = next(value for value in column.values if value != yes)
    return truth.replace_strict([False, True], [no, yes], return_dtype=pl.String)


def _distinct(cells: pl.Series) -> pl.DataFrame:
    """Columns `value` and `n`; null is a value."""
    return cells.alias("value").value_counts(name="n").with_columns(pl.col("n").cast(pl.Int64))


def _category_counts(distinct: pl.DataFrame, column: Column, contract: Contract) -> ColumnCounts:
    match = category_matcher(column, contract.normalise)
    exact = set(column.values)
    distinct, n_missing = _without_missing(distinct, column, contract)
    found: dict[str, int] = {}
    for text, n in distinct.iter_rows():
        value = text if text in exact else match(text) or text
        found[value] = found.get(value, 0) + n
    values = tuple(sorted(found))
    return ColumnCounts("category", values, tuple(found[value] for value in values), n_missing)


def _without_missing(distinct: pl.DataFrame, column: Column, contract: Contract) -> tuple[pl.DataFrame, int]:
    """Trimmed texts that are values, and the number of cells that mean "no value"."""
    if contract.normalise.trim:
        distinct = distinct.with_columns(pl.col("value").str.strip_chars())
    words = ["", *(word for word in contract.normalise.missing if word not in column.values)]
    is_missing = distinct["value"].is_null() | distinct["value"].is_in(words)
    return distinct.filter(~is_missing), int(distinct.filter(is_missing)["n"].sum())


def _text_number_counts(distinct: pl.DataFrame, column: Column, contract: Contract) -> ColumnCounts:
    distinct, n_missing = _without_missing(distinct, column, contract)
    text = distinct["value"]
    if column.kind == "date":
        numbers = text.str.to_date("%Y-%m-%d", strict=False, exact=True).cast(pl.Int32).cast(pl.Float64)
    else:
        numbers = plain_number(text, contract.source).cast(pl.Float64, strict=False)
    # What is no number becomes NaN, which `_number_counts` counts as unreadable.
    read = distinct.with_columns(numbers.fill_null(float("nan")).alias("value"))
    counts = _number_counts(read)
    return ColumnCounts("number", counts.values, counts.counts, n_missing, counts.n_unreadable)


def _number_counts(distinct: pl.DataFrame) -> ColumnCounts:
    value = pl.col("value")
    n_missing = int(distinct.filter(value.is_null())["n"].sum())
    present = distinct.filter(value.is_not_null())
    sound = present.filter(value.abs() <= LARGEST_NUMBER)  # NaN is not
    # Polars groups 0.0 with -0.0 and keeps whichever came first.
    unsigned = sound.with_columns(pl.when(value == 0.0).then(0.0).otherwise(value).alias("value"))
    counted = unsigned.group_by("value").agg(pl.col("n").sum()).sort("value")
    return ColumnCounts(
        "number",
        tuple(counted["value"].to_list()),
        tuple(counted["n"].to_list()),
        n_missing,
        int(present["n"].sum()) - int(sound["n"].sum()),
    )
