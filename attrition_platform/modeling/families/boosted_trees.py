"""Gradient-boosted trees on histograms, additive stumps included."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, ClassVar

from attrition_platform.features.spec import FeatureSpec
from attrition_platform.modeling.families.family import Params, Suggest

if TYPE_CHECKING:
    from sklearn.pipeline import Pipeline

N_ITERATIONS = 200
ITERATIONS_PER_STAGE = 25
MAX_CATEGORIES = 255


class BoostedTrees:
    """Strong on most tables; with two leaves per tree the model is a sum over single columns."""

    first_params: ClassVar[Mapping[str, Any]] = {
        "learning_rate": 0.15,
        "max_leaf_nodes": 2,
        "l2_regularization": 1.0,
    }
    searchable = True

    def space(self, trial: Suggest) -> Params:
        """Draw the step size, the size of trees (2 leaves: a stump) and regularisation."""
        return {
            "learning_rate": trial.suggest_float("learning_rate", 0.05, 0.4, log=True),
            "max_leaf_nodes": trial.suggest_categorical("max_leaf_nodes", [2, 4, 8, 16]),
            "l2_regularization": trial.suggest_float("l2_regularization", 0.01, 30.0, log=True),
        }

    def build(self, spec: FeatureSpec, params: Mapping[str, Any], seed: int, n_jobs: int) -> Pipeline:
        """Build the pipeline; a category beyond the histogram's 255 codes is treated as a number.

        A missing number becomes the median, with a flag where the training rows have missing ones:
        scikit-learn's histograms refuse a column that has no value at all.
        """
        from sklearn.compose import ColumnTransformer
        from sklearn.ensemble import HistGradientBoostingClassifier
        from sklearn.impute import SimpleImputer
        from sklearn.pipeline import Pipeline

        categories = [i for i in spec.positions("category") if spec.n_categories[i] <= MAX_CATEGORIES]
        numbers = [i for i in range(len(spec.names)) if i not in categories]
        fill = SimpleImputer(strategy="median", keep_empty_features=True, add_indicator=True)
        columns = ColumnTransformer([("category", "passthrough", categories), ("number", fill, numbers)])
        model = HistGradientBoostingClassifier(
            max_iter=N_ITERATIONS,
            early_stopping=False,
            random_state=seed,
            categorical_features=list(range(len(categories))) or None,
            **params,
        )
        return Pipeline([("columns", columns), ("model", model)])

    def stages(self, params: Mapping[str, Any]) -> list[Params]:
        """Add 25 trees at a time."""
        sizes = range(ITERATIONS_PER_STAGE, N_ITERATIONS + 1, ITERATIONS_PER_STAGE)
        return [{"model__warm_start": True, "model__max_iter": size} for size in sizes]

    def n_operations(self, spec: FeatureSpec, params: Mapping[str, Any]) -> int:
        """About log2(leaves) comparisons per tree."""
        return N_ITERATIONS * max(1, int(params["max_leaf_nodes"]).bit_length() - 1)
