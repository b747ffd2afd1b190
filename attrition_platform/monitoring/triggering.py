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
Stopped = Literal["cancelled", "interrupted"]
DAY: Final = timedelta(days=1)
MAX_INTERRUPTIONS: Final = 3
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
        ``open``: waits for a run; ``requested``: has one; ``done``: a run succeeded, or a person closed it;
        ``ticketed``: all attempts failed or a person cancelled one, people must look.
    n_attempts : int
        Runs that were requested.
    run_key : str or None
        Of the newest of them.
    requested_at, retry_at, ended_at : datetime or None
        When the newest run was requested; when the next may be; when the cause was done or ticketed.
    n_interrupted : int
        Runs of `n_attempts` that were ended from outside (the daemon was stopped) and did not fail.
    """

    cause: Cause
    state: CauseState = "open"
    n_attempts: int = 0
    run_key: str | None = None
    requested_at: datetime | None = None
    retry_at: datetime | None = None
    ended_at: datetime | None = None
    n_interrupted: int = 0


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
        Requests nothing while a run is under way: its result may answer the next cause too. Times that a
        clock which ran ahead has written hold up nothing.

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
    backed_off = {r.cause.key: until for r in waiting if (until := _backs_off_until(r, rule, now)) > now}
    cooling = {r.cause.key: until for r in waiting if (until := _cools_until(r, records, rule, now)) > now}
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


def after_run(
    record: CauseRecord,
    *,
    succeeded: bool,
    rule: TriggerRule,
    now: datetime,
    stopped: Stopped | None = None,
) -> CauseRecord:
    """What becomes of a requested cause when its run has ended.

    A failed run is followed by another after a wait that doubles, until the policy's number of attempts is
    used up; then the cause is a ticket.

    Parameters
    ----------
    stopped : Stopped or None
        Who ended a run that did not succeed: ``cancelled`` by a person, who does not want it tried again;
        ``interrupted`` with its daemon, which the first few times is no failure of the run.

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
    if stopped == "interrupted" and record.n_interrupted < MAX_INTERRUPTIONS:
        return replace(record, state="open", retry_at=None, n_interrupted=record.n_interrupted + 1)
    if stopped == "cancelled" or record.n_attempts - record.n_interrupted >= rule.max_attempts:
        return replace(record, state="ticketed", ended_at=now)
    return replace(record, state="open", retry_at=now + _back_off(record, rule))


def main_cause(records: Sequence[CauseRecord]) -> Cause:
    """The cause that a run of several is told by."""
    return min(records, key=lambda record: (RANK.index(record.cause.kind), record.cause.key)).cause


def next_look(
    record: CauseRecord, records: Sequence[CauseRecord], rule: TriggerRule, now: datetime
) -> datetime:
    """When an open cause may start at the earliest, as far as its own waits say."""
    return max(_backs_off_until(record, rule, now), _cools_until(record, records, rule, now))


def _runs_of_the_day(records: Sequence[CauseRecord], earlier: Mapping[str, datetime], now: datetime) -> int:
    known = {r.run_key: r.requested_at for r in records if r.requested_at is not None} | dict(earlier)
    return sum(timedelta(0) <= now - requested_at < DAY for requested_at in known.values())


def _back_off(record: CauseRecord, rule: TriggerRule) -> timedelta:
    n_failed = max(1, record.n_attempts - record.n_interrupted)
    return timedelta(minutes=rule.backoff_minutes * 2 ** (n_failed - 1))


def _backs_off_until(record: CauseRecord, rule: TriggerRule, now: datetime) -> datetime:
    """End of its back-off, else now; an end that is further away than the wait is long is an error."""
    if record.retry_at is None or record.retry_at > now + _back_off(record, rule):
        return now
    return max(now, record.retry_at)


def _cools_until(
    record: CauseRecord, records: Sequence[CauseRecord], rule: TriggerRule, now: datetime
) -> datetime:
    """End of the cooldown of its kind, else now; a cause that is tried again waits for its back-off only."""
    if record.n_attempts:  # else two that failed in one run would hold each other back
        return now
    wait = timedelta(minutes=rule.cooldown_minutes[record.cause.kind])
    others = [
        other.requested_at
        for other in records
        if other.cause.kind == record.cause.kind
        and other.requested_at is not None
        and other.requested_at <= now
    ]
    return max([now, *(requested_at + wait for requested_at in others)])


def _clock(at: datetime | None) -> str:
    return "" if at is None else at.isoformat(timespec="minutes")
