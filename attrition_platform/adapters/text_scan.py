"""Look at every byte of a CSV text before anything parses it.

A parser that meets a stray quote, a NUL or text that was encoded twice still returns rows, only the
wrong ones. So the bytes are looked at first, in chunks: quotes, NUL bytes, overlong rows and cells,
and text that was encoded twice.
"""

from __future__ import annotations

import csv
import re
from collections.abc import Iterator
from typing import TYPE_CHECKING

from attrition_platform.errors import RefusedFileError

if TYPE_CHECKING:
    import numpy as np

MAX_ROW_BYTES = 1 << 20
_QUOTE, _LF, _CR = 34, 10, 13
_MOJIBAKE_SAMPLE = 10_000


class TextScan:
    """Look at every byte of a CSV text once; `add` refuses what a parser would misread.

    Quotes follow RFC 4180: a quote opens at the beginning of a cell and closes at its end. Anything
    else is refused, since from there on no reader can tell rows from text.
    """

    def __init__(self, name: str, delimiter: str) -> None:
        self._name = name
        self._opens_after = frozenset((_QUOTE, _LF, _CR, ord(delimiter)))
        self._n_lines = 1
        self._inside = False
        self._opened_line = 1
        self._previous = _LF
        self._closing = False
        self._row_bytes = 0
        self._cell_bytes = 0
        self._strange: list[int] = [0, 0]
        self.has_quotes = False

    def add(self, chunk: bytes) -> None:
        """Take the next chunk.

        Raises
        ------
        RefusedFileError
            ``"nul-byte"``, ``"quote"``, ``"row-too-long"`` or ``"double-encoded"``, each with its line.
        """
        if (at := chunk.find(b"\0")) >= 0:
            raise self._refusal("nul-byte", "A text holds no NUL bytes: it is damaged.", chunk, at)
        if not chunk.isascii() and self._strange[1] < _MOJIBAKE_SAMPLE:
            self._look_for_mojibake(chunk)
        if self._inside or self._closing or b'"' in chunk:
            self._follow_quotes(chunk)
        self._measure_rows(chunk)
        self._n_lines += _n_line_ends(chunk, self._previous)
        self._previous = chunk[-1]

    def end(self) -> None:
        """Say that the text is over: a cell that is still open, or twice-encoded text, refuses it."""
        if self._inside:
            raise RefusedFileError(
                self._name, "quote", "The quote that opens here is never closed.", line=self._opened_line
            )
        strange, n_runs = self._strange
        if strange * 2 > n_runs:
            raise RefusedFileError(
                self._name,
                "double-encoded",
                f"{strange} of {n_runs} non-ASCII places are text that was encoded twice. "
                "Export it again as UTF-8, without converting it on the way.",
            )

    def _refusal(self, reason: str, detail: str, chunk: bytes, at: int) -> RefusedFileError:
        line = self._n_lines + _n_line_ends(chunk[:at], self._previous)
        return RefusedFileError(self._name, reason, detail, line=line)

    def _look_for_mojibake(self, chunk: bytes) -> None:
        for run in _NON_ASCII.findall(chunk.decode(errors="ignore")):
            self._strange[0] += _is_double_encoded(run)
            self._strange[1] += 1

    def _follow_quotes(self, chunk: bytes) -> None:
        import numpy as np

        self.has_quotes = True
        data = np.frombuffer(chunk, dtype=np.uint8)
        if self._closing:
            self._check_close(chunk, 0, self._opened_line)
        places = np.flatnonzero(data == _QUOTE)
        self._measure_cells(chunk, places)
        opening = (np.arange(places.size) + int(self._inside)) % 2 == 0
        self._check_places(chunk, data, places, opening)
        if places.size % 2:
            self._inside = not self._inside
        if opening.any():
            last = int(places[opening][-1])
            self._opened_line = self._line_of_quote(chunk, last)
        self._closing = bool(places.size and places[-1] == data.size - 1 and not opening[-1])

    def _check_places(
        self,
        chunk: bytes,
        data: np.ndarray,
        places: np.ndarray,
        opening: np.ndarray,
    ) -> None:
        import numpy as np

        before = np.where(places > 0, data[places - 1], self._previous) if places.size else places
        after = np.append(data, _LF)[places + 1]
        accepted = np.array(sorted(self._opens_after), dtype=np.uint8)
        wrong = ~np.isin(np.where(opening, before, after), accepted)
        if wrong.any():
            first = int(np.argmax(wrong))
            opened = first if opening[first] else first - 1
            raise RefusedFileError(
                self._name,
                "quote",
                "A quote stands where no cell begins or ends, so rows can't be told from text.",
                line=self._line_of_quote(chunk, int(places[opened]) if opened >= 0 else -1),
            )

    def _line_of_quote(self, chunk: bytes, at: int) -> int:
        """Line of an opening quote; -1 stands for the one that an earlier chunk left open."""
        return self._opened_line if at < 0 else self._n_lines + _n_line_ends(chunk[:at], self._previous)

    def _check_close(self, chunk: bytes, at: int, line: int) -> None:
        if chunk[at] not in self._opens_after:
            raise RefusedFileError(
                self._name, "quote", "A quoted cell goes on after its closing quote.", line=line
            )

    def _measure_cells(self, chunk: bytes, places: np.ndarray) -> None:
        """Refuse a quoted cell over the limit; its lines may be short, so `_measure_rows` can't tell."""
        import numpy as np

        stretches = np.diff(places, prepend=-self._cell_bytes, append=len(chunk))
        first_quoted = 0 if self._inside else 1
        too_long = np.flatnonzero(stretches[first_quoted::2] > MAX_ROW_BYTES) * 2 + first_quoted
        if too_long.size:
            opened = int(places[too_long[0] - 1]) if too_long[0] else -1
            raise RefusedFileError(
                self._name,
                "row-too-long",
                f"A quoted cell exceeds {MAX_ROW_BYTES} bytes: no cell of HR data does.",
                line=self._line_of_quote(chunk, opened),
            )
        ends_inside = self._inside != bool(places.size % 2)
        self._cell_bytes = int(stretches[-1]) if ends_inside else 0

    def _measure_rows(self, chunk: bytes) -> None:
        """Refuse a line over the limit by jumping from line end to line end, at most 1 MiB at a time."""
        start = 0
        while len(chunk) - start + self._row_bytes > MAX_ROW_BYTES:
            stop = start + MAX_ROW_BYTES - self._row_bytes
            end = max(chunk.rfind(b"\n", start, stop + 1), chunk.rfind(b"\r", start, stop + 1))
            if end < 0:
                raise self._refusal(
                    "row-too-long",
                    f"A row exceeds {MAX_ROW_BYTES} bytes: no cell of HR data does.",
                    chunk,
                    start,
                )
            start, self._row_bytes = end + 1, 0
        last = max(chunk.rfind(b"\n", start), chunk.rfind(b"\r", start))
        self._row_bytes = len(chunk) - last - 1 if last >= 0 else self._row_bytes + len(chunk) - start


def _n_line_ends(chunk: bytes, previous: int) -> int:
    """Count line ends of any kind: ``\\n``, ``\\r\\n`` and a lone ``\\r``."""
    n_lone_returns = chunk.count(b"\r") - chunk.count(b"\r\n") if b"\r" in chunk else 0
    return chunk.count(b"\n") + n_lone_returns - int(previous == _CR and chunk[:1] == b"\n")


_NON_ASCII = re.compile(r"[^\x00-\x7f]+")


def _is_double_encoded(run: str) -> bool:
    """Tell whether text is UTF-8 that somebody read as Windows-1252 and encoded again.

    Examples
    --------
    >>> _is_double_encoded("â€™"), _is_double_encoded("’"), _is_double_encoded("é")
    (True, False, False)
    """
    try:
        as_bytes = b"".join(_windows_byte(character) for character in run)
        again = as_bytes.decode("utf-8")
    except UnicodeError:
        return False
    return len(again) < len(run)


def _windows_byte(character: str) -> bytes:
    # The five bytes that Windows-1252 leaves undefined come through as C1 control characters.
    return bytes((ord(character),)) if 0x80 <= ord(character) < 0xA0 else character.encode("cp1252")


def ragged_line(chunks: Iterator[bytes], delimiter: str, n_cells: int) -> int | None:
    """Find the first line whose number of cells is not the header's, after a parser has refused.

    The parser's own message holds the row, so it is not used.
    """
    lines = _text_lines(chunks)
    try:
        reader = csv.reader(lines, delimiter=delimiter)
        for cells in reader:
            if cells and len(cells) != n_cells:
                return reader.line_num
    except csv.Error:
        return None
    return None


def _text_lines(chunks: Iterator[bytes]) -> Iterator[str]:
    left = b""
    for chunk in chunks:
        *lines, left = (left + chunk).replace(b"\r\n", b"\n").replace(b"\r", b"\n").split(b"\n")
        yield from (line.decode(errors="replace") + "\n" for line in lines)
    if left:
        yield left.decode(errors="replace")
