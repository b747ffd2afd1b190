"""How long the command line and the code location take to start."""

from __future__ import annotations

import statistics
import sys
from typing import Final

from benchmarks.inputs import CHECKOUT
from benchmarks.measuring import measure_command
from benchmarks.result import Plot, Result

REPEATS: Final = 5
MAX_HELP_SECONDS: Final = 0.3
STARTS: Final = {
    "python -c pass": ["-c", "pass"],
    "attrition --help": ["-m", "attrition_platform.cli", "--help"],
    "import dagster": ["-c", "import dagster"],
    "load the code location": ["-c", "import attrition_platform.definitions"],
}


def run() -> Result:
    """Start each a few times, in turns, and take the median."""
    seconds: dict[str, list[float]] = {name: [] for name in STARTS}
    for _ in range(REPEATS):
        for name, arguments in STARTS.items():
            cost = measure_command([sys.executable, *arguments], cwd=CHECKOUT)
            seconds[name].append(cost.wall_seconds)
    median = {name: statistics.median(values) for name, values in seconds.items()}
    more = median["attrition --help"] - median["python -c pass"]
    return Result(
        title="Start-up",
        finding=f"`attrition --help` takes {more:.2f} s more than `python -c pass` "
        f"(target {MAX_HELP_SECONDS} s).",
        header=("start", "seconds"),
        rows=tuple(median.items()),
        notes=(f"Median of {REPEATS} starts, in turns.",),
        plots=(Plot("bars", tuple(median), {"seconds": tuple(median.values())}, "seconds"),),
    )
