"""The dashboard's command keeps to loopback, and `attrition ui` ends what it has started."""

from __future__ import annotations

import os
import signal
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from click.testing import CliRunner

from attrition_platform.cli import run_commands
from attrition_platform.cli.dashboard_commands import dashboard, read_runbooks
from attrition_platform.cli.run_commands import _side_by_side
from attrition_platform.errors import SettingsError
from attrition_platform_tests.conftest import CHECKOUT

QUIET = {"PATH": os.environ["PATH"]}


@pytest.mark.parametrize("host", ["0.0.0.0", "192.0.2.7", "::", "people.example"])
def test_others_are_let_in_only_behind_a_proxy_that_has_a_name(host: str) -> None:
    done = CliRunner().invoke(dashboard, ["--host", host])

    assert isinstance(done.exception, SettingsError)
    assert "--allow-host" in str(done.exception)


def test_runbooks_are_read_where_there_are_any(tmp_path: Path) -> None:
    assert read_runbooks(tmp_path / "none") == {}
    assert "drift" in read_runbooks(CHECKOUT / "docs" / "runbooks")


def writes_its_id(file: Path, *, then: str = "time.sleep(60)", ignores: bool = False) -> list[str]:
    """A command that says which process it is, has a child, and waits."""
    ignore = "signal.signal(signal.SIGTERM, signal.SIG_IGN)" if ignores else "pass"
    script = f"""
import os, signal, subprocess, sys, time
{ignore}
child = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(60)"])
open({str(file)!r}, "w").write(f"{{os.getpid()}} {{child.pid}}")
{then}
"""
    return [sys.executable, "-c", script]


def is_there(pid: int) -> bool:
    try:
        state = Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()[0]
    except OSError:
        return False
    return state != "Z"


def ids_in(*files: Path) -> list[int]:
    deadline = time.monotonic() + 20
    while time.monotonic() < deadline:
        if all(file.exists() and len(file.read_text().split()) == 2 for file in files):
            return [int(word) for file in files for word in file.read_text().split()]
        time.sleep(0.01)
    raise AssertionError("The commands did not start.")


def ended(pids: list[int]) -> bool:
    deadline = time.monotonic() + 5
    while any(is_there(pid) for pid in pids) and time.monotonic() < deadline:
        time.sleep(0.02)
    return not any(is_there(pid) for pid in pids)


@pytest.fixture(autouse=True)
def ctrl_c() -> Iterator[None]:
    """As in a terminal: a shell in the background starts programs that ignore it."""
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    yield
    signal.signal(signal.SIGINT, before)


def test_what_runs_beside_ends_with_the_main_command_children_and_all(tmp_path: Path) -> None:
    a, b = tmp_path / "a", tmp_path / "b"
    wait = f"while not os.path.exists({str(b)!r}): time.sleep(0.02)\nsys.exit(3)"

    code = _side_by_side(writes_its_id(a, then=wait), writes_its_id(b), QUIET)

    assert code == 3
    assert ended(ids_in(a, b))


@pytest.mark.parametrize("how", [signal.SIGTERM, signal.SIGINT])
def test_being_asked_to_end_ends_both_children_and_all(tmp_path: Path, how: signal.Signals) -> None:
    files = (tmp_path / "a", tmp_path / "b")

    def ask() -> None:
        ids_in(*files)
        os.kill(os.getpid(), how)

    threading.Thread(target=ask).start()

    assert _side_by_side(*(writes_its_id(file) for file in files), QUIET) == 0
    assert ended(ids_in(*files))


def test_who_does_not_end_is_made_to(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(run_commands, "END_SECONDS", 0.3)
    files = (tmp_path / "a", tmp_path / "b")

    def ask() -> None:
        ids_in(*files)
        os.kill(os.getpid(), signal.SIGTERM)

    threading.Thread(target=ask).start()
    began = time.monotonic()
    _side_by_side(*(writes_its_id(file, ignores=True) for file in files), QUIET)

    assert time.monotonic() - began < 30, "they would have ended by themselves after a minute"
    assert ended(ids_in(*files))


def test_a_dashboard_that_does_not_start_ends_all_and_is_told(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    file = tmp_path / "a"

    code = _side_by_side(writes_its_id(file), [sys.executable, "-c", "raise SystemExit(2)"], QUIET)

    assert code == 1
    assert "The dashboard did not start" in capsys.readouterr().err
    assert not file.exists() or ended([int(word) for word in file.read_text().split()])


def test_a_dashboard_that_ends_later_ends_nothing_else(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(run_commands, "START_SECONDS", 0)
    main = [sys.executable, "-c", "import time; time.sleep(0.3)"]

    assert _side_by_side(main, [sys.executable, "-c", "raise SystemExit(1)"], QUIET) == 0


def test_a_main_command_that_a_signal_ends_is_no_success() -> None:
    main = [sys.executable, "-c", "import os; os.kill(os.getpid(), 9)"]

    assert _side_by_side(main, [sys.executable, "-c", "import time; time.sleep(60)"], QUIET) == 137


def test_a_main_command_that_cant_start_leaves_nothing_behind(tmp_path: Path) -> None:
    file = tmp_path / "b"
    with pytest.raises(FileNotFoundError):
        _side_by_side([str(tmp_path / "no such command")], writes_its_id(file), QUIET)

    assert not file.exists() or ended([int(word) for word in file.read_text().split()])
