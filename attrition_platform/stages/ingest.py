"""From files in the inbox to validated, quarantined and protected rows."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from attrition_platform.adapters.step_cache import StepOutput, StepResult, code_version, digest
from attrition_platform.errors import NoDataError, RefusedFileError
from attrition_platform.stages.counting import count_batch
from attrition_platform.stages.platform import Platform

if TYPE_CHECKING:
    import polars as pl

    from attrition_platform.adapters.batches import Batch
    from attrition_platform.adapters.drop_sweep import RefusedFile
    from attrition_platform.monitoring.summary import FrameSummary

Progress = Callable[[str], None]

GENERATED_SEED = 7
IDENTITY_COLUMNS = ("pseudonym", "split_bucket")
_INGEST_CODE = (
    "contracts",
    *(f"adapters/{name}.py" for name in ("extract_files", "extract_header", "extract_streams")),
    *(f"adapters/{name}.py" for name in ("text_scan", "parquet_extracts", "batches", "validation")),
)


def take_in(platform: Platform, progress: Progress) -> StepResult:
    """Accept what lies in the inbox and in `outcomes/`, and list what this contract has.

    Returns
    -------
    StepResult
        Facts: ``batches`` (sha256, rows, origin) and ``outcomes`` (sha256, employees), newest last.
        Measured: when this began (``began_at``), and what the sweep accepted, knew already, refused and left
        alone.

    Raises
    ------
    NoDataError
        When there is no batch and the contract is not the shipped one, for which a population can be
        generated.
    """
    from attrition_platform.adapters.batches import list_batches
    from attrition_platform.adapters.inbox import sweep_inbox

    settings, began_at = platform.settings, platform.at()
    report = sweep_inbox(settings.inbox, settings.data_dir, platform.contract)
    for refusal in report.refused:
        progress(f"Refused '{refusal.name}': {refusal.reason}. {refusal.detail}")
    batches = list_batches(settings.data_dir, platform.contract.name)
    if not batches:
        if settings.contract_file is not None:
            raise NoDataError(
                f"Contract '{platform.contract.name}' has no data. "
                f"Copy an extract that keeps it into '{settings.inbox}', then run the job again."
                + (f" Refused just now: {len(report.refused)} files, see 'refused/'." * bool(report.refused))
            )
        _generate(platform, progress)
        batches = list_batches(settings.data_dir, platform.contract.name)
    outcomes, refused_outcomes = take_in_outcomes(platform, progress)
    listed = [{"sha256": b.sha256, "rows": b.n_rows, "origin": b.origin, "name": b.name} for b in batches]
    facts = {
        "batches": [{key: value for key, value in b.items() if key != "name"} for b in listed],
        "outcomes": outcomes,
    }
    measured = {
        "began_at": began_at,
        "names": [b["name"] for b in listed],
        "accepted": [batch.sha256 for batch in report.accepted],
        "already_known": list(report.already_known),
        "left_alone": list(report.left_alone),
        "refused": [
            {"name": r.name, "reason": r.reason, "detail": r.detail}
            for r in (*report.refused, *refused_outcomes)
        ],
    }
    version = digest(facts)
    return StepResult("raw_employees", version, version, {}, facts, measured, not report.accepted)


def take_in_outcomes(
    platform: Platform, progress: Progress, *, quick: bool = False
) -> tuple[list[dict[str, Any]], list[RefusedFile]]:
    """Sweep the outcome files; returns what is known now, and which files were refused.

    A `quick` sweep leaves large files to the next run.
    """
    from attrition_platform.adapters.outcome_files import list_outcome_batches, sweep_outcomes

    data_dir, contract = platform.settings.data_dir, platform.contract
    swept = sweep_outcomes(data_dir / "outcomes", data_dir, contract, platform.key, quick=quick)
    for refusal in swept.refused:
        progress(f"Refused outcomes '{refusal.name}': {refusal.reason}. {refusal.detail}")
    for batch in swept.accepted:
        bad = ", ".join(f"{reason} ({n:,})" for reason, n in sorted(batch.n_bad.items()))
        progress(
            f"Outcomes '{batch.name}': {batch.n_outcomes:,} known"
            + f", {sum(batch.n_bad.values()):,} rows could not be used: {bad}" * bool(bad)
            + f", {batch.n_contradictions:,} contradict others" * bool(batch.n_contradictions)
            + "."
        )
    for name in swept.already_known:
        progress(f"Outcomes '{name}' were known already.")
    if swept.left_alone:
        names = ", ".join(f"'{name}'" for name in swept.left_alone)
        progress(f"Left alone in 'outcomes/': {names} (not finished, a folder, or for the next run).")
    known = list_outcome_batches(data_dir, contract.name)
    return [{"sha256": b.content_sha256, "employees": b.n_outcomes} for b in known], swept.refused


def _generate(platform: Platform, progress: Progress) -> None:
    from attrition_platform.adapters.batches import accept_generated
    from attrition_platform.population.generator import write_population

    n_rows = platform.settings.generated_rows
    progress(f"No extract in '{platform.settings.inbox}': generating {n_rows:,} employees who do not exist.")
    with platform.steps.store.workspace() as folder:
        file = folder / f"generated-{n_rows}-{GENERATED_SEED}.csv"
        write_population(file, n_rows, GENERATED_SEED)
        accept_generated(file, platform.settings.data_dir, platform.contract)


def validate(platform: Platform, raw: StepResult, progress: Progress) -> tuple[StepResult, StepResult]:
    """Sort every row of every batch into validated or quarantined.

    Returns
    -------
    validated, quarantined : StepResult
        Files ``validated.parquet`` (one row per employee, the newest batch wins) and
        ``quarantined.parquet`` (one row per broken row, with its reasons).

    Raises
    ------
    RefusedFileError
        When every batch was refused whole; a refused batch beside good ones is reported as a fact.
    """
    from attrition_platform.adapters.batches import list_batches

    wanted = {entry["sha256"] for entry in raw.facts["batches"]}
    batches = [
        batch
        for batch in list_batches(platform.settings.data_dir, platform.contract.name)
        if batch.sha256 in wanted
    ]
    kept: list[StepResult] = []
    refused: list[RefusedFileError] = []
    earlier: FrameSummary | None = None
    for batch in batches:
        result = validate_one_batch(platform, batch, progress)
        own = count_batch(platform, batch) if len(batches) > 1 else None
        problem = _refusal(platform, batch, result, earlier, own)
        if problem is None:
            kept.append(result)
            earlier = _together(earlier, own)
        else:
            refused.append(problem)
            progress(str(problem))
    if not kept:
        raise refused[0]
    refusals = [{"batch": error.file, "reason": error.reason} for error in refused]
    return _merge(platform, kept, refusals, raw.facts["outcomes"]), _collect_quarantine(platform, kept)


def _refusal(
    platform: Platform,
    batch: Batch,
    result: StepResult,
    earlier: FrameSummary | None,
    own: FrameSummary | None,
) -> RefusedFileError | None:
    """Say why a batch is refused whole: by the contract, or because scores of it would be wrong.

    Its units are not those of the batches before it, or a column that they fill is empty.
    """
    from attrition_platform.monitoring.schema_change import find_schema_changes

    refused = result.facts.get("refused")
    told = [] if refused is None else [str(refused["detail"])]
    if earlier is not None and own is not None:
        changes = [c for c in find_schema_changes(platform.contract, earlier, own) if c.blocks_scoring]
        if changes:
            detail = " ".join([*(change.text for change in changes), *told])
            return RefusedFileError(batch.name, changes[0].kind, detail)
    return None if refused is None else RefusedFileError(batch.name, **refused)


def _together(earlier: FrameSummary | None, own: FrameSummary | None) -> FrameSummary | None:
    from attrition_platform.monitoring.summary import merge

    known = [counts for counts in (earlier, own) if counts is not None]
    return merge(known) if known else None


def validate_one_batch(platform: Platform, batch: Batch, progress: Progress) -> StepResult:
    """Sort the rows of one batch, once.

    Returns
    -------
    StepResult
        Files ``valid.parquet`` and ``quarantined.parquet``, with counts as facts; only the fact
        ``refused`` (reason and detail) where the batch was refused whole.
    """

    def compute(out: StepOutput) -> None:
        from attrition_platform.adapters.validation import validate_batch

        progress(f"Validating batch {batch.sha256[:12]} ({batch.n_rows:,} rows).")
        try:
            done = validate_batch(
                batch,
                platform.contract,
                platform.key,
                out.file("valid.parquet"),
                out.file("quarantined.parquet"),
            )
        except RefusedFileError as error:
            for leftover in out.folder.iterdir():
                leftover.unlink()
            out.facts["refused"] = {"reason": error.reason, "detail": error.detail}
            return
        out.facts.update(
            n_rows=done.n_rows,
            n_valid=done.n_valid,
            n_quarantined=done.n_quarantined,
            n_normalised=done.n_normalised,
            reasons=done.n_rule_failures,
        )

    return platform.steps.run(
        "batches",
        compute,
        code=code_version(*_INGEST_CODE),
        inputs={"batch": batch.sha256},
        config={
            "contract": platform.contract_digest,
            # Another key gives other pseudonyms; its hash is not the key.
            "key": hashlib.sha256(b"key id" + platform.key).hexdigest()[:16],
        },
    )


def _merge(
    platform: Platform,
    kept: list[StepResult],
    refusals: list[dict[str, str]],
    outcomes: list[dict[str, Any]],
) -> StepResult:
    from attrition_platform.adapters.outcome_files import newest_day

    today = platform.today()
    config: dict[str, Any] = {"label": platform.contract.label, "refused": refusals, "outcomes": outcomes}
    newest = newest_day(platform.settings.data_dir, platform.contract.name)
    if newest is not None and newest > today:  # somebody's notice: what is known changes with the days
        config["until"] = today.isoformat()

    def compute(out: StepOutput) -> None:
        from attrition_platform.adapters.outcome_files import read_outcomes
        from attrition_platform.adapters.validation import column_hashes, merge_batches

        path = out.file("validated.parquet")
        place = (platform.settings.data_dir, platform.contract.name)
        known = read_outcomes(*place, until=today) if outcomes else None
        merged = merge_batches([platform.file(b.files["valid.parquet"]) for b in kept], path, known)
        out.facts.update(
            n_rows=merged.n_rows,
            n_labelled=merged.n_labelled,
            n_labelled_later=merged.n_labelled_later,
            n_superseded=merged.n_superseded,
            n_received=sum(b.facts["n_rows"] for b in kept),
            n_normalised=_sum_counts([b.facts["n_normalised"] for b in kept]),
            columns=column_hashes(path),
            refused_batches=refusals,
        )

    return platform.steps.run(
        "validated_employees",
        compute,
        code=code_version("adapters/validation.py"),
        inputs={str(i): b.data_version for i, b in enumerate(kept)},
        config=config,
    )


def _collect_quarantine(platform: Platform, kept: list[StepResult]) -> StepResult:
    def compute(out: StepOutput) -> None:
        import polars as pl

        parts = [pl.read_parquet(platform.file(b.files["quarantined.parquet"])) for b in kept]
        pl.concat(parts).write_parquet(out.file("quarantined.parquet"))
        out.facts.update(
            n_rows=sum(b.facts["n_quarantined"] for b in kept),
            n_received=sum(b.facts["n_rows"] for b in kept),
            reasons=_sum_counts([b.facts["reasons"] for b in kept]),
        )

    return platform.steps.run(
        "quarantined_employees",
        compute,
        code=code_version("stages/ingest.py"),
        inputs={str(i): b.data_version for i, b in enumerate(kept)},
        config={},
    )


def separate_protected(platform: Platform, validated: StepResult) -> StepResult:
    """Copy the columns that only the auditor reads, keyed by pseudonym."""
    contract = platform.contract
    columns = ("pseudonym", *contract.protected)

    def compute(out: StepOutput) -> None:
        frame = read_columns(platform, validated, columns)
        frame.write_parquet(out.file("protected.parquet"))
        out.facts.update(n_rows=frame.height, columns=list(contract.protected))

    return platform.steps.run(
        "protected_attributes",
        compute,
        code=code_version("stages/ingest.py"),
        inputs=hashes_of(validated, columns),
        config={},
    )


def read_columns(platform: Platform, validated: StepResult, columns: tuple[str, ...]) -> pl.DataFrame:
    """Read only some columns of the validated rows."""
    import polars as pl

    return pl.read_parquet(platform.file(validated.files["validated.parquet"]), columns=list(columns))


def hashes_of(validated: StepResult, columns: tuple[str, ...]) -> dict[str, str]:
    """Content hash of each named column: what a step that reads only these depends on."""
    return {column: validated.facts["columns"][column] for column in columns}


def _sum_counts(parts: list[dict[str, int]]) -> dict[str, int]:
    total: dict[str, Any] = {}
    for part in parts:
        for key, count in part.items():
            total[key] = total.get(key, 0) + count
    return dict(sorted(total.items()))
