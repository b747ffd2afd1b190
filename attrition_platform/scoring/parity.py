"""Whether a compiled model says what the pipeline says that it was compiled from."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from attrition_platform.scoring.compiled import CompiledModel, to_probabilities

if TYPE_CHECKING:
    from sklearn.pipeline import Pipeline

MAX_ROWS_ONE_BY_ONE = 200


def parity_gap(compiled: CompiledModel, pipeline: Pipeline, X: np.ndarray) -> float:
    """Largest difference in probability between a pipeline and its compiled form.

    Parameters
    ----------
    X : ndarray of shape (n_employees, n_features)
        Employees, made-up ones with missing values among them.

    Returns
    -------
    float
        0 is ideal, rounding alone gives some 1e-15. Infinity when a probability is not finite, or when
        scoring one by one gives other bits than scoring many (of up to 200 rows, taken evenly).
    """
    scores, contributions = compiled.explain_rows(X)
    gaps = np.abs(to_probabilities(scores, compiled.link) - pipeline.predict_proba(X)[:, 1])
    if not np.isfinite(gaps).all():
        return float("inf")
    for row in np.unique(np.linspace(0, len(X) - 1, MAX_ROWS_ONE_BY_ONE).astype(int)).tolist():
        score, own = compiled.explain_one(X[row].tolist())
        if score != scores[row] or list(own) != contributions[row].tolist():
            return float("inf")
    return float(gaps.max(initial=0.0))
