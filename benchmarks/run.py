"""Run the benchmarks and write what they found.

``python -m benchmarks.run`` runs all of them; ``python -m benchmarks.run public_recipe`` only those named,
and the others keep their last result. Each runs in a process of its own, so that none pays for another's
imports or memory. Written are ``RESULTS.md``, ``results.png`` and one JSON file per benchmark in
``results/``, which also says where and when it was measured.
"""

from __future__ import annotations

import importlib
import json
import os
import platform
import subprocess
import sys
import time
from datetime import UTC, datetime
from pathlib import Path
from typing import Final

import click

from benchmarks.inputs import CHECKOUT
from benchmarks.report import Measured, draw, report
from benchmarks.result import Result

# Each is a module here with `run() -> Result`; the order is that of the report.
BENCHMARKS: Final = (
    "public_recipe",
    "population_likeness",
    "whole_job",
    "ingest_scale",
    "pruning",
    "import_time",
    "serving_speed",
    "pointer_move",
    "scoring_scale",
    "canary_simulation",
    "drift_simulation",
    "drift_cost",
    "concept_simulation",
)


@click.command()
@click.argument("names", nargs=-1, type=click.Choice(BENCHMARKS))
@click.option(
    "--out",
    type=click.Path(file_okay=False, path_type=Path),
    default=CHECKOUT / "benchmarks",
    help="Folder to write to.",
)
@click.option("--one", is_flag=True, hidden=True, help="Run here, and write only the JSON files.")
def main(names: tuple[str, ...], out: Path, one: bool) -> None:
    """Run the named benchmarks (without a name: all), then write the report."""
    store = out / "results"
    store.mkdir(parents=True, exist_ok=True)
    if one:
        for name in names:
            _measure(name, store / f"{name}.json")
        return
    failed = [name for name in names or BENCHMARKS if not _run_apart(name, out)]
    found = [_read(store / f"{name}.json") for name in BENCHMARKS if (store / f"{name}.json").is_file()]
    (out / "RESULTS.md").write_text(report(found), encoding="utf-8")
    draw([measured.result for measured in found], out / "results.png")
    click.echo(f"Wrote {out / 'RESULTS.md'} and {out / 'results.png'}.")
    if failed:
        raise click.ClickException(f"{', '.join(failed)} failed: the report has older results or none.")


def _run_apart(name: str, out: Path) -> bool:
    click.echo(f"{name} ...")
    start = time.perf_counter()
    command = [sys.executable, "-m", "benchmarks.run", "--one", "--out", str(out), name]
    code = subprocess.run(command, cwd=CHECKOUT, check=False).returncode
    click.echo(f"{name}: {'FAILED' if code else 'done'} after {time.perf_counter() - start:.0f} s")
    return code == 0


def _measure(name: str, file: Path) -> None:
    result: Result = importlib.import_module(f"benchmarks.{name}").run()
    measured_at = datetime.now(UTC).strftime("%Y-%m-%d %H:%M UTC")
    machine = f"{os.cpu_count()} cores, {platform.system()} {platform.machine()}"
    machine += f", Python {platform.python_version()}"
    record = {"measured_at": measured_at, "machine": machine, "result": json.loads(result.to_json())}
    file.write_text(json.dumps(record, ensure_ascii=False, indent=1) + "\n", encoding="utf-8")


def _read(file: Path) -> Measured:
    record = json.loads(file.read_text(encoding="utf-8"))
    result = Result.from_json(json.dumps(record["result"]))
    return Measured(result, record["measured_at"], record["machine"])


if __name__ == "__main__":
    main()
