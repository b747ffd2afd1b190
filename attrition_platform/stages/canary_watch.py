"""Watch the canary: read what both arms answered, ask for the verdict, act on it, and tell."""

from __future__ import annotations

import json
from collections import deque
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any, Literal

from attrition_platform.adapters.notifications import Delivery, Notification, build_notifier
from attrition_platform.errors import LateRunError, PredictionLogError, ReleaseError
from attrition_platform.modeling.policy import MAX_JUDGED
from attrition_platform.monitoring.canary import Verdict, judge
from attrition_platform.monitoring.canary_report import ArmName, feature_snapshot, latency_histogram
from attrition_platform.monitoring.evidence import Observation
from attrition_platform.ports import LedgerRecord, PredictionLog, PredictionRecord
from attrition_platform.scoring.judgement import is_flagged
from attrition_platform.stages.logged_predictor import CLIENT
from attrition_platform.stages.platform import Platform
from attrition_platform.stages.release import (
    ReleaseState,
    end_canary,
    missing_approvals,
    ramp,
    release_state,
)

BATCH = 10_000
INPUTS_KEPT = 5_000  # of each arm, for the snapshot of features
VERDICT = "canary-verdict"  # who ramps and rolls back where no person does

Watched = Literal["none", "continue", "ramp", "roll-back"]
HandAction = Literal["ramp", "abort"]


@dataclass(frozen=True)
class WatchResult:
    """What one look at the canary came to.

    Attributes
    ----------
    action : {"none", "continue", "ramp", "roll-back"}
        ``none``: no canary runs, or somebody else was quicker.
    told : str
        The same in words.
    record : LedgerRecord or None
        What was written to the ledger.
    delivery : Delivery or None
        What became of the notification.
    """

    action: Watched
    told: str
    record: LedgerRecord | None = None
    delivery: Delivery | None = None


@dataclass
class CanaryTraffic:
    """What both arms answered since the canary began.

    Attributes
    ----------
    observations : deque of Observation
        In time order, the newest `MAX_JUDGED`.
    inputs : dict of ArmName to deque
        Pseudonym and logged inputs of the newest employees.
    is_cut : bool
        Whether there was more than was read.
    """

    observations: deque[Observation] = field(default_factory=lambda: deque(maxlen=MAX_JUDGED))
    inputs: dict[ArmName, deque[tuple[str, str]]] = field(
        default_factory=lambda: {"stable": deque(maxlen=INPUTS_KEPT), "canary": deque(maxlen=INPUTS_KEPT)}
    )
    is_cut: bool = False


def watch(platform: Platform, log: PredictionLog, at: str, run_url: str | None = None) -> WatchResult:
    """Look at the canary once, and ramp it or roll it back where the verdict says so.

    Parameters
    ----------
    log : PredictionLog
        The service's predictions.
    at : str
        The time, ISO 8601.
    run_url : str or None
        Where the training run that made the canary can be read.

    Returns
    -------
    WatchResult
        Where somebody else has ended the canary in the meantime: that, and nothing is changed.

    Raises
    ------
    PredictionLogError
        When the log can't be read; the canary goes on as it was.
    """
    state = release_state(platform.ledger.records())
    canary = state.canary
    if canary is None:
        return WatchResult("none", "No canary is running.")
    traffic = read_traffic(log, state)
    verdict = _judge(platform, traffic)
    because = " ".join(verdict.reasons)
    if verdict.action == "continue":
        return WatchResult("continue", f"Canary {canary.version} goes on. {because}")
    evidence = _evidence(platform, state, traffic, verdict, at)
    act = ramp if verdict.action == "ramp" else end_canary
    try:
        record = act(platform, by=VERDICT, reason=because, evidence=evidence, of=canary.seq)
    except (LateRunError, ReleaseError) as error:
        return WatchResult("none", f"Canary {canary.version} has ended already: {error}")
    delivery = _tell(platform, state, record, because, evidence, at, run_url)
    done = "has all traffic now" if verdict.action == "ramp" else "was rolled back"
    return WatchResult(
        verdict.action,
        f"Canary {canary.version} {done} (ledger record {record.seq}). {because}",
        record,
        delivery,
    )


def decide_by_hand(
    platform: Platform, log: PredictionLog | None, action: HandAction, *, by: str, reason: str, at: str
) -> LedgerRecord:
    """Ramp or end the canary because a person says so, with what the log shows as evidence.

    Parameters
    ----------
    log : PredictionLog or None
        None where it can't be opened: the evidence says so, and the action goes on.

    Raises
    ------
    ReleaseError
        When no canary runs.
    LateRunError
        When the champion is another one by now; nothing is changed.
    """
    state = release_state(platform.ledger.records())
    evidence: dict[str, Any] = {"report": None, "report_problem": "the prediction log can't be read"}
    if state.canary is not None and log is not None:
        try:
            traffic = read_traffic(log, state)
            evidence = _evidence(platform, state, traffic, _judge(platform, traffic), at)
        except PredictionLogError:  # a person may need to act just because it is broken
            pass
    act = ramp if action == "ramp" else end_canary
    of = None if state.canary is None else state.canary.seq
    record = act(platform, by=by, reason=reason, evidence=evidence, of=of)
    _tell(platform, state, record, f"{by}: {reason}", evidence, at, None)
    return record


def canary_status(platform: Platform, log: PredictionLog) -> dict[str, Any]:
    """Say what is released how, and what the verdict on the canary is now, as JSON values.

    Returns
    -------
    dict
        ``running``, ``stable``, ``waiting`` (a proposal with its approvals, or None), ``last`` (how the
        last canary ended, or None); with a canary also ``version``, ``mode``, ``share``, ``since``,
        ``record``, ``read_all`` (whether the whole log since then was read) and ``verdict``.
    """
    records = platform.ledger.records()
    state = release_state(records)
    status: dict[str, Any] = {
        "running": state.canary is not None,
        "stable": None if state.stable is None else state.stable.version,
        "waiting": _waiting(platform, state),
        "last": _last_end(records),
    }
    canary = state.canary
    if canary is not None:
        traffic = read_traffic(log, state)
        status |= {
            "version": canary.version,
            "mode": canary.payload["mode"],
            "share": canary.payload["share"],
            "since": canary.at,
            "record": canary.seq,
            "read_all": not traffic.is_cut,
            "verdict": _judge(platform, traffic).as_json(),
        }
    return status


def read_traffic(log: PredictionLog, state: ReleaseState) -> CanaryTraffic:
    """Read what both arms answered since the canary began, the newest `MAX_JUDGED` at most.

    Parameters
    ----------
    state : ReleaseState
        With a canary.
    """
    canary = state.canary
    if canary is None or state.stable is None:
        raise ReleaseError("No canary is running. `attrition canary status` shows what serves.")
    began = round(datetime.fromisoformat(canary.at).astimezone(UTC).timestamp() * 1e6)
    traffic, n_read = CanaryTraffic(), 0
    for batch in _batches(log, began):
        n_read += len(batch)
        if n_read > MAX_JUDGED:
            break
        for record in batch:
            _take(traffic, record, canary, state.stable)
    else:
        return traffic
    # Too much to read from the beginning: the newest of both arms instead.
    traffic = CanaryTraffic(is_cut=True)
    tails = (log.tail(version, MAX_JUDGED) for version in (state.stable.version, canary.version))
    newest = {r.id: r for tail in tails for r in tail if r.at >= began}
    for record in sorted(newest.values(), key=lambda r: r.at)[-MAX_JUDGED:]:
        _take(traffic, record, canary, state.stable)
    return traffic


def _batches(log: PredictionLog, at: int) -> Iterator[list[PredictionRecord]]:
    """Read the log in parts; what shares the last microsecond of a part is not given twice."""
    limit, given = BATCH, frozenset[str]()
    while True:
        found = log.since(at, limit=limit)
        yield [record for record in found if record.id not in given]
        if len(found) < limit:
            return
        last = found[-1].at
        limit = 2 * limit if last == at else BATCH
        earlier = given if last == at else frozenset[str]()
        given = earlier | {record.id for record in found if record.at == last}
        at = last


def _take(
    traffic: CanaryTraffic, record: PredictionRecord, canary: LedgerRecord, stable: LedgerRecord
) -> None:
    """Turn one logged prediction into what was observed of the arms."""
    if record.client == CLIENT:  # a shell asks stable alone, on its own terms: nobody to compare with
        return
    observe, inputs = traffic.observations.append, record.inputs
    if canary.payload["mode"] == "shadow":
        if record.other_version != canary.version:
            return
        spent = float("nan") if record.shadow_latency_us is None else record.shadow_latency_us / 1000
        own, differ = record.latency_us / 1000, _differs(record, canary)
        observe(Observation("stable", record.client, record.at, False, own, None))
        observe(Observation("canary", record.client, record.at, record.failed, spent, differ))
        arms: tuple[ArmName, ...] = ("stable", "canary")
    elif record.variant == "canary":
        if canary.version not in (record.version, record.other_version):
            return  # answered by an earlier canary, before the service followed
        latency, differ = record.latency_us / 1000, None if record.failed else _differs(record, stable)
        observe(Observation("canary", record.client, record.at, record.failed, latency, differ))
        arms = ("canary",)
    else:
        if record.version != stable.version:
            return  # another one stood in for stable
        latency = record.latency_us / 1000
        observe(Observation("stable", record.client, record.at, record.failed, latency, None))
        arms = ("stable",)
    if inputs is not None:
        for arm in arms:
            traffic.inputs[arm].append((record.pseudonym, inputs))


def _differs(record: PredictionRecord, other: LedgerRecord) -> bool | None:
    """Whether the other arm flags this employee otherwise; None where it did not score along."""
    if record.other_probability is None or record.other_version != other.version:
        return None
    return is_flagged(record.other_probability, other.payload["threshold"]) != record.flagged


def _judge(platform: Platform, traffic: CanaryTraffic) -> Verdict:
    policy = platform.policy
    budget = policy.gates.max_latency_p95_ms
    return judge(list(traffic.observations), policy.release.canary, budget_p95_ms=budget)


def _evidence(
    platform: Platform, state: ReleaseState, traffic: CanaryTraffic, verdict: Verdict, at: str
) -> dict[str, Any]:
    """The verdict's numbers, and the sha256 of the stored report with what lies behind them."""
    found: dict[str, Any] = verdict.as_json()
    report = {
        "canary": None if state.canary is None else state.canary.version,
        "stable": None if state.stable is None else state.stable.version,
        "at": at,
        "read_all": not traffic.is_cut,
        "verdict": found,
        "latency": latency_histogram(traffic.observations),
        "features": _features(platform, traffic),
    }
    try:
        return found | {"report": _store(platform, report)}
    except OSError as error:  # a full disk must not keep a bad canary in traffic
        return found | {"report": None, "report_problem": f"it can't be stored ({type(error).__name__})"}


def _features(platform: Platform, traffic: CanaryTraffic) -> dict[str, Any]:
    if not platform.policy.serving.log_inputs:
        return {"left_out": "the policy keeps no inputs (serving.log_inputs = false)"}
    newest = {arm: dict(pairs) for arm, pairs in traffic.inputs.items()}
    return feature_snapshot(platform.contract, newest, platform.policy.serving.min_team_size)


def _store(platform: Platform, report: Mapping[str, Any]) -> str:
    store = platform.steps.store
    with store.workspace() as folder:
        file = folder / "canary_report.json"
        file.write_text(json.dumps(report, sort_keys=True, allow_nan=False), encoding="utf-8")
        return store.take(file)


def _tell(
    platform: Platform,
    state: ReleaseState,
    record: LedgerRecord,
    cause: str,
    evidence: Mapping[str, Any],
    at: str,
    run_url: str | None,
) -> Delivery:
    stable = None if state.stable is None else state.stable.version
    ramped = record.kind == "promotion"
    return build_notifier(platform.settings, platform.policy).send(
        Notification(
            kind="canary-ramped" if ramped else "canary-ended",
            key=f"{record.version}/{record.payload['canary']}",
            title=(
                f"Canary {record.version} became champion"
                if ramped
                else f"Canary {record.version} has lost its traffic; {stable} answers everyone"
            ),
            cause=cause,
            version_before=stable if ramped else record.version,
            version_after=record.version if ramped else stable,
            evidence={"ledger_record": record.seq, **evidence},
            run_url=run_url,
            at=at,
            severity="info" if ramped else "ticket",
            pipeline="canary",
            runbook=None if ramped else "canary-failing",
        )
    )


def _waiting(platform: Platform, state: ReleaseState) -> dict[str, Any] | None:
    if state.waiting is None:
        return None
    return {
        "version": state.waiting.version,
        "since": state.waiting.at,
        "approved_by": [record.payload["by"] for record in state.approvals],
        "missing": missing_approvals(platform, state),
    }


def _last_end(records: list[LedgerRecord]) -> dict[str, Any] | None:
    for record in reversed(records):
        if record.kind == "canary-end" or (record.kind == "promotion" and "canary" in record.payload):
            return {
                "version": record.version,
                "became": "champion" if record.kind == "promotion" else "ended",
                "at": record.at,
                "by": record.payload["by"],
                "reason": record.payload["reason"],
            }
    return None
