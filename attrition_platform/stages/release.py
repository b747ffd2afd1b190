"""From a passed challenger to all traffic: approval, canary or shadow, ramp, and the way back.

All state is in the ledger: what is released how follows from its records alone, so a restart goes on
where it was, and the same records always give the same state. Who reads that state in order to write
holds a file lock, so that a person's abort and the verdict's ramp can't both act on the same canary.
"""

from __future__ import annotations

import logging
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

from filelock import FileLock, Timeout

from attrition_platform.errors import LedgerError, ReleaseError
from attrition_platform.ports import LedgerRecord
from attrition_platform.stages.challenger import load_stored_scorer
from attrition_platform.stages.platform import Platform
from attrition_platform.stages.release_state import (
    ReleaseState,
    approvers,
    champion_before,
    missing_approvals,
    readable,
    release_state,
    was_withdrawn,
)

__all__ = [
    "ReleaseState",
    "approve",
    "end_canary",
    "mirror",
    "missing_approvals",
    "put_forward",
    "ramp",
    "registered_model",
    "release_state",
    "roll_back",
    "start",
    "was_withdrawn",
]

_LOCK_SECONDS = 30
_log = logging.getLogger(__name__)


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
    ReleaseError
        When another canary runs, or this version lost its release before.
    LateRunError
        When the champion is another one by now; nothing is changed.
    """
    with _alone(platform):
        records = platform.ledger.records()
        state = release_state(records)
        if state.canary is not None and state.canary.version == version:
            return state.canary
        waiting = state.waiting
        if waiting is not None and waiting.version == version:
            if not missing_approvals(platform, state):  # and the process that was to release it was killed
                return _start(platform, version, waiting.payload)
            return waiting
        if was_withdrawn(records, version):
            raise ReleaseError(f"{version} was rolled back before, so it does not come back by itself.")
        needed = platform.policy.release.approvals
        if needed:
            proposal = dict(payload) | {"approvals_needed": needed}
            return _append(platform, "proposal", version, proposal, payload["incumbent"], state)
        return _start(platform, version, payload)


def start(platform: Platform, version: str, payload: Mapping[str, Any]) -> LedgerRecord:
    """Give a challenger traffic: all of it, or a share as canary, or none as shadow.

    Returns
    -------
    LedgerRecord
        The ``promotion`` or ``canary``; the running one where this version is the canary already.

    Raises
    ------
    ReleaseError
        When another canary runs, or this version lost its release before.
    LateRunError
        When the champion is another one by now; nothing is changed.
    """
    with _alone(platform):
        return _start(platform, version, payload)


def _start(platform: Platform, version: str, payload: Mapping[str, Any]) -> LedgerRecord:
    rule = platform.policy.release
    state = _check_start(platform, version, payload)
    if state.canary is not None:
        return state.canary
    if rule.mode == "direct" or state.stable is None:
        return _append(platform, "promotion", version, payload, payload["incumbent"], state)
    how = {"mode": rule.mode, "share": rule.canary.share if rule.mode == "canary" else 0.0}
    return _append(platform, "canary", version, dict(payload) | how, payload["incumbent"], state)


def _check_start(platform: Platform, version: str, payload: Mapping[str, Any]) -> ReleaseState:
    """Return the state after making sure that nothing stands against giving this version traffic."""
    records = platform.ledger.records()
    state = release_state(records)
    if state.canary is not None and state.canary.version != version:
        raise ReleaseError(
            f"Canary {state.canary.version} is still running, so {version} waits and nothing was changed. "
            "`attrition canary status` shows how it does; ask again, or train again, when it has ended."
        )
    if was_withdrawn(records, version):
        raise ReleaseError(f"{version} was rolled back before, so it does not come back by itself.")
    load_stored_scorer(platform, payload["files"])  # what can't be loaded gets no traffic
    return state


def approve(
    platform: Platform, version: str, by: str, reason: str
) -> tuple[LedgerRecord, LedgerRecord | None]:
    """Put one person's approval on record, and release the version once enough have approved.

    Whether it can be released is found out before the last approval is written. Where a process was
    killed between that approval and the release, the next call releases.

    Parameters
    ----------
    version : str
        Of the proposal, or its first digits.
    by, reason : str
        Who, and why; both go on record. Spelling with other case or white space is the same person.

    Returns
    -------
    approval : LedgerRecord
    released : LedgerRecord or None
        What the release wrote; None while approvals are missing.

    Raises
    ------
    ReleaseError
        When nothing of that version waits, this person has approved already, or another canary runs.
    StoreError, UntrustedArtefactError
        When the model's files are missing, damaged or not the ones that were signed.
    LateRunError
        When the champion is another one by now.
    """
    person, why = readable(by), reason.strip()
    if not person or not why:
        raise ReleaseError("An approval needs a name and a reason.")
    with _alone(platform):
        state = release_state(platform.ledger.records())
        waiting = state.waiting
        if waiting is None or not version or not waiting.version.startswith(version):
            have = "nothing waits for approval" if waiting is None else f"what waits is {waiting.version}"
            raise ReleaseError(f"Version '{version}' does not wait for approval: {have}.")
        if not missing_approvals(platform, state):
            record = state.approvals[-1]
        else:
            if person.casefold() in approvers(state):
                raise ReleaseError(f"{person} has approved {waiting.version} already; another person must.")
            is_last = missing_approvals(platform, state) == 1
            if is_last:
                _check_start(platform, waiting.version, waiting.payload)
            said = {"by": person, "reason": why, "proposal": waiting.seq}
            record = _append(platform, "approval", waiting.version, said, waiting.payload["incumbent"], state)
            if not is_last:
                return record, None
        released = _start(platform, waiting.version, waiting.payload)
    _mirror_if_possible(platform)
    return record, released


def ramp(
    platform: Platform, *, by: str, reason: str, evidence: Mapping[str, Any], of: int | None = None
) -> LedgerRecord:
    """Give the canary all traffic: it becomes the champion.

    Parameters
    ----------
    of : int or None
        Number of the ``canary`` record that the evidence speaks of; None means whichever runs.

    Raises
    ------
    ReleaseError
        When no canary runs, or another one by now.
    LateRunError
        When the champion is another one by now; nothing is changed.
    """
    with _alone(platform):
        state = release_state(platform.ledger.records())
        canary = _running(state, of)
        kept = {name: value for name, value in canary.payload.items() if name not in ("mode", "share")}
        more = {"by": by, "reason": reason, "canary": canary.seq, "evidence": dict(evidence)}
        record = _append(
            platform, "promotion", canary.version, kept | more, canary.payload["incumbent"], state
        )
    _mirror_if_possible(platform)
    return record


def end_canary(
    platform: Platform, *, by: str, reason: str, evidence: Mapping[str, Any], of: int | None = None
) -> LedgerRecord:
    """Give all traffic back to stable; the version does not come back by itself.

    Parameters
    ----------
    of : int or None
        Number of the ``canary`` record that the evidence speaks of; None means whichever runs.

    Raises
    ------
    ReleaseError
        When no canary runs, or another one by now.
    LateRunError
        When the champion is another one by now, which has ended the canary; nothing is changed.
    """
    with _alone(platform):
        state = release_state(platform.ledger.records())
        canary = _running(state, of)
        payload = {
            "by": by,
            "reason": reason,
            "canary": canary.seq,
            "stable": canary.payload["incumbent"],
            "mode": canary.payload["mode"],
            "evidence": dict(evidence),
        }
        return _append(platform, "canary-end", canary.version, payload, canary.payload["incumbent"], state)


def registered_model(platform: Platform) -> str:
    """Name of the contract's model in the MLflow registry."""
    return f"attrition-{platform.contract.name}"


def mirror(platform: Platform) -> None:
    """Let MLflow's alias `champion` follow the head of the ledger."""
    champion = platform.ledger.champion()
    if champion is not None:
        platform.registry.mirror_champion(registered_model(platform), champion.payload["mlflow_version"])


def _mirror_if_possible(platform: Platform) -> None:
    """Mirror, where the registry answers.

    The ledger has decided what serves, and each run repairs the alias: a registry that is down must not
    make a release or a rollback that is done look like one that failed.
    """
    try:
        mirror(platform)
    except Exception as error:  # MLflow raises its own, its database's and its transport's errors
        _log.warning(
            "MLflow's alias 'champion' was not moved (%s); the next training run moves it.",
            type(error).__name__,
        )


def roll_back(platform: Platform, to: str | None, reason: str, by: str) -> LedgerRecord:
    """Make an earlier champion the champion again.

    The old model is loaded and checked before the pointer moves. A running canary ends with it.

    Parameters
    ----------
    to : str or None
        Version (or its first digits); None means the champion before this one, passing over those that
        were rolled back.
    reason, by : str
        Why, and who says so; both go on record.

    Raises
    ------
    LedgerError
        When there is no such earlier champion.
    StoreError, UntrustedArtefactError
        When its files are missing, damaged or not the ones that were signed.
    """
    with _alone(platform):
        record = _roll_back(platform, to, reason, by)
    _mirror_if_possible(platform)
    return record


def _roll_back(platform: Platform, to: str | None, reason: str, by: str) -> LedgerRecord:
    records = platform.ledger.records()
    state = release_state(records)
    current = state.stable
    if current is None:
        raise LedgerError("There is no champion yet, so there is nothing to roll back from.")
    if to is None:
        target = champion_before(records, current.version)
    else:
        named = [r for r in records if r.kind == "promotion" and r.version.startswith(to)]
        target = next((r for r in reversed(named) if r.version != current.version), None)
    if target is None:
        wanted = f"version '{to}'" if to else "earlier champion"
        raise LedgerError(f"The ledger has no {wanted} to go back to. `attrition history` lists what it has.")
    load_stored_scorer(platform, target.payload["files"])
    payload = target.payload | {"from": current.version, "reason": reason, "by": by}
    return _append(platform, "rollback", target.version, payload, current.version, state)


@contextmanager
def _alone(platform: Platform) -> Iterator[None]:
    """Let one process of this data folder at a time go from reading the state to writing a record."""
    file = platform.settings.data_dir / "ledger" / f"{platform.contract.name}.release.lock"
    lock = FileLock(file, timeout=_LOCK_SECONDS)
    try:
        file.parent.mkdir(parents=True, exist_ok=True)
        lock.acquire()
    except Timeout:
        raise ReleaseError(
            f"Another release or rollback is at work for {_LOCK_SECONDS} s; nothing was changed. Ask again."
        ) from None
    except OSError as error:
        raise ReleaseError(
            f"The data folder can't be written ({error.strerror}), so nothing was changed. "
            "Make it writable, then ask again."
        ) from error
    try:
        yield
    finally:
        lock.release()


def _running(state: ReleaseState, of: int | None) -> LedgerRecord:
    canary = state.canary
    if canary is None:
        raise ReleaseError("No canary is running. `attrition canary status` shows what serves.")
    if of is not None and canary.seq != of:
        raise ReleaseError(f"Canary {canary.version} (record {canary.seq}) runs, not the one of record {of}.")
    return canary


def _append(
    platform: Platform,
    kind: Any,
    version: str,
    payload: Mapping[str, Any],
    incumbent: str | None,
    state: ReleaseState,
) -> LedgerRecord:
    """Write a record if nothing was released since the state was read; another machine has its own lock."""
    return platform.ledger.append(
        kind,
        version,
        payload,
        at=platform.at(),
        expected_champion=incumbent,
        check_champion=True,
        expected_release=state.newest,
    )
