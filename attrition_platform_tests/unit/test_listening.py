"""A taken port is refused in words, before a server starts."""

from __future__ import annotations

import socket

import pytest
from click.testing import CliRunner

from attrition_platform.cli import run_commands
from attrition_platform.cli.listening import refuse_taken_port
from attrition_platform.errors import SettingsError


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
    option: str, other_option: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    started: list[list[str]] = []
    monkeypatch.setattr(run_commands, "_side_by_side", lambda main, *_: started.append(main) or 0)
    with socket.create_server(("127.0.0.1", 0)) as other:
        done = CliRunner().invoke(run_commands.ui, [option, str(other.getsockname()[1]), other_option, "0"])

    assert isinstance(done.exception, SettingsError)
    assert started == []
    assert str(done.exception).endswith(f"with {option}.")
    assert "Dagster UI on" not in done.output
