"""What calls for a training now: one detector per trigger, each a quick look at what is stored.

A detector changes nothing. It says what its limit is, what it last saw, and which causes follow; a cause's
key is made of content, so looking twice finds it once.
"""

from __future__ import annotations

import hashlib
import json
import time
import tomllib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any

from attrition_platform.adapters.drop_folder import Look, is_being_written, is_old, look_at, standing
from attrition_platform.adapters.extract_streams import open_regular
from attrition_platform.adapters.pointers import NEWEST
from attrition_platform.adapters.step_cache import StepResult, digest, read_result
from attrition_platform.errors import RefusedFileError
from attrition_platform.modeling.watch_rules import CauseKind
from attrition_platform.monitoring.triggering import Cause
from attrition_platform.stages.performance import BAD
from attrition_platform.stages.platform import Platform
from attrition_platform.stages.views import newest_or_none

KEY_DIGITS = 32
MAX_EVENT_BYTES = 64 << 10
LAST_OF_TRAINING = "model_card"  # a run that made it has trained to its end


@dataclass(frozen=True)
class Reading:
    """What a detector saw.

    Attributes
    ----------
    limit : str
        When it fires, in words.
    value : str
        What it saw last, in words.
    causes : tuple of Cause
        What follows; empty where nothing does.
    """

    limit: str
    value: str
    causes: tuple[Cause, ...] = ()


Detector = Callable[[Platform], Reading]


def new_files(platform: Platform) -> Reading:
    """Files that stand still in the inbox, and accepted batches that no training has seen."""
    settings = platform.settings
    accepted = _accepted(platform)
    waiting, left_alone = _standing_files(settings.inbox)
    fresh = {sha: name for sha, name in waiting.items() if sha not in accepted}
    fresh |= _untrained(platform)
    # A file that was refused is a new cause once the contract has changed: it may be allowed now.
    rules = platform.contract_digest[:8]
    causes = tuple(
        _cause(platform, "new-file", f"{sha256[:KEY_DIGITS]}/{rules}", sha256[:16], {"file": name})
        for sha256, name in sorted(fresh.items())
    )
    value = f"{len(waiting)} files in the inbox, {len(causes)} new"
    if left_alone:
        value += f", {left_alone} not finished or not readable"
    return Reading("a file that is no known batch stands still", value, causes)


def drift(platform: Platform) -> Reading:
    """The newest drift report, where a column has drifted."""
    limit = f"a column's score reaches {platform.policy.drift.min_score:g} and is no chance"
    report = newest_or_none(platform, "drift_report")
    if report is None or report.facts["problem"]:
        return Reading(limit, "no window has been judged yet")
    facts = report.facts
    score = "nothing could be tested" if facts["score"] is None else f"largest score {facts['score']:.3f}"
    value = f"window {facts['window']}: {score}, {len(facts['columns'])} columns drifted"
    if not facts["drifted"]:
        return Reading(limit, value)
    if facts["blocks_scoring"]:
        return Reading(limit, f"{value}; its file was refused, so there is nothing to train on")
    evidence = {"columns": facts["columns"], "score": facts["score"], "champion": facts["reference"]}
    # One window calls for one training, also where it has drifted from the next champion too.
    return Reading(limit, value, (_cause(platform, "drift", facts["window"], facts["window"], evidence),))


def performance(platform: Platform) -> Reading:
    """The newest performance report, where matured outcomes are against the champion."""
    rule = platform.policy.performance
    limit = (
        f"accuracy below {rule.min_accuracy:g}, recall below {rule.min_recall:g}, or outcomes contradict "
        "the probabilities"
    )
    report = newest_or_none(platform, "performance_report")
    if report is None:
        return Reading(limit, "no outcomes have been judged yet")
    facts = report.facts
    n_labels = 0 if facts["judged"] is None else facts["judged"]["matured"]["n"]
    value = f"{facts['verdict']}, {n_labels:,} matured outcomes read"
    if facts["verdict"] not in BAD:
        return Reading(limit, value)
    evidence = {"verdict": facts["verdict"], "reasons": facts["judged"]["reasons"]}
    of = f"{facts['window']}/{facts['verdict']}"
    return Reading(limit, value, (_cause(platform, "performance", of, facts["window"], evidence),))


def new_labels(platform: Platform) -> Reading:
    """Labels that became known since the last training."""
    least = platform.policy.triggers.new_labels
    limit = f"{least:,} employees labelled since the last training"
    trained = _newest_training(platform, "validated_employees")
    known = _known_labels(platform)
    if trained is None or known is None:
        return Reading(limit, "nothing was trained yet")
    run_id, validated = trained
    n_new = known - int(validated.facts["n_labelled"])
    value = f"{n_new:,} new labels"
    if _untrained(platform):  # they came with a file, and its own training reads them
        return Reading(limit, f"{value}, of which a file that was not trained on yet may have brought some")
    if n_new < least:
        return Reading(limit, value)
    evidence = {"n_new": n_new, "n_known": known}
    return Reading(limit, value, (_cause(platform, "volume", run_id, f"{n_new} labels", evidence),))


def new_columns(platform: Platform) -> Reading:
    """Columns that the newest batch has and the contract does not know."""
    limit = "a column that the contract does not know"
    report = newest_or_none(platform, "drift_report")
    if report is None or report.facts["problem"]:
        return Reading(limit, "no window has been judged yet")
    columns = sorted(c["column"] for c in report.facts["schema_changes"] if c["kind"] == "new-column")
    value = f"window {report.facts['window']}: {len(columns)} new columns"
    if not columns:
        return Reading(limit, value)
    of = digest([columns, platform.contract_digest])[:KEY_DIGITS]
    window = report.facts["window"]
    return Reading(limit, value, (_cause(platform, "new-column", of, window, {"columns": columns}),))


def events(platform: Platform) -> Reading:
    """Event files that stand still in `events/`: what a platform update or a person calls for."""
    folder = events_folder(platform)
    waiting, left_alone = _standing_files(folder)
    causes, n_bad = [], 0
    for sha256, name in sorted(waiting.items()):
        told = read_event(folder / name)
        if isinstance(told, str):
            n_bad += 1
        else:
            key = _event_key(sha256, folder / name)
            causes.append(_cause(platform, "event", key, told["kind"], told | {"file": name}))
    value = f"{len(waiting)} event files, {n_bad} of them unusable, {left_alone} not finished"
    return Reading("an event file stands still", value, tuple(causes))


def answered(platform: Platform, causes: Sequence[Cause]) -> list[str]:
    """Keys of causes that wait for a run although one which has trained meanwhile read what they are about.

    A file that arrives while a run begins may be taken in by it, and labels are counted from the training
    before.
    """
    trained = {sha256[:KEY_DIGITS] for sha256 in _trained_batches(platform)}
    newest = _newest_training(platform, "validated_employees")
    done = []
    for cause in causes:
        about = cause.key.split("/")[1]
        was_read = cause.kind == "new-file" and about in trained
        was_counted = cause.kind == "volume" and newest is not None and newest[0] != about
        if was_read or was_counted:
            done.append(cause.key)
    return done


DETECTORS: Mapping[CauseKind, Detector] = {
    "new-file": new_files,
    "drift": drift,
    "performance": performance,
    "volume": new_labels,
    "new-column": new_columns,
    "event": events,
}


def events_folder(platform: Platform) -> Path:
    """Where events are dropped."""
    return platform.settings.data_dir / "events"


def read_event(file: Path) -> dict[str, str] | str:
    """Read an event's kind and reason, or say why it is none.

    Parameters
    ----------
    file : Path
        JSON or TOML with the texts ``kind`` and ``reason``.
    """
    try:
        with open_regular(file) as source:
            content = source.read(MAX_EVENT_BYTES + 1)
        if len(content) > MAX_EVENT_BYTES:
            return f"it is larger than {MAX_EVENT_BYTES} bytes"
        text = content.decode("utf-8-sig")  # with the mark that editors on Windows put first
        told = json.loads(text) if file.suffix.lower() == ".json" else tomllib.loads(text)
    except RefusedFileError as error:
        return error.detail
    except (OSError, ValueError, RecursionError):
        return "it is neither JSON (.json) nor TOML in UTF-8"
    fields = {name: told.get(name) for name in ("kind", "reason")} if isinstance(told, dict) else {}
    if not fields or not all(_is_short_text(value) for value in fields.values()):
        return "it needs the texts 'kind' and 'reason', of at most 200 printable characters"
    return {name: str(value) for name, value in fields.items()}


def file_events(platform: Platform, recorded: Sequence[Cause]) -> list[str]:
    """Move events away once they are causes, and unusable ones with their reason; says what was unusable.

    Parameters
    ----------
    recorded : sequence of Cause
        What is on record. An event that was dropped since then stays where it is for the next look.
    """
    folder = events_folder(platform)
    known = {cause.key for cause in recorded}
    problems = []
    for sha256, name in _standing_files(folder)[0].items():
        told = read_event(folder / name)
        if not isinstance(told, str) and f"event/{_event_key(sha256, folder / name)}" not in known:
            continue
        # A name may be as long as a file system allows already.
        place = folder / ("refused" if isinstance(told, str) else "done") / f"{sha256[:16]}-{name[-40:]}"
        place.parent.mkdir(exist_ok=True)
        try:
            (folder / name).replace(place)
        except FileNotFoundError:  # another tick was quicker
            continue
        if isinstance(told, str):
            place.with_name(place.name + ".reason").write_text(told + "\n", encoding="utf-8")
            problems.append(f"Event '{name}' is refused: {told}.")
    return problems


def _event_key(sha256: str, file: Path) -> str:
    """By content and by when it was written: the same words may be said again next month."""
    look = look_at(file)
    return f"{sha256[:KEY_DIGITS]}/{0 if look is None else look[2]}"


def _is_short_text(value: object) -> bool:
    return isinstance(value, str) and 0 < len(value) <= 200 and value.isprintable()


def _cause(platform: Platform, kind: CauseKind, of: str, window: str, evidence: Mapping[str, Any]) -> Cause:
    return Cause(kind, f"{kind}/{of}", platform.clock(), window[:200], evidence)


def _standing_files(folder: Path) -> tuple[dict[str, str], int]:
    """Names by sha256 of what was last written a second ago or more; the second value counts the others.

    A time in the future was not written by a program at work: it was copied along, or a clock is wrong.
    """
    found: dict[str, str] = {}
    n_left_alone = 0
    entries = sorted(folder.iterdir()) if folder.is_dir() else []
    for entry in entries:
        if standing(entry) == "hidden" or (entry.is_dir() and not entry.is_symlink()):
            continue
        look = look_at(entry)
        if standing(entry) != "candidate" or look is None or not _stands_still(look):
            n_left_alone += 1
            continue
        try:
            found.setdefault(_sha256(entry, look), entry.name)
        except (OSError, RefusedFileError):
            n_left_alone += 1
    return found, n_left_alone


def _stands_still(look: Look) -> bool:
    now = time.time()
    return is_old(look, now) or look[2] / 1e9 > now + 1.0


@lru_cache(maxsize=1_024)
def _sha256(entry: Path, look: Look) -> str:
    """sha256 of a file as it looked. A tick reads each file once, but one that it can't read again and again.

    Raises
    ------
    OSError, RefusedFileError
        When it can't be read, or somebody still writes it.
    """
    hasher = hashlib.sha256()
    with open_regular(entry) as source:
        if is_being_written(source):
            raise BlockingIOError(entry.name)
        while block := source.read(1 << 20):
            hasher.update(block)
    return hasher.hexdigest()


def _accepted(platform: Platform) -> dict[str, str]:
    """Names of the batches that somebody dropped, by sha256."""
    from attrition_platform.adapters.batches import list_batches

    batches = list_batches(platform.settings.data_dir, platform.contract.name)
    return {batch.sha256: batch.name for batch in batches if batch.origin == "inbox"}


def _untrained(platform: Platform) -> dict[str, str]:
    """Those of them that no run has trained on to its end."""
    trained = _trained_batches(platform)
    return {sha: name for sha, name in _accepted(platform).items() if sha not in trained}


def _trained_batches(platform: Platform) -> set[str]:
    """Batches that the newest run which trained to its end had; each run has those of all before it."""
    found = _newest_training(platform, "raw_employees")
    return set() if found is None else {batch["sha256"] for batch in found[1].facts["batches"]}


def _newest_training(platform: Platform, asset: str) -> tuple[str, StepResult] | None:
    """The newest run that trained to its end and made an asset, with what it made of it."""
    files = [f for f in (platform.pointers_dir / LAST_OF_TRAINING).glob("*.json") if f.name != NEWEST]
    for file in sorted(files, key=lambda file: file.stat().st_mtime_ns, reverse=True):
        made = platform.pointers_dir / asset / file.name
        if made.is_file():  # a run on a part of the graph has made only that part
            return file.stem, read_result(made)
    return None


def _known_labels(platform: Platform) -> int | None:
    """Labels of the newest validated rows, and those that outcome files have brought since."""
    newest = newest_or_none(platform, "validated_employees")
    if newest is None:
        return None
    import polars as pl

    from attrition_platform.adapters.outcome_files import list_outcome_batches, read_outcomes
    from attrition_platform.stages.ingest import read_columns, take_in_outcomes

    take_in_outcomes(platform, lambda _: None)
    n_labelled = int(newest.facts["n_labelled"])
    label = platform.contract.label
    if not list_outcome_batches(platform.settings.data_dir, platform.contract.name):
        return n_labelled
    people = read_columns(platform, newest, ("pseudonym", label)).filter(pl.col(label).is_null())
    outcomes = read_outcomes(platform.settings.data_dir, platform.contract.name)
    return n_labelled + people.join(outcomes, on="pseudonym", how="semi").height
