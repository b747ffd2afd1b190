"""Tables for people: CSV or Parquet whose cells no spreadsheet takes for a formula.

A text cell that begins like a formula gets an apostrophe in front (OWASP, "CSV Injection"); numbers
stay numbers. A file appears under its name only when it is whole.
"""

from __future__ import annotations

import gzip
import os
import tempfile
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any, Final, cast

from attrition_platform.errors import AttritionError

if TYPE_CHECKING:
    import polars as pl

SUFFIXES: Final = (".csv", ".csv.gz", ".parquet")
Sink = Callable[["pl.DataFrame"], None]

# Tab, line ends and the full-width signs begin a formula in some spreadsheets, too.
FORMULA_STARTS: Final = "=+-@\t\r\n＝＋－＠"


class ExportError(AttritionError):
    """A table can't be written to that name."""

    exit_code = 2

    def __init__(self, file: str, rule: str) -> None:
        self.file = file
        self.rule = rule
        super().__init__(f"Nothing is written to '{file}': {rule}.")


def neutralised(frame: pl.DataFrame) -> pl.DataFrame:
    """Put an apostrophe before every text that a spreadsheet could take for a formula.

    Parameters
    ----------
    frame : DataFrame
        Only its columns of text change; categories become text.

    Examples
    --------
    >>> import polars as pl
    >>> neutralised(pl.DataFrame({"id": ["=1+1", "17", None], "score": [-0.5, 1.0, 2.0]})).rows()
    [("'=1+1", -0.5), ('17', 1.0), (None, 2.0)]
    """
    import polars as pl
    import polars.selectors as cs

    texts = frame.with_columns((cs.enum() | cs.categorical()).cast(pl.String))
    return texts.with_columns(
        pl.when(pl.col(name).str.slice(0, 1).is_in(list(FORMULA_STARTS)))
        .then(pl.lit("'") + pl.col(name))
        .otherwise(pl.col(name))
        .alias(name)
        for name in texts.select(cs.string()).columns
    )


def check_export(path: Path, *, force: bool) -> None:
    """Refuse a name that can't be written, before any work is done.

    Raises
    ------
    ExportError
        If the name ends otherwise, the folder does not exist, or the file does and `force` is not set.
    """
    if _suffix(path) is None:
        raise ExportError(path.name, f"the name must end in one of {', '.join(SUFFIXES)}")
    if not path.parent.is_dir():
        raise ExportError(path.name, "its folder does not exist")
    if path.is_dir():
        raise ExportError(path.name, "a folder has that name")
    if path.exists() and not force:
        raise ExportError(path.name, "it exists already; choose another name, or give --force")


@contextmanager
def export_to(path: Path, *, force: bool = False) -> Iterator[Sink]:
    """Give a function that takes frames, chunk by chunk; the file appears when the block ends well.

    Parameters
    ----------
    path : Path
        Ends in .csv, .csv.gz or .parquet. Only its owner can read the file: it is about people.
    force : bool
        Whether an existing file is replaced.

    Raises
    ------
    ExportError
        As in `check_export`, or when the file came into being meanwhile.
    """
    check_export(path, force=force)
    handle, temporary = tempfile.mkstemp(prefix=".export-", suffix=".partial", dir=path.parent)
    try:
        with os.fdopen(handle, "wb") as file:
            with _SINKS[str(_suffix(path))](file) as write:
                yield lambda frame: write(neutralised(frame))
            file.flush()
            os.fsync(file.fileno())
        if force:
            os.replace(temporary, path)
        else:
            _link(temporary, path)
    finally:
        Path(temporary).unlink(missing_ok=True)


def _link(temporary: str, path: Path) -> None:
    """Give the file its name unless another has it by now; a rename would overwrite that one."""
    try:
        os.link(temporary, path)
    except FileExistsError:
        raise ExportError(path.name, "it exists already; choose another name, or give --force") from None
    except OSError:  # a file system without links
        check_export(path, force=False)
        os.replace(temporary, path)


def _suffix(path: Path) -> str | None:
    return next((suffix for suffix in SUFFIXES if path.name.lower().endswith(suffix)), None)


@contextmanager
def _csv_sink(file: IO[bytes]) -> Iterator[Sink]:
    is_first = True

    def write(frame: pl.DataFrame) -> None:
        nonlocal is_first
        frame.write_csv(file, include_header=is_first)
        is_first = False

    yield write


@contextmanager
def _gzip_sink(file: IO[bytes]) -> Iterator[Sink]:
    # Neither a name nor a time in the header, so that the bytes repeat.
    packed = gzip.GzipFile(filename="", mode="wb", compresslevel=5, fileobj=file, mtime=0)
    with packed, _csv_sink(cast(IO[bytes], packed)) as write:
        yield write


@contextmanager
def _parquet_sink(file: IO[bytes]) -> Iterator[Sink]:
    import polars as pl
    import pyarrow.parquet as pq

    with ExitStack() as stack:
        writer: Any = None

        def write(frame: pl.DataFrame) -> None:
            nonlocal writer
            table = frame.to_arrow(compat_level=pl.CompatLevel.oldest())
            if writer is None:
                writer = stack.enter_context(
                    pq.ParquetWriter(file, table.schema, compression="zstd", write_page_checksum=True)
                )
            writer.write_table(table)

        yield write


_SINKS: Final = {".csv": _csv_sink, ".csv.gz": _gzip_sink, ".parquet": _parquet_sink}
