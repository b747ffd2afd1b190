"""Read a Parquet extract as text columns, as if it had been a CSV.

Typed values are written in the contract's own number format, so that one set of rules judges both:
a whole float becomes ``3`` (pandas turns whole numbers with gaps into floats), a timestamp at
midnight becomes its date, a truth value ``True`` or ``False``. Nested and binary columns are refused.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from attrition_platform.adapters.extract_streams import open_regular
from attrition_platform.adapters.text_scan import MAX_ROW_BYTES
from attrition_platform.errors import RefusedFileError

if TYPE_CHECKING:
    import polars as pl
    import pyarrow as pa

MAX_ROWS = 200_000_000
MAX_CHUNK_BYTES = 1 << 30


@contextmanager
def open_parquet(path: Path) -> Iterator[Any]:
    """Open a Parquet file whose footer can be read and whose size is believable."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    damaged = RefusedFileError(
        path.name, "truncated", "Its Parquet footer or a page can't be read. Copy the file again."
    )
    failed = False
    with open_regular(path) as source:
        try:
            file = pq.ParquetFile(source, page_checksum_verification=True)
            if file.metadata.num_rows > MAX_ROWS:
                raise RefusedFileError(
                    path.name,
                    "too-many-rows",
                    f"It claims {file.metadata.num_rows} rows; {MAX_ROWS} are read.",
                )
            yield file
        except (pa.ArrowInvalid, OSError, pa.ArrowNotImplementedError):
            failed = True
    if failed:
        raise damaged


def parquet_tables(path: Path, names: list[str], chunk_rows: int, decimal: str) -> Iterator[pa.Table]:
    """Give the named columns (trimmed names) as String columns in tables of at most `chunk_rows` rows."""
    import pyarrow as pa

    with open_parquet(path) as file:
        schema = file.schema_arrow
        trimmed = [name.strip() for name in schema.names]
        places = [trimmed.index(name) for name in names]
        for place in places:
            _check_type(path.name, schema.field(place), names[places.index(place)])
        columns = [schema.names[place] for place in places]
        for batch in file.iter_batches(batch_size=chunk_rows, columns=columns):
            table = pa.Table.from_batches([batch]).select(columns)
            yield pa.table([_as_text(path.name, column, decimal) for column in table.columns], names=names)


def _check_type(file: str, field: pa.Field, name: str) -> None:
    import pyarrow.types as types

    kind = field.type.value_type if types.is_dictionary(field.type) else field.type
    plain = (
        types.is_string(kind)
        or types.is_large_string(kind)
        or types.is_string_view(kind)
        or types.is_integer(kind)
        or types.is_floating(kind)
        or types.is_boolean(kind)
        or types.is_date(kind)
        or types.is_timestamp(kind)
        or types.is_decimal(kind)
        or types.is_null(kind)
    )
    if not plain:
        raise RefusedFileError(
            file, "column-type", f"Column '{name}' holds {kind}, which is no single value a row."
        )


def _as_text(file: str, column: pa.ChunkedArray, decimal: str) -> pa.ChunkedArray:
    import polars as pl
    import pyarrow as pa
    import pyarrow.compute as pc
    import pyarrow.types as types

    if types.is_dictionary(column.type):
        column = column.cast(column.type.value_type)
    series = pl.from_arrow(column)
    assert isinstance(series, pl.Series)
    text = _text_of(series, decimal)
    if series.dtype == pl.String and _longest(series) > MAX_ROW_BYTES:
        raise RefusedFileError(file, "row-too-long", f"A cell exceeds {MAX_ROW_BYTES} bytes.")
    return pa.chunked_array([pc.cast(text.to_arrow(), pa.large_string())])


def _text_of(series: pl.Series, decimal: str) -> pl.Series:
    import polars as pl

    if series.dtype == pl.String:
        return series
    if series.dtype == pl.Boolean:
        return series.replace_strict({True: "True", False: "False"}, return_dtype=pl.String)
    if series.dtype.is_float():
        whole = (series == series.floor()) & (series.abs() < 2.0**53)
        frame = pl.select(
            pl.when(whole)
            .then(series.cast(pl.Int64, strict=False).cast(pl.String))
            .otherwise(series.cast(pl.String))
        ).to_series()
        return frame.str.replace(".", decimal, literal=True)
    if series.dtype == pl.Datetime:
        iso = series.dt.to_string("iso")
        return iso.str.replace(r"[ T]00:00:00(\.0+)?$", "")
    return series.cast(pl.String).str.replace(".", decimal, literal=True)


def _longest(series: pl.Series) -> int:
    longest = series.str.len_bytes().max()
    return longest if isinstance(longest, int) else 0
