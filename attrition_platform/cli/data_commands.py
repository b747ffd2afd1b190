"""`attrition data`: make-believe employees for a first look, for tests and for benchmarks."""

from __future__ import annotations

import sys
from pathlib import Path

import click

from attrition_platform.errors import PopulationFileError


@click.group()
def data() -> None:
    """Generate a reference population."""


@data.command()
@click.option(
    "--rows", type=click.IntRange(min=1), default=20_000, show_default=True, help="How many employees."
)
@click.option("--seed", type=click.IntRange(min=0), default=7, show_default=True, help="Which population.")
@click.option(
    "--out",
    type=click.Path(dir_okay=False, path_type=Path),
    required=True,
    help="File to write: .csv, .csv.gz or .parquet.",
)
@click.option("--force", is_flag=True, help="Replace the file if it exists.")
def generate(rows: int, seed: int, out: Path, force: bool) -> None:
    """Write generated employees to a file. None of them exists.

    They are drawn from published facts about the reference data. The same rows and seed give the same
    bytes; more rows with the same seed begin with the same employees. The defaults are what the main job
    generates when there is no extract.
    """
    if out.exists() and not force:
        raise PopulationFileError(out.name, "it exists already; choose another name, or give --force")
    from attrition_platform.population.generator import write_population

    with click.progressbar(length=rows, label="Generating", file=sys.stderr) as bar:
        write_population(out, rows, seed, progress=bar.update)
    click.echo(
        f"Wrote {rows:,} GENERATED employees (seed {seed}) to {out}. They are drawn from published facts; "
        "no row is a real person."
    )
