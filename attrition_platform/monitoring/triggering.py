"""Decide which causes start a run now, and which wait.

A cause is something that calls for a training: a file, a drifted window, outcomes that say the champion is
no longer good enough. Its key is made of content, so however often it is found it is one cause. Nothing here
reads a clock or a store: any past decision can be replayed.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import Any, Final, Literal

from attrition_platform.modeling.watch_rules import CauseKind, TriggerRule

CauseState = Literal["open", "requested", "done", "ticketed"]
DAY: Final = timedelta(days=1)
# Which cause a run is told by where several join it: the one that a promotion may give as its reason.
RANK: Final[tuple[CauseKind, ...]] = ("drift", "performance", "new-column", "volume", "new-file", "event")


@dataclass(frozen=True)
class Cause:
    """What calls for a run.

    Attributes
    ----------
    kind : CauseKind
    key : str
        Begins with the kind; the rest says which, by content.
    found_at : datetime
        With its time zone.
    window : str
        Which file, window or count it is about, for people.
    evidence : mapping
        JSON values; names, counts and scores, never an employee's values.
    """

    kind: CauseKind
    key: str
    found_at: datetime
    window: str
    evidence: Mapping[str, Any]


@dataclass(frozen=True)
class CauseRecord:
    """A cause and what became of it.

    Attributes
    ----------
    state : CauseState
        ``open``: waits for a run; ``requested``: has one; ``done``: a run succeeded; ``ticketed``: all
        attempts failed, people must look.
    n_attempts : int
        Runs that were requested.
    run_key : str or None
        Of the newest of them.
    requested_at, retry_at, ended_at : datetime or None
        When the newest run was requested; when the next may be; when the cause was done or ticketed.
    """

    cause: Cause
    state: CauseState = "open"
    n_attempts: int = 0
    run_key: str | None = None
    requested_at: datetime | None = None
    retry_at: datetime | None = None
    ended_at: datetime | None = None


@dataclass(frozen=True)
class Decision:
    """What starts now.

    Attributes
    ----------
    request : tuple of CauseRecord
        Causes that join one run, as they are once it is requested; empty where none starts.
    waiting : dict of str to str
        By key: why an open cause does not start now.
    """

    request: tuple[CauseRecord, ...]
    waiting: dict[str, str]


def decide(
    records: Sequence[CauseRecord],
    rule: TriggerRule,
    now: datetime,
    earlier: Mapping[str, datetime] | None = None,
) -> Decision:
    """Join what may start into one run.

    Parameters
    ----------
    records : sequence of CauseRecord
        Open and requested ones, and whatever was requested within the longest cooldown or a day.
    rule : TriggerRule
    now : datetime
    earlier : mapping of str to datetime, optional
        When each run of the last day was requested, by its key: a cause that is tried again remembers its
        newest run only, and all of them count against the day's limit.

    Returns
    -------
    Decision
        Requests nothing while a run is under way: its result may answer the next cause too.

    Examples
    --------
    >>> from datetime import UTC
    >>> noon = datetime(2026, 1, 1, 12, tzinfo=UTC)
    >>> file = CauseRecord(Cause("new-file", "new-file/ab", noon, "ab", {}))
    >>> drift = CauseRecord(Cause("drift", "drift/w1", noon, "w1", {}))
    >>> [record.cause.key for record in decide([file, drift], TriggerRule(), noon).request]
    ['drift/w1', 'new-file/ab']
    """
    waiting = [record for record in records if record.state == "open"]
    waiting.sort(key=lambda record: (RANK.index(record.cause.kind), record.cause.found_at, record.cause.key))
    under_way = sorted({r.run_key for r in records if r.state == "requested" and r.run_key})
    why: dict[str, str] = {}
    if under_way:
        why = {record.cause.key: f"Run {under_way[0]} is under way." for record in waiting}
    elif _runs_of_the_day(records, earlier or {}, now) >= rule.max_runs_per_day:
        limit = f"{rule.max_runs_per_day} runs were started within 24 hours, which is the policy's limit."
        why = {record.cause.key: limit for record in waiting}
    if why:
        return Decision((), why)
    backed_off = {r.cause.key: r.retry_at for r in waiting if r.retry_at is not None and r.retry_at > now}
    cooling = {r.cause.key: until for r in waiting if (until := _cools_until(r, records, rule)) > now}
    why |= {key: f"Tried again at {_clock(at)}, after a failed run." for key, at in backed_off.items()}
    ready = [record for record in waiting if record.cause.key not in backed_off]
    if all(record.cause.key in cooling for record in ready):
        why |= {r.cause.key: f"Cools down until {_clock(cooling[r.cause.key])}." for r in ready}
        return Decision((), why)
    # Since a run starts anyway, it takes along what still cools down.
    key = run_key(ready)
    requested = tuple(
        replace(
            record,
            state="requested",
            n_attempts=record.n_attempts + 1,
            run_key=key,
            requested_at=now,
            retry_at=None,
        )
        for record in ready
    )
    return Decision(requested, why)


def run_key(records: Sequence[CauseRecord]) -> str:
    """Name of the next run for these causes: the same causes and attempts always give the same name."""
    parts = sorted(f"{record.cause.key}#{record.n_attempts + 1}" for record in records)
    return hashlib.sha256("\n".join(parts).encode()).hexdigest()[:16]


def after_run(record: CauseRecord, *, succeeded: bool, rule: TriggerRule, now: datetime) -> CauseRecord:
    """What becomes of a requested cause when its run has ended.

    A failed run is followed by another after a wait that doubles, until the policy's number of attempts is
    used up; then the cause is a ticket.

    Examples
    --------
    >>> from datetime import UTC
    >>> noon = datetime(2026, 1, 1, 12, tzinfo=UTC)
    >>> cause = Cause("event", "event/1", noon, "1", {})
    >>> failed = CauseRecord(cause, "requested", 2, "k", noon)
    >>> after = after_run(failed, succeeded=False, rule=TriggerRule(), now=noon)
    >>> after.state, after.retry_at - noon
    ('open', datetime.timedelta(seconds=600))
    """
    if succeeded:
        return replace(record, state="done", ended_at=now)
    if record.n_attempts >= rule.max_attempts:
        return replace(record, state="ticketed", ended_at=now)
    wait = timedelta(minutes=rule.backoff_minutes * 2 ** (record.n_attempts - 1))
    return replace(record, state="open", retry_at=now + wait)


def main_cause(records: Sequence[CauseRecord]) -> Cause:
    """The cause that a run of several is told by."""
    return min(records, key=lambda record: (RANK.index(record.cause.kind), record.cause.key)).cause


def next_look(record: CauseRecord, records: Sequence[CauseRecord], rule: TriggerRule) -> datetime:
    """When an open cause may start at the earliest, as far as its own waits say."""
    waits = [record.retry_at, _cools_until(record, records, rule)]
    return max(at for at in waits if at is not None)


def _runs_of_the_day(records: Sequence[CauseRecord], earlier: Mapping[str, datetime], now: datetime) -> int:
    known = {r.run_key: r.requested_at for r in records if r.requested_at is not None} | dict(earlier)
    return sum(now - requested_at < DAY for requested_at in known.values())


def _cools_until(record: CauseRecord, records: Sequence[CauseRecord], rule: TriggerRule) -> datetime:
    """End of the cooldown of its kind; a cause that is tried again waits for its back-off only."""
    if record.n_attempts:  # else two that failed in one run would hold each other back
        return record.cause.found_at
    wait = timedelta(minutes=rule.cooldown_minutes[record.cause.kind])
    others = [
        other.requested_at
        for other in records
        if other.cause.kind == record.cause.kind and other.requested_at is not None
    ]
    return max(others) + wait if others else record.cause.found_at


def _clock(at: datetime | None) -> str:
    return "" if at is None else at.isoformat(timespec="minutes")
