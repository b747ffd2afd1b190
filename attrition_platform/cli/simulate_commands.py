"""`attrition simulate`: a year in a few minutes, in which it is known what goes wrong."""

from __future__ import annotations

import json
import os
import sys
import tempfile
import time
from collections.abc import Generator, Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from attrition_platform.cli import INTERRUPTED
from attrition_platform.cli.show import show_json, show_table
from attrition_platform.population.scenario import MIN_MONTHS

if TYPE_CHECKING:
    from attrition_platform.population.scenario import YearPlan
    from attrition_platform.stages.simulated_report import MonthRecord, YearReport

MIN_ROWS, MAX_ROWS, MAX_MONTHS = 500, 100_000, 60
# The first champion is chosen on 15 % of them, and the policy asks for 500.
FIRST_ROWS = 8_000


@click.command()
@click.option(
    "--months",
    type=click.IntRange(min=MIN_MONTHS, max=MAX_MONTHS),
    default=12,
    show_default=True,
    help="Months after the training extract.",
)
@click.option("--seed", type=click.IntRange(min=0), default=7, show_default=True, help="Which year.")
@click.option(
    "--rows",
    type=click.IntRange(min=MIN_ROWS, max=MAX_ROWS),
    default=2_500,
    show_default=True,
    help="Employees in each month's extract.",
)
@click.option(
    "--out",
    type=click.Path(file_okay=False, path_type=Path),
    help="Folder for report.md, report.json and year.png; files of these names are replaced.",
)
@click.option("--json", "as_json", is_flag=True, help="Print one JSON document instead of tables.")
def simulate(months: int, seed: int, rows: int, out: Path | None, as_json: bool) -> None:
    """Live through a made-up year with the real triggers, jobs and gates, in a scratch place.

    Each month brings an extract of employees who do not exist; outcomes follow two to three months later.
    Planted at months that the seed chooses: a drift of the people, a change of what makes them leave,
    another spelling, years sent as months, a new column, a new category; the other months are quiet. (Short
    years leave out what can't be found in them.) The report says what was found, by whom and how late,
    what was a false alarm, and what each champion was worth beside the first one, had it stayed.

    Nothing of your place is read or written: data, key, policy and Dagster's home are temporary and removed
    at the end. The policy is the shipped 'responsible' with two trials per family and a horizon of 55 days.
    The same numbers give the same report, except for its part "measured".

    Exits 0 when everything planted was found and nothing else, 1 when a plant was not found or a false alarm
    was raised, 130 when interrupted; the report then covers the months that were finished.
    """
    from attrition_platform.population.scenario import plan_year
    from attrition_platform.stages.simulated_report import judge_year

    if out is not None:
        out.mkdir(parents=True, exist_ok=True)
    plan = plan_year(months, rows, max(FIRST_ROWS, rows), seed)
    began = time.monotonic()
    lived: list[MonthRecord] = []
    interrupted = False
    try:
        click.echo(
            f"   0.0 s  begins: {months} months, seed {seed}; the first training takes longest", err=True
        )
        with closing(_live(plan)) as months_lived:
            for month in months_lived:
                lived.append(month)
                click.echo(f"{time.monotonic() - began:6.1f} s  {_progress(month)}", err=True)
    except KeyboardInterrupt:
        interrupted = True
        click.echo(f"Interrupted after {len(lived)} extracts.", err=True)
    if not lived:
        sys.exit(INTERRUPTED)
    report = judge_year(plan, lived)
    document = report.as_json() | {"measured": {"seconds": round(time.monotonic() - began, 1)}}
    if out is not None:
        _write(report, document, out)
    if as_json:
        show_json(document)
    else:
        _show(report, out)
    if interrupted:
        sys.exit(INTERRUPTED)
    sys.exit(0 if report.is_sound else 1)


def _live(plan: YearPlan) -> Generator[MonthRecord, None, None]:
    n_threads = int(os.environ.get("ATTRITION_THREADS") or os.cpu_count() or 1)
    with tempfile.TemporaryDirectory(prefix="attrition-year-") as name, _own_environment(Path(name)):
        from attrition_platform.defs.simulated_runs import live_through

        yield from live_through(plan, Path(name), n_threads)


@contextmanager
def _own_environment(folder: Path) -> Iterator[None]:
    """Hide the user's settings meanwhile: what reads them would meet the wrong place."""
    from attrition_platform.stages.simulated_year import scratch_environment

    ours = ("ATTRITION_", "DAGSTER_", "MLFLOW_")
    before = {name: value for name, value in os.environ.items() if name.startswith(ours)}
    threads = {"ATTRITION_THREADS": before["ATTRITION_THREADS"]} if "ATTRITION_THREADS" in before else {}
    for name in before:
        del os.environ[name]
    os.environ.update(scratch_environment(folder, os.cpu_count() or 1) | threads)
    try:
        yield
    finally:
        for name in [name for name in os.environ if name.startswith(ours)]:
            del os.environ[name]
        os.environ.update(before)


def _progress(month: MonthRecord) -> str:
    worth = "no cohort" if month.worth is None else f"AUC {month.worth.roc_auc:.3f}"
    seen = sorted({f"{sighting.what} ({sighting.about})" for sighting in month.sightings})
    runs = ", ".join(f"{run.cause} {run.outcome}" for run in month.runs) or "none"
    told = [f"month {month.number:2}", f"champion {(month.champion or 'none')[:8]}", worth, f"runs: {runs}"]
    return "; ".join([*told, f"seen: {', '.join(seen)}" if seen else "quiet"])


def _show(report: YearReport, out: Path | None) -> None:
    from attrition_platform.stages.simulated_report import (
        champions_table,
        planted_table,
        quiet_months,
        summary,
    )

    for title, (header, rows) in (
        ("Planted and found", planted_table(report)),
        ("Champions", champions_table(report)),
    ):
        show_table(header, rows, title)
    for alarm in report.false_alarms:
        click.echo(f"FALSE ALARM in month {alarm.month}: {alarm.what} ({alarm.about}), by {alarm.trigger}")
    for month in report.months:
        for file, reason in month.refused:
            click.echo(f"Refused in month {month.number}: {file} ({reason})")
    causes = ", ".join(f"{n} by {cause}" for cause, n in report.runs_by_cause.items())
    click.echo(f"{summary(report)} Started: {causes}.")
    click.echo(quiet_months(report))
    if out is not None:
        click.echo(f"Written to {out}: report.md, report.json, year.png")


def _write(report: YearReport, document: dict[str, Any], out: Path) -> None:
    from attrition_platform.adapters.object_store import write_atomically
    from attrition_platform.stages.simulated_plot import year_plot
    from attrition_platform.stages.simulated_report import report_markdown

    write_atomically(out / "report.json", (json.dumps(document, indent=2) + "\n").encode())
    write_atomically(out / "report.md", report_markdown(report).encode())
    write_atomically(out / "year.png", year_plot(report))
