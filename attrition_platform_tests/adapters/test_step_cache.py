"""Unchanged work is not done again, and what changed is."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from attrition_platform.adapters.object_store import ObjectStore
from attrition_platform.adapters.step_cache import StepCache, StepOutput, StepResult, code_version


class Counter:
    """A step that counts how often it computes."""

    def __init__(self, content: bytes = b"content", wait_seconds: float = 0.0) -> None:
        self.n_computed = 0
        self.content = content
        self.wait_seconds = wait_seconds

    def __call__(self, out: StepOutput) -> None:
        self.n_computed += 1
        time.sleep(self.wait_seconds)
        out.file("result.bin").write_bytes(self.content)
        out.file("noise.bin", repeats=False).write_bytes(f"{time.time_ns()}".encode())
        out.facts["n_rows"] = 3
        out.measured["noise"] = time.time_ns()


@pytest.fixture
def cache(tmp_path: Path) -> StepCache:
    return StepCache(ObjectStore(tmp_path))


def run(
    cache: StepCache,
    step: Callable[[StepOutput], None],
    code: str = "1",
    data: str = "a",
    config: int = 0,
) -> StepResult:
    return cache.run("step", step, code=code, inputs={"data": data}, config={"n": config})


def test_the_same_step_is_computed_once(cache: StepCache) -> None:
    step = Counter()

    first, second = run(cache, step), run(cache, step)

    assert step.n_computed == 1
    assert (first.reused, second.reused) == (False, True)
    assert second.files == first.files
    assert second.data_version == first.data_version


@pytest.mark.parametrize("change", [{"code": "2"}, {"data": "b"}, {"config": 1}])
def test_changed_code_input_or_config_computes_again(cache: StepCache, change: dict[str, str]) -> None:
    step = Counter()
    run(cache, step)

    again = run(cache, step, **change)  # type: ignore[arg-type]

    assert step.n_computed == 2
    assert not again.reused


def test_the_data_version_repeats_in_another_store(tmp_path: Path) -> None:
    one, two = (run(StepCache(ObjectStore(tmp_path / name)), Counter()) for name in ("one", "two"))

    assert one.data_version == two.data_version
    assert one.files["noise.bin"] != two.files["noise.bin"]


def test_other_content_has_another_data_version(cache: StepCache) -> None:
    assert (
        run(cache, Counter(b"x"), data="x").data_version != run(cache, Counter(b"y"), data="y").data_version
    )


def test_a_lost_object_is_computed_again(cache: StepCache) -> None:
    step = Counter()
    first = run(cache, step)
    cache.store.path(first.files["result.bin"]).unlink()

    assert not run(cache, step).reused
    assert step.n_computed == 2


def test_a_step_that_fails_stores_nothing(cache: StepCache) -> None:
    def failing(out: StepOutput) -> None:
        out.file("half.bin").write_bytes(b"ha")
        raise ValueError("boom")

    with pytest.raises(ValueError, match="boom"):
        run(cache, failing)

    assert not list(cache.store.root.rglob("*.json"))
    assert not run(cache, Counter()).reused


def test_two_runs_that_need_the_same_step_at_once_compute_it_once(cache: StepCache) -> None:
    step = Counter(wait_seconds=0.3)
    results: list[StepResult] = []
    threads = [threading.Thread(target=lambda: results.append(run(cache, step))) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    assert step.n_computed == 1
    assert len({result.data_version for result in results}) == 1


def test_a_fact_that_is_not_a_number_is_refused(cache: StepCache) -> None:
    def step(out: StepOutput) -> None:
        out.facts["auc"] = float("nan")

    with pytest.raises(ValueError, match="not JSON compliant"):
        run(cache, step)


def test_the_code_version_follows_the_source(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("attrition_platform.adapters.step_cache.PACKAGE", tmp_path)
    (tmp_path / "features").mkdir()
    module = tmp_path / "features" / "a.py"
    module.write_text("x = 1")
    before = code_version("features")
    code_version.cache_clear()
    module.write_text("x = 2")

    assert code_version("features") != before
    code_version.cache_clear()
