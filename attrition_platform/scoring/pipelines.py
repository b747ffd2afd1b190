"""Compile fitted pipelines: what scikit-learn learned, as plain numbers."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

import numpy as np

from attrition_platform.scoring.additive import (
    AdditiveModel,
    Cubic,
    Curve,
    Table,
    Term,
    add_curves,
    step_curve,
)
from attrition_platform.scoring.compiled import CompiledModel
from attrition_platform.scoring.trees import Column, Tree, TreeEnsemble

if TYPE_CHECKING:
    from sklearn.pipeline import Pipeline

    from attrition_platform.features.spec import FeatureSpec

_ALL_CODES = frozenset(range(256))
_LARGEST = float(np.finfo(np.float64).max)


def compile_pipeline(pipeline: Pipeline, spec: FeatureSpec, X: np.ndarray) -> CompiledModel:
    """Turn a fitted pipeline of one of our families into a compiled model.

    Parameters
    ----------
    pipeline : Pipeline
        Fitted; of `modeling.families`.
    spec : FeatureSpec
        What it reads.
    X : ndarray of shape (n_employees, n_features)
        Training employees; the average one has no reasons.

    Raises
    ------
    ValueError
        If the pipeline is of another family.
    """
    model = pipeline.named_steps["model"]
    columns = pipeline.named_steps.get("columns")
    compilers: dict[str, Any] = {
        "DummyClassifier": lambda: _constant(model, spec),
        "LogisticRegression": lambda: _logistic(model, columns, spec),
        "HistGradientBoostingClassifier": lambda: _boosted(model, columns, spec),
        "RandomForestClassifier": lambda: _forest(model, spec),
    }
    kind = type(model).__name__
    if kind not in compilers:
        raise ValueError(f"A pipeline that ends in {kind} can't be compiled")
    compiled: CompiledModel = compilers[kind]()
    return compiled.centred(X) if isinstance(compiled, AdditiveModel) else compiled


def _constant(model: Any, spec: FeatureSpec) -> AdditiveModel:
    share = float(model.class_prior_[1])
    nothing = step_curve([], 0.0, 0.0)
    return AdditiveModel(math.log(share / (1.0 - share)), [nothing] * len(spec.names))


def _logistic(model: Any, columns: Any, spec: FeatureSpec) -> AdditiveModel:
    weights = iter(model.coef_[0].tolist())
    terms: dict[int, Term] = {}
    for name, fitted, positions in columns.transformers_:
        if name == "category":
            for position, codes in zip(positions, fitted[-1].categories_, strict=True):
                own = [next(weights) for _ in codes]  # the first code stands for "missing"
                terms[position] = Table(tuple(own[1:]), own[0])
        elif name == "bins":
            for place, position in enumerate(positions):
                curve = _bins(fitted[-1], place, float(fitted[0].statistics_[place]), weights)
                terms[position] = curve
        elif name == "spline":
            for place, position in enumerate(positions):
                curve = _spline(fitted[-1], place, float(fitted[0].statistics_[place]), weights)
                known = terms.get(position)
                terms[position] = curve if not isinstance(known, Curve) else add_curves(known, curve)
        elif name == "missing":
            for position in positions:
                flagged = terms[position]
                assert isinstance(flagged, Curve)
                terms[position] = Curve(
                    flagged.breaks, flagged.origins, flagged.cubics, flagged.missing + next(weights)
                )
    return AdditiveModel(float(model.intercept_[0]), [terms[i] for i in range(len(spec.names))])


def _bins(fitted: Any, place: int, median: float, weights: Any) -> Curve:
    edges = fitted.bin_edges_[place][1:-1].tolist()
    heights = [next(weights) for _ in range(int(fitted.n_bins_[place]))]
    steps = [(edge, heights[i + 1] - heights[i]) for i, edge in enumerate(edges)]
    exact: list[Cubic] = [(height, 0.0, 0.0, 0.0) for height in heights]
    curve = step_curve(steps, heights[0], 0.0)
    if len(curve.cubics) == len(exact):  # the heights themselves, not sums of their differences
        curve = Curve(curve.breaks, curve.origins, tuple(exact), 0.0)
    return _with_missing_at(curve, median)


def _spline(fitted: Any, place: int, median: float, weights: Any) -> Curve:
    """One feature's splines as polynomials; constant outside the first and the last knot."""
    from scipy.interpolate import PPoly

    spline = fitted.bsplines_[place]
    own = np.array([next(weights) for _ in range(spline.c.shape[1])])
    degree = int(spline.k)
    low, high = float(spline.t[degree]), float(spline.t[-degree - 1])
    if not low < high:
        level = _spline_at(fitted, place, own, low)
        return step_curve([], level, level)
    pieces = PPoly.from_spline((spline.t, spline.c @ own, degree))
    breaks, origins, cubics = [low], [0.0], [(_spline_at(fitted, place, own, low), 0.0, 0.0, 0.0)]
    for i in range(len(pieces.x) - 1):
        start, end = float(pieces.x[i]), float(pieces.x[i + 1])
        if low <= start < end <= high:
            c3, c2, c1, c0 = (float(c) for c in pieces.c[:, i])
            origins.append(start)
            cubics.append((c0, c1, c2, c3))
            breaks.append(end)
    origins.append(0.0)
    cubics.append((_spline_at(fitted, place, own, high), 0.0, 0.0, 0.0))
    return _with_missing_at(Curve(tuple(breaks), tuple(origins), tuple(cubics), 0.0), median)


def _spline_at(fitted: Any, place: int, weights: np.ndarray, x: float) -> float:
    """What scikit-learn's own splines say at one value."""
    n_columns, n_splines = fitted.n_features_in_, len(weights)
    row = np.full((1, n_columns), x)
    found = fitted.transform(row)[0, place * n_splines : (place + 1) * n_splines]
    return float(found @ weights)


def _with_missing_at(curve: Curve, fill: float) -> Curve:
    return Curve(curve.breaks, curve.origins, curve.cubics, curve.scalar()(fill))


def _boosted(model: Any, columns: Any, spec: FeatureSpec) -> CompiledModel:
    inputs = _boosted_columns(columns)
    trees = [_boosted_tree(stage[0], model) for stage in model._predictors]
    offset = float(np.ravel(model._baseline_prediction)[0])
    if all(len(tree.column) <= 3 for tree in trees):
        return _stumps(trees, offset, inputs, spec)
    return TreeEnsemble("logit", offset, 1.0, inputs, trees, len(spec.names))


def _boosted_columns(columns: Any) -> list[Column]:
    """What the booster's input columns are made from, in their order."""
    inputs = []
    for name, fitted, positions in columns.transformers_:
        if name == "category":
            inputs += [Column(int(position), "code") for position in positions]
        elif name == "number" and len(positions):
            inputs += [
                Column(int(position), "number", float(fill))
                for position, fill in zip(positions, fitted.statistics_, strict=True)
            ]
            inputs += [Column(int(positions[place]), "is-missing") for place in fitted.indicator_.features_]
    return inputs


def _boosted_tree(predictor: Any, model: Any) -> Tree:
    nodes = predictor.nodes
    codes: list[list[int] | None] = [None] * len(nodes)
    known = _known_codes(model)
    for i, node in enumerate(nodes):
        if node["is_categorical"] and not node["is_leaf"]:
            own = known[int(node["feature_idx"])]
            members = _members(predictor.raw_left_cat_bitsets[node["bitset_idx"]])
            left_codes = {code for place, code in enumerate(own) if place in members}
            if node["missing_go_to_left"]:  # a code that training had no employee of counts as missing
                left_codes |= _ALL_CODES - set(own)
            codes[i] = sorted(left_codes)
    leaf = nodes["is_leaf"].astype(bool)
    left, right = nodes["left"].astype(int), nodes["right"].astype(int)
    value, count = nodes["value"].astype(float), nodes["count"].astype(float)
    for i in range(len(nodes) - 1, -1, -1):  # children come after their parent
        if not leaf[i]:
            pair = [left[i], right[i]]
            value[i] = float(np.average(value[pair], weights=count[pair]))
    return Tree(
        column=np.where(leaf, -1, nodes["feature_idx"].astype(int)).tolist(),
        threshold=np.where(
            leaf | nodes["is_categorical"].astype(bool),
            0.0,
            np.clip(nodes["num_threshold"], -_LARGEST, _LARGEST),
        ).tolist(),
        left_codes=codes,
        missing_left=nodes["missing_go_to_left"].astype(bool).tolist(),
        left=np.where(leaf, 0, left).tolist(),
        right=np.where(leaf, 0, right).tolist(),
        value=value.tolist(),
    )


def _known_codes(model: Any) -> list[list[int]]:
    """Codes that training had, by input column; the booster numbers them anew in this order."""
    if model._preprocessor is None:
        return []
    encoder = model._preprocessor.named_transformers_["encoder"]
    return [[int(code) for code in codes if code == code] for codes in encoder.categories_]


def _members(words: np.ndarray) -> set[int]:
    """Codes in a bit set of eight 32-bit words."""
    return {code for code in _ALL_CODES if int(words[code // 32]) >> (code % 32) & 1}


def _stumps(trees: list[Tree], offset: float, inputs: list[Column], spec: FeatureSpec) -> AdditiveModel:
    """Sum trees with one split each by feature."""
    tables = {i: [0.0] * (spec.n_categories[i] + 1) for i in range(len(spec.names))}
    jumps: dict[int, list[tuple[float, float]]] = {i: [] for i in tables}
    first = dict.fromkeys(tables, 0.0)
    present, absent = dict.fromkeys(tables, 0.0), dict.fromkeys(tables, 0.0)
    for tree in trees:
        if tree.column[0] < 0:
            offset += tree.value[0]
            continue
        column = inputs[tree.column[0]]
        feature = column.feature
        left, right = tree.value[tree.left[0]], tree.value[tree.right[0]]
        if tree.left_codes[0] is not None:
            chosen = set(tree.left_codes[0])
            for code in range(spec.n_categories[feature]):
                tables[feature][code] += left if code in chosen else right
            tables[feature][-1] += left if tree.missing_left[0] else right
        elif column.kind == "is-missing":
            present[feature] += left if tree.threshold[0] >= 0.0 else right
            absent[feature] += left if tree.threshold[0] >= 1.0 else right
        else:
            first[feature] += left
            if tree.threshold[0] < _LARGEST:  # else every value goes left, and only a missing one right
                # A value up to the threshold goes left: the jump is at the next number above it.
                jumps[feature].append((math.nextafter(tree.threshold[0], math.inf), right - left))
    fills = {column.feature: column.fill for column in inputs if column.fill is not None}
    terms: list[Term] = []
    for i in range(len(spec.names)):
        if i not in fills:
            terms.append(Table(tuple(tables[i][:-1]), tables[i][-1]))
            continue
        curve = step_curve(jumps[i], first[i], 0.0)
        gap = absent[i] - present[i]
        missing = curve.scalar()(fills[i]) + gap
        whole = Curve(curve.breaks, curve.origins, curve.cubics, missing)
        terms.append(whole.shifted(-present[i]))
    return AdditiveModel(offset, terms)


def _forest(model: Any, spec: FeatureSpec) -> TreeEnsemble:
    inputs = [Column(i, "single") for i in range(len(spec.names))]
    trees = []
    for member in model.estimators_:
        tree = member.tree_
        leaf = tree.children_left < 0
        trees.append(
            Tree(
                column=np.where(leaf, -1, tree.feature).tolist(),
                threshold=np.where(leaf, 0.0, np.clip(tree.threshold, -_LARGEST, _LARGEST)).tolist(),
                left_codes=[None] * tree.node_count,
                missing_left=tree.missing_go_to_left.astype(bool).tolist(),
                left=np.where(leaf, 0, tree.children_left).tolist(),
                right=np.where(leaf, 0, tree.children_right).tolist(),
                value=tree.value[:, 0, 1].astype(float).tolist(),
            )
        )
    return TreeEnsemble("identity", 0.0, 1.0 / len(trees), inputs, trees, len(spec.names))
