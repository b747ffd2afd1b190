"""What is released how, derived from the ledger's records alone.

A restart goes on where it was, and the same records always give the same state.
"""

from __future__ import annotations

import unicodedata
from collections.abc import Sequence
from dataclasses import dataclass

from attrition_platform.ports import CROWNING, RELEASING, LedgerRecord
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
        Crowned versions before the champion, each once: what serves when the champion can't be loaded.
        The newest first, but those that were rolled back last.
    waiting : LedgerRecord or None
        The ``proposal`` that waits for approval.
    approvals : tuple of LedgerRecord
        Its approvals so far.
    newest : int
        Number of the newest record that a release is made of; 0 where there is none.
    """

    stable: LedgerRecord | None
    canary: LedgerRecord | None
    earlier: tuple[LedgerRecord, ...]
    waiting: LedgerRecord | None
    approvals: tuple[LedgerRecord, ...]
    newest: int = 0


def release_state(records: Sequence[LedgerRecord]) -> ReleaseState:
    """Derive what is released from the ledger's records.

    Parameters
    ----------
    records : sequence of LedgerRecord
        Oldest first.

    Returns
    -------
    ReleaseState
        A canary ends with its own ``canary-end`` or with any later crowning. A proposal ends with a
        canary of its version, with another proposal, or with any crowning: it was compared with a
        champion that is none any more.
    """
    stable = canary = waiting = None
    crowned: dict[str, LedgerRecord] = {}
    approvals: list[LedgerRecord] = []
    for record in records:
        if record.kind in CROWNING:
            stable, canary, waiting, approvals = record, None, None, []
            crowned.pop(record.version, None)
            crowned[record.version] = record
        elif record.kind == "canary":
            canary = record
            if waiting is not None and record.version == waiting.version:
                waiting, approvals = None, []
        elif record.kind == "canary-end" and canary is not None and record.version == canary.version:
            canary = None
        elif record.kind == "proposal":
            waiting, approvals = record, []
        elif record.kind == "approval" and waiting is not None and record.version == waiting.version:
            approvals.append(record)
    if stable is not None:
        del crowned[stable.version]
    away = taken_away(records)
    earlier = sorted(crowned.values(), key=lambda r: (r.version in away, -r.seq))
    newest = max((record.seq for record in records if record.kind in RELEASING), default=0)
    return ReleaseState(stable, canary, tuple(earlier), waiting, tuple(approvals), newest)


def taken_away(records: Sequence[LedgerRecord]) -> frozenset[str]:
    """Versions that were rolled back and did not become champion again."""
    away: set[str] = set()
    for record in records:
        if record.kind in CROWNING:
            away.discard(record.version)
            if record.kind == "rollback":
                away.add(str(record.payload.get("from")))
    return frozenset(away)


def champion_before(records: Sequence[LedgerRecord], version: str) -> LedgerRecord | None:
    """The champion that a version replaced when it was promoted last; None where there was none.

    Before its promotion, not before a rollback to it: a second rollback must not return what was left.
    Nor does any return what was rolled back before, as long as there is another.
    """
    promoted = max(i for i, r in enumerate(records) if r.kind == "promotion" and r.version == version)
    state = release_state(records[:promoted])
    if state.stable is None:
        return None
    away = taken_away(records)
    candidates = [r for r in (state.stable, *state.earlier) if r.version != version]
    return next((r for r in candidates if r.version not in away), next(iter(candidates), None))


def was_withdrawn(records: Sequence[LedgerRecord], version: str) -> bool:
    """Whether a version was rolled back, or its canary ended without a ramp; then only a new one may come."""
    return any(
        (record.kind == "rollback" and record.payload.get("from") == version)
        or (record.kind == "canary-end" and record.version == version)
        for record in records
    )


def missing_approvals(platform: Platform, state: ReleaseState) -> int:
    """How many more people must approve what waits; 0 where nothing waits."""
    if state.waiting is None:
        return 0
    # A policy that became stricter since the proposal counts.
    needed: int = max(state.waiting.payload["approvals_needed"], platform.policy.release.approvals)
    return max(0, needed - len(approvers(state)))


def approvers(state: ReleaseState) -> set[str]:
    """Who has approved what waits, in one spelling."""
    return {readable(record.payload["by"]).casefold() for record in state.approvals}


def readable(name: str) -> str:
    """A name with one spelling: compatible letters, single spaces, nothing invisible.

    >>> readable("  Ana\u00a0 L\u200bee ")
    'Ana Lee'
    """
    visible = (c for c in unicodedata.normalize("NFKC", name) if unicodedata.category(c) != "Cf")
    return " ".join("".join(visible).split())
