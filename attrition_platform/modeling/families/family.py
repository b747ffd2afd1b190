"""What a model family must say of itself."""

from __future__ import annotations

import warnings
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, Protocol

from attrition_platform.features.spec import FeatureSpec

if TYPE_CHECKING:
    import numpy as np
    from sklearn.pipeline import Pipeline

Params = dict[str, Any]


class Suggest(Protocol):
    """The part of an Optuna trial that a family uses."""

    def suggest_float(self, name: str, low: float, high: float, *, log: bool = False) -> float: ...

    def suggest_int(self, name: str, low: int, high: int, *, log: bool = False) -> int: ...

    def suggest_categorical(self, name: str, choices: Any) -> Any: ...


class Family(Protocol):
    """A kind of model with its search space.

    Attributes
    ----------
    first_params : mapping
        Good settings to try first; the search goes on from there.
    searchable : bool
        False for a family with nothing to tune.
    """

    @property
    def first_params(self) -> Mapping[str, Any]: ...

    @property
    def searchable(self) -> bool: ...

    def space(self, trial: Suggest) -> Params:
        """Draw one setting."""
        ...

    def build(self, spec: FeatureSpec, params: Mapping[str, Any], seed: int, n_jobs: int) -> Pipeline:
        """Build an unfitted pipeline over the spec's matrix; NaN and unseen codes are allowed."""
        ...

    def stages(self, params: Mapping[str, Any]) -> list[Params]:
        """List the settings of growing models on the way to the full one; empty if it can't grow."""
        ...

    def n_operations(self, spec: FeatureSpec, params: Mapping[str, Any]) -> int:
        """Estimate the additions and comparisons that score one row: a latency that always repeats."""
        ...


def fit_quietly(pipeline: Pipeline, X: np.ndarray, y_true: np.ndarray) -> Pipeline:
    """Fit without the warnings that a count has few values or one; the feature checks tell of those."""
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message="Bins whose width are too small")
        warnings.filterwarnings("ignore", message="Feature .* is constant and will be replaced")
        return pipeline.fit(X, y_true)
