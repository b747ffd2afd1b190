"""A window is held against what is like it: cells as they came, or rows that keep the contract."""

from __future__ import annotations

import json
import os
from collections.abc import Sequence
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import polars as pl
import pytest

from attrition_platform.adapters.step_cache import StepResult
from attrition_platform.contracts.model import Column, Contract, Source
from attrition_platform.contracts.toml_file import shipped_contract
from attrition_platform.monitoring.summary import FrameSummary
from attrition_platform.settings import Settings
from attrition_platform.stages import drift
from attrition_platform.stages.counting import count_batch
from attrition_platform.stages.drift import newest_batch, typed_inputs
from attrition_platform.stages.ingest import take_in, validate
from attrition_platform.stages.platform import Platform
from attrition_platform.stages.reference import Reference, reference_of, store_reference

READS = ("site", "overtime", "pay")
CONTRACT = Contract(
    name="small",
    source=Source(max_bad_row_share=0.5),
    columns={
        "employee_id": Column(source="Id", kind="id"),
        "site": Column(source="Site", kind="nominal", values=("North", "South")),
        "overtime": Column(source="Overtime", kind="binary", values=("No", "Yes")),
        "pay": Column(source="Pay", kind="continuous", min=0, max=100_000),
        "left": Column(source="Left", kind="label", values=("Stayed", "Left"), positive="Left"),
    },
)
NOON = datetime(2026, 3, 1, 12, tzinfo=UTC)


@pytest.fixture
def platform(tmp_path: Path) -> Platform:
    environment = {"ATTRITION_DATA": str(tmp_path / "data"), "ATTRITION_KEY_FILE": str(tmp_path / "key")}
    found = Platform(Settings.from_environment(environment), lambda: NOON)
    found.__dict__.update(contract=CONTRACT, contract_digest="c1")
    found.settings.inbox.mkdir(parents=True)
    return found


def people(
    n_rows: int, seed: int, *, foreign: float = 0.0, empty: float = 0.0, first: int = 0
) -> pl.DataFrame:
    """Employees of one source; shares of rows with a site that nobody knows, and without overtime."""
    rng = np.random.default_rng(seed)
    site = np.where(rng.random(n_rows) < foreign, "Harbour", rng.choice(["North", "South"], n_rows))
    overtime = np.where(rng.random(n_rows) < empty, "", rng.choice(["No", "Yes"], n_rows, p=[0.7, 0.3]))
    return pl.DataFrame(
        {
            "Id": np.arange(n_rows).astype(str),
            "Site": site,
            "Overtime": overtime,
            "Pay": rng.normal(5_000, 900, n_rows).round(2).astype(str),
            "Left": rng.choice(["Stayed", "Left"], n_rows),
        }
    )


def accept(platform: Platform, frame: pl.DataFrame) -> StepResult:
    """Drop a file and take it in."""
    file = platform.settings.inbox / "extract.csv"
    frame.write_csv(file)
    os.utime(file, (1e9, 1e9))
    return take_in(platform, lambda _: None)


def trained_on(platform: Platform, *frames: pl.DataFrame) -> Any:
    """A champion that was made from these files."""
    for frame in frames:
        raw = accept(platform, frame)
    validated, _ = validate(platform, raw, lambda _: None)
    with platform.steps.store.workspace() as folder:
        pl.DataFrame({"y_prob": np.random.default_rng(3).random(900)}).write_parquet(folder / "p.parquet")
        predictions = platform.steps.store.take(folder / "p.parquet")
    facts = {"reads": list(READS)}
    challenger = StepResult("challenger", "f", "v", {"predictions.parquet": predictions}, facts, {})
    files = store_reference(platform, validated, challenger).files
    payload = {
        "reads": list(READS),
        "reference": files["reference.json"],
        "received": files["received.json"],
    }
    return SimpleNamespace(version="m1", hash="h1", payload=payload)


def judged(
    platform: Platform, champion: Any, frame: pl.DataFrame, monkeypatch: pytest.MonkeyPatch
) -> dict[str, Any]:
    """What the drift report says of a file; the model gives everybody a probability by chance."""
    rng = np.random.default_rng(5)
    monkeypatch.setattr(drift, "load_arm", lambda *_: None)
    monkeypatch.setattr(
        drift, "score_rows", lambda p, valid, arm: pl.Series(rng.random(pl.read_parquet(valid).height))
    )
    batch = newest_batch(platform, accept(platform, frame))
    return drift._judge(platform, batch, champion, None, [], lambda _: None)


def references(platform: Platform, champion: Any) -> tuple[FrameSummary, FrameSummary]:
    found = reference_of(platform, champion)
    assert isinstance(found, Reference)
    assert found.received is not None
    return found.valid, found.received


def test_a_source_that_is_always_a_little_broken_does_not_alarm(
    platform: Platform, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Neither the first window nor the third: what is broken in each file is broken in the reference."""
    champion = trained_on(platform, people(9_000, 1, foreign=0.015, empty=0.033))

    for seed in (2, 3, 4):
        facts = judged(platform, champion, people(4_000, seed, foreign=0.015, empty=0.033), monkeypatch)

        assert (facts["drifted"], facts["columns"], facts["schema_changes"]) == (False, [], [])
        assert set(facts["windows"][0]["by_column"]) == {*READS, "probability"}


def test_a_source_that_becomes_more_broken_is_named(
    platform: Platform, monkeypatch: pytest.MonkeyPatch
) -> None:
    champion = trained_on(platform, people(9_000, 1, foreign=0.015, empty=0.033))

    facts = judged(platform, champion, people(4_000, 2, foreign=0.09, empty=0.18), monkeypatch)

    assert facts["columns"] == ["overtime", "site"]
    overtime = facts["windows"][0]["by_column"]["overtime"]
    assert overtime["findings"] == ["missing-values"]
    assert "went from 3.3% to 18" in overtime["text"]
    (change,) = facts["schema_changes"]
    assert (change["kind"], change["column"], change["names"]) == ("new-category", "site", ["Harbour"])
    assert "in the files of training 1.4% had" in change["text"]


def test_an_older_champion_is_compared_with_rows_that_keep_the_contract(
    platform: Platform, monkeypatch: pytest.MonkeyPatch
) -> None:
    """That is all that was stored of its data; it neither fails nor alarms for ever."""
    champion = trained_on(platform, people(9_000, 1, foreign=0.015, empty=0.033))
    del champion.payload["received"]

    facts = judged(platform, champion, people(4_000, 2, foreign=0.015, empty=0.033), monkeypatch)
    assert (facts["problem"], facts["drifted"], facts["score"] is None) == (None, False, False)
    shifted = people(4_000, 3, empty=0.033).with_columns(pl.lit("North").alias("Site"))
    assert judged(platform, champion, shifted, monkeypatch)["columns"] == ["site"]


def test_one_file_counts_as_it_came(platform: Platform) -> None:
    twice = people(700, 1, foreign=0.02, empty=0.03)
    nobody = people(20, 2).with_columns(pl.lit("").alias("Id"))
    frame = pl.concat([twice, twice.head(30), nobody])
    champion = trained_on(platform, frame)

    valid, received = references(platform, champion)

    raw = take_in(platform, lambda _: None)
    whole = count_batch(platform, newest_batch(platform, raw))
    known = {name: column for name, column in received.columns.items() if name in READS}
    assert (received.n_rows, known) == (750, whole.columns)
    assert valid.n_rows < 680


def test_of_several_files_each_employee_counts_once_by_the_newest(platform: Platform) -> None:
    """Else a new person's file would be tested against copies, and old months would outweigh the newest."""
    first = people(600, 1, foreign=0.03)
    second = people(500, 2, empty=0.04)  # the same people, but for the last hundred
    champion = trained_on(platform, first, second)

    _, received = references(platform, champion)

    overtime, site = received.columns["overtime"], received.columns["site"]
    assert received.n_rows == 600
    assert overtime.n_missing == int((second["Overtime"] == "").sum())
    foreign = int((first["Site"].tail(100) == "Harbour").sum())
    assert dict(zip(site.values, site.counts, strict=True)).get("Harbour", 0) == foreign > 0


def test_before_the_first_champion_the_report_says_what_to_do(platform: Platform) -> None:
    text = reference_of(platform, None)

    assert isinstance(text, str)
    assert text.startswith("There was no champion yet when this window was judged")
    assert "`attrition monitor` judges it" in text


def served(
    platform: Platform, inputs: Sequence[dict[str, object]], contract: Contract, reads: Sequence[str]
) -> FrameSummary:
    """What is judged of a day on which the service was asked so."""
    at = round((NOON - timedelta(hours=20)).timestamp() * 1e6)
    records = [
        SimpleNamespace(version="m1", at=at + i, probability=0.5, inputs=json.dumps(one))
        for i, one in enumerate(inputs)
    ]
    asked = replace(platform)
    asked.__dict__["contract"] = contract
    asked.__dict__["predictions"] = SimpleNamespace(since=lambda *_, **__: records)
    champion: Any = SimpleNamespace(version="m1", payload={"reads": list(reads)})
    found = drift.served_yesterday(asked, champion)
    assert found is not None
    return found.summary


def test_a_field_that_is_null_or_absent_at_first_is_counted(platform: Platform) -> None:
    later = [{"pay": 7_000, "overtime": "Yes"}] * 50
    for first in ({"pay": 7_000, "overtime": None}, {"pay": 7_000}):
        overtime = served(platform, [first] * 150 + later, CONTRACT, READS).columns["overtime"]

        assert (overtime.n_values, overtime.n_missing) == (50, 150)


def test_typed_numbers_are_not_read_with_the_decimal_comma_of_files(platform: Platform) -> None:
    comma = CONTRACT.model_copy(update={"source": CONTRACT.source.model_copy(update={"decimal": ","})})

    pay = served(platform, [{"pay": 7_000.5}, {"pay": 7_000}] * 50, comma, ("pay",)).columns["pay"]

    assert (pay.values, pay.n_unreadable) == ((7_000.0, 7_000.5), 0)


def test_inputs_have_the_columns_of_the_model_in_its_order() -> None:
    contract = shipped_contract()
    reads = ["overtime", "monthly_income", "age"]

    cells = typed_inputs(['{"age": 41}', '{"monthly_income": 1.5, "overtime": "No"}'], contract, reads)

    assert cells.to_dict(as_series=False) == {
        "overtime": [None, "No"],
        "monthly_income": [None, 1.5],
        "age": [41.0, None],
    }
    assert typed_inputs([], contract, reads).columns == reads
