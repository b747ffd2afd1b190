"""The sensor acts on a real ledger, log and store; each tick says what it found, and none of them fails."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import dagster as dg
import pytest

from attrition_platform.adapters.ledger import SqlLedger
from attrition_platform.defs.sensors import watch_canary
from attrition_platform.errors import LedgerError
from attrition_platform.stages import canary_watch, release
from attrition_platform.stages.platform import Platform
from attrition_platform.stages.release import put_forward, release_state
from attrition_platform_tests.unit.test_canary_watch import RULE, answer, by_canary, failed_canary, notified
from attrition_platform_tests.unit.test_release import kinds, make_payload, make_platform, set_rule


@pytest.fixture
def platform(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Platform]:
    """Stable `s1` serves; ledger, prediction log and store are the real ones."""
    monkeypatch.setattr(release, "load_stored_scorer", lambda *_: None)
    found = make_platform(tmp_path)
    del found.__dict__["ledger"]
    put_forward(found, "s1", make_payload(found, "s1"))
    set_rule(found, "canary", **RULE)
    yield found
    if "predictions" in found.__dict__:
        found.predictions.close()


def tick(platform: Platform) -> str:
    """What one tick says."""
    with dg.build_sensor_context(resources={"platform": platform}) as context:
        found = watch_canary(context)
    assert isinstance(found, dg.SkipReason)
    assert found.skip_message
    return found.skip_message


def test_without_a_canary_a_tick_says_so_and_opens_no_log(platform: Platform) -> None:
    assert isinstance(platform.ledger, SqlLedger)
    assert tick(platform) == "No canary is running."
    assert not (platform.settings.data_dir / "predictions").exists()


def test_a_good_canary_is_ramped_and_the_next_tick_has_nothing_to_do(platform: Platform) -> None:
    put_forward(platform, "c1", make_payload(platform, "c1"))
    assert "goes on" in tick(platform)
    answer(platform, platform.predictions, n=1000)

    assert "Canary c1 has all traffic now (ledger record 3)" in tick(platform)
    champion = platform.ledger.champion()
    assert champion is not None
    assert champion.version == "c1"
    assert tick(platform) == "No canary is running."
    (told,) = notified(platform)
    assert told["run_url"] == "http://127.0.0.1:3000/runs/run-c1"
    assert platform.ledger.verify().intact


def test_a_broken_canary_is_rolled_back(platform: Platform) -> None:
    put_forward(platform, "c1", make_payload(platform, "c1"))
    answer(
        platform,
        platform.predictions,
        n=1000,
        canary=lambda n, at: (failed_canary if n % 5 == 0 else by_canary)(n, at),
    )

    assert "Canary c1 was rolled back" in tick(platform)
    assert kinds(platform) == ["promotion", "canary", "canary-end"]
    assert release_state(platform.ledger.records()).canary is None


@pytest.mark.parametrize(
    ("error", "said"),
    [
        (LedgerError("The ledger can't be read. Check that the database runs."), "The ledger can't be read."),
        (ValueError("could not convert 'Ana Lee, 61, divorced'"), "ValueError."),
    ],
)
def test_an_error_is_told_without_values_and_the_sensor_goes_on(
    platform: Platform, monkeypatch: pytest.MonkeyPatch, error: Exception, said: str
) -> None:
    put_forward(platform, "c1", make_payload(platform, "c1"))

    def fail(*_: Any, **__: Any) -> None:
        raise error

    with monkeypatch.context() as patched:
        patched.setattr(canary_watch, "watch", fail)
        found = tick(platform)
    assert "The canary was not judged" in found
    assert said in found
    assert "Ana" not in found

    assert "goes on" in tick(platform)


def test_a_ledger_that_can_not_be_opened_is_told_too(tmp_path: Path) -> None:
    broken = make_platform(tmp_path)
    del broken.__dict__["ledger"]
    (broken.settings.data_dir).mkdir(parents=True)
    (broken.settings.data_dir / "ledger").write_text("a file where the folder should be")

    assert "The canary was not judged: FileExistsError." in tick(broken)


def test_the_code_location_runs_it_every_five_seconds_from_the_start() -> None:
    from attrition_platform.definitions import defs

    found = defs.get_repository_def().get_sensor_def("watch_canary")
    assert found.minimum_interval_seconds == 5
    assert found.default_status is dg.DefaultSensorStatus.RUNNING
