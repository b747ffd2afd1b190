"""The whole job against a bare script that does the same work, and a warm re-run against a cold one."""

from __future__ import annotations

import json
import os
import shutil
import sys
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Final

from benchmarks.inputs import CHECKOUT, reference_extract
from benchmarks.measuring import Cost, measure_command
from benchmarks.result import Plot, Result

JOB: Final = (
    "-m",
    "dagster",
    "job",
    "execute",
    "-m",
    "attrition_platform.definitions",
    "-j",
    "train_champion",
)
MAX_RATIO: Final = 1.3
MAX_WARM_SECONDS: Final = 10.0
MAX_SHARE_OF_RECIPE: Final = 1 / 3


def run() -> Result:
    """Run the bare script, the job and the job again, each on an own copy of the reference rows."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        extract = reference_extract(folder)
        place = _place(folder, "job", extract.path)
        bare = measure_command(
            [sys.executable, "-m", "benchmarks.bare_job"],
            environment=_place(folder, "bare", extract.path),
            cwd=CHECKOUT,
        )
        cold = measure_command([sys.executable, *JOB], environment=place, cwd=CHECKOUT)
        warm = measure_command([sys.executable, *JOB], environment=place, cwd=CHECKOUT)
    ratio = cold.cpu_seconds / bare.cpu_seconds
    costs = {"bare script": bare, "job, first run": cold, "job, nothing changed": warm}
    finding = (
        f"The job takes {ratio:.2f} x the CPU of a bare script (target {MAX_RATIO}); a re-run on unchanged "
        f"data takes {warm.wall_seconds:.1f} s (target {MAX_WARM_SECONDS:.0f} s)."
    )
    recipe = _recipe_seconds()
    if recipe is not None:
        share = cold.cpu_seconds / recipe
        finding += (
            f" It takes {share:.2f} of the public recipe's ten scripts (target {MAX_SHARE_OF_RECIPE:.2f})."
        )
    return Result(
        title="The whole job",
        finding=finding,
        header=("run", "CPU s", "wall s", "peak MiB"),
        rows=tuple(
            (name, cost.cpu_seconds, cost.wall_seconds, cost.peak_mib) for name, cost in costs.items()
        ),
        notes=(
            f"Data: {extract.name}. One run each, one after the other on the same machine.",
            "The bare script calls the same functions without Dagster and MLflow. The job's first run also "
            "creates both databases.",
        ),
        plots=(_plot(costs),),
    )


def _place(folder: Path, name: str, extract: Path) -> Mapping[str, str]:
    inbox = folder / name / "inbox"
    inbox.mkdir(parents=True)
    shutil.copy(extract, inbox / "extract.csv")
    kept = {key: value for key, value in os.environ.items() if not key.startswith(("ATTRITION_", "DAGSTER_"))}
    return kept | {
        "ATTRITION_DATA": str(folder / name),
        "ATTRITION_KEY_FILE": str(folder / "key"),
        "PYTHONWARNINGS": "ignore",
    }


def _recipe_seconds() -> float | None:
    """CPU seconds of the public recipe as last measured beside this; None when it never was."""
    file = CHECKOUT / "benchmarks" / "results" / "public_recipe.json"
    if not file.is_file():
        return None
    rows = json.loads(file.read_text(encoding="utf-8"))["result"]["rows"]
    seconds = [float(row[2]) for row in rows if row[0] == "CPU seconds, ten scripts"]
    return seconds[0] if seconds else None


def _plot(costs: Mapping[str, Cost]) -> Plot:
    return Plot("bars", tuple(costs), {"CPU": tuple(c.cpu_seconds for c in costs.values())}, "CPU seconds")
