"""The decision, and the one pointer that it may move."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from attrition_platform.adapters.step_cache import StepOutput, StepResult, code_version
from attrition_platform.errors import AttritionError, LedgerError
from attrition_platform.stages.challenger import MODEL_FILES, load_stored_model, read_predictions
from attrition_platform.stages.governance import score_incumbent
from attrition_platform.stages.ingest import Progress
from attrition_platform.stages.platform import Platform

if TYPE_CHECKING:
    from attrition_platform.modeling.comparison import AucDifference
    from attrition_platform.ports import LedgerRecord


def utc_now() -> str:
    """The time as the ledger writes it."""
    return datetime.now(UTC).isoformat(timespec="milliseconds")


def decide_promotion(
    platform: Platform,
    challenger: StepResult,
    audit: StepResult,
    sides: Mapping[str, StepResult],
    groups: Mapping[str, StepResult],
    tell: Progress,
    cause: str | None = None,
) -> StepResult:
    """Hold the challenger against every gate of the policy.

    Returns
    -------
    StepResult
        Facts: ``promoted``, ``outcome``, ``gates`` (name, value, limit, passed, enforced, reason),
        the incumbent's version, and the interval of the difference in ROC AUC.
    """
    incumbent = platform.ledger.champion()

    def compute(out: StepOutput) -> None:
        from attrition_platform.modeling.promotion import decide

        evidence = _gather_evidence(platform, challenger, audit, sides, groups, incumbent, cause)
        decision = decide(evidence, platform.policy)
        out.facts.update(decision.as_json())
        out.facts.update(
            version=challenger.facts["version"],
            incumbent=None if incumbent is None else incumbent.version,
            policy=platform.policy.name,
        )

    result = platform.steps.run(
        "promotion_decision",
        compute,
        code=code_version("modeling/promotion.py", "modeling/comparison.py", "stages/champion.py"),
        inputs={
            "challenger": challenger.data_version,
            "audit": audit.data_version,
            "incumbent": "none" if incumbent is None else incumbent.version,
        },
        config={"policy": platform.policy_digest, "cause": cause},
    )
    blockers = [g["name"] for g in result.facts["gates"] if g["enforced"] and not g["passed"]]
    why = f" ({', '.join(blockers)})" if blockers else ""
    tell(f"Decision under policy '{platform.policy.name}': {result.facts['outcome']}{why}.")
    return result


def _gather_evidence(
    platform: Platform,
    challenger: StepResult,
    audit: StepResult,
    sides: Mapping[str, StepResult],
    groups: Mapping[str, StepResult],
    incumbent: LedgerRecord | None,
    cause: str | None,
) -> Any:
    raise NotImplementedError


def crown(
    platform: Platform,
    challenger: StepResult,
    decision: StepResult,
    run_id: str,
    tell: Progress,
) -> LedgerRecord | None:
    raise NotImplementedError


def rollback(platform: Platform, version: str | None, reason: str, by: str) -> LedgerRecord:
    raise NotImplementedError
