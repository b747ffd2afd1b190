"""From a passed challenger to all traffic: approval, canary or shadow, ramp, and the way back.

All state is in the ledger: what is released how follows from its records alone, so a restart goes on
where it was, and the same records always give the same state.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from attrition_platform.errors import LedgerError, ReleaseError
from attrition_platform.ports import CROWNING, LedgerRecord
from attrition_platform.stages.challenger import load_stored_scorer, utc_now
from attrition_platform.stages.platform import Platform


@dataclass(frozen=True)
class ReleaseState:
    """What is released now.

    Attributes
    ----------
    stable : LedgerRecord or None
        The champion: promoted or rolled back to last.
    canary : LedgerRecord or None
        The ``canary`` record of the challenger that has a share of the traffic or scores along.
    earlier : tuple of LedgerRecord
        Crowned versions before the champion, newest first, each once: what serves when the champion
        can't be loaded.
    waiting : LedgerRecord or None
        The ``proposal`` that waits for approval.
    approvals : tuple of LedgerRecord
        Its approvals so far.
    """

    stable: LedgerRecord | None
    canary: LedgerRecord | None
    earlier: tuple[LedgerRecord, ...]
    waiting: LedgerRecord | None
    approvals: tuple[LedgerRecord, ...]


def release_state(records: Sequence[LedgerRecord]) -> ReleaseState:
    """Derive what is released from the ledger's records.

    Parameters
    ----------
    records : sequence of LedgerRecord
        Oldest first.

    Returns
    -------
    ReleaseState
        A canary ends with its own ``canary-end`` or with any later crowning; a proposal with a canary
        or a crowning of its version, or with another proposal.
    """
    stable = canary = waiting = None
    crowned: dict[str, LedgerRecord] = {}
    approvals: list[LedgerRecord] = []
    for record in records:
        if record.kind in CROWNING:
            stable, canary = record, None
            crowned.pop(record.version, None)
            crowned[record.version] = record
        elif record.kind == "canary":
            canary = record
        elif record.kind == "canary-end" and canary is not None and record.version == canary.version:
            canary = None
        elif record.kind == "proposal":
            waiting, approvals = record, []
        elif record.kind == "approval" and waiting is not None and record.version == waiting.version:
            approvals.append(record)
        if waiting is not None and record.kind in (*CROWNING, "canary") and record.version == waiting.version:
            waiting, approvals = None, []
    if stable is not None:
        del crowned[stable.version]
    return ReleaseState(stable, canary, tuple(reversed(crowned.values())), waiting, tuple(approvals))


def put_forward(platform: Platform, version: str, payload: Mapping[str, Any]) -> LedgerRecord:
    """Take a challenger that passed every gate as far as the policy lets it go without a person.

    Parameters
    ----------
    version : str
        The challenger.
    payload : mapping
        What the ledger says of a promotion, ``incumbent`` (the champion it was compared with) included.

    Returns
    -------
    LedgerRecord
        A ``proposal`` where people must approve, else what `start` wrote; the open record of this
        version where it was put forward before.

    Raises
    ------
    LateRunError
        When the champion is another one by now; nothing is changed.
    """
    state = release_state(platform.ledger.records())
    for open_record in (state.canary, state.waiting):
        if open_record is not None and open_record.version == version:
            return open_record
    if platform.policy.release.approvals:
        needed = {"approvals_needed": platform.policy.release.approvals}
        return _append(platform, "proposal", version, dict(payload) | needed, payload["incumbent"])
    return start(platform, version, payload)


def start(platform: Platform, version: str, payload: Mapping[str, Any]) -> LedgerRecord:
    """Give a challenger traffic: all of it, or a share as canary, or none as shadow.

    Raises
    ------
    ReleaseError
        When another canary runs.
    LateRunError
        When the champion is another one by now; nothing is changed.
    """
    rule = platform.policy.release
    state = release_state(platform.ledger.records())
    if state.canary is not None and state.canary.version != version:
        raise ReleaseError(
            f"Canary {state.canary.version} is still running, so {version} waits. "
            "`attrition canary status` shows how it does; the next training run puts it forward again."
        )
    load_stored_scorer(platform, payload["files"])  # what can't be loaded gets no traffic
    if rule.mode == "direct" or state.stable is None:
        return _append(platform, "promotion", version, payload, payload["incumbent"])
    how = {"mode": rule.mode, "share": rule.canary.share if rule.mode == "canary" else 0.0}
    return _append(platform, "canary", version, dict(payload) | how, payload["incumbent"])


def approve(
    platform: Platform, version: str, by: str, reason: str
) -> tuple[LedgerRecord, LedgerRecord | None]:
    """Put one person's approval on record, and release the version once enough have approved.

    Parameters
    ----------
    version : str
        Of the proposal, or its first digits.
    by, reason : str
        Who, and why; both go on record.

    Returns
    -------
    approval : LedgerRecord
    released : LedgerRecord or None
        What the release wrote; None while approvals are missing.

    Raises
    ------
    ReleaseError
        When nothing of that version waits, or this person has approved already.
    """
    state = release_state(platform.ledger.records())
    waiting = state.waiting
    if waiting is None or not version or not waiting.version.startswith(version):
        have = "nothing waits for approval" if waiting is None else f"what waits is {waiting.version}"
        raise ReleaseError(f"Version '{version}' does not wait for approval: {have}.")
    person = by.strip()
    if not person or not reason.strip():
        raise ReleaseError("An approval needs a name and a reason.")
    if person.casefold() in {record.payload["by"].casefold() for record in state.approvals}:
        raise ReleaseError(f"{person} has approved {waiting.version} already; another person must.")
    record = _append(
        platform,
        "approval",
        waiting.version,
        {"by": person, "reason": reason.strip(), "proposal": waiting.seq},
        waiting.payload["incumbent"],
    )
    if len(state.approvals) + 1 < waiting.payload["approvals_needed"]:
        return record, None
    released = start(platform, waiting.version, waiting.payload)
    mirror(platform)
    return record, released


def ramp(platform: Platform, *, by: str, reason: str, evidence: Mapping[str, Any]) -> LedgerRecord:
    """Give the canary all traffic: it becomes the champion.

    Raises
    ------
    ReleaseError
        When no canary runs.
    LateRunError
        When the champion is another one by now; nothing is changed.
    """
    canary = _running(platform)
    kept = {name: value for name, value in canary.payload.items() if name not in ("mode", "share")}
    more = {"by": by, "reason": reason, "canary": canary.seq, "evidence": dict(evidence)}
    record = _append(platform, "promotion", canary.version, kept | more, canary.payload["incumbent"])
    mirror(platform)
    return record


def end_canary(platform: Platform, *, by: str, reason: str, evidence: Mapping[str, Any]) -> LedgerRecord:
    """Give all traffic back to stable; the version does not come back by itself.

    Raises
    ------
    ReleaseError
        When no canary runs.
    """
    canary = _running(platform)
    payload = {
        "by": by,
        "reason": reason,
        "canary": canary.seq,
        "stable": canary.payload["incumbent"],
        "mode": canary.payload["mode"],
        "evidence": dict(evidence),
    }
    return _append(platform, "canary-end", canary.version, payload, canary.payload["incumbent"])


def registered_model(platform: Platform) -> str:
    """Name of the contract's model in the MLflow registry."""
    return f"attrition-{platform.contract.name}"


def mirror(platform: Platform) -> None:
    """Let MLflow's alias `champion` follow the head of the ledger."""
    champion = platform.ledger.champion()
    if champion is not None:
        platform.registry.mirror_champion(registered_model(platform), champion.payload["mlflow_version"])


def roll_back(platform: Platform, to: str | None, reason: str, by: str) -> LedgerRecord:
    """Make an earlier champion the champion again.

    The old model is loaded and checked before the pointer moves. A running canary ends with it.

    Parameters
    ----------
    to : str or None
        Version (or its first digits); None means the champion before this one.
    reason, by : str
        Why, and who says so; both go on record.

    Raises
    ------
    LedgerError
        When there is no such earlier champion.
    StoreError, UntrustedArtefactError
        When its files are missing, damaged or not the ones that were signed.
    """
    ledger = platform.ledger
    records = ledger.records()
    current = release_state(records).stable
    if current is None:
        raise LedgerError("There is no champion yet, so there is nothing to roll back from.")
    earlier = [r for r in records if r.kind == "promotion" and r.version != current.version]
    if to is not None:
        earlier = [record for record in earlier if record.version.startswith(to)]
    else:
        # Before its promotion, not before its rollback: a second rollback must not return what was left.
        crowned = max(r.seq for r in records if r.kind == "promotion" and r.version == current.version)
        earlier = [record for record in earlier if record.seq < crowned]
    if not earlier:
        wanted = f"version '{to}'" if to else "earlier champion"
        raise LedgerError(f"The ledger has no {wanted} to go back to. `attrition history` lists what it has.")
    target = earlier[-1]
    load_stored_scorer(platform, target.payload["files"])
    payload = target.payload | {"from": current.version, "reason": reason, "by": by}
    record = _append(platform, "rollback", target.version, payload, current.version)
    mirror(platform)
    return record


def _running(platform: Platform) -> LedgerRecord:
    canary = release_state(platform.ledger.records()).canary
    if canary is None:
        raise ReleaseError("No canary is running. `attrition canary status` shows what serves.")
    return canary


def _append(
    platform: Platform, kind: Any, version: str, payload: Mapping[str, Any], incumbent: str | None
) -> LedgerRecord:
    return platform.ledger.append(
        kind, version, payload, at=utc_now(), expected_champion=incumbent, check_champion=True
    )
