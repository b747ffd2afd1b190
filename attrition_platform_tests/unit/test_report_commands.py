"""`attrition slo` and its sisters: what they say before the first report, and their tables in a pipe."""

from __future__ import annotations

from pathlib import Path

import click
import pytest
from click.testing import CliRunner

from attrition_platform.cli.report_commands import drift, performance, slo
from attrition_platform.errors import StoreError
from attrition_platform.monitoring.slo_report import MEASURES
from attrition_platform.settings import Settings
from attrition_platform.stages.platform import Platform
from attrition_platform_tests.watched_place import slo_facts, write_report


@pytest.fixture
def platform(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Platform:
    for name, value in {
        "ATTRITION_DATA": str(tmp_path / "data"),
        "ATTRITION_KEY_FILE": str(tmp_path / "key"),
        "COLUMNS": "80",
    }.items():
        monkeypatch.setenv(name, value)
    return Platform(Settings.from_environment())


@pytest.mark.parametrize(
    ("command", "said"),
    [
        (drift, "There is no drift report yet. Run `make train` first."),
        (performance, "There is no performance report yet. Run `attrition monitor` first."),
        (slo, "There is no slo report yet. Run `attrition monitor` first."),
    ],
)
def test_before_the_first_report_the_command_that_makes_it_is_named(
    platform: Platform, command: click.Command, said: str
) -> None:
    done = CliRunner().invoke(command)

    assert isinstance(done.exception, StoreError)
    assert str(done.exception) == said


def test_a_damaged_report_is_told_as_such(platform: Platform) -> None:
    folder = platform.pointers_dir / "slo_report"
    folder.mkdir(parents=True)
    (folder / "newest.json").write_text("{half")

    assert "is no step record" in str(CliRunner().invoke(slo).exception)


def test_no_name_is_folded_at_eighty_columns_and_both_counts_are_told(platform: Platform) -> None:
    write_report(platform, "slo_report", slo_facts(platform, troubled=False))

    done = CliRunner().invoke(slo)

    assert done.exit_code == 0, done.output
    assert [name for name in MEASURES if name not in done.stdout] == []
    assert "of 10 promises (12 measures)" in done.stdout
    assert max(len(line) for line in done.stdout.splitlines()[1:]) <= 80
