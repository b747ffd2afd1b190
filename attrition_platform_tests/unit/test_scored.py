"""A batch says of each employee what the predictor says of that one."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import polars as pl
import pytest

from attrition_platform.errors import StoreError
from attrition_platform.scoring.predictor import Predictor
from attrition_platform.stages.platform import Platform
from attrition_platform.stages.predicting import champion_arm
from attrition_platform.stages.scored import score_frame
from attrition_platform_tests.served_place import make_platform, record

V1 = "1" * 16


@pytest.fixture
def platform(tmp_path: Path) -> Platform:
    platform = make_platform(tmp_path)
    record(platform, V1)
    return platform


def employees() -> list[dict[str, Any]]:
    return [
        {"level": level, "remote": remote, "promotions": n, "pay": 1_000.0 + 777.7 * n}
        for level in ("Entry", "Mid", "Senior")
        for remote in ("No", "Yes", None)
        for n in range(7)
    ]


def as_features(rows: list[dict[str, Any]]) -> pl.DataFrame:
    schema = {
        "level": pl.Enum(["Entry", "Mid", "Senior"]),
        "remote": pl.Enum(["No", "Yes"]),
        "promotions": pl.Int64,
        "pay": pl.Float64,
    }
    return pl.DataFrame(rows, schema=schema)


def test_a_batch_says_of_each_employee_what_the_predictor_says(platform: Platform) -> None:
    rows = employees()
    arm = champion_arm(platform)
    predictor = Predictor(platform.contract, platform.policy, platform.key, arm, None, 0.0, lambda: 0.0)

    scored = score_frame(
        pl.Series([str(i) for i in range(len(rows))]), as_features(rows), arm, platform.policy
    )

    for fields, told in zip(rows, scored.iter_rows(named=True), strict=True):
        answer = predictor.predict(fields)
        assert told["score"] == answer.score
        assert told["probability"] == pytest.approx(answer.probability, abs=1e-15)
        assert (told["tier"], told["flagged"], told["label"]) == (answer.tier, answer.flagged, answer.label)
        for place in range(3):
            reason = answer.reasons[place] if place < len(answer.reasons) else None
            assert told[f"reason_{place + 1}"] == (None if reason is None else reason.text)
            assert told[f"contribution_{place + 1}"] == (None if reason is None else reason.contribution)


def test_a_model_that_gives_no_number_scores_nobody(
    platform: Platform, monkeypatch: pytest.MonkeyPatch
) -> None:
    arm = champion_arm(platform)
    whole = arm.compiled.explain_rows

    def broken(X: Any) -> Any:
        scores, contributions = whole(X)
        return scores * float("nan"), contributions

    monkeypatch.setattr(arm.compiled, "explain_rows", broken)

    with pytest.raises(StoreError, match="no numbers"):
        score_frame(pl.Series(["a"]), as_features(employees()[:1]), arm, platform.policy)
