"""What a request's body says: one employee, many of them as JSON, or a table; or why it is none of these.

Nothing is guessed: a field that is sent twice is refused, and a number that JSON does not have (NaN, or
too large to be finite) is told by its place. A body costs little before it is known to be too large.
"""

from __future__ import annotations

import csv
import io
import json
import math
from collections import Counter
from collections.abc import Iterable, Iterator
from itertools import islice
from typing import Any

import msgspec

from attrition_platform.contracts.employee import MAX_PROBLEMS, harmless_name
from attrition_platform.contracts.model import Contract
from attrition_platform.errors import FieldProblem
from attrition_platform.serving.replies import Reply, problem

MAX_BATCH = 5_000
_MAX_COLUMNS = 10_000
_MAX_LINES = 4 * MAX_BATCH  # empty ones included
_LOOKED_THROUGH_BYTES = 4 * 1024 * 1024
_decoder = msgspec.json.Decoder()
_FINITE = "a finite number, or null where the value may be missing"
_ONCE = "each field once"


def decode_object(body: bytes) -> dict[str, Any] | Reply:
    """Decode a JSON object, or say why it is none."""
    try:
        value = _decoder.decode(body)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        places = not_finite_places(body)
        if places:
            found = [FieldProblem(place, "not-finite", _FINITE) for place in places]
            return problem(422, "invalid-employee", "JSON has no such number; correct 'errors'.", found)
        return problem(400, "malformed-json", "The body is no JSON text in UTF-8. Send one JSON object.")
    if not isinstance(value, dict):
        return problem(422, "not-an-object", "The body must be one JSON object, its fields by name.")
    return value


def decode_fields(body: bytes) -> dict[str, Any] | Reply:
    """Decode a JSON object that has each of its fields once, or say why it is none."""
    fields = decode_object(body)
    if isinstance(fields, Reply) or body.count(b":") == len(fields):
        return fields
    return _refuse_repeated(body) or fields


def decode_batch(body: bytes) -> list[dict[str, Any]] | Reply:
    """Decode ``{"employees": [{...}, ...]}``, or say what is wrong with it."""
    # No value of an employee is an object: so many braces are too many employees, or none of them is right.
    if body.count(b"{") > 2 * MAX_BATCH:
        return _not_a_batch()
    document = decode_object(body)
    if isinstance(document, Reply):
        return document
    rows = document.get("employees")
    if set(document) != {"employees"} or not isinstance(rows, list):
        return problem(422, "not-a-batch", 'Send one field, "employees": a list of JSON objects.')
    if not 1 <= len(rows) <= MAX_BATCH or not all(isinstance(row, dict) for row in rows):
        return _not_a_batch()
    if body.count(b":") == 1 + sum(map(len, rows)):
        return rows
    return _refuse_repeated(body) or rows


def decode_csv(body: bytes, contract: Contract) -> list[dict[str, str | None]] | Reply:
    """Read a CSV table with the extract's or the canonical column names, or say why it is none."""
    try:
        text = body.decode("utf-8-sig")
    except UnicodeDecodeError:
        return problem(400, "malformed-csv", "The table is not in UTF-8. Save it as CSV in UTF-8.")
    head = text.split("\n", 1)[0]
    delimiter = contract.source.delimiter or max(",;\t", key=head.count)
    if head.count(delimiter) >= _MAX_COLUMNS:
        return problem(422, "malformed-csv", f"The table may have at most {_MAX_COLUMNS} columns.")
    names = {column.source: name for name, column in contract.columns.items()}
    names |= {name: name for name in contract.columns}
    try:
        table = csv.reader(io.StringIO(text, newline=""), delimiter=delimiter, strict=True)
        header = [names.get(cell.strip(), cell.strip()) for cell in next(table, [])]
        if not header or len(set(header)) != len(header):
            return problem(422, "malformed-csv", "The first line must name the columns, each of them once.")
        # One more than is allowed tells enough.
        rows = list(islice(_cells(islice(table, _MAX_LINES), header, contract.label), MAX_BATCH + 1))
    except (csv.Error, ValueError) as error:
        where = f" (line {error.args[1]})" if len(error.args) > 1 else ""
        return problem(
            422,
            "malformed-csv",
            f"The table can't be read{where}: every line needs as many "
            "cells as the first one, and quotes must be closed.",
        )
    if not 1 <= len(rows) <= MAX_BATCH:
        return problem(422, "not-a-batch", f"The table must have 1 to {MAX_BATCH} employees.")
    return rows


def _cells(table: Iterable[list[str]], header: list[str], label: str) -> Iterator[dict[str, str | None]]:
    for number, row in enumerate(table, 2):
        if not row:
            continue
        if len(row) != len(header):
            raise ValueError("cells", number)
        # Who left is what is estimated: an extract has that column, and nobody looks at it here.
        yield {name: cell for name, cell in zip(header, row, strict=True) if name != label}


def not_finite_places(body: bytes) -> tuple[str, ...]:
    """Where a text that would be JSON otherwise has NaN or a number that no float holds.

    >>> not_finite_places(b'{"employees": [{"pay": 1}, {"pay": NaN}]}')
    ('employees.1.pay',)
    """
    if len(body) > _LOOKED_THROUGH_BYTES:
        return ()
    try:
        value = json.loads(body.decode())
    except (ValueError, RecursionError):
        return ()
    found: list[str] = []
    left: list[tuple[str, Any]] = [("", value)]
    while left and len(found) < MAX_PROBLEMS:
        place, one = left.pop()
        parts: Iterable[tuple[object, Any]] = ()
        if isinstance(one, dict):
            parts = ((harmless_name(name), inner) for name, inner in one.items())
        elif isinstance(one, list):
            parts = enumerate(one)
        elif isinstance(one, float) and not math.isfinite(one):
            found.append(place or "the body")
        left.extend((f"{place}.{name}" if place else str(name), inner) for name, inner in parts)
    return tuple(reversed(found))


def _refuse_repeated(body: bytes) -> Reply | None:
    """A refusal where an object has a field twice: readers of JSON differ in which one they take."""
    repeated: dict[str, None] = {}

    def look(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
        fields = dict(pairs)
        if len(fields) < len(pairs):
            times = Counter(name for name, _ in pairs)
            repeated.update((harmless_name(name), None) for name in times if times[name] > 1)
        return fields

    json.loads(body, object_pairs_hook=look)
    found = [FieldProblem(name, "repeated-field", _ONCE) for name in islice(repeated, MAX_PROBLEMS)]
    return problem(422, "invalid-employee", "A field is sent more than once.", found) if found else None


def _not_a_batch() -> Reply:
    return problem(422, "not-a-batch", f'"employees" must be a list of 1 to {MAX_BATCH} JSON objects.')
