"""Small fitted models of each family, and made-up employees, for the tests of modeling."""

from __future__ import annotations

from functools import lru_cache
from typing import Any

import numpy as np

from attrition_platform.features.spec import FeatureSpec
from attrition_platform.modeling.families import FAMILIES
from attrition_platform.modeling.families.family import fit_quietly
from attrition_platform.scoring.compiled import CompiledModel
from attrition_platform.scoring.pipelines import compile_pipeline

SPEC = FeatureSpec(
    names=("level", "promotions", "pay"),
    kinds=("category", "count", "number"),
    n_categories=(4, 0, 0),
    source_columns=("level", "pay", "promotions"),
)


def make_employees(n_rows: int = 1_500, seed: int = 5) -> tuple[np.ndarray, np.ndarray]:
    """Matrix and label of employees who leave more at a low level and low pay."""
    rng = np.random.default_rng(seed)
    level, promotions = rng.integers(0, 4, n_rows), rng.integers(0, 5, n_rows)
    pay = rng.normal(5.0, 2.0, n_rows)
    left = rng.random(n_rows) < 1 / (1 + np.exp(1.5 * level + 0.5 * pay - 4.5))
    X = np.column_stack([level, promotions, pay]).astype(np.float64)
    X[::13, 2] = np.nan
    return X, left


@lru_cache(maxsize=16)
def fit_family(family: str, n_jobs: int = 1, n_rows: int = 1_500) -> Any:
    """A fitted pipeline of the family at its first settings."""
    X, left = make_employees(n_rows)
    pipeline = FAMILIES[family].build(SPEC, FAMILIES[family].first_params, 7, n_jobs)
    return fit_quietly(pipeline, X, left)


@lru_cache(maxsize=16)
def compile_family(family: str) -> CompiledModel:
    """The compiled form of `fit_family`."""
    return compile_pipeline(fit_family(family), SPEC, make_employees()[0])
