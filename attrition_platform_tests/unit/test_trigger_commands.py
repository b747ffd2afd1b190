"""`attrition triggers` shows what may start a run; `triggers test` says whether it would."""

from __future__ import annotations

import json
import os
import time
from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result

from attrition_platform.adapters.notifications import NOTIFICATIONS
from attrition_platform.cli import trigger_commands
from attrition_platform.defs import trigger_rehearsal
from attrition_platform.defs.trigger_sensors import NAMES
from attrition_platform.errors import AttritionError, StoreError
from attrition_platform.modeling.watch_rules import CauseKind, PerformanceRule, TriggerRule
from attrition_platform.monitoring import canary as canary_verdict
from attrition_platform.monitoring import performance
from attrition_platform.monitoring.concept import ConceptVerdict
from attrition_platform.monitoring.triggering import Cause
from attrition_platform.settings import Settings
from attrition_platform.stages import detecting
from attrition_platform.stages.detecting import Reading
from attrition_platform.stages.platform import Platform
from attrition_platform.stages.synthetic_signals import signals

NOON = datetime(2026, 3, 1, 12, tzinfo=UTC)
TRIGGERS = (*NAMES, "canary")
SIGNALS = tuple((one.trigger, one.name) for one in signals(PerformanceRule()))
LINES = (*SIGNALS, ("canary", "failing answers"))


@pytest.fixture
def platform(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Platform]:
    monkeypatch.setenv("COLUMNS", "120")
    environment = {"ATTRITION_DATA": str(tmp_path / "data"), "ATTRITION_KEY_FILE": str(tmp_path / "key")}
    found = Platform(Settings.from_environment(environment), lambda: NOON)
    monkeypatch.setattr(trigger_commands, "_platform", lambda: found)
    yield found
    if "causes" in found.__dict__:
        found.causes.close()


def triggers(*arguments: str) -> Result:
    return CliRunner().invoke(trigger_commands.triggers, list(arguments))


def as_json() -> dict[str, Any]:
    done = triggers("--json")
    assert done.exit_code == 0, done.output
    found: dict[str, Any] = json.loads(done.stdout)
    return found


def found(platform: Platform, kind: CauseKind, name: str = "a") -> Cause:
    cause = Cause(kind, f"{kind}/{name}", NOON - timedelta(hours=2), name, {"score": 0.25})
    platform.causes.add([cause])
    return cause


def rehearsed(code: int) -> dict[tuple[str, str], bool]:
    """Whether each line of `triggers test` is ok."""
    done = triggers("test", "--json")
    assert done.exit_code == code, done.output
    return {(line["trigger"], line["signal"]): line["ok"] for line in json.loads(done.stdout)["rehearsed"]}


# --- what may start a run


def test_an_empty_place_shows_every_trigger_with_its_limit_and_what_it_saw(platform: Platform) -> None:
    rows = as_json()["triggers"]

    assert [row["trigger"] for row in rows] == list(TRIGGERS)
    for row in rows:
        assert row["fires_when"]
        assert row["seen_now"]
        assert (row["last_fired"], row["n_open"], row["looks_again"]) == (
            None,
            0,
            "within 30 s while `make ui` runs",
        )
    shown = triggers().stdout
    for name in TRIGGERS:
        assert f"{name}: fires when " in shown


def test_looking_starts_nothing_and_puts_nothing_on_record(platform: Platform) -> None:
    platform.settings.inbox.mkdir(parents=True)
    file = platform.settings.inbox / "june.csv"
    file.write_text("a,b\n1,2\n")
    os.utime(file, (time.time() - 60, time.time() - 60))

    (row,) = [row for row in as_json()["triggers"] if row["trigger"] == "new-file"]

    assert row["seen_now"] == "1 files in the inbox, 1 new"
    assert platform.causes.records() == []
    assert file.exists()


def test_an_open_cause_and_a_fired_one_are_told_with_when_they_look_again(platform: Platform) -> None:
    rule = platform.policy.triggers
    found(platform, "drift", "w1")
    (record,) = platform.causes.request(rule, NOON - timedelta(hours=1)).request
    platform.causes.settle(str(record.run_key), succeeded=True, rule=rule, now=NOON)
    found(platform, "drift", "w2")

    told = as_json()
    (row,) = [row for row in told["triggers"] if row["trigger"] == "drift"]

    assert row["last_fired"] == "2026-03-01T11:00:00+00:00"
    assert (row["n_open"], row["looks_again"]) == (1, "2026-03-01T23:00+00:00")
    (waiting,) = told["causes"]
    assert (waiting["key"], waiting["state"], waiting["evidence"]) == ("drift/w2", "open", {"score": 0.25})
    assert waiting["retry_at"] is None


def ticket(platform: Platform, kind: CauseKind, name: str) -> str:
    """A cause whose only run failed."""
    rule = TriggerRule(max_attempts=1)
    cause = found(platform, kind, name)
    (record,) = platform.causes.request(rule, NOON).request
    platform.causes.settle(str(record.run_key), succeeded=False, rule=rule, now=NOON)
    return cause.key


def test_a_ticket_is_called_out_with_its_key_and_what_can_be_done(platform: Platform) -> None:
    key = ticket(platform, "new-file", "ab12" * 8 + "/12345678")

    shown = triggers().stdout

    assert key in shown
    assert "ticketed" in shown
    assert "attrition triggers retry KEY" in shown


def test_a_ticket_is_tried_again_by_the_beginning_of_its_key(platform: Platform) -> None:
    ticket(platform, "new-file", "ab12")

    done = triggers("retry", "new-file/ab")

    assert done.exit_code == 0
    assert done.stdout == "new-file/ab12 is tried again as soon as the daemon looks (`make ui`).\n"
    assert [record.state for record in platform.causes.records()] == ["open"]


def test_a_ticket_or_a_cause_that_waits_is_closed(platform: Platform) -> None:
    ticket(platform, "new-file", "ab12")
    found(platform, "drift", "w1")

    for key in ("new-file/ab12", "drift"):
        assert triggers("close", key).exit_code == 0

    assert {record.state for record in platform.causes.records()} == {"done"}
    assert as_json()["causes"] == []


@pytest.mark.parametrize("command", ["retry", "close"])
@pytest.mark.parametrize(
    ("key", "said"),
    [("nothing", "No cause begins with 'nothing'"), ("new-file/a", "2 causes begin with"), ("", "No cause")],
)
def test_a_key_that_names_none_or_several_changes_nothing(
    platform: Platform, command: str, key: str, said: str
) -> None:
    for name in ("ab", "ac"):
        ticket(platform, "new-file", name)

    done = triggers(command, key)

    assert done.exit_code == 2
    assert said in done.stderr
    assert {record.state for record in platform.causes.records()} == {"ticketed"}


def test_a_key_that_another_one_begins_with_and_one_that_has_ended_hide_none(platform: Platform) -> None:
    for name in ("1", "12"):
        ticket(platform, "event", name)
    assert triggers("close", "event/1").exit_code == 0

    assert triggers("retry", "event/").exit_code == 0
    assert [r.state for r in platform.causes.records()] == ["done", "open"]


@pytest.mark.parametrize("command", ["retry", "close"])
def test_what_is_under_way_or_has_ended_can_be_neither_closed_nor_tried_again(
    platform: Platform, command: str
) -> None:
    found(platform, "drift", "w1")
    (record,) = platform.causes.request(platform.policy.triggers, NOON).request
    with pytest.raises(AttritionError, match="is under way"):
        trigger_commands.triggers.main([command, "drift/w1"], standalone_mode=False)

    platform.causes.settle(str(record.run_key), succeeded=True, rule=platform.policy.triggers, now=NOON)
    with pytest.raises(AttritionError, match="has ended already"):
        trigger_commands.triggers.main([command, "drift/w1"], standalone_mode=False)


def test_a_cause_without_a_run_is_not_tried_again(platform: Platform) -> None:
    found(platform, "drift", "w1")

    with pytest.raises(AttritionError, match="waits for its first run already"):
        trigger_commands.triggers.main(["retry", "drift/w1"], standalone_mode=False)


@pytest.mark.parametrize(
    ("error", "said"),
    [
        (StoreError("A pointer is odd. Delete it."), "it could not look: A pointer is odd. Delete it"),
        (PermissionError("/secret/place"), "it could not look: PermissionError"),
        (ValueError("could not convert 'Ana Lee, 61, divorced'"), "it could not look: ValueError"),
    ],
)
def test_a_detector_that_can_not_look_hides_no_other_and_is_told_by_the_exit_code(
    platform: Platform, monkeypatch: pytest.MonkeyPatch, error: Exception, said: str
) -> None:
    def fail(_: Platform) -> Reading:
        raise error

    monkeypatch.setitem(detecting.DETECTORS, "drift", fail)  # type: ignore[arg-type]
    done = triggers("--json")
    rows = {row["trigger"]: row["seen_now"] for row in json.loads(done.stdout)["triggers"]}

    assert rows["drift"] == said
    assert rows["new-file"] == "0 files in the inbox, 0 new"
    assert done.exit_code == triggers().exit_code == 1


def test_looking_takes_no_outcomes_in(platform: Platform) -> None:
    """Under another user's key they would be stored as outcomes of nobody."""
    folder = platform.settings.data_dir / "outcomes"
    folder.mkdir(parents=True)
    (folder / "a.csv").write_text("nothing\n")
    os.utime(folder / "a.csv", (1, 1))

    triggers()

    assert [file.name for file in folder.iterdir()] == ["a.csv"]
    assert not platform.settings.key_file.exists()


def test_a_running_canary_is_shown_and_when_the_last_one_ended(platform: Platform) -> None:
    at = NOON.isoformat(timespec="milliseconds")
    platform.ledger.append("promotion", "s1", {}, at=at)
    platform.ledger.append("canary", "c1", {}, at=at)
    row = as_json()["triggers"][-1]
    assert (row["seen_now"], row["n_open"], row["last_fired"]) == ("canary c1 is running", 1, None)

    platform.ledger.append("canary-end", "c1", {}, at=at)
    row = as_json()["triggers"][-1]
    assert (row["seen_now"], row["n_open"], row["last_fired"]) == ("no canary is running", 0, at)


# --- the rehearsal


@pytest.mark.slow
def test_all_fire_when_they_must_and_only_then_and_the_place_stays_as_it_was(platform: Platform) -> None:
    done = triggers("test")

    assert done.exit_code == 0, done.output
    lines = done.stdout.splitlines()
    assert [line.split()[0] for line in lines] == [trigger for trigger, _ in LINES]
    assert all(name in line and line.endswith(" ok") for line, (_, name) in zip(lines, LINES, strict=True))
    assert done.stderr == "", "what must not fire is refused, and that is no warning here"
    assert list(platform.settings.data_dir.rglob("*")) == []


@pytest.mark.slow
def test_a_disabled_detector_makes_exactly_its_lines_fail(
    platform: Platform, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(detecting.DETECTORS, "drift", lambda _: Reading("never", "nothing"))  # type: ignore[arg-type]

    assert rehearsed(code=1) == {line: line[0] != "drift" for line in LINES}


@pytest.mark.slow
def test_a_dead_verdict_on_concept_drift_makes_exactly_its_line_fail(
    platform: Platform, monkeypatch: pytest.MonkeyPatch
) -> None:
    dead = ConceptVerdict(False, 0.0, 0.01, 0, 0, None, ())
    monkeypatch.setattr(performance, "judge_concept", lambda *_, **__: dead)

    done = triggers("test")

    assert done.exit_code == 1
    (broken,) = [line for line in done.stdout.splitlines() if line.endswith("BROKEN")]
    assert broken.split()[:4] == ["performance", "concept", "drift", "on_performance"]
    assert "DID NOT FIRE" in broken
    assert f"1 of {len(LINES)} did not do as they must." in done.stderr


@pytest.mark.parametrize("fires", [True, False])
def test_a_verdict_on_canaries_that_never_or_always_rolls_back_makes_its_line_fail(
    fires: bool, platform: Platform, monkeypatch: pytest.MonkeyPatch
) -> None:
    real = canary_verdict.judge
    action: Any = "roll-back" if fires else "continue"
    monkeypatch.setattr(canary_verdict, "judge", lambda *a, **k: replace(real(*a, **k), action=action))

    monkeypatch.setattr(trigger_rehearsal, "signals", lambda _: ())

    assert rehearsed(code=1) == {LINES[-1]: False}


def test_a_rehearsal_tells_nobody(platform: Platform, tmp_path: Path) -> None:
    real = replace(platform.settings, webhook_url="http://127.0.0.1:1/", smtp_url="smtp://127.0.0.1:1")

    scratch = trigger_rehearsal._scratch(Platform(real), tmp_path / "scratch")

    assert (scratch.settings.webhook_url, scratch.settings.smtp_url) == (None, None)
    assert scratch.settings.ledger_url is None
    assert tmp_path / "scratch" in (scratch.settings.data_dir / NOTIFICATIONS).parents
