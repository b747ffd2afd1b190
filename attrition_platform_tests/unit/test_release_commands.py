"""`attrition canary` and `attrition approve`, as a user calls them."""

from __future__ import annotations

import getpass
import json
from collections.abc import Callable
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from attrition_platform.cli import release_commands
from attrition_platform.errors import AttritionError, PredictionLogError, ReleaseError
from attrition_platform.stages import release
from attrition_platform.stages.platform import Platform
from attrition_platform.stages.release import put_forward, release_state
from attrition_platform_tests.adapters.memory_prediction_log import MemoryPredictionLog
from attrition_platform_tests.unit.test_canary_watch import RULE, answer, notified
from attrition_platform_tests.unit.test_release import kinds, make_payload, make_platform, set_rule


@pytest.fixture
def platform(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Platform:
    """Stable `s1` serves; the policy releases by canary."""
    monkeypatch.setattr(release, "load_stored_scorer", lambda *_: None)
    monkeypatch.setenv("COLUMNS", "100")
    found = make_platform(tmp_path)
    found.__dict__["predictions"] = MemoryPredictionLog()
    monkeypatch.setattr(release_commands, "_platform", lambda: found)
    put_forward(found, "s1", make_payload(found, "s1"))
    set_rule(found, "canary", **RULE)
    return found


def offer(platform: Platform, version: str = "c1abc") -> None:
    put_forward(platform, version, make_payload(platform, version))


def canary(*arguments: str) -> Result:
    return CliRunner().invoke(release_commands.canary, list(arguments))


def approve(*arguments: str) -> Result:
    return CliRunner().invoke(release_commands.approve, list(arguments))


def error_of(result: Result) -> AttritionError:
    assert isinstance(result.exception, AttritionError), result.output
    return result.exception


def test_without_a_canary_the_status_says_what_serves(platform: Platform) -> None:
    done = canary("status")

    assert done.exit_code == 0
    assert done.stdout.splitlines() == ["Stable     s1", "Canary     none is running"]
    assert json.loads(canary("status", "--json").stdout)["running"] is False


def test_without_a_champion_the_status_says_so(platform: Platform, tmp_path: Path) -> None:
    platform.__dict__["ledger"] = make_platform(tmp_path / "other").ledger

    assert "none: there is no champion yet" in canary("status").stdout


def test_the_status_shows_both_arms_and_the_verdict(platform: Platform) -> None:
    offer(platform)
    answer(platform, platform.predictions, n=100)
    said = canary("status").stdout

    assert "Canary     c1abc (canary, 10% of the employees) since" in said
    assert "Verdict    continue. The canary has answered" in said
    for words in ("requests", "error rate", "p95 in ms", "flagged otherwise", "e-value", "disagreement"):
        assert words in said
    assert json.loads(canary("status", "--json").stdout)["verdict"]["n_stable"] == 50


def test_a_shadow_gives_no_answers(platform: Platform) -> None:
    set_rule(platform, "shadow")
    offer(platform)

    assert "c1abc (shadow, no answers)" in canary("status").stdout


def test_a_ramp_by_hand_makes_the_canary_champion(platform: Platform) -> None:
    offer(platform)
    done = canary("ramp", "--reason", "the fair is tomorrow", "--by", " Ana ")

    assert (done.exit_code, done.stdout) == (0, "Champion is c1abc (record 3).\n")
    record = platform.ledger.records()[-1]
    assert (record.kind, record.payload["by"]) == ("promotion", "Ana")
    assert record.payload["reason"] == "the fair is tomorrow"
    assert [told["kind"] for told in notified(platform)] == ["canary-ramped"]
    assert "became champion at" in canary("status").stdout


def test_an_abort_gives_all_traffic_back(platform: Platform) -> None:
    offer(platform)
    done = canary("abort", "--reason", "people ask about odd scores")

    assert (done.exit_code, done.stdout) == (0, "Canary c1abc has ended (record 3); s1 answers everyone.\n")
    assert platform.ledger.records()[-1].payload["by"] == getpass.getuser()
    assert release_state(platform.ledger.records()).canary is None
    assert "was ended at" in canary("status").stdout


def test_an_abort_works_while_the_log_can_not_be_opened(
    platform: Platform, monkeypatch: pytest.MonkeyPatch
) -> None:
    def broken(_: Platform) -> MemoryPredictionLog:
        raise PredictionLogError("The prediction log can't be opened.")

    offer(platform)
    del platform.__dict__["predictions"]
    monkeypatch.setattr(Platform, "predictions", property(broken))
    done = canary("abort", "--reason", "now")

    assert done.exit_code == 0
    assert "Note: The prediction log can't be opened." in done.stderr
    assert kinds(platform)[-1] == "canary-end"
    assert isinstance(canary("status").exception, PredictionLogError)


@pytest.mark.parametrize("command", ["ramp", "abort"])
def test_without_a_canary_there_is_nothing_to_decide(platform: Platform, command: str) -> None:
    error = error_of(canary(command, "--reason", "why"))

    assert (type(error), error.exit_code) == (ReleaseError, 1)
    assert "attrition canary status" in str(error)


@pytest.mark.parametrize(
    ("call", "arguments"),
    [
        (canary, ("ramp",)),
        (canary, ("ramp", "--reason", "  ")),
        (canary, ("abort", "--reason", "why", "--by", " ")),
        (canary, ("pause",)),
        (approve, ("c1", "--reason", "why")),
        (approve, ("c1", "--by", "Ana")),
        (approve, ("c1", "--by", " ", "--reason", "why")),
        (approve, ("--by", "Ana", "--reason", "why")),
    ],
)
def test_a_wrong_command_exits_2_and_writes_nothing(
    platform: Platform, call: Callable[..., Result], arguments: tuple[str, ...]
) -> None:
    offer(platform)

    assert call(*arguments).exit_code == 2
    assert kinds(platform) == ["promotion", "canary"]


def test_two_people_approve_and_the_second_releases(platform: Platform) -> None:
    set_rule(platform, "canary", approvals=2)
    offer(platform)
    assert "c1abc since" in canary("status").stdout
    assert "approved by nobody, 2 more needed" in canary("status").stdout

    first = approve("c1", "--by", "Ana", "--reason", "read the card")
    assert first.exit_code == 0
    assert first.stdout.splitlines() == [
        "Ana has approved c1abc (record 3).",
        "It is not released yet: 1 more person must.",
    ]
    assert "approved by Ana, 1 more needed" in canary("status").stdout

    again = error_of(approve("c1", "--by", "ana", "--reason", "again"))
    assert "another person must" in str(again)
    assert again.exit_code == 1

    second = approve("c1", "--by", "Bo", "--reason", "read the audit")
    assert "Canary is c1abc (record 5); `attrition canary status` follows it." in second.stdout


def test_an_approval_in_direct_mode_makes_the_champion(platform: Platform) -> None:
    set_rule(platform, "direct", approvals=1)
    offer(platform)

    done = approve("c1abc", "--by", "Ana", "--reason", "read the card")
    assert "Champion is c1abc (record 4)." in done.stdout


def test_a_version_that_does_not_wait_is_an_error_that_says_what_does(platform: Platform) -> None:
    assert "nothing waits for approval" in str(error_of(approve("c1", "--by", "Ana", "--reason", "why")))


@pytest.mark.parametrize("command", [("status",), ("ramp",), ("abort",), ()])
def test_help_says_what_it_does(command: tuple[str, ...]) -> None:
    done = canary(*command, "--help")

    assert done.exit_code == 0
    assert "canary" in done.stdout
