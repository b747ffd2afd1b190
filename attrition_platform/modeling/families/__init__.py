"""The model families that compete; adding one is a module here and its line below."""

from __future__ import annotations

from attrition_platform.modeling.families.baseline import Baseline
from attrition_platform.modeling.families.boosted_trees import BoostedTrees
from attrition_platform.modeling.families.family import Family
from attrition_platform.modeling.families.logistic_regression import SplineLogisticRegression
from attrition_platform.modeling.families.random_forest import RandomForest

FAMILIES: dict[str, Family] = {
    "baseline": Baseline(),
    "logistic_regression": SplineLogisticRegression(),
    "random_forest": RandomForest(),
    "boosted_trees": BoostedTrees(),
}
