"""`attrition notifications`: what was told, a test of every channel, and what waits."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result

from attrition_platform.adapters.notifications import Notification, build_notifier
from attrition_platform.cli import attrition, notification_commands
from attrition_platform.modeling.policy import load_policy
from attrition_platform.settings import Settings
from attrition_platform_tests.adapters.notification_servers import mailing, serving


@pytest.fixture(autouse=True)
def place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    for name in ("WEBHOOK_URL", "WEBHOOK_FORMAT", "SMTP_URL", "MAIL_FROM", "MAIL_TO", "POLICY"):
        monkeypatch.delenv(f"ATTRITION_{name}", raising=False)
    monkeypatch.setenv("ATTRITION_DATA", str(tmp_path / "data"))
    monkeypatch.setenv("COLUMNS", "200")
    return tmp_path / "data"


def run(*arguments: str) -> Result:
    return CliRunner().invoke(attrition, ["notifications", *arguments])


def tell(key: str, **changes: Any) -> None:
    fields: dict[str, Any] = {
        "kind": "drift",
        "key": key,
        "title": f"Drift in {key}",
        "cause": f"because of {key}",
        "version_before": None,
        "version_after": None,
        "evidence": {},
        "run_url": None,
        "at": datetime.now(UTC).isoformat(),
    }
    settings = Settings.from_environment()
    build_notifier(settings, load_policy(settings.policy)).send(Notification(**(fields | changes)))


def test_before_anything_was_told_the_list_says_so() -> None:
    result = run("list")

    assert (result.exit_code, result.stdout) == (0, "Nobody has been told of anything yet.\n")
    assert run("tail").stdout == ""
    assert run("flush").exit_code == 0


def test_the_list_shows_the_newest_with_their_fates() -> None:
    for key in "abc":
        tell(key, cause_kind="drift")

    result = run("list", "--limit", "2")

    assert result.exit_code == 0
    assert "Drift in a" not in result.stdout
    assert "Drift in b" in result.stdout
    assert "grouped" in result.stdout
    assert "2 wait for their group" in result.stdout
    document = json.loads(run("list", "--json").stdout)
    assert [line["fate"] for line in document["notifications"]] == ["told", "grouped", "grouped"]
    assert (document["grouped"], document["undelivered"], document["failing"]) == (2, {}, {})


def test_tail_is_one_line_each_and_no_terminal_obeys_it() -> None:
    tell("a", title="two\nlines\x1b[2J")

    result = run("tail", "-n", "1")

    assert result.stdout.count("\n") == 1
    assert "[ticket] two lines [2J. because of a" in result.stdout
    assert run("tail", "-n", "0").stdout == ""


def test_tail_follows_until_it_is_interrupted(monkeypatch: pytest.MonkeyPatch) -> None:
    tell("a")
    waits = iter(["b", "c"])

    def waiting(_seconds: float) -> None:
        key = next(waits, None)
        if key is None:
            raise KeyboardInterrupt
        tell(key)

    monkeypatch.setattr(notification_commands, "sleep", waiting)
    result = run("tail", "-n", "0", "--follow")

    assert [line.rsplit(" ", 1)[1] for line in result.stdout.split("\n") if "because" in line] == ["b", "c"]
    assert (result.exit_code, result.stderr) == (0, "")


def test_tail_is_in_the_order_in_which_things_happened() -> None:
    for day in ("03", "01", "02"):
        tell(day, at=f"2026-03-{day}T12:00:00+00:00", cause_kind=day)

    found = run("tail").stdout.splitlines()

    assert [line[:10] for line in found] == ["2026-03-01", "2026-03-02", "2026-03-03"]


def test_no_name_is_folded_where_nobody_looks_at_a_terminal(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", "80")
    at = "2026-03-01T12:00:00.000+00:00"
    kind = "-".join(["a", *["long"] * 9, "kind"])
    tell("a", at=at, kind=kind, cause="a cause of many words " * 9)

    found = run("list").stdout

    assert at in found
    assert f"ticket {kind}" in found
    assert "Drift in a" in found


def test_the_test_goes_through_every_channel(monkeypatch: pytest.MonkeyPatch) -> None:
    with serving() as hook, mailing() as server:
        monkeypatch.setenv("ATTRITION_WEBHOOK_URL", hook.url)
        monkeypatch.setenv("ATTRITION_WEBHOOK_FORMAT", "slack")
        monkeypatch.setenv("ATTRITION_SMTP_URL", f"smtp://localhost:{server.port}")
        monkeypatch.setenv("ATTRITION_MAIL_FROM", "a@example.org")
        monkeypatch.setenv("ATTRITION_MAIL_TO", "b@example.org, c@example.org")
        result = run("test")

    assert (result.exit_code, result.stdout) == (0, "file: took it\nwebhook: took it\nmail: took it\n")
    assert set(hook.bodies[0]) == {"text", "blocks"}
    assert server.mails[0]["To"] == "b@example.org, c@example.org"


def test_two_tests_in_a_row_are_both_sent(monkeypatch: pytest.MonkeyPatch) -> None:
    with serving() as hook:
        monkeypatch.setenv("ATTRITION_WEBHOOK_URL", hook.url)
        assert (run("test").exit_code, run("test").exit_code) == (0, 0)
        assert run("flush").exit_code == 0

    assert len(hook.bodies) == 2


def test_one_channel_that_fails_makes_it_exit_1_and_shows_no_secret(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ATTRITION_WEBHOOK_URL", "http://127.0.0.1:1/hush")
    result = run("test")

    assert result.exit_code == 1
    assert "file: took it\nwebhook: failed, it can't be reached" in result.stdout
    assert "A test is not repeated" in result.stdout
    assert "hush" not in result.output
    assert "The web hook did not take a test" in run("list").stdout
    assert run("flush").exit_code == 0


def test_a_file_that_can_not_be_written_makes_it_exit_1(place: Path) -> None:
    (place / "notifications.jsonl").mkdir(parents=True)
    result = run("test")

    assert result.exit_code == 1
    assert "file: failed, it can't be written" in result.stdout


def test_without_other_channels_the_test_names_their_settings() -> None:
    result = run("test")

    assert result.exit_code == 0
    assert "ATTRITION_WEBHOOK_URL and ATTRITION_SMTP_URL" in result.stdout


def test_flush_sends_what_was_left_and_exits_1_while_it_fails(monkeypatch: pytest.MonkeyPatch) -> None:
    with serving(500, 500, 500, 500) as hook:
        monkeypatch.setenv("ATTRITION_WEBHOOK_URL", hook.url)
        tell("a")
        assert "webhook: 1 not delivered yet." in run("list").stdout
        assert "webhook: fails since" in run("list").stdout
        failed = run("flush")
        assert failed.exit_code == 1
        assert "webhook: failed, it answered HTTP 500" in failed.stdout
        assert (run("flush").exit_code, len(hook.bodies)) == (0, 5)


def test_a_hostile_line_in_the_file_breaks_no_command(place: Path) -> None:
    tell("a")
    with (place / "notifications.jsonl").open("ab") as file:
        file.write(b'{"kind": 3}\nnull\n[1]\n\xff\xfe\n{"title": {"x": 1}}\n')

    for command in ("list", "tail", "flush"):
        assert run(command).exit_code == 0, command
