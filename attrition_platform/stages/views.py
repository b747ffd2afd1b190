"""What the command line shows of stored results: the champion, the decision, the leaderboard."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from attrition_platform.adapters.pointers import Pointers
from attrition_platform.adapters.step_cache import StepResult
from attrition_platform.errors import LedgerError, SettingsError, StoreError
from attrition_platform.stages.candidates import all_trials
from attrition_platform.stages.platform import Platform

if TYPE_CHECKING:
    from attrition_platform.ports import LedgerRecord


def newest(platform: Platform, asset: str) -> StepResult:
    """What the newest run made of an asset.

    Raises
    ------
    StoreError
        When it has never been materialized.
    """
    return Pointers(platform.pointers_dir).read(asset)


def newest_or_none(platform: Platform, asset: str) -> StepResult | None:
    """What the newest run made of an asset; None before the first one."""
    try:
        return newest(platform, asset)
    except StoreError:
        return None


def champion_view(platform: Platform, as_of: str | None = None) -> dict[str, Any]:
    """Describe the champion, now or at a time.

    Raises
    ------
    LedgerError
        When there is (or was) none.
    SettingsError
        When the time can't be read.
    """
    record = platform.ledger.champion(None if as_of is None else parse_time(as_of))
    if record is None:
        if as_of is None and not platform.ledger.records():
            raise LedgerError(
                f"Contract '{platform.contract.name}' has no champion yet: nothing was trained. Run "
                "`make train` first. ATTRITION_DATA and ATTRITION_CONTRACT say whose champion is meant."
            )
        when = f" at {as_of}" if as_of else ""
        raise LedgerError(
            f"Contract '{platform.contract.name}' has no champion{when}: nothing passed every gate. "
            "`attrition decision` says what blocked the last challenger."
        )
    return record_view(record)


def record_view(record: LedgerRecord) -> dict[str, Any]:
    """A crowning ledger record as the command line shows it."""
    return {
        "version": record.version,
        "since": record.at,
        "became_by": record.kind,
        "ledger_seq": record.seq,
        "ledger_hash": record.hash,
        **record.payload,
    }


def decision_view(platform: Platform) -> dict[str, Any]:
    """The last decision with every gate.

    Raises
    ------
    LedgerError
        When none was taken yet.
    """
    record = platform.ledger.last("decision")
    if record is None:
        raise LedgerError("No decision has been taken yet. Run `make train` first.")
    return {"at": record.at, "ledger_seq": record.seq, **record.payload}


def leaderboard_view(platform: Platform) -> dict[str, Any]:
    """All trials of the newest leaderboard, best first."""
    return {"trials": all_trials(newest(platform, "leaderboard"))}


def parse_time(text: str) -> str:
    """Bring a time to the form in which the ledger writes it; without a zone it is UTC.

    Examples
    --------
    >>> parse_time("2026-03-01")
    '2026-03-01T00:00:00.000+00:00'
    >>> parse_time("2026-03-01T02:00:00+02:00")
    '2026-03-01T00:00:00.000+00:00'

    Raises
    ------
    SettingsError
        When it is no ISO 8601 time.
    """
    try:
        time = datetime.fromisoformat(text)
    except ValueError:
        raise SettingsError(f"'{text}' is no time; write it like 2026-03-01T14:00:00+00:00.") from None
    if time.tzinfo is None:
        time = time.replace(tzinfo=UTC)
    return time.astimezone(UTC).isoformat(timespec="milliseconds")
