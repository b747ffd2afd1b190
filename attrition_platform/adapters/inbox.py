"""Take in what lies in the inbox: accept, recognise, refuse, or leave alone until it is finished.

A file is copied, judged and only then removed from the inbox, so that a program that still holds it
open, or a second hard link, can't change a batch afterwards. A process that dies in between leaves
the file in the inbox; the next sweep knows its bytes and only tidies up.
"""

from __future__ import annotations

import errno
import fcntl
import os
import shutil
import signal
import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO

from attrition_platform.adapters.batches import Batch, accept_staged, batch_lock, keep_refused, staging
from attrition_platform.adapters.extract_streams import open_regular
from attrition_platform.contracts.model import Contract
from attrition_platform.errors import RefusedFileError

SETTLE_SECONDS = 2.0
_QUIET_SECONDS = 1.0
_LOOK_SECONDS = 0.1
_UNFINISHED = (".part", ".partial", ".tmp", ".crdownload", ".filepart", ".swp")

Look = tuple[int, int, int]


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
    entries = [entry for entry in sorted(inbox.iterdir()) if _is_candidate(entry, report)]
    still = _wait_until_still(entries, settle_seconds, clock, sleep)
    for entry in entries:
        if entry not in still:
            report.left_alone.append(entry.name)
            continue
        with batch_lock(data_dir), suppress(FileNotFoundError):
            _take(entry, still[entry], data_dir, contract, report)
    return report


def _is_candidate(entry: Path, report: SweepReport) -> bool:
    """Sort out what is no extract at all; links and devices go on, to be refused with a reason."""
    if entry.name.startswith(".") and not entry.name.startswith(".."):
        return False
    if entry.name.lower().endswith(_UNFINISHED) or (entry.is_dir() and not entry.is_symlink()):
        report.left_alone.append(entry.name)
        return False
    if ".." in entry.name or not entry.name.isprintable():
        detail = "A name must be printable and may not hold '..'. Rename the file."
        _refuse(report, RefusedFileError(_printable(entry.name), "bad-name", detail), None)
        return False
    return True


def _printable(name: str) -> str:
    return "".join(character if character.isprintable() else "?" for character in name)


def _refuse(report: SweepReport, error: RefusedFileError, kept_in: Path | None) -> None:
    report.refused.append(RefusedFile(error.file, error.reason, error.detail, error.line, kept_in))


def _wait_until_still(
    entries: list[Path], settle_seconds: float, clock: Callable[[], float], sleep: Callable[[float], None]
) -> dict[Path, Look]:
    """Files whose size and time did not change for a second, with how they look then.

    A file that was last written longer ago needs only two equal looks; a time stamp may lie, so one
    look is never enough.
    """
    start = clock()
    seen: dict[Path, tuple[Look | None, float]] = {entry: (_look(entry), start) for entry in entries}
    still: dict[Path, Look] = {}
    while len(still) < len(seen):
        sleep(_LOOK_SECONDS)
        now = clock()
        for entry in (entry for entry in seen if entry not in still):
            look, since = _look(entry), seen[entry][1]
            if look != seen[entry][0]:
                seen[entry] = (look, now)
            elif look is not None and (now - since >= _QUIET_SECONDS or _is_old(look, start)):
                still[entry] = look
        if now - start >= settle_seconds:
            break
    return still


def _look(entry: Path) -> Look | None:
    try:
        facts = entry.lstat()
    except FileNotFoundError:
        return None
    return facts.st_ino, facts.st_size, facts.st_mtime_ns


def _is_old(look: Look, now: float) -> bool:
    return now - look[2] / 1e9 >= _QUIET_SECONDS


def _take(entry: Path, look: Look, data_dir: Path, contract: Contract, report: SweepReport) -> None:
    with staging(data_dir, contract.name) as folder:
        staged = folder / entry.name
        try:
            with open_regular(entry) as source:
                if _is_being_written(source):
                    report.left_alone.append(entry.name)
                    return
                _copy(source, staged)
        except RefusedFileError as error:
            _refuse(report, error, None)
            return
        if _look(entry) != look:
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


def _copy(source: IO[bytes], staged: Path) -> None:
    with staged.open("wb") as copy:
        shutil.copyfileobj(source, copy, 8 << 20)


def _is_being_written(source: IO[bytes]) -> bool:
    """Ask the system whether any process holds the file open for writing.

    Linux grants a read lease only when nobody does. The lease is given back at once; where leases
    do not exist (network file systems, another owner's file) only standing still counts.
    """
    descriptor = source.fileno()
    try:
        # Should a writer come in between, it is told with a signal that does nothing by default.
        fcntl.fcntl(descriptor, fcntl.F_SETSIG, signal.SIGURG)
        fcntl.fcntl(descriptor, fcntl.F_SETLEASE, fcntl.F_RDLCK)
    except OSError as error:
        return error.errno in (errno.EAGAIN, errno.EACCES) and os.fstat(descriptor).st_uid == os.geteuid()
    fcntl.fcntl(descriptor, fcntl.F_SETLEASE, fcntl.F_UNLCK)
    return False
