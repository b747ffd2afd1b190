"""Logistic regression on one-hot categories, binned counts and splines of numeric columns."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np

from attrition_platform.features.spec import FeatureSpec
from attrition_platform.modeling.families.family import Params, Suggest

if TYPE_CHECKING:
    from sklearn.pipeline import Pipeline

MISSING_CODE = -1
N_BINS = 20


class SplineLogisticRegression:
    """Additive and easy to explain; the strongest family where the truth is additive."""

    first_params: ClassVar[Mapping[str, Any]] = {"C": 0.3, "n_knots": 5}
    searchable = True

    def space(self, trial: Suggest) -> Params:
        """Draw the strength of regularisation and the flexibility of the splines."""
        return {
            "C": trial.suggest_float("C", 0.01, 10.0, log=True),
            "n_knots": trial.suggest_int("n_knots", 3, 9),
        }

    def build(self, spec: FeatureSpec, params: Mapping[str, Any], seed: int, n_jobs: int) -> Pipeline:
        """Build the pipeline.

        A missing category is a category of its own, an unseen code counts as none. A count gets a
        step function (at most 20 quantile bins) beside its spline; a missing number is filled with
        the median and flagged.
        """
        from sklearn.compose import ColumnTransformer
        from sklearn.impute import MissingIndicator, SimpleImputer
        from sklearn.linear_model import LogisticRegression
        from sklearn.pipeline import Pipeline, make_pipeline
        from sklearn.preprocessing import KBinsDiscretizer, OneHotEncoder, SplineTransformer

        categories, counts = spec.positions("category"), spec.positions("count")
        numeric = spec.positions("count", "number")
        codes = [np.arange(MISSING_CODE, spec.n_categories[i], dtype=np.float64) for i in categories]
        parts: list[tuple[str, Any, list[int]]] = []
        if categories:
            one_hot = OneHotEncoder(categories=codes, handle_unknown="ignore", sparse_output=False)
            fill = SimpleImputer(strategy="constant", fill_value=MISSING_CODE, keep_empty_features=True)
            parts.append(("category", make_pipeline(fill, one_hot), categories))
        if counts:
            bins = KBinsDiscretizer(
                n_bins=N_BINS,
                encode="onehot-dense",
                strategy="quantile",
                quantile_method="averaged_inverted_cdf",
                subsample=None,
            )
            parts.append(("bins", make_pipeline(_median(), bins), counts))
        if numeric:
            splines = SplineTransformer(n_knots=params["n_knots"], knots="uniform", extrapolation="constant")
            parts.append(("spline", make_pipeline(_median(), splines), numeric))
            parts.append(("missing", MissingIndicator(features="all"), numeric))
        model = LogisticRegression(C=params["C"], solver="newton-cholesky", max_iter=100)
        return Pipeline([("columns", ColumnTransformer(parts)), ("model", model)])

    def stages(self, params: Mapping[str, Any]) -> list[Params]:
        """It converges in a few Newton steps, so there is nothing to stop early."""
        return []

    def n_operations(self, spec: FeatureSpec, params: Mapping[str, Any]) -> int:
        """One addition per category, bin and missing flag; four per spline (cubic)."""
        n_numeric = len(spec.positions("count", "number"))
        return len(spec.positions("category")) + len(spec.positions("count")) + 5 * n_numeric


def _median() -> Any:
    from sklearn.impute import SimpleImputer

    return SimpleImputer(strategy="median", keep_empty_features=True)
