"""A port that is taken, no port or not for others is refused in words, before a server starts."""

from __future__ import annotations

import socket
from pathlib import Path

import pytest
from click.testing import CliRunner, Result
from filelock import FileLock

from attrition_platform.cli import listening, run_commands
from attrition_platform.cli.listening import refuse_taken_port
from attrition_platform.errors import AttritionError, SettingsError


@pytest.fixture(autouse=True)
def data(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("ATTRITION_DATA", str(tmp_path / "data"))
    monkeypatch.setenv("ATTRITION_KEY_FILE", str(tmp_path / "key"))
    return tmp_path / "data"


@pytest.fixture
def started(monkeypatch: pytest.MonkeyPatch) -> list[list[str]]:
    """What `attrition ui` would start."""
    commands: list[list[str]] = []
    monkeypatch.setattr(run_commands, "_side_by_side", lambda main, *_: commands.append(main) or 0)
    return commands


def ui(*options: str) -> Result:
    return CliRunner().invoke(run_commands.ui, list(options))


def test_a_taken_port_is_refused_and_the_message_says_what_to_do() -> None:
    with socket.create_server(("127.0.0.1", 0)) as other:
        port = other.getsockname()[1]
        with pytest.raises(SettingsError, match=f"Port {port} on 127.0.0.1 is taken.*--port"):
            refuse_taken_port("127.0.0.1", port)
    refuse_taken_port("127.0.0.1", port)


@pytest.mark.parametrize(("host", "port"), [("127.0.0.1", 0), ("no such host", 8000), ("127.0.0.1", 99_999)])
def test_what_only_the_server_can_judge_is_left_to_it(host: str, port: int) -> None:
    refuse_taken_port(host, port)


@pytest.mark.parametrize(
    ("option", "other_option"), [("--port", "--dashboard-port"), ("--dashboard-port", "--port")]
)
def test_the_ui_does_not_start_dagster_where_a_port_is_taken(
    option: str, other_option: str, started: list[list[str]]
) -> None:
    with socket.create_server(("127.0.0.1", 0)) as other:
        done = ui(option, str(other.getsockname()[1]), other_option, "0")

    assert isinstance(done.exception, SettingsError)
    assert started == []
    assert str(done.exception).endswith(f"with {option}.")
    assert "Dagster UI on" not in done.output


@pytest.mark.parametrize("option", ["--port", "--dashboard-port"])
@pytest.mark.parametrize("port", ["99999", "-1", "http"])
def test_what_is_no_port_is_refused(option: str, port: str, started: list[list[str]]) -> None:
    done = ui(option, port)

    assert done.exit_code == 2
    assert option in done.stderr
    assert started == []


def test_both_on_one_port_is_refused_and_both_on_any_port_is_not(started: list[list[str]]) -> None:
    refused = ui("--port", "3405", "--dashboard-port", "3405")

    assert isinstance(refused.exception, SettingsError)
    assert "both 3405" in str(refused.exception)
    assert started == []
    assert ui("--port", "0", "--dashboard-port", "0").exit_code == 0
    assert len(started) == 1


@pytest.mark.parametrize("host", ["0.0.0.0", "::", "192.0.2.7"])
def test_the_ui_which_anybody_may_write_to_is_opened_to_others_only_on_demand(
    host: str, started: list[list[str]], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(listening, "refuse_taken_port", lambda *_: None)
    refused = ui("--host", host, "--port", "0", "--dashboard-port", "0")

    assert isinstance(refused.exception, SettingsError)
    assert "no log-in" in str(refused.exception)
    assert started == []
    asked_for = ui("--host", host, "--port", "0", "--dashboard-port", "0", "--open-to-others")
    assert asked_for.exit_code == 0
    assert started[0][started[0].index("-h") + 1] == host


def test_a_second_ui_on_a_data_folder_is_refused_whatever_its_ports(
    data: Path, started: list[list[str]]
) -> None:
    data.mkdir()
    with FileLock(data / run_commands.UI_LOCK):
        done = ui("--port", "0", "--dashboard-port", "0")

    assert isinstance(done.exception, SettingsError)
    assert done.exception.exit_code == 2
    assert str(data) in str(done.exception)
    assert "port" not in str(done.exception).lower().replace(str(data).lower(), "")
    assert started == []
    assert ui("--port", "0", "--dashboard-port", "0").exit_code == 0, "once the first has ended"


def test_the_lock_is_held_while_the_ui_runs_and_let_go_of_afterwards(
    data: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen: list[Result] = []

    def run(*_: object) -> int:
        if not seen:
            seen.append(ui("--port", "0", "--dashboard-port", "0"))
        return 0

    monkeypatch.setattr(run_commands, "_side_by_side", run)

    assert ui("--port", "0", "--dashboard-port", "0").exit_code == 0
    assert isinstance(seen[0].exception, SettingsError)
    FileLock(data / run_commands.UI_LOCK).acquire(timeout=0)


def test_a_data_folder_that_is_no_folder_is_told(data: Path, started: list[list[str]]) -> None:
    data.write_text("a file")
    done = ui("--port", "0", "--dashboard-port", "0")

    assert isinstance(done.exception, SettingsError)
    assert f"'{data}' is not a folder" in str(done.exception)
    assert started == []


@pytest.mark.parametrize("name", ["ATTRITION_POLICY", "ATTRITION_CONTRACT"])
def test_a_broken_policy_or_contract_is_told_before_anything_starts(
    name: str, started: list[list[str]], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(name, "/nowhere.toml")
    done = ui("--port", "0", "--dashboard-port", "0")

    assert isinstance(done.exception, AttritionError)
    assert done.exception.exit_code == 2
    assert started == []
