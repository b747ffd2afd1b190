"""Which process works on a run, so that a run whose process is gone can be told from one that works."""

from __future__ import annotations

import os
from pathlib import Path

PROCESS_TAG = "attrition/process"


def this_process() -> str:
    """Name this process for good: its machine's boot, its number, and when it began.

    >>> is_gone(this_process())
    False
    """
    return f"{_boot()}/{os.getpid()}/{_began(os.getpid())}"


def is_gone(process: str) -> bool:
    """Whether a process named by `this_process` has ended.

    False for a process of another machine, of which nothing is known here, and for a text that names none.

    >>> is_gone("another-boot/1/1"), is_gone(f"{_boot()}/{os.getpid()}/1")
    (False, True)
    """
    boot, _, rest = process.partition("/")
    pid, _, began = rest.partition("/")
    return boot == _boot() and pid.isdigit() and _began(int(pid)) != began


def _boot() -> str:
    try:
        return Path("/proc/sys/kernel/random/boot_id").read_text(encoding="ascii").strip()
    except OSError:
        return "unknown"


def _began(pid: int) -> str:
    """Clock ticks from boot to the start of a process; empty where there is none (or it is a zombie)."""
    try:
        after_name = Path(f"/proc/{pid}/stat").read_text(encoding="utf-8").rpartition(") ")[2].split()
    except OSError:
        return ""
    return "" if after_name[0] == "Z" else after_name[19]
