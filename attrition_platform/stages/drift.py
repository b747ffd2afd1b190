"""The newest window of data held against what the champion was made from."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import timedelta
from typing import TYPE_CHECKING, Any

from attrition_platform.adapters.step_cache import StepOutput, StepResult, code_version, digest
from attrition_platform.contracts.model import NUMERIC_KINDS
from attrition_platform.stages.counting import COUNTING_CODE, count_batch
from attrition_platform.stages.ingest import Progress, validate_one_batch
from attrition_platform.stages.platform import Platform
from attrition_platform.stages.predicting import load_arm
from attrition_platform.stages.reference import PREDICTION, reference_of, with_probabilities
from attrition_platform.stages.release_state import release_state
from attrition_platform.stages.views import newest_or_none

if TYPE_CHECKING:
    from pathlib import Path

    import polars as pl

    from attrition_platform.adapters.batches import Batch
    from attrition_platform.contracts.model import Contract
    from attrition_platform.monitoring.summary import FrameSummary
    from attrition_platform.ports import LedgerRecord
    from attrition_platform.scoring.predictor import Arm

WINDOW_DIGITS = 16
MAX_SERVED = 200_000
_CODE = ("monitoring", *COUNTING_CODE, "stages/drift.py", "stages/reference.py")


@dataclass(frozen=True)
class Served:
    """One day of answers by the champion.

    Attributes
    ----------
    day : str
        ISO date in UTC.
    summary : FrameSummary
        Probabilities, and the inputs where the policy keeps them.
    """

    day: str
    summary: FrameSummary


def judge_newest(platform: Platform, raw: StepResult, tell: Progress) -> StepResult:
    """Hold the newest batch, and yesterday's answers of the service, against the champion's reference.

    Parameters
    ----------
    raw : StepResult
        `raw_employees`: names the batches, and which files of the inbox were refused whole.

    Returns
    -------
    StepResult
        Facts: ``window``, ``drifted``, ``score`` (None where nothing could be tested), ``columns`` (that
        drifted), ``windows`` (each with its verdict), ``schema_changes``, ``blocks_scoring``,
        ``reference`` (the champion, or None), ``problem`` (why nothing was judged, or None).
    """
    batch = newest_batch(platform, raw)
    champion = release_state(platform.ledger.records()).stable
    served = None if champion is None else served_yesterday(platform, champion)
    refused = [
        {"file": entry["name"], "detail": entry["detail"]}
        for entry in raw.measured["refused"]
        if entry["reason"] == "header"
    ]

    def compute(out: StepOutput) -> None:
        out.facts.update(_judge(platform, batch, champion, served, refused, tell))

    result = platform.steps.run(
        "drift_report",
        compute,
        code=code_version(*_CODE),
        inputs={
            "batch": batch.sha256,
            "champion": "none" if champion is None else champion.hash,
            "served": "none" if served is None else digest([served.day, served.summary.to_json().decode()]),
        },
        config={
            "contract": platform.contract_digest,
            "drift": platform.policy.drift.model_dump(mode="json"),
            "refused": refused,
        },
    )
    tell(in_words(result.facts))
    return result


def in_words(facts: Mapping[str, Any]) -> str:
    """Say in one or two sentences what a drift report found.

    >>> in_words({"problem": None, "window": "ab12", "drifted": False, "columns": [], "score": 0.031,
    ...           "windows": [], "schema_changes": []})
    'Window ab12: no column drifted (largest score 0.031).'
    """
    if facts["problem"]:
        return str(facts["problem"])
    score = "nothing could be tested" if facts["score"] is None else f"largest score {facts['score']:.3f}"
    drifted = facts["columns"]
    what = f"{', '.join(drifted)} drifted" if drifted else "no column drifted"
    changes = [change["text"] for change in facts["schema_changes"]]
    # The score is silent about new categories, so where they alone are the drift their text must speak.
    new = [
        column["text"]
        for window in facts["windows"]
        for column in window["by_column"].values()
        if column["findings"] == ["new-category"]
    ]
    return " ".join([f"Window {facts['window']}: {what} ({score}).", *new, *changes])


def newest_batch(platform: Platform, raw: StepResult) -> Batch:
    """The batch that was accepted last."""
    from attrition_platform.adapters.batches import list_batches

    newest = raw.facts["batches"][-1]["sha256"]
    batches = list_batches(platform.settings.data_dir, platform.contract.name)
    return next(batch for batch in batches if batch.sha256 == newest)


def _judge(
    platform: Platform,
    batch: Batch,
    champion: LedgerRecord | None,
    served: Served | None,
    refused: list[dict[str, str]],
    tell: Progress,
) -> dict[str, Any]:
    from attrition_platform.monitoring.drift import judge_drift

    reference = reference_of(platform, champion)
    facts: dict[str, Any] = {
        "window": batch.sha256[:WINDOW_DIGITS],
        "reference": None if champion is None else champion.version,
        "problem": reference if isinstance(reference, str) else None,
        "drifted": False,
        "score": None,
        "columns": [],
        "windows": [],
        "schema_changes": [],
        "blocks_scoring": False,
    }
    if isinstance(reference, str) or champion is None:
        return facts
    validated = validate_one_batch(platform, batch, tell)
    received = _batch_summary(platform, batch, validated, champion)
    like = reference.valid if reference.received is None else reference.received
    window = received if reference.received is not None else _valid_summary(platform, validated, received)
    windows = {facts["window"]: (like, window)}
    if served is not None:
        windows[served.day] = (_only(reference.valid, served.summary), served.summary)
    # Windows of one evening share the year's chance of a false alarm.
    rule = platform.policy.drift
    shared = rule.model_copy(update={"windows_per_year": rule.windows_per_year * len(windows)})
    for name, (known, summary) in windows.items():
        verdict = judge_drift(known, summary, shared)
        facts["windows"].append({"window": name, "n_rows": summary.n_rows, **verdict.as_json()})
        facts["drifted"] |= verdict.drifted
        facts["columns"] += [column for column in verdict.columns if column not in facts["columns"]]
        if verdict.score is not None:
            facts["score"] = max(facts["score"] or 0.0, verdict.score)
    changes = _schema_changes(platform, batch, validated, like, received)
    facts["schema_changes"] = [*changes, *(_missing(entry) for entry in refused)]
    facts["blocks_scoring"] = any(change["blocks_scoring"] for change in changes)
    return facts


def _schema_changes(
    platform: Platform, batch: Batch, validated: StepResult, reference: FrameSummary, window: FrameSummary
) -> list[dict[str, Any]]:
    from attrition_platform.adapters.extract_files import inspect_extract
    from attrition_platform.monitoring.schema_change import find_schema_changes

    extra = inspect_extract(batch.path, platform.contract, count_rows=False).extra
    changes = find_schema_changes(
        platform.contract,
        reference,
        window,
        extra=extra,
        n_normalised=validated.facts.get("n_normalised"),
        usual_normalised=_usual_spellings(platform),
        min_named_rows=platform.policy.drift.min_named_rows,
    )
    return [change.as_json() for change in changes]


def _usual_spellings(platform: Platform) -> dict[str, float]:
    """Share of rows whose spelling was unified in the batches that were taken in before, by column."""
    before = newest_or_none(platform, "validated_employees")
    if before is None or not before.facts["n_received"]:
        return {}
    return {name: n / before.facts["n_received"] for name, n in before.facts["n_normalised"].items()}


def _missing(refused: Mapping[str, str]) -> dict[str, Any]:
    """A file that was refused for its header, as a change of the schema."""
    return {
        "kind": "missing-column",
        "column": "",
        "text": f"File '{refused['file']}' was refused. {refused['detail']}",
        "numbers": {},
        "names": [],
        "blocks_scoring": False,  # none of it came in
    }


def _only(reference: FrameSummary, window: FrameSummary) -> FrameSummary:
    """The reference's columns that this kind of window can have: answers of a day may lack the inputs."""
    if set(window.columns) == {PREDICTION}:
        return replace(reference, columns={PREDICTION: reference.columns[PREDICTION]})
    return reference


def _batch_summary(
    platform: Platform, batch: Batch, validated: StepResult, champion: LedgerRecord
) -> FrameSummary:
    """Cells of a batch as they came, and the champion's probabilities for the rows that keep the contract."""
    reads = champion.payload["reads"]
    counted = count_batch(platform, batch)
    summary = replace(counted, columns={n: c for n, c in counted.columns.items() if n in reads})
    if "valid.parquet" not in validated.files:
        return summary
    valid = platform.file(validated.files["valid.parquet"])
    return with_probabilities(summary, score_rows(platform, valid, load_arm(platform, champion)))


def _valid_summary(platform: Platform, validated: StepResult, received: FrameSummary) -> FrameSummary:
    """The same columns of the rows that keep the contract: all that older champions have stored of theirs."""
    import polars as pl

    from attrition_platform.monitoring.summary import summarise

    if "valid.parquet" not in validated.files:
        return received
    names = [name for name in received.columns if name != PREDICTION]
    rows = pl.read_parquet(platform.file(validated.files["valid.parquet"]), columns=names)
    counted = summarise(rows, platform.contract, names)
    return replace(counted, columns=received.columns | counted.columns)


def score_rows(platform: Platform, valid: Path, arm: Arm) -> pl.Series:
    """Probabilities of validated rows, in their order.

    Parameters
    ----------
    valid : Path
        Parquet of validated rows, as a batch's validation wrote it.
    """
    import polars as pl
    import pyarrow.parquet as pq

    from attrition_platform.features.groups import compute_group
    from attrition_platform.features.matrix import to_matrix
    from attrition_platform.scoring.compiled import to_probabilities

    contract = platform.contract
    found: list[pl.Series] = []
    with pq.ParquetFile(valid) as file:
        for group in range(file.num_row_groups):
            rows = pl.from_arrow(file.read_row_group(group))
            assert isinstance(rows, pl.DataFrame)
            parts = [compute_group(rows, contract, name).drop("pseudonym") for name in contract.groups]
            X = to_matrix(pl.concat(parts, how="horizontal"), arm.spec)
            scores, _ = arm.compiled.explain_rows(X)
            found.append(pl.Series(PREDICTION, to_probabilities(scores, arm.compiled.link)))
    return pl.concat(found) if found else pl.Series(PREDICTION, [], dtype=pl.Float64)


def served_yesterday(platform: Platform, champion: LedgerRecord) -> Served | None:
    """What the champion answered on the last whole day; None where it was asked too little."""
    import polars as pl

    from attrition_platform.monitoring.summary import FrameSummary, summarise

    end = platform.clock().replace(hour=0, minute=0, second=0, microsecond=0)
    begin = end - timedelta(days=1)
    at = round(begin.timestamp() * 1e6)
    log = platform.predictions
    records = [
        record
        for record in log.since(at, version=champion.version, limit=MAX_SERVED)
        if record.version == champion.version and record.at < round(end.timestamp() * 1e6)
    ]
    if len(records) < platform.policy.drift.min_rows:
        return None
    probabilities = pl.Series([record.probability for record in records])
    inputs = [record.inputs for record in records if record.inputs is not None]
    rows = FrameSummary(len(records), {})
    if len(inputs) == len(records):
        cells = typed_inputs(inputs, platform.contract, champion.payload["reads"])
        rows = summarise(cells, platform.contract, cells.columns)
    return Served(begin.date().isoformat(), with_probabilities(rows, probabilities))


def typed_inputs(inputs: Sequence[str], contract: Contract, reads: Sequence[str]) -> pl.DataFrame:
    """Lay out the inputs of logged predictions as validated rows have them.

    Parameters
    ----------
    inputs : sequence of str
        JSON objects by canonical name: numbers, texts, dates in ISO form, and null.
    reads : sequence of str
        Columns of the model; one that a record has not is null there.

    Returns
    -------
    DataFrame
        Numbers as Float64, since the contract's decimal separator is that of files; all else as text.
    """
    import polars as pl

    told = [json.loads(text) for text in inputs]
    columns = []
    for name in reads:
        is_number = contract.columns[name].kind in NUMERIC_KINDS
        cells = [row.get(name) for row in told]
        if not is_number:
            cells = [None if cell is None else str(cell) for cell in cells]
        columns.append(pl.Series(name, cells, dtype=pl.Float64 if is_number else pl.String, strict=False))
    return pl.DataFrame(columns)
