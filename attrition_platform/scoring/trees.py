"""Ensembles of trees whose splits interact: boosted trees with more than two leaves, random forests.

A row's leaf in every tree is found at once: by bit vectors where trees are small (QuickScorer,
Lucchese et al., SIGIR 2015: every false node strikes out the leaves of its left side, and the first
leaf that is left is the one), by walking down all trees together where they are large. The score and
the contributions then are sums over one table. A contribution is the change of the expected score
along the path, credited to the feature that was split on (Saabas 2014): it adds up exactly and costs
one look-up, but it favours features near the root a little more than Shapley values would.
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from functools import cached_property
from typing import Any, Literal, Self, get_args

import numpy as np

from attrition_platform.scoring.compiled import Link

MAX_BIT_LEAVES = 64
_CHUNK_ROWS = 4_096
ColumnKind = Literal["code", "number", "single", "is-missing"]


@dataclass(frozen=True)
class Column:
    """What the trees split on, made from one feature.

    Attributes
    ----------
    feature : int
        Position in the feature spec.
    kind : ColumnKind
        ``number``: the value itself; ``single``: rounded to single precision first, as forests do;
        ``code``: a category's code; ``is-missing``: 1 where the value is missing, else 0.
    fill : float or None
        What stands for a missing value; None leaves it missing.
    """

    feature: int
    kind: ColumnKind
    fill: float | None = None


@dataclass(frozen=True)
class Tree:
    """One tree as lists over its nodes; node 0 is the root.

    Attributes
    ----------
    column : list of int
        Column of the split; -1 for a leaf.
    threshold : list of float
        A value up to this goes left; ignored for categories and leaves.
    left_codes : list of (list of int or None)
        Codes that go left, where the split is on a category.
    missing_left : list of bool
        Which way a missing value goes, or a code that was not known at training.
    left, right : list of int
        Nodes; 0 for a leaf.
    value : list of float
        Expected score at the node over the training employees.
    """

    column: list[int]
    threshold: list[float]
    left_codes: list[list[int] | None]
    missing_left: list[bool]
    left: list[int]
    right: list[int]
    value: list[float]


class TreeEnsemble:
    """A base and trees; see `compiled.CompiledModel`.

    Parameters
    ----------
    link : Link
    offset : float
        Added to the sum of the trees.
    scale : float
        Factor of every tree's value: 1 for boosting, 1 over the number of trees for a forest.
    columns : sequence of Column
    trees : sequence of Tree
    n_features : int
    """

    def __init__(
        self,
        link: Link,
        offset: float,
        scale: float,
        columns: Sequence[Column],
        trees: Sequence[Tree],
        n_features: int,
    ) -> None:
        self._link: Link = link
        self.offset = offset
        self.scale = scale
        self.columns = tuple(columns)
        self.trees = tuple(trees)
        self._n_features = n_features
        self._base = offset + scale * float(np.sum([tree.value[0] for tree in trees]))

    @property
    def link(self) -> Link:
        """Log-odds for boosting, probability for a forest."""
        return self._link

    @property
    def base(self) -> float:
        """Score of the average training employee."""
        return self._base

    @property
    def n_features(self) -> int:
        """Length of the vectors that it takes."""
        return self._n_features

    def explain_one(self, x: Sequence[float]) -> tuple[float, Sequence[float]]:
        """Score one employee; see `compiled.CompiledModel`."""
        leaves = self._finder.leaves_of_one([self._column_of_one(column, x) for column in self.columns])
        # Rows are added one after the other, as below, so that both give the same bits.
        contributions: list[float] = self._table.take(leaves, axis=0).sum(axis=0).tolist()
        score = self._base
        for contribution in contributions:
            score += contribution
        return score, contributions

    def explain_rows(self, X: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Score many employees; see `compiled.CompiledModel`."""
        scores, contributions = np.empty(len(X)), np.empty((len(X), self._n_features))
        for start in range(0, len(X), _CHUNK_ROWS):
            rows = slice(start, start + _CHUNK_ROWS)
            scores[rows], contributions[rows] = self._explain(np.asarray(X[rows], dtype=np.float64))
        return scores, contributions

    def _explain(self, X: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        leaves = self._finder.leaves(self._columns_of(X))
        contributions = np.zeros((len(X), self._n_features))
        for tree in range(leaves.shape[1]):
            contributions += self._table[leaves[:, tree]]
        scores = np.full(len(X), self._base)
        for position in range(self._n_features):
            scores += contributions[:, position]
        return scores, contributions

    def _columns_of(self, X: np.ndarray) -> np.ndarray:
        Z = np.empty((len(X), len(self.columns)))
        for position, column in enumerate(self.columns):
            x = X[:, column.feature]
            if column.kind == "is-missing":
                Z[:, position] = np.isnan(x)
                continue
            if column.fill is not None:
                x = np.where(np.isnan(x), column.fill, x)
            Z[:, position] = x.astype(np.float32) if column.kind == "single" else x
        return Z

    @staticmethod
    def _column_of_one(column: Column, x: Sequence[float]) -> float:
        value = x[column.feature]
        if value != value:
            if column.kind == "is-missing":
                return 1.0
            return value if column.fill is None else column.fill
        if column.kind == "is-missing":
            return 0.0
        return float(np.float32(value)) if column.kind == "single" else value

    @cached_property
    def _leaf_nodes(self) -> list[list[int]]:
        """Leaves of each tree from left to right."""
        return [_leaves_below(tree, 0) for tree in self.trees]

    @cached_property
    def _table(self) -> np.ndarray:
        """Contributions of every leaf of every tree, shape (n_leaves, n_features)."""
        rows = []
        for tree, leaves in zip(self.trees, self._leaf_nodes, strict=True):
            paths = _paths(tree, [column.feature for column in self.columns], self._n_features)
            rows += [paths[leaf] for leaf in leaves]
        return np.array(rows) * self.scale

    @cached_property
    def _finder(self) -> _BitVectors | _Walk:
        most = max(len(leaves) for leaves in self._leaf_nodes)
        if most <= MAX_BIT_LEAVES:
            return _BitVectors(self.trees, self._leaf_nodes, len(self.columns))
        return _Walk(self.trees, self._leaf_nodes)

    def as_json(self) -> dict[str, Any]:
        """Plain values."""
        return {
            "kind": "trees",
            "link": self._link,
            "offset": self.offset,
            "scale": self.scale,
            "n_features": self._n_features,
            "columns": [asdict(column) for column in self.columns],
            "trees": [asdict(tree) for tree in self.trees],
        }

    @classmethod
    def from_json(cls, values: dict[str, Any]) -> Self:
        """Read what `as_json` wrote; KeyError, TypeError or ValueError where it is none."""
        trees = [Tree(**tree) for tree in values["trees"]]
        columns = [Column(**column) for column in values["columns"]]
        n_features = int(values["n_features"])
        if values["link"] not in get_args(Link) or not trees:
            raise ValueError("An ensemble's parts do not fit together")
        if any(c.kind not in get_args(ColumnKind) or not 0 <= c.feature < n_features for c in columns):
            raise ValueError("An ensemble's parts do not fit together")
        for tree in trees:
            _check_tree(tree, len(columns))
        return cls(
            values["link"], float(values["offset"]), float(values["scale"]), columns, trees, n_features
        )


def _check_tree(tree: Tree, n_columns: int) -> None:
    """A child has a greater number than its parent, so no walk is endless."""
    n = len(tree.column)
    if not n or {len(part) for part in asdict(tree).values()} != {n}:
        raise ValueError("A tree's lists differ in length")
    for node, column in enumerate(tree.column):
        inner = 0 <= column < n_columns
        if not inner and column != -1:
            raise ValueError("A tree splits on no column")
        if inner and not (node < tree.left[node] < n and node < tree.right[node] < n):
            raise ValueError("A tree's children do not follow it")


def _leaves_below(tree: Tree, node: int) -> list[int]:
    if tree.column[node] < 0:
        return [node]
    return _leaves_below(tree, tree.left[node]) + _leaves_below(tree, tree.right[node])


def _paths(tree: Tree, features: Sequence[int], n_features: int) -> dict[int, np.ndarray]:
    """Contributions by leaf: what each split on the way changed the expected score by."""
    found = {}
    todo = [(0, np.zeros(n_features))]
    while todo:
        node, contributions = todo.pop()
        column = tree.column[node]
        if column < 0:
            found[node] = contributions
            continue
        for child in (tree.left[node], tree.right[node]):
            moved = contributions.copy()
            moved[features[column]] += tree.value[child] - tree.value[node]
            todo.append((child, moved))
    return found


class _BitVectors:
    """Finds leaves by striking out those that a false node rules out."""

    def __init__(self, trees: Sequence[Tree], leaf_nodes: Sequence[Sequence[int]], n_columns: int) -> None:
        n_bits = next(n for n in (8, 16, 32, 64) if max(map(len, leaf_nodes)) <= n)
        self._dtype = np.dtype(f"uint{n_bits}")
        self._starts = np.cumsum([0, *(len(leaves) for leaves in leaf_nodes[:-1])])
        struck = [
            _struck_leaves(tree, {leaf: bit for bit, leaf in enumerate(leaves)})
            for tree, leaves in zip(trees, leaf_nodes, strict=True)
        ]
        self._all = np.array([(1 << len(leaves)) - 1 for leaves in leaf_nodes], dtype=np.uint64).astype(
            self._dtype
        )
        self._parts = [
            self._part(position, trees, struck)
            for position in range(n_columns)
            if any(position in tree.column for tree in trees)
        ]
        # Without any split every row's leaf is the root: one row of ones then keeps the rest simple.
        masks = [part[3] for part in self._parts] or [self._all[None, :]]
        self._stacked = np.concatenate(masks)
        starts = np.cumsum([0, *(len(mask) for mask in masks[:-1])]).tolist()
        self._places = [
            (position, _place_of_one(start, cuts.tolist(), is_category, len(mask)))
            for start, (position, cuts, is_category, mask) in zip(starts, self._parts, strict=False)
        ] or [(0, lambda _: 0)]

    def leaves_of_one(self, z: Sequence[float]) -> np.ndarray:
        """Position of one row's leaf of each tree in the table, shape (n_trees,)."""
        rows = [place(z[position]) for position, place in self._places]
        alive = np.bitwise_and.reduce(self._stacked.take(rows, axis=0), axis=0)
        leaves: np.ndarray = self._lowest_bit(alive) + self._starts
        return leaves

    def leaves(self, Z: np.ndarray) -> np.ndarray:
        """Position of each row's leaf of each tree in the table, shape (n_rows, n_trees)."""
        alive = np.repeat(self._all[None, :], len(Z), axis=0)
        for position, cuts, is_category, masks in self._parts:
            z = Z[:, position]
            missing = np.isnan(z)
            if is_category:
                n_codes = len(masks) - 1
                place = np.where(missing | (z < 0) | (z >= n_codes), n_codes, z).astype(np.intp)
            else:
                place = cuts.searchsorted(z, side="left")
                place[missing] = len(masks) - 1
            alive &= masks[place]
        leaves: np.ndarray = self._lowest_bit(alive) + self._starts
        return leaves

    def _lowest_bit(self, alive: np.ndarray) -> np.ndarray:
        lowest = alive & (~alive + self._dtype.type(1))
        bits: np.ndarray = np.frexp(lowest.astype(np.float64))[1] - 1  # exact: a power of two
        return bits

    def _part(
        self, position: int, trees: Sequence[Tree], struck: Sequence[dict[int, int]]
    ) -> tuple[int, np.ndarray, bool, np.ndarray]:
        """Masks of one column: a row per interval between its cuts (or per code), the last for missing."""
        nodes = [
            (number, node)
            for number, tree in enumerate(trees)
            for node, column in enumerate(tree.column)
            if column == position
        ]
        is_category = any(trees[t].left_codes[node] is not None for t, node in nodes)
        cuts: np.ndarray
        if is_category:
            known = [code for t, node in nodes for code in trees[t].left_codes[node] or ()]
            # One code more than any split names: a larger one goes right at every split, as it does.
            places = [float(code) for code in range(max(known, default=0) + 2)]
            cuts = np.empty(0)
        else:
            cuts = np.unique([trees[t].threshold[node] for t, node in nodes])
            places = [*cuts.tolist(), np.inf]
        masks = np.repeat(self._all[None, :], len(places) + 1, axis=0)
        for t, node in nodes:
            tree = trees[t]
            keep = self._dtype.type(int(self._all[t]) & ~struck[t][node])
            codes = tree.left_codes[node]
            goes_left = [
                (int(place) in codes) if codes is not None else place <= tree.threshold[node]
                for place in places
            ]
            false = np.array([not left for left in goes_left] + [not tree.missing_left[node]])
            masks[false, t] &= keep
        return position, cuts, is_category, masks


def _place_of_one(start: int, cuts: list[float], is_category: bool, n_places: int) -> Callable[[float], int]:
    """Function from one value to its row in the stacked masks; a column's last row is for missing."""
    n_known, missing = n_places - 1, start + n_places - 1
    if is_category:
        return lambda z: start + int(z) if 0 <= z < n_known else missing
    return lambda z: start + bisect_left(cuts, z) if z == z else missing


def _struck_leaves(tree: Tree, bit_of: dict[int, int]) -> dict[int, int]:
    """For each split the bits of the leaves on its left side, which a false node rules out."""
    return {
        node: sum(1 << bit_of[leaf] for leaf in _leaves_below(tree, tree.left[node]))
        for node, column in enumerate(tree.column)
        if column >= 0
    }


class _Walk:
    """Finds leaves by walking down all trees together."""

    def __init__(self, trees: Sequence[Tree], leaf_nodes: Sequence[Sequence[int]]) -> None:
        if any(codes is not None for tree in trees for codes in tree.left_codes):
            raise ValueError("Large trees that split on sets of categories can't be compiled")
        starts = np.cumsum([0, *(len(tree.column) for tree in trees[:-1])])
        self._roots = starts
        column, threshold, children = [], [], []
        self._leaf_of = np.zeros(sum(len(tree.column) for tree in trees), dtype=np.intp)
        n_leaves = 0
        for start, tree, leaves in zip(starts.tolist(), trees, leaf_nodes, strict=True):
            for node, split in enumerate(tree.column):
                leaf = split < 0
                column.append(max(split, 0))
                threshold.append(np.inf if leaf else tree.threshold[node])
                own = start + node
                left, right = start + tree.left[node], start + tree.right[node]
                lost = left if tree.missing_left[node] else right
                children.append((own, own, own) if leaf else (left, right, lost))
            for leaf_node in leaves:
                self._leaf_of[start + leaf_node] = n_leaves
                n_leaves += 1
        self._column, self._threshold = np.array(column), np.array(threshold)
        self._children = np.array(children, dtype=np.intp).ravel()
        self._depth = max(_depth(tree) for tree in trees)

    def leaves_of_one(self, z: Sequence[float]) -> np.ndarray:
        """Position of one row's leaf of each tree in the table, shape (n_trees,)."""
        leaves: np.ndarray = self.leaves(np.array([z]))[0]
        return leaves

    def leaves(self, Z: np.ndarray) -> np.ndarray:
        """Position of each row's leaf of each tree in the table, shape (n_rows, n_trees)."""
        flat = np.ascontiguousarray(Z).ravel()
        row_start = (np.arange(len(Z)) * Z.shape[1])[:, None]
        nodes = np.repeat(self._roots[None, :], len(Z), axis=0)
        has_missing = bool(np.isnan(flat).any())
        for _ in range(self._depth):
            z = flat.take(row_start + self._column.take(nodes))
            side = (z > self._threshold.take(nodes)).astype(np.intp)
            if has_missing:
                side += 2 * np.isnan(z)
            nodes = self._children.take(nodes * 3 + side)
        leaves: np.ndarray = self._leaf_of.take(nodes)
        return leaves


def _depth(tree: Tree) -> int:
    depths = [0] * len(tree.column)
    for node, column in enumerate(tree.column):
        if column >= 0:
            depths[tree.left[node]] = depths[tree.right[node]] = depths[node] + 1
    return max(depths)
