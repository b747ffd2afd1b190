"""What the shell says to a hurried person: typing errors, an empty ledger, a release that waits."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import pytest
from click.testing import CliRunner

from attrition_platform.adapters.step_cache import StepResult
from attrition_platform.cli import attrition, champion_commands, predict_commands, summary
from attrition_platform.errors import AttritionError
from attrition_platform.stages import release
from attrition_platform.stages.platform import Platform
from attrition_platform.stages.release import approve, put_forward
from attrition_platform_tests.unit.test_release import make_payload, make_platform, set_rule


@pytest.fixture
def platform(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Platform:
    monkeypatch.setattr(release, "load_stored_scorer", lambda *_: None)
    found = make_platform(tmp_path)
    monkeypatch.setattr(champion_commands, "_platform", lambda: found)
    return found


def outcome_of(platform: Platform, version: str, capsys: pytest.CaptureFixture[str]) -> str:
    results: list[Any] = [
        SimpleNamespace(facts={"family": "boosted_trees"}),
        SimpleNamespace(facts={"version": version, "outcome": "promoted"}),
    ]
    summary._print_outcome(platform, *cast("list[StepResult]", results))
    return capsys.readouterr().out


@pytest.mark.parametrize(("typed", "meant"), [("predct", "predict"), ("championn", "champion")])
def test_a_mistyped_command_is_answered_with_the_one_that_was_meant(typed: str, meant: str) -> None:
    done = CliRunner().invoke(attrition, [typed])

    assert done.exit_code == 2
    assert f"No such command '{typed}'. Did you mean '{meant}'?" in done.stderr


def test_a_word_like_no_command_gets_no_guess() -> None:
    assert "Did you mean" not in CliRunner().invoke(attrition, ["xyzzy"]).stderr


def test_before_the_first_training_the_shell_says_train(platform: Platform) -> None:
    shown = CliRunner().invoke(champion_commands.champion)

    assert isinstance(shown.exception, AttritionError)
    assert "`make train`" in str(shown.exception)
    assert CliRunner().invoke(champion_commands.history).stdout == (
        "The ledger has no record yet. Run `make train` first.\n"
    )


def test_json_without_its_option_is_told_which(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def out_of_input(*_: object) -> str:
        raise predict_commands.click.Abort

    monkeypatch.setattr(predict_commands, "_ask", out_of_input)
    monkeypatch.setattr(predict_commands, "_platform", lambda: make_platform(tmp_path))
    arm = SimpleNamespace(spec=SimpleNamespace(source_columns=["job_level"]))
    monkeypatch.setattr(
        "attrition_platform.stages.logged_predictor.LoggedPredictor", lambda _: SimpleNamespace(arm=arm)
    )
    done = CliRunner().invoke(predict_commands.predict, input='{"job_level": "Mid"}')

    assert done.exit_code == 1
    assert "--json" in done.stderr


def test_the_summary_calls_champion_only_what_serves(
    platform: Platform, capsys: pytest.CaptureFixture[str]
) -> None:
    put_forward(platform, "s1", make_payload(platform, "s1"))
    assert outcome_of(platform, "s1", capsys) == "Champion: s1 (boosted_trees), promoted by this run.\n"

    set_rule(platform, "canary", approvals=1)
    put_forward(platform, "c1", make_payload(platform, "c1"))
    waiting = outcome_of(platform, "c1", capsys)
    assert "Waiting: c1" in waiting
    assert "Approvals that it needs: 1 more." in waiting
    assert "attrition approve c1 --by NAME --reason TEXT" in waiting
    assert "Champion: s1, still." in waiting

    approve(platform, "c1", "Ana", "well")
    canary = outcome_of(platform, "c1", capsys)
    assert "Canary: c1 (boosted_trees)" in canary
    assert "Champion: s1, still." in canary

    assert "Not released: c0" in outcome_of(platform, "c0", capsys)
