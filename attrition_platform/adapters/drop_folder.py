"""Folders into which people and systems drop files: what is one, and when it is finished."""

from __future__ import annotations

import errno
import fcntl
import os
import signal
from collections.abc import Callable
from pathlib import Path
from typing import IO, Literal

SETTLE_SECONDS = 2.0
_QUIET_SECONDS = 1.0
_LOOK_SECONDS = 0.1
_BLOCK_BYTES = 8 << 20
_UNFINISHED = (".part", ".partial", ".tmp", ".crdownload", ".filepart", ".swp")

Look = tuple[int, int, int]
Standing = Literal["candidate", "hidden", "unfinished", "bad-name"]


def standing(entry: Path) -> Standing:
    """Sort out what is no file to take at all; links and devices go on, to be refused with a reason."""
    if entry.name.startswith(".") and not entry.name.startswith(".."):
        return "hidden"
    if entry.name.lower().endswith(_UNFINISHED) or (entry.is_dir() and not entry.is_symlink()):
        return "unfinished"
    return "bad-name" if ".." in entry.name or not entry.name.isprintable() else "candidate"


def wait_until_still(
    entries: list[Path], settle_seconds: float, clock: Callable[[], float], sleep: Callable[[float], None]
) -> dict[Path, Look]:
    """Files whose size and time did not change for a second, with how they look then.

    A file that was last written longer ago needs only two equal looks; a time stamp may lie, so one
    look is never enough.
    """
    start = clock()
    seen: dict[Path, tuple[Look | None, float]] = {entry: (look_at(entry), start) for entry in entries}
    still: dict[Path, Look] = {}
    while len(still) < len(seen):
        sleep(_LOOK_SECONDS)
        now = clock()
        for entry in (entry for entry in seen if entry not in still):
            look, since = look_at(entry), seen[entry][1]
            if look != seen[entry][0]:
                seen[entry] = (look, now)
            elif look is not None and (now - since >= _QUIET_SECONDS or is_old(look, start)):
                still[entry] = look
        if now - start >= settle_seconds:
            break
    return still


def look_at(entry: Path) -> Look | None:
    """Inode, size and time of a file; None where it is gone."""
    try:
        facts = entry.lstat()
    except FileNotFoundError:
        return None
    return facts.st_ino, facts.st_size, facts.st_mtime_ns


def is_old(look: Look, now: float) -> bool:
    """Whether it was last written at least a second before `now`."""
    return now - look[2] / 1e9 >= _QUIET_SECONDS


def copy_bytes(source: IO[bytes], staged: Path, n_bytes: int) -> None:
    """Copy so many bytes of an open file, and no more should it grow meanwhile."""
    with staged.open("wb") as copy:
        while n_bytes > 0 and (block := source.read(min(n_bytes, _BLOCK_BYTES))):
            copy.write(block)
            n_bytes -= len(block)


def is_being_written(source: IO[bytes]) -> bool:
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
