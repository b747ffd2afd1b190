"""A real server on a real socket: swaps under load, kills, a broken canary, an attack by its description."""

from __future__ import annotations

import asyncio
import functools
import os
import random
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path
from typing import Any

import pytest

from attrition_platform.adapters.api_keys import ApiKeys
from attrition_platform.adapters.prediction_log import SqlPredictionLog
from attrition_platform.scoring.predictor import Arm
from attrition_platform.stages.platform import Platform
from attrition_platform.stages.predicting import load_arm
from attrition_platform_tests.load import Answers, Served, ask_many, serving
from attrition_platform_tests.served_place import AT, EMPLOYEE, make_platform, record, store_model

pytestmark = [pytest.mark.slow, pytest.mark.timeout(900)]

V1, V2 = "1" * 16, "2" * 16
# The issue asks for 100,000; `ATTRITION_TEST_REQUESTS=100000` runs exactly that.
N_REQUESTS = int(os.environ.get("ATTRITION_TEST_REQUESTS", "20000"))
N_KILLS = int(os.environ.get("ATTRITION_TEST_KILLS", "10"))


def employee(number: int) -> dict[str, Any]:
    return {
        **EMPLOYEE,
        "person": number,
        "pay": 1_000 + number % 8_000,
        "level": ("Entry", "Mid")[number % 2],
    }


def employee_after(start: int, number: int) -> dict[str, Any]:
    return employee(start + number)


def read_log(platform: Platform) -> dict[str, Any]:
    log: SqlPredictionLog = platform.predictions
    return {one.id: one for one in log.since(0)}


def test_swaps_and_rollbacks_under_load_lose_nothing_and_every_answer_carries_its_version(
    tmp_path: Path,
) -> None:
    platform = make_platform(tmp_path)
    record(platform, V1)
    second = store_model(platform, V2, seed=2)
    first = platform.ledger.champion()
    assert first is not None
    answers = Answers()
    done = threading.Event()
    seen_after: list[float] = []

    def swap(served: Served) -> None:
        for _ in range(20):
            for version, kind, payload in ((V2, "promotion", second), (V1, "rollback", first.payload)):
                moved = time.monotonic()
                platform.ledger.append(kind, version, payload, at=AT)  # type: ignore[arg-type]
                while served.get("/champion")["serving"] != version:
                    time.sleep(0.02)
                seen_after.append(time.monotonic() - moved)
        done.set()

    with serving(platform) as served:
        swapper = threading.Thread(target=swap, args=(served,), daemon=True)
        swapper.start()
        rounds = 0
        while rounds == 0 or not done.is_set():
            asyncio.run(ask_many(served.port, N_REQUESTS, 64, employee, answers))
            rounds += 1
        swapper.join()

    logged = read_log(platform)
    assert not answers.failed
    assert len(answers.told) == N_REQUESTS * rounds
    assert {one["id"] for one in answers.told} == set(logged)
    arms: dict[str, Arm] = {r.version: load_arm(platform, r) for r in platform.ledger.records()}
    assert {one["model_version"] for one in answers.told} == {V1, V2}
    for one in answers.told[:: max(1, len(answers.told) // 5_000)]:
        assert logged[one["id"]].version == one["model_version"]
        assert logged[one["id"]].score == one["score"]
    possible = {
        (version, arm.score(arm.reader.read(employee(number)))[0])
        for version, arm in arms.items()
        for number in range(8_000)
    }
    assert {(one["model_version"], one["score"]) for one in answers.told} <= possible
    assert max(seen_after) < 2.0


def test_every_answered_prediction_is_in_the_log_after_kill_9_under_load(tmp_path: Path) -> None:
    platform = make_platform(tmp_path)
    record(platform, V1)
    answers = Answers()
    rng = random.Random(7)
    for _ in range(N_KILLS):
        with serving(platform) as served:
            killer = threading.Timer(rng.uniform(0.05, 0.6), os.kill, (served.process.pid, signal.SIGKILL))
            killer.start()
            asyncio.run(ask_many(served.port, 1_000_000, 32, employee, answers, give_up=True))
            killer.join()

    logged = read_log(platform)
    assert len(answers.told) > 10 * N_KILLS
    assert {one["id"] for one in answers.told} <= set(logged)
    assert all(logged[one["id"]].score == one["score"] for one in answers.told)
    assert platform.ledger.verify().intact


BROKEN_SERVER = """
import sys
from attrition_platform.cli import main
from attrition_platform.scoring.additive import AdditiveModel
import time
whole = AdditiveModel.explain_one
def spin(seconds):
    end = time.perf_counter() + seconds
    while time.perf_counter() < end:
        pass
def broken(self, x):
    if self.base == {base!r}:
        {what}
    return whole(self, x)
AdditiveModel.explain_one = broken
sys.argv = ["attrition", "serve", *sys.argv[1:]]
main()
"""
FAULTS = {
    "raises on 5 % of rows": "if x[3] % 20 == 0: raise ArithmeticError('a broken model')",
    "is far slower": "time.sleep(0.003)",
    # An answer takes about 0.1 ms.
    "is twice as slow": "spin(0.0001)",
}


@pytest.mark.parametrize("fault", FAULTS)
def test_a_broken_challenger_is_rolled_back_by_itself_and_everyone_was_answered(
    tmp_path: Path, fault: str
) -> None:
    from attrition_platform.stages.canary_watch import watch

    platform = make_platform(tmp_path)
    record(platform, V1)
    canary = record(platform, V2, "canary", seed=2, incumbent=V1, mode="canary", share=0.3)
    base = load_arm(platform, canary).compiled.base
    script = BROKEN_SERVER.format(base=base, what=FAULTS[fault])
    answers = Answers()
    n_rounds = 0

    with serving(platform, (sys.executable, "-c", script)) as served:
        while platform.ledger.last("canary-end") is None and n_rounds < 40:
            people = functools.partial(employee_after, 500 * n_rounds)
            asyncio.run(ask_many(served.port, 500, 8, people, answers))
            watch(platform, platform.predictions, AT)
            n_rounds += 1
        ended = time.monotonic()
        while served.get("/champion")["canary"] is not None:
            time.sleep(0.02)
        seen = time.monotonic() - ended
        asyncio.run(ask_many(served.port, 200, 8, employee, after := Answers()))

    end = platform.ledger.last("canary-end")
    assert end is not None, "the canary was never rolled back"
    assert end.version == V2
    assert end.payload["evidence"]
    assert not answers.failed
    assert not after.failed
    assert {one["model_version"] for one in after.told} == {V1}
    assert seen < 5.0
    assert set(read_log(platform)) == {one["id"] for one in answers.told + after.told}


def test_a_canary_like_stable_gets_all_traffic(tmp_path: Path) -> None:
    from attrition_platform.stages.canary_watch import watch

    platform = make_platform(tmp_path)
    record(platform, V1)
    record(platform, V2, "canary", incumbent=V1, mode="canary", share=0.3)

    with serving(platform) as served:
        for n in range(40):
            asyncio.run(ask_many(served.port, 500, 8, functools.partial(employee_after, 500 * n), Answers()))
            result = watch(platform, platform.predictions, AT)
            if result.action != "continue":
                break

    assert result.action == "ramp", result.told


def test_schemathesis_finds_nothing(tmp_path: Path) -> None:
    platform = make_platform(tmp_path)
    record(platform, V1)
    keys = ApiKeys(platform.settings.data_dir / "api_keys.json", platform.key)
    key = keys.add("attacker", ["predict", "explain", "operate"], AT)

    with serving(platform) as served:
        done = subprocess.run(
            [
                str(Path(sys.executable).with_name("schemathesis")),
                "run",
                f"{served.address}/openapi.json",
                "-H",
                f"X-API-Key: {key}",
                "--checks",
                "all",
                "--max-examples",
                "60",
                "--seed",
                "7",
                "--no-color",
            ],
            capture_output=True,
            text=True,
            cwd=tmp_path,
            timeout=600,
            check=False,
        )

    assert done.returncode == 0, done.stdout[-6000:] + done.stderr[-2000:]
