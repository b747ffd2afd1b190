"""Find out how an extract without a contract writes its numbers."""

from __future__ import annotations

import re

import polars as pl

from attrition_platform.contracts.model import Source
from attrition_platform.contracts.rows import plain_number

# As NUMBER, for polars, where a digit would be one of any script.
_NUMBER = r"^[+-]?([0-9]+(\.[0-9]*)?|\.[0-9]+)([eE][+-]?[0-9]+)?$"
NUMBER = re.compile(r"[+-]?(\d+(\.\d*)?|\.\d+)([eE][+-]?\d+)?", re.ASCII)
_WITH_SIGN = re.compile(r"[+-]?[$€£¥]? ?[+-]?\d[\d.,' ]*( ?[%$€£¥kK])?", re.ASCII)
# The plain form comes first: an extract that needs no separators declares none.
_FORMATS = (
    Source(),
    Source(thousands=","),
    Source(decimal=",", thousands="."),
    Source(decimal=",", thousands=" "),
    Source(decimal=",", thousands="'"),
    Source(thousands="'"),
    Source(thousands=" "),
)


def find_number_format(columns: dict[str, pl.Series]) -> tuple[Source, dict[str, pl.Series]]:
    """Choose the separators under which most columns are numbers, and none stops to be one.

    Parameters
    ----------
    columns : dict of str to Series
        Trimmed texts by header; null where the cell is missing.

    Returns
    -------
    Source
        With `decimal` and `thousands`; the plain form where no other one makes more of the extract.
    dict of str to Series
        The columns that are numbers, in the plain form; empty where the extract writes that form.

    Examples
    --------
    >>> extract = {"Pay": pl.Series(["1.200,50", "900,00"]), "Age": pl.Series(["31", "45"])}
    >>> source, plain = find_number_format(extract)
    >>> (source.decimal, source.thousands), plain["Pay"].to_list()
    ((',', '.'), ['1200.50', '900.00'])
    """
    numbers = {name: _numbers_under(text) for name, text in columns.items()}
    usual = {name for name, formats in numbers.items() if 0 in formats}
    best = 0
    for position in range(1, len(_FORMATS)):
        fitting = {name for name, formats in numbers.items() if position in formats}
        if usual <= fitting and len(fitting) > sum(best in formats for formats in numbers.values()):
            best = position
    source = _FORMATS[best]
    if best == 0:
        return source, {}
    # A column that the plain form would have read too is among them: "1.234" is now a thousand.
    changed = [name for name, formats in numbers.items() if best in formats]
    return source, {name: plain_number(columns[name], source) for name in changed}


def numbers_with_a_sign(texts: list[str]) -> bool:
    """Whether all texts are numbers but for a currency or per cent sign, which no contract reads.

    >>> numbers_with_a_sign(["12 %", "5 %"]), numbers_with_a_sign(["$1,200"]), numbers_with_a_sign(["E12"])
    (True, True, False)
    """
    signed = any(not text[-1].isdigit() or text.lstrip("+-")[0] in "$€£¥" for text in texts)
    return signed and all(_WITH_SIGN.fullmatch(text) for text in texts)


def _numbers_under(text: pl.Series) -> set[int]:
    """Positions of the formats under which every text is a number."""
    distinct = text.drop_nulls().unique()
    if distinct.is_empty() or not distinct.str.contains("^[+-]?[0-9.]").all():
        return set()
    return {
        position
        for position, source in enumerate(_FORMATS)
        if plain_number(distinct, source).str.contains(_NUMBER).all()
    }
