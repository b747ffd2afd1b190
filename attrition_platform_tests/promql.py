"""Which series and labels a PromQL expression reads."""

from __future__ import annotations

import re
from dataclasses import dataclass

_FUNCTIONS = {"rate", "increase", "sum", "count", "max", "min", "histogram_quantile", "time", "absent", "avg"}
_WORDS = {"and", "or", "unless", "by", "without", "on", "ignoring", "offset", "bool"}
_GROUPING = re.compile(r"\b(by|without|on|ignoring)\s*\(([^)]*)\)")
_SELECTOR = re.compile(r"([a-zA-Z_:][a-zA-Z0-9_:]*)\s*(\{[^}]*\})?")
_NUMBER = re.compile(r"(?<![a-zA-Z0-9_])[0-9.]+(?:[a-z]+)?")


@dataclass(frozen=True)
class Read:
    """Series by name with the labels that its selector names, and the labels that results are grouped by."""

    series: dict[str, frozenset[str]]
    grouped_by: frozenset[str]


def read_by(expression: str) -> Read:
    """Take an expression apart; a word that is neither a known function nor a series counts as a series.

    >>> found = read_by('sum by (le) (rate(x_bucket{arm="a", v!~"b"}[5m])) / 2 > up')
    >>> sorted(found.series), sorted(found.series["x_bucket"]), sorted(found.grouped_by)
    (['up', 'x_bucket'], ['arm', 'v'], ['le'])
    """
    text = re.sub(r"\"[^\"]*\"", '""', expression)  # values of labels may hold anything
    grouped = {
        name.strip() for _, names in _GROUPING.findall(text) for name in names.split(",") if name.strip()
    }
    text = re.sub(r"\[[^\]]*\]", "", _GROUPING.sub(" ", text))
    text = _NUMBER.sub(" ", text)
    series: dict[str, frozenset[str]] = {}
    for name, braces in _SELECTOR.findall(text):
        if name in _FUNCTIONS or name in _WORDS:
            continue
        labels = frozenset(re.findall(r"([a-zA-Z_]+)\s*(?:=~|!~|!=|=)", braces))
        series[name] = series.get(name, frozenset()) | labels
    return Read(series, frozenset(grouped))
