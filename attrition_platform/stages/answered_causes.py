"""Which trainings there were, what they read, and which causes they have answered."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from datetime import datetime

from attrition_platform.adapters.pointers import NEWEST
from attrition_platform.adapters.step_cache import StepResult, read_result
from attrition_platform.monitoring.triggering import Cause, CauseRecord
from attrition_platform.stages.platform import Platform
from attrition_platform.stages.standing_files import KEY_DIGITS, batch_key

LAST_OF_TRAINING = "model_card"  # a run that made it has trained to its end


def accepted_batches(platform: Platform) -> dict[str, str]:
    """Names of the batches that somebody dropped, by content key."""
    return {key: name for key, (_, name) in _accepted(platform).items()}


def untrained_batches(platform: Platform) -> dict[str, str]:
    """Those of them that no run has trained on to its end."""
    trained = _trained_batches(platform)
    return {key: name for key, (sha, name) in _accepted(platform).items() if sha not in trained}


def newest_training(platform: Platform, asset: str) -> tuple[str, StepResult] | None:
    """The newest run that trained to its end and made an asset, with what it made of it."""
    return next(_trainings(platform, asset), None)


def answered(
    platform: Platform,
    records: Sequence[CauseRecord],
    has_ended_well: Callable[[str], bool] = lambda run_id: True,
) -> list[str]:
    """Keys of causes that need no run of their own any more.

    A training of the whole job that began after a cause was found has answered it, whoever started it. One
    that had begun already has answered what it is seen to have read: a file that arrived while it began, or
    labels, which are counted from the training before. A cause whose own run failed has to be answered by a
    run that ended well.

    Parameters
    ----------
    records : sequence of CauseRecord
        Causes that wait for a run or are tickets.
    has_ended_well : callable
        Asked with a run's id; a run that trained to its end may have failed after it.
    """
    began_at = _newest_begin(platform, has_ended_well) if records else None
    trained = _trained_keys(platform) if records else set()
    newest = newest_training(platform, "validated_employees") if records else None
    done = []
    for record in records:
        cause = record.cause
        was_read = not record.n_attempts and _was_read(cause, trained, None if newest is None else newest[0])
        if was_read or (began_at is not None and cause.found_at < began_at):
            done.append(cause.key)
    return done


def _was_read(cause: Cause, trained: set[str], newest_run: str | None) -> bool:
    about = cause.key.split("/")[1]
    if cause.kind == "new-file":
        return about in trained
    return cause.kind == "volume" and newest_run is not None and newest_run != about


def _newest_begin(platform: Platform, has_ended_well: Callable[[str], bool]) -> datetime | None:
    """When the newest training of the whole job that ended well began to read."""
    for run_id, raw in _trainings(platform, "raw_employees"):
        if has_ended_well(run_id):
            began_at = raw.measured.get("began_at")  # older pointers do not have it
            return None if began_at is None else datetime.fromisoformat(began_at)
    return None


def _accepted(platform: Platform) -> dict[str, tuple[str, str]]:
    """sha256 and name of each batch that somebody dropped, by content key."""
    from attrition_platform.adapters.batches import list_batches

    batches = list_batches(platform.settings.data_dir, platform.contract.name)
    return {batch_key(batch): (batch.sha256, batch.name) for batch in batches if batch.origin == "inbox"}


def _trained_keys(platform: Platform) -> set[str]:
    trained = _trained_batches(platform)
    large = {key for key, (sha, _) in _accepted(platform).items() if sha in trained}
    return large | {sha[:KEY_DIGITS] for sha in trained}


def _trained_batches(platform: Platform) -> set[str]:
    """Batches that the newest run which trained to its end had; each run has those of all before it."""
    found = newest_training(platform, "raw_employees")
    return set() if found is None else {batch["sha256"] for batch in found[1].facts["batches"]}


def _trainings(platform: Platform, asset: str) -> Iterator[tuple[str, StepResult]]:
    """Runs that trained to their end and made an asset, the newest first."""
    files = [f for f in (platform.pointers_dir / LAST_OF_TRAINING).glob("*.json") if f.name != NEWEST]
    for file in sorted(files, key=lambda file: file.stat().st_mtime_ns, reverse=True):
        made = platform.pointers_dir / asset / file.name
        if made.is_file():  # a run on a part of the graph has made only that part
            yield file.stem, read_result(made)
