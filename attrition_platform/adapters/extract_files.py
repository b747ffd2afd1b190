"""Read an HR extract as text columns by canonical name, or refuse it whole.

`inspect_extract` decides, `read_extract` gives the rows. Both take CSV, gzipped CSV and Parquet, use
a bounded amount of memory whatever the size of the file, and never shift, pad or coerce a cell: a
row with a cell too many or too few refuses the file with its line.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import dataclass, field, replace
from itertools import chain
from pathlib import Path
from typing import TYPE_CHECKING, Any

from attrition_platform.adapters.extract_header import Header, check_header, find_header
from attrition_platform.adapters.extract_streams import (
    ExtractKind,
    HashingReader,
    find_encoding,
    find_kind,
    open_regular,
    unpacked_chunks,
    utf8_chunks,
    utf8_file,
)
from attrition_platform.adapters.text_scan import MAX_ROW_BYTES, TextScan, ragged_line
from attrition_platform.contracts.model import Contract
from attrition_platform.errors import RefusedFileError

if TYPE_CHECKING:
    import polars as pl
    import pyarrow as pa

CHUNK_ROWS = 250_000
_BLOCK_BYTES = 8 << 20


@dataclass(frozen=True)
class ExtractFacts:
    """What a file turned out to be.

    Attributes
    ----------
    sha256 : str
        Of the file's bytes as they are.
    n_bytes, n_rows : int
        Size of the file and number of its data rows (blank lines are none); -1 when not counted.
    kind : {"csv", "csv.gz", "parquet"}
        From the content, and the name agrees.
    encoding : str
        Codec of the text; ``"utf-8-sig"`` is UTF-8 with or without byte-order mark; ``""`` for Parquet.
    delimiter : str
        Character between cells; ``""`` for Parquet.
    header : tuple of str
        Trimmed column names in the file's order.
    extra : tuple of str
        Columns that the contract does not know; they are not read.
    has_label : bool
        False when the label column is missing, so that every row is unlabelled.
    quoted : bool
        Whether any cell is quoted, and may then hold a line end.
    """

    sha256: str
    n_bytes: int
    n_rows: int
    kind: ExtractKind
    encoding: str
    delimiter: str
    header: tuple[str, ...]
    extra: tuple[str, ...] = ()
    has_label: bool = True
    quoted: bool = field(default=False)


def inspect_extract(path: Path, contract: Contract, *, count_rows: bool = True) -> ExtractFacts:
    """Look at a whole file once and tell what it is.

    Parameters
    ----------
    path : Path
        The file; never followed if it is a link.
    count_rows : bool
        Whether every record is held against the header, too. Without, `n_rows` is -1 and
        what is wrong with a single row shows only when the rows are read.

    Raises
    ------
    RefusedFileError
        If the file can't be read for what it is. `reason` is one of: not-a-regular-file, unreadable,
        wrong-extension, excel, not-a-table, empty, encoding, double-encoded, truncated, damaged,
        gzip-bomb, nul-byte, comment, header, duplicate-header, extra-columns, too-many-columns,
        quote, row-too-long, ragged-row, column-type, no-rows.
    """
    return _inspect(path, contract, contract.source.encoding, None, count_rows=count_rows)


def read_extract(
    path: Path, contract: Contract, chunk_rows: int = CHUNK_ROWS, *, facts: ExtractFacts | None = None
) -> Iterator[pl.DataFrame]:
    """Give the rows of an extract in chunks.

    Parameters
    ----------
    chunk_rows : int
        About how many rows a chunk has.
    facts : ExtractFacts or None
        What `inspect_extract` said about the same bytes; the file is inspected first when missing.

    Yields
    ------
    DataFrame
        String columns by canonical name in the contract's order, without ignored columns; the label
        is all null when the file has none. `row_number` (UInt32) counts data rows from 1. Missing
        cells of a text are ``""``.
    """
    facts = facts or inspect_extract(path, contract, count_rows=False)
    sources = {
        name: column.source.strip() for name, column in contract.columns.items() if column.kind != "ignore"
    }
    present = {name: source for name, source in sources.items() if source in facts.header}
    n_before = 0
    for table in _tables(path, facts, list(present.values()), chunk_rows, contract.source.decimal):
        yield _canonical_frame(table, sources, present, n_before)
        n_before += table.num_rows
    if n_before == 0:
        raise _no_rows(path.name)


def read_raw_text(
    path: Path, max_rows: int, *, encoding: str | None = None, delimiter: str | None = None
) -> pl.DataFrame:
    """Read the first rows of an extract that has no contract yet.

    Returns
    -------
    DataFrame
        String columns by header name (nameless columns are left out), at most `max_rows` rows.

    Raises
    ------
    RefusedFileError
        As `inspect_extract`.
    """
    import polars as pl
    import pyarrow as pa

    facts = _inspect(path, None, encoding, delimiter, count_rows=False)
    named = [cell for cell in facts.header if cell]
    tables: list[pa.Table] = []
    for table in _tables(path, facts, named, max_rows, "."):
        tables.append(table.slice(0, max_rows - sum(t.num_rows for t in tables)))
        if sum(t.num_rows for t in tables) >= max_rows:
            break
    if not tables:
        raise _no_rows(path.name)
    frame = pl.from_arrow(pa.concat_tables(tables).rename_columns(named))
    assert isinstance(frame, pl.DataFrame)
    return frame


def _inspect(
    path: Path, contract: Contract | None, encoding: str | None, delimiter: str | None, *, count_rows: bool
) -> ExtractFacts:
    with open_regular(path) as source:
        start = source.read(4096)
        kind = find_kind(path.name, start)
        source.seek(0)
        raw = HashingReader(source)
        if kind == "parquet":
            facts = _inspect_parquet(path, raw, contract)
        else:
            facts = _inspect_text(path.name, raw, kind, contract, encoding, delimiter)
    return replace(facts, n_rows=_count_rows(path, facts, contract)) if count_rows else facts


def _inspect_text(
    name: str,
    raw: HashingReader,
    kind: ExtractKind,
    contract: Contract | None,
    declared: str | None,
    delimiter: str | None,
) -> ExtractFacts:
    unpacked = unpacked_chunks(name, raw, kind)
    first = next(unpacked, b"")
    encoding = find_encoding(name, first[:4096], declared)
    chunks = utf8_chunks(name, chain([first], unpacked), encoding)
    beginning = b""
    for chunk in chunks:
        beginning += chunk
        if len(beginning) >= MAX_ROW_BYTES:
            break
    header = find_header(name, beginning, contract, delimiter)
    if not beginning[header.n_bytes :].strip(b"\r\n"):
        raise _no_rows(name)
    scan = TextScan(name, header.delimiter)
    for chunk in chain([beginning], chunks):
        scan.add(chunk)
    scan.end()
    return ExtractFacts(
        sha256=raw.digest(),
        n_bytes=raw.n_bytes,
        n_rows=-1,
        kind=kind,
        encoding=encoding,
        delimiter=header.delimiter,
        header=header.names,
        extra=header.extra,
        has_label=header.n_label_columns > 0,
        quoted=scan.has_quotes,
    )


def _inspect_parquet(path: Path, raw: HashingReader, contract: Contract | None) -> ExtractFacts:
    from attrition_platform.adapters.parquet_extracts import open_parquet

    with open_parquet(path) as file:
        names = tuple(name.strip() for name in file.schema_arrow.names)
        n_rows = file.metadata.num_rows
    header = check_header(path.name, Header(names, ""), contract)
    if n_rows == 0:
        raise _no_rows(path.name)
    return ExtractFacts(
        sha256=raw.digest(),
        n_bytes=raw.n_bytes,
        n_rows=n_rows,
        kind="parquet",
        encoding="",
        delimiter="",
        header=names,
        extra=header.extra,
        has_label=header.n_label_columns > 0,
    )


def _count_rows(path: Path, facts: ExtractFacts, contract: Contract | None) -> int:
    """Read the file once to its end, so that whatever is wrong with a row shows before it is accepted.

    The parser of a text holds every record against the header even if it keeps one column; Parquet
    shows a damaged page or an absurd cell only in the columns that are read.
    """
    wanted = _wanted(facts, contract)
    names = wanted if facts.kind == "parquet" else wanted[:1]
    n_rows = sum(int(table.num_rows) for table in _tables(path, facts, names, CHUNK_ROWS, "."))
    if n_rows == 0:
        raise _no_rows(path.name)
    return n_rows


def _wanted(facts: ExtractFacts, contract: Contract | None) -> list[str]:
    if contract is None:
        return [cell for cell in facts.header if cell]
    sources = [column.source.strip() for column in contract.columns.values() if column.kind != "ignore"]
    return [source for source in sources if source in facts.header]


def _no_rows(name: str) -> RefusedFileError:
    return RefusedFileError(name, "no-rows", "It has a header and no row. Export it again.")


def _tables(
    path: Path, facts: ExtractFacts, names: list[str], chunk_rows: int, decimal: str
) -> Iterator[pa.Table]:
    """Give the named columns as text, in tables of about `chunk_rows` rows."""
    import pyarrow as pa

    if facts.kind == "parquet":
        from attrition_platform.adapters.parquet_extracts import parquet_tables

        yield from parquet_tables(path, names, chunk_rows, decimal)
        return
    waiting: list[pa.RecordBatch] = []
    for batch in _text_batches(path, facts, names):
        waiting.append(batch)
        if sum(each.num_rows for each in waiting) >= chunk_rows:
            yield pa.Table.from_batches(waiting)
            waiting = []
    if waiting:
        yield pa.Table.from_batches(waiting)


def _text_batches(path: Path, facts: ExtractFacts, names: list[str]) -> Iterator[pa.RecordBatch]:
    import pyarrow as pa

    with ExitStack() as stack:
        if facts.kind == "csv" and facts.encoding == "utf-8-sig":
            open_regular(path).close()
            source: Any = str(path)
        else:
            source = pa.PythonFile(stack.enter_context(utf8_file(path, facts.kind, facts.encoding)), mode="r")
        yield from _parsed(path, facts, names, source)


def _parsed(path: Path, facts: ExtractFacts, names: list[str], source: Any) -> Iterator[pa.RecordBatch]:
    """Run the parser; its own messages quote rows, so they end here."""
    import pyarrow as pa
    from pyarrow import csv as arrow_csv

    numbered = [f"{n}" for n in range(len(facts.header))]
    places = [str(facts.header.index(name)) for name in names]
    refused = False
    try:
        reader = arrow_csv.open_csv(
            source,
            read_options=arrow_csv.ReadOptions(
                block_size=_BLOCK_BYTES, column_names=numbered, skip_rows_after_names=1
            ),
            parse_options=arrow_csv.ParseOptions(
                delimiter=facts.delimiter, newlines_in_values=facts.quoted, ignore_empty_lines=True
            ),
            convert_options=arrow_csv.ConvertOptions(
                column_types=dict.fromkeys(places, pa.string()),
                include_columns=places,
                strings_can_be_null=False,
                check_utf8=False,
            ),
        )
        yield from (batch for batch in reader if batch.num_rows)
    except pa.ArrowInvalid:
        refused = True
    if refused:
        raise _ragged(path, facts)


def _ragged(path: Path, facts: ExtractFacts) -> RefusedFileError:
    with open_regular(path) as source:
        unpacked = unpacked_chunks(path.name, HashingReader(source), facts.kind)
        chunks = utf8_chunks(path.name, unpacked, facts.encoding)
        line = ragged_line(chunks, facts.delimiter, len(facts.header))
    return RefusedFileError(
        path.name,
        "ragged-row",
        f"A row has not the {len(facts.header)} cells that the header announces. Nothing was shifted or "
        "filled in; correct the row, or quote cells that hold the delimiter.",
        line=line,
    )


def _canonical_frame(
    table: pa.Table, sources: dict[str, str], present: dict[str, str], n_before: int
) -> pl.DataFrame:
    import polars as pl

    frame = pl.from_arrow(table.rename_columns(list(present)))
    assert isinstance(frame, pl.DataFrame)
    absent = [pl.lit(None, dtype=pl.String).alias(name) for name in sources if name not in present]
    numbers = pl.int_range(n_before + 1, n_before + table.num_rows + 1, dtype=pl.UInt32).alias("row_number")
    return frame.with_columns(absent).select(*sources, numbers)
