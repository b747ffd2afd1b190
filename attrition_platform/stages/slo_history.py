"""What became of files, causes and drift alarms, matched run by run, for the indicators that tell of time."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING

from attrition_platform.adapters.pointers import NEWEST
from attrition_platform.adapters.step_cache import read_result
from attrition_platform.monitoring.slo_facts import (
    AlarmFact,
    Answer,
    ArrivalFact,
    BatchFact,
    CauseFact,
    RunFact,
)
from attrition_platform.monitoring.triggering import CauseRecord
from attrition_platform.ports import LedgerRecord
from attrition_platform.stages.ingest import Progress, validate_one_batch
from attrition_platform.stages.platform import Platform
from attrition_platform.stages.standing_files import KEY_DIGITS

if TYPE_CHECKING:
    from attrition_platform.adapters.batches import Batch

TRAIN = "train_champion"
DEPLOYED = ("promotion", "canary")
ACTED = (*DEPLOYED, "proposal")


@dataclass(frozen=True)
class DriftLook:
    """One drift report: when it was made, the file it is about, and each of its windows with its verdict."""

    at: datetime
    file: str
    drifted: Mapping[str, bool]


def price_runs(platform: Platform, runs: Sequence[RunFact]) -> tuple[RunFact, ...]:
    """Trainings with the CPU of the steps that they computed themselves; None where nothing is left."""
    left_behind: dict[str, list[float]] = defaultdict(list)
    trainings = {run.run_id for run in runs if run.job == TRAIN}
    for file in platform.pointers_dir.rglob("*.json"):
        if file.stem in trainings:
            left_behind[file.stem].append(_cpu_seconds(file, file.stat().st_mtime_ns))
    cpu = {run_id: sum(seconds) for run_id, seconds in left_behind.items()}
    return tuple(replace(run, cpu_seconds=cpu.get(run.run_id)) for run in runs)


@lru_cache(maxsize=20_000)
def _cpu_seconds(file: Path, _: int) -> float:
    """CPU that a pointer tells of; its time of writing is asked for so that a new one is read anew."""
    result = read_result(file)
    return 0.0 if result.reused else float(result.measured.get("cpu_seconds", 0.0))


def read_files(platform: Platform, runs: Sequence[RunFact]) -> dict[str, tuple[str, ...]]:
    """Files that each run which has ended took its data from, by its id: sha256 of each."""
    found = {}
    for run in runs:
        file = platform.pointers_dir / "raw_employees" / f"{run.run_id}.json"
        if run.ended_at is not None and file.is_file():
            found[run.run_id] = tuple(batch["sha256"] for batch in read_result(file).facts["batches"])
    return found


def _batch_folders(platform: Platform) -> list[tuple[Batch, datetime]]:
    from attrition_platform.adapters.batches import list_batches

    batches = list_batches(platform.settings.data_dir, platform.contract.name)
    return [(batch, _written(batch.folder / "manifest.json")) for batch in batches]


def _written(file: Path) -> datetime:
    return datetime.fromtimestamp(file.stat().st_mtime, UTC)


def find_arrivals(
    platform: Platform,
    runs: Sequence[RunFact],
    files_read: Mapping[str, Collection[str]],
    causes: Sequence[CauseRecord],
    since: datetime,
) -> tuple[ArrivalFact, ...]:
    """Each accepted file with the end of the first good training that had read it.

    A file has come when it was last written, which its batch keeps: it may have lain in the inbox while
    nothing ran. Of one that was accepted before `since` nobody knows any more which training was the first.
    """
    decided: dict[str, datetime] = {}
    for run in sorted(runs, key=lambda run: (run.ended_at or run.started_at, run.run_id)):
        if run.job == TRAIN and run.status == "success" and run.ended_at is not None:
            for sha256 in files_read.get(run.run_id, ()):
                decided.setdefault(sha256, run.ended_at)
    arrivals = [
        ArrivalFact(batch.sha256[:16], _arrived(batch, accepted, causes), decided.get(batch.sha256))
        for batch, accepted in _batch_folders(platform)
        if accepted >= since
    ]
    return tuple(arrivals)


def _arrived(batch: Batch, accepted: datetime, causes: Iterable[CauseRecord]) -> datetime:
    """When a batch's file was written, at the latest when a sensor saw it; a time stamp may lie ahead.

    The same bytes may have been found and refused long before.
    """
    about = f"new-file/{batch.sha256[:KEY_DIGITS]}/"
    found = [record.cause.found_at for record in causes if record.cause.key.startswith(about)]
    seen = max((at for at in found if at <= accepted), default=accepted)
    return min(_written(batch.path), seen)


def find_batches(
    platform: Platform, files_read: Mapping[str, Collection[str]], since: datetime, tell: Progress
) -> tuple[BatchFact, ...]:
    """What runs that have ended made of the files of the window; validating one is not done here."""
    known = {sha256 for files in files_read.values() for sha256 in files}
    found = []
    for batch, at in _batch_folders(platform):
        if at >= since and batch.sha256 in known:
            facts = validate_one_batch(platform, batch, tell).facts
            n_bad = batch.n_rows if "refused" in facts else facts["n_quarantined"]
            found.append(BatchFact(batch.sha256[:16], at, batch.n_rows, n_bad))
    return tuple(found)


def find_causes(
    causes: Sequence[CauseRecord], runs: Sequence[RunFact], records: Sequence[LedgerRecord]
) -> tuple[CauseFact, ...]:
    """Causes with the end of their run: then the release, or the decision against it, is on record.

    One that was given up is late when its last run ended, and not again when somebody closes it.
    """
    deployed = {_run_of(record) for record in records if record.kind in DEPLOYED}
    own = {run.run_key: run for run in sorted(runs, key=lambda run: run.status == "success") if run.run_key}

    def fact(record: CauseRecord) -> CauseFact:
        run = own.get(record.run_key or "") if record.state == "done" else None
        ended_at = record.ended_at if record.state in ("done", "ticketed") else None
        answer: Answer = "given-up" if record.state == "ticketed" else "released"
        if run is not None and run.status != "success":
            answer, ended_at = "given-up", run.ended_at
        elif record.state == "done" and (run is None or run.run_id not in deployed):
            answer = "kept"
        return CauseFact(record.cause.key, record.cause.kind, record.cause.found_at, ended_at, answer)

    return tuple(fact(record) for record in causes)


def _run_of(record: LedgerRecord) -> str | None:
    """The training that a release came from; None where a person or a verdict moved the pointer alone."""
    run_id: str | None = record.payload.get("runs", {}).get("dagster")
    return run_id


def read_drift(platform: Platform) -> list[DriftLook]:
    """Every drift report that found something to compare with, oldest first."""
    files = (platform.pointers_dir / "drift_report").glob("*.json")
    looks = [_drift_look(file, file.stat().st_mtime_ns) for file in files if file.name != NEWEST]
    return sorted((look for look in looks if look is not None), key=lambda look: look.at)


@lru_cache(maxsize=20_000)
def _drift_look(file: Path, _: int) -> DriftLook | None:
    """What a report said; reports are many and never change, so each is read once."""
    facts = read_result(file).facts
    if facts["problem"]:
        return None
    return DriftLook(_written(file), facts["window"], {w["window"]: w["drifted"] for w in facts["windows"]})


def first_looks(looks: Sequence[DriftLook], *, drifted: bool = False) -> dict[str, datetime]:
    """When each window was first judged, or first found to have drifted."""
    first: dict[str, datetime] = {}
    for look in looks:
        for window, has_drifted in look.drifted.items():
            if has_drifted or not drifted:
                first.setdefault(window, look.at)
    return first


def find_alarms(
    platform: Platform,
    looks: Sequence[DriftLook],
    causes: Sequence[CauseRecord],
    runs: Sequence[RunFact],
    records: Sequence[LedgerRecord],
) -> tuple[AlarmFact, ...]:
    """Each drifted window once, and whether the run that it started released anything in time."""
    within = timedelta(hours=platform.policy.slo.max_trigger_to_deployed_hours)
    file_of = {window: look.file for look in reversed(looks) for window in look.drifted}
    run_keys: dict[str, set[str]] = defaultdict(set)
    for record in causes:
        if record.cause.kind == "drift" and record.run_key is not None:
            run_keys[record.cause.window].add(record.run_key)
    released: dict[str, list[datetime]] = defaultdict(list)
    key_of = {run.run_id: run.run_key for run in runs if run.run_key is not None}
    for entry in records:
        key = key_of.get(_run_of(entry) or "") if entry.kind in ACTED else None
        if key is not None:
            released[key].append(datetime.fromisoformat(entry.at))

    def acted(window: str, at: datetime) -> bool:
        keys = run_keys[window] | run_keys[file_of[window]]
        return any(at <= answer <= at + within for key in keys for answer in released[key])

    return tuple(
        AlarmFact(window, at, acted(window, at)) for window, at in first_looks(looks, drifted=True).items()
    )
