"""Open a file that somebody dropped, and give its bytes as UTF-8 text or say why not.

Nothing here trusts the name: what a file is comes from its first bytes, and the name has to agree.
Every stream is read in chunks, so that neither a 50 MB cell nor a gzip bomb reaches the memory.
"""

from __future__ import annotations

import codecs
import gzip
import hashlib
import io
import os
import stat
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO, Literal

from attrition_platform.errors import RefusedFileError

ExtractKind = Literal["csv", "csv.gz", "parquet"]

CHUNK_BYTES = 8 << 20
MAX_GZIP_RATIO = 200
MAX_TEXT_BYTES = 32 << 30
_RATIO_COUNTS_FROM = 16 << 20
_SUFFIXES: dict[str, ExtractKind] = {".csv": "csv", ".csv.gz": "csv.gz", ".parquet": "parquet"}
_UTF32 = (codecs.BOM_UTF32_LE, codecs.BOM_UTF32_BE)
_UTF16 = (codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)
_SAVE_AS = "Save it as CSV (UTF-8), .csv.gz or .parquet, then try again."


class HashingReader(io.RawIOBase):
    """Raw bytes of a file, hashed and counted as they pass."""

    def __init__(self, source: IO[bytes]) -> None:
        self._source = source
        self._sha256 = hashlib.sha256()
        self.n_bytes = 0

    def readable(self) -> bool:
        """Tell that bytes can be read."""
        return True

    def read(self, size: int = -1) -> bytes:
        """Read up to `size` bytes and take them into the hash."""
        data = self._source.read(size)
        self._sha256.update(data)
        self.n_bytes += len(data)
        return data

    def digest(self) -> str:
        """Hash the rest of the file and return the sha256 of all of it."""
        while self.read(CHUNK_BYTES):
            pass
        return self._sha256.hexdigest()


def suffix_kind(name: str) -> ExtractKind | None:
    """Kind that a file's name promises; None for an ending that is not taken.

    Examples
    --------
    >>> suffix_kind("June.CSV"), suffix_kind("june.csv.gz"), suffix_kind("june.xlsx")
    ('csv', 'csv.gz', None)
    """
    lowered = name.lower()
    return next((kind for suffix, kind in _SUFFIXES.items() if lowered.endswith(suffix)), None)


def open_regular(path: Path) -> IO[bytes]:
    """Open a regular file for reading; a link, FIFO, socket, device or folder is refused.

    The file is opened without following a link and without waiting for a FIFO's writer, and the
    decision is made on the open file, so that it can't be exchanged in between.
    """
    refusal = RefusedFileError(
        path.name, "not-a-regular-file", "It is a link, a folder, a FIFO or a device. Drop the file itself."
    )
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
    except FileNotFoundError:
        raise
    except OSError as error:
        if path.is_symlink() or not path.is_file():
            raise refusal from None
        raise RefusedFileError(
            path.name, "unreadable", f"The system says '{error.strerror}'. Correct its permissions."
        ) from None
    if not stat.S_ISREG(os.fstat(descriptor).st_mode):
        os.close(descriptor)
        raise refusal
    return os.fdopen(descriptor, "rb", buffering=0)


def find_kind(name: str, start: bytes) -> ExtractKind:
    """Tell what a file is from its first bytes, and refuse it if its name says something else."""
    promised = suffix_kind(name)
    if not start:
        raise RefusedFileError(name, "empty", "It has no bytes at all. Export it again.")
    actual = _content_kind(name, start)
    if promised is None:
        raise RefusedFileError(
            name, "wrong-extension", f"Only .csv, .csv.gz and .parquet are taken. {_SAVE_AS}"
        )
    if promised != actual:
        # Whatever begins like nothing else is read as text: that is no proof that it is a table.
        found = "its content is not" if actual == "csv" else f"its content is {actual}"
        detail = f"The name promises {promised}, and {found}. Name it for what it is, or export it again."
        raise RefusedFileError(name, "wrong-extension", detail)
    return actual


def _content_kind(name: str, start: bytes) -> ExtractKind:
    if start.startswith(b"PK\x03\x04") or start.startswith(b"\xd0\xcf\x11\xe0"):
        raise RefusedFileError(name, "excel", f"It is an Excel workbook or a zip archive. {_SAVE_AS}")
    if start.lstrip().startswith((b"<", b"{", b"[{", b"%PDF")):
        raise RefusedFileError(name, "not-a-table", f"It is a web page or a document, no table. {_SAVE_AS}")
    if start.startswith(b"PAR1"):
        return "parquet"
    return "csv.gz" if start.startswith(b"\x1f\x8b") else "csv"


def find_encoding(name: str, start: bytes, declared: str | None) -> str:
    """Encoding of a text by its first bytes and the contract: UTF-8 unless another is declared.

    Returns
    -------
    str
        A codec name; ``"utf-8-sig"`` stands for UTF-8 with or without byte-order mark.
    """
    if declared is not None:
        try:
            canonical = codecs.lookup(declared).name
        except LookupError:
            raise RefusedFileError(
                name, "encoding", f"The contract's source.encoding '{declared}' is no known encoding."
            ) from None
        return "utf-8-sig" if canonical == "utf-8" else canonical
    if start.startswith(codecs.BOM_UTF8):
        return "utf-8-sig"
    n_even, n_odd = start[0:64:2].count(0), start[1:64:2].count(0)
    guess = "utf-32" if start.startswith(_UTF32) else "utf-16" if start.startswith(_UTF16) else None
    if guess is None and start[:64].count(0) > 3 and 0 in (n_even, n_odd):
        guess = "utf-16-le" if n_even == 0 else "utf-16-be"
    if guess is not None:
        raise RefusedFileError(
            name,
            "encoding",
            f"It looks like {guess}; UTF-8 is expected. Save it as UTF-8, or declare "
            f'source.encoding = "{guess}" in the contract.',
        )
    return "utf-8-sig"


def unpacked_chunks(name: str, raw: HashingReader, kind: ExtractKind) -> Iterator[bytes]:
    """Give the bytes of a text file, decompressed if need be.

    Raises
    ------
    RefusedFileError
        ``"gzip-bomb"``, ``"truncated"`` or ``"damaged"``.
    """
    return _gunzipped(name, raw) if kind == "csv.gz" else iter(lambda: raw.read(CHUNK_BYTES), b"")


def utf8_chunks(name: str, chunks: Iterator[bytes], encoding: str) -> Iterator[bytes]:
    """Give a text as valid UTF-8 without byte-order mark.

    Raises
    ------
    RefusedFileError
        ``"encoding"``, with the line of the first byte that is not of the encoding.
    """
    decoder = codecs.getincrementaldecoder(encoding)()
    n_lines, at_start = 1, True
    for chunk in _and_an_end(chunks):
        try:
            text = decoder.decode(chunk, final=not chunk)
        except UnicodeDecodeError as error:
            # The bytes of a text of two or four bytes a character hold no line that could be counted.
            line = None if "16" in encoding or "32" in encoding else n_lines + _lines_before(error)
            advice = _encoding_advice(encoding)
        else:
            plain = _as_utf8(chunk, text, encoding, at_start)
            n_lines, at_start = n_lines + plain.count(b"\n"), at_start and not plain
            if plain:
                yield plain
            continue
        raise RefusedFileError(name, "encoding", advice, line=line)


def _lines_before(error: UnicodeDecodeError) -> int:
    return error.object[: error.start].count(b"\n")


def _as_utf8(chunk: bytes, text: str, encoding: str, at_start: bool) -> bytes:
    if encoding == "utf-8-sig":
        return chunk.removeprefix(codecs.BOM_UTF8) if at_start else chunk
    return (text.removeprefix("\ufeff") if at_start else text).encode()


def _and_an_end(chunks: Iterator[bytes]) -> Iterator[bytes]:
    yield from chunks
    yield b""


def _encoding_advice(encoding: str) -> str:
    if encoding != "utf-8-sig":
        return f"A byte here is not of the declared source.encoding '{encoding}'. Correct the contract."
    return (
        "A byte here is not UTF-8. Save the file as UTF-8; if it comes from Windows, declare "
        'source.encoding = "cp1252" in the contract.'
    )


def _gunzipped(name: str, raw: HashingReader) -> Iterator[bytes]:
    n_bytes = 0
    with gzip.GzipFile(fileobj=raw) as unpacked:
        while True:
            chunk = _read_gzip(name, unpacked)
            if not chunk:
                return
            n_bytes += len(chunk)
            too_dense = n_bytes > max(_RATIO_COUNTS_FROM, MAX_GZIP_RATIO * raw.n_bytes)
            if too_dense or n_bytes > MAX_TEXT_BYTES:
                raise RefusedFileError(
                    name,
                    "gzip-bomb",
                    f"{raw.n_bytes} bytes unpack to more than {n_bytes}; up to {MAX_GZIP_RATIO} times as "
                    f"many and {MAX_TEXT_BYTES} in all are read. Drop it uncompressed if it is honest.",
                )
            yield chunk


def _read_gzip(name: str, unpacked: gzip.GzipFile) -> bytes:
    try:
        return unpacked.read(CHUNK_BYTES // 4)
    except EOFError:
        reason, detail = "truncated", "The compressed data stops before its end. Copy the file again."
    except (gzip.BadGzipFile, zlib.error):
        reason, detail = "damaged", "The compressed data does not add up. Copy the file again."
    raise RefusedFileError(name, reason, detail)


@contextmanager
def utf8_file(path: Path, kind: ExtractKind, encoding: str) -> Iterator[io.RawIOBase]:
    """Give a text extract as a readable UTF-8 byte stream, for a parser that wants a file."""
    with open_regular(path) as source:
        yield _ChunkFile(
            utf8_chunks(path.name, unpacked_chunks(path.name, HashingReader(source), kind), encoding)
        )


class _ChunkFile(io.RawIOBase):
    def __init__(self, chunks: Iterator[bytes]) -> None:
        self._chunks = chunks
        self._left = b""

    def readable(self) -> bool:
        return True

    def read(self, size: int = -1) -> bytes:
        if not self._left:
            self._left = next(self._chunks, b"")
        if size < 0:
            data, self._left = self._left + b"".join(self._chunks), b""
        else:
            data, self._left = self._left[:size], self._left[size:]
        return data
