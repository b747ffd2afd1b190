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
        A category is its position in the contract's list of values; missing is NaN.

    Examples
    --------
    >>> frame = pl.DataFrame({"level": ["Mid", None]}, schema={"level": pl.Enum(["Entry", "Mid"])})
    >>> to_matrix(frame, FeatureSpec(("level",), ("category",), (2,), ("level",))).tolist()
    [[1.0], [nan]]
    """
    matrix = np.empty((features.height, len(spec.names)), dtype=np.float64, order="F")
    for position, name in enumerate(spec.names):
        matrix[:, position] = features[name].to_physical().cast(pl.Float64).to_numpy()
    return matrix
