"""Batch, service and notebook-style Python say the same of ten thousand employees."""

from __future__ import annotations

import asyncio
import csv
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest

from attrition_platform.adapters.pointers import Pointers
from attrition_platform.contracts.identity import pseudonymiser
from attrition_platform.population.generator import write_population
from attrition_platform.scoring.judgement import is_flagged, tier_of
from attrition_platform.settings import Settings
from attrition_platform.stages.challenger import load_stored_model
from attrition_platform.stages.platform import Platform
from attrition_platform_tests.conftest import Place
from attrition_platform_tests.load import Answers, ask_many, serving

pytestmark = [pytest.mark.slow, pytest.mark.timeout(900)]

N_EMPLOYEES = 21_000  # of whom at least ten thousand have not left
N_ASKED = 10_000


def test_batch_service_and_notebook_agree_on_ten_thousand_employees(finished: Place, tmp_path: Path) -> None:
    import shutil

    shutil.copytree(finished.folder / "data", tmp_path / "data")
    shutil.copy2(finished.folder / "key", tmp_path / "key")
    place = Place(tmp_path)
    extract = tmp_path / "data" / "inbox" / "extract.csv"
    extract.parent.mkdir(exist_ok=True)
    write_population(extract, N_EMPLOYEES, seed=99)
    people = list(csv.DictReader(extract.read_text(encoding="utf-8").splitlines()))
    done = place.run("attrition", "score")
    assert done.returncode == 0, done.stdout[-2000:] + done.stderr[-2000:]

    platform = Platform(Settings.from_environment(place.environment))
    contract = platform.contract
    result = Pointers(platform.pointers_dir).read("scored_employees")
    scored = pl.read_parquet(platform.file(result.files["scored.parquet"]))
    batch = {row["pseudonym"]: row for row in scored.iter_rows(named=True)}
    pseudonym_of = pseudonymiser(platform.key)
    of = {name: column.source for name, column in contract.columns.items()}
    mine = [(pseudonym_of(row[of[str(contract.id)]]), row) for row in people]
    asked = [(str(p), row) for p, row in mine if p in batch][:N_ASKED]
    assert len(asked) == N_ASKED

    champion = platform.ledger.champion()
    assert champion is not None
    stored = load_stored_model(platform, champion.payload["files"])
    reads = stored.spec.source_columns

    def fields(number: int) -> dict[str, Any]:
        _, row = asked[number]
        told: dict[str, Any] = {str(contract.id): row[of[str(contract.id)]]}
        for name in reads:
            text = row[of[name]]
            told[name] = float(text) if contract.columns[name].kind in ("count", "continuous") else text
        return told

    answers = Answers()
    with serving(platform) as served:
        asyncio.run(ask_many(served.port, N_ASKED, 32, fields, answers))
    assert not answers.failed
    logged = {record.id: record for record in platform.predictions.since(0)}
    service = {logged[one["id"]].pseudonym: one for one in answers.told}
    assert len(service) == N_ASKED

    # As in a notebook: the extract's cells as numbers, and the fitted pipeline.
    X = np.array(
        [
            [
                float(known.index(row[of[name]])) if kind == "category" else float(row[of[name]])
                for name, kind, known in zip(
                    stored.spec.names, stored.spec.kinds, stored.spec.categories, strict=True
                )
            ]
            for _, row in asked
        ]
    )
    notebook = stored.pipeline.predict_proba(X)[:, 1]

    worst = 0.0
    tiers = platform.policy.tiers
    for (pseudonym, _), probability in zip(asked, notebook.tolist(), strict=True):
        one, many = service[pseudonym], batch[pseudonym]
        worst = max(worst, abs(one["probability"] - probability), abs(many["probability"] - probability))
        assert one["flagged"] == many["flagged"] == is_flagged(probability, stored.threshold)
        assert one["tier"] == many["tier"] == tier_of(probability, tiers)
        assert one["score"] == many["score"]
        assert one["model_version"] == many["model_version"] == champion.version
    assert worst <= 1e-12


def test_without_a_champion_scoring_says_what_to_do(place: Place) -> None:
    done = place.run("attrition", "score")

    assert done.returncode == 1
    assert "make train" in done.stderr
