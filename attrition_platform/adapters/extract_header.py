"""Read the header of an extract, find its delimiter, and hold it against the contract.

Cells of the header are never quoted in a message, because in a file without a header they are an
employee's values; names of the contract are.
"""

from __future__ import annotations

import csv
import re
from collections.abc import Sequence
from dataclasses import dataclass, replace

from attrition_platform.adapters.text_scan import MAX_ROW_BYTES
from attrition_platform.contracts.model import Contract
from attrition_platform.errors import RefusedFileError

MAX_COLUMNS = 10_000
DELIMITERS = (",", ";", "\t")


@dataclass(frozen=True)
class Header:
    """First record of a file and what follows from it.

    Attributes
    ----------
    names : tuple of str
        Trimmed header cells, in the file's order; a nameless column is ``""``.
    delimiter : str
        The character between cells.
    extra : tuple of str
        Named columns that the contract does not know.
    n_label_columns : int
        0 when the file has no label column: all its rows are unlabelled.
    n_bytes : int
        Length of the record in a UTF-8 text.
    """

    names: tuple[str, ...]
    delimiter: str
    extra: tuple[str, ...] = ()
    n_label_columns: int = 1
    n_bytes: int = 0


def find_header(name: str, start: bytes, contract: Contract | None, delimiter: str | None = None) -> Header:
    """Read the header record and hold it against the contract.

    Parameters
    ----------
    start : bytes
        UTF-8 text from the beginning of the file, at least the header or `MAX_ROW_BYTES`.
    contract : Contract or None
        None when a contract is only to be drafted: then the most frequent delimiter counts.
    """
    record = _first_record(name, start)
    declared = delimiter or (contract.source.delimiter if contract else None)
    wanted = {column.source.strip() for column in contract.columns.values()} if contract else set()
    readings = {mark: _cells(record, mark) for mark in ([declared] if declared else DELIMITERS)}
    best = max(readings, key=lambda mark: (len(wanted.intersection(readings[mark])), len(readings[mark])))
    names = tuple(readings[best])
    if len(names) > MAX_COLUMNS:
        raise RefusedFileError(
            name, "too-many-columns", f"{len(names)} columns; at most {MAX_COLUMNS} are read.", line=1
        )
    return check_header(name, Header(names, best, n_bytes=len(record.encode())), contract)


def check_header(name: str, header: Header, contract: Contract | None) -> Header:
    """Refuse a header in which a name stands twice or a column of the contract is missing.

    The label column may be missing: then every row is unlabelled. A column of kind ``ignore`` may too.
    """
    names = header.names
    repeated = (
        {cell for cell in names if cell and names.count(cell) > 1} if len(set(names)) < len(names) else set()
    )
    if contract is None:
        if repeated:
            raise RefusedFileError(name, "duplicate-header", _positions(names, repeated), line=1)
        return header
    known = {column.source.strip(): column for column in contract.columns.values()}
    missing = [s for s, c in known.items() if s not in names and c.kind not in ("label", "ignore")]
    if missing:
        raise RefusedFileError(name, "header", _missing_advice(names, missing, header.delimiter), line=1)
    if repeated:
        raise RefusedFileError(name, "duplicate-header", _positions(names, repeated), line=1)
    extra = tuple(cell for cell in names if cell and cell not in known)
    if (extra or "" in names) and not contract.source.allow_extra_columns:
        raise RefusedFileError(
            name,
            "extra-columns",
            f"The contract allows no further columns, and there are {len(names) - len(known)} of them.",
            line=1,
        )
    return replace(header, extra=extra, n_label_columns=int(known_label(contract) in names))


def known_label(contract: Contract) -> str:
    """Header name of the label."""
    return contract.columns[contract.label].source.strip()


def _first_record(name: str, start: bytes) -> str:
    text = start.decode(errors="ignore")
    if not text.strip():
        raise RefusedFileError(name, "empty", "It holds nothing but white space. Export it again.")
    if text[0] == "#":
        raise RefusedFileError(
            name, "comment", "It begins with a comment. Remove the lines before the header.", line=1
        )
    if text[0] in "\r\n":
        raise RefusedFileError(
            name, "header", "It begins with an empty line. Remove the lines before the header.", line=1
        )
    inside = False
    for match in re.finditer(r'["\r\n]', text):
        if match.group() == '"':
            inside = not inside
        elif not inside:
            return text[: match.start()]
    if len(start) >= MAX_ROW_BYTES:
        raise RefusedFileError(name, "row-too-long", f"The header exceeds {MAX_ROW_BYTES} bytes.", line=1)
    return text


def _cells(record: str, delimiter: str) -> list[str]:
    try:
        cells = next(csv.reader([record], delimiter=delimiter), [])
    except csv.Error:
        return []
    return [cell.strip() for cell in cells]


def _positions(names: Sequence[str], repeated: set[str]) -> str:
    places = ", ".join(str(n) for n, cell in enumerate(names, start=1) if cell in repeated)
    return f"Columns {places[:200]} have the same name as another. Give every column its own name."


def _missing_advice(names: Sequence[str], missing: Sequence[str], delimiter: str) -> str:
    listed = ", ".join(f"'{source}'" for source in missing[:10])
    more = f" and {len(missing) - 10} more" if len(missing) > 10 else ""
    folded = {"".join(cell.casefold().split()) for cell in names}
    close = [source for source in missing if "".join(source.casefold().split()) in folded]
    hint = f" '{close[0]}' is there in another spelling: names must match exactly." if close else ""
    return (
        f"Of the contract's columns {listed}{more} can't be found among the {len(names)} cells of the "
        f"header, read with the delimiter {delimiter!r}.{hint} Correct the file or the contract."
    )
