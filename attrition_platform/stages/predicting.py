"""Models ready to answer, and answers ready for the log: shared by the command line and the service."""

from __future__ import annotations

from attrition_platform.errors import NoChampionError
from attrition_platform.ports import LedgerRecord, PredictionRecord
from attrition_platform.scoring.predictor import Answer, Arm, canonical_inputs
from attrition_platform.stages.challenger import load_stored_scorer
from attrition_platform.stages.platform import Platform
from attrition_platform.stages.release import release_state


def load_arm(platform: Platform, record: LedgerRecord) -> Arm:
    """Load the model of a ledger record, after its files were checked.

    Raises
    ------
    StoreError
        When a file is missing or not the one that the ledger names.
    UntrustedArtefactError
        When the files are not the ones that were signed.
    """
    stored = load_stored_scorer(platform, record.payload["files"])
    return Arm(record.version, stored.compiled, stored.spec, stored.threshold, platform.contract)


def champion_arm(platform: Platform) -> Arm:
    """Load the champion.

    Raises
    ------
    NoChampionError
        When there is none; other errors as in `load_arm`.
    """
    record = release_state(platform.ledger.records()).stable
    if record is None:
        raise NoChampionError(no_champion(platform))
    return load_arm(platform, record)


def no_champion(platform: Platform) -> str:
    """Say that there is no champion, and what to do."""
    return (
        f"Contract '{platform.contract.name}' has no champion yet, so nobody can be scored. "
        "Run `make train`; `attrition decision` says what blocked the last challenger."
    )


def to_record(
    answer: Answer, prediction_id: str, at: int, client: str, latency_us: int, *, keep_inputs: bool
) -> PredictionRecord:
    """Lay an answer out for the log.

    Parameters
    ----------
    at : int
        Microseconds since 1970-01-01 UTC.
    client : str
        Name of the API key, or what stands for one.
    latency_us : int
        From the parsed data to the answer, the arm that scored along included.
    keep_inputs : bool
        The policy's choice; without it the log has their hash only.
    """
    along_us = int((answer.along_seconds or 0.0) * 1e6)
    in_shadow = answer.variant == "stable" and answer.along_seconds is not None
    return PredictionRecord(
        prediction_id,
        at,
        answer.pseudonym,
        client,
        answer.variant,
        answer.version,
        answer.inputs_hash,
        canonical_inputs(answer.inputs).decode() if keep_inputs else None,
        answer.score,
        answer.probability,
        answer.threshold,
        answer.flagged,
        answer.tier,
        answer.other_version,
        answer.other_probability,
        answer.failed,
        max(0, latency_us - along_us),
        along_us if in_shadow else None,
    )
