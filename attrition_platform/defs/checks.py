"""Asset checks; those that guard the next stage are blocking."""

from collections.abc import Iterator
from typing import Any

import dagster as dg

from attrition_platform.adapters.step_cache import StepResult
from attrition_platform.defs.materialize import table
from attrition_platform.errors import AttritionError
from attrition_platform.stages import checks
from attrition_platform.stages.platform import Platform

_VALIDATED = dg.AssetKey("validated_employees")
_TRAIN = dg.AssetKey("train_split")
_SUSPICIONS = {
    "no_feature_leaks_the_label": ("leak", True, "No column alone tells who left."),
    "no_feature_copies_the_id": ("copy-of-id", True, "No column names nearly every employee."),
    "features_are_alive": ("dead-feature", False, "No column has the same value for everyone."),
    "no_feature_is_an_undeclared_proxy": (
        "proxy",
        False,
        "No column tells a protected one, unless the contract declares it.",
    ),
}


@dg.multi_asset_check(
    name="check_validated_employees",
    specs=[
        dg.AssetCheckSpec(
            "rows_keep_the_contract",
            asset=_VALIDATED,
            blocking=True,
            description="The contract's pandera schema holds for every row.",
        ),
        dg.AssetCheckSpec(
            "employees_are_unique",
            asset=_VALIDATED,
            blocking=True,
            description="No pseudonym occurs twice.",
        ),
        dg.AssetCheckSpec(
            "every_batch_was_accepted",
            asset=_VALIDATED,
            description="No batch was refused whole for its share of bad rows.",
        ),
    ],
    ins={"validated_employees": dg.AssetIn("validated_employees")},
)
def check_validated_employees(
    platform: dg.ResourceParam[Platform], validated_employees: StepResult
) -> Iterator[dg.AssetCheckResult]:
    """What the next stages rely on."""
    kept = checks.contract_is_kept(platform, validated_employees)
    yield _result(
        _VALIDATED,
        "rows_keep_the_contract",
        kept.facts["passed"],
        problems=table(kept.facts["problems"], ["column", "check", "rows"]),
    )
    unique = checks.employees_are_unique(platform, validated_employees)
    yield _result(
        _VALIDATED, "employees_are_unique", unique.facts["passed"], n_repeated=unique.facts["n_repeated"]
    )
    refused = validated_employees.facts["refused_batches"]
    yield _result(
        _VALIDATED,
        "every_batch_was_accepted",
        not refused,
        blocking=False,
        refused=table(refused, ["batch", "reason"]),
    )


@dg.multi_asset_check(
    name="check_train_split",
    specs=[
        dg.AssetCheckSpec(
            name,
            asset=_TRAIN,
            additional_deps=["protected_attributes"],
            blocking=blocking,
            description=description,
        )
        for name, (_, blocking, description) in _SUSPICIONS.items()
    ],
    ins={
        "train_split": dg.AssetIn("train_split"),
        "protected_attributes": dg.AssetIn("protected_attributes"),
    },
)
def check_train_split(
    platform: dg.ResourceParam[Platform], train_split: StepResult, protected_attributes: StepResult
) -> Iterator[dg.AssetCheckResult]:
    """Each feature alone, before any model reads it."""
    looked = checks.look_for_suspicious_features(platform, train_split, protected_attributes)
    for name, (kind, blocking, _) in _SUSPICIONS.items():
        findings = checks.findings_of(looked, kind)
        yield _result(
            _TRAIN,
            name,
            not findings,
            blocking=blocking,
            findings=table(findings, ["column", "kind", "value", "limit", "of"]),
        )


@dg.asset_check(
    asset="test_split",
    name="sides_do_not_overlap",
    blocking=True,
    additional_ins={
        "train_split": dg.AssetIn("train_split"),
        "validation_split": dg.AssetIn("validation_split"),
    },
    description="No employee stands on two sides.",
)
def sides_do_not_overlap(
    platform: dg.ResourceParam[Platform],
    test_split: StepResult,
    train_split: StepResult,
    validation_split: StepResult,
) -> dg.AssetCheckResult:
    """Count employees on more than one side."""
    sides = {"train": train_split, "validation": validation_split, "test": test_split}
    facts = checks.splits_do_not_overlap(platform, sides).facts
    return dg.AssetCheckResult(
        passed=facts["passed"],
        metadata={"n_shared": facts["n_shared"], "n_employees": facts["n_employees"]},
    )


@dg.asset_check(
    asset="champion",
    name="champion_is_the_signed_one",
    blocking=True,
    description="The champion's files are the ones that were signed, the ledger's chain holds, and the "
    "MLflow alias follows it.",
)
def champion_is_the_signed_one(
    platform: dg.ResourceParam[Platform], champion: StepResult
) -> dg.AssetCheckResult:
    """Load nothing that was not verified; hash every file of the champion again."""
    report = platform.ledger.verify()
    head = platform.ledger.champion()
    problem = report.problem
    if problem is None and head is not None:
        try:
            checks.verify_files(platform, head.payload["files"])
        except AttritionError as error:
            problem = str(error)
    return dg.AssetCheckResult(
        passed=problem is None,
        metadata={
            "problem": problem or "none",
            "ledger_records": report.n_records,
            "ledger_head": report.head_hash,
        },
    )


def _result(
    asset: dg.AssetKey, name: str, passed: bool, *, blocking: bool = True, **metadata: Any
) -> dg.AssetCheckResult:
    severity = dg.AssetCheckSeverity.ERROR if blocking else dg.AssetCheckSeverity.WARN
    return dg.AssetCheckResult(
        asset_key=asset, check_name=name, passed=bool(passed), severity=severity, metadata=metadata
    )


def build_checks() -> list[dg.AssetChecksDefinition]:
    """All checks of the graph."""
    return [check_validated_employees, check_train_split, sides_do_not_overlap, champion_is_the_signed_one]
