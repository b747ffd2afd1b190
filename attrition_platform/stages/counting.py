"""Exact counts of a batch's cells as they came: what unit changes and drift are judged on."""

from __future__ import annotations

from typing import TYPE_CHECKING

from attrition_platform.adapters.step_cache import StepOutput, code_version
from attrition_platform.stages.platform import Platform

if TYPE_CHECKING:
    from attrition_platform.adapters.batches import Batch
    from attrition_platform.monitoring.summary import FrameSummary

COUNTING_CODE = ("monitoring/summary.py", "contracts", "adapters/extract_files.py", "stages/counting.py")


def watched_columns(platform: Platform) -> tuple[str, ...]:
    """Features that may be watched: what the policy keeps from the models is for the auditor alone."""
    return tuple(name for name in platform.contract.features if name not in platform.excluded_columns)


def count_batch(platform: Platform, batch: Batch) -> FrameSummary:
    """Count the cells of a batch, once; rows that break the contract are counted like the others."""
    from attrition_platform.monitoring.summary import FrameSummary, merge, summarise

    columns = watched_columns(platform)

    def compute(out: StepOutput) -> None:
        from attrition_platform.adapters.extract_files import read_extract

        chunks = read_extract(batch.path, platform.contract)
        summary = merge([summarise(chunk, platform.contract, columns) for chunk in chunks])
        out.file("counts.json").write_bytes(summary.to_json())
        out.facts.update(n_rows=summary.n_rows)

    result = platform.steps.run(
        "batch_counts",
        compute,
        code=code_version(*COUNTING_CODE),
        inputs={"batch": batch.sha256},
        config={"contract": platform.contract_digest, "columns": list(columns)},
    )
    return FrameSummary.from_json(platform.file(result.files["counts.json"]).read_bytes())
