"""Generate a reference population of any size, in bounded memory.

A population is named by its seed. It is an endless sequence of employees, of which a call takes the first
`n_rows` (the *prefix rule*): a larger population with the same seed begins with the smaller one, and
neither the chunk size nor the number of rows changes what any employee is like.
"""

from __future__ import annotations

import gzip
import os
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO, Final, cast

import polars as pl

from attrition_platform.errors import PopulationFileError
from attrition_platform.population.drawing import BLOCK_ROWS, NUMBERS, SOURCE_COLUMNS, draw_block
from attrition_platform.population.facts import population_facts

SUFFIXES: Final = (".csv", ".csv.gz", ".parquet")

Sink = Callable[[pl.DataFrame], None]


def generate_chunks(n_rows: int, seed: int, chunk_rows: int = BLOCK_ROWS) -> Iterator[pl.DataFrame]:
    """Yield the first employees of a population, chunk by chunk.

    Parameters
    ----------
    n_rows : int
        How many employees, at least 1.
    seed : int
        Names the population; not negative.
    chunk_rows : int
        Most rows per chunk; a chunk is shorter where a block of `BLOCK_ROWS` ends.

    Yields
    ------
    polars.DataFrame
        Columns as in the reference file, ids unique over all chunks.

    Raises
    ------
    ValueError
        If a number is out of its range.

    Examples
    --------
    >>> sizes = [chunk.height for chunk in generate_chunks(250_000, seed=7)]
    >>> sizes
    [100000, 100000, 50000]
    >>> first, *_ = generate_chunks(3, seed=7)
    >>> first.columns[:3]
    ['Employee ID', 'Age', 'Gender']
    """
    if n_rows < 1 or seed < 0 or chunk_rows < 1:
        got = f"{n_rows}, {chunk_rows} and {seed}"
        raise ValueError(f"n_rows and chunk_rows must be at least 1 and seed at least 0; got {got}.")
    return _chunks(n_rows, seed, chunk_rows)


def write_population(
    path: Path | str, n_rows: int, seed: int, progress: Callable[[int], None] | None = None
) -> None:
    """Write the first employees of a population to a file.

    Parameters
    ----------
    path : Path or str
        Ends in .csv, .csv.gz or .parquet; an existing file is replaced, and only once the new one is whole.
    n_rows, seed : int
        As in `generate_chunks`. The same numbers give the same bytes.
    progress : callable, optional
        Called after each chunk with the number of rows written since the last call.

    Raises
    ------
    PopulationFileError
        If the name ends otherwise, or its folder does not exist.
    """
    path = Path(path)
    suffix = next((suffix for suffix in SUFFIXES[::-1] if path.name.endswith(suffix)), None)
    if suffix is None:
        raise PopulationFileError(path.name, f"the name must end in one of {', '.join(SUFFIXES)}")
    if not path.parent.is_dir():
        raise PopulationFileError(path.name, f"its folder '{path.parent}' does not exist")
    chunks = generate_chunks(n_rows, seed)
    handle, temporary = tempfile.mkstemp(prefix=".population-", suffix=".partial", dir=path.parent)
    try:
        with os.fdopen(handle, "wb") as file:
            _write_chunks(file, suffix, chunks, progress)
            file.flush()
            os.fsync(file.fileno())
        os.chmod(temporary, 0o644)  # mkstemp makes it private; this is made-up data to hand around
        os.replace(temporary, path)
    except BaseException:
        Path(temporary).unlink(missing_ok=True)
        raise


def _chunks(n_rows: int, seed: int, chunk_rows: int) -> Iterator[pl.DataFrame]:
    facts = population_facts()
    for block, start in enumerate(range(0, n_rows, BLOCK_ROWS)):
        # A whole block is drawn even where a part is asked for: that is what makes the prefix rule hold.
        rows = draw_block(facts, seed, block).head(n_rows - start)
        yield from rows.iter_slices(chunk_rows)


def _write_chunks(
    file: IO[bytes], suffix: str, chunks: Iterator[pl.DataFrame], progress: Callable[[int], None] | None
) -> None:
    with _SINKS[suffix](file) as sink:
        for chunk in chunks:
            sink(chunk)
            if progress is not None:
                progress(chunk.height)


@contextmanager
def _csv_sink(file: IO[bytes]) -> Iterator[Sink]:
    file.write((",".join(SOURCE_COLUMNS) + "\n").encode())
    yield lambda chunk: chunk.write_csv(file, include_header=False)


@contextmanager
def _gzip_sink(file: IO[bytes]) -> Iterator[Sink]:
    # Neither a name nor a time in the header, so that the bytes repeat.
    packed = gzip.GzipFile(filename="", mode="wb", compresslevel=5, fileobj=file, mtime=0)
    with packed, _csv_sink(cast(IO[bytes], packed)) as sink:
        yield sink


@contextmanager
def _parquet_sink(file: IO[bytes]) -> Iterator[Sink]:
    import pyarrow as pa
    import pyarrow.parquet as pq

    schema = pa.schema((name, pa.int64() if name in NUMBERS else pa.string()) for name in SOURCE_COLUMNS)
    with pq.ParquetWriter(file, schema, compression="zstd", write_page_checksum=True) as writer:

        def sink(chunk: pl.DataFrame) -> None:
            plain = chunk.with_columns(pl.col(pl.Enum).cast(pl.String))
            writer.write_table(plain.to_arrow(compat_level=pl.CompatLevel.oldest()).cast(schema))

        yield sink


_SINKS: Final = {".csv": _csv_sink, ".csv.gz": _gzip_sink, ".parquet": _parquet_sink}
