"""What a command costs: wall seconds, CPU seconds and peak memory, its children included."""

from __future__ import annotations

import os
import subprocess
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True)
class Cost:
    """Cost of one finished process and of every child that it waited for.

    Attributes
    ----------
    wall_seconds, cpu_seconds : float
        Time on the clock; user and system time together.
    peak_mib : float
        Resident memory of the largest single process, not their sum.
    """

    wall_seconds: float
    cpu_seconds: float
    peak_mib: float


def measure_command(
    command: Sequence[str], *, environment: Mapping[str, str] | None = None, cwd: Path | None = None
) -> Cost:
    """Run a command to its end.

    Raises
    ------
    subprocess.CalledProcessError
        If it does not exit with 0: a failed run has no cost worth comparing. Carries its output.

    Examples
    --------
    >>> import sys
    >>> cost = measure_command([sys.executable, "-c", "sum(range(1_000_000))"])
    >>> cost.cpu_seconds > 0 and cost.peak_mib > 1
    True
    """
    variables = os.environ | dict(environment or {})
    start = time.perf_counter()
    with subprocess.Popen(
        command, env=variables, cwd=cwd, stdout=subprocess.PIPE, stderr=subprocess.STDOUT
    ) as process:
        assert process.stdout is not None
        output = process.stdout.read()
        # wait4 and not RUSAGE_CHILDREN: the latter would add up every child of this process so far.
        _, status, usage = os.wait4(process.pid, 0)
        wall = time.perf_counter() - start
        process.returncode = os.waitstatus_to_exitcode(status)
    if process.returncode:
        raise subprocess.CalledProcessError(process.returncode, list(command), output)
    return Cost(wall, usage.ru_utime + usage.ru_stime, usage.ru_maxrss / 1024)
