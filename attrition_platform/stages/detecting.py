"""What calls for a training now: one detector per trigger, each a quick look at what is stored.

A detector changes nothing and takes nothing in, so anybody may look. It says what its limit is, what it last
saw, and which causes follow; a cause's key is made of content, so looking twice finds it once.
"""

from __future__ import annotations

import datetime as dt
import json
import tomllib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any

from attrition_platform.adapters.drop_folder import look_at
from attrition_platform.adapters.extract_streams import open_regular
from attrition_platform.adapters.step_cache import digest
from attrition_platform.errors import RefusedFileError
from attrition_platform.modeling.watch_rules import CauseKind
from attrition_platform.monitoring.triggering import Cause
from attrition_platform.stages.answered_causes import accepted_batches, newest_training, untrained_batches
from attrition_platform.stages.performance import BAD
from attrition_platform.stages.platform import Platform
from attrition_platform.stages.standing_files import KEY_DIGITS, standing_files
from attrition_platform.stages.views import newest_or_none

MAX_EVENT_BYTES = 64 << 10


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
    accepted = accepted_batches(platform)
    waiting = standing_files(platform.settings.inbox)
    fresh = {key: name for key, name in waiting.names.items() if key not in accepted}
    fresh |= untrained_batches(platform)
    # A file that was refused is a new cause once the contract has changed: it may be allowed now.
    rules = platform.contract_digest[:8]
    causes = tuple(
        _cause(platform, "new-file", f"{key}/{rules}", key[:16], {"file": name})
        for key, name in sorted(fresh.items())
    )
    value = f"{len(waiting.names)} files in the inbox, {len(causes)} new"
    if waiting.n_left_alone:
        value += f", {waiting.n_left_alone} not finished or not readable"
    if waiting.n_folders:
        value += f", {waiting.n_folders} folders left alone (put the files themselves into the inbox)"
    return Reading("a file that is no known batch stands still", value, causes)


def drift(platform: Platform) -> Reading:
    """Windows of the newest report in which a column has drifted: a batch, a day of answers, or both."""
    rule = platform.policy.drift
    limit = (
        f"a column's score reaches {rule.min_score:g} and is no chance, or more than "
        f"{rule.max_new_category_share:.0%} of its values are in categories that training never saw"
    )
    report = newest_or_none(platform, "drift_report")
    if report is None or report.facts["problem"]:
        return Reading(limit, "no window has been judged yet")
    facts, seen, causes = report.facts, [], []
    for window in facts["windows"]:
        name, score = window["window"], window["score"]
        told = "nothing could be tested" if score is None else f"largest score {score:.3f}"
        told = f"window {name}: {told}, {len(window['columns'])} columns drifted"
        if window["drifted"] and facts["blocks_scoring"] and name == facts["window"]:
            told += "; its file was refused, so there is nothing to train on"
        elif window["drifted"]:
            evidence = {"columns": window["columns"], "score": score, "champion": facts["reference"]}
            # One window calls for one training, also where it has drifted from the next champion too.
            causes.append(_cause(platform, "drift", name, name, evidence))
        seen.append(told)
    return Reading(limit, "; ".join(seen), tuple(causes))


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
    trained = newest_training(platform, "validated_employees")
    known = _known_labels(platform)
    if trained is None or known is None:
        return Reading(limit, "nothing was trained yet")
    run_id, validated = trained
    n_new = known - int(validated.facts["n_labelled"])
    value = f"{n_new:,} new labels"
    if untrained_batches(platform):  # they came with a file, and its own training reads them
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
    waiting = standing_files(folder)
    causes, n_bad = [], 0
    for content, name in sorted(waiting.names.items()):
        told = read_event(folder / name)
        if isinstance(told, str):
            n_bad += 1
        else:
            key = _event_key(content, folder / name)
            causes.append(_cause(platform, "event", key, told["kind"], told | {"file": name}))
    value = f"{len(waiting.names)} event files, {n_bad} of them unusable, {waiting.n_left_alone} not finished"
    return Reading("an event file stands still", value, tuple(causes))


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
    for content, name in standing_files(folder).names.items():
        told = read_event(folder / name)
        if not isinstance(told, str) and f"event/{_event_key(content, folder / name)}" not in known:
            continue
        # A name may be as long as a file system allows already.
        place = folder / ("refused" if isinstance(told, str) else "done") / f"{content[:16]}-{name[-40:]}"
        place.parent.mkdir(exist_ok=True)
        try:
            (folder / name).replace(place)
        except FileNotFoundError:  # another tick was quicker
            continue
        if isinstance(told, str):
            place.with_name(place.name + ".reason").write_text(told + "\n", encoding="utf-8")
            problems.append(f"Event '{name}' is refused: {told}.")
    return problems


def _event_key(content: str, file: Path) -> str:
    """By content and by when it was written: the same words may be said again next month."""
    look = look_at(file)
    return f"{content}/{0 if look is None else look[2]}"


def _is_short_text(value: object) -> bool:
    return isinstance(value, str) and 0 < len(value) <= 200 and value.isprintable()


def _cause(platform: Platform, kind: CauseKind, of: str, window: str, evidence: Mapping[str, Any]) -> Cause:
    return Cause(kind, f"{kind}/{of}", platform.clock(), window[:200], evidence)


def _known_labels(platform: Platform) -> int | None:
    """Labels of the newest validated rows, and those that outcome files have brought since."""
    from attrition_platform.adapters.outcome_files import list_outcome_batches

    newest = newest_or_none(platform, "validated_employees")
    if newest is None:
        return None
    n_labelled = int(newest.facts["n_labelled"])
    batches = list_outcome_batches(platform.settings.data_dir, platform.contract.name)
    if not batches:
        return n_labelled
    stored = tuple(batch.content_sha256 for batch in batches)
    rows = platform.file(newest.files["validated.parquet"])
    contract = platform.contract
    return n_labelled + _n_labelled_later(
        rows, contract.label, platform.settings.data_dir, contract.name, stored, platform.today()
    )


@lru_cache(maxsize=8)
def _n_labelled_later(
    rows: Path, label: str, data_dir: Path, contract_name: str, stored: tuple[str, ...], today: dt.date
) -> int:
    """Count who has no label in `rows` and is told of in the outcomes of `stored`, read once a day."""
    import polars as pl

    from attrition_platform.adapters.outcome_files import read_outcomes

    people = pl.read_parquet(rows, columns=["pseudonym", label]).filter(pl.col(label).is_null())
    outcomes = read_outcomes(data_dir, contract_name, until=today)
    return people.join(outcomes, on="pseudonym", how="semi").height
