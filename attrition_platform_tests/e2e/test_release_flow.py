"""A second champion on its way to all traffic: approvals, canary, ramp, rollback, as people type it."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import pytest

from attrition_platform.population.generator import write_population
from attrition_platform_tests.conftest import Place
from attrition_platform_tests.served_place import write_policy

pytestmark = [pytest.mark.slow, pytest.mark.timeout(900)]

RELEASE = '\n[release]\nmode = "canary"\napprovals = 2\n'


@pytest.fixture
def place(finished: Place, tmp_path: Path) -> Place:
    """A place of its own that begins where the finished one ended, with a new extract in its inbox."""
    shutil.copytree(finished.folder / "data", tmp_path / "data")
    shutil.copy2(finished.folder / "key", tmp_path / "key")
    inbox = tmp_path / "data" / "inbox"
    inbox.mkdir(exist_ok=True)
    write_population(inbox / "newer.csv", 12_000, seed=31)
    return Place(tmp_path)


def test_nothing_reaches_traffic_before_two_people_and_the_canary_say_so(
    place: Place, tmp_path: Path
) -> None:
    policy = write_policy(tmp_path, RELEASE)
    # A second draw from the same population is no better; a wide margin lets it replace the first.
    text = Path(policy).read_text()
    Path(policy).write_text(text.replace("non_inferiority_margin = 0.005", "non_inferiority_margin = 0.05"))

    def run(*command: str, code: int = 0) -> str:
        done = place.run("attrition", *command, ATTRITION_POLICY=policy)
        assert done.returncode == code, f"{command}\n{done.stdout[-2000:]}\n{done.stderr[-2000:]}"
        return done.stdout + done.stderr

    def status() -> dict[str, Any]:
        told: dict[str, Any] = json.loads(run("canary", "status", "--json"))
        return told

    before = json.loads(run("champion", "--json"))["version"]
    trained = place.run(
        "dagster",
        "job",
        "execute",
        "-m",
        "attrition_platform.definitions",
        "-j",
        "train_champion",
        "--tags",
        '{"cause": "drift"}',
        ATTRITION_POLICY=policy,
    )
    assert trained.returncode == 0, trained.stdout[-3000:] + trained.stderr[-3000:]

    waiting = status()["waiting"]["version"]
    assert json.loads(run("champion", "--json"))["version"] == before != waiting
    run("approve", waiting, "--by", "Ann", "--reason", "figures are fine")
    assert "another person" in run("approve", waiting, "--by", " ann", "--reason", "again", code=1)
    assert not status()["running"]
    run("approve", waiting[:8], "--by", "Ben", "--reason", "audit is fine")

    running = status()
    assert (running["version"], running["mode"], running["stable"]) == (waiting, "canary", before)
    assert json.loads(run("champion", "--json"))["version"] == before, "a canary is no champion"

    run("canary", "ramp", "--reason", "a week without a complaint", "--by", "Ann")
    assert json.loads(run("champion", "--json"))["version"] == waiting
    run("rollback", "--reason", "a complaint after all", "--by", "Ben")
    assert json.loads(run("champion", "--json"))["version"] == before

    kinds = [record["kind"] for record in json.loads(run("history", "--json"))["records"]]
    assert kinds[-6:] == ["proposal", "approval", "approval", "canary", "promotion", "rollback"]
    assert {"approval", "canary", "Ben:"} <= set(run("history").split())
    assert "Intact" in run("ledger", "verify")
    run("canary", "abort", "--reason", "there is none", code=1)
