"""The decision, and the one pointer that it may move."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from attrition_platform.adapters.step_cache import StepOutput, StepResult, code_version, digest
from attrition_platform.errors import AttritionError, ReleaseError
from attrition_platform.stages.challenger import MODEL_FILES, read_predictions
from attrition_platform.stages.governance import score_incumbent
from attrition_platform.stages.ingest import Progress
from attrition_platform.stages.platform import Platform
from attrition_platform.stages.reference import store_reference
from attrition_platform.stages.release import mirror, put_forward, registered_model, was_withdrawn

if TYPE_CHECKING:
    from attrition_platform.modeling.promotion import Evidence, Gain
    from attrition_platform.ports import LedgerRecord

DECISION_CODE = (
    "modeling/promotion.py",
    "modeling/comparison.py",
    "modeling/delong.py",
    "stages/champion.py",
)


def decide_promotion(
    platform: Platform,
    challenger: StepResult,
    audit: StepResult,
    test: StepResult,
    groups: Mapping[str, StepResult],
    cause: str | None,
    tell: Progress,
) -> StepResult:
    """Hold the challenger against every gate of the policy, and put the decision on record.

    Returns
    -------
    StepResult
        Facts: ``promoted``, ``outcome``, ``gates`` (name, value, limit, passed, enforced, reason),
        the challenger's and the incumbent's version, the policy.
    """
    records = platform.ledger.records()
    incumbent = platform.ledger.champion()
    version = challenger.facts["version"]
    decision_id = challenger.facts["decision_id"]
    rolled_back = was_withdrawn(records, version)
    n_reads = sum(
        r.kind == "test-read" and r.version == decision_id and r.payload["takes_over"] is None
        for r in records
    )

    def compute(out: StepOutput) -> None:
        from attrition_platform.modeling.promotion import decide

        gain, problem = _gain(platform, challenger, test, groups, incumbent)
        if problem:
            tell(f"The champion can't be compared: {problem}")
        evidence = _evidence(platform, challenger, audit, incumbent, gain, rolled_back, cause, n_reads)
        out.facts.update(decide(evidence, platform.policy).as_json())
        out.facts.update(
            version=version,
            incumbent=None if incumbent is None else incumbent.version,
            policy=platform.policy.name,
            decision_id=decision_id,
        )

    result = platform.steps.run(
        "promotion_decision",
        compute,
        code=code_version(*DECISION_CODE),
        inputs={
            "challenger": challenger.data_version,
            "audit": audit.data_version,
            "incumbent": "none" if incumbent is None else incumbent.version,
        },
        config={
            "policy": platform.policy_digest,
            "cause": cause,
            "rolled_back": rolled_back,
            "test_reads": n_reads,
            "latency": challenger.measured["latency"],
        },
    )
    _record_decision(platform, result)
    facts = result.facts
    blockers = [gate["name"] for gate in facts["gates"] if gate["enforced"] and not gate["passed"]]
    why = f" by {', '.join(blockers)}" if facts["outcome"] == "blocked" else ""
    tell(f"Decision on {version} under policy '{facts['policy']}': {facts['outcome']}{why}.")
    return result


def _record_decision(platform: Platform, result: StepResult) -> None:
    last = platform.ledger.last("decision")
    if last is None or last.payload["data_version"] != result.data_version:
        payload = result.facts | {"data_version": result.data_version}
        platform.ledger.append("decision", result.facts["version"], payload, at=platform.at())


def _gain(
    platform: Platform,
    challenger: StepResult,
    test: StepResult,
    groups: Mapping[str, StepResult],
    incumbent: LedgerRecord | None,
) -> tuple[Gain | None, str]:
    """Compare with the champion on the same test rows; the second value says why that failed."""
    if incumbent is None or incumbent.version == challenger.facts["version"]:
        return None, ""
    from attrition_platform.modeling.comparison import compare_auc
    from attrition_platform.modeling.promotion import Gain

    predictions = read_predictions(platform, challenger)
    try:
        scores = score_incumbent(
            platform, incumbent.payload["files"], groups, predictions["pseudonym"].tolist()
        )
    except (AttritionError, KeyError, ValueError) as error:
        return None, str(error)
    split = test.data_version
    found = compare_auc(predictions["y_true"], predictions["y_prob"], scores, split, split)
    return Gain(found.value, found.low, found.high), ""


def _evidence(
    platform: Platform,
    challenger: StepResult,
    audit: StepResult,
    incumbent: LedgerRecord | None,
    gain: Gain | None,
    rolled_back: bool,
    cause: str | None,
    n_reads: int,
) -> Evidence:
    from attrition_platform.modeling.promotion import Evidence

    facts, measured = challenger.facts, challenger.measured
    evaluation, latency = facts["evaluation"], measured["latency"]
    forbidden = _forbidden_columns(platform)
    p50 = latency["single_p50_ms"]
    return Evidence(
        version=facts["version"],
        incumbent=None if incumbent is None else incumbent.version,
        gain=gain,
        incumbent_reads_protected=incumbent is not None and bool(forbidden & set(incumbent.payload["reads"])),
        rolled_back=rolled_back,
        cause=cause,
        roc_auc=evaluation["metrics"]["roc_auc"]["value"],
        baseline_roc_auc=facts["baseline"]["metrics"]["roc_auc"]["value"],
        recall=evaluation["metrics"]["recall"]["value"],
        # The estimate is above zero by chance alone on few rows; its lower end is what is sure.
        calibration_error=evaluation["metrics"]["calibration_error"]["low"],
        latency_p95_ms=latency["single_p95_ms"],
        latency_spread=latency["single_p99_ms"] / p50 if p50 else None,
        model_mb=measured["model_bytes"] / 1e6,
        parity_gap=facts["parity_gap"],
        impact_ratios=audit.facts["least_impact_ratios"],
        equalised_odds_gaps=audit.facts["equalised_odds_gaps"],
        n_test_rows=evaluation["n_rows"],
        n_test_positives=evaluation["n_positive"],
        reproducible=facts["reproducible"],
        protected_read=tuple(sorted(forbidden & set(facts["reads"]))),
        test_reads=n_reads,
    )


def _forbidden_columns(platform: Platform) -> set[str]:
    policy, contract = platform.policy, platform.contract
    if not policy.exclude_protected:
        return set()
    return set(contract.protected) | set(contract.proxies if policy.exclude_proxies else ())


def crown(
    platform: Platform,
    challenger: StepResult,
    decision: StepResult,
    validated: StepResult,
    inputs: Mapping[str, str],
    run_id: str,
    tell: Progress,
) -> StepResult:
    """Release the challenger when the decision says so, and let the MLflow alias follow the champion.

    Parameters
    ----------
    validated : StepResult
        What the challenger was made from; a summary of it becomes the champion's reference.
    inputs : mapping of str to str
        Data versions of what the champion was made from.
    run_id : str
        The Dagster run.

    Returns
    -------
    StepResult
        Facts: the version that serves after this run; None when nothing ever passed.

    Raises
    ------
    LateRunError
        When another run has moved the champion since the decision; nothing is changed.
    """
    champion = platform.ledger.champion()
    version = challenger.facts["version"]
    if decision.facts["promoted"] and (champion is None or champion.version != version):
        tell(_release(platform, challenger, decision, validated, inputs, run_id))
        champion = platform.ledger.champion()
    elif champion is None:
        tell("There is no champion: the challenger was blocked and none came before it.")
    else:
        tell(f"Champion: {champion.version}, as before.")
    facts: dict[str, Any] = {"version": None}
    measured: dict[str, Any] = {"ledger_seq": 0, "mlflow_version": None}
    if champion is not None:
        mirror(platform)
        mlflow_version = champion.payload["mlflow_version"]
        facts = {"version": champion.version, "identity": champion.payload["sha256"]}
        measured = {"ledger_seq": champion.seq, "mlflow_version": mlflow_version}
    data_version = digest({"champion": facts})
    return StepResult("champion", data_version, data_version, {}, facts, measured)


def _release(
    platform: Platform,
    challenger: StepResult,
    decision: StepResult,
    validated: StepResult,
    inputs: Mapping[str, str],
    run_id: str,
) -> str:
    """Register the challenger and put it forward; returns in words what became of it."""
    facts, measured = challenger.facts, challenger.measured
    version, mlflow_run = facts["version"], measured["mlflow_run_id"]
    tags = {"identity": facts["identity"], "dagster.run_id": run_id}
    mlflow_version = platform.registry.register(registered_model(platform), mlflow_run, tags)
    reference = store_reference(platform, validated, challenger).files
    payload = {
        "incumbent": decision.facts["incumbent"],
        "sha256": facts["identity"],
        "files": {name: challenger.files[name] for name in MODEL_FILES},
        "family": facts["family"],
        "params": facts["params"],
        "threshold": facts["threshold"],
        "reads": facts["reads"],
        "excluded_columns": facts["excluded_columns"],
        "metrics": {"test": facts["evaluation"]["metrics"]},
        "reference": reference["reference.json"],
        "received": reference["received.json"],
        "policy": {"name": platform.policy.name, "sha256": platform.policy_digest},
        "contract": {"name": platform.contract.name, "sha256": platform.contract_digest},
        "gates": decision.facts["gates"],
        "data_versions": dict(inputs),
        "runs": {"dagster": run_id, "mlflow": mlflow_run},
        "mlflow_version": mlflow_version,
    }
    try:
        record = put_forward(platform, version, payload)
    except ReleaseError as error:
        return str(error)
    return {
        "promotion": f"Champion: {version} (ledger record {record.seq}).",
        "canary": f"Canary: {version} (ledger record {record.seq}); `attrition canary status` follows it.",
        "proposal": f"{version} passed every gate and waits for `attrition approve {version}`.",
    }[record.kind]
