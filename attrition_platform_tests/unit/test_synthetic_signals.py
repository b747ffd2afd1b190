"""Each made-up signal is found by one verdict: where that one is dead, no other covers it up."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from attrition_platform.modeling.watch_rules import CauseKind, DriftRule, PerformanceRule
from attrition_platform.monitoring import drift, performance
from attrition_platform.monitoring.concept import ConceptVerdict
from attrition_platform.settings import Settings
from attrition_platform.stages import drift as drift_stage
from attrition_platform.stages.detecting import DETECTORS
from attrition_platform.stages.platform import Platform
from attrition_platform.stages.synthetic_signals import Signal, signals

NOON = datetime(2026, 3, 1, 12, tzinfo=UTC)
WATCHED: tuple[CauseKind, ...] = ("drift", "performance")
SIGNALS = tuple(one for one in signals(PerformanceRule()) if one.trigger in WATCHED)
DEAD_CONCEPT = ConceptVerdict(False, 0.0, 0.01, 0, 0, None, ())
Broken = Callable[[pytest.MonkeyPatch], None]


@pytest.fixture
def place(tmp_path: Path) -> Iterator[Callable[[], Platform]]:
    """Makes an empty place; each signal needs one of its own."""
    made: list[Platform] = []

    def make(**rules: Any) -> Platform:
        folder = tmp_path / str(len(made))
        environment = {"ATTRITION_DATA": str(folder), "ATTRITION_KEY_FILE": str(folder / "key")}
        made.append(Platform(Settings.from_environment(environment), lambda: NOON))
        made[-1].__dict__["policy"] = made[-1].policy.model_copy(update=rules)
        return made[-1]

    yield make
    for platform in made:
        if "causes" in platform.__dict__:
            platform.causes.close()


def fires(signal: Signal, platform: Platform, *, must: bool) -> bool:
    signal.make(platform, must)
    return [cause.kind for cause in DETECTORS[signal.trigger](platform).causes] == [signal.trigger]


@pytest.mark.parametrize("signal", SIGNALS, ids=lambda one: one.name)
def test_a_signal_is_found_and_its_harmless_sibling_is_not(
    signal: Signal, place: Callable[[], Platform]
) -> None:
    assert fires(signal, place(), must=True)
    assert not fires(signal, place(), must=False)


def _without_question(question: str) -> Broken:
    def break_it(patched: pytest.MonkeyPatch) -> None:
        real = drift._judged
        patched.setattr(drift, "_judged", lambda a, limit: a if a.question == question else real(a, limit))

    return break_it


def _without_floor(name: str) -> Broken:
    def break_it(patched: pytest.MonkeyPatch) -> None:
        real = performance._below_floors
        patched.setattr(
            performance, "_below_floors", lambda *a: {k: v for k, v in real(*a).items() if k != name}
        )

    return break_it


def _set(module: Any, name: str, value: Any) -> Broken:
    return lambda patched: patched.setattr(module, name, lambda *_, **__: value)


@pytest.mark.parametrize(
    ("break_it", "dead"),
    [
        (_set(performance, "judge_concept", DEAD_CONCEPT), {"concept drift"}),
        (_set(performance, "_below_floors", {}), {"accuracy", "recall"}),
        (_without_floor("accuracy"), {"accuracy"}),
        (_without_floor("recall"), {"recall"}),
        (_set(drift, "categories_p_value", 1.0), {"category", "missing values"}),
        (_set(drift, "jensen_shannon_distance", 0.0), {"category", "missing values"}),
        (_set(drift, "numbers_p_value", 1.0), {"number", "answers"}),
        (_set(drift, "_ask_missing", ()), {"missing values"}),
        (_without_question("new-category"), {"new category"}),
        (_set(drift_stage, "served_yesterday", None), {"answers"}),
    ],
)
def test_a_dead_verdict_is_missed_by_exactly_its_signals(
    break_it: Broken, dead: set[str], place: Callable[[], Platform], monkeypatch: pytest.MonkeyPatch
) -> None:
    break_it(monkeypatch)

    assert {one.name for one in SIGNALS if not fires(one, place(), must=True)} == dead


@pytest.mark.parametrize(
    "rules",
    [
        {"performance": PerformanceRule(min_accuracy=0.94, min_recall=0.94, min_labels=3_000)},
        {"performance": PerformanceRule(min_accuracy=0.2, min_recall=0.2, horizon_days=10)},
        {"drift": DriftRule(min_score=0.3, max_new_category_share=0.0, min_rows=1_000)},
        {"drift": DriftRule(max_new_category_share=0.05, windows_per_year=5_000)},
    ],
    ids=["high floors", "low floors", "large effects", "many windows"],
)
def test_signals_do_as_they_must_under_other_policies_too(
    rules: dict[str, Any], place: Callable[..., Platform]
) -> None:
    for one in SIGNALS:
        if one.trigger in rules:
            assert fires(one, place(**rules), must=True), one.name
            assert not fires(one, place(**rules), must=False), one.name


def test_a_floor_of_nothing_has_no_signal() -> None:
    names = [one.name for one in signals(PerformanceRule(min_accuracy=0.0, min_recall=0.0))]

    assert {"accuracy", "recall"}.isdisjoint(names)
    assert "concept drift" in names
