"""A file of employees in, a file of answers out; each row is scored or refused with its reasons."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, Any

from attrition_platform.contracts.model import Column, Contract
from attrition_platform.errors import InvalidEmployeeError, RefusedFileError
from attrition_platform.scoring.judgement import TIERS
from attrition_platform.stages.logged_predictor import Logged, LoggedPredictor
from attrition_platform.stages.platform import Platform

if TYPE_CHECKING:
    import polars as pl

ROWS_PER_TRANSACTION = 5_000

Started = Callable[[int], None]
Advanced = Callable[[int], None]


@dataclass
class FileCounts:
    """What became of a file's rows.

    Attributes
    ----------
    version : str
        Model that scored.
    n_rows, n_refused : int
        All rows, and those that could not be scored.
    n_flagged : int
    by_tier : dict of str to int
        The scored ones.
    by_problem : dict of str to int
        Rows by field and code; a row counts once for each of its problems.
    unread : tuple of str
        Columns of the contract that the file has and the model does not read.
    n_unknown_columns : int
        Columns that the contract does not know; nobody looked at them.
    """

    version: str
    n_rows: int = 0
    n_refused: int = 0
    n_flagged: int = 0
    by_tier: dict[str, int] = field(default_factory=lambda: dict.fromkeys(TIERS, 0))
    by_problem: dict[str, int] = field(default_factory=dict)
    unread: tuple[str, ...] = ()
    n_unknown_columns: int = 0


def predict_file(
    platform: Platform,
    source: Path,
    out: Path,
    *,
    force: bool = False,
    started: Started = lambda n_rows: None,
    advanced: Advanced = lambda n_rows: None,
) -> FileCounts:
    """Score every row of an extract with the champion, and write the answers in the rows' order.

    Parameters
    ----------
    source : Path
        CSV, gzipped CSV or Parquet. Columns are named as in the contract's extracts or canonically.
    out : Path
        See `export_to`. Beside the answer a row has its number and its employee id, where there is one;
        a row that was refused has its `problems` and no answer.
    force : bool
        Whether an existing `out` is replaced.
    started, advanced : callable
        Told the number of rows before the first one, and then how many more are done.

    Raises
    ------
    RefusedFileError
        When the file can't be read for what it is, or lacks a column that the model reads.
    ExportError
        When `out` can't be written.
    """
    from attrition_platform.adapters.extract_files import inspect_extract, read_extract
    from attrition_platform.scoring.exports import check_export, export_to

    check_export(out, force=force)  # before the work
    predictor = LoggedPredictor(platform)
    contract, needed = platform.contract, predictor.arm.spec.source_columns
    reading = reading_contract(contract, _header(source, contract), needed, source.name)
    facts = inspect_extract(source, reading)
    wanted = [*needed, *([contract.id] if contract.id in reading.columns else [])]
    counts = FileCounts(
        version=predictor.arm.version,
        unread=tuple(name for name in reading.features if name not in needed),
        n_unknown_columns=len(facts.extra),
    )
    started(facts.n_rows)
    with export_to(out, force=force) as write:
        for chunk in read_extract(source, reading, facts=facts):
            for part in chunk.iter_slices(ROWS_PER_TRANSACTION):
                rows = part.select(wanted).to_dicts()
                found = predictor.answer_rows(rows)
                ids = None if contract.id is None or contract.id not in wanted else part[contract.id]
                write(_table(part["row_number"], ids, found, platform.policy.serving.n_reasons))
                _count(counts, found)
                advanced(part.height)
    return counts


def reading_contract(contract: Contract, header: Sequence[str], needed: Sequence[str], file: str) -> Contract:
    """The contract of one file: its columns under their canonical names, whichever name the file uses.

    Parameters
    ----------
    header : sequence of str
        The file's columns.
    needed : sequence of str
        Canonical names that must be among them.

    Raises
    ------
    RefusedFileError
        ``"header"`` where a needed column is missing, ``"duplicate-header"`` where the file has a column
        under both its names.
    """
    by_source = {column.source.strip(): name for name, column in contract.columns.items()}
    columns: dict[str, Column] = {}
    for cell in header:
        # What extracts call a column goes first; a canonical name may be another column's source.
        name = by_source.get(cell, cell)
        if name in columns:
            raise RefusedFileError(
                file,
                "duplicate-header",
                f"Column '{name}' is there as '{columns[name].source}' and as '{cell}'. Keep one of them.",
            )
        if name in contract.columns:
            columns[name] = contract.columns[name].model_copy(update={"source": cell})
    missing = [name for name in needed if name not in columns]
    if missing:
        listed = ", ".join(f"'{contract.columns[name].source}' or '{name}'" for name in missing[:10])
        more = f" and {len(missing) - 10} more" if len(missing) > 10 else ""
        raise RefusedFileError(
            file,
            "header",
            f"The model reads columns that the file has not: {listed}{more}. Add them.",
            line=1,
        )
    columns.setdefault(contract.label, contract.columns[contract.label])
    ordered = {name: columns[name] for name in contract.columns if name in columns}
    return contract.model_copy(update={"columns": ordered})


def _header(source: Path, contract: Contract) -> list[str]:
    from attrition_platform.adapters.extract_files import read_raw_text

    rules = contract.source
    return read_raw_text(source, 1, encoding=rules.encoding, delimiter=rules.delimiter).columns


def _table(
    numbers: pl.Series,
    ids: pl.Series | None,
    found: Sequence[Logged | InvalidEmployeeError],
    n_reasons: int,
) -> pl.DataFrame:
    import polars as pl

    reasons: dict[str, Any] = {}
    for place in range(1, n_reasons + 1):
        reasons |= {f"reason_{place}": pl.String, f"contribution_{place}": pl.Float64}
    schema = {
        "prediction_id": pl.String,
        "label": pl.String,
        "flagged": pl.Boolean,
        "probability": pl.Float64,
        "tier": pl.String,
        **reasons,
        "recommendation": pl.String,
        "model_version": pl.String,
        "problems": pl.String,
    }
    answers = pl.DataFrame([_row(one, n_reasons) for one in found], schema=schema, orient="row")
    told = [numbers] if ids is None else [numbers, ids.alias("employee")]
    return answers.select(*told, pl.all())


def _row(one: Logged | InvalidEmployeeError, n_reasons: int) -> tuple[object, ...]:
    if isinstance(one, InvalidEmployeeError):
        problems = "; ".join(f"{p.field}: allowed is {p.rule} ({p.code})" for p in one.problems)
        return (*[None] * (7 + 2 * n_reasons), problems)
    answer = one.answer
    told: list[object] = [x for reason in answer.reasons for x in (reason.text, reason.contribution)]
    told += [None] * (2 * n_reasons - len(told))
    head = (one.record.id, answer.label, answer.flagged, answer.probability, answer.tier)
    return (*head, *told, answer.recommendation, answer.version, None)


def _count(counts: FileCounts, found: Sequence[Logged | InvalidEmployeeError]) -> None:
    counts.n_rows += len(found)
    for one in found:
        if isinstance(one, Logged):
            counts.n_flagged += one.answer.flagged
            counts.by_tier[one.answer.tier] += 1
            continue
        counts.n_refused += 1
        for name in {f"{p.field}: {p.code}" for p in one.problems}:
            counts.by_problem[name] = counts.by_problem.get(name, 0) + 1


def most_frequent(by_problem: dict[str, int], n: int) -> list[tuple[str, int]]:
    """The problems that most rows have.

    >>> most_frequent({"pay: missing": 2, "level: missing": 7}, 1)
    [('level: missing', 7)]
    """
    return list(islice(sorted(by_problem.items(), key=lambda item: (-item[1], item[0])), n))
