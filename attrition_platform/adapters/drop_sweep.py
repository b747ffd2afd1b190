"""Take files out of a folder in which people and systems drop them.

A file is copied, judged and only then removed, so that a program that still holds it open, or a second
hard link, can't change afterwards what was taken. A process that dies in between leaves the file where it
was dropped; the next sweep knows its bytes and only tidies up.
"""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Iterable
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Generic, TypeVar

from attrition_platform.adapters.batches import batch_lock, keep_refused, staging
from attrition_platform.adapters.drop_folder import (
    SETTLE_SECONDS,
    Look,
    copy_bytes,
    is_being_written,
    look_at,
    standing,
    wait_until_still,
)
from attrition_platform.adapters.extract_streams import open_regular
from attrition_platform.errors import RefusedFileError

Taken = TypeVar("Taken")


@dataclass(frozen=True)
class RefusedFile:
    """A file that was refused whole.

    Attributes
    ----------
    name : str
        Its name in the folder, without control characters.
    reason, detail, line
        As in `RefusedFileError`.
    kept_in : Path or None
        Where it lies now; None when it stays in the folder because it can't be moved as a file.
    """

    name: str
    reason: str
    detail: str
    line: int | None
    kept_in: Path | None


@dataclass
class SweepReport(Generic[Taken]):
    """What one sweep did with every file.

    Attributes
    ----------
    accepted : list
        What was made of new files, in the order of their names.
    already_known : list of str
        Names of files whose bytes were taken before; removed from the folder.
    refused : list of RefusedFile
        Files that can't be read for what they are.
    left_alone : list of str
        Names of files that still grow, of unfinished downloads and of folders.
    """

    accepted: list[Taken] = field(default_factory=list)
    already_known: list[str] = field(default_factory=list)
    refused: list[RefusedFile] = field(default_factory=list)
    left_alone: list[str] = field(default_factory=list)

    def refuse(self, error: RefusedFileError, kept_in: Path | None = None) -> None:
        """Report a refused file."""
        self.refused.append(RefusedFile(error.file, error.reason, error.detail, error.line, kept_in))


def sweep_folder(
    entries: Iterable[Path],
    place: Path,
    contract_name: str,
    judge: Callable[[Path, SweepReport[Taken]], None],
    *,
    max_bytes: int,
    settle_seconds: float = SETTLE_SECONDS,
    clock: Callable[[], float] = time.time,
    sleep: Callable[[float], None] = time.sleep,
) -> SweepReport[Taken]:
    """Look at every entry of a folder once.

    Parameters
    ----------
    place : Path
        Folder of `batches/` and `refused/`.
    judge : callable
        Keeps what a copied file holds, and says so in the report. It may raise `RefusedFileError`: the copy
        is kept beside its reason then.
    max_bytes : int
        Larger files are refused unread, and stay where they are.
    settle_seconds : float
        How long to wait for a fresh file to stand still before it is left for the next sweep.
    clock, sleep : callable
        Wall clock in seconds and a pause; replaced in tests.
    """
    report: SweepReport[Taken] = SweepReport()
    candidates = [entry for entry in entries if _is_candidate(entry, report)]
    still = wait_until_still(candidates, settle_seconds, clock, sleep)
    for entry in candidates:
        if entry not in still:
            report.left_alone.append(entry.name)
            continue
        with batch_lock(place), suppress(FileNotFoundError), staging(place, contract_name) as folder:
            staged = folder / entry.name
            if not _copy(entry, still[entry], staged, max_bytes, report):
                continue
            try:
                judge(staged, report)
            except RefusedFileError as error:
                report.refuse(error, keep_refused(staged, place, error, contract_name))
            if look_at(entry) != still[entry]:  # the next file came under the same name while this was judged
                report.left_alone.append(entry.name)
                continue
            with suppress(PermissionError):  # a folder that we may only read: next time its bytes are known
                entry.unlink()
    return report


def _is_candidate(entry: Path, report: SweepReport[Taken]) -> bool:
    """Whether it may be a file to take; what is none is told in the report."""
    found = standing(entry)
    if found == "unfinished":
        report.left_alone.append(entry.name)
    if found == "bad-name":
        detail = "A name must be printable and may not hold '..'. Rename the file."
        report.refuse(RefusedFileError(_printable(entry.name), "bad-name", detail))
    return found == "candidate"


def _printable(name: str) -> str:
    return "".join(character if character.isprintable() else "?" for character in name)


def _copy(entry: Path, look: Look, staged: Path, max_bytes: int, report: SweepReport[Taken]) -> bool:
    """Copy a file with its time; false, and told, where it can't be had whole."""
    try:
        with open_regular(entry) as source:
            if is_being_written(source):
                report.left_alone.append(entry.name)
                return False
            n_bytes = os.fstat(source.fileno()).st_size
            _check_size(entry.name, n_bytes, max_bytes)
            copy_bytes(source, staged, n_bytes)
    except RefusedFileError as error:
        report.refuse(error)
        return False
    if look_at(entry) != look:
        report.left_alone.append(entry.name)
        return False
    os.utime(staged, ns=(look[2], look[2]))  # a large file is known again by its time, see standing_files
    return True


def _check_size(name: str, n_bytes: int, max_bytes: int) -> None:
    if n_bytes > max_bytes:
        detail = f"It has {n_bytes} bytes; files of up to {max_bytes} are read here. Split it."
        raise RefusedFileError(name, "too-large", detail)
