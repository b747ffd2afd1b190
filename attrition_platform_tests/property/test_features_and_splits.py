"""What holds for features and splits of any employees."""

from __future__ import annotations

import json
import random

import numpy as np
import polars as pl
from hypothesis import given, settings
from hypothesis import strategies as st

from attrition_platform.contracts.model import Column, Contract, Derived
from attrition_platform.features.groups import compute_group
from attrition_platform.features.matrix import to_matrix
from attrition_platform.features.spec import FeatureSpec, feature_spec
from attrition_platform.modeling.policy import SmallDataRule
from attrition_platform.modeling.splits import assign_sides, build_manifest, side_of
from attrition_platform.modeling.tuning import Trial, rank

LEVELS = ("Entry", "Mid", "Senior")
accepted = st.floats(min_value=-1e15, max_value=1e15, allow_nan=False)
operation = st.sampled_from(["ratio", "difference", "sum"])


def make_contract(how: str, levels: tuple[str, ...] = LEVELS) -> Contract:
    return Contract(
        name="plant",
        columns={
            "left": Column(source="Left", kind="label", values=("no", "yes"), positive="yes"),
            "level": Column(source="Level", kind="nominal", values=levels, group="all", missing="allow"),
            "pay": Column(source="Pay", kind="continuous", group="all", missing="allow"),
            "bonus": Column(source="Bonus", kind="continuous", group="all", missing="allow"),
        },
        derived={"made": Derived(how=how, of=("pay", "bonus"), group="all")},
    )


@given(st.lists(st.tuples(st.none() | accepted, st.none() | accepted), min_size=1, max_size=30), operation)
@settings(deadline=None, max_examples=50)
def test_no_accepted_numbers_make_a_feature_that_a_model_refuses(
    rows: list[tuple[float | None, float | None]], how: str
) -> None:
    contract = make_contract(how)
    validated = pl.DataFrame(
        {"pseudonym": "p", "level": None, "pay": [r[0] for r in rows], "bonus": [r[1] for r in rows]},
        schema_overrides={"level": pl.Enum(LEVELS), "pay": pl.Float64, "bonus": pl.Float64},
    )

    matrix = to_matrix(compute_group(validated, contract, "all"), feature_spec(contract))

    assert not np.isinf(matrix.astype(np.float32)).any()
    assert np.isnan(matrix[:, 0]).all()


@given(st.permutations([*LEVELS, "Intern", "Board"]), st.lists(st.sampled_from(LEVELS), min_size=1))
@settings(deadline=None, max_examples=50)
def test_a_model_reads_the_same_codes_under_any_later_list_of_values(
    later: list[str], levels: list[str]
) -> None:
    spec = feature_spec(make_contract("sum"), frozenset({"pay", "bonus"}))
    features = pl.DataFrame({"level": levels}, schema={"level": pl.Enum(later)})

    assert to_matrix(features, spec)[:, 0].tolist() == [LEVELS.index(level) for level in levels]


@given(st.sets(st.sampled_from(["level", "pay", "bonus"]), max_size=2))
@settings(deadline=None, max_examples=20)
def test_an_excluded_column_reaches_no_feature_in_any_form(excluded: set[str]) -> None:
    spec = feature_spec(make_contract("sum"), frozenset(excluded))

    assert excluded.isdisjoint(spec.source_columns)
    assert excluded.isdisjoint(spec.names)
    assert ("made" in spec.names) == excluded.isdisjoint({"pay", "bonus"})
    assert FeatureSpec.from_json(json.loads(json.dumps(spec.as_json()))) == spec


employees = st.lists(st.tuples(st.integers(0, 99), st.sampled_from([True, False, None])), max_size=60)


def make_frame(rows: list[tuple[int, bool | None]]) -> pl.DataFrame:
    return pl.DataFrame(
        {"pseudonym": [f"{i:04}" for i in range(len(rows))]} | {
            "split_bucket": [bucket for bucket, _ in rows],
            "left": [left for _, left in rows],
        },
        schema={"pseudonym": pl.String, "split_bucket": pl.UInt8, "left": pl.Boolean},
    )  # fmt: skip


@given(employees, st.randoms(use_true_random=False))
@settings(deadline=None, max_examples=50)
def test_a_side_depends_on_the_employee_alone(
    rows: list[tuple[int, bool | None]], shuffler: random.Random
) -> None:
    order = list(range(len(rows)))
    shuffler.shuffle(order)
    contract = make_contract("sum")

    sides = assign_sides(make_frame(rows), contract).to_list()

    assert sides == [None if left is None else side_of(bucket) for bucket, left in rows]
    assert assign_sides(make_frame([rows[i] for i in order]), contract).to_list() == [sides[i] for i in order]


@given(employees)
@settings(deadline=None, max_examples=50)
def test_a_manifest_loses_nobody(rows: list[tuple[int, bool | None]]) -> None:
    frame, contract = make_frame(rows), make_contract("sum")

    manifest = build_manifest(frame, assign_sides(frame, contract), contract, SmallDataRule())

    assert sum(manifest.n_rows.values()) + manifest.n_unlabelled + manifest.n_without_side == len(rows)
    assert sum(manifest.n_positive.values()) == sum(left is True for _, left in rows)
    json.dumps(manifest.facts(), allow_nan=False)


some_trials = st.lists(
    st.builds(
        Trial,
        family=st.sampled_from("abc"),
        number=st.integers(0, 3),
        params=st.just({}),
        roc_auc=st.sampled_from([0.5, 0.80001, 0.80002, 0.9, float("nan")]),
        recall=st.just(0.5),
        n_steps=st.just(1),
        pruned=st.booleans(),
        n_operations=st.sampled_from([1, 9]),
        cpu_seconds=st.floats(0, 9),
        latency_ms=st.floats(0, 9),
    ),
    min_size=1,
    max_size=8,
    unique_by=lambda trial: (trial.family, trial.number),
)


@given(some_trials, st.randoms(use_true_random=False))
@settings(deadline=None, max_examples=50)
def test_the_ranking_does_not_depend_on_the_order_of_trials(
    trials: list[Trial], shuffler: random.Random
) -> None:
    shuffled = list(trials)
    shuffler.shuffle(shuffled)

    assert [id(t) for t in rank(shuffled)] == [id(t) for t in rank(trials)]
