"""What a drift decision costs, beside Evidently's preset, and whether its own statistics agree with ours."""

from __future__ import annotations

import json
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from benchmarks.inputs import CHECKOUT, reference_extract
from benchmarks.result import Cell, Plot, Result

if TYPE_CHECKING:
    import numpy as np
    import polars as pl

    from attrition_platform.contracts.model import Contract
    from attrition_platform.monitoring.summary import ColumnKind

SIZES: Final = (5_000, 1_000_000)
MAX_SECONDS: Final = {5_000: 1.0, 1_000_000: 5.0}
MAX_MIB: Final = 2 * 1024
MIN_TIMES_LESS: Final = 100.0
N_SCENARIOS: Final = 100
SEED: Final = 23


def run() -> Result:
    """Each measurement in a process of its own, so that memory and imports are not shared."""
    rows: list[tuple[Cell, ...]] = []
    ours: dict[int, dict[str, float]] = {}
    theirs: dict[int, dict[str, float]] = {}
    with tempfile.TemporaryDirectory(prefix="attrition-bench-") as name:
        source = _ask("prepare", name)["source"]
        for n in SIZES:
            ours[n], theirs[n] = _ask("decide", name, str(n)), _ask("evidently", name, str(n))
            rows += [
                (n, "our decision, from rows", ours[n]["from_rows"], ours[n]["mib"], ours[n]["n_drifted"]),
                (n, "our decision, from summaries", ours[n]["decision"], "", ours[n]["n_drifted"]),
                (
                    n,
                    "Evidently's statistics, from rows",
                    ours[n]["customary_from_rows"],
                    "",
                    ours[n]["n_customary"],
                ),
                (
                    n,
                    "Evidently's statistics, from summaries",
                    ours[n]["customary"],
                    "",
                    ours[n]["n_customary"],
                ),
                (
                    n,
                    "Evidently's preset, from rows",
                    theirs[n]["preset"],
                    theirs[n]["mib"],
                    theirs[n]["n_drifted"],
                ),
            ]
        agreed = _ask("agree", name)
    return Result(
        title="Cost of a drift decision",
        finding="From rows to the decision: "
        + "; ".join(
            f"{n:,} rows {ours[n]['from_rows']:.2f} CPU s (target {MAX_SECONDS[n]:.0f}), "
            f"{ours[n]['mib']:,.0f} MiB (target {MAX_MIB:,})"
            for n in SIZES
        )
        + ". Evidently's own statistics cost us so many times less CPU than its preset: "
        + "; ".join(
            f"{n:,} rows {_times_less(ours[n], theirs[n], 'customary'):,.0f} from a summary "
            f"(target {MIN_TIMES_LESS:.0f}), {_times_less(ours[n], theirs[n], 'customary_from_rows'):,.0f} "
            "from rows"
            for n in SIZES
        )
        + ". The preset has no other way than from rows. Both give the same "
        f"verdict for {agreed['n_same']:,} of {agreed['n_columns']:,} columns in {N_SCENARIOS} scenarios.",
        header=("window rows", "what", "CPU s", "peak MiB", "drifted columns"),
        rows=tuple(rows),
        notes=(
            f"Windows are drawn from the {source}: remote work 35 %, income times 1.08 and to the cent, so "
            "that the larger window has far more distinct incomes than the reference. The reference is all "
            "rows, stored as a summary for us and as rows for Evidently. CPU seconds without imports and "
            "without Evidently's HTML; the files are read within them. Peak memory is the whole process's. A "
            "summary is made once, when a file comes in, and is read by every later decision.",
            "Scenarios: references of 500 to 10,000 rows, windows of 100 to 5,000, no drift, factors, "
            f"shifted shares, new categories, empty cells. {agreed['n_drifted']:,} verdicts are drift, "
            f"the methods were {agreed['methods']}. The largest difference of a statistic was "
            f"{agreed['largest_difference']:.1e}.",
        ),
        plots=(
            Plot(
                "bars",
                tuple(f"{n:,}" for n in SIZES),
                {
                    "ours, from rows": tuple(ours[n]["from_rows"] for n in SIZES),
                    "Evidently's preset": tuple(theirs[n]["preset"] for n in SIZES),
                },
                "CPU seconds",
                "rows of the window",
            ),
        ),
    )


def _times_less(ours: dict[str, float], theirs: dict[str, float], way: str) -> float:
    """How many times the CPU seconds of `way` the preset takes."""
    return theirs["preset"] / ours[way]


def _ask(*arguments: str) -> dict[str, Any]:
    done = subprocess.run(
        [sys.executable, "-W", "ignore", "-m", "benchmarks.drift_cost", *arguments],
        cwd=CHECKOUT,
        check=True,
        capture_output=True,
        text=True,
    )
    answer: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    return answer


def _prepare(folder: Path) -> dict[str, Any]:
    """Lay out the windows as text cells, and the reference as rows and as a summary."""
    import numpy as np
    import polars as pl

    from attrition_platform.monitoring.summary import summarise

    contract, names = _contract()
    extract = reference_extract(folder)
    # An empty column's values can't be told from text, so each is read as text, as ingest does.
    cells = pl.read_csv(extract.path, infer_schema=False)
    cells = cells.select(pl.col(contract.columns[name].source).alias(name) for name in names)
    cells.write_parquet(folder / "reference.parquet")
    (folder / "reference.json").write_bytes(summarise(cells, contract, names).to_json())
    rng = np.random.default_rng(SEED)
    for n in SIZES:
        window = cells[rng.integers(0, cells.height, n)]
        income = window["monthly_income"].cast(pl.Float64).to_numpy() * 1.08 + rng.integers(0, 100, n) / 100
        window.with_columns(
            pl.Series("monthly_income", income.round(2)).cast(pl.String),
            pl.Series("remote_work", np.where(rng.random(n) < 0.35, "Yes", "No")),
        ).write_parquet(folder / f"{n}.parquet")
    return {"source": extract.name}


def _decide(folder: Path, n: str) -> dict[str, Any]:
    import polars as pl

    from attrition_platform.modeling.watch_rules import DriftRule
    from attrition_platform.monitoring.customary_statistics import customary_verdicts
    from attrition_platform.monitoring.drift import judge_drift
    from attrition_platform.monitoring.summary import FrameSummary, summarise

    contract, names = _contract()
    start = time.process_time()
    reference = FrameSummary.from_json((folder / "reference.json").read_bytes())
    window = summarise(pl.read_parquet(folder / f"{n}.parquet"), contract, names)
    verdict = judge_drift(reference, window, DriftRule())
    from_rows = time.process_time() - start
    peak = _peak_mib()
    start = time.process_time()
    reference = FrameSummary.from_json((folder / "reference.json").read_bytes())
    window = summarise(pl.read_parquet(folder / f"{n}.parquet"), contract, names)
    customary = customary_verdicts(reference, window)
    customary_from_rows = time.process_time() - start
    return {
        "from_rows": from_rows,
        "mib": peak,
        "decision": _cpu_seconds(lambda: judge_drift(reference, window, DriftRule())),
        "customary_from_rows": customary_from_rows,
        "customary": _cpu_seconds(lambda: customary_verdicts(reference, window)),
        "n_drifted": len(verdict.columns),
        "n_customary": sum(found.drifted for found in customary.values()),
    }


def _evidently(folder: Path, n: str) -> dict[str, Any]:
    import polars as pl

    from attrition_platform.adapters.evidently_report import evidently_statistics

    contract, names = _contract()
    kinds = _kinds(contract, names)
    small = pl.read_parquet(folder / "reference.parquet").head(200)
    evidently_statistics(small, small, kinds)  # imports everything
    start = time.process_time()
    sides = (pl.read_parquet(folder / f"{side}.parquet") for side in ("reference", n))
    found = evidently_statistics(*sides, kinds)
    return {
        "preset": time.process_time() - start,
        "mib": _peak_mib(),
        "n_drifted": sum(verdict.drifted for verdict in found.values()),
    }


def _agree(folder: Path) -> dict[str, Any]:
    """Compare verdicts column by column, with both sides reading the same rows."""
    import numpy as np
    import polars as pl

    from attrition_platform.adapters.evidently_report import evidently_statistics
    from attrition_platform.monitoring.customary_statistics import customary_verdicts
    from attrition_platform.monitoring.summary import summarise

    contract, names = _contract()
    kinds = _kinds(contract, names)
    cells = pl.read_parquet(folder / "reference.parquet").with_columns(
        pl.col(name).cast(pl.Float64) for name, kind in kinds.items() if kind == "number"
    )
    n_columns = n_same = n_drifted = 0
    largest = 0.0
    methods: set[str] = set()
    for i in range(N_SCENARIOS):
        rng = np.random.default_rng((SEED, i))
        before = cells[rng.integers(0, cells.height, int(rng.choice((500, 1_000, 2_000, 10_000))))]
        now = cells[rng.integers(0, cells.height, int(rng.choice((100, 500, 2_000, 5_000))))]
        now = now.with_columns(_changed(now[name], rng) for name in names)
        theirs = evidently_statistics(before, now, kinds)
        ours = customary_verdicts(*(summarise(side, contract, names) for side in (before, now)))
        for name in theirs.keys() | ours.keys():
            n_columns += 1
            if name not in theirs or name not in ours:
                continue
            mine, other = ours[name], theirs[name]
            largest = max(largest, abs(mine.statistic - other.statistic))
            n_same += (mine.method, mine.drifted) == (other.method, other.drifted)
            n_drifted += other.drifted
            methods.add(other.method)
    return {
        "n_columns": n_columns,
        "n_same": n_same,
        "n_drifted": n_drifted,
        "largest_difference": largest,
        "methods": ", ".join(sorted(methods)),
    }


def _changed(cells: pl.Series, rng: np.random.Generator) -> pl.Series:
    """Leave three columns of five as they are, and change the others in some way."""
    import polars as pl

    way = int(rng.choice(5, p=(0.6, 0.1, 0.1, 0.1, 0.1)))
    chosen = pl.Series(rng.random(cells.len()) < rng.choice((0.02, 0.1, 0.3)))
    if way == 1:
        return pl.select(pl.when(~chosen).then(cells).alias(cells.name)).to_series()
    if way == 2:  # one value becomes more frequent
        return pl.select(
            pl.when(chosen).then(pl.lit(cells[0])).otherwise(cells).alias(cells.name)
        ).to_series()
    if way == 3 and cells.dtype == pl.Float64:
        return cells * float(rng.choice((0.9, 1.02, 1.08, 1.3)))
    if way == 3:
        return pl.select(pl.when(chosen).then(pl.lit("New")).otherwise(cells).alias(cells.name)).to_series()
    if way == 4:  # a constant column
        return pl.Series(cells.name, [cells[0]] * cells.len(), dtype=cells.dtype)
    return cells


def _contract() -> tuple[Contract, list[str]]:
    from attrition_platform.contracts.toml_file import shipped_contract

    contract = shipped_contract()
    return contract, [name for name, column in contract.features.items() if not column.protected]


def _kinds(contract: Contract, names: list[str]) -> dict[str, ColumnKind]:
    from attrition_platform.contracts.model import NUMERIC_KINDS

    return {name: "number" if contract.columns[name].kind in NUMERIC_KINDS else "category" for name in names}


def _cpu_seconds(work: Callable[[], object]) -> float:
    """Mean of as many repetitions as fill half a second."""
    n_done, start = 0, time.process_time()
    while (spent := time.process_time() - start) < 0.5:
        work()
        n_done += 1
    return spent / n_done


def _peak_mib() -> float:
    """Not from getrusage, which remembers the parent's peak across fork and exec."""
    status = Path("/proc/self/status").read_text()
    return int(next(line for line in status.splitlines() if line.startswith("VmHWM")).split()[1]) / 1024


if __name__ == "__main__":
    step, place, *rest = sys.argv[1:]
    steps: dict[str, Callable[..., dict[str, Any]]] = {
        "prepare": _prepare,
        "decide": _decide,
        "evidently": _evidently,
        "agree": _agree,
    }
    sys.stdout.write("\n" + json.dumps(steps[step](Path(place), *rest)) + "\n")
