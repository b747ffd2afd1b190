"""The features of one employee in plain Python, bit for bit those that training made with polars.

A frame of one row costs a hundred times the arithmetic on it. Here each feature is a prepared
function of the employee's values, with the same operations in the same order as `compute_group`,
laid out as `to_matrix` does. Property tests compare the bytes of both.
"""

from __future__ import annotations

import datetime as dt
import math
from collections.abc import Callable, Mapping
from typing import Any

from attrition_platform.contracts.model import CATEGORICAL_KINDS, Contract, Derived
from attrition_platform.contracts.rows import LARGEST_NUMBER
from attrition_platform.features.spec import FeatureKind, FeatureSpec

_EPOCH = dt.date(1970, 1, 1).toordinal()
_NAN = math.nan

Values = Mapping[str, Any]
_Make = Callable[[Values], float]


class RowMaker:
    """Makes the feature vector that one model takes.

    Parameters
    ----------
    contract : Contract
        Declares columns and derived features.
    spec : FeatureSpec
        Names, kinds and order of the features, and the categories as the model knows them.

    Raises
    ------
    ValueError
        If the contract has no such feature, or has it as another kind than the model.

    Examples
    --------
    >>> from attrition_platform.contracts.toml_file import shipped_contract
    >>> spec = FeatureSpec(("job_level", "age"), ("category", "count"), (2, 0), ("age", "job_level"),
    ...                    (("Senior", "Mid"), ()))
    >>> RowMaker(shipped_contract(), spec).vector({"job_level": "Mid", "age": 40})
    [1.0, 40.0]
    """

    def __init__(self, contract: Contract, spec: FeatureSpec) -> None:
        known = spec.categories or ((),) * len(spec.names)
        self._makers = tuple(
            _maker(contract, name, kind, categories)
            for name, kind, categories in zip(spec.names, spec.kinds, known, strict=True)
        )

    def vector(self, values: Values) -> list[float]:
        """Lay one employee out as numbers.

        Parameters
        ----------
        values : mapping of str to object
            Every column that the features are computed from, such as `Employee.values`.

        Returns
        -------
        list of float of length n_features
            In the spec's order: a category is its position in the spec's list, a date days since
            1970-01-01, a derived feature missing where it is beyond `LARGEST_NUMBER`. Missing is NaN.

        Raises
        ------
        KeyError
            If a column is absent; a missing value is None, and forgetting one is an error.
        """
        return [make(values) for make in self._makers]


def _maker(contract: Contract, name: str, kind: FeatureKind, categories: tuple[str, ...]) -> _Make:
    if name in contract.derived and kind != "category":
        return _DERIVE[contract.derived[name].how](contract.derived[name])
    column = contract.features.get(name)
    if column is None or (column.kind in CATEGORICAL_KINDS) != (kind == "category"):
        raise ValueError(f"Contract '{contract.name}' has no feature '{name}' of kind '{kind}'.")
    if column.kind == "date":
        return _days(name)
    return _code(name, categories or column.values) if kind == "category" else _number(name)


def _code(name: str, categories: tuple[str, ...]) -> _Make:
    codes = {value: float(position) for position, value in enumerate(categories)}
    return lambda values: codes.get(values[name], _NAN)


def _number(name: str) -> _Make:
    def make(values: Values) -> float:
        value = values[name]
        return _NAN if value is None else float(value)

    return make


def _days(name: str) -> _Make:
    def make(values: Values) -> float:
        value = values[name]
        return _NAN if value is None else float(value.toordinal() - _EPOCH)

    return make


def _ratio(derived: Derived) -> _Make:
    first, second = derived.of[:2]

    def make(values: Values) -> float:
        above, below = values[first], values[second]
        if above is None or not below:  # missing, or 0 of either sign
            return _NAN
        value = float(above) / float(below)
        return value if abs(value) <= LARGEST_NUMBER else _NAN

    return make


def _difference(derived: Derived) -> _Make:
    first, second = derived.of[:2]

    def make(values: Values) -> float:
        left, right = values[first], values[second]
        if left is None or right is None:
            return _NAN
        value = float(left) - float(right)
        return value if abs(value) <= LARGEST_NUMBER else _NAN

    return make


def _sum(derived: Derived) -> _Make:
    first, *others = derived.of

    def make(values: Values) -> float:
        total = values[first]
        if total is None:
            return _NAN
        total = float(total)
        for name in others:  # from left to right: floating-point sums depend on their order
            part = values[name]
            if part is None:
                return _NAN
            total += float(part)
        return total if abs(total) <= LARGEST_NUMBER else _NAN

    return make


_DERIVE: dict[str, Callable[[Derived], _Make]] = {"ratio": _ratio, "difference": _difference, "sum": _sum}
