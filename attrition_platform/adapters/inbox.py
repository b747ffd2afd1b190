"""Take in what lies in the inbox: accept, recognise, refuse, or leave alone until it is finished.

A file is copied, judged and only then removed from the inbox, so that a program that still holds it
open, or a second hard link, can't change a batch afterwards. A process that dies in between leaves
the file in the inbox; the next sweep knows its bytes and only tidies up.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path

from attrition_platform.adapters.batches import Batch, accept_staged, batch_lock, keep_refused, staging
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
from attrition_platform.contracts.model import Contract
from attrition_platform.errors import RefusedFileError


@dataclass(frozen=True)
class RefusedFile:
    """A file that was refused whole.

    Attributes
    ----------
    name : str
        Its name in the inbox, without control characters.
    reason, detail, line
        As in `RefusedFileError`.
    kept_in : Path or None
        Where it lies now; None when it stays in the inbox because it can't be moved as a file.
    """

    name: str
    reason: str
    detail: str
    line: int | None
    kept_in: Path | None


@dataclass
class SweepReport:
    """What one sweep did with every file.

    Attributes
    ----------
    accepted : list of Batch
        New batches, in the order of their names.
    already_known : list of str
        Names of files whose bytes are a batch already; removed from the inbox.
    refused : list of RefusedFile
        Files that can't be read for what they are.
    left_alone : list of str
        Names of files that still grow, of unfinished downloads and of folders.
    """

    accepted: list[Batch] = field(default_factory=list)
    already_known: list[str] = field(default_factory=list)
    refused: list[RefusedFile] = field(default_factory=list)
    left_alone: list[str] = field(default_factory=list)


def sweep_inbox(
    inbox: Path,
    data_dir: Path,
    contract: Contract,
    *,
    settle_seconds: float = SETTLE_SECONDS,
    clock: Callable[[], float] = time.time,
    sleep: Callable[[float], None] = time.sleep,
) -> SweepReport:
    """Look at every entry of the inbox once.

    Parameters
    ----------
    inbox, data_dir : Path
        Where files are dropped, and the folder of `batches/` and `refused/`.
    settle_seconds : float
        How long to wait for a fresh file to stand still before it is left for the next sweep.
    clock, sleep : callable
        Wall clock in seconds and a pause; replaced in tests.

    Returns
    -------
    SweepReport
        Empty lists when the inbox is empty.
    """
    inbox.mkdir(parents=True, exist_ok=True)
    report = SweepReport()
    entries = [entry for entry in sorted(inbox.iterdir()) if is_candidate(entry, report)]
    still = wait_until_still(entries, settle_seconds, clock, sleep)
    for entry in entries:
        if entry not in still:
            report.left_alone.append(entry.name)
            continue
        with batch_lock(data_dir), suppress(FileNotFoundError):
            _take(entry, still[entry], data_dir, contract, report)
    return report


def is_candidate(entry: Path, report: SweepReport) -> bool:
    """Whether it may be an extract; what is none is told in the report."""
    found = standing(entry)
    if found == "unfinished":
        report.left_alone.append(entry.name)
    if found == "bad-name":
        detail = "A name must be printable and may not hold '..'. Rename the file."
        _refuse(report, RefusedFileError(_printable(entry.name), "bad-name", detail), None)
    return found == "candidate"


def _printable(name: str) -> str:
    return "".join(character if character.isprintable() else "?" for character in name)


def _refuse(report: SweepReport, error: RefusedFileError, kept_in: Path | None) -> None:
    report.refused.append(RefusedFile(error.file, error.reason, error.detail, error.line, kept_in))


def _take(entry: Path, look: Look, data_dir: Path, contract: Contract, report: SweepReport) -> None:
    with staging(data_dir, contract.name) as folder:
        staged = folder / entry.name
        try:
            with open_regular(entry) as source:
                if is_being_written(source):
                    report.left_alone.append(entry.name)
                    return
                copy_bytes(source, staged)
        except RefusedFileError as error:
            _refuse(report, error, None)
            return
        if look_at(entry) != look:
            report.left_alone.append(entry.name)
            return
        _judge(staged, data_dir, contract, report)
        with suppress(PermissionError):  # an inbox that we may only read: next time its bytes are known
            entry.unlink()


def _judge(staged: Path, data_dir: Path, contract: Contract, report: SweepReport) -> None:
    name = staged.name
    try:
        batch, is_new = accept_staged(staged, data_dir, contract, "inbox")
    except RefusedFileError as error:
        _refuse(report, error, keep_refused(staged, data_dir, error, contract.name))
        return
    if is_new:
        report.accepted.append(batch)
    else:
        report.already_known.append(name)
