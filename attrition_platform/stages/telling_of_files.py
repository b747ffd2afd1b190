"""Who hears of files of which nothing was taken, wherever in the platform they were refused."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime, timedelta
from typing import Any

from attrition_platform.adapters.pointers import Pointers
from attrition_platform.adapters.step_cache import StepResult
from attrition_platform.monitoring.notification import Notification
from attrition_platform.monitoring.refusal_messages import files_refused, window_refused
from attrition_platform.stages.platform import Platform

FOLDERS = ("refused", "outcomes/refused")
STAYS = ("bad-name", "too-large")  # a file that is refused for this lies where it was dropped


def of_refused_files(platform: Platform, after: int | None) -> tuple[list[Notification], int]:
    """Files that sweeps refused after a time, whichever run or sensor swept, and the newest one's time.

    Parameters
    ----------
    after : int or None
        Nanoseconds since 1970. None where nobody knows any more: what is younger than the policy groups
        messages over is told, since what was told of that already is recognised.

    Returns
    -------
    list of Notification
        One for all of them, or none.
    int
        What to ask with the next time.
    """
    now = platform.clock()
    # A time that lies ahead was written under a clock that was set back since.
    if after is None or after > (now + timedelta(minutes=1)).timestamp() * 1e9:
        oldest = now - timedelta(minutes=platform.policy.notifications.group_minutes)
        after = round(oldest.timestamp() * 1e9)
    written = {}
    for folder in FOLDERS:
        for file in (platform.settings.data_dir / folder).glob("*/reason.json"):
            try:
                at = file.stat().st_mtime_ns
                found = json.loads(file.read_text(encoding="utf-8")) if at > after else None
            except (OSError, ValueError):  # it is being written, or nothing of ours
                continue
            if isinstance(found, dict) and found.get("contract") == platform.contract.name:
                written[file] = (at, found)
    if not written:
        return [], after
    in_order = sorted(written.values(), key=lambda one: one[0])
    newest = in_order[-1][0]
    when = datetime.fromtimestamp(newest / 1e9, UTC).isoformat(timespec="milliseconds")
    return [files_refused([found for _, found in in_order], key=str(newest), at=when)], newest


def of_refused_window(platform: Platform, facts: Mapping[str, Any], run_url: str) -> list[Notification]:
    """The newest file, where the drift report says that none of it may be scored."""
    changes = [change for change in facts.get("schema_changes", ()) if change["blocks_scoring"]]
    if not changes:
        return []
    return [
        window_refused(
            file=_name_of(platform, facts["window"]),
            window=facts["window"],
            at=platform.at(),
            changes=changes,
            champion=facts["reference"],
            run_url=run_url,
        )
    ]


def of_refused_batches(
    platform: Platform, run_id: str, run_url: str, *, stopped_by_refusal: bool = False
) -> list[Notification]:
    """Files that a run took in and then refused whole, and files that it left in the inbox for good.

    A batch stays refused in every run that follows; people hear of it from the one that took it in, unless
    that one's drift report has told them.

    Parameters
    ----------
    stopped_by_refusal : bool
        The run failed because no file was left.
    """
    raw = made_by(platform, "raw_employees", run_id)
    validated = made_by(platform, "validated_employees", run_id)
    if raw is None:
        return []
    names = dict(zip(_hashes(raw), raw.measured["names"], strict=True))
    drift = made_by(platform, "drift_report", run_id)
    told = drift.facts["window"] if drift is not None and drift.facts["blocks_scoring"] else None
    fresh = {
        names[sha256]
        for sha256 in raw.measured["accepted"]
        if sha256 in names and (told is None or not sha256.startswith(told))
    }
    refusals = [] if validated is None else validated.facts["refused_batches"]
    if validated is None and stopped_by_refusal:
        refusals = [{"batch": name, "reason": "no-usable-rows"} for name in names.values()]
    refused = [{"name": one["batch"], "reason": one["reason"]} for one in refusals if one["batch"] in fresh]
    stays = [one for one in raw.measured["refused"] if one["reason"] in STAYS]
    # What stays is refused again by every run, so it has a key of its own that the next run repeats.
    found = [(refused, run_id), (stays, ", ".join(str(one["name"]) for one in stays))]
    return [files_refused(each, key=key, at=platform.at(), run_url=run_url) for each, key in found if each]


def made_by(platform: Platform, asset: str, run_id: str) -> StepResult | None:
    """What this very run made of an asset; None where it made none."""
    pointers = Pointers(platform.pointers_dir)
    if not (pointers.root / asset / f"{run_id}.json").is_file():
        return None
    return pointers.read(asset, run_id)


def _hashes(raw: StepResult) -> Sequence[str]:
    return [batch["sha256"] for batch in raw.facts["batches"]]


def _name_of(platform: Platform, window: str) -> str:
    """Name of the file that a window is made of."""
    from attrition_platform.adapters.batches import list_batches

    batches = list_batches(platform.settings.data_dir, platform.contract.name)
    return next((batch.name for batch in batches if batch.sha256.startswith(window)), window)
