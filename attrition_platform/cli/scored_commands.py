"""`attrition scored show` and `scored export`: what `attrition score` found out."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from attrition_platform.cli.show import show_json, show_table

if TYPE_CHECKING:
    from attrition_platform.adapters.step_cache import StepResult
    from attrition_platform.stages.platform import Platform

ASSET = "scored_employees"


def _platform() -> Platform:
    from attrition_platform.settings import Settings
    from attrition_platform.stages.platform import Platform

    return Platform(Settings.from_environment())


@click.group()
def scored() -> None:
    """Show and export what `attrition score` made: every current employee with risk and reasons."""


@scored.command()
@click.option("--json", "as_json", is_flag=True, help="Print one JSON document.")
def show(as_json: bool) -> None:
    """Count the scored employees by tier."""
    from attrition_platform.scoring.judgement import TIERS

    platform = _platform()
    result = _newest(platform)
    facts = result.facts
    told: dict[str, Any] = {
        "model_version": facts["version"],
        "is_champion": _is_champion(platform, facts["version"]),
        "data_version": facts["data_version"],
        "scored_at": result.measured["scored_at"],
        "n_employees": facts["n_rows"],
        "n_flagged": facts["n_flagged"],
        "n_known_to_have_left": facts["n_known_to_have_left"],
        "by_tier": {tier: facts["by_tier"][tier] for tier in TIERS},
    }
    if as_json:
        show_json(told)
        return
    click.echo(f"Model      {told['model_version']}, at {told['scored_at']}")
    click.echo(f"Employees  {told['n_employees']:,}, {told['n_flagged']:,} of them flagged")
    show_table(["risk tier", "employees"], list(told["by_tier"].items()))
    _warn(told["is_champion"])


@scored.command()
@click.option(
    "--out", type=click.Path(path_type=Path), required=True, help="File: .csv, .csv.gz or .parquet."
)
@click.option("--force", is_flag=True, help="Replace the file if it exists.")
def export(out: Path, force: bool) -> None:
    """Write the scored employees to a file.

    A text cell that a spreadsheet could take for a formula gets an apostrophe in front. The file is
    readable by its owner only.
    """
    import polars as pl
    import pyarrow.parquet as pq

    from attrition_platform.scoring.exports import check_export, export_to

    check_export(out, force=force)
    platform = _platform()
    result = _newest(platform)
    at = pl.lit(result.measured["scored_at"]).alias("scored_at")
    with (
        pq.ParquetFile(platform.file(result.files["scored.parquet"])) as stored,
        export_to(out, force=force) as write,
    ):
        for group in range(stored.num_row_groups):
            frame = pl.from_arrow(stored.read_row_group(group))
            assert isinstance(frame, pl.DataFrame)
            write(frame.with_columns(at))
    click.echo(f"Wrote {result.facts['n_rows']:,} employees, scored by {result.facts['version']}, to {out}.")
    _warn(_is_champion(platform, result.facts["version"]))


def _newest(platform: Platform) -> StepResult:
    from attrition_platform.errors import StoreError
    from attrition_platform.stages.views import newest

    try:
        return newest(platform, ASSET)
    except StoreError:
        raise StoreError("Nobody has been scored yet. Run `attrition score` first.") from None


def _is_champion(platform: Platform, version: str) -> bool:
    champion = platform.ledger.champion()
    return champion is not None and champion.version == version


def _warn(is_champion: bool) -> None:
    if not is_champion:
        click.echo(
            "Note: another model is champion by now. Run `attrition score` to score with it.", err=True
        )
