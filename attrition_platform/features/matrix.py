"""Features as the matrix that a pipeline takes."""

from __future__ import annotations

import numpy as np
import polars as pl

from attrition_platform.features.spec import FeatureSpec


def to_matrix(features: pl.DataFrame, spec: FeatureSpec) -> np.ndarray:
    """Lay features out as numbers.

    Parameters
    ----------
    features : DataFrame
        At least the features of the spec, in any order.
    spec : FeatureSpec
        Names and order.

    Returns
    -------
    ndarray of float64 of shape (n_employees, n_features)
        A category is its position in the spec's list of values, whatever the order of the frame's own
        list; a value that the spec does not know counts as missing. Missing is NaN.

    Examples
    --------
    >>> frame = pl.DataFrame({"level": ["Mid", None]}, schema={"level": pl.Enum(["Entry", "Mid"])})
    >>> to_matrix(frame, FeatureSpec(("level",), ("category",), (2,), ("level",))).tolist()
    [[1.0], [nan]]
    """
    matrix = np.empty((features.height, len(spec.names)), dtype=np.float64, order="F")
    for position, name in enumerate(spec.names):
        column = features[name]
        if spec.kinds[position] == "category" and spec.categories:
            column = _recode(column, spec.categories[position])
        matrix[:, position] = column.to_physical().cast(pl.Float64).to_numpy()
    return matrix


def _recode(column: pl.Series, categories: tuple[str, ...]) -> pl.Series:
    wanted = pl.Enum(categories)
    if column.dtype == wanted:
        return column
    return column.cast(pl.String).cast(wanted, strict=False)
