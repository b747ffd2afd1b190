"""From a batch to validated and quarantined rows, and from several batches to one row an employee.

A batch is streamed: text, identity, contract, Parquet. Every chunk is sorted by pseudonym and written
in row groups by its first digit, so that `merge_batches` sorts ten million employees by reading one
sixteenth of them at a time.
"""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from attrition_platform.adapters.batches import Batch
from attrition_platform.adapters.extract_files import inspect_extract, read_extract
from attrition_platform.contracts.model import Contract
from attrition_platform.errors import RefusedFileError, StoreError

if TYPE_CHECKING:
    import polars as pl

    from attrition_platform.contracts.rows import CheckedRows

EXACT_DUPLICATE = "row:exact-duplicate"
CONFLICTING_DUPLICATE = "row:conflicting-duplicate"

_IDENTITY = ("pseudonym", "split_bucket", "batch")
_DIGITS = "0123456789abcdef"
_SLICED_FROM_ROWS = 200_000
_MERGED_IN_PARTS_FROM_ROWS = 1_000_000


@dataclass(frozen=True)
class ValidatedBatch:
    """What became of one batch's rows.

    Attributes
    ----------
    valid, quarantined : Path
        Parquet files in the shapes of `validated_employees` and `quarantined_employees`.
    n_rows, n_valid, n_quarantined : int
        Rows received, kept and broken; the last two add up to the first.
    n_normalised : dict of str to int
        Cells whose spelling was unified, by column.
    n_rule_failures : dict of str to int
        Rows by reason; a row counts once for each of its reasons.
    """

    valid: Path
    quarantined: Path
    n_rows: int
    n_valid: int
    n_quarantined: int
    n_normalised: dict[str, int]
    n_rule_failures: dict[str, int]


@dataclass(frozen=True)
class MergedBatches:
    """One row per employee from several batches.

    Attributes
    ----------
    n_rows : int
        Employees.
    n_superseded : int
        Rows for which a later batch has the same employee.
    n_labelled : int
        Employees whose outcome is known.
    n_labelled_later : int
        Those of them whose extract did not say it: an outcome file did.
    """

    n_rows: int
    n_superseded: int
    n_labelled: int
    n_labelled_later: int


def validate_batch(
    batch: Batch, contract: Contract, key: bytes, valid_path: Path, quarantine_path: Path
) -> ValidatedBatch:
    """Sort the rows of a batch into validated and quarantined.

    Employees who stand in the file twice are settled here: of rows that are equal in every column one
    is kept, of rows that contradict each other none, since nothing says which is right. Repeated rows
    do no harm and do not count as bad. Neither do contradicting ones under a contract without id,
    where two people may well look alike.

    Raises
    ------
    RefusedFileError
        ``"too-many-bad-rows"`` when more than the contract's share of rows is quarantined, or any
        reason of `inspect_extract` when the contract changed since the batch was accepted.
    StoreError
        When the stored bytes are not the ones that were accepted.
    """
    from attrition_platform.contracts.identity import with_identity

    facts = inspect_extract(batch.path, contract, count_rows=False)
    if facts.sha256 != batch.sha256:
        raise StoreError(
            f"Batch {batch.sha256[:12]} is damaged: its bytes have changed since it was accepted. "
            "Drop the extract into the inbox again, then run the job."
        )
    first = valid_path.with_name(valid_path.name + ".first")
    tally = _Tally(batch, contract)
    try:
        with _parquet_writer(first) as write, ThreadPoolExecutor(1) as pool:
            busy: Future[None] = pool.submit(_nothing)
            for raw in _one_ahead(read_extract(batch.path, contract, facts=facts)):
                identified = with_identity(raw, contract, key)
                busy.result()
                busy = pool.submit(_take_chunk, identified, tally, write)
            busy.result()
        tally.settle_duplicates(first, valid_path)
    finally:
        first.unlink(missing_ok=True)
    with _parquet_writer(quarantine_path) as write:
        write(tally.quarantined())
    return tally.result(valid_path, quarantine_path)


def merge_batches(
    valid_paths: Sequence[Path], out_path: Path, outcomes: pl.DataFrame | None = None
) -> MergedBatches:
    """Write one row per employee, sorted by pseudonym; the row of the latest batch wins.

    Parameters
    ----------
    valid_paths : sequence of Path
        Validated files of one contract, oldest batch first; at least one.
    outcomes : DataFrame or None
        `pseudonym` (each once) and `left`: labels that became known after the extract. They fill what
        an extract left open and never overrule what it says.
    """
    import polars as pl

    n_received = sum(_n_rows(path) for path in valid_paths)
    n_rows = n_labelled = n_labelled_later = 0
    with _parquet_writer(out_path) as write:
        for low, high in _key_ranges(n_received):
            parts = [_read_range(path, low, high) for path in valid_paths]
            together = pl.concat(parts, how="vertical")
            if len(parts) > 1:  # within one batch nobody stands twice
                together = together.unique("pseudonym", keep="last", maintain_order=True)
            latest = together.sort("pseudonym")
            label = _label_of(latest)
            n_open = latest[label].null_count()
            if outcomes is not None and n_open:
                latest = _with_outcomes(latest, label, outcomes)
                n_labelled_later += n_open - latest[label].null_count()
            write(latest)
            n_rows += latest.height
            n_labelled += latest.height - latest[label].null_count()
    return MergedBatches(n_rows, n_received - n_rows, n_labelled, n_labelled_later)


def _with_outcomes(latest: pl.DataFrame, label: str, outcomes: pl.DataFrame) -> pl.DataFrame:
    import polars as pl

    known = outcomes.select("pseudonym", pl.col("left").cast(latest.schema[label]).alias("outcome"))
    joined = latest.join(known, on="pseudonym", how="left", maintain_order="left", validate="m:1")
    return joined.with_columns(pl.coalesce(label, "outcome").alias(label)).drop("outcome")


def column_hashes(path: Path) -> dict[str, str]:
    """Hash what every column of a Parquet file says, whatever version of a writer wrote it.

    Two files have the same hash for a column when its type, its categories, and its values row by
    row are the same.
    """
    import polars as pl
    import pyarrow.parquet as pq

    with pq.ParquetFile(path, page_checksum_verification=True) as file:
        hashes = {name: _ColumnHash() for name in file.schema_arrow.names}
        for group in range(file.num_row_groups):
            frame = pl.from_arrow(file.read_row_group(group, use_threads=False))
            assert isinstance(frame, pl.DataFrame)
            for name, column_hash in hashes.items():
                column_hash.add(frame[name])
    return {name: column_hash.hexdigest() for name, column_hash in hashes.items()}


def _one_ahead(chunks: Iterator[pl.DataFrame]) -> Iterator[pl.DataFrame]:
    """Read the next chunk while the present one is worked on.

    Hashing ids holds Python's lock; parsing and writing do not. So three threads, each one chunk
    apart, keep two cores busy and hold three chunks at most.
    """
    with ThreadPoolExecutor(1) as pool:
        waiting = pool.submit(next, chunks, None)
        while (chunk := waiting.result()) is not None:
            waiting = pool.submit(next, chunks, None)
            yield chunk


def _nothing() -> None:
    """Stand for the chunk before the first."""


def _take_chunk(identified: pl.DataFrame, tally: _Tally, write: Callable[[pl.DataFrame], None]) -> None:
    for part in _by_first_digit(tally.add(_checked(identified, tally.batch, tally.contract))):
        write(part)


def _checked(identified: pl.DataFrame, batch: Batch, contract: Contract) -> _Chunk:
    """Hold a chunk against the contract; rows come back in the order of their pseudonyms."""
    import polars as pl

    from attrition_platform.contracts.rows import check_rows

    identified = identified.with_columns(pl.lit(batch.sha256[:12]).alias("batch"))
    rows = check_rows(identified, contract)
    numbers = identified.select("row_number").join(
        rows.quarantined.select(pl.col("row_number").cast(pl.UInt32)), on="row_number", how="anti"
    )
    order = rows.valid["pseudonym"].arg_sort()
    valid = rows.valid[order]
    broken = identified.join(rows.quarantined.select(pl.col("row_number").cast(pl.UInt32)), on="row_number")
    keys = pl.concat(
        [
            _keys(valid, numbers["row_number"].sort()[order], is_valid=True),
            _keys(broken.drop("row_number"), broken["row_number"], is_valid=False),
        ]
    )
    return _Chunk(rows, valid, keys, identified.height)


def _keys(frame: pl.DataFrame, numbers: pl.Series, *, is_valid: bool) -> pl.DataFrame:
    """64-bit hashes of who a row is and what it says: enough to tell 10 million rows apart.

    Rows that keep the contract are compared by their typed values, so that two spellings of a value
    are equal; broken rows by their text.
    """
    import polars as pl

    content = frame.drop([name for name in _IDENTITY if name in frame.columns])
    return pl.DataFrame(
        {
            "who": frame["pseudonym"].hash(0),
            "content": content.hash_rows(),
            "row_number": numbers.cast(pl.UInt32),
        }
    ).with_columns(pl.lit(is_valid).alias("is_valid"))


@dataclass(frozen=True)
class _Chunk:
    rows: CheckedRows
    valid: pl.DataFrame
    keys: pl.DataFrame
    n_rows: int


@dataclass
class _Tally:
    """Counts and row keys of one batch while its chunks go by."""

    batch: Batch
    contract: Contract
    n_rows: int = 0
    n_quarantined: int = 0
    n_bad: int = 0
    n_normalised: Counter[str] = field(default_factory=Counter)
    n_failures: Counter[str] = field(default_factory=Counter)
    keys: list[pl.DataFrame] = field(default_factory=list)
    broken: list[pl.DataFrame] = field(default_factory=list)

    def add(self, chunk: _Chunk) -> pl.DataFrame:
        """Count a chunk and return its valid rows."""
        self.n_rows += chunk.n_rows
        self.n_normalised.update(chunk.rows.n_normalised)
        self.n_failures.update(chunk.rows.n_rule_failures)
        self.keys.append(chunk.keys)
        self._quarantine(chunk.rows.quarantined, counts_as_bad=True)
        return chunk.valid

    def settle_duplicates(self, first: Path, valid_path: Path) -> None:
        """Move repeated and contradicting rows of the file to quarantine, and write the rest."""
        import polars as pl

        keys = pl.concat(self.keys)
        self.keys.clear()
        repeated = keys.filter(pl.col("who").is_duplicated())
        if repeated.is_empty():
            first.rename(valid_path)
            return
        verdicts = _verdicts(repeated)
        positions = keys.filter("is_valid").select("row_number").with_row_index("position")
        fate = positions.join(verdicts, on="row_number", how="inner").sort("position")
        with _parquet_writer(valid_path) as write:
            for kept, dropped in _without(first, fate):
                write(kept)
                self._quarantine_duplicates(dropped)

    def quarantined(self) -> pl.DataFrame:
        """All quarantined rows in the order of the file."""
        import polars as pl

        return pl.concat([pl.DataFrame(schema=_quarantine_schema()), *self.broken]).sort("row_number")

    def result(self, valid: Path, quarantined: Path) -> ValidatedBatch:
        """Sum up."""
        return ValidatedBatch(
            valid=valid,
            quarantined=quarantined,
            n_rows=self.n_rows,
            n_valid=self.n_rows - self.n_quarantined,
            n_quarantined=self.n_quarantined,
            n_normalised=dict(sorted((k, n) for k, n in self.n_normalised.items() if n)),
            n_rule_failures=dict(sorted((k, n) for k, n in self.n_failures.items() if n)),
        )

    def _quarantine(self, frame: pl.DataFrame, *, counts_as_bad: bool) -> None:
        schema = _quarantine_schema()
        self.broken.append(frame.select(list(schema)).cast(schema))  # type: ignore[arg-type]
        self.n_quarantined += frame.height
        self.n_bad += frame.height if counts_as_bad else 0
        if self.n_bad > self.contract.source.max_bad_row_share * max(self.batch.n_rows, self.n_rows):
            raise self._too_many()

    def _quarantine_duplicates(self, dropped: pl.DataFrame) -> None:
        import polars as pl

        for reason in (EXACT_DUPLICATE, CONFLICTING_DUPLICATE):
            rows = dropped.filter(pl.col("reason") == reason)
            self.n_failures[reason] += rows.height
            is_bad = reason == CONFLICTING_DUPLICATE and self.contract.id is not None
            self._quarantine(
                rows.with_columns(pl.concat_list("reason").alias("reasons")), counts_as_bad=is_bad
            )

    def _too_many(self) -> RefusedFileError:
        top = ", ".join(f"{reason} ({n} rows)" for reason, n in self.n_failures.most_common(3))
        return RefusedFileError(
            self.batch.name,
            "too-many-bad-rows",
            f"{self.n_bad} of the {self.n_rows} rows read so far break the contract, and at most "
            f"{self.contract.source.max_bad_row_share:.1%} of {self.batch.n_rows} may: {top}. The file or "
            "a rule is wrong, not the people; try `attrition contract check CONTRACT FILE`.",
        )


def _verdicts(repeated: pl.DataFrame) -> pl.DataFrame:
    """Reason for every valid row that can't stay, from the keys of rows that share an employee."""
    import polars as pl

    judged = repeated.with_columns(
        conflicting=pl.col("content").n_unique().over("who") > 1,
        is_first=pl.col("row_number") == pl.col("row_number").min().over("who"),
    )
    gone = judged.filter(pl.col("is_valid") & (pl.col("conflicting") | ~pl.col("is_first")))
    reason = pl.when("conflicting").then(pl.lit(CONFLICTING_DUPLICATE)).otherwise(pl.lit(EXACT_DUPLICATE))
    return gone.select("row_number", reason.alias("reason"))


def _without(first: Path, fate: pl.DataFrame) -> Iterator[tuple[pl.DataFrame, pl.DataFrame]]:
    """Give every row group without the rows of `fate`, and those rows with their reason."""
    import polars as pl

    start = 0
    for frame in _row_groups(first):
        here = fate.filter(pl.col("position").is_between(start, start + frame.height - 1))
        places = (here["position"] - start).cast(pl.UInt32)
        dropped = frame[places].select("batch", "pseudonym").hstack(here.select("row_number", "reason"))
        mask = pl.int_range(frame.height, dtype=pl.UInt32, eager=True).is_in(places.implode())
        yield frame.filter(~mask), dropped
        start += frame.height


def _row_groups(path: Path) -> Iterator[pl.DataFrame]:
    import polars as pl
    import pyarrow.parquet as pq

    with pq.ParquetFile(path, page_checksum_verification=True) as file:
        for group in range(file.num_row_groups):
            frame = pl.from_arrow(file.read_row_group(group))
            assert isinstance(frame, pl.DataFrame)
            yield frame


def _by_first_digit(valid: pl.DataFrame) -> Iterable[pl.DataFrame]:
    """Cut a large sorted chunk where the first digit of the pseudonym changes."""
    if valid.height < _SLICED_FROM_ROWS:
        return [valid]
    ends = [int(valid["pseudonym"].search_sorted(digit)) for digit in _DIGITS[1:]]
    starts = [0, *ends]
    return [valid[start:end] for start, end in zip(starts, [*ends, valid.height], strict=True)]


def _key_ranges(n_rows: int) -> list[tuple[str, str]]:
    if n_rows < _MERGED_IN_PARTS_FROM_ROWS:
        return [("", "g")]
    return list(zip(_DIGITS, [*_DIGITS[1:], "g"], strict=True))


def _read_range(path: Path, low: str, high: str) -> pl.DataFrame:
    """Rows whose pseudonym lies in [low, high); row groups outside are skipped by their statistics."""
    import polars as pl

    wanted = (pl.col("pseudonym") >= low) & (pl.col("pseudonym") < high)
    return pl.scan_parquet(path).filter(wanted).collect()


def _n_rows(path: Path) -> int:
    import pyarrow.parquet as pq

    return int(pq.read_metadata(path).num_rows)


def _label_of(frame: pl.DataFrame) -> str:
    """Name of the label: the only Boolean column of validated rows."""
    import polars as pl

    return next(name for name, dtype in frame.schema.items() if dtype == pl.Boolean)


def _quarantine_schema() -> dict[str, Any]:
    import polars as pl

    return {
        "batch": pl.String,
        "row_number": pl.UInt32,
        "pseudonym": pl.String,
        "reasons": pl.List(pl.String),
    }


@contextmanager
def _parquet_writer(path: Path) -> Iterator[Any]:
    """Give a function that appends a frame as one row group; pages carry checksums."""
    import pyarrow.parquet as pq

    writers: list[Any] = []

    def write(frame: pl.DataFrame) -> None:
        table = frame.to_arrow()
        if not writers:
            writers.append(pq.ParquetWriter(path, table.schema, compression="zstd", write_page_checksum=True))
        if table.num_rows:
            writers[0].write_table(table, row_group_size=table.num_rows)

    try:
        yield write
    finally:
        for writer in writers:
            writer.close()


class _ColumnHash:
    """Streams a column into sha256; nulls, lengths and values go separately, so cuts do not matter."""

    def __init__(self) -> None:
        self._type = ""
        self._nulls, self._lengths, self._values = (hashlib.sha256() for _ in range(3))

    def add(self, values: pl.Series) -> None:
        """Take the next rows."""
        import polars as pl

        self._type = repr(values.dtype)
        if isinstance(values.dtype, pl.Enum):
            self._type = "Enum" + repr(values.dtype.categories.to_list())
        self._nulls.update(values.is_null().cast(pl.UInt8).to_numpy().tobytes())
        if values.dtype == pl.String:
            text = values.fill_null("")
            lengths = text.str.len_bytes()
            self._lengths.update(lengths.cast(pl.UInt32).to_numpy().tobytes())
            if n_bytes := int(lengths.sum()):
                # All values end to end lie in the last buffer of Arrow's form.
                self._values.update(memoryview(text.to_arrow().buffers()[-1])[:n_bytes])
            return
        self._values.update(
            values.to_physical().cast(_widest(values.dtype)).fill_null(0).to_numpy().tobytes()
        )

    def hexdigest(self) -> str:
        """Hash of everything taken."""
        parts = (self._nulls.hexdigest(), self._lengths.hexdigest(), self._values.hexdigest())
        return hashlib.sha256("|".join((self._type, *parts)).encode()).hexdigest()


def _widest(dtype: Any) -> Any:
    import polars as pl

    return pl.Float64 if dtype.is_float() else pl.Int64
