"""`attrition train`, `score`, `monitor` and `ui`: start Dagster with this checkout's instance."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import click

from attrition_platform.errors import AttritionError, SettingsError

TRAIN, SCORE, MONITOR = "train_champion", "score_employees", "monitor"
DASHBOARD_HOST = "127.0.0.1"
PORT = click.IntRange(0, 65535)
# A dashboard that ends within them has not started.
START_SECONDS = 30
END_SECONDS = 20
UI_LOCK = "ui.lock"


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
@click.option("--port", default=3000, show_default=True, type=PORT, help="Port to listen on.")
@click.option(
    "--dashboard-port", default=3001, show_default=True, type=PORT, help="Port of the dashboard beside it."
)
@click.option(
    "--open-to-others",
    is_flag=True,
    help="Allow a --host that others reach. The Dagster UI has no log-in: whoever reaches it can start, stop "
    "and delete runs.",
)
def ui(host: str, port: int, dashboard_port: int, open_to_others: bool) -> None:
    """Open the Dagster UI with its daemon, and the dashboard beside it (Ctrl-C ends all).

    One at a time for a data folder: two daemons would start runs twice.
    """
    from attrition_platform.adapters.loopback import is_loopback
    from attrition_platform.cli.listening import refuse_taken_port
    from attrition_platform.settings import Settings
    from attrition_platform.stages.platform import Platform

    if not is_loopback(host) and not open_to_others:
        raise SettingsError(
            f"Listening on {host} lets everybody who reaches it start, stop and delete runs: the Dagster UI "
            "has no log-in. Leave --host out and put a proxy with a password in front, as in deploy/; or say "
            "--open-to-others."
        )
    if port == dashboard_port != 0:
        raise SettingsError(f"--port and --dashboard-port are both {port}. Give each a port of its own.")
    platform = Platform(Settings.from_environment())
    # Asked for before anything starts: without them the UI would show an error instead of a graph.
    _ = platform.contract, platform.policy, platform.key
    with _the_only_one(platform.settings.data_dir):
        refuse_taken_port(host, port)
        refuse_taken_port(DASHBOARD_HOST, dashboard_port, "--dashboard-port")
        arguments = ["dev", "-w", str(checkout() / "workspace.yaml"), "-h", host, "-p", str(port)]
        dagster = _dagster_command([*arguments, "--log-level", "warning"])
        beside = ["dashboard", "--port", str(dashboard_port)]
        dashboard = [sys.executable, "-m", "attrition_platform.cli", *beside]
        click.echo(f"Dagster UI on http://{host}:{port} (Ctrl-C ends it)")
        sys.exit(_side_by_side(dagster, dashboard, _dagster_environment()))


@contextlib.contextmanager
def _the_only_one(folder: Path) -> Iterator[None]:
    """Hold the data folder's lock; the system lets go of it when the process ends, however that is.

    Raises
    ------
    SettingsError
        When another `attrition ui` holds it, or the folder can't be written.
    """
    from filelock import FileLock, Timeout

    lock = FileLock(folder / UI_LOCK, timeout=0)
    try:
        folder.mkdir(parents=True, exist_ok=True)
        lock.acquire()
    except Timeout:
        raise SettingsError(
            f"`attrition ui` runs already on the data folder '{folder}', and a second daemon would start its "
            "runs twice: use that one, or end it first."
        ) from None
    except OSError as error:
        raise SettingsError(
            f"The data folder '{folder}' can't be written ({error.strerror}). Set ATTRITION_DATA to another."
        ) from error
    try:
        yield
    finally:
        lock.release()


def _side_by_side(main: list[str], beside: list[str], environment: dict[str, str]) -> int:
    """Run a command with another one beside it, which ends with it; returns the first one's exit code.

    Each has a process group of its own, so that its children end too: Dagster's web server outlives a
    `dagster dev` that alone was asked to end. That the one beside does not start ends both with 1; that it
    ends later is no reason to end.
    """
    worker = helper = None
    before = signal.signal(signal.SIGTERM, signal.default_int_handler)
    try:
        helper = subprocess.Popen(beside, env=environment, process_group=0)
        worker = subprocess.Popen(main, env=environment, process_group=0)
        return _wait_for(worker, helper)
    except KeyboardInterrupt:  # the way to end it, and no failure
        return 0
    finally:
        _end(*(process for process in (worker, helper) if process is not None))
        signal.signal(signal.SIGTERM, before)


def _wait_for(main: subprocess.Popen[bytes], beside: subprocess.Popen[bytes]) -> int:
    started_by = time.monotonic() + START_SECONDS
    while time.monotonic() < started_by:
        with contextlib.suppress(subprocess.TimeoutExpired):
            return _exit_code(main.wait(0.1))
        if beside.poll():
            click.echo("The dashboard did not start; the lines above say why. All is ended.", err=True)
            return 1
    return _exit_code(main.wait())


def _exit_code(code: int) -> int:
    """As shells tell of a process that a signal has ended."""
    return code if code >= 0 else 128 - code


def _end(*processes: subprocess.Popen[bytes], by: signal.Signals = signal.SIGTERM) -> None:
    """Let process groups end in order; make them, where they do not, or somebody asks a second time."""
    for process in processes:
        _signal(process, by)
    try:
        deadline = time.monotonic() + END_SECONDS
        for process in processes:
            process.wait(max(0.0, deadline - time.monotonic()))
    except (subprocess.TimeoutExpired, KeyboardInterrupt):
        pass
    for process in processes:
        _signal(process, signal.SIGKILL)
        process.wait()


def _signal(process: subprocess.Popen[bytes], what: signal.Signals) -> None:
    with contextlib.suppress(ProcessLookupError):  # nobody of its group is left
        os.killpg(process.pid, what)


def _run_job(job: str) -> int:
    command = ["job", "execute", "-m", "attrition_platform.definitions", "-j", job]
    return _dagster([*command, "-c", str(Path(__file__).parents[1] / "defs" / "plain_progress.yaml")])


def _dagster(arguments: list[str]) -> int:
    """Run Dagster in a process group of its own, and let it put an interrupted run on record as such."""
    from attrition_platform.cli import INTERRUPTED

    process = subprocess.Popen(_dagster_command(arguments), env=_dagster_environment(), process_group=0)
    try:
        return process.wait()
    except KeyboardInterrupt:
        _end(process, by=signal.SIGINT)
        click.echo("Interrupted. What was computed is kept; the same command goes on from there.", err=True)
        sys.exit(INTERRUPTED)


def _dagster_command(arguments: list[str]) -> list[str]:
    return [sys.executable, "-m", "dagster", *arguments]


def _dagster_environment() -> dict[str, str]:
    return os.environ | {
        "DAGSTER_HOME": str(dagster_home()),
        "PYTHONWARNINGS": "ignore",
        "PYTHONUNBUFFERED": "1",
    }


def dagster_home() -> Path:
    """Folder of the instance that runs are kept in."""
    return Path(os.environ.get("DAGSTER_HOME") or checkout())


def checkout() -> Path:
    """Folder of ``dagster.yaml``: the current one, or that of this package.

    Raises
    ------
    SettingsError
        When neither has it.
    """
    here = Path.cwd()
    for folder in (here, Path(__file__).resolve().parents[2]):
        if (folder / "dagster.yaml").is_file():
            return folder
    raise SettingsError("There is no 'dagster.yaml' here. Change to the project's checkout.")
