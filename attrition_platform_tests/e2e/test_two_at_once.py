"""Two runs of the job at once on a fresh place do not harm each other."""

from __future__ import annotations

import json
from concurrent.futures import ThreadPoolExecutor

import pytest

from attrition_platform_tests.conftest import Place

pytestmark = [pytest.mark.slow, pytest.mark.timeout(600)]


def test_both_end_well_and_the_ledger_holds(place: Place) -> None:
    with ThreadPoolExecutor(2) as pool:
        runs = list(pool.map(lambda _: place.train(ATTRITION_ROWS="2000"), range(2)))

    assert [run.returncode for run in runs] == [0, 0], runs[0].stderr[-1500:] + runs[1].stderr[-1500:]
    verified = place.run("attrition", "ledger", "verify")
    assert verified.returncode == 0, verified.stderr
    records = json.loads(place.run("attrition", "history", "--json").stdout)["records"]
    reads = [record["version"] for record in records if record["kind"] == "test-read"]
    assert len(reads) == len(set(reads)) == 1
    assert sum(record["kind"] == "promotion" for record in records) <= 1
