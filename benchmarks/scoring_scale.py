"""Ten million employees scored by the champion: seconds and memory of the asset's own code."""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
from typing import Final

from benchmarks.inputs import CHECKOUT
from benchmarks.measuring import measure_command
from benchmarks.result import Cell, Plot, Result

SIZES: Final = (1_000_000, 10_000_000)
CHUNK: Final = 1_000_000
MAX_MIB: Final = 4 * 1024

# Lays generated features of n employees into the store of a trained place, in the form of the asset's inputs.
_LAY_OUT: Final = """
import sys
from dataclasses import asdict
import numpy as np, polars as pl, pyarrow.parquet as pq, json
from attrition_platform.adapters.pointers import Pointers
from attrition_platform.settings import Settings
from attrition_platform.stages.platform import Platform
n, chunk = int(sys.argv[1]), int(sys.argv[2])
platform = Platform(Settings.from_environment())
pointers = Pointers(platform.pointers_dir)
contract = platform.contract
results = {"validated_employees": pointers.read("validated_employees")}
results |= {f"features/{g}": pointers.read(f"features/{g}") for g in contract.groups}
for name, result in results.items():
    ((file, sha256),) = result.files.items()
    known = pl.read_parquet(platform.file(sha256))
    with platform.steps.store.workspace() as folder:
        writer = None
        for start in range(0, n, chunk):
            rng = np.random.default_rng(start)
            rows = min(chunk, n - start)
            part = known[rng.integers(0, known.height, rows)]
            ids = pl.Series("pseudonym", [f"{i:032x}" for i in range(start, start + rows)])
            table = part.with_columns(ids).to_arrow()
            writer = writer or pq.ParquetWriter(folder / file, table.schema, compression="lz4")
            writer.write_table(table)
        writer.close()
        taken = platform.steps.store.take(folder / file)
    told = asdict(result) | {"files": {file: taken}, "data_version": taken}
    told["facts"] = told["facts"] | {"n_rows": n}
    (platform.settings.data_dir / f"{name.replace('/', '.')}.{n}.json").write_text(json.dumps(told))
"""
_SCORE: Final = """
import sys
from attrition_platform.adapters.step_cache import read_result
from attrition_platform.settings import Settings
from attrition_platform.stages.platform import Platform
from attrition_platform.stages.scored import score_employees
n = sys.argv[1]
platform = Platform(Settings.from_environment())
read = lambda name: read_result(platform.settings.data_dir / f"{name}.{n}.json")
groups = {g: read(f"features.{g}") for g in platform.contract.groups}
validated = read("validated_employees")
validated.facts["columns"] |= {"pseudonym": n, platform.contract.label: n}
score_employees(platform, validated, groups, print)
"""


def run() -> Result:
    """Train once, lay out the features, and score in a process of its own."""
    rows: list[tuple[Cell, ...]] = []
    with tempfile.TemporaryDirectory(prefix="attrition-bench-") as name:
        place = {
            "ATTRITION_DATA": f"{name}/data",
            "ATTRITION_KEY_FILE": f"{name}/key",
            "ATTRITION_ROWS": "20000",
            "OMP_NUM_THREADS": "1",
            "POLARS_MAX_THREADS": "2",
        }
        for command in (["-m", "attrition_platform.cli", "train"], *_laying_out()):
            subprocess.run(
                [sys.executable, *command],
                env=os.environ | place,
                cwd=CHECKOUT,
                check=True,
                capture_output=True,
            )
        for n in SIZES:
            cost = measure_command([sys.executable, "-c", _SCORE, str(n)], environment=place, cwd=CHECKOUT)
            rows.append((n, cost.wall_seconds, cost.cpu_seconds, n / cost.wall_seconds, cost.peak_mib))
    largest = rows[-1]
    return Result(
        title="Scoring at scale",
        finding=f"{largest[0]:,} employees are scored in {largest[1]:.0f} s with {largest[4]:,.0f} MiB "
        f"(target {MAX_MIB:,} MiB).",
        header=("employees", "seconds", "CPU seconds", "employees/s", "peak MiB"),
        rows=tuple(rows),
        notes=(
            "From the stored feature groups to the stored table of risks, tiers, flags and reasons; those "
            "who are known to have left are not scored. The features are those of 20,000 generated "
            "employees, drawn again and again.",
        ),
        plots=(
            Plot(
                "lines",
                tuple(row[0] for row in rows),
                {"peak MiB": tuple(float(row[4]) for row in rows)},
                "peak MiB",
                "employees",
            ),
        ),
    )


def _laying_out() -> list[list[str]]:
    return [["-c", _LAY_OUT, str(n), str(CHUNK)] for n in SIZES]
