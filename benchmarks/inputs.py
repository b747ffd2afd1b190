"""The rows that benchmarks run on: the reference CSV where it is at hand, otherwise generated ones."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from attrition_platform.population.generator import write_population

REFERENCE_ROWS: Final = 74_498
GENERATED_SEED: Final = 1
CHECKOUT: Final = Path(__file__).resolve().parents[1]


@dataclass(frozen=True)
class Extract:
    """A CSV file with the reference columns, and what to call it in a table."""

    path: Path
    name: str
    is_reference: bool


def reference_extract(folder: Path) -> Extract:
    """Find the reference CSV: $ATTRITION_BENCH_CSV, else ``../shared/data`` beside the checkout.

    Where there is none, as many rows are generated into `folder`; the name says so, because scores then
    are those of a population that was drawn from the reference, not of the reference.
    """
    named = os.environ.get("ATTRITION_BENCH_CSV")
    path = Path(named) if named else CHECKOUT.parent / "shared" / "data" / "employee_attrition.csv"
    if path.is_file():
        return Extract(path, "reference CSV", is_reference=True)
    if named:
        raise FileNotFoundError(f"ATTRITION_BENCH_CSV names '{named}', which is not a file.")
    return generated_extract(folder, REFERENCE_ROWS, GENERATED_SEED)


def generated_extract(folder: Path, n_rows: int, seed: int) -> Extract:
    """Generate employees into `folder`."""
    path = folder / f"generated-{n_rows}-{seed}.csv"
    if not path.exists():
        write_population(path, n_rows, seed)
    return Extract(path, f"generated ({n_rows:,} rows, seed {seed})", is_reference=False)
