"""Which predictions are read and judged: what is due beside what is new, and who was champion before."""

from __future__ import annotations

import datetime as dt
import os
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import polars as pl
import pytest

from attrition_platform.adapters.pointers import Pointers
from attrition_platform.adapters.step_cache import StepResult
from attrition_platform.contracts.identity import pseudonyms
from attrition_platform.ports import PredictionRecord
from attrition_platform.stages import performance
from attrition_platform.stages.detecting import performance as detect
from attrition_platform.stages.performance import in_words, judge_outcomes
from attrition_platform.stages.platform import Platform
from attrition_platform_tests.served_place import make_platform, write_policy

DAY = dt.timedelta(days=1)
NOW = dt.datetime(2026, 11, 21, 6, tzinfo=dt.UTC)
N = 240
POLICY = "\n[performance]\nmin_labels = 100\nwindow_labels = 100\n"


@pytest.fixture
def platform(tmp_path: Path) -> Platform:
    place = make_platform(tmp_path, write_policy(tmp_path, POLICY))
    return replace(place, clock=lambda: NOW)


def employees(platform: Platform, n: int = N) -> list[str]:
    return [str(who) for who in pseudonyms([str(i) for i in range(n)], platform.key)]


def answer(
    platform: Platform, version: str, days_ago: float, who: Sequence[str], *, right: bool = True
) -> None:
    """Answers to one question about each employee; the right ones give every second a high probability."""
    at = round((NOW - days_ago * DAY).timestamp() * 1e6)
    known = platform.predictions.count()
    platform.predictions.append(
        [record(known + n, at, version, pseudonym, (n % 2 == 0) == right) for n, pseudonym in enumerate(who)]
    )


def record(number: int, at: int, version: str, pseudonym: str, flagged: bool) -> PredictionRecord:
    return PredictionRecord(
        id=f"{number:032x}",
        at=at,
        pseudonym=pseudonym,
        client="payroll",
        variant="stable",
        version=version,
        inputs_hash="ab" * 16,
        inputs=None,
        score=0.0,
        probability=0.9 if flagged else 0.1,
        threshold=0.5,
        flagged=flagged,
        tier="high",
        other_version=None,
        other_probability=None,
        failed=False,
        latency_us=1,
        shadow_latency_us=None,
    )


def crown(platform: Platform, version: str, kind: Any = "promotion", **payload: Any) -> None:
    platform.ledger.append(kind, version, payload, at=platform.at())


def tell_outcomes(
    platform: Platform, days_ago: float, *, stayed_until: float = 0.0, name: str = "a.csv"
) -> None:
    """Every second employee has left, so many days ago; the others are there."""
    left, stayed = ((NOW - days * DAY).date() for days in (days_ago, stayed_until))
    rows = [f"{n},{left},left" if n % 2 == 0 else f"{n},{stayed},stayed" for n in range(N)]
    drop(platform, name, rows)


def drop(platform: Platform, name: str, rows: Sequence[str]) -> None:
    file = platform.settings.data_dir / "outcomes" / name
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text("\n".join(["Person,date,outcome", *rows]) + "\n")
    os.utime(file, (1e9, 1e9))


def judge(platform: Platform) -> dict[str, Any]:
    who = employees(platform)
    people = pl.DataFrame({"pseudonym": who, "level": ["Entry"] * N, "remote": ["No", "Yes"] * (N // 2)})
    with platform.steps.store.workspace() as folder:
        people.write_parquet(folder / "validated.parquet")
        sha256 = platform.steps.store.take(folder / "validated.parquet")
    validated = StepResult("validated_employees", "v", "v", {"validated.parquet": sha256}, {}, {})
    result = judge_outcomes(platform, validated, lambda _: None)
    Pointers(platform.pointers_dir).write("performance_report", "run", result)
    return dict(result.facts)


def test_answers_whose_horizon_is_over_are_read_however_many_came_since(
    platform: Platform, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(performance, "MAX_LOGGED", 300)
    who = employees(platform)
    crown(platform, "v1")
    answer(platform, "v1", 120.0, who)
    for days in (80.0, 50.0, 20.0):
        answer(platform, "v1", days, who)
    tell_outcomes(platform, 100.0)

    facts = judge(platform)

    assert facts["verdict"] == "ok", facts["judged"]["reasons"]
    assert facts["judged"]["n_labels"] == N
    assert facts["judged"]["unknown"]["n_pending"] == 300


def test_answers_of_models_that_were_never_crowned_are_not_read(platform: Platform) -> None:
    who = employees(platform)
    crown(platform, "v1")
    answer(platform, "v1", 120.0, who[:50])
    answer(platform, "v-canary", 120.0, who[50:])
    tell_outcomes(platform, 100.0)

    assert {week["version"] for week in judge(platform)["weeks"]} == {"v1"}


def test_a_notice_for_later_takes_no_label_away(platform: Platform) -> None:
    crown(platform, "v1")
    answer(platform, "v1", 120.0, employees(platform))
    tell_outcomes(platform, 100.0)
    drop(platform, "b.csv", [f"{n},{(NOW + 60 * DAY).date()},left" for n in range(N)])

    assert judge(platform)["judged"]["n_labels"] == N


def test_dates_are_those_of_the_policys_time_zone(tmp_path: Path) -> None:
    """At six in the morning in Greenwich it is yesterday in Los Angeles, where today is no news yet."""
    policy = write_policy(tmp_path, POLICY + '\n[triggers]\ntime_zone = "America/Los_Angeles"\n')
    there = replace(make_platform(tmp_path, policy), clock=lambda: NOW)
    crown(there, "v1")
    answer(there, "v1", 90.4, employees(there))
    tell_outcomes(there, 20.0)
    assert judge(there)["judged"]["n_labels"] == 0

    later = replace(there, clock=lambda: NOW + DAY / 4)
    assert judge(later)["judged"]["n_labels"] == N


def test_who_left_on_the_day_of_the_prediction_left_on_it_in_the_policys_time_zone(tmp_path: Path) -> None:
    policy = write_policy(tmp_path, POLICY + '\n[triggers]\ntime_zone = "America/Los_Angeles"\n')
    there = replace(make_platform(tmp_path, policy), clock=lambda: NOW)
    crown(there, "v1")
    answer(there, "v1", 120.0, employees(there))
    tell_outcomes(there, 121.0, stayed_until=1.0)

    assert judge(there)["judged"]["n_labels"] == N


def test_the_champion_before_is_judged_while_nothing_can_be_said_of_the_champion(platform: Platform) -> None:
    """With a replacement a month a champion would never be judged."""
    who = employees(platform)
    for number, days in enumerate((150.0, 130.0, 110.0, 80.0, 50.0, 20.0)):
        crown(platform, f"v{number}")
        answer(platform, f"v{number}", days, who, right=number < 2)
    tell_outcomes(platform, 95.0)

    facts = judge(platform)

    assert (facts["verdict"], facts["window"]) == ("concept-drift", "v2/2")
    assert (facts["judged"]["version"], facts["judged"]["outcome"]) == ("v5", "cannot-judge")
    assert (facts["predecessor"]["version"], facts["predecessor"]["outcome"]) == ("v2", "concept-drift")
    assert "Of model v2, champion before it: Outcomes contradict" in in_words(facts)
    (cause,) = detect(platform).causes
    assert cause.key == "performance/v2/2/concept-drift"


def test_what_drifted_as_champion_is_no_new_cause_when_it_is_none_any_more(platform: Platform) -> None:
    who = employees(platform)
    crown(platform, "v1")
    answer(platform, "v1", 120.0, who, right=False)
    tell_outcomes(platform, 100.0)
    as_champion = judge(platform)

    crown(platform, "v2")
    as_predecessor = judge(platform)

    assert as_champion["verdict"] == as_predecessor["verdict"] == "concept-drift"
    assert as_champion["predecessor"] is None
    assert as_champion["window"] == as_predecessor["window"]


def test_a_good_champion_before_says_nothing_of_the_champion(platform: Platform) -> None:
    crown(platform, "v1")
    answer(platform, "v1", 120.0, employees(platform))
    crown(platform, "v2")
    tell_outcomes(platform, 100.0)

    facts = judge(platform)

    assert (facts["verdict"], facts["window"]) == ("cannot-judge", "v2/0")
    assert facts["predecessor"]["outcome"] == "ok"
    assert detect(platform).causes == ()


def test_a_model_that_was_rolled_back_speaks_for_nobody(platform: Platform) -> None:
    crown(platform, "v1")
    crown(platform, "v2")
    answer(platform, "v2", 120.0, employees(platform), right=False)
    crown(platform, "v1", "rollback", **{"from": "v2"})
    tell_outcomes(platform, 100.0)

    facts = judge(platform)

    assert (facts["verdict"], facts["predecessor"]) == ("cannot-judge", None)


def test_asking_again_about_the_same_people_makes_no_new_window(platform: Platform) -> None:
    who = employees(platform)
    crown(platform, "v1")
    for days in (150.0, 143.0, 136.0, 129.0, 122.0):
        answer(platform, "v1", days, who)
    tell_outcomes(platform, 95.0)

    facts = judge(platform)

    assert facts["window"] == "v1/2"
    assert facts["judged"]["n_labels"] == N


def test_of_scores_within_a_week_the_last_of_each_employee_is_kept(platform: Platform) -> None:
    monday = dt.datetime(2026, 6, 1, 3, tzinfo=dt.UTC)
    for number, (days, who) in enumerate(
        [(0, ["a", "b"]), (2, ["a"]), (6, ["c"]), (7, ["a"]), (-2_000, ["a"])]
    ):
        frame = pl.DataFrame({"pseudonym": who, "probability": number / 10, "flagged": False})
        with platform.steps.store.workspace() as folder:
            frame.write_parquet(folder / "scored.parquet")
            sha256 = platform.steps.store.take(folder / "scored.parquet")
        told = {"scored_at": (monday + days * DAY).isoformat()}
        scored = StepResult(
            "scored_employees", "f", f"v{number}", {"scored.parquet": sha256}, {"version": "v1"}, told
        )
        Pointers(platform.pointers_dir).write("scored_employees", f"run-{number}", scored)

    found = performance._scored(platform, NOW)

    assert sorted(found.select("pseudonym", "probability").rows()) == [
        ("a", 0.1),
        ("a", 0.3),
        ("b", 0.0),
        ("c", 0.2),
    ]
