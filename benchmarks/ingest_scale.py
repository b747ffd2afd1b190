"""How ingest to split grows: 10 thousand, 100 thousand, 1 and 10 million rows."""

from __future__ import annotations

import math
import os
import sys
import tempfile
from pathlib import Path
from typing import Final

from benchmarks.inputs import CHECKOUT, generated_extract
from benchmarks.measuring import Cost, measure_command
from benchmarks.result import Plot, Result

SIZES: Final = (10_000, 100_000, 1_000_000, 10_000_000)
MAX_SECONDS: Final = {1_000_000: 8.0, 10_000_000: 90.0}
MAX_EXPONENT: Final = 1.1
MAX_MIB: Final = 4096
SEED: Final = 11


def run() -> Result:
    """Measure each size in a process of its own; $ATTRITION_BENCH_MAX_ROWS leaves out the larger ones."""
    largest = int(os.environ.get("ATTRITION_BENCH_MAX_ROWS", SIZES[-1]))
    costs: dict[int, Cost] = {}
    with tempfile.TemporaryDirectory() as name:
        for n_rows in (size for size in SIZES if size <= largest):
            folder = Path(name) / str(n_rows)
            inbox = folder / "data" / "inbox"
            inbox.mkdir(parents=True)
            extract = generated_extract(folder, n_rows, SEED)
            extract.path.rename(inbox / "extract.csv")
            environment = os.environ | {
                "ATTRITION_DATA": str(folder / "data"),
                "ATTRITION_KEY_FILE": str(folder / "key"),
            }
            command = [sys.executable, "-m", "benchmarks.ingest_to_split"]
            costs[n_rows] = measure_command(command, environment=environment, cwd=CHECKOUT)
    exponent = _exponent(costs)
    return Result(
        title="From a file to the splits",
        finding=f"The work grows with rows to the power of {exponent:.2f} (target {MAX_EXPONENT}); "
        + "; ".join(
            f"{size:,} rows take {costs[size].wall_seconds:.1f} s (target {limit:.0f} s)"
            for size, limit in MAX_SECONDS.items()
            if size in costs
        )
        + f"; at most {max(c.peak_mib for c in costs.values()):,.0f} MiB (target {MAX_MIB:,}).",
        header=("rows", "wall s", "CPU s", "peak MiB"),
        rows=tuple((n, c.wall_seconds, c.cpu_seconds, c.peak_mib) for n, c in costs.items()),
        notes=(
            "CSV in the inbox to validated rows, features and splits, start-up and imports included. The "
            "exponent is the slope between 100,000 rows and the largest size, in CPU seconds.",
        ),
        plots=(
            Plot(
                "lines",
                tuple(costs),
                {"wall": tuple(c.wall_seconds for c in costs.values())},
                "seconds",
                "rows",
            ),
        ),
    )


def _exponent(costs: dict[int, Cost]) -> float:
    sizes = [size for size in costs if size >= 100_000] or list(costs)
    low, high = sizes[0], sizes[-1]
    if low == high:
        return math.nan
    return math.log(costs[high].cpu_seconds / costs[low].cpu_seconds) / math.log(high / low)
