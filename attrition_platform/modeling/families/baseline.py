"""What any real model must beat: everyone gets the average risk."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, ClassVar

from attrition_platform.features.spec import FeatureSpec
from attrition_platform.modeling.families.family import Params, Suggest

if TYPE_CHECKING:
    from sklearn.pipeline import Pipeline


class Baseline:
    """The share of leavers as everyone's probability; ROC AUC 0.5 by construction."""

    first_params: ClassVar[Mapping[str, Any]] = {}
    searchable = False

    def space(self, trial: Suggest) -> Params:
        """Nothing to draw."""
        return {}

    def build(self, spec: FeatureSpec, params: Mapping[str, Any], seed: int, n_jobs: int) -> Pipeline:
        """Build the pipeline."""
        from sklearn.dummy import DummyClassifier
        from sklearn.pipeline import Pipeline

        return Pipeline([("model", DummyClassifier(strategy="prior"))])

    def stages(self, params: Mapping[str, Any]) -> list[Params]:
        """It does not grow."""
        return []

    def n_operations(self, spec: FeatureSpec, params: Mapping[str, Any]) -> int:
        """Nothing is computed."""
        return 0
