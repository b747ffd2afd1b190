"""No employee's value reaches a log, an event, a preview or an error text."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from attrition_platform_tests.conftest import Place

pytestmark = [pytest.mark.slow, pytest.mark.timeout(600)]

PLANTED = (b"PLANTEDID", b"PLANTEDCAT", b"424242", b"4242.42")


def test_planted_values_are_nowhere_but_in_the_vault_and_the_store(place: Place) -> None:
    import polars as pl

    source = place.folder / "generated.csv"
    made = place.run("attrition", "data", "generate", "--rows", "1500", "--seed", "5", "--out", str(source))
    assert made.returncode == 0, made.stderr
    frame = pl.read_csv(source, infer_schema_length=0)
    row = pl.int_range(frame.height)
    frame = frame.with_columns(
        pl.when(row < 40).then(pl.format("PLANTEDID{}", row)).otherwise("Employee ID").alias("Employee ID"),
        pl.when(row < 10).then(pl.lit("PLANTEDCAT")).otherwise("Job Role").alias("Job Role"),
        pl.when(row == 20).then(pl.lit("=PLANTEDCAT()")).otherwise("Gender").alias("Gender"),
        pl.when(row.is_between(10, 15))
        .then(pl.lit("4242.42x"))
        .when(row.is_between(50, 55))
        .then(pl.lit("424242"))  # within the contract's range: these rows are trained on
        .otherwise("Monthly Income")
        .alias("Monthly Income"),
        pl.when(row.is_between(30, 35))
        .then(pl.lit("424242"))
        .otherwise("Distance from Home")
        .alias("Distance from Home"),
    )
    inbox = place.folder / "data" / "inbox"
    inbox.mkdir(parents=True)
    frame.write_csv(inbox / "planted.csv")
    shutil.copy(inbox / "planted.csv", inbox / "half.csv")
    (inbox / "half.csv").write_bytes((inbox / "half.csv").read_bytes()[:-30] + b'"PLANTEDCAT')

    done = place.train()

    assert done.returncode == 0, done.stderr[-2000:]
    printed = (done.stdout + done.stderr).encode()
    shown = b"".join(
        place.run("attrition", *command).stdout.encode()
        for command in (["decision"], ["leaderboard"], ["history"], ["decision", "--json"])
    )
    searched = {"printed": printed, "shown": shown} | {
        str(path): path.read_bytes() for path in _files(place.folder / "data")
    }
    assert len(searched) > 40
    for where, content in searched.items():
        for planted in PLANTED:
            assert planted not in content, f"{planted.decode()} in {where}"


def _files(data: Path) -> list[Path]:
    """Everything but the vault of received files and the store's own content."""
    searched = [path for path in data.rglob("*") if path.is_file()]
    return [path for path in searched if path.relative_to(data).parts[0] not in ("batches", "refused")
            and path.relative_to(data).parts[:2] != ("store", "objects")]  # fmt: skip
