"""Ctrl-C, being asked to end and a closed terminal end a command alike: 130, one sentence, nothing left."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from attrition_platform.cli import INTERRUPTED, attrition, run_commands
from attrition_platform_tests.conftest import CHECKOUT

SIGNALS = [signal.SIGINT, signal.SIGTERM, signal.SIGHUP]
# What the command line does before and after a command, around one that waits.
WAITS = """
import signal, sys, time
import click
from attrition_platform import cli
signal.signal(signal.SIGINT, signal.default_int_handler)  # a shell in the background starts programs without
waits = click.Command("waits", callback=lambda: (print("begun", flush=True), time.sleep(60)))
cli.attrition.get_command = lambda *_: waits
sys.argv = ["attrition", "train"]
cli.main()
"""
# Says which process it is, and that it was interrupted.
LONG_JOB = """
import os, sys, time
open(sys.argv[1], "w").write(str(os.getpid()))
try:
    time.sleep(60)
except KeyboardInterrupt:
    open(sys.argv[1], "w").write("put on record")
"""


@pytest.mark.parametrize("how", SIGNALS)
def test_a_command_that_is_interrupted_says_so_and_exits_with_130(how: signal.Signals) -> None:
    process = subprocess.Popen(
        [sys.executable, "-c", WAITS], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, cwd=CHECKOUT
    )
    assert process.stdout is not None
    assert process.stdout.readline() == "begun\n"

    os.kill(process.pid, how)
    _, told = process.communicate(timeout=30)

    assert (process.returncode, told) == (INTERRUPTED, "Interrupted.\n")


def test_who_ignores_a_closed_terminal_goes_on_ignoring_it() -> None:
    """As under `nohup`."""
    script = WAITS.replace("import click", "import click\nsignal.signal(signal.SIGHUP, signal.SIG_IGN)")
    script = script.replace("time.sleep(60)", "time.sleep(1)")
    process = subprocess.Popen(
        [sys.executable, "-c", script], stdout=subprocess.PIPE, text=True, cwd=CHECKOUT
    )
    assert process.stdout is not None
    assert process.stdout.readline() == "begun\n"

    os.kill(process.pid, signal.SIGHUP)

    assert process.wait(30) == 0


def test_an_interrupted_job_may_put_that_on_record_before_the_command_ends(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    file = tmp_path / "job"
    monkeypatch.setattr(
        run_commands, "_dagster_command", lambda _: [sys.executable, "-c", LONG_JOB, str(file)]
    )
    real = subprocess.Popen.wait
    before = signal.signal(signal.SIGINT, signal.default_int_handler)

    def wait(process: subprocess.Popen[bytes], timeout: float | None = None) -> int:
        if timeout is None and not process.poll() and not interrupted:
            interrupted.append(True)
            while not (file.exists() and file.read_text()):
                time.sleep(0.01)
            os.kill(os.getpid(), signal.SIGINT)
        return real(process, timeout)

    interrupted: list[bool] = []
    monkeypatch.setattr(subprocess.Popen, "wait", wait)
    try:
        with pytest.raises(SystemExit) as ended:
            run_commands._dagster([])
    finally:
        signal.signal(signal.SIGINT, before)

    assert ended.value.code == INTERRUPTED
    assert file.read_text() == "put on record"
    assert capsys.readouterr().err.startswith("Interrupted. What was computed is kept")


def test_the_help_names_the_exit_code() -> None:
    assert f"{INTERRUPTED} interrupted" in str(attrition.help)
