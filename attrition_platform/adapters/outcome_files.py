"""Files that say who left and who stayed: swept, freed of employee ids, kept as immutable Parquet.

```text
<data>/outcomes/*.csv, *.csv.gz, *.parquet                   dropped: employee, date, outcome
<data>/outcomes/batches/<contract>/<sha256>/outcomes.parquet pseudonym, date, left
                                           /manifest.json    name, place in the sequence, bad rows
<data>/outcomes/refused/<sha256>/file, reason.json           a file that was refused whole
```

A folder is named by the bytes that were dropped. These bytes are removed once their pseudonyms are stored:
unlike an extract, an accepted outcome file leaves no employee id behind.
"""

from __future__ import annotations

import datetime as dt
import json
import os
from collections import Counter
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Final

from attrition_platform.adapters.batches import batch_folder
from attrition_platform.adapters.drop_folder import SETTLE_SECONDS, look_at
from attrition_platform.adapters.drop_sweep import SweepReport, sweep_folder
from attrition_platform.adapters.extract_files import ExtractFacts, inspect_extract, read_extract
from attrition_platform.adapters.object_store import sha256_of_file, sync_folder, write_atomically
from attrition_platform.contracts.identity import pseudonyms
from attrition_platform.contracts.model import Column, Contract
from attrition_platform.errors import RefusedFileError, StoreError

if TYPE_CHECKING:
    import polars as pl

MAX_FILE_BYTES: Final = 1 << 30
QUICK_BYTES: Final = 32 << 20  # read within a few seconds
MAX_ROWS: Final = 10_000_000
# HR systems write 9999-12-31 for "not yet"; taken as a date it would say "left", much later.
FIRST_DAY, LAST_DAY = "1990-01-01", "2099-12-31"
_FILE: Final = "outcomes.parquet"
_OURS: Final = ("batches", "refused")


@dataclass(frozen=True)
class OutcomeBatch:
    """One accepted file.

    Attributes
    ----------
    sha256 : str
        Of the bytes that were dropped.
    content_sha256 : str
        Of ``outcomes.parquet``.
    name : str
        What the file was called.
    sequence : int
        1 for the first file of the contract; on the same date a later file wins over an earlier one.
    n_rows, n_outcomes : int
        Data rows of the file, and employees and dates that it says something about.
    n_bad : dict of str to int
        Rows that were left out, by the first reason of ``missing-employee``, ``date``, ``date-range``,
        ``outcome``.
    n_contradictions : int
        Employees and dates for which this file, alone or with earlier ones, says "left" and "stayed".
    """

    sha256: str
    content_sha256: str
    name: str
    sequence: int
    n_rows: int
    n_outcomes: int
    n_bad: dict[str, int]
    n_contradictions: int


def sweep_outcomes(
    folder: Path,
    data_dir: Path,
    contract: Contract,
    key: bytes,
    *,
    settle_seconds: float = SETTLE_SECONDS,
    quick: bool = False,
) -> SweepReport[OutcomeBatch]:
    """Look at every entry of the folder once.

    Parameters
    ----------
    folder : Path
        Where outcome files are dropped. The columns are the employee's id under the name that the
        contract's extracts give it or under its canonical name, ``date`` (ISO) and ``outcome`` (``left``,
        ``stayed`` or the contract's own words, in upper or lower case); others are not read.
    data_dir : Path
        Folder of ``outcomes/``.
    key : bytes
        Secret of the installation, for the pseudonyms.
    quick : bool
        Leave files alone that would take a sensor's tick too long; a run takes them in.

    Returns
    -------
    SweepReport
        New files. One that is too large to be read is left where it is, and told again by the next sweep.

    Raises
    ------
    StoreError
        When what was stored before can't be read; a dropped file, whatever it is, never raises.
    """
    folder.mkdir(parents=True, exist_ok=True)
    place = data_dir / "outcomes"
    entries = [entry for entry in sorted(folder.iterdir()) if not _is_ours(entry, place)]
    slow = [entry for entry in entries if quick and _n_bytes(entry) > QUICK_BYTES]

    def judge(staged: Path, report: SweepReport[OutcomeBatch]) -> None:
        _judge(staged, place, contract, key, report)

    report = sweep_folder(
        [entry for entry in entries if entry not in slow],
        place,
        contract.name,
        judge,
        max_bytes=MAX_FILE_BYTES,
        settle_seconds=settle_seconds,
    )
    report.left_alone += [entry.name for entry in slow]
    return report


def read_outcomes(data_dir: Path, contract_name: str, *, until: dt.date | None = None) -> pl.DataFrame:
    """Say what is known of each employee.

    Parameters
    ----------
    until : date or None
        Leave out what has a later date. Who gives notice for September has not left in May, and what was
        heard until May must not be forgotten over it; None takes all dates.

    Returns
    -------
    DataFrame
        Columns `pseudonym` (each once, ascending), `date` (Date) and `left` (Boolean). The newest date
        counts: who stayed until March and left in May has left in May, and who is said to be there in
        June has not left in May. Of two files for one date the later wins. Empty when nothing was
        dropped.

    Raises
    ------
    StoreError
        When a stored file is damaged.
    """
    import polars as pl

    known = _news(data_dir / "outcomes", contract_name)
    if until is not None:
        known = known.filter(pl.col("date") <= until)
    newest_last = known.sort("pseudonym", "date", "sequence", maintain_order=True)
    return newest_last.unique("pseudonym", keep="last", maintain_order=True).select(
        pl.col("pseudonym"), pl.col("date"), pl.col("left")
    )


def newest_day(data_dir: Path, contract_name: str) -> dt.date | None:
    """The latest date that any outcome is told of; None where nothing was dropped."""
    import polars as pl

    files = [folder / _FILE for folder, _ in _stored(data_dir / "outcomes", contract_name)]
    days = [
        pl.scan_parquet(file).select(pl.col("date").max()).collect().item()
        for file in files
        if file.is_file()
    ]
    return max((day for day in days if day is not None), default=None)


def list_outcome_batches(data_dir: Path, contract_name: str) -> tuple[OutcomeBatch, ...]:
    """Accepted files of a contract in the order of acceptance."""
    return tuple(batch for _, batch in _stored(data_dir / "outcomes", contract_name))


def _n_bytes(entry: Path) -> int:
    look = look_at(entry)
    return 0 if look is None else look[1]


def _is_ours(entry: Path, place: Path) -> bool:
    return entry.name in _OURS and entry.parent.resolve() == place.resolve()


def _judge(
    staged: Path, place: Path, contract: Contract, key: bytes, report: SweepReport[OutcomeBatch]
) -> None:
    sha256 = sha256_of_file(staged)
    stored = _stored(place, contract.name)
    if any(batch.sha256 == sha256 for _, batch in stored):
        report.already_known.append(staged.name)
        return
    form, facts = _inspect(staged, contract)
    frame, n_bad = _read(staged, form, facts, contract, key)
    latest = frame.unique(["pseudonym", "date"], keep="last", maintain_order=True)
    file = staged.parent / _FILE
    latest.sort("pseudonym", "date").write_parquet(file)
    batch = OutcomeBatch(
        sha256=sha256,
        content_sha256=sha256_of_file(file),
        name=staged.name,
        sequence=1 + max((batch.sequence for _, batch in stored), default=0),
        n_rows=frame.height + sum(n_bad.values()),
        n_outcomes=latest.height,
        n_bad=n_bad,
        n_contradictions=_n_contradictions(frame, _news(place, contract.name)),
    )
    staged.unlink()
    _commit(file.parent, batch_folder(place, contract.name) / sha256, batch)
    report.accepted.append(batch)


def _inspect(staged: Path, contract: Contract) -> tuple[Contract, ExtractFacts]:
    """Find out which of its two names the file gives the id, and whether it can be read to its end."""
    forms = list(_forms(contract))
    if not forms:
        raise RefusedFileError(
            staged.name,
            "no-employee-id",
            f"Contract '{contract.name}' names no employee id, so nobody can be found again. Add a column "
            'of kind "id" to it.',
        )
    for form in forms:
        try:
            facts = inspect_extract(staged, form)
        except RefusedFileError as error:
            if error.reason == "header" and form is not forms[-1]:
                continue
            raise
        if facts.has_label and facts.n_rows <= MAX_ROWS:
            return form, facts
        if facts.has_label:
            detail = f"It has {facts.n_rows} rows; at most {MAX_ROWS} are read. Split it."
            raise RefusedFileError(staged.name, "too-many-rows", detail)
    detail = "The header has no column 'outcome'. Name the columns: employee id, date, outcome."
    raise RefusedFileError(staged.name, "header", detail, line=1)


def _forms(contract: Contract) -> Iterator[Contract]:
    """Contracts of an outcome file, so that extracts and outcomes are read by the same code."""
    if contract.id is None:
        return
    source = contract.source.model_copy(update={"allow_extra_columns": True, "delimiter": None})
    for name in dict.fromkeys((contract.columns[contract.id].source.strip(), contract.id)):
        if name in ("date", "outcome"):
            continue
        yield Contract(
            name=contract.name,
            source=source,
            normalise=contract.normalise,
            columns={
                "employee": Column(source=name, kind="id"),
                "date": Column(source="date", kind="date"),
                "outcome": Column(source="outcome", kind="label", values=("stayed", "left"), positive="left"),
            },
        )


def _read(
    staged: Path, form: Contract, facts: ExtractFacts, contract: Contract, key: bytes
) -> tuple[pl.DataFrame, dict[str, int]]:
    """Rows that can be used, in the file's order, and how many can't for which reason."""
    import polars as pl

    words = _words(contract)
    parts: list[pl.DataFrame] = []
    n_bad: Counter[str] = Counter()
    day = pl.col("date")
    for chunk in read_extract(staged, form, facts=facts):
        frame = chunk.select(
            pl.Series("pseudonym", pseudonyms(chunk["employee"].to_list(), key), dtype=pl.String),
            day.str.strip_chars().str.to_date("%Y-%m-%d", strict=False, exact=True),
            pl.col("outcome")
            .str.strip_chars()
            .str.to_lowercase()
            .replace_strict(words, default=None, return_dtype=pl.Boolean)
            .alias("left"),
        )
        judged = frame.with_columns(
            pl.when(pl.col("pseudonym").is_null())
            .then(pl.lit("missing-employee"))
            .when(day.is_null())
            .then(pl.lit("date"))
            .when(~day.is_between(pl.lit(FIRST_DAY).str.to_date(), pl.lit(LAST_DAY).str.to_date()))
            .then(pl.lit("date-range"))
            .when(pl.col("left").is_null())
            .then(pl.lit("outcome"))
            .alias("reason")
        )
        n_bad.update(judged["reason"].drop_nulls().to_list())
        parts.append(judged.filter(pl.col("reason").is_null()).select("pseudonym", "date", "left"))
    together = pl.concat(parts)
    if together.height == 0:
        listed = ", ".join(f"{reason} ({n})" for reason, n in sorted(n_bad.items()))
        raise RefusedFileError(
            staged.name,
            "bad-rows",
            f"No row can be used: {listed}. A row needs an employee id, a date like 2026-03-31 and 'left' or "
            "'stayed'.",
        )
    return together, dict(sorted(n_bad.items()))


def _words(contract: Contract) -> dict[str, bool]:
    label = contract.columns[contract.label]
    own = {value.strip().lower(): value == label.positive for value in label.values}
    return {"left": True, "stayed": False} | own


def _n_contradictions(frame: pl.DataFrame, before: pl.DataFrame) -> int:
    """Count employees and dates of `frame` that both outcomes are told of."""
    import polars as pl

    keys = ["pseudonym", "date"]
    earlier = before.select(*keys, "left").join(frame.select(keys).unique(), on=keys, how="semi")
    told = pl.concat([earlier, frame]).group_by(keys).agg(pl.col("left").n_unique().alias("n"))
    return told.filter(pl.col("n") > 1).height


def _commit(staged: Path, folder: Path, batch: OutcomeBatch) -> None:
    file = staged / _FILE
    file.chmod(0o440)
    with file.open("rb") as handle:
        os.fsync(handle.fileno())
    text = json.dumps(asdict(batch), indent=1, sort_keys=True) + "\n"
    write_atomically(staged / "manifest.json", text.encode())
    staged.rename(folder)
    sync_folder(folder.parent)


def _stored(place: Path, contract_name: str) -> list[tuple[Path, OutcomeBatch]]:
    manifests = batch_folder(place, contract_name).glob("*/manifest.json")
    found = [(path.parent, _manifest(path)) for path in manifests if not path.parent.name.startswith(".")]
    return sorted(found, key=lambda each: each[1].sequence)


def _manifest(path: Path) -> OutcomeBatch:
    try:
        return OutcomeBatch(**json.loads(path.read_text(encoding="utf-8")))
    except (ValueError, TypeError):
        raise StoreError(
            f"The manifest '{path}' can't be read. Move its folder away and drop the outcomes again."
        ) from None


def _news(place: Path, contract_name: str) -> pl.DataFrame:
    """Everything that was ever told, with the sequence of its file."""
    import polars as pl

    schema = {"pseudonym": pl.String, "date": pl.Date, "left": pl.Boolean, "sequence": pl.Int64}
    parts = [pl.DataFrame(schema=schema)]
    for folder, batch in _stored(place, contract_name):
        file = folder / _FILE
        if not file.is_file() or sha256_of_file(file) != batch.content_sha256:
            raise StoreError(
                f"Outcomes in '{folder}' are not what their manifest says. Move that folder away and drop "
                "the file again."
            )
        parts.append(pl.read_parquet(file).with_columns(pl.lit(batch.sequence, pl.Int64).alias("sequence")))
    return pl.concat(parts)
