"""What is checked of stored data, computed once per content and then remembered.

Each function returns a stored step whose facts say ``passed`` and why; the asset checks show them.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from attrition_platform.adapters.step_cache import StepOutput, StepResult, code_version
from attrition_platform.stages.platform import Platform
from attrition_platform.stages.splits import SIDES, read_side

if TYPE_CHECKING:
    from collections.abc import Mapping


def contract_is_kept(platform: Platform, validated: StepResult) -> StepResult:
    """Run the contract's pandera schema over the validated rows; facts name column, check, count."""

    def compute(out: StepOutput) -> None:
        import polars as pl

        from attrition_platform.contracts.pandera_schema import find_schema_problems

        frame = pl.read_parquet(platform.file(validated.files["validated.parquet"]))
        problems = find_schema_problems(frame, platform.contract)
        out.facts.update(
            passed=not problems,
            problems=[{"column": p.column, "check": p.check, "rows": p.n_rows} for p in problems],
        )

    return platform.steps.run(
        "checks/contract_is_kept",
        compute,
        code=code_version("contracts"),
        inputs={"validated": validated.data_version},
        config={"contract": platform.contract_digest},
    )


def employees_are_unique(platform: Platform, validated: StepResult) -> StepResult:
    """Count pseudonyms that occur more than once."""

    def compute(out: StepOutput) -> None:
        import polars as pl

        file = platform.file(validated.files["validated.parquet"])
        pseudonyms = pl.read_parquet(file, columns=["pseudonym"])["pseudonym"]
        n_repeated = pseudonyms.len() - pseudonyms.n_unique()
        out.facts.update(passed=n_repeated == 0, n_rows=pseudonyms.len(), n_repeated=n_repeated)

    return platform.steps.run(
        "checks/employees_are_unique",
        compute,
        code=code_version("stages/checks.py"),
        inputs={"pseudonym": validated.facts["columns"]["pseudonym"]},
        config={},
    )


def splits_do_not_overlap(platform: Platform, sides: Mapping[str, StepResult]) -> StepResult:
    """Count employees that stand on more than one side."""

    def compute(out: StepOutput) -> None:
        seen: set[str] = set()
        n_shared = 0
        for side in SIDES:
            pseudonyms = set(read_side(platform, sides[side], ["pseudonym"])["pseudonym"].to_list())
            n_shared += len(seen & pseudonyms)
            seen |= pseudonyms
        out.facts.update(passed=n_shared == 0, n_shared=n_shared, n_employees=len(seen))

    return platform.steps.run(
        "checks/splits_do_not_overlap",
        compute,
        code=code_version("stages/checks.py"),
        inputs={side: sides[side].data_version for side in SIDES},
        config={},
    )


def look_for_suspicious_features(platform: Platform, train: StepResult, protected: StepResult) -> StepResult:
    """Look at each training feature alone: dead, leaking, copying the id, or standing in for a group.

    Facts: ``findings`` (column, kind, value, limit, of). A declared proxy is no finding: the contract
    says it in the open.
    """

    def compute(out: StepOutput) -> None:
        import polars as pl

        from attrition_platform.modeling.suspicion import find_suspicious

        rows = read_side(platform, train)
        known = pl.read_parquet(platform.file(protected.files["protected.parquet"]))
        groups = rows.select("pseudonym").join(known, on="pseudonym", how="left", maintain_order="left")
        label = platform.contract.label
        found = find_suspicious(
            rows.drop("pseudonym", "split_bucket", label), rows[label], groups.drop("pseudonym")
        )
        declared = {name: platform.contract.columns[name].proxy_of for name in platform.contract.proxies}
        out.facts["findings"] = [
            finding.as_json()
            for finding in found
            if finding.kind != "proxy" or finding.of not in declared.get(finding.column, ())
        ]

    return platform.steps.run(
        "checks/suspicious_features",
        compute,
        code=code_version("modeling/suspicion.py", "modeling/delong.py", "stages/checks.py"),
        inputs={"train": train.data_version, "protected": protected.data_version},
        config={"contract": platform.contract_digest},
    )


def findings_of(result: StepResult, kind: str) -> list[dict[str, Any]]:
    """Findings of one kind."""
    return [finding for finding in result.facts["findings"] if finding["kind"] == kind]


def verify_files(platform: Platform, files: Mapping[str, str]) -> None:
    """Hash a model's stored files again.

    Raises
    ------
    StoreError
        When one is missing or damaged.
    """
    for sha256 in files.values():
        platform.steps.store.verify(sha256)
