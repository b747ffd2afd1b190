"""Random forest on codes and numbers; missing values go their own way in each tree."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, ClassVar

from attrition_platform.features.spec import FeatureSpec
from attrition_platform.modeling.families.family import Params, Suggest

if TYPE_CHECKING:
    from sklearn.pipeline import Pipeline

N_TREES = 64
TREES_PER_STAGE = 8
MAX_DEPTH = 12
ROWS_PER_TREE = 0.4


class RandomForest:
    """Strong where columns interact and little is known."""

    first_params: ClassVar[Mapping[str, Any]] = {"min_samples_leaf": 20, "max_features": 0.3}
    searchable = True

    def space(self, trial: Suggest) -> Params:
        """Draw the size of leaves and the share of columns per split."""
        return {
            "min_samples_leaf": trial.suggest_int("min_samples_leaf", 5, 60, log=True),
            "max_features": trial.suggest_float("max_features", 0.15, 0.5),
        }

    def build(self, spec: FeatureSpec, params: Mapping[str, Any], seed: int, n_jobs: int) -> Pipeline:
        """Build the pipeline; each tree sees two fifths of the rows."""
        from sklearn.ensemble import RandomForestClassifier
        from sklearn.pipeline import Pipeline

        model = RandomForestClassifier(
            n_estimators=N_TREES,
            max_depth=MAX_DEPTH,
            max_samples=ROWS_PER_TREE,
            random_state=seed,
            n_jobs=n_jobs,
            **params,
        )
        return Pipeline([("model", model)])

    def stages(self, params: Mapping[str, Any]) -> list[Params]:
        """Grow eight trees at a time."""
        sizes = range(TREES_PER_STAGE, N_TREES + 1, TREES_PER_STAGE)
        return [{"model__warm_start": True, "model__n_estimators": size} for size in sizes]

    def n_operations(self, spec: FeatureSpec, params: Mapping[str, Any]) -> int:
        """One comparison per level of each tree."""
        return N_TREES * MAX_DEPTH
