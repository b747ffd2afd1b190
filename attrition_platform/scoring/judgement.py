"""From a probability to what people act on: the flag, the risk tier and the reasons, in plain words."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Literal

import msgspec
import numpy as np

from attrition_platform.contracts.model import Contract
from attrition_platform.modeling.policy import Tiers

if TYPE_CHECKING:
    from attrition_platform.features.spec import FeatureSpec

Tier = Literal["high", "medium", "low", "very low"]
Direction = Literal["raises", "lowers"]
TIERS: tuple[Tier, ...] = ("high", "medium", "low", "very low")
# The threshold can be somebody's own probability (a capacity is a share of employees), and another
# route to the same score may differ in its last bit: no one's flag may hang on that.
SLACK = 1e-12


class Reason(msgspec.Struct, frozen=True):
    """One feature's part in one score.

    Attributes
    ----------
    feature : str
        Name in the feature spec.
    label : str
        In plain words, from the contract.
    contribution : float
        Signed, in the units of the score (log-odds, or probability for a forest).
    direction : Direction
        Whether it raises or lowers the risk.
    """

    feature: str
    label: str
    contribution: float
    direction: Direction

    @property
    def text(self) -> str:
        """As a sentence.

        >>> Reason("overtime", "Overtime", 0.4, "raises").text
        'Overtime raises the risk'
        """
        return f"{self.label} {self.direction} the risk"


def is_flagged(probability: float, threshold: float) -> bool:
    """Whether an employee is flagged: from the threshold on.

    >>> is_flagged(0.5, 0.5), is_flagged(0.5 - 1e-16, 0.5), is_flagged(0.49, 0.5)
    (True, True, False)
    """
    return probability >= threshold - SLACK


def tier_of(probability: float, tiers: Tiers) -> Tier:
    """Risk tier of a probability.

    >>> [tier_of(p, Tiers()) for p in (0.9, 0.65, 0.5, 0.3, 0.1)]
    ['high', 'high', 'medium', 'low', 'very low']
    """
    if probability >= tiers.high - SLACK:
        return "high"
    if probability >= tiers.medium - SLACK:
        return "medium"
    return "low" if probability >= tiers.low - SLACK else "very low"


def tier_codes(probabilities: np.ndarray, tiers: Tiers) -> np.ndarray:
    """Position in `TIERS` of many probabilities.

    >>> tier_codes(np.array([0.9, 0.5, 0.3, 0.1]), Tiers()).tolist()
    [0, 1, 2, 3]
    """
    cuts = np.array([tiers.low, tiers.medium, tiers.high]) - SLACK
    return 3 - cuts.searchsorted(probabilities, side="right")


def feature_labels(spec: FeatureSpec, contract: Contract) -> tuple[str, ...]:
    """Each feature in plain words; its name with blanks where the contract has no label."""
    labels: Mapping[str, str] = {
        **{name: column.label for name, column in contract.columns.items()},
        **{name: derived.label for name, derived in contract.derived.items()},
    }
    return tuple(labels.get(name) or name.replace("_", " ").capitalize() for name in spec.names)


def top_reasons(
    contributions: Sequence[float], names: Sequence[str], labels: Sequence[str], n: int
) -> list[Reason]:
    """The features that moved a score most, the strongest first; none that did not move it.

    Parameters
    ----------
    contributions : sequence of float of length n_features
    names, labels : sequence of str
        Of the features, in the same order.
    n : int
        How many at most.

    Examples
    --------
    >>> [r.text for r in top_reasons([0.1, -0.7, 0.0], ["a", "b", "c"], ["Pay", "Role", "Age"], 3)]
    ['Role lowers the risk', 'Pay raises the risk']
    """
    sizes = [-abs(contribution) for contribution in contributions]
    order = sorted(range(len(sizes)), key=sizes.__getitem__)[:n]
    return [
        Reason(names[i], labels[i], contributions[i], "raises" if contributions[i] > 0 else "lowers")
        for i in order
        if contributions[i] != 0
    ]


def top_positions(contributions: np.ndarray, n: int) -> np.ndarray:
    """Features that moved each score most, the strongest first; equal ones in the spec's order.

    Parameters
    ----------
    contributions : ndarray of shape (n_employees, n_features)
    n : int

    Returns
    -------
    ndarray of int of shape (n_employees, min(n, n_features))

    Examples
    --------
    >>> top_positions(np.array([[0.1, -0.7, 0.0], [0.2, 0.2, -0.1]]), 2).tolist()
    [[1, 0], [0, 1]]
    """
    left = np.abs(contributions)
    rows = np.arange(len(left))
    found = np.empty((len(left), min(n, left.shape[1])), dtype=np.intp)
    for place in range(found.shape[1]):  # a few passes beat sorting every row
        found[:, place] = left.argmax(axis=1)
        left[rows, found[:, place]] = -1.0
    return found
