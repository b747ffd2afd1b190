"""`attrition train`, `score`, `monitor` and `ui`: start Dagster with this checkout's instance."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import click

from attrition_platform.errors import AttritionError, SettingsError

TRAIN, SCORE, MONITOR = "train_champion", "score_employees", "monitor"


@click.command()
def train() -> None:
    """Run the main job: from the inbox (or a generated population) to a champion.

    Exits 0 when the job ended well, also where the challenger was blocked: that is a decision, not a
    failure. Exits 1 when a stage or a blocking check failed.
    """
    from attrition_platform.settings import Settings
    from attrition_platform.stages.platform import Platform

    platform = Platform(Settings.from_environment())
    # Asked for before Dagster starts: a broken contract, policy or key then fails in a second.
    click.echo(f"Data folder  {platform.settings.data_dir}")
    click.echo(f"Contract     {platform.contract.name} (version {platform.contract.version})")
    click.echo(f"Policy       {platform.policy.name}")
    _ = platform.key
    if _run_job(TRAIN):
        raise AttritionError(
            "The job failed; the lines above name the step. Nothing was promoted, and what was computed "
            "is kept: after the cause is mended, `make train` goes on from there."
        )
    from attrition_platform.cli.summary import print_summary

    print_summary(platform)


@click.command()
def score() -> None:
    """Take in the inbox and score every current employee with the champion.

    `attrition scored export` then writes the result to a file. Exits 1 when a stage failed.
    """
    from attrition_platform.settings import Settings
    from attrition_platform.stages.platform import Platform
    from attrition_platform.stages.predicting import champion_arm

    # Asked for before Dagster starts: without a champion that can be loaded it fails in a second.
    arm = champion_arm(Platform(Settings.from_environment()))
    click.echo(f"Champion     {arm.version}")
    if _run_job(SCORE):
        raise AttritionError("The job failed; the lines above name the step. What was computed is kept.")


@click.command()
def monitor() -> None:
    """Score every current employee, then judge drift, performance and SLOs.

    `attrition drift`, `attrition performance` and `attrition slo` show what was found. Exits 1 when a stage
    failed, 0 otherwise: what was found is a result, not a failure.
    """
    from attrition_platform.settings import Settings
    from attrition_platform.stages.platform import Platform
    from attrition_platform.stages.predicting import champion_arm

    arm = champion_arm(Platform(Settings.from_environment()))
    click.echo(f"Champion     {arm.version}")
    if _run_job(MONITOR):
        raise AttritionError("The job failed; the lines above name the step. What was computed is kept.")


@click.command()
@click.option("--host", default="127.0.0.1", show_default=True, help="Address to listen on.")
@click.option("--port", default=3000, show_default=True, help="Port to listen on.")
def ui(host: str, port: int) -> None:
    """Open the Dagster UI with its daemon (Ctrl-C ends both)."""
    from attrition_platform.cli.listening import refuse_taken_port

    refuse_taken_port(host, port)
    click.echo(f"Dagster UI on http://{host}:{port} (Ctrl-C ends it)")
    workspace = _checkout() / "workspace.yaml"
    try:
        code = _dagster(["dev", "-w", str(workspace), "-h", host, "-p", str(port), "--log-level", "warning"])
    except KeyboardInterrupt:  # the way to end it, and no failure
        code = 0
    sys.exit(code)


def _run_job(job: str) -> int:
    command = ["job", "execute", "-m", "attrition_platform.definitions", "-j", job]
    return _dagster([*command, "-c", str(Path(__file__).parents[1] / "defs" / "plain_progress.yaml")])


def _dagster(arguments: list[str]) -> int:
    home = os.environ.get("DAGSTER_HOME") or str(_checkout())
    environment = os.environ | {"DAGSTER_HOME": home, "PYTHONWARNINGS": "ignore", "PYTHONUNBUFFERED": "1"}
    return subprocess.run(
        [sys.executable, "-m", "dagster", *arguments], env=environment, check=False
    ).returncode


def _checkout() -> Path:
    here = Path.cwd()
    for folder in (here, Path(__file__).resolve().parents[2]):
        if (folder / "dagster.yaml").is_file():
            return folder
    raise SettingsError("There is no 'dagster.yaml' here. Change to the project's checkout.")
