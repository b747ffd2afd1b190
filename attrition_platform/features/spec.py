"""Which features a model reads, in which order, and what each is."""

from __future__ import annotations

import hashlib
import json
from dataclasses import asdict, dataclass
from typing import Any, Literal, get_args

from attrition_platform.contracts.model import CATEGORICAL_KINDS, Contract

FeatureKind = Literal["category", "count", "number"]


@dataclass(frozen=True)
class FeatureSpec:
    """The columns of the matrix that a pipeline takes; stored beside every model.

    Attributes
    ----------
    names : tuple of str
        Feature of each matrix column.
    kinds : tuple of FeatureKind
        ``category``: a code from 0; ``count``: a whole number; ``number``: any finite number.
    n_categories : tuple of int
        How many codes a category has; 0 for the other kinds.
    source_columns : tuple of str
        Contract columns that the features are computed from, sorted.
    categories : tuple of tuple of str
        Values of each category in the order of their codes, empty for the other kinds. A model keeps
        them, so that a contract that later lists its values in another order can't shift the codes
        that the model reads. An empty tuple takes codes as they come.
    """

    names: tuple[str, ...]
    kinds: tuple[FeatureKind, ...]
    n_categories: tuple[int, ...]
    source_columns: tuple[str, ...]
    categories: tuple[tuple[str, ...], ...] = ()

    @property
    def digest(self) -> str:
        """sha256 of the spec's meaning."""
        return hashlib.sha256(json.dumps(self.as_json(), sort_keys=True).encode()).hexdigest()

    def positions(self, *kinds: FeatureKind) -> list[int]:
        """Matrix columns of the given kinds.

        >>> FeatureSpec(("a", "b"), ("count", "category"), (0, 3), ("a", "b")).positions("category")
        [1]
        """
        return [i for i, kind in enumerate(self.kinds) if kind in kinds]

    def as_json(self) -> dict[str, Any]:
        """Plain values for a JSON file."""
        return asdict(self)

    @classmethod
    def from_json(cls, values: dict[str, Any]) -> FeatureSpec:
        """Read what `as_json` wrote.

        Raises
        ------
        ValueError
            When the lists differ in length or a kind is unknown.
        """
        plain = {key: tuple(value) for key, value in values.items()}
        plain["categories"] = tuple(tuple(known) for known in plain.get("categories", ()))
        spec = cls(**plain)
        lengths = {len(spec.names), len(spec.kinds), len(spec.n_categories)}
        if len(lengths) != 1 or not set(spec.kinds) <= set(get_args(FeatureKind)):
            raise ValueError("These values are no feature spec.")
        if spec.categories and tuple(len(known) for known in spec.categories) != spec.n_categories:
            raise ValueError("These values are no feature spec.")
        return spec


def feature_spec(contract: Contract, exclude: frozenset[str] = frozenset()) -> FeatureSpec:
    """List the features of a contract, without those computed from an excluded column.

    Parameters
    ----------
    contract : Contract
        Declares columns and derived features.
    exclude : frozenset of str
        Canonical names of columns that the model may not read in any form.

    Examples
    --------
    >>> from attrition_platform.contracts.toml_file import shipped_contract
    >>> contract = shipped_contract()
    >>> set(feature_spec(contract).names) - set(feature_spec(contract, frozenset({"age"})).names)
    {'age'}
    """
    names: list[str] = []
    kinds: list[FeatureKind] = []
    categories: list[tuple[str, ...]] = []
    sources: set[str] = set()
    for name, column in contract.features.items():
        if name in exclude:
            continue
        category = column.kind in CATEGORICAL_KINDS
        names.append(name)
        kinds.append("category" if category else "count" if column.kind == "count" else "number")
        categories.append(column.values if category else ())
        sources.add(name)
    for name, derived in contract.derived.items():
        if exclude.isdisjoint(derived.of):
            names.append(name)
            kinds.append("number")
            categories.append(())
            sources.update(derived.of)
    return FeatureSpec(
        names=tuple(names),
        kinds=tuple(kinds),
        n_categories=tuple(len(known) for known in categories),
        source_columns=tuple(sorted(sources)),
        categories=tuple(categories),
    )
