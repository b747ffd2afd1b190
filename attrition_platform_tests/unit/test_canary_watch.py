"""The watch reads the log, asks for the verdict, acts on the ledger, keeps the evidence and tells."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from attrition_platform.adapters.prediction_log import SqlPredictionLog
from attrition_platform.contracts.toml_file import shipped_contract
from attrition_platform.errors import LateRunError, PredictionLogError
from attrition_platform.modeling.policy import Policy, ServingRule
from attrition_platform.monitoring.canary_report import LATENCY_EDGES_MS, feature_snapshot
from attrition_platform.ports import LedgerRecord, PredictionRecord
from attrition_platform.stages import canary_watch, release
from attrition_platform.stages.canary_watch import (
    WatchResult,
    canary_status,
    decide_by_hand,
    read_traffic,
    watch,
)
from attrition_platform.stages.platform import Platform
from attrition_platform.stages.release import end_canary, put_forward, release_state, roll_back
from attrition_platform_tests.adapters.memory_prediction_log import MemoryPredictionLog
from attrition_platform_tests.unit.test_release import kinds, make_payload, make_platform, set_rule

NOW = "2026-03-01T12:00:00.000+00:00"
RULE = {"min_requests": 200, "max_requests": 400}  # a canary that is decided in a test's time


def make_record(n: int, at: int, **changes: Any) -> PredictionRecord:
    """A prediction that stable made; `changes` make it another one."""
    fields: dict[str, Any] = {
        "id": f"{n:032x}",
        "at": at,
        "pseudonym": f"{n:032x}",
        "client": f"client-{n % 7}",
        "variant": "stable",
        "version": "s1",
        "inputs_hash": "h",
        "inputs": None,
        "score": -1.0,
        "probability": 0.3,
        "threshold": 0.5,
        "flagged": False,
        "tier": "low",
        "other_version": None,
        "other_probability": None,
        "failed": False,
        "latency_us": 2_000,
        "shadow_latency_us": None,
    }
    return PredictionRecord(**(fields | changes))


def by_canary(n: int, at: int, **changes: Any) -> PredictionRecord:
    """A prediction that the canary made while stable scored along."""
    along = {"variant": "canary", "version": "c1", "other_version": "s1", "other_probability": 0.31}
    return make_record(n, at, **(along | changes))


def failed_canary(n: int, at: int) -> PredictionRecord:
    """The canary raised, and stable answered."""
    return make_record(n, at, variant="canary", failed=True, other_version="c1")


def in_shadow(n: int, at: int, **changes: Any) -> PredictionRecord:
    """Stable answered, and the canary scored along."""
    along = {"other_version": "c1", "other_probability": 0.31, "shadow_latency_us": 500}
    return make_record(n, at, **(along | changes))


def began(platform: Platform) -> int:
    """The canary's first microsecond."""
    canary = running(platform)
    return round(datetime.fromisoformat(canary.at).astimezone(UTC).timestamp() * 1e6)


def running(platform: Platform) -> LedgerRecord:
    canary = release_state(platform.ledger.records()).canary
    assert canary is not None
    return canary


def answer(
    platform: Platform,
    log: Any,
    n: int = 600,
    share: int = 2,
    canary: Callable[[int, int], PredictionRecord] = by_canary,
) -> None:
    """Log `n` predictions, each `share`-th by the canary, a millisecond apart."""
    start = began(platform)
    log.append(
        [
            (canary if i % share == 0 else make_record)(i, start + 1000 * i)  # type: ignore[operator]
            for i in range(n)
        ]
    )


def notified(platform: Platform) -> list[dict[str, Any]]:
    file = platform.settings.data_dir / "notifications.jsonl"
    return [json.loads(line) for line in file.read_text().splitlines()] if file.exists() else []


def report_of(platform: Platform, evidence: dict[str, Any]) -> dict[str, Any]:
    found: dict[str, Any] = json.loads(platform.steps.store.verify(evidence["report"]).read_text())
    return found


def policy_with(platform: Platform, **serving: Any) -> Policy:
    return platform.policy.model_copy(update={"serving": ServingRule.model_validate(serving)})


@pytest.fixture(autouse=True)
def _loadable(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(release, "load_stored_scorer", lambda *_: None)


def begin(folder: Path, mode: str = "canary", **rule: Any) -> Platform:
    """Stable `s1` serves, and `c1` is its canary."""
    platform = make_platform(folder)
    put_forward(platform, "s1", make_payload(platform, "s1"))
    set_rule(platform, mode, **(RULE | rule))
    put_forward(platform, "c1", make_payload(platform, "c1"))
    return platform


@pytest.fixture
def platform(tmp_path: Path) -> Platform:
    return begin(tmp_path)


@pytest.fixture
def log() -> MemoryPredictionLog:
    return MemoryPredictionLog()


# --- what the watch does


def test_without_a_canary_it_says_so_and_does_nothing(tmp_path: Path, log: MemoryPredictionLog) -> None:
    empty = make_platform(tmp_path)

    assert watch(empty, log, NOW) == WatchResult("none", "No canary is running.")
    assert kinds(empty) == []


def test_a_canary_without_enough_requests_goes_on(platform: Platform, log: MemoryPredictionLog) -> None:
    answer(platform, log, n=100)
    result = watch(platform, log, NOW)

    assert result.action == "continue"
    assert "Canary c1 goes on. The canary has answered 50 of at least 200 requests." in result.told
    assert (result.record, notified(platform)) == (None, [])
    assert kinds(platform) == ["promotion", "canary"]


def test_a_good_canary_becomes_champion_with_its_evidence(
    platform: Platform, log: MemoryPredictionLog
) -> None:
    answer(platform, log, n=1000)
    canary = running(platform)
    result = watch(platform, log, NOW, run_url="http://127.0.0.1:3000/runs/run-c1")

    assert (result.action, kinds(platform)[-1]) == ("ramp", "promotion")
    assert result.record is not None
    payload = result.record.payload
    assert (payload["by"], payload["canary"]) == ("canary-verdict", canary.seq)
    assert payload["evidence"]["n_canary"] == 500
    assert payload["evidence"]["canary_error_rate"] == 0.0
    assert platform.registry.alias == "mlflow-c1"  # type: ignore[attr-defined]
    told = notified(platform)
    assert [(t["kind"], t["version_before"], t["version_after"]) for t in told] == [
        ("canary-ramped", "s1", "c1")
    ]
    assert told[0]["run_url"] == "http://127.0.0.1:3000/runs/run-c1"
    assert told[0]["evidence"]["ledger_record"] == result.record.seq


def test_a_canary_that_fails_loses_its_traffic(platform: Platform, log: MemoryPredictionLog) -> None:
    def often_failing(n: int, at: int) -> PredictionRecord:
        return failed_canary(n, at) if n % 5 == 0 else by_canary(n, at)

    answer(platform, log, n=1000, canary=often_failing)
    result = watch(platform, log, NOW)

    state = release_state(platform.ledger.records())
    assert (result.action, state.canary) == ("roll-back", None)
    assert state.stable is not None
    assert state.stable.version == "s1"
    assert result.record is not None
    assert "fails more often than stable" in result.record.payload["reason"]
    assert result.record.payload["evidence"]["canary_error_rate"] > 0.1
    told = notified(platform)
    assert [(t["kind"], t["version_before"], t["version_after"]) for t in told] == [
        ("canary-ended", "c1", "s1")
    ]
    assert watch(platform, log, NOW).told == "No canary is running."


@pytest.mark.parametrize(
    ("changes", "why"),
    [
        ({"latency_us": 9_000}, "slower than stable"),
        ({"other_probability": 0.9}, "flags other employees than stable"),
    ],
)
def test_a_slow_or_contrary_canary_loses_its_traffic(
    platform: Platform, log: MemoryPredictionLog, changes: dict[str, Any], why: str
) -> None:
    answer(platform, log, n=1200, canary=lambda n, at: by_canary(n, at, **changes))
    result = watch(platform, log, NOW)

    assert result.action == "roll-back"
    assert why in result.told


def test_from_verdict_to_record_is_a_moment(
    platform: Platform, log: MemoryPredictionLog, monkeypatch: pytest.MonkeyPatch
) -> None:
    judged: list[float] = []
    judge = canary_watch.judge

    def timed(*arguments: Any, **named: Any) -> Any:
        verdict = judge(*arguments, **named)
        judged.append(time.monotonic())
        return verdict

    monkeypatch.setattr(canary_watch, "judge", timed)
    end = platform.ledger.append
    written: list[float] = []

    def append(*arguments: Any, **named: Any) -> LedgerRecord:
        record = end(*arguments, **named)
        written.append(time.monotonic())
        return record

    monkeypatch.setattr(platform.ledger, "append", append)
    answer(platform, log, n=4000, canary=failed_canary)
    watch(platform, log, NOW)

    assert written[0] - judged[0] < 0.5  # some 10 ms on a quiet machine; the promise is 5 s


# --- somebody else was quicker, or something is broken


@pytest.mark.parametrize("meanwhile", ["aborted", "followed by another", "rolled back", "crowned"])
def test_who_ended_the_canary_first_wins_and_the_other_is_told(
    tmp_path: Path, log: MemoryPredictionLog, monkeypatch: pytest.MonkeyPatch, meanwhile: str
) -> None:
    platform = make_platform(tmp_path)
    for version in ("s0", "s1"):
        put_forward(platform, version, make_payload(platform, version))
    set_rule(platform, "canary", **RULE)
    put_forward(platform, "c1", make_payload(platform, "c1"))
    answer(platform, log, n=1000)
    stored = canary_watch._store

    def store_late(*arguments: Any) -> str:
        if meanwhile in ("aborted", "followed by another"):
            end_canary(platform, by="Ana", reason="why", evidence={})
            if meanwhile != "aborted":
                put_forward(platform, "c2", make_payload(platform, "c2"))
        elif meanwhile == "rolled back":
            roll_back(platform, None, "why", "Ana")
        else:
            platform.ledger.append("promotion", "s2", {}, at=NOW)
        return stored(*arguments)

    monkeypatch.setattr(canary_watch, "_store", store_late)
    result = watch(platform, log, NOW)

    assert (result.action, result.record) == ("none", None)
    assert "Canary c1 has ended already" in result.told
    promoted = {r.version for r in platform.ledger.records() if r.kind == "promotion"}
    assert not promoted & {"c1", "c2"}
    assert notified(platform) == []


def test_a_champion_that_moved_at_the_last_moment_is_told(
    platform: Platform, log: MemoryPredictionLog, monkeypatch: pytest.MonkeyPatch
) -> None:
    def too_late(*_: Any, **__: Any) -> LedgerRecord:
        raise LateRunError("Another run made 's2' the champion.")

    monkeypatch.setattr(canary_watch, "ramp", too_late)
    answer(platform, log, n=1000)

    assert "Another run made 's2' the champion." in watch(platform, log, NOW).told


def test_a_full_disk_does_not_keep_a_bad_canary_in_traffic(
    platform: Platform, log: MemoryPredictionLog, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(*_: Any) -> str:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(canary_watch, "_store", full)
    answer(platform, log, n=1000, canary=failed_canary)
    result = watch(platform, log, NOW)

    assert result.action == "roll-back"
    assert result.record is not None
    assert result.record.payload["evidence"]["report"] is None
    assert "OSError" in result.record.payload["evidence"]["report_problem"]


def test_a_web_hook_that_is_down_does_not_either(platform: Platform, log: MemoryPredictionLog) -> None:
    object.__setattr__(platform, "settings", replace(platform.settings, webhook_url="http://127.0.0.1:1/"))
    answer(platform, log, n=1000, canary=failed_canary)
    result = watch(platform, log, NOW)

    assert result.action == "roll-back"
    assert result.delivery is not None
    assert set(result.delivery.failed) == {"webhook"}


# --- what is read as what


def test_only_predictions_since_the_canary_began_count(platform: Platform, log: MemoryPredictionLog) -> None:
    start = began(platform)
    log.append([failed_canary(n, start - 1 - n) for n in range(300)])
    log.append([by_canary(1000, start), make_record(1001, start + 1)])

    seen = read_traffic(log, release_state(platform.ledger.records())).observations
    assert [(o.variant, o.at - start) for o in seen] == [("canary", 0), ("stable", 1)]


def test_what_stable_answered_elsewhere_is_not_held_against_the_canary(
    platform: Platform, log: MemoryPredictionLog
) -> None:
    """A file scored from a shell is quicker than any request, and no canary ever gets its share of it."""
    start = began(platform)
    log.append(
        [
            make_record(0, start, client="cli", latency_us=20),
            make_record(1, start + 1, version="s0"),
            by_canary(2, start + 2),
        ]
    )

    seen = read_traffic(log, release_state(platform.ledger.records())).observations
    assert [o.variant for o in seen] == ["canary"]


def test_each_record_becomes_what_it_says_of_the_arms(platform: Platform, log: MemoryPredictionLog) -> None:
    """Stable flags from 0.5 on, whatever threshold the canary has."""
    start = began(platform)
    log.append(
        [
            make_record(0, start, latency_us=1500),
            by_canary(1, start + 1, latency_us=2500),
            by_canary(2, start + 2, other_probability=0.5),
            by_canary(3, start + 3, flagged=True, other_probability=0.7),
            by_canary(4, start + 4, other_version=None, other_probability=None),
            failed_canary(5, start + 5),
            by_canary(6, start + 6, version="c0"),
        ]
    )

    seen = read_traffic(log, release_state(platform.ledger.records())).observations
    assert [(o.variant, o.failed, o.latency_ms, o.flags_differ) for o in seen] == [
        ("stable", False, 1.5, None),
        ("canary", False, 2.5, False),
        ("canary", False, 2.0, True),
        ("canary", False, 2.0, False),
        ("canary", False, 2.0, None),
        ("canary", True, 2.0, None),
    ]
    assert seen[0].client == "client-0"


def test_a_shadow_is_seen_beside_stable_in_each_record(tmp_path: Path, log: MemoryPredictionLog) -> None:
    """The log keeps each arm's own time."""
    platform = begin(tmp_path, "shadow")
    start = began(platform)
    log.append(
        [
            make_record(0, start),
            in_shadow(1, start + 1, latency_us=2_000, shadow_latency_us=500),
            in_shadow(2, start + 2, other_probability=0.6),
            in_shadow(3, start + 3, failed=True, other_probability=None),
            in_shadow(4, start + 4, other_version="c0"),
        ]
    )

    seen = read_traffic(log, release_state(platform.ledger.records())).observations
    assert [(o.variant, o.at - start, o.failed, o.latency_ms, o.flags_differ) for o in seen] == [
        ("stable", 1, False, 2.0, None),
        ("canary", 1, False, 0.5, False),
        ("stable", 2, False, 2.0, None),
        ("canary", 2, False, 0.5, True),
        ("stable", 3, False, 2.0, None),
        ("canary", 3, True, 0.5, None),
    ]


def test_the_thresholds_of_the_two_arms_are_their_own(tmp_path: Path, log: MemoryPredictionLog) -> None:
    platform = make_platform(tmp_path)
    put_forward(platform, "s1", make_payload(platform, "s1") | {"threshold": 0.2})
    set_rule(platform, "canary")
    put_forward(platform, "c1", make_payload(platform, "c1") | {"threshold": 0.8})
    log.append([by_canary(0, began(platform), flagged=False, other_probability=0.3)])

    (seen,) = read_traffic(log, release_state(platform.ledger.records())).observations
    assert seen.flags_differ is True


def test_a_shadow_that_fails_or_is_slow_ends(tmp_path: Path) -> None:
    for name, changes in (
        ("fails", {"failed": True}),
        ("slow", {"shadow_latency_us": 9_000}),
    ):
        folder = tmp_path / name
        platform, log = begin(folder, "shadow"), MemoryPredictionLog()
        start = began(platform)
        log.append([in_shadow(n, start + 1000 * n, **changes) for n in range(600)])

        assert watch(platform, log, NOW).action == "roll-back", name


def test_a_good_shadow_becomes_champion(tmp_path: Path, log: MemoryPredictionLog) -> None:
    platform = begin(tmp_path, "shadow")
    start = began(platform)
    log.append([in_shadow(n, start + 1000 * n) for n in range(600)])

    assert watch(platform, log, NOW).action == "ramp"


@pytest.fixture(params=["memory", "sqlite"])
def any_log(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Any]:
    if request.param == "memory":
        yield MemoryPredictionLog()
        return
    log = SqlPredictionLog(f"sqlite:///{tmp_path / 'predictions.sqlite'}")
    yield log
    log.close()


@pytest.mark.parametrize("together", [1, 3, 40])
def test_reading_in_parts_misses_and_repeats_nothing(
    platform: Platform, any_log: Any, monkeypatch: pytest.MonkeyPatch, together: int
) -> None:
    """Also where a part ends within one microsecond, or is all in one."""
    monkeypatch.setattr(canary_watch, "BATCH", 7)
    start = began(platform)
    any_log.append([by_canary(n, start + n // together) for n in range(100)])

    traffic = read_traffic(any_log, release_state(platform.ledger.records()))
    assert [o.at - start for o in traffic.observations] == [n // together for n in range(100)]
    assert not traffic.is_cut


def test_of_too_many_the_newest_are_read(
    platform: Platform, any_log: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(canary_watch, "MAX_JUDGED", 50)
    monkeypatch.setattr(canary_watch, "BATCH", 20)
    start = began(platform)
    any_log.append([make_record(n, start - 1 - n) for n in range(1000, 1010)])
    any_log.append([(by_canary if n % 2 else make_record)(n, start + n) for n in range(120)])

    traffic = read_traffic(any_log, release_state(platform.ledger.records()))
    assert traffic.is_cut
    assert [o.at - start for o in traffic.observations] == list(range(70, 120))
    assert canary_status(platform, any_log)["read_all"] is False


def test_of_too_many_none_from_before_the_canary_is_read(
    platform: Platform, any_log: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Here most answers since it began are an earlier champion's, so the ends of both arms reach back."""
    monkeypatch.setattr(canary_watch, "MAX_JUDGED", 50)
    start = began(platform)
    any_log.append([make_record(n, start - n) for n in range(1, 31)])
    any_log.append([make_record(n, start + n, version="s1" if n % 4 == 0 else "s0") for n in range(100, 180)])

    traffic = read_traffic(any_log, release_state(platform.ledger.records()))
    assert [o.at - start for o in traffic.observations] == list(range(100, 180, 4))


# --- the report


def test_the_report_holds_both_histograms_and_says_why_features_are_left_out(
    platform: Platform, log: MemoryPredictionLog
) -> None:
    answer(platform, log, n=1000, canary=lambda n, at: by_canary(n, at, latency_us=9_000))
    result = watch(platform, log, NOW)

    assert result.record is not None
    report = report_of(platform, result.record.payload["evidence"])
    assert (report["canary"], report["stable"], report["at"], report["read_all"]) == ("c1", "s1", NOW, True)
    edges, latency = report["latency"]["upper_edges_ms"], report["latency"]
    assert edges == list(LATENCY_EDGES_MS)
    for arm, milliseconds in (("stable", 2.0), ("canary", 9.0)):
        (bucket,) = [i for i, count in enumerate(latency[arm]) if count]
        assert latency[arm][bucket] == 500
        assert edges[bucket - 1] < milliseconds <= edges[bucket]
    assert "log_inputs = false" in report["features"]["left_out"]
    assert report["verdict"]["action"] == "roll-back"


def test_logged_inputs_become_shares_and_quantiles_and_no_one_is_in_them(
    platform: Platform, log: MemoryPredictionLog
) -> None:
    platform.__dict__["policy"] = policy_with(platform, log_inputs=True, min_team_size=10)
    rare = 777_777

    def inputs(n: int, level: str) -> str:
        pay = rare if n == 4 else 5_000 + n
        return json.dumps({"monthly_income": pay, "job_level": "Senior" if n == 2 else level, "age": 30})

    start = began(platform)
    log.append(
        [
            by_canary(n, start + n, inputs=inputs(n, "Mid"), latency_us=9_000)
            if n % 2 == 0
            else make_record(n, start + n, inputs=inputs(n, "Entry"))
            for n in range(1000)
        ]
    )
    result = watch(platform, log, NOW)

    assert result.record is not None
    report = report_of(platform, result.record.payload["evidence"])
    features = report["features"]["features"]
    assert report["features"]["n_employees"] == {"stable": 500, "canary": 500}
    assert features["job_level"]["canary"] == {
        "shares": {"Mid": 499 / 500},
        "other": 1 / 500,
        "missing": 0.0,
    }
    assert features["job_level"]["stable"]["shares"] == {"Entry": 1.0}
    assert features["monthly_income"]["canary"]["quantiles"]["0.5"] == pytest.approx(5_502, abs=5)
    everything = json.dumps(report) + json.dumps([r.payload for r in platform.ledger.records()])
    everything += json.dumps(notified(platform))
    assert str(rare) not in everything
    assert f"{3:032x}" not in everything, "a pseudonym"


def test_an_employee_who_is_scored_often_counts_once() -> None:
    """Otherwise the quantiles of one person's many predictions would be that person's values."""
    newest = {"canary": {"p1": '{"age": 61, "job_level": "Mid"}'}, "stable": {}}
    found = feature_snapshot(shipped_contract(), newest, min_people=10)  # type: ignore[arg-type]

    assert found["features"]["age"]["canary"] == {"quantiles": {}, "missing": 0.0}
    assert found["features"]["job_level"]["canary"] == {"shares": {}, "other": 1.0, "missing": 0.0}
    assert found["features"]["age"]["stable"] == {"quantiles": {}, "missing": None}


def test_a_quantile_needs_enough_people_beyond_it() -> None:
    people = {f"p{n}": json.dumps({"age": 20 + n % 40 if n else None}) for n in range(100)}
    found = feature_snapshot(shipped_contract(), {"canary": people, "stable": {}}, min_people=10)

    assert set(found["features"]["age"]["canary"]["quantiles"]) == {"0.25", "0.5", "0.75"}
    assert found["features"]["age"]["canary"]["missing"] == pytest.approx(0.01)


# --- by hand, and what the status says


@pytest.mark.parametrize(("action", "kind"), [("ramp", "promotion"), ("abort", "canary-end")])
def test_a_person_decides_with_the_same_evidence_and_is_told_of(
    platform: Platform, log: MemoryPredictionLog, action: Any, kind: str
) -> None:
    answer(platform, log, n=100)
    record = decide_by_hand(platform, log, action, by="Ana", reason="I looked", at=NOW)

    assert (record.kind, record.payload["by"], record.payload["reason"]) == (kind, "Ana", "I looked")
    assert record.payload["evidence"]["n_canary"] == 50
    assert report_of(platform, record.payload["evidence"])["verdict"]["action"] == "continue"
    (told,) = notified(platform)
    assert told["cause"] == "Ana: I looked"


@pytest.mark.parametrize("is_open", [True, False])
def test_a_person_can_abort_while_the_log_is_broken(
    platform: Platform, log: MemoryPredictionLog, monkeypatch: pytest.MonkeyPatch, is_open: bool
) -> None:
    def broken(*_: Any, **__: Any) -> list[PredictionRecord]:
        raise PredictionLogError("The prediction log can't be read.")

    monkeypatch.setattr(log, "since", broken)
    record = decide_by_hand(platform, log if is_open else None, "abort", by="Ana", reason="why", at=NOW)

    assert record.kind == "canary-end"
    assert "can't be read" in record.payload["evidence"]["report_problem"]


def test_the_status_tells_the_canary_its_arms_and_the_verdict_of_now(
    platform: Platform, log: MemoryPredictionLog
) -> None:
    answer(platform, log, n=100)
    status = canary_status(platform, log)

    assert json.loads(json.dumps(status)) == status
    assert (status["running"], status["version"], status["stable"]) == (True, "c1", "s1")
    assert (status["mode"], status["share"], status["record"]) == ("canary", 0.1, 2)
    assert (status["verdict"]["n_canary"], status["verdict"]["n_stable"]) == (50, 50)
    assert status["verdict"]["action"] == "continue"
    assert (status["waiting"], status["last"], status["read_all"]) == (None, None, True)
    assert kinds(platform) == ["promotion", "canary"], "asking changes nothing"


def test_the_status_tells_what_waits_and_how_the_last_canary_ended(
    platform: Platform, log: MemoryPredictionLog
) -> None:
    end_canary(platform, by="Ana", reason="too slow", evidence={})
    set_rule(platform, "canary", approvals=2)
    put_forward(platform, "c2", make_payload(platform, "c2"))
    release.approve(platform, "c2", "Bo", "why")
    status = canary_status(platform, log)

    assert status["running"] is False
    assert (status["waiting"]["version"], status["waiting"]["approved_by"]) == ("c2", ["Bo"])
    assert status["waiting"]["missing"] == 1
    assert (status["last"]["version"], status["last"]["became"], status["last"]["by"]) == (
        "c1",
        "ended",
        "Ana",
    )
