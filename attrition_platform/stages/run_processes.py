"""Which process works on a run, so that a run whose process is gone can be told from one that works."""

from __future__ import annotations

import os
import socket
from pathlib import Path

PROCESS_TAG = "attrition/process"


def this_process() -> str:
    """Name this process for good: its machine, the machine's boot, its number, and when it began.

    >>> is_gone(this_process())
    False
    """
    return f"{_machine()}/{_boot()}/{os.getpid()}/{_began(os.getpid())}"


def is_gone(process: str) -> bool:
    """Whether a process named by `this_process` has ended.

    Whatever ran before this machine was started again has ended. False for a process of another machine, of
    which nothing is known here, and for a text that names none. Names of older runs lack the machine.

    >>> is_gone("another-machine/boot/1/1"), is_gone(f"{_machine()}/earlier-boot/1/1")
    (False, True)
    >>> is_gone("another-boot/1/1"), is_gone(f"{_boot()}/{os.getpid()}/1")
    (False, True)
    """
    parts = process.split("/")
    if len(parts) not in (3, 4) or not parts[-2].isdigit():
        return False
    boot, pid, began = parts[-3:]
    if len(parts) == 4 and parts[0] != _machine():
        return False
    if boot != _boot():
        return len(parts) == 4
    return _began(int(pid)) != began


def _machine() -> str:
    """Its id with its host name: copies of one image share the id, containers of one machine the boot."""
    try:
        known = Path("/etc/machine-id").read_text(encoding="ascii").strip()
    except (OSError, UnicodeDecodeError):
        known = ""
    return f"{known}.{socket.gethostname()}".replace("/", "_")


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
