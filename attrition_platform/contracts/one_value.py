"""One value of one column, from a text cell or from JSON: what it is, or which rule it breaks.

`rows.py` reads whole columns with polars; this reads one value in plain Python, for the service and
the prompt. Both share their patterns, spellings and reason codes, and property tests hold them to the
same answer for any text. Everything is prepared per column, so that a value costs one function call.
"""

from __future__ import annotations

import datetime as dt
import math
import re
from collections.abc import Callable

from attrition_platform.contracts.model import CATEGORICAL_KINDS, Column, Contract, Normalise, Source
from attrition_platform.contracts.rows import (
    LARGEST_NUMBER,
    PLAIN_NUMBER,
    WHOLE_NUMBER,
    category_matcher,
    grouped_digits,
    why_no_category,
    why_no_count,
    why_no_date,
    why_no_number,
)
from attrition_platform.errors import FieldProblem

SMALLEST_COUNT, LARGEST_COUNT = -(2**63), 2**63 - 1  # a validated count is an Int64
_LONGEST_COUNT = len(str(LARGEST_COUNT))
_MAX_VALUES_SHOWN = 30
_DATE = re.compile(r"[0-9]{4}-[0-9]{2}-[0-9]{2}")
# What polars strips; Python's own `strip()` would also take the separators U+001C to U+001F.
_WHITE_SPACE = (
    "\t\n\v\f\r \x85\xa0\u1680\u2000\u2001\u2002\u2003\u2004\u2005\u2006\u2007\u2008\u2009\u200a"
    "\u2028\u2029\u202f\u205f\u3000"
)

Value = str | int | float | dt.date | None
Judged = Value | FieldProblem
Refuse = Callable[[str], FieldProblem]


def rule_of(column: Column) -> str:
    """Say what a column takes, in words that fit after "allowed:".

    Examples
    --------
    >>> rule_of(Column(source="Level", kind="ordinal", values=("Low", "High")))
    'one of Low, High'
    >>> rule_of(Column(source="Years", kind="count", min=0, max=80))
    'a whole number from 0 to 80'
    >>> rule_of(Column(source="Trips", kind="count", min=0))
    'a whole number from 0 up, of at most 18 digits'
    >>> rule_of(Column(source="Pay", kind="continuous", max=2.5))
    'a number from -1e15 to 2.5'
    """
    if column.kind in (*CATEGORICAL_KINDS, "label"):
        shown = ", ".join(column.values[:_MAX_VALUES_SHOWN])
        n_more = len(column.values) - _MAX_VALUES_SHOWN
        return f"one of {shown}" + (f" and {n_more} more" if n_more > 0 else "")
    if column.kind == "continuous":
        low, high = limits(column)
        return f"a number from {_plain(low)} to {_plain(high)}"
    if column.kind == "count":
        return "a whole number" + _count_range(column)
    return {"date": "a date like 2026-03-01", "id": "a text or a whole number"}.get(column.kind, "anything")


def limits(column: Column) -> tuple[float, float]:
    """Smallest and largest accepted number: what the contract says, within what the platform takes.

    >>> limits(Column(source="Pay", kind="continuous", min=0))
    (0.0, 1000000000000000.0)
    """
    widest = (-LARGEST_NUMBER, LARGEST_NUMBER)
    if column.kind == "count":
        widest = (float(SMALLEST_COUNT), float(LARGEST_COUNT))
    low = -math.inf if column.min is None else column.min
    high = math.inf if column.max is None else column.max
    return max(low, widest[0]), min(high, widest[1])


def text_reader(name: str, column: Column, contract: Contract) -> Callable[[str | None], Judged]:
    """Prepare the reading of a column's text cells, with the meaning of `check_rows`.

    Examples
    --------
    >>> from attrition_platform.contracts.toml_file import shipped_contract
    >>> contract = shipped_contract()
    >>> read = text_reader("overtime", contract.columns["overtime"], contract)
    >>> read(" yes "), read("=A1").code, read("").code
    ('Yes', 'formula-cell', 'missing')
    """
    refuse = _refuser(name, column)
    absent = when_missing(name, column)
    trim = contract.normalise.trim
    # A word that the column declares as a value is one, even if it means "no value" elsewhere.
    no_value = {"", *contract.normalise.missing} - {value for value in column.values if value}
    read = _text_parser(column, contract, refuse)

    def read_cell(text: str | None) -> Judged:
        if text is None:
            return absent
        if trim:
            text = text.strip(_WHITE_SPACE)
        return absent if text in no_value else read(text)

    return read_cell


def json_reader(name: str, column: Column, contract: Contract) -> Callable[[object], Judged]:
    """Prepare the reading of a column's JSON values other than null, with strict types.

    A category is text in any spelling that the contract declares (or true and false for a binary
    column), a count a whole number, a continuous value any finite one, a date text in ISO form. A
    number in quotes is no number, and a word that means "no value" in a file is no value here: JSON
    has null for that.

    Examples
    --------
    >>> from attrition_platform.contracts.toml_file import shipped_contract
    >>> contract = shipped_contract()
    >>> read = json_reader("age", contract.columns["age"], contract)
    >>> read(41), read(41.0), read(41.5).code, read("41").code, read(True).code
    (41, 41, 'not-whole', 'not-a-number', 'not-a-number')
    """
    refuse = _refuser(name, column)
    if column.kind in CATEGORICAL_KINDS:
        return _json_category(column, contract.normalise, refuse)
    return {"count": _json_count, "continuous": _json_number, "date": _json_date}[column.kind](column, refuse)


def when_missing(name: str, column: Column) -> FieldProblem | None:
    """What a missing value is: None where the contract allows it, and the problem otherwise."""
    return None if column.missing == "allow" else FieldProblem(name, "missing", rule_of(column))


def _refuser(name: str, column: Column) -> Refuse:
    rule = rule_of(column)
    return lambda code: FieldProblem(name, code, rule)


def _plain(number: float) -> str:
    """Write a limit the way a person would; ``1e15`` rather than fifteen zeros."""
    if abs(number) == LARGEST_NUMBER:
        return "1e15" if number > 0 else "-1e15"
    return str(int(number)) if number.is_integer() else repr(number)


def _count_range(column: Column) -> str:
    if column.min is None and column.max is None:
        return " of at most 18 digits"
    if column.max is None:
        return f" from {_plain(column.min or 0.0)} up, of at most 18 digits"
    if column.min is None:
        return f" up to {_plain(column.max)}, of at most 18 digits"
    return f" from {_plain(column.min)} to {_plain(column.max)}"


def _text_parser(column: Column, contract: Contract, refuse: Refuse) -> Callable[[str], Judged]:
    if column.kind in CATEGORICAL_KINDS:
        return _category(column, contract.normalise, refuse)
    if column.kind == "date":
        return _date(refuse)
    parse = (_count if column.kind == "count" else _number)(column, refuse)
    if not contract.source.thousands and contract.source.decimal == ".":
        return parse
    plain = _plain_writer(contract.source)
    return lambda text: parse(plain(text))


def _plain_writer(source: Source) -> Callable[[str], str]:
    """Do for one text what `rows.plain_number` does for a column."""
    is_grouped = re.compile(grouped_digits(source)).fullmatch if source.thousands else None

    def write(text: str) -> str:
        if is_grouped is not None and is_grouped(text):
            text = text.replace(source.thousands, "")
        return text.replace(".", "?").replace(",", ".") if source.decimal == "," else text

    return write


def _category(column: Column, rules: Normalise, refuse: Refuse) -> Callable[[str], Judged]:
    exact = {value: value for value in column.values}
    match = category_matcher(column, rules)

    def read(text: str) -> Judged:
        # An exact value goes first: under a folding rule two values may share a spelling.
        value = exact.get(text)
        if value is None:
            value = match(text)
        return refuse(why_no_category(text)) if value is None else value

    return read


def _count(column: Column, refuse: Refuse) -> Callable[[str], Judged]:
    low, high = limits(column)

    def read(text: str) -> Judged:
        # Digits are counted first, leading zeros aside: Python reads no number of more than 4,300.
        digits = text.lstrip("+-0")
        if not WHOLE_NUMBER.fullmatch(text) or len(digits) > _LONGEST_COUNT:
            return refuse(why_no_count(text))
        size = int(digits or "0")
        return _within(-size if text.startswith("-") else size, low, high, refuse)

    return read


def _within(value: int, low: float, high: float, refuse: Refuse) -> Judged:
    """Hold a count against its range as polars does: both as float64."""
    if SMALLEST_COUNT <= value <= LARGEST_COUNT and low <= float(value) <= high:
        return value
    return refuse("out-of-range")


def _number(column: Column, refuse: Refuse) -> Callable[[str], Judged]:
    low, high = limits(column)

    def read(text: str) -> Judged:
        if not PLAIN_NUMBER.fullmatch(text):
            return refuse(why_no_number(text))
        value = float(text)
        return value if low <= value <= high else refuse(_why_outside(value))

    return read


def _date(refuse: Refuse) -> Callable[[str], Judged]:
    def read(text: str) -> Judged:
        if _DATE.fullmatch(text):
            try:
                return dt.date.fromisoformat(text)
            except ValueError:
                pass  # a day that the calendar has not
        return refuse(why_no_date(text))

    return read


def _json_category(column: Column, rules: Normalise, refuse: Refuse) -> Callable[[object], Judged]:
    exact = {value: value for value in column.values}
    read_text = _category(column, rules, refuse)
    truth = column.values if column.kind == "binary" else None

    def read(raw: object) -> Judged:
        if isinstance(raw, str):
            return exact.get(raw) or read_text(raw.strip(_WHITE_SPACE) if rules.trim else raw)
        if truth is not None and isinstance(raw, bool):
            return truth[raw]
        return refuse("not-text")

    return read


def _json_count(column: Column, refuse: Refuse) -> Callable[[object], Judged]:
    low, high = limits(column)

    def read(raw: object) -> Judged:
        if isinstance(raw, bool) or not isinstance(raw, int | float):
            return refuse("not-a-number")
        if isinstance(raw, float):
            if not raw.is_integer():
                return refuse("not-whole" if math.isfinite(raw) else "not-finite")
            raw = int(raw)
        return _within(raw, low, high, refuse)

    return read


def _json_number(column: Column, refuse: Refuse) -> Callable[[object], Judged]:
    low, high = limits(column)

    def read(raw: object) -> Judged:
        if isinstance(raw, bool) or not isinstance(raw, int | float):
            return refuse("not-a-number")
        return float(raw) if low <= raw <= high else refuse(_why_outside(raw))

    return read


def _why_outside(value: float) -> str:
    # Compared, not converted: JSON bears whole numbers that no float holds.
    return "out-of-range" if -math.inf < value < math.inf else "not-finite"


def _json_date(column: Column, refuse: Refuse) -> Callable[[object], Judged]:
    read_text = _date(refuse)
    return lambda raw: read_text(raw) if isinstance(raw, str) else refuse("not-a-date")
