"""Sort rows into those that keep the contract, typed, and those that do not, with every reason.

Nothing is coerced silently: a spelling that the contract declares to mean the same is unified and
counted; everything else that is not exactly what the contract says is a reason. Reasons name the
column and the rule, never the value.
"""

from __future__ import annotations

import math
import re
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass

import polars as pl

from attrition_platform.contracts.dtypes import validated_dtypes
from attrition_platform.contracts.model import (
    CATEGORICAL_KINDS,
    NUMERIC_KINDS,
    Column,
    Contract,
    Normalise,
    Source,
)

LARGEST_NUMBER = 1e15
_APOSTROPHES = str.maketrans({"’": "'", "‘": "'", "ʼ": "'", "´": "'", "`": "'"})
_CONTROL = re.compile(r"[\x00-\x08\x0b\x0c\x0e-\x1f\x7f]")
PLAIN_NUMBER = re.compile(r"[+-]?(\d+(\.\d*)?|\.\d+)([eE][+-]?\d+)?", re.ASCII)
WHOLE_NUMBER = re.compile(r"[+-]?\d+", re.ASCII)
_DATE = "^[0-9]{4}-[0-9]{2}-[0-9]{2}$"
_FORMULA_STARTS = ("=", "+", "-", "@")


@dataclass(frozen=True)
class CheckedRows:
    """What became of the rows of one chunk.

    Attributes
    ----------
    valid : DataFrame
        Typed rows that keep the contract, in their order.
    quarantined : DataFrame
        `batch`, `row_number`, `pseudonym`, `reasons` of the others; a reason is ``column:rule``.
    n_normalised : dict of str to int
        Values per column whose spelling was unified.
    n_rule_failures : dict of str to int
        Rows per reason.
    """

    valid: pl.DataFrame
    quarantined: pl.DataFrame
    n_normalised: dict[str, int]
    n_rule_failures: dict[str, int]


@dataclass(frozen=True)
class _CheckedColumn:
    values: pl.Series
    codes: pl.Series
    n_normalised: int


def check_rows(raw: pl.DataFrame, contract: Contract) -> CheckedRows:
    """Hold a chunk of text rows against the contract.

    Parameters
    ----------
    raw : DataFrame
        Text by canonical column name (a column that is absent is missing in every row), and
        `row_number`, `pseudonym`, `split_bucket`, `batch`.
    contract : Contract
        What a good row is.

    Returns
    -------
    CheckedRows
        Every row of the chunk is in exactly one of its two frames.
    """
    checked = {
        name: _check_column(_text(raw, name), contract.columns[name], contract)
        for name in (*contract.features, contract.label)
    }
    identified = raw["pseudonym"].is_not_null()
    bad = ~identified
    for column in checked.values():
        bad = bad | column.codes.is_not_null()
    typed = raw.select("pseudonym", pl.col("split_bucket").cast(pl.UInt8), "batch").with_columns(
        column.values.alias(name) for name, column in checked.items()
    )
    reasons = [
        pl.select(pl.when(column.codes.filter(bad).is_not_null()).then(name + ":" + column.codes.filter(bad)))
        .to_series()
        .alias(name)
        for name, column in checked.items()
    ]
    no_id = pl.select(pl.when(~identified.filter(bad)).then(pl.lit(f"{contract.id or 'row'}:missing-id")))
    quarantined = (
        raw.filter(bad)
        .select("batch", "row_number", "pseudonym")
        .with_columns(no_id.to_series().alias("_id"), *reasons)
        .select(
            "batch",
            "row_number",
            "pseudonym",
            pl.concat_list("_id", *checked).list.drop_nulls().alias("reasons"),
        )
    )
    failures = Counter(quarantined["reasons"].explode().to_list() if quarantined.height else [])
    return CheckedRows(
        valid=typed.filter(~bad).select(list(validated_dtypes(contract))),
        quarantined=quarantined,
        n_normalised={name: column.n_normalised for name, column in checked.items() if column.n_normalised},
        n_rule_failures=dict(sorted(failures.items())),
    )


def match_category(text: str, column: Column, rules: Normalise) -> str | None:
    """Find the allowed value that a spelling stands for; None when there is none.

    Examples
    --------
    >>> degree = Column(source="Degree", kind="nominal", values=("Bachelor’s", "PhD"))
    >>> match_category("Bachelor's", degree, Normalise())
    'Bachelor’s'
    >>> match_category("phd", degree, Normalise()) is None
    True
    >>> match_category("TRUE", Column(source="Remote", kind="binary", values=("No", "Yes")), Normalise())
    'Yes'
    """
    return category_matcher(column, rules)(text)


def category_matcher(column: Column, rules: Normalise) -> Callable[[str], str | None]:
    """Prepare `match_category` for one column: a hostile one may hold another text in every row."""

    def folded(text: str) -> str:
        text = text.translate(_APOSTROPHES) if rules.apostrophes else text
        return text.casefold() if rules.case else text

    spellings: dict[str, str] = {}
    for value in column.values:
        spellings.setdefault(folded(value), value)
    words: dict[str, str] = {}
    if column.kind == "binary":
        for meaning, value in ((rules.no, column.values[0]), (rules.yes, column.values[1])):
            for word in meaning:
                words.setdefault(word.casefold(), value)
    return lambda text: spellings.get(folded(text)) or words.get(text.casefold())


def _text(raw: pl.DataFrame, name: str) -> pl.Series:
    if name in raw.columns:
        return raw[name]
    return pl.Series(name, [None] * raw.height, dtype=pl.String)


def _check_column(text: pl.Series, column: Column, contract: Contract) -> _CheckedColumn:
    rules = contract.normalise
    n_normalised = 0
    if rules.trim:
        trimmed = text.str.strip_chars()
        n_normalised += int((trimmed != text).sum())
        text = trimmed
    # A word that the column declares as a value is one, even if it means "no value" elsewhere.
    words = [word for word in rules.missing if word not in column.values]
    missing = text.is_null() | (text == "") | text.is_in(words)
    text = pl.select(pl.when(~missing).then(text)).to_series()
    if column.kind in NUMERIC_KINDS:
        text = plain_number(text, contract.source)
    parse = _parse_category if column.kind in (*CATEGORICAL_KINDS, "label") else _PARSERS[column.kind]
    values, explain = parse(text, column)
    codes = _explain_failures(text, values, explain)
    if column.kind in (*CATEGORICAL_KINDS, "label"):
        values, codes, n_unified = _unify(text, values, codes, column, rules)
        n_normalised += n_unified
    else:
        values, codes = _check_range(values, codes, column)
    if column.kind == "label":
        left = values.cast(pl.String) == column.positive
        values = pl.select(pl.when(values.is_not_null()).then(left)).to_series()
    if column.missing == "refuse" and column.kind != "label":
        codes = pl.select(pl.when(missing).then(pl.lit("missing")).otherwise(codes)).to_series()
    return _CheckedColumn(values, codes, n_normalised)


_Parsed = tuple[pl.Series, Callable[[str], str]]


def _parse_category(text: pl.Series, column: Column) -> _Parsed:
    return text.cast(pl.Enum(column.values), strict=False), why_no_category


def _parse_count(text: pl.Series, column: Column) -> _Parsed:
    return text.cast(pl.Int64, strict=False), why_no_count


def _parse_number(text: pl.Series, column: Column) -> _Parsed:
    values = text.cast(pl.Float64, strict=False)
    finite = pl.select(pl.when(values.is_finite() & (values.abs() <= LARGEST_NUMBER)).then(values))
    return finite.to_series(), why_no_number


def _parse_date(text: pl.Series, column: Column) -> _Parsed:
    # The parser alone would take one-digit months, signs and the year 0, which Python has not.
    well_formed = text.str.contains(_DATE) & ~text.str.starts_with("0000")
    strict = pl.select(pl.when(well_formed).then(text)).to_series()
    return strict.str.to_date("%Y-%m-%d", strict=False, exact=True), why_no_date


_PARSERS: dict[str, Callable[[pl.Series, Column], _Parsed]] = {
    "count": _parse_count,
    "continuous": _parse_number,
    "date": _parse_date,
}


def plain_number(text: pl.Series, source: Source) -> pl.Series:
    """Bring declared separators to the plain form; what is no group of three digits stays and fails.

    >>> written = pl.Series(["1.234,5", "12.34", "0.123"])
    >>> plain_number(written, Source(decimal=",", thousands=".")).to_list()
    ['1234.5', '12?34', '0?123']
    """
    if source.thousands:
        plain = text.str.replace_all(source.thousands, "", literal=True)
        grouped = text.str.contains(f"^{grouped_digits(source)}$")
        text = pl.select(pl.when(grouped).then(plain).otherwise(text)).to_series()
    if source.decimal == ",":
        text = text.str.replace_all(".", "?", literal=True).str.replace_all(",", ".", literal=True)
    return text


def grouped_digits(source: Source) -> str:
    """Pattern of a number in groups of three digits, without anchors; polars and `re` read it alike."""
    separator, point = re.escape(source.thousands), re.escape(source.decimal)
    return rf"[+-]?[1-9][0-9]{{0,2}}({separator}[0-9]{{3}})+({point}[0-9]*)?"


def _explain_failures(text: pl.Series, values: pl.Series, explain: Callable[[str], str]) -> pl.Series:
    failed = text.is_not_null() & values.is_null()
    if not failed.any():
        return pl.Series([None], dtype=pl.String).new_from_index(0, text.len())
    return _map_distinct(text, failed, explain)


def _map_distinct(text: pl.Series, where: pl.Series, function: Callable[[str], str | None]) -> pl.Series:
    """Apply a function once per distinct text; null elsewhere."""
    distinct = text.filter(where).unique(maintain_order=True)
    found = pl.Series([function(value) for value in distinct], dtype=pl.String)
    mapped = text.replace_strict(distinct, found, default=None, return_dtype=pl.String)
    return pl.select(pl.when(where).then(mapped)).to_series()


def _unify(
    text: pl.Series, values: pl.Series, codes: pl.Series, column: Column, rules: Normalise
) -> tuple[pl.Series, pl.Series, int]:
    """Give values that are spelled another declared way their allowed value."""
    failed = codes.is_not_null()
    if not failed.any():
        return values, codes, 0
    matched = _map_distinct(text, failed, category_matcher(column, rules))
    matched = matched.cast(values.dtype)
    unified = matched.is_not_null()
    values = pl.select(pl.when(unified).then(matched).otherwise(values)).to_series()
    codes = pl.select(pl.when(~unified).then(codes)).to_series()
    return values, codes, int(unified.sum())


def _check_range(values: pl.Series, codes: pl.Series, column: Column) -> tuple[pl.Series, pl.Series]:
    if column.min is None and column.max is None:
        return values, codes
    low = -math.inf if column.min is None else column.min
    high = math.inf if column.max is None else column.max
    outside = ~values.is_between(low, high).fill_null(True)
    if not outside.any():
        return values, codes
    codes = pl.select(pl.when(outside).then(pl.lit("out-of-range")).otherwise(codes)).to_series()
    return values, codes


def why_no_category(text: str) -> str:
    """Say why a text is no allowed category.

    >>> [why_no_category(text) for text in ("a\\x00", "=A1", "Mid ")]
    ['control-character', 'formula-cell', 'unseen-category']
    """
    if _CONTROL.search(text):
        return "control-character"
    return "formula-cell" if text.startswith(_FORMULA_STARTS) else "unseen-category"


def why_no_number(text: str) -> str:
    """Say why a text is no finite number.

    >>> [why_no_number(text) for text in ("nan", "1e308", "1,000", "12 May")]
    ['not-finite', 'out-of-range', 'not-a-number', 'not-a-number']
    """
    if _CONTROL.search(text):
        return "control-character"
    if text.casefold().lstrip("+-") in ("nan", "inf", "infinity"):
        return "not-finite"
    if PLAIN_NUMBER.fullmatch(text):
        return "out-of-range" if math.isfinite(float(text)) else "not-finite"
    return "not-a-number"


def why_no_count(text: str) -> str:
    """Say why a text is no whole number.

    >>> [why_no_count(text) for text in ("3.0", "nan", "three")]
    ['not-whole', 'not-finite', 'not-a-number']
    """
    code = why_no_number(text)
    if code == "out-of-range" and not float(text).is_integer():
        return "not-whole"
    return "not-whole" if code == "out-of-range" and not WHOLE_NUMBER.fullmatch(text) else code


def why_no_date(text: str) -> str:
    """Say why a text is no date.

    >>> why_no_date("2024-1-5")
    'not-a-date'
    """
    return "control-character" if _CONTROL.search(text) else "not-a-date"
