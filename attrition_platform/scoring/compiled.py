"""What every compiled model offers, and how it is written down.

A compiled model is what a fitted pipeline learned, as plain numbers: tables, pieces of curves, trees.
It needs no scikit-learn, holds no code, and scores one employee in microseconds. It is made when the
challenger is built, held against the pipeline (`parity`), signed and stored beside it; batch scoring,
the service and the command line all use it, so there is one code path from features to score.
"""

from __future__ import annotations

import json
import math
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, Literal, Protocol

if TYPE_CHECKING:
    import numpy as np

Link = Literal["logit", "identity"]
FORMAT = 1


class CompiledModel(Protocol):
    """A model as numbers.

    Attributes
    ----------
    link : Link
        ``logit``: the score is in log-odds; ``identity``: it is a probability.
    base : float
        Score of the average training employee, before any reason.
    n_features : int
        Length of the vectors that it takes.
    """

    @property
    def link(self) -> Link: ...

    @property
    def base(self) -> float: ...

    @property
    def n_features(self) -> int: ...

    def explain_one(self, x: Sequence[float]) -> tuple[float, Sequence[float]]:
        """Score one employee.

        Parameters
        ----------
        x : sequence of float of length n_features
            In the order of the feature spec; NaN where a value is missing.

        Returns
        -------
        score : float
        contributions : sequence of float of length n_features
            Signed; `base` plus their sum, added in this order, is the score.
        """
        ...

    def explain_rows(self, X: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Score many employees; each row gives the bits that `explain_one` gives.

        Parameters
        ----------
        X : ndarray of float64 of shape (n_employees, n_features)

        Returns
        -------
        scores : ndarray of shape (n_employees,)
        contributions : ndarray of shape (n_employees, n_features)
        """
        ...

    def as_json(self) -> dict[str, Any]:
        """Plain values; numbers repeat exactly when they are read again."""
        ...


def to_probability(score: float, link: Link) -> float:
    """Probability of a score; the logistic function for log-odds.

    Examples
    --------
    >>> to_probability(0.0, "logit"), to_probability(0.25, "identity"), to_probability(-800.0, "logit")
    (0.5, 0.25, 0.0)
    """
    if link == "identity":
        return score
    if score >= 0.0:
        return 1.0 / (1.0 + math.exp(-score))
    if score < -745.0:
        return 0.0
    small = math.exp(score)
    return small / (1.0 + small)


def to_probabilities(scores: np.ndarray, link: Link) -> np.ndarray:
    """Probabilities of many scores; they may differ from `to_probability` in the last bit of exp.

    Parameters
    ----------
    scores : ndarray of shape (n_employees,)
    """
    import numpy as np

    if link == "identity":
        return scores
    small = np.exp(-np.abs(scores))
    probabilities: np.ndarray = np.where(scores >= 0.0, 1.0, small) / (1.0 + small)
    return probabilities


def to_bytes(model: CompiledModel) -> bytes:
    """Write a compiled model; the same model gives the same bytes.

    Raises
    ------
    ValueError
        When it holds a number that is not finite.
    """
    return json.dumps({"format": FORMAT, **model.as_json()}, sort_keys=True, allow_nan=False).encode()


def from_bytes(data: bytes) -> CompiledModel:
    """Read what `to_bytes` wrote.

    Raises
    ------
    ValueError
        When it is no compiled model, or of another format.
    """
    from attrition_platform.scoring.additive import AdditiveModel
    from attrition_platform.scoring.trees import TreeEnsemble

    try:
        values = json.loads(data)
        if values.pop("format") != FORMAT:
            raise ValueError("another format")
        kind = values.pop("kind")
        if kind == "additive":
            return AdditiveModel.from_json(values)
        if kind == "trees":
            return TreeEnsemble.from_json(values)
    except (KeyError, TypeError, AttributeError, IndexError, ValueError) as error:
        raise ValueError(f"This is no compiled model ({type(error).__name__})") from error
    raise ValueError(f"A compiled model of kind '{kind}' is not known")
